// A run of records as it reaches a store: checked as a whole before any of it is applied, so that a store that cannot roll back can
// still apply all or nothing.

import { halvesHint, MAX_U64, show } from "../arguments/numbers.ts";
import { isOpcode } from "../format/operations.ts";
import type { AppliedRun, LSN, WALRecordFields } from "../types.ts";

/**
 * Checks a run.
 *
 * Its keys and values are bigints by their type; they are not looked at here, since a record decodes them each time it is asked.
 *
 * @throws {RangeError} if the LSNs do not ascend, or a record is of no known type: to skip one would lose it silently.
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
    previous = lsn;
  }
}

/**
 * Checks which log a run is of. A consumer starts after a store's LSN, so what it brings again it has brought before: as records of
 * its own log.
 *
 * @param applied the highest LSN that the store has, of the log `appliedLog`; null if it does not know which one.
 * @throws {RangeError} if the run is of another log and starts at or below that LSN: to skip records would lose them silently.
 */
export function checkLog(
  records: readonly WALRecordFields[],
  run: AppliedRun | undefined,
  applied: LSN,
  appliedLog: string | null,
): void {
  if (run === undefined || appliedLog === null || run.logId === appliedLog) return;
  const first = records[0]?.lsn ?? Infinity;
  if (first > applied) return;
  throw new RangeError(
    `Cannot apply LSN ${first} of log ${run.logId}: the store has LSN ${applied} of log ${appliedLog} by now`,
  );
}

/** The index of the first record that a store lacks, by the highest LSN it has; `records.length` if it has them all. */
export function firstMissing(records: readonly WALRecordFields[], applied: LSN): number {
  let first = 0;
  while (first < records.length && records[first]!.lsn <= applied) first++;
  return first;
}

/** Checks a key that a caller hands in. */
export function checkKey(keyHigh: bigint, keyLow: bigint): void {
  checkHalf(keyHigh, "keyHigh");
  checkHalf(keyLow, "keyLow");
}

/** Checks a key and a value that a caller hands in. */
export function checkPair(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): void {
  checkKey(keyHigh, keyLow);
  checkHalf(valueHigh, "valueHigh");
  checkHalf(valueLow, "valueLow");
}

function checkHalf(half: bigint, name: string): void {
  if (typeof half !== "bigint") {
    throw new TypeError(`Cannot use ${show(half)} as ${name}: it must be a bigint${halvesHint(half, name)}`);
  }
  if (half >= 0n && half <= MAX_U64) return;
  throw new RangeError(`Cannot use ${show(half)} as ${name}: it must be from 0 to 2^64 - 1${halvesHint(half, name)}`);
}
