// Arithmetic of the ring: from LSNs to slots and byte offsets, and to the bytes of a run of
// records. No state, no memory.

import { assert } from "../assert.ts";
import { FILE_GRANULE_BYTES, RECORD_BYTES, RING_AT } from "./layout.ts";
import type { Loss, LSN } from "../types.ts";

/** How many slots a file of this size has. */
export function capacityOf(fileBytes: number): number {
  assert(fileBytes >= RING_AT, "a file holds its headers before its first slot");
  return Math.floor((fileBytes - RING_AT) / RECORD_BYTES);
}

/** The size of a file with exactly this many slots. */
export function fileBytesOf(capacity: number): number {
  assert(Number.isSafeInteger(capacity) && capacity >= 0, "a ring has a whole number of slots");
  return RING_AT + capacity * RECORD_BYTES;
}

/** The next file size that can be made, for any page size. */
export function roundFileBytes(bytes: number): number {
  return Math.ceil(bytes / FILE_GRANULE_BYTES) * FILE_GRANULE_BYTES;
}

/** The slot of a record, 0 to capacity − 1. */
export function slotOf(lsn: LSN, capacity: number): number {
  return (lsn - 1) % capacity;
}

/** Byte offset of a slot in the file. */
export function offsetOf(slot: number): number {
  assert(slot >= 0, "slots come after the headers");
  return RING_AT + slot * RECORD_BYTES;
}

/** Records that are lost, and where the first of them lies. */
export function lossOf(firstLsn: LSN, lastLsn: LSN, capacity: number): Loss {
  assert(firstLsn <= lastLsn, "a loss is of one record at least");
  return { firstLsn, lastLsn, offset: offsetOf(slotOf(firstLsn, capacity)) };
}

/** Bytes of the file, from `offset` on. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * The bytes of records `first` to `last`: one range, or two if they go over the end of the ring,
 * the older records first. None if `last < first`.
 */
export function rangesOf(first: LSN, last: LSN, capacity: number): ByteRange[] {
  const count = last - first + 1;
  if (count <= 0) return [];
  assert(count <= capacity, "a run of records is not longer than the ring");
  assert(first >= 1, "LSNs count from 1");
  const slot = slotOf(first, capacity);
  const before = Math.min(count, capacity - slot);
  const ranges = [{ offset: offsetOf(slot), length: before * RECORD_BYTES }];
  if (count > before) ranges.push({ offset: offsetOf(0), length: (count - before) * RECORD_BYTES });
  return ranges;
}
