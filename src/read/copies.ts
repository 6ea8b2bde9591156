// Copies of records, which later appends and releases do not change.

import { RECORD_BYTES } from "../format/layout.ts";
import type { Slots } from "../format/record.ts";
import { rangesOf } from "../format/ring.ts";
import { RUN_RECORDS } from "../format/run_codec.ts";
import type { LSN, WALRecord } from "../types.ts";
import { checkRetained, damage, type ReadSource } from "./source.ts";
import { readRecords } from "./stored_record.ts";

/**
 * Bytes that are copied at once. The process then releases their pages, so that a replay does not
 * hold the log twice.
 */
const COPY_BYTES = 256 * 1024;
const COPY_RECORDS = COPY_BYTES / RECORD_BYTES;
const WORDS = RECORD_BYTES / 4;

/** The records `first` to `last`, each verified. The caller has checked that they are retained. */
export function copyRecords(source: ReadSource, first: LSN, last: LSN): WALRecord[] {
  const count = last - first + 1;
  const records = new Array<WALRecord>(count);
  const buffer = new ArrayBuffer(Math.min(count, COPY_RECORDS) * RECORD_BYTES);
  let done = 0;
  do {
    const from = first + done;
    const start = done;
    const copy = copySlots(source, from, Math.min(last, from + COPY_RECORDS - 1), buffer);
    forEachRun(source, copy, from, (slot, run) => readRecords(copy.words, slot * WORDS, run, records, start + slot));
    done += COPY_RECORDS;
  } while (done < count);
  return records;
}

/** As `copySlots()`, each record verified. */
export function copyVerified(source: ReadSource, first: LSN, last: LSN): Slots {
  const copy = copySlots(source, first, last);
  forEachRun(source, copy, first, () => {});
  return copy;
}

/**
 * Verifies a copy run by run, and passes on the first slot and the length of each.
 *
 * @throws the error that `damage()` makes.
 */
function forEachRun(source: ReadSource, copy: Slots, first: LSN, take: (slot: number, count: number) => void): void {
  for (let slot = 0; slot < copy.count; slot += RUN_RECORDS) {
    const count = Math.min(RUN_RECORDS, copy.count - slot);
    const { good } = copy.verifyRun(slot, first + slot, count);
    if (good < count) throw damage(source, first + slot + good);
    take(slot, count);
  }
}

/**
 * A copy of the slots of `first` to `last`, which are not verified. Slot 0 of the copy has `first`.
 *
 * @param buffer takes the copy; a new one if left out.
 */
export function copySlots(source: ReadSource, first: LSN, last: LSN, buffer?: ArrayBuffer): Slots {
  const slots = source.slots();
  source.makeReadable(first, last);
  const count = last - first + 1;
  const bytes = buffer === undefined ? new Uint8Array(count * RECORD_BYTES) : new Uint8Array(buffer);
  let at = 0;
  for (const { offset, length } of rangesOf(first, last, slots.count)) {
    for (let done = 0; done < length; done += COPY_BYTES) {
      const piece = Math.min(COPY_BYTES, length - done);
      bytes.set(slots.memory.bytes(offset + done, piece), at);
      at += piece;
      if (piece === COPY_BYTES) source.release(offset + done, piece);
    }
  }
  return slots.copyOf(bytes.buffer, count);
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
