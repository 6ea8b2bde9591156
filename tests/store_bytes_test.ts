// Fault: a store takes the bytes of a record at another place, or in another order (H51).
// Promise: a store has the same pairs of bytes and of halves, and makes no bigint to apply them.
// Method: count every way to a bigint. Compare runs of a log with runs of plain objects.

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { OpType, type WALRecord, type WALRecordFields } from "../mod.ts";
import { StoredRecord } from "../src/read/stored_record.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { SQLiteStore } from "../src/stores/sqlite.ts";
import { StoreModel } from "../src/testing/store_model.ts";
import { openInMemory } from "./support/logs.ts";
import { assertSame } from "./support/store_check.ts";
import { makeRecords, operations, sorted } from "./support/store_records.ts";
import { test } from "./support/test.ts";

const RUN = { logId: "a1".repeat(16), firstLsn: 1, lastLsn: 300 };

/** Each store, new and empty. */
const STORES: readonly (readonly [string, () => SQLiteStore | MemoryStore])[] = [
  ["SQLiteStore", () => new SQLiteStore(":memory:")],
  ["MemoryStore", () => new MemoryStore()],
];

/** Records as a log hands them out: many inserts, among them other operations. */
function logged(): readonly WALRecord[] {
  using wal = openInMemory();
  wal.batchInsertSync(Array.from({ length: 200 }, (_, i) => [i, 2 ** 40 + i, 1, i] as const));
  wal.logDeleteSync(3, 2 ** 40 + 3);
  wal.logDeleteValueSync(4, 2 ** 40 + 4, 1, 4);
  wal.logDeleteValueSync(5, 2 ** 40 + 5, 9, 9);
  wal.logReplaceSync(6, 2 ** 40 + 6, 9, 9);
  wal.logReplaceSync(9, 9, 9, 9);
  wal.batchInsertSync([[7, 2 ** 40 + 7, 2, 2], [7, 2 ** 40 + 7, 2, 2], [2n ** 64n - 1n, 0, 0, 2n ** 63n]]);
  wal.flush();
  wal.checkpoint(3);
  return wal.replay();
}

/** Runs a function while every way to a bigint counts its calls. */
function countBigints(body: () => void): number {
  let made = 0;
  const restored: (() => void)[] = [];
  const count = (owner: object, name: string, kind: "get" | "value") => {
    const before = Object.getOwnPropertyDescriptor(owner, name)!;
    const original = before[kind] as (...given: unknown[]) => unknown;
    Object.defineProperty(owner, name, {
      ...before,
      [kind](this: unknown, ...given: unknown[]) {
        made++;
        return Reflect.apply(original, this, given);
      },
    });
    restored.push(() => Object.defineProperty(owner, name, before));
  };
  for (const name of ["keyHigh", "keyLow", "valueHigh", "valueLow", "time"]) count(StoredRecord.prototype, name, "get");
  for (const name of ["getBigUint64", "getBigInt64", "setBigUint64", "setBigInt64"]) {
    count(DataView.prototype, name, "value");
  }
  count(globalThis, "BigInt", "value");
  try {
    body();
  } finally {
    for (const restore of restored) restore();
  }
  return made;
}

for (const [name, make] of STORES) {
  test(`${name}.applyBatch() makes no bigint of records that come from a log`, () => {
    const records = logged();
    const store = make();
    assertEquals(countBigints(() => store.applyBatch(records, RUN)), 0);
    assertEquals(countBigints(() => void records[0]!.keyHigh), 1, "they are counted");
    const model = new StoreModel();
    for (const record of records) model.apply(record);
    assertSame(store, model);
    if (store instanceof SQLiteStore) store.close();
  });

  test(`${name} has the same pairs of records that give bytes and of plain objects`, () => {
    fc.assert(
      fc.property(operations, (all) => {
        const plain = makeRecords(all);
        using wal = openInMemory();
        for (const { opType, pair } of all) {
          if (opType === OpType.Insert) wal.logInsertSync(...pair);
          else if (opType === OpType.Delete) wal.logDeleteSync(pair[0], pair[1]);
          else if (opType === OpType.DeleteValue) wal.logDeleteValueSync(...pair);
          else if (opType === OpType.Replace) wal.logReplaceSync(...pair);
          else wal.logDeleteValueSync(9n, 9n, 9n, 9n);
        }
        const ofBytes = make();
        const ofHalves = make();
        ofBytes.applyBatch(wal.replay());
        ofHalves.applyBatch(plain);
        assertEquals(sorted(ofBytes.entries()), sorted(ofHalves.entries()));
        for (const store of [ofBytes, ofHalves]) if (store instanceof SQLiteStore) store.close();
      }),
      { numRuns: 30 },
    );
  });

  test(`${name} reads back each byte of a key and of a value at its place`, () => {
    using wal = openInMemory();
    const bytes = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
    const view = new DataView(bytes.buffer);
    const pair = [0, 8, 16, 24].map((at) => view.getBigUint64(at, false)) as [bigint, bigint, bigint, bigint];
    wal.batchInsertSync([pair]);
    const store = make();
    store.applyBatch(wal.replay());
    assertEquals([...store.entries()], [pair]);
    assertEquals([store.has(pair[0], pair[1]), store.has(...pair)], [true, true]);
    assertEquals(store.values(pair[0], pair[1]), [[pair[2], pair[3]]]);
    if (store instanceof SQLiteStore) store.close();
  });
}

test("SQLiteStore.applyBatch() applies nothing of a run with a record whose bytes cannot be read", () => {
  const records = logged();
  const spoilt: WALRecordFields[] = [...records];
  spoilt[150] = Object.create(records[150]!, {
    copyValue: {
      value: () => {
        throw new Error("unreadable");
      },
    },
  });
  using store = new SQLiteStore(":memory:");
  assertThrows(() => store.applyBatch(spoilt, RUN), Error, "unreadable");
  assertEquals([store.size, store.appliedLsn()], [0, 0]);
  store.applyBatch(records, RUN);
  assertEquals(store.appliedLsn(), records.length);
});
