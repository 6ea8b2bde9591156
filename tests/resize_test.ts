// Fault: a log is resized while it is appended to, read, consumed, copied and waited for (H57).
// Promise: everything goes on with the same id, LSNs and records, or nothing has changed (G1, G2,
//   G9, G11, G13).
// Method: resize in the middle of each, larger and smaller, on a simulated disk, in memory and on a
//   real disk.

import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import process from "node:process";
import { readHeaders } from "../src/format/header.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import {
  WAL,
  WALClosedError,
  WALFileGoneError,
  WALFullError,
  WALIOError,
  type WALOptions,
  WALSyncError,
  WALTooSmallError,
} from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import {
  CAPACITY,
  fill,
  Gate,
  items,
  ListStore,
  lsns,
  openInMemory,
  openOn,
  PATH,
  range,
  until,
} from "./support/logs.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const SMALL = 65536;
const LARGE = 131072;
const LARGE_CAPACITY = LARGE / 64 - 256;

/** A log whose kept records go round the end of the ring. */
function wrapped(wal: WAL): { first: number; last: number } {
  fill(wal, 700);
  wal.flush();
  wal.truncate(500);
  fill(wal, 400);
  return { first: 501, last: 1100 };
}

function assertHolds(wal: WAL, first: number, last: number): void {
  assertEquals([wal.tail, wal.head], [first, last + 1]);
  const records = wal.replay();
  assertEquals(lsns(records), range(first, last));
  assertEquals(records.filter(({ lsn, valueLow }) => valueLow !== BigInt(lsn)), []);
}

/** Appends a record unless the ring is full. */
function appendOne(wal: WAL): void {
  try {
    fill(wal, 1);
  } catch (error) {
    assertInstanceOf(error, WALFullError);
  }
}

for (const place of ["a simulated disk", "memory", "a real disk"] as const) {
  test(`resize() grows and shrinks a log with the same id, LSNs and records, on ${place}`, () => {
    using directory = tempDir();
    const disk = new SimulatedDisk();
    const open = (options: WALOptions = {}): WAL =>
      place === "memory"
        ? openInMemory(options)
        : place === "a simulated disk"
        ? openOn(disk, options)
        : WAL.open(directory.join("log"), { size: SMALL, idleHeaderDelayMs: Infinity, ...options });
    let wal = open();
    const { logId } = wal;
    const { first, last } = wrapped(wal);
    wal.resize(LARGE - 1); // is rounded up
    assertEquals([wal.size, wal.capacity, wal.durable, wal.logId], [LARGE, LARGE_CAPACITY, last, logId]);
    assertEquals([wal.stats().sizeBytes, wal.stats().capacity], [LARGE, LARGE_CAPACITY]);
    assertHolds(wal, first, last);
    fill(wal, LARGE_CAPACITY - wal.length);
    const full = assertThrows(() => fill(wal, 1), WALFullError);
    assertEquals([full.capacity, full.tail], [LARGE_CAPACITY, first]);
    wal.flush();
    wal.truncate(wal.durable - 100);
    wal.resize(SMALL);
    assertEquals([wal.size, wal.capacity, wal.length], [SMALL, CAPACITY, 100]);
    fill(wal, CAPACITY - 100);
    assertHolds(wal, wal.head - CAPACITY, wal.head - 1);
    assertThrows(() => fill(wal, 1), WALFullError);
    const head = wal.head;
    wal.close();
    if (place === "memory") return;
    wal = open();
    assertEquals([wal.recovery.clean, wal.logId, wal.size], [true, logId, SMALL]);
    assertHolds(wal, head - CAPACITY, head - 1);
    wal.close();
    const names = place === "a real disk" ? fs.readdirSync(directory.path) : disk.paths();
    assertEquals(names.length, 1, String(names));
  });
}

test("resize() to a size that is too small says which size would do, and changes nothing", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { size: 2 * LARGE });
  fill(wal, 1100);
  const [steps, before] = [disk.steps, disk.image(PATH)];
  const error = assertThrows(() => wal.resize(SMALL), WALTooSmallError);
  assertEquals([error.code, error.bytes, error.neededBytes], ["TOO_SMALL", SMALL, 98304]);
  assertMatch(error.message, /keeps LSN 1 to 1100, which take 98304 bytes/);
  assertEquals([disk.steps, disk.image(PATH), wal.durable], [steps, before, 0]);
  assertThrows(() => wal.resize(error.neededBytes - 16384), WALTooSmallError);
  wal.resize(error.neededBytes);
  assertHolds(wal, 1, 1100);
  // A ring may be filled to its last slot.
  fill(wal, wal.capacity - wal.length);
  wal.resize(LARGE);
  assertEquals(assertThrows(() => wal.resize(81920), WALTooSmallError).neededBytes, 98304);
  wal.resize(98304);
  assertEquals(wal.length, wal.capacity);
  wal.close();
});

test("resize() to the size that the log has does nothing", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, 3);
  const { steps } = disk;
  wal.resize(SMALL);
  wal.resize(SMALL - 16383 + 16383);
  assertEquals([disk.steps, wal.durable], [steps, 0]);
  wal.close();
});

test("resize() of a log that is closed or has failed throws its error", async () => {
  assertThrows(() => new WAL(null).resize(LARGE), WALClosedError);
  const closed = openInMemory();
  closed.close();
  assertThrows(() => closed.resize(LARGE), WALClosedError);
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  disk.fail({ call: "syncMapped" });
  await assertRejects(() => wal.logInsert(1, 1, 1, 1), WALSyncError);
  assertThrows(() => wal.resize(LARGE), WALSyncError);
  assertThrows(() => wal.close(), WALSyncError);
  assertEquals(disk.image(PATH).length, SMALL);
});

test("resize() makes durable what was appended, and acknowledges all who wait for that", async () => {
  for (const flush of ["inline", "offload"] as const) {
    const disk = new SimulatedDisk({ asyncTicks: "manual" });
    const wal = openOn(disk, { flush });
    const inFlight = wal.logInsert(1, 1, 1, 1);
    if (flush === "offload") await until(() => disk.pendingAsync === 1);
    const gathering = [wal.logInsert(2, 2, 2, 2), wal.batchInsert(items(3, 5)), wal.flushAsync()];
    wal.resize(LARGE);
    assertEquals(wal.durable, 7);
    await Promise.all([inFlight, ...gathering]);
    disk.crash({ mode: "power", keep: "none" });
    const again = openOn(disk);
    assertEquals([again.head, again.size], [8, LARGE]);
    again.close();
  }
});

for (const ends of ["well", "with an error"] as const) {
  test(`resize() with syncs of records and header under way in the old file, which end ${ends}`, async () => {
    for (const what of ["records", "records that go round", "header"] as const) {
      const disk = new SimulatedDisk({ asyncTicks: "manual" });
      const wal = openOn(disk, { flush: "offload" });
      if (what === "records that go round") {
        fill(wal, CAPACITY - 1);
        wal.flush();
        wal.truncate(wal.durable - 2);
        while (wal.stats().headerSyncs < 3) {
          wal.truncate(wal.durable);
          await until(() => disk.pendingAsync > 0 || wal.stats().headerSyncs >= 3);
          if (disk.pendingAsync > 0) disk.finishAsync();
          await null;
        }
      }
      if (what === "header") {
        fill(wal, 300);
        wal.flush();
        wal.truncate(299);
      }
      const pending = what === "header" ? Promise.resolve() : wal.batchInsert(items(wal.head, 3));
      await until(() => disk.pendingAsync === 1);
      if (ends === "with an error") disk.fail({ call: "syncMappedAsync ends" });
      wal.resize(LARGE);
      await pending;
      const { head } = wal;
      // The old file's sync ends now, and says nothing of the new file.
      disk.finishAsync();
      for (let i = 0; i < 10; i++) await null;
      disk.clearFaults();
      assertEquals(wal.stats().poisoned, false, what);
      const next = wal.logInsert(head, head, head, head);
      await until(() => disk.pendingAsync === 1);
      disk.finishAsync();
      await next;
      assertEquals(wal.durable, head, what);
      wal.close();
      assertEquals(disk.openHandles, { descriptors: 0, mappings: 0, locks: 0 });
      const again = openOn(disk);
      assertEquals([again.head, again.size], [head + 1, LARGE]);
      again.close();
    }
  });
}

test("resize() lets appends in that wait for room, in their order, while the consumer's store is busy", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  const gate = new Gate();
  const store = new ListStore();
  store.before = ({ lsn }) => lsn === 1 ? gate.enter() : undefined;
  fill(wal, CAPACITY);
  const stop = new AbortController();
  const consuming = wal.consumeAsync(store, { signal: stop.signal });
  await gate.entered;
  const order: number[] = [];
  const waiting = [1, 2, 3].map((n) => wal.batchInsert(items(0, 200)).then(() => void order.push(n)));
  await null;
  assertEquals([wal.stats().waiting, wal.head], [3, CAPACITY + 1]);
  wal.resize(81920); // 256 slots more: room for one
  await waiting[0];
  assertEquals([wal.stats().waiting, order], [2, [1]]);
  wal.resize(LARGE);
  await Promise.all(waiting);
  assertEquals([wal.stats().waiting, order, wal.head], [0, [1, 2, 3], CAPACITY + 601]);
  gate.open();
  await wal.whenApplied();
  assertEquals(store.applied, range(1, CAPACITY + 600));
  stop.abort();
  await consuming;
  wal.close();
});

test("resize() that shrinks rejects a waiting batch that is larger than the ring, and lets in the next", async () => {
  const wal = openInMemory({ size: LARGE });
  const gate = new Gate();
  const store = new ListStore();
  store.before = ({ lsn }) => lsn === 1001 ? gate.enter() : undefined;
  fill(wal, 1100);
  const consuming = wal.consumeAsync(store);
  await gate.entered;
  wal.truncate(wal.stats().applied);
  const large = wal.batchInsert(items(1, LARGE_CAPACITY - 50));
  const small = wal.batchInsert(items(1101, 5));
  let tooLarge: unknown = null;
  large.catch((error) => tooLarge = error);
  wal.resize(SMALL);
  await until(() => tooLarge !== null, "the rejection");
  assertInstanceOf(tooLarge, RangeError);
  assertMatch(tooLarge.message, /the ring holds 768/);
  await small;
  assertHolds(wal, wal.tail, 1105);
  gate.open();
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals(store.applied, range(1, 1105));
});

test("resize() goes on under a consumer: each record once, in order, in runs and one by one", async () => {
  for (const kind of ["runs", "records"] as const) {
    const disk = new SimulatedDisk();
    const wal = openOn(disk);
    const list = new ListStore();
    let resizes = 0;
    const store = kind === "records" ? list : {
      async applyBatch(records: readonly { lsn: number }[]) {
        const copy = records.map(({ lsn }) => lsn);
        await null;
        // Also from within the store.
        if (copy[0]! % 3 === 0) wal.resize(++resizes % 2 === 0 ? 4 * LARGE : 5 * LARGE);
        list.applied.push(...copy);
      },
    };
    await using consumer = (() => {
      const stop = new AbortController();
      const done = wal.consumeAsync(store, { signal: stop.signal, batchSize: 50 });
      return {
        async [Symbol.asyncDispose]() {
          stop.abort();
          await done;
        },
      };
    })();
    void consumer;
    const calls: Promise<void>[] = [];
    for (let round = 0; round < 40; round++) {
      for (let i = 0; i < 97; i++) calls.push(wal.logInsert(wal.head, 1, 1, wal.head));
      if (round % 3 === 1) wal.resize([4, 6, 8][round % 4 % 3]! * LARGE);
      await calls.at(-1);
    }
    await Promise.all(calls);
    await wal.whenApplied();
    const data = list.applied.length;
    assertEquals([data, new Set(list.applied).size], [40 * 97, data]);
    assertEquals([...list.applied].sort((a, b) => a - b), list.applied);
  }
});

test("resize() goes on under a store that knows its position, over reopenings", async () => {
  const disk = new SimulatedDisk();
  const store = new MemoryStore();
  for (let round = 0; round < 6; round++) {
    await using wal = openOn(disk);
    const consuming = wal.consumeAsync(store);
    consuming.catch(() => {});
    await wal.batchInsert(items(round * 1000 + 1, 300));
    wal.resize(round % 2 === 0 ? LARGE : SMALL + 16384);
    await wal.batchInsert(items(round * 1000 + 501, 300));
    await wal.whenApplied();
    assertEquals(store.size, (round + 1) * 600);
  }
});

for (const [from, to] of [[SMALL, LARGE], [LARGE, SMALL], [SMALL, 81920]] as const) {
  test(`cursor() and records() go on over a resize from ${from} to ${to} bytes`, async () => {
    const wal = openInMemory({ size: from });
    const { first, last } = wrapped(wal);
    for (const at of [0, 1, 2, 199, 200, 267, 268, 269, last - first, last - first + 1]) {
      for (const awaits of [false, true]) {
        wal.resize(from);
        const cursor = wal.cursor();
        const seen: number[] = [];
        const records = wal.records();
        const read: number[] = [];
        for (let i = 0; i <= last - first; i++) {
          if (i === at) {
            wal.resize(to);
            if (awaits) await null;
            else if (i > 0) assertEquals([cursor.lsn, cursor.valueLow], [seen.at(-1)!, BigInt(seen.at(-1)!)]);
          }
          assert(cursor.next());
          assertEquals(BigInt(cursor.lsn), cursor.valueLow);
          assertEquals(cursor.toRecord().lsn, cursor.lsn);
          seen.push(cursor.lsn);
          read.push(records.next().value!.lsn);
        }
        if (at > last - first) wal.resize(to);
        assertEquals([cursor.next(), records.next().done], [false, true]);
        assertEquals([seen, read], [range(first, last), range(first, last)]);
      }
    }
    wal.close();
  });
}

test("backupAsync() goes on over resizes, with the records that were released meanwhile", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { size: 2 ** 21 });
  const count = wal.capacity;
  for (let first = 1; first <= count; first += 1000) fill(wal, Math.min(1000, count - first + 1), first);
  wal.flush();
  const copying = wal.backupAsync("/sim/copy");
  let copied = false;
  const end = () => void (copied = true);
  copying.then(end, end);
  wal.truncate(wal.durable); // nothing is kept but for the copy
  const sizes = [2 ** 22, 2 ** 21, 3 * 2 ** 20];
  for (let turn = 0; !copied; turn++) {
    if (turn > 0 && turn % 2 === 0) wal.resize(sizes[turn / 2 % 3]!);
    appendOne(wal);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assertEquals(await copying, { first: 1, last: count });
  wal.close();
  const copy = openOn(disk, { verify: true }, "/sim/copy");
  assertEquals([copy.size, copy.recovery.clean], [2 ** 21, true]);
  assertHolds(copy, 1, count);
  copy.close();
});

test("resize() that is too small for what a backup has still to read counts those records", async () => {
  const wal = openOn(new SimulatedDisk(), { size: 2 ** 21 });
  for (let i = 0; i < 20; i++) fill(wal, 1000);
  wal.flush();
  const copying = wal.backupAsync("/sim/copy");
  wal.truncate(wal.durable);
  const error = assertThrows(() => wal.resize(SMALL), WALTooSmallError);
  assertMatch(error.message, /keeps LSN 1 to 20000/);
  await copying;
  wal.resize(SMALL);
  assertEquals(wal.length, 0);
  wal.close();
});

test("resize() keeps what the header says of the log: when it was made, its origin, its fork, its time", () => {
  const disk = new SimulatedDisk();
  const first = openOn(disk, {}, "/sim/first");
  fill(first, 10);
  first.flush();
  first.backup(PATH);
  first.close();
  const wal = openOn(disk);
  fill(wal, 5);
  wal.checkpoint(9);
  const header = () => readHeaders(disk.image(PATH)).newest!;
  const before = header();
  const { origin } = wal.recovery;
  wal.resize(LARGE);
  const after = header();
  const { capacity, writeCounter, durable, ...rest } = after;
  assertEquals([capacity, durable], [LARGE_CAPACITY, wal.durable]);
  assert(writeCounter > before.writeCounter);
  assertEquals([rest.logId, rest.created, rest.lineage], [before.logId, before.created, before.lineage]);
  assertEquals([rest.checkpoint, rest.tail, rest.cleanHead, rest.openerPid], [9, 1, 0, process.pid]);
  const [nanos, seq] = wal.replay().at(-1)!.time;
  assertEquals([rest.timeNanos, rest.timeSeq], [nanos, seq]);
  assertEquals(readHeaders(disk.image(PATH)).copies.map((copy) => typeof copy), ["object", "object"]);
  wal.close();
  const again = openOn(disk);
  assertEquals(again.recovery.origin, origin);
  again.close();
});

test("stats() warns of the option size until a resize, and at the next open() of the real size", () => {
  const disk = new SimulatedDisk();
  openOn(disk).close();
  const about = (wal: WAL) => wal.stats().warnings.filter((warning) => warning.includes("option size"));
  const wal = openOn(disk, { size: LARGE });
  assertMatch(about(wal)[0]!, /has 65536 bytes, not the 131072 of the option size/);
  wal.resize(LARGE);
  assertEquals(about(wal), []);
  wal.resize(2 * LARGE);
  assertEquals(about(wal), []);
  wal.close();
  wal.open();
  assertMatch(about(wal)[0]!, /has 262144 bytes, not the 131072 of the option size/);
  wal.close();
});

test("resize() refuses a file with a second name, replaces the file behind a symbolic link, and notices another file", () => {
  using directory = tempDir();
  const path = directory.join("log");
  WAL.open(path, { size: SMALL }).close();
  fs.symlinkSync(path, directory.join("link"));
  const wal = WAL.open(directory.join("link"));
  fill(wal, 5);
  fs.linkSync(path, directory.join("second"));
  const error = assertThrows(() => wal.resize(LARGE), WALIOError);
  assertEquals([error.errno, wal.size], ["EMLINK", SMALL]);
  assertMatch(error.message, /has 2 names/);
  fs.rmSync(directory.join("second"));
  wal.resize(LARGE);
  assertEquals(fs.lstatSync(directory.join("link")).isSymbolicLink(), true);
  assertEquals([fs.statSync(path).size, fs.readdirSync(directory.path).sort()], [LARGE, ["link", "log"]]);
  assertHolds(wal, 1, 5);
  fs.renameSync(path, directory.join("moved"));
  fs.writeFileSync(path, "another");
  assertThrows(() => wal.resize(SMALL), WALFileGoneError);
  assertEquals(fs.readFileSync(path, "utf8"), "another");
  assertThrows(() => wal.logInsertSync(1, 1, 1, 1), WALFileGoneError);
  wal.close();
  assertEquals(fs.readdirSync(directory.path).sort(), ["link", "log", "moved"]);
});

test("resize() a hundred times leaves no descriptor, no mapping and no lock", () => {
  using directory = tempDir();
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  const real = WAL.open(directory.join("log"), { size: SMALL });
  const before = disk.openHandles;
  const mapped = () =>
    process.platform !== "linux" ? 0 : fs.readFileSync("/proc/self/maps", "utf8").split(directory.path).length - 1;
  const maps = mapped();
  for (let i = 0; i < 100; i++) {
    for (const log of [wal, real]) {
      fill(log, 3);
      log.resize(i % 2 === 0 ? LARGE : SMALL);
      log.truncate(log.durable - 10 < 1 ? 0 : log.durable - 10);
    }
  }
  assertEquals([disk.openHandles, mapped()], [before, maps]);
  for (const log of [wal, real]) assertHolds(log, 291, 300);
  real.close();
  wal.close();
  assertEquals(disk.openHandles, { descriptors: 0, mappings: 0, locks: 0 });
});

test("resize() may be called by the caller's own clock and items, in the middle of an append", async () => {
  const disk = new SimulatedDisk();
  let resizes = 0;
  let wal: WAL | null = null;
  const resize = () => {
    if (wal !== null && wal.isOpen) wal.resize(++resizes % 2 === 0 ? SMALL : LARGE);
    return 5000 + resizes;
  };
  wal = openOn(disk, { now: resize });
  fill(wal, 3);
  await wal.logInsert(4, 4, 4, 4);
  const getter = {
    get 0() {
      resize();
      return 5;
    },
    1: 5,
    2: 5,
    3: 5,
    length: 4,
  };
  await wal.batchInsert((function* () {
    yield [...Array.from(getter)] as [number, number, number, number];
    resize();
    yield [6, 6, 6, 6] as const;
  })());
  assert(resizes > 3, `${resizes} resizes`);
  assertHolds(wal, 1, 6);
  const stopped = wal;
  wal = null;
  stopped.close();
});

test("resize() to a size that memory or the runtime cannot have is a typed error, and the log goes on", () => {
  const wal = openInMemory();
  fill(wal, 3);
  const error = assertThrows(() => wal.resize(2 ** 52));
  assertInstanceOf(error, Error);
  assertEquals((error as { code?: string }).code, "NO_SPACE", String(error));
  fill(wal, 2);
  assertHolds(wal, 1, 5);
  wal.close();
});

test("resize() gives the new file mode 0600, as a new log has it", () => {
  using directory = tempDir();
  const path = directory.join("log");
  using wal = WAL.open(path, { size: SMALL });
  fs.chmodSync(path, 0o644);
  wal.resize(LARGE);
  assertEquals(fs.statSync(path).mode & 0o777, 0o600);
});
