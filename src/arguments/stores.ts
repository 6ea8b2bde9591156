// What callers hand to a store that comes with the library. A run is checked as a whole before any
// of it is applied, so that a store that cannot roll back still applies all or nothing.

import { WALOperationError } from "../errors.ts";
import { isApplicationOpcode, isOpcode } from "../format/operations.ts";
import type { AppliedRun, LSN, OpType, WALRecordFields } from "../types.ts";
import { checkU64, halvesHint, show } from "./numbers.ts";

/** Checks a key. Unlike the log, a store takes no numbers. @throws {TypeError} or {RangeError} */
export function checkStoreKey(keyHigh: bigint, keyLow: bigint): void {
  checkBigint(keyHigh, "keyHigh");
  checkBigint(keyLow, "keyLow");
}

/** Checks a key and a value. @throws as `checkStoreKey()`. */
export function checkStorePair(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): void {
  checkStoreKey(keyHigh, keyLow);
  checkBigint(valueHigh, "valueHigh");
  checkBigint(valueLow, "valueLow");
}

function checkBigint(value: bigint, name: string): void {
  if (typeof value === "bigint") return checkU64(value, name);
  throw new TypeError(`Cannot use ${show(value)} as ${name}: it must be a bigint${halvesHint(value, name)}`);
}

/** Checks a log's id, which may be null. @throws {TypeError} */
export function checkLogId(value: string | null, name: string): void {
  if (value === null || typeof value === "string") return;
  throw new TypeError(`Cannot use ${show(value)} as ${name}: it must be a log's id or null`);
}

/**
 * Checks the LSNs and types of a run. Keys and values are not checked here, because reading them
 * decodes the record once more.
 *
 * @throws {RangeError} if the LSNs do not ascend, or if a record's type is unknown, because
 * skipping the record would lose it silently.
 * @throws {WALOperationError} if a record is one of the application, for the same reason.
 */
export function checkRun(records: readonly WALRecordFields[]): void {
  let previous = 0;
  for (const { lsn, opType } of records) {
    if (!Number.isSafeInteger(lsn) || lsn <= previous) {
      throw new RangeError(`Cannot apply LSN ${lsn} after LSN ${previous}: a run is in LSN order`);
    }
    if (!isOpcode(opType)) {
      throw new RangeError(`Cannot apply LSN ${lsn}: its type ${opType} is unknown`);
    }
    checkOperation(lsn, opType);
    previous = lsn;
  }
}

/** @throws {WALOperationError} if a record is one of the application: these stores know none. */
export function checkOperation(lsn: LSN, opType: OpType): void {
  if (!isApplicationOpcode(opType)) return;
  throw new WALOperationError(lsn, opType, "the store takes no records of the application");
}

/**
 * Checks that a run may be skipped where the store has its LSNs already. Only a run of the store's
 * own log repeats records.
 *
 * @param applied the highest LSN that the store has.
 * @param appliedLog the id of the log of that LSN; null if the store does not know.
 * @throws {RangeError} if the run is of another log and starts at or below that LSN, because
 * skipping its records would lose them silently.
 */
export function checkRunLog(
  records: readonly WALRecordFields[],
  run: AppliedRun | undefined,
  applied: LSN,
  appliedLog: string | null,
): void {
  if (run === undefined || appliedLog === null || run.logId === appliedLog) return;
  const first = records[0]?.lsn ?? Infinity;
  if (first > applied) return;
  throw new RangeError(
    `Cannot apply LSN ${first} of log ${run.logId}: the store already has LSN ${applied} of log ${appliedLog}`,
  );
}

/**
 * The index of the first record that a store lacks; `records.length` if it has them all.
 *
 * @param applied the highest LSN that the store has.
 */
export function firstMissing(records: readonly WALRecordFields[], applied: LSN): number {
  let first = 0;
  while (first < records.length && records[first]!.lsn <= applied) first++;
  return first;
}
