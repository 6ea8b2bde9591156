// Where a followed log ends: up to which LSN it is durable, and up to which it may be read.
//
// The writer does not have to help. An LSN is known to be durable if the header says so, or if a
// later record does: each record tells how far back the highest durable LSN was. So a follower
// learns of the last group when the next record comes, or when the idle writer notes it in the
// header. A live file tells at once.

import { SlotState } from "../format/record.ts";
import type { LSN } from "../types.ts";
import type { FollowedFile } from "./followed_file.ts";
import type { LiveView } from "./live_view.ts";
import type { SlotReader } from "./log_reader.ts";

/** A record, and its checksum as the file had it. With null it cannot be looked for any more. */
export interface Seen {
  readonly lsn: LSN;
  readonly crc: number | null;
  readonly endsBatch: boolean;
}

export const NOTHING: Seen = { lsn: 0, crc: null, endsBatch: false };

/** What a writer tells: of more records, that there are none, or not a word that counts. */
export type Heard = "more" | "nothing new" | "silence";

/** The ends of one followed log, as of the last look. */
export class Ends {
  readonly #file: FollowedFile;
  readonly #live: LiveView;
  readonly #includesAppended: boolean;
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
  /** True once damage was looked for, and there was none: not each look for records does so. */
  #isIntact = false;

  /** @param includesAppended true to read records that are not durable yet. */
  constructor(file: FollowedFile, live: LiveView, includesAppended: boolean) {
    this.#file = file;
    this.#live = live;
    this.#includesAppended = includesAppended;
  }

  /** Takes nothing from an earlier look. */
  forget(): void {
    this.#proved = this.#appended = NOTHING;
    this.#isIntact = false;
  }

  /**
   * Finds the ends.
   *
   * @param given the newest record that a caller was given. The file has it.
   */
  find(given: LSN): void {
    if (this.#proved.lsn !== given && !isStill(this.#file, this.#proved, given)) this.#proved = NOTHING;
    this.#findDurable();
    const end = this.#includesAppended ? this.#findAppended(given) : this.durable;
    const isWhole = [this.#proved, this.#appended].some(({ lsn, endsBatch }) => lsn === end && endsBatch);
    this.last = isWhole ? end : this.#reader.lastWhole(this.#file.header.tail, end);
  }

  /**
   * Takes what the writer tells, if it does so under the header that is known. Whatever else has
   * happened to the file, a record that is in its place then is durable.
   */
  listen(): Heard {
    if (this.#includesAppended) return "silence";
    const told = this.#live.read(this.#file.header.logId, this.#file.mark);
    if (told === null || told.durable < this.#proved.lsn) return "silence";
    if (told.durable === this.last) return "nothing new";
    const seen = this.#seen(told.durable);
    if (!seen.endsBatch) return "silence";
    this.#proved = seen;
    [this.durable, this.last, this.head] = [seen.lsn, seen.lsn, told.head];
    return "more";
  }

  get #reader(): SlotReader {
    return this.#file.reader;
  }

  #findDurable(): void {
    const { durable, tail, capacity, logId } = this.#file.header;
    // The writer's word counts for a record that is in its place.
    const told = this.#live.read(logId, this.#file.mark);
    if (told !== null && told.durable > this.#proved.lsn) this.#proved = this.#seen(told.durable, this.#proved);
    const known = Math.max(durable, this.#proved.lsn);
    if (told?.durable === known && !this.#includesAppended) {
      [this.durable, this.head] = [known, told.head];
      return;
    }
    const end = tail + capacity;
    const reached = this.#reader.newest(known, end);
    const newest = this.#isIntact ? reached : this.#reader.newestBehindDamage(reached, end);
    this.#isIntact = newest === reached || this.#reader.has(reached + 1); // it has come meanwhile
    this.head = newest + 1;
    this.durable = newest === known ? known : Math.max(known, newest - this.#reader.probe(newest).distance);
    if (this.durable > this.#proved.lsn) this.#proved = this.#seen(this.durable);
  }

  /** The last of the records that follow the durable ones without a gap. */
  #findAppended(given: LSN): LSN {
    if (!isStill(this.#file, this.#appended, given)) this.#appended = NOTHING;
    const last = this.#reader.lastInRow(Math.max(this.durable, this.#appended.lsn), this.head);
    this.#appended = this.#seen(last);
    return last;
  }

  /** A record, if it is in its place. */
  #seen(lsn: LSN, otherwise = NOTHING): Seen {
    if (lsn === 0) return otherwise;
    const { state, crc, batchGoesOn } = this.#reader.probe(lsn);
    return state === SlotState.Record ? { lsn, crc, endsBatch: !batchGoesOn } : otherwise;
  }
}

/** True if the file has the record, or may have used its slot again. */
export function isStill(file: FollowedFile, { lsn, crc }: Seen, given: LSN): boolean {
  if (crc === null) return true;
  const found = file.reader.probe(lsn);
  if (found.state === SlotState.Record) return found.crc === crc;
  if (lsn >= file.header.tail) file.readHeader(given); // perhaps the slot is being used again
  return lsn < file.header.tail;
}
