// The operations: what each opcode is called, and what its record does to a store. Code that
// depends on an opcode asks here.

import { type ApplicationOpType, type OperationName, OpType, type WALRecordFields } from "../types.ts";

/** What a record is, by its opcode. */
export interface Operation {
  /** The operation as messages call it, and the items of batches. */
  readonly name: OperationName;
  /** False if the record has only a key, or neither key nor value. */
  readonly hasValue: boolean;
  /** The store's method that applies the record; null if stores ignore the record. */
  readonly method: keyof Appliable<unknown> | null;
}

/** A row of the table of operations. */
export interface LogOperation extends Operation {
  readonly opType: OpType;
}

/** The log's own operations, in the order of their opcodes: from 1, without a gap. */
export const OPERATIONS: readonly LogOperation[] = [
  { opType: OpType.Insert, name: "insert", hasValue: true, method: "insert" },
  { opType: OpType.Delete, name: "delete", hasValue: false, method: "delete" },
  { opType: OpType.DeleteValue, name: "deleteValue", hasValue: true, method: "deleteValue" },
  { opType: OpType.Checkpoint, name: "checkpoint", hasValue: false, method: null },
  { opType: OpType.Replace, name: "replace", hasValue: true, method: "replace" },
];

/** The operation of all opcodes that are the application's. */
export const APPLICATION_OPERATION: Operation = { name: "operation", hasValue: true, method: "apply" };

/** The operations that change a store, which items of batches may name. */
export const BATCH_OPERATIONS: readonly (Operation | LogOperation)[] = [
  ...OPERATIONS.filter(({ method }) => method !== null),
  APPLICATION_OPERATION,
];

/** The least and the greatest opcode that is the application's. */
export const FIRST_APPLICATION_OPCODE = 32;
export const LAST_APPLICATION_OPCODE = 63;

/** What applies records one by one. */
export interface Appliable<Result, Fields = WALRecordFields> {
  insert(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record: Fields): Result;
  delete(keyHigh: bigint, keyLow: bigint, record: Fields): Result;
  deleteValue(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record: Fields): Result;
  replace(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record: Fields): Result;
  apply(record: Fields): Result;
}

/** The methods that apply one record. */
export const APPLYING_METHODS: readonly (keyof Appliable<unknown>)[] = BATCH_OPERATIONS.flatMap(
  ({ method }) => method ?? [],
);

/** True if this is an opcode of the application. */
export function isApplicationOpcode(opcode: number): opcode is ApplicationOpType {
  return opcode >= FIRST_APPLICATION_OPCODE && opcode <= LAST_APPLICATION_OPCODE && Number.isInteger(opcode);
}

/** The operation of an opcode; undefined if this version knows none. */
export function operationOf(opcode: number): Operation | undefined {
  return isApplicationOpcode(opcode) ? APPLICATION_OPERATION : OPERATIONS[opcode - 1];
}

/** The operation that an item of a batch names; null if it names none. */
export function operationNamed(name: unknown): Operation | LogOperation | null {
  for (const operation of BATCH_OPERATIONS) if (operation.name === name) return operation;
  return null;
}

/** True if this is the opcode of an operation. */
export function isOpcode(opcode: number): opcode is OpType {
  return operationOf(opcode) !== undefined;
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
    case OpType.Replace:
      return store.replace(keyHigh, keyLow, record.valueHigh, record.valueLow, record);
    case OpType.Checkpoint:
      return undefined;
    default:
      opType satisfies ApplicationOpType; // the compiler asks for each new operation
      return store.apply(record);
  }
}
