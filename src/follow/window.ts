// A window: a copy of some consecutive records, each verified. Cursors and copies read it as they
// read the ring of an open log.

import { FileMemory } from "../../ffi/file_memory.ts";
import { toWALError } from "../errors.ts";
import { RECORD_BYTES } from "../format/layout.ts";
import { Slots } from "../format/record.ts";
import { slotOf } from "../format/ring.ts";
import type { ReadSource } from "../read/source.ts";
import type { LSN } from "../types.ts";

/** How many records a window has. Copies take 4096 at once, so it has no fewer. */
const WINDOW_RECORDS = 4096;

/** Where a window gets its records. */
export interface WindowSource {
  readonly path: string;
  /** The state from which the checksums of records start. */
  readonly seed: number;
  /** @throws {WALClosedError} */
  mustBeOpen(action: string): void;
  /** Copies records to where a ring of `into.count` slots has them. They are not verified. */
  copyRun(into: Slots, first: LSN, last: LSN): void;
  /**
   * Returns if a record that a copy lacks is in the file after all. Otherwise it throws the reason.
   *
   * @param first the first record that is read together with this one. The caller has none of them.
   * @param last the last one.
   * @param seed of the copy.
   * @param attempt how often a copy has lacked a record, from 1. It does not return for ever.
   */
  missing(lsn: LSN, first: LSN, last: LSN, seed: number, attempt: number): void;
  /** Notes the newest record that a caller was given. */
  gave(lsn: LSN, crc: number): void;
}

/** A ring of slots that moves over the log. */
export class Window implements ReadSource {
  /** A window has every record that it shows. */
  readonly tail = 0;
  readonly #source: WindowSource;
  readonly #seed: number;
  readonly #slots: Slots;
  readonly #gives: boolean;
  /** The window has the records from this LSN … */
  #first: LSN = 0;
  /** … to the one before this LSN. */
  #end: LSN = 0;

  /**
   * @param records how many are read in all, at most.
   * @param gives true if callers are given the records.
   */
  constructor(source: WindowSource, records: number, gives: boolean) {
    this.#source = source;
    this.#seed = source.seed;
    this.#gives = gives;
    const count = Math.max(1, Math.min(records, WINDOW_RECORDS));
    try {
      this.#slots = new Slots(new FileMemory(count * RECORD_BYTES), 0, count, this.#seed);
    } catch (error) {
      throw toWALError(error, source.path, 0);
    }
  }

  get path(): string {
    return this.#source.path;
  }

  slots(): Slots {
    this.#source.mustBeOpen("read");
    return this.#slots;
  }

  /**
   * Copies and verifies records.
   *
   * @throws the reason why one of them is not there.
   */
  makeReadable(first: LSN, last: LSN): void {
    this.#source.mustBeOpen("read");
    const { count: size } = this.#slots;
    last = Math.min(last, first + size - 1);
    const goesOn = first >= this.#first && first <= this.#end;
    let from = goesOn ? this.#end : first;
    if (from > last) return;
    this.#end = from;
    this.#first = goesOn ? Math.max(this.#first, last - size + 1) : first;
    this.#source.copyRun(this.#slots, from, last);
    for (let attempt = 1; from <= last;) {
      const slot = slotOf(from, size);
      const count = Math.min(last - from + 1, size - slot);
      const { good } = this.#slots.verifyRun(slot, from, count);
      this.#end = from += good;
      if (good === count) continue;
      this.#source.missing(from, first, last, this.#seed, attempt++);
      this.#source.copyRun(this.#slots, from, last);
    }
    if (this.#gives) this.#source.gave(last, this.#slots.words[this.#slots.wordOf(slotOf(last, size))]!);
  }

  release(): void {}

  counted<Thrown>(error: Thrown): Thrown {
    return error;
  }
}
