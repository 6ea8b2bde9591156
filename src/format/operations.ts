// The operations: what each opcode is called, and what its record does to a store. Code that
// depends on an opcode asks here.

import { OpType, type WALRecordFields } from "../types.ts";

/** A row of the table of operations. */
export interface Operation {
  readonly opType: OpType;
  /** The operation as messages call it. */
  readonly name: string;
  /** False if the record has only a key, or neither key nor value. */
  readonly hasValue: boolean;
  /** The store's method that applies the record; null if stores ignore the record. */
  readonly method: keyof Appliable<unknown> | null;
}

/** All operations, in the order of their opcodes, which have no gap. */
export const OPERATIONS: readonly Operation[] = [
  { opType: OpType.Insert, name: "insert", hasValue: true, method: "insert" },
  { opType: OpType.Delete, name: "delete", hasValue: false, method: "delete" },
  { opType: OpType.DeleteValue, name: "delete", hasValue: true, method: "deleteValue" },
  { opType: OpType.Checkpoint, name: "checkpoint", hasValue: false, method: null },
];

/** The highest opcode in use; the lowest is 1. */
export const MAX_OPCODE: number = OPERATIONS.length;

/** What applies records one by one. */
export interface Appliable<Result, Fields = WALRecordFields> {
  insert(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record: Fields): Result;
  delete(keyHigh: bigint, keyLow: bigint, record: Fields): Result;
  deleteValue(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record: Fields): Result;
}

/** The methods that apply one record. */
export const APPLYING_METHODS: readonly (keyof Appliable<unknown>)[] = OPERATIONS.flatMap(({ method }) => method ?? []);

/** True if this is the opcode of an operation. */
export function isOpcode(opcode: number): opcode is OpType {
  return opcode >= 1 && opcode <= MAX_OPCODE;
}

/** True if such a record changes a store. */
export function changesStore(opType: OpType): boolean {
  return opType !== OpType.Checkpoint;
}

/** Applies a record to a store, or to anything with the same methods. */
export function applyRecord<Result, Fields extends WALRecordFields>(
  store: Appliable<Result, Fields>,
  record: Fields,
): Result | undefined {
  const { opType, keyHigh, keyLow } = record;
  switch (opType) {
    case OpType.Insert:
      return store.insert(keyHigh, keyLow, record.valueHigh, record.valueLow, record);
    case OpType.Delete:
      return store.delete(keyHigh, keyLow, record);
    case OpType.DeleteValue:
      return store.deleteValue(keyHigh, keyLow, record.valueHigh, record.valueLow, record);
    case OpType.Checkpoint:
      return undefined;
  }
}
