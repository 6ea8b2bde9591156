// The log as a follower sees it: whether it is still the same one, and why a record is missing.
//
// A file can be changed in more ways than by its writer: replaced by a resize or a salvage, put
// back to an older state, made anew. So a follower remembers the checksums of the newest record
// that it has handed out, and of the newest durable one. With each look it checks that the file
// still has them.

import type { ReadingSystem } from "../../ffi/readable_file.ts";
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
import { Ends, isStill, NOTHING, type Seen } from "./ends.ts";
import { FollowedFile } from "./followed_file.ts";
import { LiveView } from "./live_view.ts";
import { copyRun, type SlotReader, waitForWriter } from "./log_reader.ts";
import type { WindowSource } from "./window.ts";

/** How often a record that is not in its place is looked for before it counts as damaged. */
const RECORD_LOOKS = 3;
/** After this time, the file is looked at although the writer tells of records … */
const TOLD_MS = 200;
/** … and after this one, although it tells that there are none. */
const TOLD_NOTHING_MS = 20;

/** One followed log. */
export class FollowedLog implements WindowSource {
  readonly file: FollowedFile;
  readonly live: LiveView;
  readonly ends: Ends;
  isOpen = true;
  #lookedMs = 0;
  /** The newest record that a caller was given. */
  #given: Seen = NOTHING;

  /**
   * @param includesAppended true to read records that are not durable yet.
   * @throws as `WAL.follow()`.
   */
  constructor(path: string, reading: ReadingSystem, includesAppended: boolean) {
    this.file = new FollowedFile(path, reading);
    this.live = new LiveView(reading, this.reader.file);
    this.ends = new Ends(this.file, this.live, includesAppended);
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

  /** The last record that may be read; less than the tail if there is none. */
  get last(): LSN {
    return this.ends.last;
  }

  /** The newest record that a caller was given; 0 if there is none. */
  get given(): LSN {
    return this.#given.lsn;
  }

  mustBeOpen(action: string): void {
    if (!this.isOpen) throw new WALClosedError(action, "the follower is closed");
  }

  /**
   * Looks for new records. The writer's word is enough for some time; otherwise this is `look()`.
   *
   * @throws as `Follower.records()`.
   */
  lookForMore(): void {
    this.mustBeOpen("read");
    const ms = performance.now() - this.#lookedMs;
    const heard = ms > TOLD_MS ? "silence" : this.ends.listen();
    if (heard === "silence" || (heard === "nothing new" && ms > TOLD_NOTHING_MS)) this.look();
  }

  /**
   * Looks at the file: whether it is still the log's, and what is in it now.
   *
   * @throws as `Follower.records()`.
   */
  look(): void {
    this.mustBeOpen("read");
    this.#lookedMs = performance.now();
    const { seed } = this;
    this.file.look(this.given);
    if (this.seed !== seed) {
      // In a copy of the log, records have other checksums.
      this.#given = { ...this.#given, crc: null };
      this.ends.forget();
    }
    if (!isStill(this.file, this.#given, this.given)) throw new WALRewoundError(this.path, this.given);
    this.ends.find(this.given);
  }

  copyRun(into: Slots, first: LSN, last: LSN): void {
    copyRun(this.reader.file, this.header.capacity, into, first, last);
  }

  gave(lsn: LSN, crc: number): void {
    if (lsn > this.given) this.#given = { lsn, crc, endsBatch: false };
  }

  missing(lsn: LSN, first: LSN, last: LSN, seed: number, attempt: number): void {
    for (let look = attempt;; look++) {
      this.ends.forget();
      this.look();
      if (this.seed !== seed) throw this.file.gone("the file was replaced by a copy of the log");
      const { state } = this.reader.probe(lsn);
      if (state === SlotState.Record && look < RECORD_LOOKS) return;
      const { tail, capacity } = this.header;
      if (lsn < tail) throw new WALLaggedError(this.path, first, tail - 1);
      if (lsn > this.last) throw new WALRewoundError(this.path, lsn);
      const { offset } = lossOf(lsn, lsn, capacity);
      const refuse = `Cannot read LSN ${lsn}: the record at byte ${offset}`;
      if (state === SlotState.Unsupported) {
        throw new WALFormatError(this.path, offset, `${refuse} was written by a later version`);
      }
      if (look >= RECORD_LOOKS) {
        const loss = lossOf(lsn, this.reader.lastDamaged(lsn, Math.min(last, this.last)), capacity);
        // Perhaps their slots are being used again. Then the next look says so.
        this.file.readHeader(this.given);
        const isStillKept = this.seed === seed && lsn >= this.header.tail;
        if (isStillKept || look > RECORD_LOOKS) throw new WALCorruptError(this.path, [loss], `${refuse} is damaged`);
      }
      waitForWriter();
    }
  }

  close(): void {
    this.isOpen = false;
    this.live.close();
    this.file.close();
  }
}
