// Which records ahead of a cursor are verified. Many are verified at once, because that is faster.
// A verified record counts as such until its burst ends.

import type { Slots } from "../format/record.ts";
import type { LSN } from "../types.ts";
import { checkRetained, damage, type ReadSource } from "./source.ts";

/** A cursor checks the file when it has read this many records. */
const CHECK_RECORDS = 1024;

/** The records that a cursor may show without verifying them again. */
export class VerifiedAhead {
  readonly #source: ReadSource;
  readonly #slots: Slots;
  readonly #last: LSN;
  /** Records until the file is checked again. */
  #untilCheck = 0;
  /** Records to be verified at once the next time. */
  #step = 1;
  /** Records before this LSN are verified; 0 once the burst has ended. */
  #end: LSN = 0;
  #burstIsOpen = false;

  readonly #closeBurst = () => {
    this.#burstIsOpen = false;
    this.#end = 0;
    this.#step = 1;
  };

  /** @param last no record after this one is read. */
  constructor(source: ReadSource, last: LSN) {
    this.#source = source;
    this.#slots = source.slots();
    this.#last = last;
  }

  /**
   * Verifies a record in place. The records are asked for one after another.
   *
   * @throws as `Cursor.next()`.
   */
  verify(slot: number, lsn: LSN): void {
    if (--this.#untilCheck < 0) this.#check(lsn);
    if (lsn >= this.#end) this.#verifyRun(slot, lsn);
    // A record that was verified may have been overwritten since.
    if (lsn < this.#end && this.#slots.hasLsn(slot, lsn)) return;
    this.#check(lsn); // a closed log and an overwritten record are no damage
    throw damage(this.#source, lsn);
  }

  #verifyRun(slot: number, lsn: LSN): void {
    if (!this.#burstIsOpen) {
      this.#burstIsOpen = true;
      queueMicrotask(this.#closeBurst);
    }
    const slots = this.#source.slots();
    const count = Math.min(this.#step, this.#untilCheck + 1, this.#last - lsn + 1, slots.count - slot);
    this.#end = lsn + slots.verifyRun(slot, lsn, count).good;
    // More each time, because a reader that goes on may read to the end.
    this.#step = Math.min(4 * this.#step, CHECK_RECORDS);
  }

  #check(lsn: LSN): void {
    this.#source.makeReadable(lsn, Math.min(this.#last, lsn + 2 * CHECK_RECORDS));
    checkRetained(this.#source, lsn);
    this.#untilCheck = CHECK_RECORDS - 1;
  }
}
