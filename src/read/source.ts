// What a reader asks of the log, and the errors for records that it cannot have.

import { WALCorruptError, type WALError, WALFormatError, WALTruncatedError } from "../errors.ts";
import { type Slots, SlotState } from "../format/record.ts";
import { lossOf, slotOf } from "../format/ring.ts";
import type { LSN } from "../types.ts";

/** What a reader asks of the log. */
export interface ReadSource {
  readonly path: string | null;
  /** The oldest record kept, now. */
  readonly tail: LSN;
  /** The ring; throws `WALClosedError` once the log is closed. */
  slots(): Slots;
  /**
   * Checks that the file is still there, because a load from a file that was cut kills the process.
   * Then pages in the records that are not paged in.
   */
  makeReadable(first: LSN, last: LSN): void;
  /** Releases the pages of these bytes, which have been read. */
  release(offset: number, length: number): void;
  /** Counts an error of this reader. @returns the same error. */
  counted<Thrown>(error: Thrown): Thrown;
}

/** @throws {WALTruncatedError} if the log has released the record. */
export function checkRetained(source: ReadSource, lsn: LSN): void {
  if (lsn < source.tail) throw source.counted(new WALTruncatedError(lsn, source.tail));
}

/**
 * The error for a retained record that does not verify, or that a later version of this library
 * wrote.
 */
export function damage(source: ReadSource, lsn: LSN): WALError {
  const slots = source.slots();
  const loss = lossOf(lsn, lsn, slots.count);
  if (slots.verify(slotOf(lsn, slots.count), lsn) === SlotState.Unsupported) {
    const message = `Cannot read LSN ${lsn}: the record at byte ${loss.offset} was written by a later version`;
    return source.counted(new WALFormatError(source.path, loss.offset, message));
  }
  const message = `Cannot read LSN ${lsn}: the record at byte ${loss.offset} is damaged`;
  return source.counted(new WALCorruptError(source.path, [loss], message));
}
