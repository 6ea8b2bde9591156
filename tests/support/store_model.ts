// What a store must do, done by a plain map, with records to apply to both.

import fc from "fast-check";
import { OpType, type WALRecordFields } from "../../src/types.ts";

/** A key with one of its values. */
export type Pair = readonly [keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint];

/** What a record says, without its LSN. */
export interface Operation {
  readonly opType: OpType;
  readonly pair: Pair;
}

/** The last number an unsigned 64-bit integer can be. */
export const MAX: bigint = 2n ** 64n - 1n;

/** A multi-value map, as simple as can be. */
export class StoreModel {
  readonly #keys = new Map<string, Map<string, Pair>>();

  apply({ opType, keyHigh, keyLow, valueHigh, valueLow }: WALRecordFields): void {
    const key = `${keyHigh},${keyLow}`;
    const value = `${valueHigh},${valueLow}`;
    const values = this.#keys.get(key) ?? new Map<string, Pair>();
    if (opType === OpType.Insert) values.set(value, [keyHigh, keyLow, valueHigh, valueLow]);
    else if (opType === OpType.Delete) values.clear();
    else if (opType === OpType.DeleteValue) values.delete(value);
    if (values.size === 0) this.#keys.delete(key);
    else this.#keys.set(key, values);
  }

  get size(): number {
    return this.entries().length;
  }

  get keyCount(): number {
    return this.#keys.size;
  }

  /** All pairs, sorted. */
  entries(): Pair[] {
    return sorted([...this.#keys.values()].flatMap((values) => [...values.values()]));
  }
}

/** Pairs in ascending order. */
export function sorted(pairs: Iterable<Pair>): Pair[] {
  return [...pairs].sort((a, b) => {
    const at = a.findIndex((half, i) => half !== b[i]);
    return at === -1 ? 0 : a[at]! < b[at]! ? -1 : 1;
  });
}

/** A record as the log hands it out. */
export function makeRecord(lsn: number, opType: OpType, pair: Pair = [0n, 0n, 0n, 0n]): WALRecordFields {
  const [keyHigh, keyLow, valueHigh, valueLow] = pair;
  return { lsn, opType, version: 1, time: [BigInt(lsn), 0, 0], keyHigh, keyLow, valueHigh, valueLow };
}

/** Records with the LSNs from `first` on. */
export function makeRecords(operations: readonly Operation[], first: number = 1): WALRecordFields[] {
  return operations.map(({ opType, pair }, i) => makeRecord(first + i, opType, pair));
}

/** Inserts of distinct keys. */
export function makeInserts(count: number, first: number = 1): WALRecordFields[] {
  return Array.from({ length: count }, (_, i) => {
    const lsn = BigInt(first + i);
    return makeRecord(first + i, OpType.Insert, [lsn, MAX - lsn, lsn * 3n, lsn * 7n]);
  });
}

// Few halves, so that operations meet; among them the ends of the signed and of the unsigned range.
const half = fc.constantFrom(0n, 1n, 2n ** 63n - 1n, 2n ** 63n, MAX);
const pair: fc.Arbitrary<Pair> = fc.tuple(half, half, half, half);
const opType = fc.constantFrom<OpType>(
  OpType.Insert,
  OpType.Insert,
  OpType.Insert,
  OpType.Delete,
  OpType.DeleteValue,
  OpType.Checkpoint,
);

/** Random operations on few keys and values. */
export const operations: fc.Arbitrary<Operation[]> = fc.array(fc.record({ opType, pair }), { maxLength: 300 });
