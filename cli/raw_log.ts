// A log's file as it lies there: both headers, every slot, and what recovery would decide about it.
// Nothing is written, mapped or locked. A writer may go on meanwhile, so what looks wrong is looked
// at again until it looks the same twice.

import * as fs from "node:fs";
import { type Header, type HeaderPair, readHeaders } from "../src/format/header.ts";
import {
  HEADER_AT,
  HEADER_LOG_ID_AT,
  LOG_ID_BYTES,
  MAX_CAPACITY,
  RECORD_BYTES,
  RING_AT,
} from "../src/format/layout.ts";
import { checksumSeed, SlotState } from "../src/format/record.ts";
import { capacityOf, fileBytesOf, offsetOf, slotOf } from "../src/format/ring.ts";
import { type LsnRange, recover, type Verdict } from "../src/recovery/recovery.ts";
import { CommandError, Exit } from "./exit_codes.ts";
import { openToRead } from "./input.ts";
import { breathe, rest } from "./interrupt.ts";
import type { Shown } from "./record_text.ts";
import { readInto, WindowedSlots } from "./windowed_slots.ts";

/** Bytes that are read at once before the verdict. */
const PIECE_BYTES = 4 * 1024 * 1024;
/** Milliseconds between two looks at what seems wrong. A writer needs far less to end an append. */
const BETWEEN_LOOKS_MS = 60;
/** How often it is looked at. A log that moves on faster than it is read is never seen whole. */
const MOST_LOOKS = 50;
/** How often a slot is read that the verdict does not explain. */
const SLOT_LOOKS = 3;

/** A log's file, and what its bytes meant at one look. It is open until it is disposed. */
export class RawLog implements Disposable {
  readonly path: string;
  readonly fileBytes: number;
  /** The sectors that the medium cannot read, by byte offset. They are zeros here. */
  readonly unreadable: readonly number[];
  readonly pair: HeaderPair;
  /** The ring, as long as the newest header says, or else as the file is. */
  readonly slots: WindowedSlots;
  /** What recovery would decide; null without a valid header. */
  readonly verdict: Verdict | null;
  readonly #file: RawFile;
  /** The slots of torn records and phantoms. */
  readonly #debris: ReadonlySet<number>;

  constructor(file: RawFile) {
    this.#file = file;
    ({ path: this.path, fileBytes: this.fileBytes, unreadable: this.unreadable } = file);
    const headers = file.headers();
    this.pair = readHeaders(headers);
    this.slots = file.slots(headers, this.pair);
    const { newest } = this.pair;
    this.verdict = newest === null ? null : recover(this.slots, newest, true);
    this.#debris = new Set(this.verdict?.debris);
  }

  get header(): Header | null {
    return this.pair.newest;
  }

  /** One more than the newest record that is kept or was acknowledged; Infinity if nobody knows. */
  get head(): number {
    return this.verdict === null ? Infinity : Math.max(this.verdict.head, this.verdict.proved + 1);
  }

  get capacity(): number {
    return this.slots.count;
  }

  /** True if the file lacks slots that its header counts. */
  get isCut(): boolean {
    return this.header !== null && this.fileBytes < fileBytesOf(this.header.capacity);
  }

  /** What a slot is, by the glossary of docs/design.md. */
  slotAt(slot: number): RawSlot {
    for (let look = 1;; look++) {
      const about = this.#look(slot);
      const isExplained = !["torn", "rotten"].includes(about.state) || this.#debris.has(slot);
      if (isExplained || look === SLOT_LOOKS) return about;
      this.slots.refresh(slot); // a writer may just be storing it
    }
  }

  #look(slot: number): RawSlot {
    const { slots } = this;
    const found = slots.lsnAt(slot);
    const inPlace = Number.isSafeInteger(found) && found >= 1 && slotOf(found, slots.count) === slot;
    const lsn = inPlace ? found : 0;
    const about = { slot, offset: offsetOf(slot), lsn };
    const damaged = this.#damagedAt(slot);
    if (damaged !== null) return { ...about, lsn: damaged, state: "damaged" };
    if (this.#isUnwritten(slot)) return { ...about, lsn: 0, state: "unwritten" };
    const state = inPlace ? slots.verify(slot, lsn) : SlotState.Other;
    if (state === SlotState.Unsupported) return { ...about, state: "later version" };
    const [tail, head] = [this.verdict?.tail ?? 1, this.head];
    if (state !== SlotState.Record) return { ...about, state: found >= head ? "torn" : "rotten" };
    // An intact record after the end that the verdict does not name was appended since.
    const isPhantom = lsn >= head && this.#debris.has(slot);
    return { ...about, state: lsn < tail ? "stale" : isPhantom ? "phantom" : "record" };
  }

  /** The LSN of the damaged record that a slot should hold; null if there is none. */
  #damagedAt(slot: number): number | null {
    if (this.verdict === null || this.verdict.damaged.length === 0) return null;
    const { tail, damaged } = this.verdict;
    const { count } = this.slots;
    const lsn = tail + (slot - slotOf(tail, count) + count) % count;
    let [from, to] = [0, damaged.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (damaged[middle]!.last < lsn) from = middle + 1;
      else to = middle;
    }
    return from < damaged.length && damaged[from]!.first <= lsn ? lsn : null;
  }

  /** The fields of a slot, whatever it is. */
  recordAt(slot: number): Shown {
    const { slots } = this;
    return {
      lsn: slots.lsnAt(slot),
      opType: slots.opTypeAt(slot),
      timeNanos: slots.timeNanosAt(slot),
      timeSeq: slots.timeSeqAt(slot),
      timeShard: slots.timeShardAt(slot),
      keyHigh: slots.keyHighAt(slot),
      keyLow: slots.keyLowAt(slot),
      valueHigh: slots.valueHighAt(slot),
      valueLow: slots.valueLowAt(slot),
      batchGoesOn: slots.batchGoesOn(slot),
    };
  }

  /**
   * All that seems wrong, as numbers: damaged header copies, and damage or, where there is none, a
   * torn tail.
   */
  wrong(): readonly number[] {
    const copies = this.pair.copies.flatMap((copy, index) => typeof copy === "string" ? [-index - 1] : []);
    const { damaged, debris, head } = this.verdict ?? { damaged: [], debris: [], head: 0 };
    if (damaged.length > 0) return [...copies, ...damaged.flatMap(({ first, last }: LsnRange) => [first, last])];
    return debris.length > 0 ? [...copies, head, ...debris] : copies;
  }

  /** Both header copies, as they are now. */
  headers(): Uint8Array {
    return this.#file.headers();
  }

  /** True if the log has released records that the verdict counts: a writer may use their slots. */
  hasMovedOn(): boolean {
    const { newest } = readHeaders(this.#file.headers());
    return newest === null || newest.tail > (this.verdict?.tail ?? 0);
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  #isUnwritten(slot: number): boolean {
    const at = this.slots.wordOf(slot);
    const { words } = this.slots;
    for (let word = at; word < at + RECORD_BYTES / 4; word++) if (words[word] !== 0) return false;
    return true;
  }
}

/** What a slot is. */
export interface RawSlot {
  readonly slot: number;
  /** Byte offset in the file. */
  readonly offset: number;
  /** The LSN of its record, or of the record that should be there; 0 if nobody knows. */
  readonly lsn: number;
  /**
   * - `"record"`: a record of the log.
   * - `"damaged"`: a record that was acknowledged should be here.
   * - `"torn"`: half written, after the end.
   * - `"phantom"`: an intact record after the end, which recovery erases.
   * - `"stale"`: an intact record that is released.
   * - `"rotten"`: not intact, and of no use: a released record, or bytes without a place.
   * - `"unwritten"`: zeros.
   * - `"later version"`: a later version of this library wrote it.
   */
  readonly state: "record" | "damaged" | "torn" | "phantom" | "stale" | "rotten" | "unwritten" | "later version";
}

/** Told how much of the work is done, from 0 to 1. */
export type Watch = (share: number) => void;

/** An open file that has room for the headers of a log. */
class RawFile {
  readonly path: string;
  readonly fileBytes: number;
  readonly unreadable: number[] = [];
  readonly #descriptor: number;
  readonly #watch: Watch;
  /** The slots of the last look, and what they are of. */
  #slots: { readonly of: string; readonly slots: WindowedSlots } | null = null;

  constructor(path: string, descriptor: number, fileBytes: number, watch: Watch) {
    this.path = path;
    this.fileBytes = fileBytes;
    this.#descriptor = descriptor;
    this.#watch = watch;
  }

  headers(): Uint8Array {
    const headers = new Uint8Array(RING_AT);
    readInto(this.#descriptor, 0, headers);
    return headers;
  }

  /** Reads the file once, and lets signals in: the verdict then finds it in the system's cache. */
  async readThrough(): Promise<void> {
    const piece = new Uint8Array(PIECE_BYTES);
    const end = Math.min(this.fileBytes, fileBytesOf(readHeaders(this.headers()).newest?.capacity ?? MAX_CAPACITY));
    for (let at = 0; at < end; at += PIECE_BYTES) {
      const part = piece.subarray(0, end - at);
      this.unreadable.push(...readInto(this.#descriptor, at, part));
      this.#watch(at / end / 2);
      await breathe();
    }
  }

  /** The ring, of which nothing is read yet. */
  slots(headers: Uint8Array, { newest }: HeaderPair): WindowedSlots {
    const capacity = newest?.capacity ?? Math.min(capacityOf(this.fileBytes), MAX_CAPACITY);
    const seeds = newest !== null
      ? [checksumSeed(newest.logId)]
      : HEADER_AT.map((at) => checksumSeed(headers.slice(at + HEADER_LOG_ID_AT, at + HEADER_LOG_ID_AT + LOG_ID_BYTES)));
    const of = [capacity, ...seeds].join();
    if (this.#slots?.of !== of) this.#slots = { of, slots: this.#withRecords(capacity, seeds) };
    this.#slots.slots.forget();
    return this.#slots.slots;
  }

  close(): void {
    fs.closeSync(this.#descriptor);
  }

  /** The slots under the first seed with which one verifies. A valid header leaves no choice. */
  #withRecords(capacity: number, [first = 0, ...others]: readonly number[]): WindowedSlots {
    let moves = 0;
    const watch = () => this.#watch(Math.min(1, 0.5 + moves++ * WindowedSlots.SLOTS / capacity / 2));
    const slots = new WindowedSlots(this.#descriptor, capacity, first, watch);
    for (const seed of others.filter((seed) => seed !== first)) {
      if (hasRecord(slots)) break;
      const other = new WindowedSlots(this.#descriptor, capacity, seed, watch);
      if (hasRecord(other)) return other;
    }
    return slots;
  }
}

function hasRecord(slots: WindowedSlots): boolean {
  for (let slot = 0; slot < slots.count; slot++) {
    if (slots.lsnAt(slot) !== 0 && slots.checksumMatches(slot)) return true;
  }
  return false;
}

/**
 * Both header copies of a file.
 *
 * @returns null if it is no file, or too short for a log.
 * @throws {CommandError} if it cannot be read at all.
 */
export function readHeaderPair(path: string): HeaderPair | null {
  const file = openRawFile(path, () => {});
  if (file === null) return null;
  try {
    return readHeaders(file.headers());
  } finally {
    file.close();
  }
}

/** Null if it is no file, or too short for a log. */
function openRawFile(path: string, watch: Watch): RawFile | null {
  const descriptor = openToRead(path);
  const status = fs.fstatSync(descriptor);
  if (status.isFile() && status.size >= RING_AT) return new RawFile(path, descriptor, status.size, watch);
  fs.closeSync(descriptor);
  return null;
}

/**
 * Reads a file.
 *
 * @param watch is told how far reading and verifying are.
 * @returns null if it is no file, or too short for a log.
 * @throws {CommandError} if it cannot be read at all.
 */
export async function readRawLog(path: string, watch: Watch = () => {}): Promise<RawLog | null> {
  const file = openRawFile(path, watch);
  if (file === null) return null;
  try {
    await file.readThrough();
    return await settled(file);
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Looks until what seems wrong is the same as at the look before. */
async function settled(file: RawFile): Promise<RawLog> {
  let before: readonly number[] = [];
  for (let look = 1; look <= MOST_LOOKS; look++) {
    const log = new RawLog(file);
    const wrong = log.wrong();
    if (wrong.length === before.length && wrong.every((number, index) => number === before[index])) return log;
    before = wrong;
    if (wrong.length === 0) return log;
    await rest(BETWEEN_LOOKS_MS);
  }
  throw new CommandError(Exit.Later, "the log moves on faster than it can be read: try again");
}
