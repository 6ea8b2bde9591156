// The records that a caller asks for: a range, a time, the end of a backup.

import { WALTruncatedError } from "../errors.ts";
import { NANOS_PER_MS } from "../format/layout.ts";
import type { BackupOptions, LSN, RecordRange } from "../types.ts";
import { checkInteger, checkLsn, checkU64, show } from "./numbers.ts";
import { checkOptionNames } from "./objects.ts";

/** Milliseconds of a `Date` of any realm; throws for other values. Runs no code of the caller. */
const msOf: (value: unknown) => number = Function.prototype.call.bind(Date.prototype.getTime);

/** A checked range of records. */
export interface TakenRange {
  readonly first: LSN;
  readonly last: LSN;
  /** Nanoseconds since 1970; undefined if the range does not begin with a time. */
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
}

/**
 * Reads a range once.
 *
 * @throws {TypeError} if it is no object, or has another name, which may be misspelt.
 */
export function takeRange(range: RecordRange): RecordRange {
  checkOptionNames(range, ["from", "to", "since", "until"]);
  const { from, to, since, until } = range;
  return { from, to, since, until };
}

/**
 * Checks a range, and fills in its ends.
 *
 * @param range as `takeRange()` gives it.
 * @param retained what the log holds: from `tail` to the record before `head`.
 * @throws as `WAL.records()`.
 */
export function checkRange(
  range: RecordRange,
  { tail, head }: { readonly tail: LSN; readonly head: LSN },
): TakenRange {
  const { from = tail, to = head - 1 } = range;
  checkInteger(from, "from", 1, Number.MAX_SAFE_INTEGER);
  checkLsn(to, "to");
  const since = range.since === undefined ? undefined : nanosOf(range.since, "since");
  const until = range.until === undefined ? undefined : nanosOf(range.until, "until");
  if (from < tail) throw new WALTruncatedError(from, tail);
  return { first: from, last: Math.min(to, head - 1), since, until };
}

/**
 * The last record that a backup is to have, `Infinity` if it is left out.
 *
 * @throws {TypeError} or {RangeError} if it is no LSN, or if an option is given that there is not,
 * because it may be misspelt.
 */
export function takeThrough(options: BackupOptions): LSN {
  checkOptionNames(options, ["through"]);
  const { through } = options;
  if (through === undefined) return Infinity;
  checkLsn(through, "through");
  return through;
}

/**
 * A time as nanoseconds since 1970.
 *
 * @throws {TypeError} if it is neither a `Date` nor a bigint.
 * @throws {RangeError} if it is no date, or not from 0 to 2^64 − 1 nanoseconds.
 */
export function nanosOf(time: Date | bigint, name: string): bigint {
  if (typeof time === "bigint") {
    checkU64(time, name);
    return time;
  }
  const ms = dateMs(time, name);
  if (Number.isNaN(ms)) throw new RangeError(`Cannot use an invalid Date as ${name}`);
  const nanos = BigInt(ms) * NANOS_PER_MS;
  checkU64(nanos, name);
  return nanos;
}

function dateMs(time: Date, name: string): number {
  try {
    return msOf(time);
  } catch {
    throw new TypeError(
      `Cannot use ${show(time)} as ${name}: it must be a Date, or a bigint of nanoseconds since 1970`,
    );
  }
}
