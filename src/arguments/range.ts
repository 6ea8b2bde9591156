// The range of records that a caller asks for.

import { WALTruncatedError } from "../errors.ts";
import type { LSN, RecordRange } from "../types.ts";
import { checkInteger, checkLsn } from "./numbers.ts";

/**
 * Checks a range, and fills in its ends.
 *
 * @param range plain values, read from the caller's object.
 * @param retained what the log holds: from `tail` to the record before `head`.
 * @throws as `WAL.records()`.
 */
export function checkRange(
  range: RecordRange,
  { tail, head }: { readonly tail: LSN; readonly head: LSN },
): [first: LSN, last: LSN] {
  const { from = tail, to = head - 1 } = range;
  checkInteger(from, "from", 1, Number.MAX_SAFE_INTEGER);
  checkLsn(to, "to");
  if (from < tail) throw new WALTruncatedError(from, tail);
  return [from, Math.min(to, head - 1)];
}
