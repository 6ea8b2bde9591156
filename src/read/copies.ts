// Copies of records, which later appends and releases do not change.

import { RECORD_BYTES } from "../format/layout.ts";
import type { Slots } from "../format/record.ts";
import { rangesOf, slotOf } from "../format/ring.ts";
import type { LSN, WALRecord } from "../types.ts";
import { checkRetained, damage, type ReadSource } from "./source.ts";
import { readRecords } from "./stored_record.ts";

/**
 * Bytes that are read at once. The process then releases their pages, so that a replay does not
 * hold the log twice.
 */
const PIECE_BYTES = 256 * 1024;
const PIECE_RECORDS = PIECE_BYTES / RECORD_BYTES;
/** Records that are verified at once, so that the processor still has them when they are read. */
const RUN_RECORDS = 512;

/** The records `first` to `last`, each verified. The caller has checked that they are retained. */
export function copyRecords(source: ReadSource, first: LSN, last: LSN): WALRecord[] {
  const records = new Array<WALRecord>(last - first + 1);
  forEachRun(source, first, last, (slots, slot, lsn, count) => {
    verifyAll(source, slots, slot, lsn, count);
    readRecords(slots.words, slots.wordOf(slot), count, records, lsn - first);
  });
  return records;
}

/** Makes bytes for a copy. What is in them is written over, or stays before the copy. */
export type Allocate = (size: number) => Uint8Array<ArrayBuffer>;

const allocateZeros: Allocate = (size) => new Uint8Array(size);

/**
 * Gives the same bytes again where it can, for copies of which only the newest is in use. Bun frees
 * no buffers in a loop that does not wait, so new bytes each time would be as many as the log has.
 */
export function reusedBytes(): Allocate {
  let bytes = new Uint8Array(0);
  return (size) => bytes.length === size ? bytes : bytes = new Uint8Array(size);
}

/** As `copySlots()`, each record verified. @param base so many bytes come before the copy. */
export function copyVerified(source: ReadSource, first: LSN, last: LSN, base = 0, allocate = allocateZeros): Slots {
  return copySlots(source, first, last, verifyAll, base, allocate);
}

/** @throws the error that `damage()` makes. */
function verifyAll(source: ReadSource, slots: Slots, slot: number, lsn: LSN, count: number): void {
  const { good } = slots.verifyRun(slot, lsn, count);
  if (good < count) throw damage(source, lsn + good);
}

/**
 * A copy of the slots of `first` to `last`, which are not verified. Slot 0 of the copy has `first`.
 *
 * @param check looks at each run before it is copied.
 * @param base so many bytes come before the copy.
 */
export function copySlots(
  source: ReadSource,
  first: LSN,
  last: LSN,
  check?: typeof verifyAll,
  base = 0,
  allocate = allocateZeros,
): Slots {
  const bytes = allocate(base + (last - first + 1) * RECORD_BYTES);
  forEachRun(source, first, last, (slots, slot, lsn, count) => {
    check?.(source, slots, slot, lsn, count);
    bytes.set(slots.bytesOf(slot, count), base + (lsn - first) * RECORD_BYTES);
  });
  return source.slots().copyOf(bytes.buffer, base);
}

/** Passes on the records `first` to `last` in place, as runs of consecutive slots. */
function forEachRun(
  source: ReadSource,
  first: LSN,
  last: LSN,
  take: (slots: Slots, slot: number, lsn: LSN, count: number) => void,
): void {
  let from = first;
  // Also for no records at all, a file that is gone is noticed.
  do {
    const slots = source.slots();
    const to = Math.min(last, from + PIECE_RECORDS - 1);
    source.makeReadable(from, to);
    let lsn = from;
    for (const { offset, length } of rangesOf(from, to, slots.count)) {
      for (let left = length / RECORD_BYTES; left > 0;) {
        const count = Math.min(RUN_RECORDS, left);
        take(slots, slotOf(lsn, slots.count), lsn, count);
        lsn += count;
        left -= count;
      }
      if (length === PIECE_BYTES) source.release(offset, length);
    }
    from += PIECE_RECORDS;
  } while (from <= last);
}

/** Records that an iterator copies at once. */
const CHUNK_RECORDS = 512;

/** Records from `first` to `last`, copied a piece at a time. */
export function* iterateRecords(source: ReadSource, first: LSN, last: LSN): Generator<WALRecord, undefined, undefined> {
  for (let from = first; from <= last; from += CHUNK_RECORDS) {
    checkRetained(source, from);
    yield* copyRecords(source, from, Math.min(last, from + CHUNK_RECORDS - 1));
  }
}
