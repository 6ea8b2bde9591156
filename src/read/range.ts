// The range of records that a caller asks for.

import { checkInteger, checkLsn } from "../arguments/numbers.ts";
import { WALTruncatedError } from "../errors.ts";
import type { LSN, RecordRange } from "../types.ts";
import type { ReadSource } from "./cursor.ts";

/**
 * @param head the next LSN of the log.
 * @param range has been read.
 * @throws as `WAL.records()` has it.
 */
export function checkRange(
  source: ReadSource,
  head: LSN,
  { from = source.tail, to = head - 1 }: RecordRange,
): [first: LSN, last: LSN] {
  source.slots();
  checkInteger(from, "from", 1, Number.MAX_SAFE_INTEGER);
  checkLsn(to, "to");
  if (from < source.tail) throw new WALTruncatedError(from, source.tail);
  return [from, Math.min(to, head - 1)];
}
