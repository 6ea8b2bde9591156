// Records to apply to a store and to its model.

import fc from "fast-check";
import type { StoreEntry } from "../../src/testing/store_model.ts";
import { OpType, type WALRecordFields } from "../../src/types.ts";

/** What a record says, without its LSN. */
export interface Operation {
  readonly opType: OpType;
  readonly pair: StoreEntry;
}

/** The last number an unsigned 64-bit integer can be. */
export const MAX: bigint = 2n ** 64n - 1n;

/** Pairs in ascending order. */
export function sorted(pairs: Iterable<StoreEntry>): StoreEntry[] {
  return [...pairs].sort((a, b) => {
    const at = a.findIndex((half, i) => half !== b[i]);
    return at === -1 ? 0 : a[at]! < b[at]! ? -1 : 1;
  });
}

/** A record as the log hands it out. */
export function makeRecord(lsn: number, opType: OpType, pair: StoreEntry = [0n, 0n, 0n, 0n]): WALRecordFields {
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
const pair: fc.Arbitrary<StoreEntry> = fc.tuple(half, half, half, half);
const opType = fc.constantFrom<OpType>(
  OpType.Insert,
  OpType.Insert,
  OpType.Insert,
  OpType.Delete,
  OpType.DeleteValue,
  OpType.Replace,
  OpType.Checkpoint,
);

/** Random operations on few keys and values. */
export const operations: fc.Arbitrary<Operation[]> = fc.array(fc.record({ opType, pair }), { maxLength: 300 });
