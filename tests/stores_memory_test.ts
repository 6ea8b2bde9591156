import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Pair } from "../src/stores/pair.ts";
import { PairTable } from "../src/stores/pair_table.ts";
import { WALOperationError } from "../src/errors.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { StoreModel } from "../src/testing/store_model.ts";
import { OpType, type WALRecordFields } from "../src/types.ts";
import { applySingly, assertSame } from "./support/store_check.ts";
import { makeInserts, makeRecord, makeRecords, MAX, operations, sorted } from "./support/store_records.ts";
import { test } from "./support/test.ts";

test("MemoryStore holds what a plain map holds after any operations, in runs or one by one", () => {
  fc.assert(fc.property(operations, fc.integer({ min: 1, max: 50 }), (all, runLength) => {
    const model = new StoreModel();
    const inRuns = new MemoryStore();
    const singly = new MemoryStore();
    const records = makeRecords(all);
    for (let i = 0; i < records.length; i += runLength) inRuns.applyBatch(records.slice(i, i + runLength));
    for (const record of records) {
      applySingly(singly, record);
      model.apply(record);
    }
    assertSame(inRuns, model);
    assertSame(singly, model);
    assertEquals(inRuns.appliedLsn(), records.length);
  }));
});

test("MemoryStore skips records that it has, also where they begin a run", () => {
  fc.assert(fc.property(operations, fc.nat(), fc.nat(), (all, a, b) => {
    const records = makeRecords(all);
    const [again, end] = [a % (all.length + 1), b % (all.length + 1)].sort((x, y) => x - y);
    const store = new MemoryStore();
    store.applyBatch(records.slice(0, end));
    for (const record of records.slice(again, end)) applySingly(store, record);
    store.applyBatch(records.slice(again));
    const model = new StoreModel();
    for (const record of records) model.apply(record);
    assertSame(store, model);
  }));
});

test("MemoryStore.applyBatch() applies nothing of a run that it cannot apply", () => {
  const good = makeInserts(5, 11);
  const bad: [string, WALRecordFields, (typeof RangeError | typeof WALOperationError)?][] = [
    ["an unknown type", makeRecord(16, 9 as OpType)],
    ["a type before the application's", makeRecord(16, 31 as OpType)],
    ["no type", makeRecord(16, 32.5 as OpType)],
    ["a record of the application", makeRecord(16, 32), WALOperationError],
    ["an LSN again", makeRecord(15, OpType.Insert)],
    ["an LSN before", makeRecord(3, OpType.Insert)],
    ["a fractional LSN", { ...makeRecord(16, OpType.Insert), lsn: 15.5 }],
  ];
  for (const [name, record, errorClass = RangeError] of bad) {
    const store = new MemoryStore();
    store.applyBatch(makeInserts(2));
    assertThrows(() => store.applyBatch([...good, record]), errorClass, undefined, name);
    assertEquals([store.size, store.appliedLsn()], [2, 2], name);
    store.applyBatch(good);
    assertEquals([store.size, store.appliedLsn()], [7, 15], name);
  }
});

test("MemoryStore.insert() and its like refuse halves outside 0 to 2^64 - 1", () => {
  const store = new MemoryStore();
  for (const half of [-1n, MAX + 1n, 2n ** 128n]) {
    assertThrows(() => store.insert(half, 0n, 0n, 0n), RangeError, "keyHigh");
    assertThrows(() => store.insert(0n, 0n, 0n, half), RangeError, "valueLow");
    assertThrows(() => store.delete(0n, half), RangeError, "keyLow");
    assertThrows(() => store.deleteValue(0n, 0n, half, 0n), RangeError, "valueHigh");
    assertThrows(() => store.replace(0n, 0n, 0n, half), RangeError, "valueLow");
    assertThrows(() => store.has(half, 0n), RangeError, "keyHigh");
    assertThrows(() => store.values(0n, half), RangeError, "keyLow");
  }
  assertThrows(() => store.insert(1 as unknown as bigint, 0n, 0n, 0n), TypeError, "keyHigh");
  assertThrows(() => store.insert(2n ** 64n, 0n, 0n, 0n), RangeError, "two halves of 64 bits");
  assertThrows(() => store.has("bafy" as unknown as bigint, 0n), TypeError, "two halves of 64 bits");
  assertEquals(store.size, 0);
});

test("MemoryStore.appliedLsn() is 0, or what the constructor was given, until a record is applied", () => {
  assertEquals(new MemoryStore().appliedLsn(), 0);
  const store = new MemoryStore(41);
  store.applyBatch(makeInserts(42));
  assertEquals([store.appliedLsn(), store.size], [42, 1]);
  store.insert(1n, 1n, 1n, 1n);
  assertEquals(store.appliedLsn(), 42, "an insert by hand has no LSN");
  store.applyBatch([makeRecord(43, OpType.Checkpoint)]);
  assertEquals(store.appliedLsn(), 43, "a checkpoint has one");
  for (const lsn of [-1, 0.5, NaN, Infinity]) assertThrows(() => new MemoryStore(lsn), RangeError);
  assertThrows(() => new MemoryStore("1" as unknown as number), TypeError);
});

// Fault: two logs are consumed into one store, and the second log's LSNs look like those that the
//   store has (H38).
// Promise: the store refuses a run that it would skip, and stays as it is.
test("MemoryStore.applyBatch() refuses a run of another log that starts at or below its LSN", () => {
  const [a, b] = ["a1".repeat(16), "b2".repeat(16)];
  const store = new MemoryStore();
  store.applyBatch(makeInserts(5), { logId: a!, firstLsn: 1, lastLsn: 5 });
  for (const records of [makeInserts(1), makeInserts(5), makeInserts(9), makeInserts(4, 5)]) {
    const run = { logId: b!, firstLsn: records[0]!.lsn, lastLsn: records.at(-1)!.lsn };
    const error = assertThrows(() => store.applyBatch(records, run), RangeError, b);
    assertStringIncludes(error.message, `LSN 5 of log ${a}`);
    assertEquals([store.appliedLsn(), store.appliedLog(), store.size], [5, a, 5]);
  }
  store.applyBatch(makeInserts(4, 6), { logId: b!, firstLsn: 6, lastLsn: 9 });
  assertEquals([store.appliedLsn(), store.appliedLog(), store.size], [9, b, 9]);
});

test("MemoryStore.appliedLog() is the log of the last run that changed it", () => {
  const [a, b] = ["a1".repeat(16), "b2".repeat(16)];
  const store = new MemoryStore();
  assertEquals(store.appliedLog(), null);
  store.applyBatch(makeInserts(5), { logId: a!, firstLsn: 1, lastLsn: 5 });
  store.applyBatch(makeInserts(3, 6), { logId: b!, firstLsn: 6, lastLsn: 8 });
  store.applyBatch(makeInserts(3, 6), { logId: b!, firstLsn: 6, lastLsn: 8 }); // it has them
  store.applyBatch(makeInserts(1, 9));
  assertEquals([store.appliedLsn(), store.appliedLog()], [9, b]);
  assertEquals(new MemoryStore(7, a).appliedLog(), a);
  assertThrows(() => new MemoryStore(7, 5 as unknown as string), TypeError, "appliedLog");
});

test("MemoryStore.clear() makes it a new store", () => {
  const store = new MemoryStore();
  store.applyBatch(makeInserts(5000), { logId: "a1".repeat(16), firstLsn: 1, lastLsn: 5000 });
  store.clear();
  assertEquals([store.size, store.keyCount, store.appliedLsn(), [...store]], [0, 0, 0, []]);
  assertEquals(store.appliedLog(), null);
  store.applyBatch(makeInserts(10));
  assertEquals([store.size, store.appliedLsn()], [10, 10]);
});

test("MemoryStore keeps a key with very many values as fast as many keys", () => {
  const store = new MemoryStore();
  const count = 100_000;
  for (let i = 0; i < count; i++) store.insert(7n, 7n, 0n, BigInt(i));
  assertEquals([store.size, store.keyCount, store.values(7n, 7n).length], [count, 1, count]);
  // Leaders go first, so that each hands over to the next.
  for (let i = 0; i < count - 1; i++) store.deleteValue(7n, 7n, 0n, BigInt(i));
  assertEquals([...store], [[7n, 7n, 0n, BigInt(count - 1)]]);
  for (let i = 0; i < count; i++) store.insert(7n, 7n, 1n, BigInt(i));
  store.delete(7n, 7n);
  assertEquals([store.size, store.keyCount, store.has(7n, 7n)], [0, 0, false]);
});

test("PairTable uses the room of removed pairs again", () => {
  const table = new PairTable();
  const pair = new Pair();
  table.reserve(1000);
  for (let round = 0n; round < 50n; round++) {
    for (let i = 0n; i < 1000n; i++) table.insert(pair.set(round, i, i, i));
    assertEquals(table.size, 1000);
    for (let i = 0n; i < 1000n; i++) {
      if (i % 2n === 0n) table.delete(pair.setKey(round, i));
      else table.deleteValue(pair.set(round, i, i, i));
    }
    assertEquals([table.size, table.keyCount], [0, 0]);
  }
});

test("PairTable.reserve() leaves everything as it was where there is no memory", () => {
  const table = new PairTable();
  const pair = new Pair();
  table.insert(pair.set(1n, 2n, 3n, 4n));
  assertThrows(() => table.reserve(2 ** 40), RangeError);
  table.insert(pair.set(1n, 2n, 3n, 5n));
  assertEquals(sorted(table.entries()), [[1n, 2n, 3n, 4n], [1n, 2n, 3n, 5n]]);
});
