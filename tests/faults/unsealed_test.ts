// Fault: the process or the machine dies, a sync starts, or a reader looks, while appended records
//   have no checksum yet (H54).
// Promise: a synchronous append survives the process at once, with all before it. What is synced
//   and what is read has its checksum. A later record never hides an earlier one (G1, G2).
// Method: all short mixes of appends in one burst, also over the end of the ring. After each, look
//   at the bytes, kill the process, cut the power after a flush, or read in every way.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { WAL, type WALRecord, WALSyncError } from "../../mod.ts";
import { checksumSeed } from "../../src/format/record.ts";
import { referenceVerify } from "../support/codec_reference.ts";
import { append, assertHolds, CAPACITY, LOG, offsetOf, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

/** How one record, or a batch of two, is appended. */
type Step = "async" | "sync" | "batch";
const STEPS: readonly Step[] = ["async", "sync", "batch"];

/** All mixes of this many steps. */
function mixes(length: number): Step[][] {
  if (length === 0) return [[]];
  return mixes(length - 1).flatMap((mix) => STEPS.map((step) => [...mix, step]));
}

function take(wal: WAL, step: Step): void {
  const lsn = wal.head;
  if (step === "sync") append(wal, 1);
  else if (step === "async") wal.logInsert(1, lsn, 2, lsn).catch(() => {});
  else wal.batchInsertSync([[1, lsn, 2, lsn], [1, lsn + 1, 2, lsn + 1]]);
}

/** A log whose next record goes into the slot of this LSN. */
function logAt(first: number): { simulation: Simulation; wal: WAL } {
  const simulation = new Simulation();
  const wal = simulation.open();
  append(wal, first - 1);
  wal.flush();
  if (first > 1) {
    wal.truncate(first - 1);
    wal.close();
    wal.open();
  }
  return { simulation, wal };
}

/** Which of the records from `first` on have their checksum in the page cache. */
function sealedIn({ disk }: Simulation, wal: WAL, first: number): boolean[] {
  const image = disk.image(LOG, "cache");
  const seed = checksumSeed(image.subarray(24, 40));
  return Array.from({ length: wal.head - first }, (_, i) => {
    return referenceVerify(seed, image, offsetOf(first + i), 1, first + i).good === 1;
  });
}

/** Slots from the first one, and over the end of the ring. */
const FIRSTS = [1, CAPACITY - 2];

test("logInsertSync() survives a kill at once with all before it, and no sealed record follows an unsealed one", () => {
  for (const first of FIRSTS) {
    for (const mix of mixes(4)) {
      const { simulation, wal } = logAt(first);
      let promised = first - 1;
      for (const step of mix) {
        take(wal, step);
        if (step !== "async") promised = wal.head - 1;
        const sealed = sealedIn(simulation, wal, first);
        const end = sealed.indexOf(false) < 0 ? sealed.length : sealed.indexOf(false);
        assert(first + end > promised, `${mix}: ${sealed}`);
        assert(!sealed.slice(end).includes(true), `${mix}: ${sealed}`);
      }
      const recovered = simulation.reopen({ mode: "kill" });
      assert(recovered.head > promised, `${mix}: ${recovered.head - 1} of ${promised}`);
      assertHolds(recovered, first, recovered.head - 1, `${mix}`);
    }
  }
});

test("logInsert() has its checksum when its burst is over, whether or not anything was synced", async () => {
  for (const first of FIRSTS) {
    const { simulation, wal } = logAt(first);
    for (let i = 0; i < 4; i++) take(wal, "async");
    assertEquals(sealedIn(simulation, wal, first), [false, false, false, false], "the checksums can wait");
    await null;
    assertEquals(sealedIn(simulation, wal, first), [true, true, true, true]);
    assertEquals(wal.durable, first - 1);
    assertHolds(simulation.reopen({ mode: "kill" }), first, first + 3);
  }
});

test("flush() makes durable what the same burst has appended, in any mix", () => {
  for (const first of FIRSTS) {
    for (const mix of mixes(3)) {
      const { simulation, wal } = logAt(first);
      for (const step of mix) take(wal, step);
      wal.flush();
      const last = wal.head - 1;
      assertHolds(simulation.reopen({ mode: "power", keep: "none" }), first, last, `${mix}`);
    }
  }
});

test("flushAsync() makes durable what was appended after its call, once that is acknowledged", async () => {
  const simulation = new Simulation({ asyncTicks: 20 }, { flush: "offload" });
  const wal = simulation.open();
  let acknowledged = 0;
  const appended = Array.from({ length: 50 }, async () => {
    await null;
    const lsn = wal.head;
    await wal.logInsert(1, lsn, 2, lsn);
    acknowledged = Math.max(acknowledged, lsn);
  });
  take(wal, "async");
  await wal.flushAsync();
  await Promise.all(appended);
  assertEquals([acknowledged, wal.durable], [51, 51]);
  assertHolds(simulation.reopen({ mode: "power", keep: "none" }), 1, 51);
});

/** All ways to read the records of a log from `first` on. */
const READS: Record<string, (wal: WAL, first: number) => WALRecord[]> = {
  "replay()": (wal) => wal.replay(),
  "records()": (wal, first) => [...wal.records({ from: first })],
  "cursor()": (wal, first) => {
    const records = [];
    for (const cursor = wal.cursor({ from: first }); cursor.next();) records.push(cursor.toRecord());
    return records;
  },
};

for (const [name, read] of Object.entries(READS)) {
  test(`${name} reads what the same burst has appended, in any mix`, () => {
    for (const first of FIRSTS) {
      for (const mix of mixes(3)) {
        const { wal } = logAt(first);
        for (const step of mix) {
          take(wal, step);
          const found = read(wal, first).map(({ lsn, keyLow }) => [lsn, keyLow]);
          assertEquals(found, Array.from({ length: wal.head - first }, (_, i) => [first + i, BigInt(first + i)]));
        }
        wal.close();
      }
    }
  });
}

test("cursor() and records() that began before an append read what they began with, and a new one reads all", () => {
  const { wal } = logAt(1);
  take(wal, "async");
  const cursor = wal.cursor();
  const records = wal.records();
  take(wal, "async");
  assert(cursor.next() && cursor.lsn === 1 && cursor.keyLow === 1n);
  take(wal, "async");
  assert(!cursor.next());
  assertEquals([...records].map(({ lsn }) => lsn), [1]);
  assertEquals([...wal.records()].map(({ lsn }) => lsn), [1, 2, 3]);
  wal.close();
});

test("truncate(), checkpoint() and backup() look at nothing that is not sealed", () => {
  const { simulation, wal } = logAt(1);
  take(wal, "async");
  take(wal, "async");
  wal.backup("/sim/copy");
  const checkpoint = wal.checkpoint(2);
  assertEquals([checkpoint, wal.durable], [3, 3]);
  take(wal, "async");
  wal.truncate(2);
  assertEquals(wal.replay().map(({ lsn }) => lsn), [3, 4]);
  const copy = new WAL("/sim/copy", simulation.options);
  copy.open();
  assertEquals(copy.length, 0, "nothing was durable when the backup was written");
  copy.close();
  wal.close();
});

test("replay() of a log that failed in the burst of an append reads what the log holds", () => {
  const { simulation, wal } = logAt(1);
  take(wal, "sync");
  take(wal, "async");
  simulation.disk.fail({ call: "syncMapped", errno: "EIO" });
  assertThrows(() => wal.flush(), WALSyncError);
  assertEquals(wal.replay().map(({ lsn }) => lsn), [1, 2]);
  assertThrows(() => wal.close());
});

test("stats() tells the age of a record that has no checksum yet", async () => {
  let ms = 1_700_000_000_000;
  using wal = WAL.open(null, { size: 65536, now: () => ms });
  const inserted = wal.logInsert(1, 2, 3, 4);
  ms += 50;
  assertEquals(wal.stats().oldestUnconsumedAgeMs, 50);
  await inserted;
});
