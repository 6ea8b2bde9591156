// Runs of durable records as bytes: a copy of their slots with a header before them.

import { RUN_HEADER_BYTES } from "../format/layout.ts";
import { type Lineage, logIdBytes } from "../format/lineage.ts";
import { checksumSeed } from "../format/record.ts";
import { writeRunHeader } from "../format/run_header.ts";
import { changesStore } from "../format/operations.ts";
import { type Allocate, copyVerified } from "../read/copies.ts";
import type { EncodedRun, LSN } from "../types.ts";
import { lastWhole, type RingMemory } from "./ring_memory.ts";

/** A run with what a consumer has to know of its records. */
export interface MarkedRun extends EncodedRun {
  /** The last record that changes a store; 0 if there is none. */
  readonly lastData: LSN;
}

/**
 * Encodes the whole batches of durable records `first` to `last`.
 *
 * @param base so many bytes come before the run.
 * @throws {RangeError} if no whole batch begins with `first`.
 */
export function encodedRun(
  memory: RingMemory,
  { logId, fork }: Lineage,
  first: LSN,
  last: LSN,
  base: number = 0,
  allocate?: Allocate,
): MarkedRun {
  const refuse = (why: string) => new RangeError(`Cannot encode a run from LSN ${first}: ${why}`);
  if (last < first) throw refuse(`there is no durable record from there to the end of the range, LSN ${last}`);
  memory.file.check();
  if (first > memory.tail && lastWhole(memory, first - 1) < first - 1) throw refuse("it lies inside a batch");
  const lastLsn = lastWhole(memory, last);
  if (lastLsn < first) throw refuse(`its batch goes on after the end of the range, LSN ${last}`);
  const run = { logId, firstLsn: first, lastLsn };
  let slots = copyVerified(memory, first, lastLsn, base + RUN_HEADER_BYTES, allocate);
  // After a fork, checksums in the file start from the id of before.
  if (fork !== null) slots = slots.reseal(checksumSeed(logIdBytes(logId)));
  const bytes = slots.memory.bytes();
  writeRunHeader(bytes.subarray(base), run);
  let lastData = lastLsn;
  while (lastData >= first && !changesStore(slots.opTypeAt(lastData - first))) lastData--;
  return { ...run, bytes, lastData: lastData < first ? 0 : lastData };
}
