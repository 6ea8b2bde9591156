// What the tests of the stores that come with the library share: a record by hand, and the comparison with the model.

import { assert, assertEquals } from "@std/assert";
import { recordOf } from "../../src/read/stored_record.ts";
import { OpType, type RecordStore, type WALRecordFields } from "../../src/types.ts";
import { type Pair, sorted, type StoreModel } from "./store_model.ts";

/** What a store answers. */
interface Answers {
  readonly size: number;
  readonly keyCount: number;
  entries(): Iterable<Pair>;
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
}

/**
 * The store has what the model has, by every way to ask.
 *
 * @param inOrder how its pairs are listed to be compared with the model's, which are sorted: as they come, for a store that sorts.
 */
export function assertSame(
  store: Answers,
  model: StoreModel,
  inOrder: (pairs: Iterable<Pair>) => Pair[] = sorted,
): void {
  const pairs = model.entries();
  assertEquals(inOrder(store.entries()), pairs);
  assertEquals([store.size, store.keyCount], [model.size, model.keyCount]);
  for (const [keyHigh, keyLow, valueHigh, valueLow] of pairs) {
    assert(store.has(keyHigh, keyLow));
    assert(store.has(keyHigh, keyLow, valueHigh, valueLow));
    const values = inOrder(store.values(keyHigh, keyLow).map(([high, low]): Pair => [keyHigh, keyLow, high, low]));
    assertEquals(values, pairs.filter(([high, low]) => high === keyHigh && low === keyLow));
  }
}
