// Runs of durable records as bytes: a copy of their slots with a header before them.

import { RUN_HEADER_BYTES } from "../format/layout.ts";
import { type Lineage, logIdBytes } from "../format/lineage.ts";
import { checksumSeed } from "../format/record.ts";
import { writeRunHeader } from "../format/run_header.ts";
import { copyVerified } from "../read/copies.ts";
import type { EncodedRun, LSN } from "../types.ts";
import { lastWhole, type RingMemory } from "./ring_memory.ts";

/**
 * Encodes the whole batches of durable records `first` to `last`.
 *
 * @throws {RangeError} if no whole batch begins with `first`.
 */
export function encodedRun(memory: RingMemory, { logId, fork }: Lineage, first: LSN, last: LSN): EncodedRun {
  const refuse = (why: string) => new RangeError(`Cannot encode a run from LSN ${first}: ${why}`);
  if (last < first) throw refuse(`there is no durable record from there to the end of the range, LSN ${last}`);
  memory.file.check();
  if (first > memory.tail && lastWhole(memory, first - 1) < first - 1) throw refuse("it lies inside a batch");
  const lastLsn = lastWhole(memory, last);
  if (lastLsn < first) throw refuse(`its batch goes on after the end of the range, LSN ${last}`);
  const run = { logId, firstLsn: first, lastLsn };
  let slots = copyVerified(memory, first, lastLsn, RUN_HEADER_BYTES);
  // After a fork, checksums in the file start from the id of before.
  if (fork !== null) slots = slots.reseal(checksumSeed(logIdBytes(logId)));
  const bytes = slots.memory.bytes();
  writeRunHeader(bytes, run);
  return { ...run, bytes };
}
