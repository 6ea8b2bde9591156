// Records as a log hands them out, made for tests.

import { recordOf } from "../../read/stored_record.ts";
import { type Operation, operationOf, OPERATIONS } from "../../format/operations.ts";
import { type ApplicationOpType, OpType, type Store, type WALRecord } from "../../types.ts";
import type { StoreEntry } from "../store_model.ts";
import type { Random } from "../random.ts";

/** Unsigned 64-bit numbers that stores mistake for others: signed, as doubles, cut to 32 bits. */
export const U64_ENDS: readonly bigint[] = [0n, 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];

/**
 * Pairs of which each differs from the first in one byte only: of the key, then of the value. The
 * first one has another number at each place.
 */
export function pairsByByte(): StoreEntry[] {
  const bytes = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
  const view = new DataView(bytes.buffer);
  const pair =
    (): StoreEntry => [view.getBigUint64(0), view.getBigUint64(8), view.getBigUint64(16), view.getBigUint64(24)];
  const others = Array.from(bytes, (byte, i) => {
    bytes[i] = byte ^ 0x80;
    const other = pair();
    bytes[i] = byte;
    return other;
  });
  return [pair(), ...others];
}

/** A record. */
export function makeRecord(lsn: number, opType: OpType, pair: StoreEntry): WALRecord {
  const [keyHigh, keyLow, valueHigh, valueLow] = pair;
  return recordOf({ lsn, opType, version: 1, time: [BigInt(lsn), 0, 0], keyHigh, keyLow, valueHigh, valueLow });
}

/** Inserts that no other record repeats. */
export function makeInserts(count: number, first: number): WALRecord[] {
  return Array.from({ length: count }, (_, i) => {
    const lsn = first + i;
    return makeRecord(lsn, OpType.Insert, [77n, BigInt(lsn), 88n, BigInt(lsn)]);
  });
}

/** A store, and the application's opcodes that it applies. */
export interface RecordTaker {
  readonly store: Store;
  readonly operations: readonly ApplicationOpType[];
}

/**
 * Random changes of so few keys and values that most records meet an earlier one.
 *
 * @param taker the changes are those that it can apply.
 */
export function randomRecords(
  { store, operations }: RecordTaker,
  random: Random,
  count: number,
  first = 1,
): WALRecord[] {
  const canApply = ({ method }: Operation) =>
    method !== null && (store.applyBatch !== undefined || store[method] !== undefined);
  const types: readonly OpType[] = [
    OpType.Insert,
    OpType.Insert,
    ...OPERATIONS.filter(canApply).map(({ opType }) => opType),
    ...operations,
  ];
  return Array.from({ length: count }, (_, i) => {
    const opType = random.pick(types);
    const key = BigInt(random.below(3));
    const value = operationOf(opType)!.hasValue ? BigInt(random.below(4)) : 0n;
    return makeRecord(first + i, opType, [key, 5n, value, value]);
  });
}

/** A record of a type that does not exist: a store that looks at the type fails there. */
export function unknownType(record: WALRecord): WALRecord {
  return recordOf({ ...record.toObject(), opType: 31 as OpType });
}

/** A record whose key and value throw when read: any store fails there. */
export function unreadable(record: WALRecord): WALRecord {
  const fail = (): never => {
    throw new Error(`LSN ${record.lsn} cannot be read (simulated)`);
  };
  const names = ["keyHigh", "keyLow", "valueHigh", "valueLow", "key", "value", "copyKey", "copyValue"];
  return Object.create(record, Object.fromEntries(names.map((name) => [name, { get: fail, enumerable: true }])));
}
