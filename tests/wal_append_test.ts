import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { type BatchItem, type InsertItem, OpType, type WAL } from "../mod.ts";
import { halvesToBytes } from "../src/keys.ts";
import { SimulatedDisk } from "../testing.ts";
import { settle } from "./support/commit_target.ts";
import { fill, items, lsns, openInMemory, openOn, range } from "./support/logs.ts";
import { test } from "./support/test.ts";

const MAX = 2n ** 64n - 1n;

/** What the records of a log say, without their times. */
function contents(wal: WAL) {
  return wal.replay().map(({ lsn, opType, keyHigh, keyLow, valueHigh, valueLow }) => [
    lsn,
    opType,
    keyHigh,
    keyLow,
    valueHigh,
    valueLow,
  ]);
}

test("WAL logs its own kind of record by each method, sync and async alike", async () => {
  await using wal = openInMemory();
  const mixed: BatchItem[] = [
    { type: "deleteValue", keyHigh: 1, keyLow: 2n, valueHigh: 3, valueLow: 4 },
    { type: "delete", keyHigh: 1n, keyLow: 2 },
    { type: "insert", key: halvesToBytes(5n, 6n), value: halvesToBytes(7n, 8n) },
  ];
  assertEquals(wal.logInsertSync(1, 2n, MAX, 0), 1);
  assertEquals(wal.logDeleteSync(3n, 4), 2);
  assertEquals(wal.logDeleteValueSync(5, 6, 7, Number.MAX_SAFE_INTEGER), 3);
  assertEquals(wal.logReplaceSync(MAX, 1, MAX, 2), 4);
  assertEquals(wal.logOperationSync(32, MAX, MAX, MAX, MAX), 5);
  assertEquals(wal.logOperationSync(63, 0, 0n, 0, 0n), 6);
  assertEquals(wal.batchInsertSync([[1, 1, 1, 1], [2n, 2n, 2n, 2n]]), 8);
  assertEquals(wal.batchDeleteSync([[8, 9]]), 9);
  assertEquals(wal.batchSync(mixed), 12);
  await wal.logInsert(1, 2n, MAX, 0);
  await wal.logDelete(3n, 4);
  await wal.logDeleteValue(5, 6, 7, Number.MAX_SAFE_INTEGER);
  await wal.logReplace(MAX, 1, MAX, 2);
  await wal.logOperation(32, MAX, MAX, MAX, MAX);
  await wal.logOperation(63, 0, 0n, 0, 0n);
  await wal.batchInsert([[1, 1, 1, 1], [2n, 2n, 2n, 2n]]);
  await wal.batchDelete([[8, 9]]);
  await wal.batch(mixed);
  const once = [
    [OpType.Insert, 1n, 2n, MAX, 0n],
    [OpType.Delete, 3n, 4n, 0n, 0n],
    [OpType.DeleteValue, 5n, 6n, 7n, BigInt(Number.MAX_SAFE_INTEGER)],
    [OpType.Replace, MAX, 1n, MAX, 2n],
    [32, MAX, MAX, MAX, MAX],
    [63, 0n, 0n, 0n, 0n],
    [OpType.Insert, 1n, 1n, 1n, 1n],
    [OpType.Insert, 2n, 2n, 2n, 2n],
    [OpType.Delete, 8n, 9n, 0n, 0n],
    [OpType.DeleteValue, 1n, 2n, 3n, 4n],
    [OpType.Delete, 1n, 2n, 0n, 0n],
    [OpType.Insert, 5n, 6n, 7n, 8n],
  ];
  assertEquals(contents(wal), [...once, ...once].map((fields, i) => [i + 1, ...fields]));
  assertEquals(wal.replay().every(({ version }) => version === 1), true);
});

test("logInsert() resolves when the record is durable, and not before", async () => {
  const disk = new SimulatedDisk({ asyncTicks: "manual" });
  await using wal = openOn(disk, { flush: "offload" });
  let isDone = false;
  const done = wal.logInsert(1, 2, 3, 4).then(() => isDone = true);
  while (disk.pendingAsync === 0) await null;
  for (let turn = 0; turn < 50; turn++) await null;
  assertEquals([isDone, wal.durable, wal.head], [false, 0, 2]);
  disk.finishAsync();
  await done;
  assertEquals(wal.durable, 1);
  disk.crash({ keep: "none" });
  using reopened = openOn(disk);
  assertEquals(lsns(reopened.replay()), [1]);
});

test("logInsertSync() is durable after flush(), and not before", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, 3);
  wal.flush();
  assertEquals([wal.durable, wal.head], [3, 4]);
  fill(wal, 2);
  assertEquals([wal.durable, wal.head], [3, 6]);
  disk.crash({ keep: "none" });
  using reopened = openOn(disk);
  assertEquals(lsns(reopened.replay()), [1, 2, 3]);
});

test("flushAsync() covers what was appended before the call", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { flush: "offload" });
  await wal.flushAsync();
  fill(wal, 3);
  await wal.flushAsync();
  assertEquals(wal.durable, 3);
  disk.crash({ keep: "none" });
  using reopened = openOn(disk);
  assertEquals(lsns(reopened.replay()), [1, 2, 3]);
});

test("whenDurable() waits for one record, and makes those durable that were appended without waiting", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { flush: "offload" });
  await wal.whenDurable();
  await wal.whenDurable(0);
  assertEquals(wal.stats().syncs, 0);
  fill(wal, 3);
  await wal.whenDurable(2);
  assertEquals(wal.durable, 3);
  const lsn = wal.logDeleteSync(1, 1);
  await wal.whenDurable(lsn);
  assertEquals(wal.durable, lsn);
  wal.truncate(3);
  await wal.whenDurable(1); // which is released
  fill(wal, 1);
  await wal.whenDurable(undefined);
  assertEquals([wal.durable, wal.stats().syncs], [5, 3]);
  disk.crash({ keep: "none" });
  using reopened = openOn(disk);
  assertEquals(lsns(reopened.replay()), range(1, 5));
});

test("head - 1 is the LSN of an async append right after its call, by which whenDurable() waits for it", async () => {
  await using wal = openInMemory();
  const calls: (() => Promise<unknown>)[] = [
    () => wal.logInsert(1, 1, 1, 1),
    () => wal.logDelete(1, 1),
    () => wal.logDeleteValue(1, 1, 1, 1),
    () => wal.batchInsert(items(1, 3)),
    () => wal.batchDelete([[1, 1]]),
    () => wal.batch([{ type: "delete", keyHigh: 1, keyLow: 1 }, { type: "delete", keyHigh: 2, keyLow: 1 }]),
  ];
  for (const [i, call] of calls.entries()) {
    const last = [1, 2, 3, 6, 7, 9][i]!;
    const appended = call();
    assertEquals(wal.head - 1, last);
    const durable = wal.whenDurable(last);
    assert(wal.durable < last);
    await durable;
    assert(wal.durable >= last);
    await appended;
  }
});

test("batchInsert() and batchDelete() resolve to the LSN of their last record, in LSN order with all others", async () => {
  for (const flush of ["inline", "offload"] as const) {
    await using wal = openInMemory({ flush });
    const order: unknown[] = [];
    const calls: (() => Promise<unknown>)[] = [
      () => wal.logInsert(1, 1, 1, 1),
      () => wal.batchInsert(items(2, 3)),
      () => wal.batchDelete([[5, 5]]),
      () => wal.logDelete(6, 6),
      () => wal.batchInsert(items(7, 1)),
      () => wal.whenDurable(),
    ];
    await Promise.all(calls.map((call) => call().then((lsn) => order.push(lsn))));
    assertEquals(order, [undefined, 4, 5, undefined, 7, undefined]);
    assertEquals([await wal.batchInsert([]), wal.stats().syncs], [7, 1]);
  }
});

test("logInsert() calls of one turn share a promise and resolve in LSN order", async () => {
  await using wal = openInMemory();
  const order: number[] = [];
  const promises = range(1, 5).map((i) => wal.logInsert(i, i, i, i));
  promises.forEach((promise, i) => promise.then(() => order.push(i)));
  assertStrictEquals(promises[0], promises[4]);
  await Promise.all(promises);
  assertEquals(order, [0, 1, 2, 3, 4]);
  assertEquals(wal.stats().syncs, 1);
});

test("batchInsert() is recovered whole or not at all, cut at each sector", () => {
  const disk = new SimulatedDisk({ pieceBytes: 64 });
  const wal = openOn(disk);
  fill(wal, 2);
  wal.flush();
  wal.batchInsertSync(items(3, 5));
  const before = disk.snapshot();
  for (let lost = 0; lost <= 5; lost++) {
    disk.restore(before);
    disk.crash({ keep: (_piece, index) => index !== lost });
    using reopened = openOn(disk);
    assertEquals(lsns(reopened.replay()), lost === 5 ? range(1, 7) : [1, 2], `piece ${lost} is lost`);
  }
});

test("batchInsert() takes any iterable, reads it once, and before anything is written", () => {
  using wal = openInMemory();
  let reads = 0;
  const heads: number[] = [];
  const iterable = {
    *[Symbol.iterator]() {
      reads++;
      for (const item of items(1, 3)) {
        heads.push(wal.head);
        yield item;
      }
    },
  };
  assertEquals(wal.batchInsertSync(iterable), 3);
  assertEquals([reads, heads], [1, [1, 1, 1]]);
  assertEquals(wal.batchInsertSync(new Set(items(1, 2))), 5);
});

test("batchInsert() may fill the whole ring, and go over its end", () => {
  using wal = openInMemory();
  assertEquals(wal.batchInsertSync(items(1, 768)), 768);
  wal.flush();
  wal.truncate(768);
  fill(wal, 5);
  wal.flush();
  wal.truncate(773);
  assertEquals(wal.batchInsertSync(items(774, 768)), 1541);
  assertEquals(lsns(wal.replay()), range(774, 1541));
});

test("batchInsert() of an empty batch writes nothing, resolves, and returns the newest LSN", async () => {
  await using wal = openInMemory();
  assertEquals([wal.batchInsertSync([]), wal.batchDeleteSync([])], [0, 0]);
  fill(wal, 2);
  assertEquals([wal.batchInsertSync([]), wal.batchDeleteSync(new Set())], [2, 2]);
  assertEquals([await wal.batchInsert([]), await wal.batchDelete([])], [2, 2]);
  assertEquals([wal.head, wal.durable], [3, 0]);
});

test("batchInsert() logs what a caller's array held at the call, though it changes after it", async () => {
  await using wal = openInMemory();
  const item: [number, number, number, number] = [1, 2, 3, 4];
  const batch = [item];
  const done = wal.batchInsert(batch);
  item[0] = 99;
  batch.push([5, 6, 7, 8]);
  await done;
  assertEquals(wal.replay().map(({ keyHigh }) => keyHigh), [1n]);
});

// Hybrid time.

test("WAL gives times that go up strictly, whatever the clock does, also over a restart", () => {
  const disk = new SimulatedDisk();
  const { clock } = disk;
  const steps = [
    () => clock.stall(),
    () => clock.resume(),
    () => clock.set(NaN),
    () => clock.set(5),
    () => clock.set(2e12),
  ];
  for (const step of steps) {
    using wal = openOn(disk, { shard: 7 });
    step();
    fill(wal, 40);
  }
  using wal = openOn(disk);
  const times = wal.replay().map(({ time }) => time);
  for (let i = 1; i < times.length; i++) {
    const [nanos, seq, shard] = times[i]!;
    const [nanosBefore, seqBefore] = times[i - 1]!;
    assert(nanos > nanosBefore || (nanos === nanosBefore && seq > seqBefore), `LSN ${i + 1}`);
    assertEquals(shard, 7);
  }
  assertEquals(times.length, 200);
});

test("WAL resumes its clock after a crash that took the header's time with it, and after everything was released", () => {
  const disk = new SimulatedDisk();
  disk.clock.set(9e11);
  const wal = openOn(disk);
  fill(wal, 1);
  const [nanos] = wal.replay()[0]!.time;
  wal.flush();
  disk.crash({ keep: "none" });
  disk.clock.set(1000);
  {
    using crashed = openOn(disk);
    fill(crashed, 1);
    assert(crashed.replay()[1]!.time[0] >= nanos);
    crashed.flush();
    crashed.truncate(2);
  }
  using empty = openOn(disk);
  fill(empty, 1);
  assert(empty.replay()[0]!.time[0] >= nanos);
});

test("logInsert() stores a given time as it is, and the log's clock goes on after it", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  const nanos = BigInt(disk.clock.timeMs) * 1_000_000n + 5_000_000_123n;
  wal.logInsertSync(1, 1, 1, 1, [nanos, 7, 65535]);
  wal.logDeleteSync(1, 1, [nanos, 7, 3]);
  wal.logDeleteValueSync(1, 1, 1, 1, [nanos, 2 ** 32 - 1, 0]);
  fill(wal, 1);
  assertEquals(wal.replay().map(({ time }) => [...time]), [
    [nanos, 7, 65535],
    [nanos, 7, 3],
    [nanos, 2 ** 32 - 1, 0],
    [nanos + 1n, 0, 0],
  ]);
});

test("logInsert() takes a number for a given time", () => {
  using wal = openInMemory({ now: () => 1 });
  wal.logInsertSync(1, 1, 1, 1, [5_000_000, 0, 0]);
  assertEquals(wal.replay()[0]!.time[0], 5_000_000n);
});

test("logInsert() refuses a given time before the log's last one, or far in the future, before anything is written", async () => {
  const disk = new SimulatedDisk();
  disk.clock.stall();
  await using wal = openOn(disk, { maxClockDriftMs: 1000 });
  fill(wal, 1);
  const [nanos, seq] = wal.replay()[0]!.time;
  const now = BigInt(disk.clock.timeMs) * 1_000_000n;
  const bad: [bigint, number, number][] = [[nanos - 1n, 99, 0], [nanos, seq - 1, 0], [now + 1_000_000_001n, 0, 0], [
    2n ** 64n - 1n,
    0,
    0,
  ]];
  for (const time of bad.filter(([, seq]) => seq >= 0)) {
    assertThrows(() => wal.logInsertSync(1, 1, 1, 1, time), RangeError, "time");
    let error: unknown;
    await wal.logInsert(1, 1, 1, 1, time).catch((thrown) => error = thrown);
    assert(error instanceof RangeError);
  }
  assertEquals(wal.head, 2);
  wal.logInsertSync(1, 1, 1, 1, [now + 1_000_000_000n, 0, 0]);
  assertEquals(wal.head, 3);
});

/** An item that does something when it is read. */
function acting(item: InsertItem, act: () => void): InsertItem {
  const [, keyLow] = item;
  return Object.defineProperty([...item], 1, {
    get() {
      act();
      return keyLow;
    },
  }) as unknown as InsertItem;
}

test("batchInsert() leaves nothing behind of a batch that an item of the caller's breaks off", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { size: 2 ** 18 });
  fill(wal, 1);
  const broken = acting([1, 1, 1, 1], () => {
    throw new Error("no item");
  });
  for (
    const [count, at] of [[10, 0], [10, 9], [200, 0], [200, 199], [3000, 1023], [3000, 1024], [3000, 2999]] as const
  ) {
    assertThrows(() => wal.batchInsertSync(items(2, count).with(at, broken)), Error, "no item");
    assertEquals(wal.head, 2);
  }
  // What stood after the first would be its successors if it were written.
  wal.batchInsertSync(items(2, 1));
  wal.flush();
  disk.crash({ keep: "all" });
  using reopened = openOn(disk);
  assertEquals([lsns(reopened.replay()), reopened.recovery.phantomsErased], [[1, 2], 0]);
});

test("batchInsert() logs what its item writes to the same log before the batch, which is whole", () => {
  for (const count of [3, 200]) {
    for (const at of [0, count - 1]) {
      const disk = new SimulatedDisk();
      const wal = openOn(disk);
      wal.logInsertSync(7, 7, 7, 7);
      const batch = items(100, count);
      batch[at] = acting(batch[at]!, () => {
        wal.flush();
        wal.logInsertSync(9, 9, 9, 9);
        wal.checkpoint(1);
        wal.truncate(1);
        wal.batchInsertSync(items(10, 20));
      });
      assertEquals(wal.batchInsertSync(batch), 23 + count);
      wal.flush();
      disk.crash({ keep: "none" });
      using reopened = openOn(disk);
      const keys = Array.from(reopened.records({ from: 2 }), ({ keyHigh }) => Number(keyHigh));
      assertEquals(keys, [9, 0, ...range(10, 29), ...range(100, 99 + count)], `item ${at} of ${count}`);
    }
  }
});

test("batchInsert() ends where it would have ended when an item changes its batch's length", () => {
  for (const count of [3, 100]) {
    for (
      const change of [(batch: InsertItem[]) => batch.push([1, 1, 1, 1]), (batch: InsertItem[]) => batch.length = count]
    ) {
      const disk = new SimulatedDisk();
      const wal = openOn(disk);
      const batch = items(1, count);
      batch[count - 1] = acting(batch[count - 1]!, () => change(batch));
      wal.batchInsertSync(batch);
      wal.flush();
      disk.crash({ keep: "none" });
      using reopened = openOn(disk);
      assertEquals(lsns(reopened.replay()), range(1, count));
    }
  }
});

test("batchInsert() refuses a batch when an item takes another out of it", () => {
  using wal = openInMemory();
  for (const count of [3, 100]) {
    const batch = items(1, count);
    batch[0] = acting(batch[0]!, () => batch.length = count - 1);
    assertThrows(() => wal.batchInsertSync(batch), TypeError, `item ${count - 1} is not`);
    assertEquals(wal.length, 0);
  }
});

test("batchInsert() and the batch of another log do not disturb each other when an item appends there", () => {
  using wal = openInMemory();
  using other = openInMemory();
  const batch = items(1, 100);
  batch[50] = acting(batch[50]!, () => other.batchInsertSync(items(1000, 100)));
  wal.batchInsertSync(batch);
  using expected = openInMemory();
  expected.batchInsertSync(items(1, 100));
  using otherExpected = openInMemory();
  otherExpected.batchInsertSync(items(1000, 100));
  assertEquals([contents(wal), contents(other)], [contents(expected), contents(otherExpected)]);
});

test("batchInsert() gives times that go up strictly where sequence numbers carry", () => {
  for (const room of [0, 1, 40, 98, 99, 100]) {
    using wal = openInMemory({ now: () => 5 });
    const nanos = 6_000_000n;
    wal.logInsertSync(1, 2, 3, 4, [nanos, 2 ** 32 - 1 - room, 7]);
    wal.batchInsertSync(items(1, 100));
    wal.logInsertSync(1, 2, 3, 4);
    const times = wal.replay().map(({ time }) => [time[0], time[1]]);
    const expected = Array.from(
      { length: 102 },
      (_, i) => i <= room ? [nanos, 2 ** 32 - 1 - room + i] : [nanos + 1n, i - room - 1],
    );
    assertEquals(times, expected);
  }
});

test("batchInsert() leaves nothing behind when it meets a wall clock that throws", async () => {
  const disk = new SimulatedDisk();
  let calls = -Infinity;
  const now = () => {
    if (++calls > 0) throw new Error("no clock");
    return 1000;
  };
  const wal = openOn(disk, { now });
  fill(wal, 1);
  let met = 0;
  for (let allowed = 0; allowed < 4; allowed++) {
    await settle(); // the first append of a turn asks for the time
    calls = -allowed;
    try {
      wal.batchInsertSync(items(wal.head, 200));
      break;
    } catch (error) {
      assertEquals([(error as Error).message, wal.head], ["no clock", 2]);
      met++;
    }
  }
  assert(met > 0);
  const { head } = wal;
  calls = -Infinity;
  wal.flush();
  disk.crash({ keep: "all" });
  using reopened = openOn(disk);
  assertEquals([lsns(reopened.replay()), reopened.recovery.phantomsErased], [range(1, head - 1), 0]);
});
