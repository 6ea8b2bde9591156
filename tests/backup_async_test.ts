// Fault: a log is copied a piece at a time while it is appended to, released, used again or closed,
//   or while it fails (H34).
// Promise: the copy holds what was retained and durable at the call and nothing else, or there is
//   no copy (G2, G5).
// Method: do each of these between two of the many pieces of a copy, open the copy and compare.
//   Crash at each of its calls.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { setTimeout } from "node:timers";
import {
  type Storage,
  WAL,
  WALClosedError,
  WALCorruptError,
  WALFullError,
  WALIOError,
  WALLockedError,
  WALNotFoundError,
  WALSyncError,
} from "../mod.ts";
import { Random, SimulatedDisk } from "../testing.ts";
import { fill, items, ListStore, lsns, openOn, PATH, range } from "./support/logs.ts";
import { withTempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const COPY = "/sim/copy";
/** A ring that is read in eight pieces. */
const LONG = { size: 2 ** 21 };
const LONG_CAPACITY = 2 ** 21 / 64 - 256;

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Does something in each turn until a promise settles, and at least so often. */
async function meanwhile(pending: Promise<unknown>, act: () => void, least: number): Promise<void> {
  let settled = false;
  const end = () => void (settled = true);
  pending.then(end, end);
  let turns = 0;
  for (; !settled; turns++) {
    act();
    await turn();
  }
  assert(turns >= least, `${turns} turns`);
}

function fillTo(wal: WAL, last: number): void {
  for (let first = wal.head; first <= last; first = wal.head) {
    wal.batchInsertSync(items(first, Math.min(1000, last - first + 1)));
  }
  wal.flush();
}

function openCopy(disk: SimulatedDisk): WAL {
  return WAL.open(COPY, { storage: disk.storage, create: false, idleHeaderDelayMs: Infinity, verify: true });
}

/** The copy holds these records, as `items()` numbers them. */
function assertCopy(disk: SimulatedDisk, first: number, last: number): void {
  using copy = openCopy(disk);
  assertEquals([copy.tail, copy.head - 1, copy.recovery.clean], [first, last, true]);
  for (const [i, { lsn, keyLow, valueLow }] of copy.replay().entries()) {
    if (lsn !== first + i || keyLow !== BigInt(lsn) || valueLow !== BigInt(lsn)) throw new Error(`LSN ${lsn} is wrong`);
  }
}

test("backupAsync() copies what backup() copies, durably, and others have their turn between the pieces", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, LONG);
  fillTo(wal, 30_000);
  wal.truncate(20_000);
  fillTo(wal, 40_000);
  fill(wal, 5);
  const backup = wal.backupAsync(COPY);
  await meanwhile(backup, () => {}, 3);
  assertEquals(await backup, { first: 20_001, last: 40_000 });
  assertEquals(disk.paths().sort(), [COPY, PATH]);
  disk.crash({ keep: "none" });
  assertCopy(disk, 20_001, 40_000);
});

test("backupAsync() of an empty log, a small one and one in memory", () =>
  withTempDir(async (directory) => {
    using wal = WAL.open(null, { size: 65536 });
    assertEquals(await wal.backupAsync(`${directory}/empty`), { first: 1, last: 0 });
    fill(wal, 7);
    wal.flush();
    assertEquals(await wal.backupAsync(`${directory}/small`), { first: 1, last: 7 });
    using copy = WAL.open(`${directory}/small`, { create: false });
    assertEquals(lsns(copy.replay()), range(1, 7));
  }));

test("backupAsync() holds what was there at the call, whatever is appended and released meanwhile", async () => {
  let full = 0;
  for (const seed of range(1, 12)) {
    const random = new Random(seed);
    const disk = new SimulatedDisk({ seed });
    using wal = openOn(disk, LONG);
    fillTo(wal, random.between(20_000, LONG_CAPACITY));
    wal.truncate(random.below(wal.durable));
    fillTo(wal, wal.tail - 1 + random.between(LONG_CAPACITY - 3000, LONG_CAPACITY));
    const [first, last] = [wal.tail, wal.durable];
    const backup = wal.backupAsync(COPY);
    await meanwhile(backup, () => {
      if (random.chance(0.8)) wal.truncate(Math.max(wal.tail - 1, wal.durable - random.below(2000)));
      try {
        for (let n = random.below(12); n > 0; n--) wal.batchInsertSync(items(wal.head, 500));
      } catch (error) {
        assertInstanceOf(error, WALFullError);
        if (/a backup has still to read/.test(error.message)) full++;
      }
      if (random.chance(0.7)) wal.flush();
    }, 3);
    assertEquals(await backup, { first, last }, `seed ${seed}`);
    assertCopy(disk, first, last);
    // It holds no slot any more.
    wal.flush();
    wal.truncate(wal.durable);
    fillTo(wal, wal.head + LONG_CAPACITY - 1);
  }
  assert(full > 0, "an append met a slot that was still to be read");
});

test("backupAsync() makes an append wait that needs a slot which the backup has yet to read, without a consumer too", async () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk, LONG);
  fillTo(wal, LONG_CAPACITY);
  const backup = wal.backupAsync(COPY);
  wal.truncate(10_000);
  assertThrows(() => wal.logInsertSync(1, 2, 3, 4), WALFullError, "a backup has still to read");
  const order: number[] = [];
  const next = wal.head;
  const waiting = range(0, 9).map(async (i) => {
    await wal.batchInsert(items(next + 1000 * i, 1000));
    order.push(i);
  });
  // For this one there is no room even when the backup is done.
  const late = assertRejects(() => wal.batchInsert(items(1, 1000)), WALFullError);
  assertEquals(wal.stats().waiting, 11);
  await Promise.all(waiting);
  assertEquals(order, range(0, 9));
  await late;
  assertEquals(await backup, { first: 1, last: LONG_CAPACITY });
  assertCopy(disk, 1, LONG_CAPACITY);
  assertEquals([wal.head, wal.stats().waiting], [LONG_CAPACITY + 10_001, 0]);
});

test("backupAsync() of a full log makes checkpoint() fail before it changes anything", async () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk, LONG);
  fillTo(wal, LONG_CAPACITY);
  const backup = wal.backupAsync(COPY);
  const positions = () => [wal.applied, wal.tail, wal.head];
  assertThrows(() => wal.checkpoint(10_000), WALFullError, "a backup has still to read");
  assertEquals(positions(), [0, 1, LONG_CAPACITY + 1]);
  wal.truncate(5000);
  assertThrows(() => wal.checkpoint(10_000), WALFullError, "a backup has still to read");
  assertEquals(positions(), [5000, 5001, LONG_CAPACITY + 1]);
  await backup;
  assertEquals(wal.checkpoint(10_000), LONG_CAPACITY + 1);
  assertEquals(positions(), [10_000, 5001, LONG_CAPACITY + 2]);
});

test("backupAsync() of a full log lets a consumer and its producers go on", async () => {
  const disk = new SimulatedDisk();
  await using wal = openOn(disk, LONG);
  fillTo(wal, LONG_CAPACITY);
  const backup = wal.backupAsync(COPY);
  const store = new ListStore();
  const stop = new AbortController();
  const consuming = wal.consumeAsync(store, { signal: stop.signal });
  for (let n = 0; n < 20; n++) await wal.batchInsert(items(wal.head, 1000));
  await wal.whenApplied();
  assertEquals(await backup, { first: 1, last: LONG_CAPACITY });
  assertCopy(disk, 1, LONG_CAPACITY);
  stop.abort();
  await consuming;
  assertEquals(store.applied.length, LONG_CAPACITY + 20_000);
});

test("backupAsync() called twice at a time makes two copies, and gives one file to one of them", async () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk, LONG);
  fillTo(wal, 20_000);
  const one = wal.backupAsync(COPY);
  await assertRejects(() => wal.backupAsync(COPY), WALLockedError);
  wal.truncate(5000);
  fillTo(wal, 22_000);
  assertEquals(await wal.backupAsync("/sim/other"), { first: 5001, last: 22_000 });
  assertEquals(await one, { first: 1, last: 20_000 });
  assertCopy(disk, 1, 20_000);
  await assertRejects(() => wal.backupAsync(COPY), WALIOError);
  await assertRejects(() => wal.backupAsync("/none/copy"), WALNotFoundError);
  await assertRejects(() => wal.backupAsync(null as never), TypeError);
  // None of them holds a slot any more.
  wal.truncate(wal.durable);
  fillTo(wal, wal.head + LONG_CAPACITY - 1);
});

test("close() during backupAsync() rejects it with WALClosedError, and leaves no file and nothing open", async () => {
  for (let turns = 0; turns < 4; turns++) {
    const disk = new SimulatedDisk();
    const wal = openOn(disk, LONG);
    fillTo(wal, 30_000);
    const rejected = assertRejects(() => wal.backupAsync(COPY), WALClosedError);
    for (let i = 0; i < turns; i++) await turn();
    wal.close();
    await rejected;
    assertEquals([disk.paths(), disk.openHandles], [[PATH], { descriptors: 0, mappings: 0, locks: 0 }]);
    await assertRejects(() => wal.backupAsync(COPY), WALClosedError);
  }
});

test("backupAsync() rejects and leaves no file when the log fails meanwhile", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { ...LONG, flush: "inline" });
  fillTo(wal, 30_000);
  const rejected = assertRejects(() => wal.backupAsync(COPY), WALSyncError);
  disk.fail({ call: "syncMapped" });
  fill(wal, 1);
  assertThrows(() => wal.flush(), WALSyncError);
  await rejected;
  assertEquals(disk.paths(), [PATH]);
  assertThrows(() => wal.close(), WALSyncError);
});

test("backupAsync() that cannot be made durable, or finds damage, rejects and leaves no file", async () => {
  const disk = new SimulatedDisk();
  {
    using wal = openOn(disk, LONG);
    fillTo(wal, 30_000);
    for (const call of ["fsyncAsync", "fsyncAsync ends"] as const) {
      disk.fail({ call });
      await assertRejects(() => wal.backupAsync(COPY), WALSyncError);
      assertEquals(disk.paths(), [PATH]);
    }
  }
  disk.damage.flipBit(PATH, 16384 + 19_999 * 64 + 50, 2);
  using wal = openOn(disk);
  assertEquals((await assertRejects(() => wal.backupAsync(COPY), WALCorruptError)).firstLsn, 20_000);
  assertEquals(disk.paths(), [PATH]);
  fill(wal, 1);
});

test("backupAsync() into a storage without writeAsync() writes all at once", async () => {
  const disk = new SimulatedDisk();
  const { open, write } = disk.storage;
  const storage: Storage = { open: open.bind(disk.storage), write: write.bind(disk.storage) };
  using wal = openOn(disk, { storage });
  fill(wal, 9);
  wal.flush();
  assertEquals(await wal.backupAsync(COPY), { first: 1, last: 9 });
  assertCopy(disk, 1, 9);
});
