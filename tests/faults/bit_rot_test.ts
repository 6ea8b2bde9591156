// Fault: a bit turns over, or a sector is wiped, swapped, copied or shifted, in a log that is
//   closed, crashed or open (H6, H25, H33).
// Promise: damage to records that were provably acknowledged is a typed error with the LSN, and the
//   file stays as it is. Only what no record or header proves is lost, and no wrong record is ever
//   returned (G2, G5).
// Method: every single bit of a log of five groups, closed, crashed and live; every pair of its
//   sectors; salvage of what is left.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { consume, type Store, type WAL, WALCorruptError } from "../../mod.ts";
import { type DiskSnapshot, SimulatedDisk } from "../../testing.ts";
import { fill, items, lsns, openOn, PATH, range } from "../support/logs.ts";
import {
  append,
  appendBatch,
  assertHolds,
  assertRefused,
  LOG,
  offsetOf,
  RECORD_BYTES,
  Simulation,
} from "../support/simulation.ts";
import { test } from "../support/test.ts";

/** Groups of one sync each; the third is a batch. */
const GROUPS = [2, 3, 3, 2, 1];
const LAST = GROUPS.reduce((sum, count) => sum + count, 0);
/** What the records of the last group remember as durable. Nothing later remembers that group. */
const PROVED = LAST - GROUPS[GROUPS.length - 1]!;

function groupOf(lsn: number): number {
  let end = 0;
  return GROUPS.findIndex((count) => lsn <= (end += count));
}

function write(wal: WAL): void {
  GROUPS.forEach((count, group) => {
    if (group === 2) appendBatch(wal, count);
    else append(wal, count);
    wal.flush();
  });
}

/** The log, closed or crashed. */
function make(state: "closed" | "crashed"): { simulation: Simulation; before: DiskSnapshot } {
  const simulation = new Simulation({ traceLimit: 50 });
  write(simulation.open());
  if (state === "closed") {
    simulation.wal!.close();
    simulation.wal = null;
  } else simulation.crash({ keep: "none" });
  return { simulation, before: simulation.disk.snapshot() };
}

/**
 * Opens a damaged log, and checks that it is refused or says nothing wrong.
 *
 * @returns where the log ends, 0 if it was refused.
 */
function openDamaged(simulation: Simulation, where: string): number {
  const { disk } = simulation;
  const damaged = disk.image(LOG);
  try {
    const wal = simulation.open();
    assertHolds(wal, 1, wal.head - 1, where);
    const last = wal.head - 1;
    simulation.bury();
    return last;
  } catch (error) {
    if (!(error instanceof WALCorruptError)) throw error;
    const now = disk.image(LOG);
    assert(now.every((byte, i) => byte === damaged[i]), `${where}: the refused file was changed`);
    return 0;
  }
}

test("WAL refuses a closed log with any one bit of a record turned over", () => {
  const { simulation, before } = make("closed");
  for (let lsn = 1; lsn <= LAST; lsn++) {
    for (let bit = 0; bit < RECORD_BYTES * 8; bit++) {
      simulation.disk.restore(before);
      simulation.disk.damage.flipBit(LOG, offsetOf(lsn) + (bit >> 3), bit & 7);
      const error = assertThrows(() => simulation.open(), WALCorruptError);
      assertEquals([error.firstLsn, error.lastLsn, error.offset], [lsn, lsn, offsetOf(lsn)], `LSN ${lsn}, bit ${bit}`);
    }
  }
  simulation.disk.restore(before);
  simulation.disk.damage.flipBit(LOG, offsetOf(3), 0);
  assertEquals(assertRefused(simulation, "closed").losses.length, 1);
});

test("WAL refuses a long closed log with damage at either end, and hands out nothing of what is damaged in the middle", () => {
  const last = 10_000;
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { size: 2 ** 20 });
  fill(wal, last);
  wal.close();
  const before = disk.snapshot();
  const flip = (lsn: number) => disk.damage.flipBit(PATH, 16384 + (lsn - 1) * RECORD_BYTES + 33, 3);
  for (const lsn of [1, 2, 4096, 4097, 5000, 5904, 5905, last - 1, last]) {
    disk.restore(before);
    flip(lsn);
    if (lsn <= 4096 || lsn > last - 4096) {
      assertEquals(assertThrows(() => openOn(disk), WALCorruptError).firstLsn, lsn);
    } else {
      using damaged = openOn(disk);
      const read: number[] = [];
      const error = assertThrows(() => {
        for (const record of damaged.records()) read.push(record.lsn);
      }, WALCorruptError);
      assertEquals([error.firstLsn, read, read.length < lsn], [lsn, range(1, read.length), true]);
      assertEquals(lsns(damaged.records({ from: lsn + 1 })), range(lsn + 1, last));
    }
    disk.restore(before);
    flip(lsn);
    assertEquals(assertThrows(() => openOn(disk, { verify: true }), WALCorruptError).firstLsn, lsn);
  }
});

test("truncate() and checkpoint() move the tail to no record in the middle of a long log that does not verify", () => {
  const batchOf = [4501, 4510] as const;
  for (const damaged of [4503, 4510]) {
    for (const byte of [4, 5, 40]) {
      const disk = new SimulatedDisk();
      {
        using wal = openOn(disk, { size: 2 ** 20 });
        fill(wal, 4500);
        wal.batchInsertSync(items(4501, 10));
        fill(wal, 5000);
      }
      disk.damage.flipBit(PATH, 16384 + (damaged - 1) * 64 + byte, 0);
      using wal = openOn(disk);
      for (const call of [() => wal.truncate(damaged), () => wal.checkpoint(damaged)]) {
        assertEquals(assertThrows(call, WALCorruptError).firstLsn, damaged);
        assertEquals([wal.tail, wal.head], [1, 9511]);
      }
      assertEquals(wal.stats().oldestUnconsumedAgeMs >= 0, true);
      // What the caller has elsewhere may go, though it cannot be read any more.
      wal.truncate(batchOf[1] + 1);
      assertEquals(wal.tail, batchOf[1] + 2);
    }
  }
});

test("dropConsumer() drops nothing while a record that decides what is released is damaged", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  for (const name of ["behind", "ahead"]) {
    fill(wal, 4);
    await using _ = consume(wal, collector([]), { name });
    await wal.flushAsync();
    await wal.whenApplied(undefined, { name });
  }
  const consumers = () => wal.stats().consumers.map(({ name, position }) => [name, position] as const);
  const before = consumers();
  const { tail } = wal;
  const at = 16384 + (before[1]![1] - 1) * RECORD_BYTES + 40;
  disk.damage.flipBit(PATH, at, 0);
  assertThrows(() => wal.dropConsumer("behind"), WALCorruptError);
  assertEquals([consumers(), wal.tail], [before, tail]);
  disk.damage.flipBit(PATH, at, 0);
  assertEquals([wal.dropConsumer("behind"), consumers().length], [true, 1]);
  assert(wal.tail > tail);
  wal.close();
});

test("WAL loses nothing to one bit turned over in a crashed log but what no later record or header proves", () => {
  const { simulation, before } = make("crashed");
  for (let lsn = 1; lsn <= LAST; lsn++) {
    for (let bit = 0; bit < RECORD_BYTES * 8; bit++) {
      simulation.disk.restore(before);
      simulation.disk.damage.flipBit(LOG, offsetOf(lsn) + (bit >> 3), bit & 7);
      const where = `LSN ${lsn}, bit ${bit}`;
      const last = openDamaged(simulation, where);
      assertEquals(last, lsn <= PROVED ? 0 : lsn - 1, where);
    }
  }
});

test("WAL proves the last group too once the log has been idle", async () => {
  const simulation = new Simulation({}, { idleHeaderDelayMs: 0 });
  const wal = simulation.open();
  await wal.logInsert(1, 1, 2, 1);
  await wal.logInsert(1, 2, 2, 2);
  for (let i = 0; i < 1000 && wal.stats().headerSyncs < 3; i++) await new Promise((resolve) => setTimeout(resolve, 1));
  simulation.crash({ keep: "none" });
  simulation.disk.damage.flipBit(LOG, offsetOf(2) + 40, 3);
  assertEquals(assertRefused(simulation, "the last record").firstLsn, 2);
});

test("WAL notes in each group what was durable before it: the watermark moves", () => {
  const { simulation } = make("crashed");
  const view = new DataView(simulation.disk.image(LOG).buffer);
  let durable = 0;
  let lsn = 1;
  for (const count of GROUPS) {
    for (let i = 0; i < count; i++, lsn++) {
      assertEquals(lsn - view.getUint32(offsetOf(lsn) + 28, true), durable, `LSN ${lsn}`);
    }
    durable = lsn - 1;
  }
});

test("replay(), records(), cursor() and the consumer never hand out a record whose bits have turned over in a live log", async () => {
  const simulation = new Simulation({ traceLimit: 50 });
  const wal = simulation.open();
  write(wal);
  const { damage } = simulation.disk;
  for (let lsn = 1; lsn <= LAST; lsn++) {
    for (let bit = 0; bit < RECORD_BYTES * 8; bit++) {
      const at = offsetOf(lsn) + (bit >> 3);
      damage.flipBit(LOG, at, bit & 7);
      assertEquals(assertThrows(() => wal.replay(), WALCorruptError).firstLsn, lsn);
      if (bit % 16 === 0) {
        assertThrows(() => [...wal.records()], WALCorruptError);
        const cursor = wal.cursor();
        assertThrows(() => {
          while (cursor.next());
        }, WALCorruptError);
        assertEquals(cursor.lsn, lsn - 1);
        assertThrows(() => wal.backup("/sim/copy"), WALCorruptError);
      }
      if (bit % 64 === 0) {
        const seen: number[] = [];
        await assertRejects(() => wal.consumeAsync(collector(seen), { batchSize: 1 }), WALCorruptError);
        assert(seen.every((seenLsn) => seenLsn < lsn), `LSN ${lsn} was applied`);
      }
      damage.flipBit(LOG, at, bit & 7);
    }
  }
  assertHolds(wal, 1, LAST);
  wal.close();
});

function collector(seen: number[]): Store {
  const see = (lsn: number) => void seen.push(lsn);
  return {
    insert: (_kh, _kl, _vh, _vl, { lsn }) => see(lsn),
    delete: (_kh, _kl, { lsn }) => see(lsn),
    deleteValue: (_kh, _kl, _vh, _vl, { lsn }) => see(lsn),
  };
}

for (const state of ["closed", "crashed"] as const) {
  test(`WAL takes no record out of its place when sectors of a ${state} log are swapped, copied or wiped`, () => {
    const simulation = new Simulation({ traceLimit: 50 });
    const wal = simulation.open();
    for (let group = 0; group < 12; group++) {
      append(wal, 4);
      wal.flush();
    }
    if (state === "closed") wal.close();
    else simulation.crash({ keep: "none" });
    const { disk } = simulation;
    const before = disk.snapshot();
    const first = offsetOf(1) / 512;
    const SECTORS = 6;
    let refused = 0;
    for (let one = 0; one < SECTORS; one++) {
      for (let other = 0; other < SECTORS + 2; other++) {
        for (const how of ["swap", "copy", "wipe", "shift"] as const) {
          if (one === other && how !== "wipe") continue;
          disk.restore(before);
          if (how === "swap") disk.damage.swapSectors(LOG, first + one, first + other);
          else if (how === "copy") disk.damage.copySector(LOG, first + other, first + one);
          else if (how === "wipe") disk.damage.wipeSectors(LOG, first + one, 1, "both", other === 7 ? 255 : 0);
          else {
            const from = (first + one) * 512;
            disk.damage.overwrite(LOG, from + 64, disk.image(LOG).slice(from, from + 448));
          }
          const where = `${how} ${one} ${other}`;
          const last = openDamaged(simulation, where);
          if (last === 0) refused++;
          // A sector has eight records, a group four, so the last four have no witness, whoever
          // lost them.
          else {assert(
              state === "crashed" && (last >= 40 || one === SECTORS - 1 || other === SECTORS - 1),
              `${where}: ends at ${last}`,
            );}
        }
      }
    }
    assert(refused > 100, `${refused} refused`);
  });
}

test('WAL.open() with recovery: "salvage" keeps every record that can be proved, lists the rest, and keeps the damaged file', () => {
  const { simulation, before } = make("closed");
  const { disk } = simulation;
  for (let lsn = 1; lsn <= LAST; lsn++) {
    disk.restore(before);
    simulation.bury();
    disk.damage.flipBit(LOG, offsetOf(lsn) + 33, 5);
    const damaged = disk.image(LOG);
    const wal = simulation.open({ recovery: "salvage" });
    const lost = wal.recovery.losses.flatMap(({ firstLsn, lastLsn }) =>
      Array.from({ length: lastLsn - firstLsn + 1 }, (_, i) => firstLsn + i)
    );
    assert(lost.includes(lsn), `LSN ${lsn} is not listed: ${lost}`);
    // Nobody can know whether the records after it in its group belong to its batch. No record of
    // another group is given up.
    assert(lost.every((each) => groupOf(each) === groupOf(lsn)), `LSN ${lsn} is damaged, lost are ${lost}`);
    const kept = wal.replay().filter(({ valueLow }) => valueLow !== 0n).map((record) => Number(record.valueLow));
    assertEquals(kept, Array.from({ length: LAST }, (_, i) => i + 1).filter((each) => !lost.includes(each)));
    const copy = disk.image(wal.recovery.damagedFile!);
    assert(copy.every((byte, i) => byte === damaged[i]), "the damaged file was changed");
    simulation.reopen({ keep: "none" });
    assertEquals(simulation.wal!.length, LAST);
  }
});
