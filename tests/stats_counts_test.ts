// What stats() counts since open(): records, errors, waits, releases, reads, damage.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type OperationName,
  WALClosedError,
  WALConsumingError,
  WALCorruptError,
  WALError,
  type WALErrorCode,
  WALFullError,
  WALStoreError,
  WALTooSmallError,
  WALTruncatedError,
} from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { BATCH_OPCODES, batchItem, CAPACITY, fill, ListStore, openInMemory, openOn, until } from "./support/logs.ts";
import { append, LOG, offsetOf, Simulation } from "./support/simulation.ts";
import { test } from "./support/test.ts";

const NO_RECORDS: Readonly<Record<OperationName, number>> = {
  insert: 0,
  delete: 0,
  deleteValue: 0,
  replace: 0,
  checkpoint: 0,
  operation: 0,
};

/** The codes that were counted, without the zeros. */
function counted(errors: Readonly<Record<WALErrorCode, number>>): Partial<Record<WALErrorCode, number>> {
  return Object.fromEntries(Object.entries(errors).filter(([, count]) => count > 0));
}

test("stats().records counts each way to append, by operation", async () => {
  using wal = openInMemory();
  assertEquals(wal.stats().records, NO_RECORDS);
  const [key, value] = [new Uint8Array(16), new Uint8Array(16)];
  await wal.logInsert(1, 2, 3, 4);
  wal.logInsertSync(key, value);
  await wal.logDelete(1, 2);
  wal.logDeleteSync(key);
  wal.logDeleteSync(key);
  await wal.logDeleteValue(1, 2, 3, 4);
  wal.logReplaceSync(1, 2, 3, 4);
  await wal.logOperation(32, 1, 2, 3, 4);
  wal.logOperationSync(63, key, value);
  assertEquals(wal.stats().records, {
    insert: 2,
    delete: 3,
    deleteValue: 1,
    replace: 1,
    checkpoint: 0,
    operation: 2,
  });
  wal.checkpoint(3);
  await wal.batchInsert([[1, 2, 3, 4], [key, value]]);
  wal.batchDeleteSync(new Uint8Array(5 * 16));
  wal.batchInsertSync([]);
  const mixed = BATCH_OPCODES.map((opType) => batchItem(opType, [1, 2, 3, 4]));
  wal.batchSync(mixed);
  wal.batchSync(mixed);
  wal.logDeleteSync(key);
  const { records, appended } = wal.stats();
  assertEquals(records, { insert: 6, delete: 11, deleteValue: 3, replace: 3, checkpoint: 1, operation: 6 });
  assertEquals(Object.values(records).reduce((sum, count) => sum + count), appended);
});

test("stats().records counts since open(), over laps and a resize, and no record that was refused", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, CAPACITY);
  assertThrows(() => wal.logDeleteSync(1, 2), WALFullError);
  assertThrows(() => wal.batchDeleteSync([[1, 2]]), WALFullError);
  await assertRejects(() => wal.batch([{ type: "delete", keyHigh: 1, keyLow: 2 }]), WALFullError);
  assertEquals(wal.stats().records, { ...NO_RECORDS, insert: CAPACITY });
  wal.flush();
  wal.truncate(CAPACITY);
  wal.resize(2 ** 18);
  wal.logDeleteSync(1, 2);
  assertEquals(wal.stats().records, { ...NO_RECORDS, insert: CAPACITY, delete: 1 });
  wal.close();
  wal.open();
  assertEquals([wal.stats().records, counted(wal.stats().errors), wal.stats().truncations], [NO_RECORDS, {}, 0]);
  wal.close();
});

test("stats().truncations counts releases, by whoever they are, and stats().replays the calls that read", async () => {
  using wal = openInMemory();
  fill(wal, 10);
  wal.flush();
  wal.truncate(0);
  wal.truncate(4);
  wal.truncate(4);
  assertEquals(wal.stats().truncations, 1);
  const consumer = new AbortController();
  const consuming = wal.consumeAsync(new ListStore(), { signal: consumer.signal });
  await wal.whenApplied();
  consumer.abort();
  await consuming;
  assertEquals([wal.stats().truncations, wal.stats().replays], [2, 0]);
  fill(wal, 3);
  wal.flush();
  wal.replay();
  wal.records();
  for (const cursor = wal.cursor(); cursor.next(););
  wal.encodeRun();
  wal.lsnAt(new Date());
  assertEquals(wal.stats().replays, 4);
});

test("stats().waits counts appends that waited for room, those that got it and those that were refused", async () => {
  let nowMs = 1_700_000_000_000;
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { now: () => nowMs });
  const store = new ListStore();
  let goOn = () => {};
  store.before = () => new Promise<void>((resolve) => goOn = resolve);
  const consuming = wal.consumeAsync(store);
  fill(wal, CAPACITY);
  const waiting = [wal.logInsert(1, 2, 3, 4), wal.batchInsert([[1, 2, 3, 4]])];
  assertEquals([wal.stats().waiting, wal.stats().waits.count], [2, 0]);
  nowMs += 40;
  store.before = () => {};
  await until(() => {
    goOn();
    return wal.stats().waiting === 0;
  });
  await Promise.all(waiting);
  const { count, totalMs, maxMs } = wal.stats().waits;
  assertEquals([count, totalMs, maxMs, counted(wal.stats().errors)], [2, 80, 40, {}]);
  await wal.whenApplied();
  store.before = () => Promise.reject(new Error("the store fails"));
  fill(wal, CAPACITY);
  const refused = assertRejects(() => wal.logInsert(1, 2, 3, 4), WALFullError);
  await assertRejects(() => consuming, Error, "the store fails");
  await refused;
  assertEquals([wal.stats().waits.count, counted(wal.stats().errors)], [3, { FULL: 1 }]);
  wal.close();
});

test("stats().errors counts each error of an open log by its code, once for all calls that get it", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  const found = () => counted(wal.stats().errors);
  await assertRejects(() => wal.whenApplied(wal.logInsertSync(1, 2, 3, 4)), WALClosedError);
  assertEquals(found(), { CLOSED: 1 });
  wal.flush();
  wal.truncate(1);
  assertThrows(() => wal.records({ from: 1 }), WALTruncatedError);
  assertThrows(() => wal.cursor({ from: 1 }), WALTruncatedError);
  assertEquals(found(), { CLOSED: 1, TRUNCATED: 2 });
  fill(wal, CAPACITY);
  assertThrows(() => wal.logInsertSync(1, 2, 3, 4), WALFullError);
  await assertRejects(() => wal.logInsert(1, 2, 3, 4), WALFullError);
  assertEquals(found(), { CLOSED: 1, TRUNCATED: 2, FULL: 2 });
  wal.resize(2 ** 18);
  fill(wal, CAPACITY);
  assertThrows(() => wal.resize(2 ** 16), WALTooSmallError);
  assertThrows(() => wal.backup("/missing/copy"), WALError);
  await assertRejects(() => wal.backupAsync("/missing/copy"), WALError);
  assertEquals(found(), { CLOSED: 1, TRUNCATED: 2, FULL: 2, TOO_SMALL: 1, NOT_FOUND: 2 });
  const consuming = wal.consumeAsync(new ListStore());
  await assertRejects(() => wal.consumeAsync(new ListStore()), WALConsumingError);
  assertEquals(found().CONSUMING, 1);
  disk.fail({ call: "syncMapped" });
  assertThrows(() => wal.flush(), WALError);
  assertThrows(() => wal.flush(), WALError);
  await assertRejects(() => wal.logInsert(1, 2, 3, 4), WALError);
  await assertRejects(() => consuming, WALError);
  assertEquals(found().SYNC, 1);
  assertThrows(() => wal.close(), WALError);
});

test("stats().errors counts the refusal of a store, and no error of the caller or of a store itself", async () => {
  using wal = openInMemory();
  await wal.logInsert(1, 2, 3, 4);
  const store = Object.assign(new ListStore(), { appliedLsn: () => 5 });
  await assertRejects(() => wal.consumeAsync(store), WALStoreError);
  assertEquals(counted(wal.stats().errors), { STORE: 1 });
  assertThrows(() => wal.truncate(-1), RangeError);
  const failing = new ListStore();
  failing.before = () => Promise.reject(new Error("the store fails"));
  await assertRejects(() => wal.consumeAsync(failing), Error, "the store fails");
  assertEquals(counted(wal.stats().errors), { STORE: 1 });
});

test("stats().checksumFailures counts reads that meet damage, and the damage that open() has survived", () => {
  const simulation = new Simulation({ seed: 1 });
  const wal = simulation.open({ verify: false });
  append(wal, 10);
  wal.flush();
  assertEquals(wal.stats().checksumFailures, 0);
  wal.close();
  simulation.disk.damage.flipBit(LOG, offsetOf(5) + 40, 2);
  wal.open();
  assertEquals(wal.stats().checksumFailures, 0);
  assertThrows(() => wal.replay(), WALCorruptError);
  assertThrows(() => [...wal.records()], WALCorruptError);
  const cursor = wal.cursor();
  assertThrows(() => {
    while (cursor.next()) { /* reads */ }
  }, WALCorruptError);
  assertEquals([wal.stats().checksumFailures, counted(wal.stats().errors)], [3, { CORRUPT: 3 }]);
  wal.close();
  const salvaged = simulation.open({ recovery: "salvage" });
  assert(salvaged.recovery.losses.length > 0);
  assertEquals(salvaged.stats().checksumFailures, salvaged.recovery.losses.length);
  assertEquals(counted(salvaged.stats().errors), {});
  salvaged.close();
});
