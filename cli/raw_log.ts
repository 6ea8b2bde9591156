// A log's file as it lies there: both headers, every slot, and what recovery would decide about it.
// Nothing is written, mapped or locked. A writer may go on meanwhile, so what looks wrong is read
// again until it stays as it is.

import * as fs from "node:fs";
import { Buffer } from "node:buffer";
import { FileMemory } from "../mod.ts";
import { type Header, type HeaderPair, readHeaders } from "../src/format/header.ts";
import {
  HEADER_AT,
  HEADER_LOG_ID_AT,
  LOG_ID_BYTES,
  MAX_CAPACITY,
  RECORD_BYTES,
  RING_AT,
} from "../src/format/layout.ts";
import { checksumSeed, Slots, SlotState } from "../src/format/record.ts";
import { capacityOf, fileBytesOf, offsetOf, slotOf } from "../src/format/ring.ts";
import { recover, type Verdict } from "../src/recovery/recovery.ts";
import { CommandError, errnoOf, Exit } from "./exit_codes.ts";
import { openToRead } from "./input.ts";
import { breathe, rest } from "./interrupt.ts";
import type { Shown } from "./record_text.ts";

/** Bytes that are read at once. */
const PIECE_BYTES = 4 * 1024 * 1024;
/** Where a piece cannot be read, so much is given up at once. */
const SECTOR_BYTES = 4096;
/** Milliseconds between two looks at what seems wrong. A writer needs far less to end an append. */
const BETWEEN_LOOKS_MS = 60;
/** How often it is looked at. A log that moves on faster than it is read is never seen whole. */
const MOST_LOOKS = 50;

/** A file's bytes and what they mean. */
export class RawLog {
  readonly path: string;
  readonly fileBytes: number;
  readonly pair: HeaderPair;
  /** Ranges of bytes that the medium could not read; they are zeros here. */
  readonly unreadable: readonly number[];
  /** The ring, as long as the file has it. */
  readonly slots: Slots;
  /** What recovery would decide; null without a valid header. */
  readonly verdict: Verdict | null;
  /** The slot of each record that is damaged, with its LSN. */
  readonly #damaged: ReadonlyMap<number, number>;

  constructor(path: string, memory: FileMemory, fileBytes: number, unreadable: readonly number[], watch: Watch) {
    this.path = path;
    this.fileBytes = fileBytes;
    this.unreadable = unreadable;
    this.pair = readHeaders(memory.bytes(0, RING_AT));
    const { newest } = this.pair;
    const capacity = newest?.capacity ?? Math.min(capacityOf(memory.sizeBytes), MAX_CAPACITY);
    this.slots = new WatchedSlots(memory, capacity, seedOf(memory, this.pair, capacity), watch);
    this.verdict = newest === null ? null : recover(this.slots, newest, true);
    const lsns = (this.verdict?.damaged ?? []).flatMap(({ first, last }) => lastLap(first, last, capacity));
    this.#damaged = new Map(lsns.map((lsn) => [slotOf(lsn, capacity), lsn]));
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
    const { slots } = this;
    const found = slots.lsnAt(slot);
    const inPlace = Number.isSafeInteger(found) && found >= 1 && slotOf(found, slots.count) === slot;
    const lsn = inPlace ? found : 0;
    const expected = this.#damaged.get(slot);
    const about = { slot, offset: offsetOf(slot), lsn: expected ?? lsn };
    if (expected !== undefined) return { ...about, state: "damaged" };
    if (this.#isUnwritten(slot)) return { ...about, lsn: 0, state: "unwritten" };
    const state = inPlace ? slots.verify(slot, lsn) : SlotState.Other;
    if (state === SlotState.Unsupported) return { ...about, state: "later version" };
    const [tail, head] = [this.verdict?.tail ?? 1, this.head];
    if (state === SlotState.Record) {
      return { ...about, state: lsn < tail ? "stale" : lsn < head ? "record" : "phantom" };
    }
    return { ...about, state: found >= head ? "torn" : "rotten" };
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

  /** The slots that decide about damage or, where there is none, about a torn tail. */
  suspicious(): readonly number[] {
    return this.#damaged.size > 0 ? [...this.#damaged.keys()] : this.verdict?.debris ?? [];
  }

  #isUnwritten(slot: number): boolean {
    const { words } = this.slots;
    const at = this.slots.wordOf(slot);
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

/** Told how much of the ring was looked at, from 0 to 1. */
export type Watch = (share: number) => void;

/** Slots that tell how far a walk through them is. */
class WatchedSlots extends Slots {
  readonly #watch: Watch;

  constructor(memory: FileMemory, capacity: number, seed: number, watch: Watch) {
    super(memory, RING_AT, capacity, seed);
    this.#watch = watch;
  }

  override verifyRun(slot: number, lsn: number, count: number): ReturnType<Slots["verifyRun"]> {
    if (count > 1) this.#watch(slot / this.count);
    return super.verifyRun(slot, lsn, count);
  }
}

/** The LSNs of a range, but not those whose slots hold later ones of it. */
function lastLap(first: number, last: number, capacity: number): number[] {
  const from = Math.max(first, last - capacity + 1);
  return Array.from({ length: last - from + 1 }, (_, index) => from + index);
}

/**
 * The state from which checksums start: of the newest header, or else of the first copy under whose
 * id some slot verifies.
 */
function seedOf(memory: FileMemory, { newest }: HeaderPair, capacity: number): number {
  if (newest !== null) return checksumSeed(newest.logId);
  const seeds = HEADER_AT.map((at) => checksumSeed(memory.bytes(at + HEADER_LOG_ID_AT, LOG_ID_BYTES).slice()));
  const hasRecord = (seed: number) => {
    const slots = Slots.ofRing(memory, capacity, seed);
    for (let slot = 0; slot < capacity; slot++) if (slots.lsnAt(slot) !== 0 && slots.checksumMatches(slot)) return true;
    return false;
  };
  return seeds.find(hasRecord) ?? seeds[0]!;
}

/**
 * Both header copies of a file.
 *
 * @returns null if it is no file, or too short for a log.
 * @throws {CommandError} if it cannot be read at all.
 */
export function readHeaderPair(path: string): HeaderPair | null {
  const descriptor = openToRead(path);
  try {
    const headers = readHeaderBytes(descriptor);
    return headers === null ? null : readHeaders(headers);
  } finally {
    fs.closeSync(descriptor);
  }
}

/** Null if the file is no file, or too short for a log. */
function readHeaderBytes(descriptor: number): Uint8Array | null {
  const status = fs.fstatSync(descriptor);
  if (!status.isFile() || status.size < RING_AT) return null;
  const headers = new Uint8Array(RING_AT);
  readInto(descriptor, 0, headers, []);
  return headers;
}

/**
 * Reads a file.
 *
 * @param watch is told how far reading and verifying are.
 * @returns null if it is no file, or too short for a log.
 * @throws {CommandError} if it cannot be read at all.
 */
export async function readRawLog(path: string, watch: Watch = () => {}): Promise<RawLog | null> {
  const descriptor = openToRead(path);
  try {
    const headers = readHeaderBytes(descriptor);
    if (headers === null) return null;
    const fileBytes = fs.fstatSync(descriptor).size;
    const capacity = readHeaders(headers).newest?.capacity ?? 0;
    const memory = memoryOf(path, Math.max(wholeSlots(fileBytes), fileBytesOf(capacity)));
    const unreadable: number[] = [];
    for (let at = 0; at < fileBytes; at += PIECE_BYTES) {
      const piece = memory.bytes(at, Math.min(PIECE_BYTES, fileBytes - at, memory.sizeBytes - at));
      readInto(descriptor, at, piece, unreadable);
      watch(at / fileBytes / 2);
      await breathe();
    }
    memory.bytes(0, RING_AT).set(headers);
    const look = () => new RawLog(path, memory, fileBytes, unreadable, (share) => watch(0.5 + share / 2));
    return await settled(descriptor, memory, look);
  } finally {
    fs.closeSync(descriptor);
  }
}

/** Looks until what seems wrong does not change any more. */
async function settled(descriptor: number, memory: FileMemory, look: () => RawLog): Promise<RawLog> {
  for (let looks = 1, before = ""; looks <= MOST_LOOKS; looks++) {
    const log = look();
    const slots = log.suspicious();
    if (slots.length === 0 && log.verdict !== null) return log;
    await rest(BETWEEN_LOOKS_MS);
    const isNewHeader = refresh(descriptor, memory, 0, RING_AT);
    const changed = slots.filter((slot) => refresh(descriptor, memory, offsetOf(slot), RECORD_BYTES));
    // A new header may say that what seems wrong is released.
    const now = slots.join();
    if (changed.length === 0 && (!isNewHeader || now === before)) return log;
    before = now;
  }
  throw new CommandError(Exit.Later, "the log moves on faster than it can be read: try again");
}

/** Reads bytes again. @returns whether they changed. */
function refresh(descriptor: number, memory: FileMemory, offset: number, length: number): boolean {
  const before = Buffer.from(memory.bytes(offset, length).slice());
  const now = new Uint8Array(length);
  readInto(descriptor, offset, now, []);
  memory.bytes(offset, length).set(now);
  return !before.equals(now);
}

function wholeSlots(fileBytes: number): number {
  return fileBytesOf(capacityOf(fileBytes));
}

function memoryOf(path: string, sizeBytes: number): FileMemory {
  try {
    return new FileMemory(new ArrayBuffer(sizeBytes));
  } catch (error) {
    throw new CommandError(Exit.Unavailable, `${JSON.stringify(path)} needs ${sizeBytes} bytes of memory`, {
      cause: error,
    });
  }
}

/** Reads bytes, with zeros where the medium cannot read and after the file's end. */
function readInto(descriptor: number, offset: number, into: Uint8Array, unreadable: number[]): void {
  for (let at = 0; at < into.length;) {
    try {
      const count = fs.readSync(descriptor, into, at, into.length - at, offset + at);
      if (count === 0) return;
      at += count;
    } catch (error) {
      if (errnoOf(error) !== "EIO") throw error;
      at = readSectors(descriptor, offset, into, at, unreadable);
    }
  }
}

/** Reads what can be read of a piece, sector by sector. */
function readSectors(descriptor: number, offset: number, into: Uint8Array, from: number, unreadable: number[]): number {
  const end = Math.min(into.length, from + PIECE_BYTES);
  for (let at = from; at < end; at += SECTOR_BYTES) {
    try {
      fs.readSync(descriptor, into, at, Math.min(SECTOR_BYTES, end - at), offset + at);
    } catch (error) {
      if (errnoOf(error) !== "EIO") throw error;
      unreadable.push(offset + at);
    }
  }
  return end;
}
