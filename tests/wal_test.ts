// WAL as a resource: constructed, opened, closed, opened again; its positions and figures.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { pathToFileURL } from "node:url";
import { OpType, WAL, WALClosedError, WALNotFoundError, type WALRecord } from "../mod.ts";
import { Histogram } from "../src/engine/histogram.ts";
import { SimulatedDisk } from "../testing.ts";
import { CAPACITY, fill, items, lsns, openInMemory, openOn, PATH, range } from "./support/logs.ts";
import { withTempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

test("constructor() touches nothing", () => {
  const disk = new SimulatedDisk();
  const wal = new WAL(PATH, { storage: disk.storage });
  assertEquals([wal.isOpen, wal.path, wal.size, wal.capacity, wal.head, wal.tail, wal.durable, wal.length], [
    false,
    PATH,
    0,
    0,
    1,
    1,
    0,
    0,
  ]);
  assertEquals(disk.steps, 0);
  assertThrows(() => wal.recovery, WALClosedError);
});

test("open() makes a log of 64 MiB unless told otherwise", () => {
  using wal = WAL.open(null);
  assertEquals([wal.size, wal.path], [64 * 1024 * 1024, null]);
  assertEquals(wal.capacity, (64 * 1024 * 1024 - 16384) / 64);
});

test("open() rounds the size up to 16 KiB, and an existing log keeps its own", () => {
  const disk = new SimulatedDisk();
  openOn(disk, { size: 65537 }).close();
  using wal = openOn(disk, { size: 1 << 20 });
  assertEquals([wal.size, wal.capacity], [81920, 1024]);
});

test("open() and close() twice are as once", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  const { steps } = disk;
  wal.open();
  assertEquals(disk.steps, steps);
  wal.close();
  const closed = disk.steps;
  wal.close();
  assertEquals(disk.steps, closed);
  assertEquals(disk.openHandles, { descriptors: 0, mappings: 0, locks: 0 });
});

test("open() after close() goes on where the log was", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  for (let round = 0; round < 5; round++) {
    fill(wal, 3);
    wal.close();
    assertEquals([wal.isOpen, wal.size, wal.head, wal.durable], [false, 0, 3 * round + 4, 3 * round + 3]);
    wal.open();
    assertEquals([wal.recovery.clean, wal.recovery.created, wal.recovery.records], [true, false, 3 * round + 3]);
    assertEquals(lsns(wal.replay()), range(1, 3 * round + 3));
  }
  wal.close();
});

test("open() of a log in memory starts anew after close()", () => {
  const wal = openInMemory();
  fill(wal, 5);
  wal.close();
  wal.open();
  assertEquals([wal.head, wal.length, wal.recovery.created, wal.durable], [1, 0, true, 0]);
  wal.close();
});

test("open() finds a file by its URL", () =>
  withTempDir((directory) => {
    const path = `${directory}/a log`;
    {
      using wal = WAL.open(pathToFileURL(path), { size: 65536 });
      assertEquals(wal.path, path);
      wal.logInsertSync(1, 2, 3, 4);
    }
    using wal = WAL.open(path, { create: false });
    assertEquals(wal.length, 1);
  }));

test("open() makes no file if create is false", () => {
  const disk = new SimulatedDisk();
  assertThrows(() => openOn(disk, { create: false }), WALNotFoundError);
  assertEquals(disk.paths(), []);
  openOn(disk).close();
  openOn(disk, { create: false }).close();
});

test("WAL[Symbol.dispose]() closes the log, also when its block throws", () => {
  const disk = new SimulatedDisk();
  assertThrows(() => {
    using wal = openOn(disk);
    fill(wal, 2);
    throw new RangeError("on purpose");
  }, RangeError);
  using wal = openOn(disk);
  assertEquals([wal.recovery.clean, wal.length], [true, 2]);
});

test("WAL[Symbol.asyncDispose]() makes everything durable, stops the consumer and closes", async () => {
  const disk = new SimulatedDisk();
  let consuming: Promise<void>;
  {
    await using wal = openOn(disk, { flush: "offload" });
    const applied: number[] = [];
    consuming = wal.consumeAsync(
      { applyBatch: (run: Iterable<WALRecord>) => void applied.push(...lsns(run)) } as never,
    );
    fill(wal, 4);
  }
  await consuming;
  using wal = openOn(disk);
  assertEquals([wal.recovery.clean, wal.head >= 5], [true, true]);
});

test("WAL[Symbol.asyncDispose]() of a log that was closed in its block does nothing", async () => {
  const disk = new SimulatedDisk();
  {
    await using wal = openOn(disk);
    wal.close();
  }
  assertEquals(disk.openHandles, { descriptors: 0, mappings: 0, locks: 0 });
});

test("WALClosedError is what every method that needs an open log throws or rejects with once it is closed", async () => {
  const wal = openInMemory();
  const cursor = wal.cursor();
  fill(wal, 1);
  const late = wal.cursor();
  const records = wal.records();
  wal.close();
  const calls: (() => unknown)[] = [
    () => wal.logInsertSync(1, 2, 3, 4),
    () => wal.logDeleteSync(1, 2),
    () => wal.logDeleteValueSync(1, 2, 3, 4),
    () => wal.logReplaceSync(1, 2, 3, 4),
    () => wal.logOperationSync(32, 1, 2, 3, 4),
    () => wal.batchInsertSync(items(1, 2)),
    () => wal.batchInsertSync([]),
    () => wal.batchSync([{ type: "delete", keyHigh: 1, keyLow: 2 }]),
    () => wal.batchSync([]),
    () => wal.batchDeleteSync([[1, 2]]),
    () => wal.flush(),
    () => wal.checkpoint(),
    () => wal.truncate(0),
    () => wal.replay(),
    () => wal.records(),
    () => wal.cursor(),
    () => wal.stats(),
    () => wal.backup("/sim/copy"),
    () => late.next(),
    () => records.next(),
  ];
  for (const call of calls) {
    const error = assertThrows(call, WALClosedError);
    assertEquals(error.code, "CLOSED", String(call));
  }
  assertEquals(cursor.next(), false);
  const store = { insert() {}, delete() {}, deleteValue() {} };
  const promises: (() => Promise<unknown>)[] = [
    () => wal.logInsert(1, 2, 3, 4),
    () => wal.logDelete(1, 2),
    () => wal.logDeleteValue(1, 2, 3, 4),
    () => wal.logReplace(1, 2, 3, 4),
    () => wal.logOperation(32, 1, 2, 3, 4),
    () => wal.batchInsert(items(1, 2)),
    () => wal.batchDelete([[1, 2]]),
    () => wal.batch([{ type: "delete", keyHigh: 1, keyLow: 2 }]),
    () => wal.flushAsync(),
    () => wal.whenDurable(1),
    () => wal.consumeAsync(store),
    () => wal.whenApplied(0),
    () => wal.backupAsync("/sim/copy"),
  ];
  for (const call of promises) await assertRejects(call, WALClosedError);
  // What was known stays known.
  assertEquals([wal.head, wal.tail, wal.durable, wal.length, wal.recovery.created], [2, 1, 1, 1, true]);
});

test("close() resolves appends that wait for their sync", async () => {
  const disk = new SimulatedDisk({ asyncTicks: "manual" });
  const wal = openOn(disk, { flush: "offload" });
  const first = wal.logInsert(1, 1, 1, 1);
  while (disk.pendingAsync === 0) await null;
  const second = wal.logInsert(2, 2, 2, 2);
  const flushed = wal.flushAsync();
  const durable = wal.whenDurable(1);
  wal.close();
  await Promise.all([first, second, flushed, durable]);
  disk.finishAsync();
  using reopened = openOn(disk);
  assertEquals(lsns(reopened.replay()), [1, 2]);
});

test("stats() agrees with what was done", async () => {
  const disk = new SimulatedDisk({ fileSystem: "xfs" });
  const madeMs = disk.clock.timeMs;
  await using wal = openOn(disk, { flush: "inline" });
  assertEquals(wal.stats().recordsPerSync, 0);
  await Promise.all([wal.logInsert(1, 1, 1, 1), wal.logInsert(2, 2, 2, 2)]);
  await wal.logDelete(1, 1);
  wal.logInsertSync(3, 3, 3, 3);
  wal.truncate(1);
  const { syncLatency, waits, errors, ...stats } = wal.stats();
  assertEquals([waits.count, Object.values(errors).every((count) => count === 0)], [0, true]);
  assertEquals(stats.oldestUnconsumedAgeMs > 0, true);
  assertEquals({ ...stats, oldestUnconsumedAgeMs: 0, headerSyncs: 0 }, {
    path: PATH,
    logId: wal.logId,
    origin: null,
    createdMs: madeMs,
    fileSystem: "xfs",
    durableMedium: true,
    warnings: [],
    sizeBytes: 65536,
    capacity: CAPACITY,
    length: 3,
    fillRatio: 3 / CAPACITY,
    head: 5,
    tail: 2,
    durable: 3,
    applied: 1,
    appended: 4,
    records: { insert: 3, delete: 1, deleteValue: 0, replace: 0, checkpoint: 0, operation: 0 },
    syncs: 2,
    headerSyncs: 0,
    recordsPerSync: 1.5,
    flushMode: "inline",
    waiting: 0,
    truncations: 1,
    replays: 0,
    checksumFailures: 0,
    oldestUnconsumedAgeMs: 0,
    consuming: false,
    consumer: { state: "none", attempts: 0, lastError: null, callMs: 0, skipped: 0, skippedLsns: [] },
    consumers: [],
    poisoned: false,
  });
  assertEquals([syncLatency.count, syncLatency.counts.reduce((sum, count) => sum + count)], [2, 2]);
  assert(syncLatency.totalMs >= syncLatency.maxMs);
  assertEquals(syncLatency.counts.length, syncLatency.boundsMs.length + 1);
});

test("stats() tells a medium that no sync makes durable", () => {
  using wal = openInMemory();
  assertEquals([wal.stats().durableMedium, wal.stats().fileSystem, wal.stats().path], [false, "memory", null]);
});

test("stats() gives a snapshot that stays as it is", () => {
  using wal = openInMemory();
  const before = wal.stats();
  fill(wal, 3);
  wal.flush();
  assertEquals([before.head, before.syncLatency.count], [1, 0]);
  assertEquals([wal.stats().head, wal.stats().syncLatency.count], [4, 1]);
  const { maxMs, totalMs } = wal.stats().syncLatency;
  assert(maxMs > 0 && totalMs === maxMs);
});

test("stats() copies each histogram once", () => {
  using wal = openInMemory();
  const { snapshot } = Histogram.prototype;
  let copies = 0;
  Histogram.prototype.snapshot = function () {
    copies++;
    return snapshot.call(this);
  };
  try {
    wal.stats();
  } finally {
    Histogram.prototype.snapshot = snapshot;
  }
  assertEquals(copies, 2);
});

test("oldestUnconsumedAgeMs is the age by the record's own time, never negative", async () => {
  const disk = new SimulatedDisk();
  disk.clock.stall();
  await using wal = openOn(disk);
  assertEquals(wal.stats().oldestUnconsumedAgeMs, 0);
  fill(wal, 1);
  disk.clock.advance(1500);
  await null; // the next turn looks at the clock
  fill(wal, 1);
  assertEquals(wal.stats().oldestUnconsumedAgeMs, 1500);
  wal.flush();
  wal.checkpoint(1);
  assertEquals(wal.stats().oldestUnconsumedAgeMs, 0);
  disk.clock.advance(-9000);
  assertEquals(wal.stats().oldestUnconsumedAgeMs, 0);
});

test("WAL.recovery tells of a crash what was kept and what was not", () => {
  const disk = new SimulatedDisk();
  const madeMs = disk.clock.timeMs;
  const wal = openOn(disk);
  fill(wal, 3);
  wal.flush();
  fill(wal, 40, 4);
  // LSN 4 to 8 share the first sector with LSN 1 to 3; LSN 9 to 16 have the next one, and are lost.
  disk.crash({ keep: (piece) => piece.kind === "bytes" && piece.offset !== 16384 + 512 });
  using reopened = openOn(disk);
  const { durationMs, logId, createdMs, ...report } = reopened.recovery;
  assert(durationMs >= 0);
  assertEquals([logId, createdMs], [wal.logId, madeMs]);
  assertEquals(report, {
    created: false,
    clean: false,
    origin: null,
    records: 8,
    firstLsn: 1,
    lastLsn: 8,
    tornRecords: 0,
    phantomsErased: 27,
    headerDamaged: false,
    losses: [],
    damagedFile: null,
  });
});

test("open() makes durable what it recovers: a killed process leaves records that power loss can still take", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, 100);
  disk.crash({ mode: "kill" });
  const killed = openOn(disk);
  assertEquals([killed.head, killed.durable], [101, 100]);
  disk.crash({ mode: "power", keep: "none" });
  using reopened = openOn(disk);
  assertEquals(lsns(reopened.replay()), range(1, 100));
});

test("OpType names the opcodes on disk", () => {
  assertEquals(OpType, { Insert: 1, Delete: 2, DeleteValue: 3, Checkpoint: 4, Replace: 5 });
});

test("WALClosedError is an Error with a name, a code and a message without a period", () => {
  const wal = new WAL();
  const error = assertThrows(() => wal.flush(), WALClosedError);
  assertInstanceOf(error, Error);
  assertEquals([error.name, error.code, error.message], [
    "WALClosedError",
    "CLOSED",
    "Cannot flush: the log is closed",
  ]);
});
