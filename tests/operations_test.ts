// Replaces and records of the application, from the call to the store. A record that a store cannot
// apply is never skipped (H58).

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  type ApplicableStore,
  type ApplicationOpType,
  consume,
  type ConsumeOptions,
  OpType,
  type Store,
  type WAL,
  WALOperationError,
  type WALRecord,
} from "../mod.ts";
import { isApplicationOpcode, isOpcode, operationOf, OPERATIONS } from "../src/format/operations.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { SQLiteStore } from "../src/stores/sqlite.ts";
import { SimulatedDisk } from "../testing.ts";
import { fill, lsns, openInMemory, openOn, range } from "./support/logs.ts";
import { test } from "./support/test.ts";

const SPLIT: ApplicationOpType = 40;

test("operationOf() knows the log's own opcodes and the application's, and none between or after them", () => {
  assertEquals(range(0, 80).filter(isOpcode), [...range(1, 5), ...range(32, 63)]);
  assertEquals(range(0, 80).filter(isApplicationOpcode), range(32, 63));
  assertEquals([32.5, NaN, Infinity, -1, 1.5].filter(isOpcode), []);
  for (const { opType, name } of OPERATIONS) assertEquals(operationOf(opType)?.name, name);
});

test("logOperation() and logReplace() are read as they were written, in the log and after a crash", async () => {
  const disk = new SimulatedDisk();
  {
    const wal = openOn(disk);
    await wal.logReplace(1n, 2n, 3n, 4n);
    await wal.logOperation(SPLIT, 2n ** 64n - 1n, 6n, 7n, 2n ** 63n);
    disk.crash({ mode: "power", keep: "none" });
  }
  using wal = openOn(disk);
  assertEquals([wal.recovery.lastLsn, wal.applied], [2, 0]);
  const cursor = wal.cursor();
  const read = [wal.replay(), [...wal.records()], [cursor, cursor].map((at) => at.next() && at.toRecord())];
  for (const records of read as WALRecord[][]) {
    assertEquals(
      records.map(({ opType, keyHigh, keyLow, valueHigh, valueLow }) => [opType, keyHigh, keyLow, valueHigh, valueLow]),
      [
        [OpType.Replace, 1n, 2n, 3n, 4n],
        [SPLIT, 2n ** 64n - 1n, 6n, 7n, 2n ** 63n],
      ],
    );
  }
});

// Fault: a log has records that its store cannot apply: replaces, or operations of the application
//   (H58).
// Promise: the consumer ends with a typed error. Nothing from the record on is applied or released,
//   and a store that can apply it gets the record later (G11).
// Method: stores that lack a method, with the record at the start, within and at the end.

/** Appends five inserts, one of them replaced by a record that needs the method. */
function log(wal: WAL, at: number, method: "replace" | "apply"): void {
  fill(wal, at - 1);
  if (method === "replace") wal.logReplaceSync(1, 2, 3, 4);
  else wal.logOperationSync(SPLIT, 1, 2, 3, 4);
  fill(wal, 5 - at);
  wal.flush();
}

/** Rejects with what refuses a record. Resolves if the store is given all of them. */
async function refused(wal: WAL, store: ApplicableStore, options: ConsumeOptions = {}): Promise<void> {
  await Promise.race([wal.consumeAsync(store, options), wal.whenApplied()]);
}

for (const method of ["replace", "apply"] as const) {
  test(`consumeAsync() ends with WALOperationError at a record for ${method}(), which the store lacks`, async () => {
    for (let at = 1; at <= 5; at++) {
      await using wal = openInMemory();
      log(wal, at, method);
      const applied: number[] = [];
      const take = (...given: unknown[]) => void applied.push((given.at(-1) as WALRecord).lsn);
      const store = { insert: take, delete: take, deleteValue: take, sync() {} };
      const asked: unknown[] = [];
      const onError = (error: unknown) => {
        asked.push(error);
        return asked.length < 3 ? "retry" as const : "stop" as const;
      };
      const consuming = wal.consumeAsync(store, { onError });
      consuming.catch(() => {});
      const error = await assertRejects(() => wal.whenApplied(), WALOperationError, `${method}() nor applyBatch()`);
      assertStrictEquals(await assertRejects(() => consuming), error);
      assertEquals([error.code, error.lsn, error.opType], [
        "OPERATION",
        at,
        method === "replace" ? OpType.Replace : SPLIT,
      ]);
      assertEquals([applied, asked], [range(1, at - 1), []]);
      assertEquals([wal.tail, wal.applied, wal.stats().consumer.state], [1, at - 1, "failed"]);
      assertStrictEquals(wal.stats().consumer.lastError, error);
      // Again, and nothing is skipped by asking twice.
      await assertRejects(() => refused(wal, store), WALOperationError);
      assertEquals([wal.tail, lsns(wal.replay())], [1, range(1, 5)]);
      // A store that can do it goes on from there.
      applied.length = 0;
      const consumption = consume(wal, { ...store, replace: take, apply: take });
      await wal.whenApplied();
      await consumption.stop();
      assertEquals(applied.slice(at - 6), range(at, 5));
      assertEquals(wal.applied >= 5, true);
    }
  });
}

test("consumeAsync() hands applyBatch() all records, and calls no other method then", async () => {
  await using wal = openInMemory();
  log(wal, 3, "apply");
  wal.logReplaceSync(1, 2, 3, 4);
  const types: number[] = [];
  const never = () => {
    throw new Error("called");
  };
  const store: Store = {
    replace: never,
    apply: never,
    applyBatch: (records) => void types.push(...records.map(({ opType }) => opType)),
  };
  const consuming = wal.consumeAsync(store);
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals(types, [1, 1, SPLIT, 1, 1, 5]);
});

for (
  const [name, make] of [["MemoryStore", () => new MemoryStore()], [
    "SQLiteStore",
    () => new SQLiteStore(":memory:"),
  ]] as const
) {
  test(`${name} applies replaces, and refuses a record of the application without skipping it`, async () => {
    await using wal = openInMemory();
    const store = make();
    wal.batchInsertSync([[1, 2, 3, 4], [1, 2, 3, 5], [9, 9, 9, 9]]);
    wal.logReplaceSync(1, 2, 3, 5);
    wal.logReplaceSync(7, 7, 7, 7);
    const first = consume(wal, store);
    await wal.whenApplied();
    await first.stop();
    const contents = () => [...store.entries()].sort(([a], [b]) => Number(a - b));
    const expected = [[1n, 2n, 3n, 5n], [7n, 7n, 7n, 7n], [9n, 9n, 9n, 9n]];
    assertEquals([contents(), store.keyCount], [expected, 3]);
    const before = wal.tail;
    fill(wal, 3);
    wal.logOperationSync(SPLIT, 1, 2, 3, 4);
    wal.logDeleteSync(1, 2);
    const last = wal.head - 1;
    const onError = () => "retry" as const;
    for (const batchSize of [1, 1024]) {
      const error = await assertRejects(() => refused(wal, store, { batchSize, onError }), WALOperationError);
      assertEquals(error.lsn, last - 1);
      assertEquals(store.appliedLsn() < last - 1 && wal.applied < last - 1, true);
    }
    assertEquals(wal.tail <= last - 1 && wal.tail >= before, true);
    assertEquals(wal.replay().at(-2)?.opType, SPLIT);
    assertEquals(store.has(1n, 2n, 3n, 5n), true, "the delete after it was not applied");
    if (store instanceof SQLiteStore) store.close();
  });
}
