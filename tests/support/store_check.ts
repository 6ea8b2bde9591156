// What the tests of the library's own stores share: applying one record, comparing with the model.

import { assert, assertEquals } from "@std/assert";
import { recordOf } from "../../src/read/stored_record.ts";
import type { StoreEntry, StoreModel } from "../../src/testing/store_model.ts";
import { OpType, type RecordStore, type WALRecordFields } from "../../src/types.ts";
import { sorted } from "./store_records.ts";

/** What a store answers. */
interface Answers {
  readonly size: number;
  readonly keyCount: number;
  entries(): Iterable<StoreEntry>;
  has(keyHigh: bigint, keyLow: bigint): boolean;
  has(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): boolean;
  values(keyHigh: bigint, keyLow: bigint): readonly (readonly [high: bigint, low: bigint])[];
}

/** Applies a record by the method for its type. */
export function applySingly(store: RecordStore, fields: WALRecordFields): void {
  const { keyHigh, keyLow, valueHigh, valueLow } = fields;
  const record = recordOf(fields);
  if (record.opType === OpType.Insert) store.insert(keyHigh, keyLow, valueHigh, valueLow, record);
  else if (record.opType === OpType.Delete) store.delete(keyHigh, keyLow, record);
  else if (record.opType === OpType.DeleteValue) store.deleteValue(keyHigh, keyLow, valueHigh, valueLow, record);
  else if (record.opType === OpType.Replace) store.replace!(keyHigh, keyLow, valueHigh, valueLow, record);
}

/**
 * The store has what the model has, by every way to ask.
 *
 * @param inOrder lists the store's pairs in ascending order: as they come, for a store that sorts.
 */
export function assertSame(
  store: Answers,
  model: StoreModel,
  inOrder: (pairs: Iterable<StoreEntry>) => StoreEntry[] = sorted,
): void {
  const pairs = sorted(model.entries());
  const keys = new Set(pairs.map(([keyHigh, keyLow]) => `${keyHigh},${keyLow}`));
  assertEquals(inOrder(store.entries()), pairs);
  assertEquals([store.size, store.keyCount], [pairs.length, keys.size]);
  for (const [keyHigh, keyLow, valueHigh, valueLow] of pairs) {
    assert(store.has(keyHigh, keyLow));
    assert(store.has(keyHigh, keyLow, valueHigh, valueLow));
    const values = inOrder(
      store.values(keyHigh, keyLow).map(([high, low]): StoreEntry => [keyHigh, keyLow, high, low]),
    );
    assertEquals(values, pairs.filter(([high, low]) => high === keyHigh && low === keyLow));
  }
}
