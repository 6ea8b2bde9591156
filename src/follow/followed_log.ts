// The log as a follower sees it: up to which record it may be read, and why a record is missing.
//
// The writer does not help. An LSN is known to be durable if the header says so, or if a later
// record does: each record tells how far back the highest durable LSN was. So a follower learns of
// the last group when the next record comes, or when the idle writer notes it in the header.
//
// A file can be changed in more ways than by its writer: replaced by a resize or a salvage, put
// back to an older state, made anew. So a follower remembers the checksums of the newest record
// that it has handed out, and of the newest durable one. With each look it checks that the file
// still has them.

import type { OpenToRead } from "../../ffi/readable_file.ts";
import {
  toWALError,
  WALClosedError,
  WALCorruptError,
  WALFormatError,
  WALLaggedError,
  WALRewoundError,
} from "../errors.ts";
import type { Header } from "../format/header.ts";
import { type Slots, SlotState } from "../format/record.ts";
import { lossOf } from "../format/ring.ts";
import type { LSN } from "../types.ts";
import { FollowedFile } from "./followed_file.ts";
import { copyRun, type SlotReader, waitForWriter } from "./log_reader.ts";
import type { WindowSource } from "./window.ts";

/** A record, and its checksum as the file had it. With null it cannot be looked for any more. */
interface Seen {
  readonly lsn: LSN;
  readonly crc: number | null;
}

/** How often a record that is not in its place is looked for before it counts as damaged. */
const RECORD_LOOKS = 3;
const NOTHING: Seen = { lsn: 0, crc: null };

/** One followed log. */
export class FollowedLog implements WindowSource {
  readonly #includesAppended: boolean;
  readonly file: FollowedFile;
  isOpen = true;
  /** The highest LSN that is known to be durable. */
  durable: LSN = 0;
  /** One more than the newest record that is in its place. */
  head: LSN = 1;
  /** The last record that may be read: of a whole batch, and durable unless others are wanted. */
  last: LSN = 0;
  /** The newest durable record that was in its place. */
  #proved: Seen = NOTHING;
  /** The newest of the records that follow each other without a gap. */
  #appended: Seen = NOTHING;
  /** The newest record that a caller was given. */
  #given: Seen = NOTHING;

  /**
   * @param includesAppended true to read records that are not durable yet.
   * @throws as `WAL.follow()`.
   */
  constructor(path: string, openToRead: OpenToRead, includesAppended: boolean) {
    this.#includesAppended = includesAppended;
    this.file = new FollowedFile(path, openToRead);
    try {
      this.look();
    } catch (error) {
      this.close();
      throw toWALError(error, path, 0);
    }
  }

  get path(): string {
    return this.file.path;
  }

  get header(): Header {
    return this.file.header;
  }

  get reader(): SlotReader {
    return this.file.reader;
  }

  get seed(): number {
    return this.file.seed;
  }

  /** The newest record that a caller was given; 0 if there is none. */
  get given(): LSN {
    return this.#given.lsn;
  }

  mustBeOpen(action: string): void {
    if (!this.isOpen) throw new WALClosedError(action, "the follower is closed");
  }

  /**
   * Looks at the file: whether it is still the log's, and what is in it now.
   *
   * @throws as `Follower.records()`.
   */
  look(): void {
    this.mustBeOpen("read");
    const { seed } = this;
    this.file.look(this.given);
    // In a copy of the log, records have other checksums.
    if (this.seed !== seed) {
      [this.#given, this.#proved, this.#appended] = [{ ...this.#given, crc: null }, NOTHING, NOTHING];
    }
    if (!this.#isStill(this.#given)) throw new WALRewoundError(this.path, this.given);
    if (!this.#isStill(this.#proved)) this.#proved = NOTHING;
    this.#findDurable();
    const end = this.#includesAppended ? this.#findAppended() : this.durable;
    this.last = this.reader.lastWhole(this.header.tail, end);
  }

  copyRun(into: Slots, first: LSN, last: LSN): void {
    copyRun(this.reader.file, this.header.capacity, into, first, last);
  }

  gave(lsn: LSN, crc: number): void {
    if (lsn > this.#given.lsn) this.#given = { lsn, crc };
  }

  missing(lsn: LSN, seed: number, attempt: number): void {
    for (let look = attempt;; look++) {
      this.look();
      if (this.seed !== seed) throw this.file.gone("the file was replaced by a copy of the log");
      const { state } = this.reader.probe(lsn);
      if (state === SlotState.Record && look < RECORD_LOOKS) return;
      const { tail, capacity } = this.header;
      if (lsn < tail) throw new WALLaggedError(this.path, lsn, tail - 1);
      if (lsn > this.last) throw new WALRewoundError(this.path, lsn);
      const loss = lossOf(lsn, lsn, capacity);
      const refuse = `Cannot read LSN ${lsn}: the record at byte ${loss.offset}`;
      if (state === SlotState.Unsupported) {
        throw new WALFormatError(this.path, loss.offset, `${refuse} was written by a later version`);
      }
      if (look >= RECORD_LOOKS) throw new WALCorruptError(this.path, [loss], `${refuse} is damaged`);
      waitForWriter();
    }
  }

  close(): void {
    this.isOpen = false;
    this.file.close();
  }

  /** True if the file has the record, or may have used its slot again. */
  #isStill({ lsn, crc }: Seen): boolean {
    if (crc === null) return true;
    const found = this.reader.probe(lsn);
    if (found.state === SlotState.Record) return found.crc === crc;
    if (lsn >= this.header.tail) this.file.readHeader(this.given); // the slot is perhaps being used again
    return lsn < this.header.tail;
  }

  #findDurable(): void {
    const { durable, tail, capacity } = this.header;
    const known = Math.max(durable, this.#proved.lsn);
    const newest = this.reader.newest(known, tail + capacity);
    this.head = newest + 1;
    this.durable = newest === known ? known : Math.max(known, newest - this.reader.probe(newest).distance);
    if (this.durable > this.#proved.lsn) this.#proved = this.#seen(this.durable);
  }

  /** The last of the records that follow the durable ones without a gap. */
  #findAppended(): LSN {
    if (!this.#isStill(this.#appended)) this.#appended = NOTHING;
    const last = this.reader.lastInRow(Math.max(this.durable, this.#appended.lsn), this.head);
    this.#appended = this.#seen(last);
    return last;
  }

  /** A record, if it is in its place. */
  #seen(lsn: LSN): Seen {
    if (lsn === 0) return NOTHING;
    const { state, crc } = this.reader.probe(lsn);
    return state === SlotState.Record ? { lsn, crc } : NOTHING;
  }
}
