// Copies headers and slots of a log's file into memory of its own, where they are verified.
//
// Another process may write the file meanwhile, so only the copy is looked at: what was verified
// does not change any more. No file is mapped, so a file that is cut is an error and no signal.

import { Buffer } from "node:buffer";
import { FileMemory } from "../../ffi/file_memory.ts";
import type { ReadableFile } from "../../ffi/readable_file.ts";
import { toWALError } from "../errors.ts";
import { type Header, type HeaderPair, readHeaders, storedChecksum } from "../format/header.ts";
import type { HeaderMark } from "../format/live_block.ts";
import { CRC_AT, HEADER_AT, HEADER_BYTES, RECORD_BYTES } from "../format/layout.ts";
import { checksumSeed, Slots, SlotState } from "../format/record.ts";
import { offsetOf, slotOf } from "../format/ring.ts";
import type { LSN } from "../types.ts";

/** What a slot of the file holds, compared with the LSN that was asked for. */
export interface Probe {
  readonly state: SlotState;
  /** The record's checksum, as it is stored. Two records of one LSN differ in it. */
  readonly crc: number;
  /** LSN minus the highest LSN that was durable when the record was written. */
  readonly distance: number;
  readonly batchGoesOn: boolean;
}

/** How often headers are read before they count as damaged, because a writer stores them. */
export const HEADER_LOOKS = 20;
const BETWEEN_LOOKS_MS = 1;

const still = new Int32Array(new SharedArrayBuffer(4));

/** Holds the thread for the time that another process may take to go on. */
export function waitForWriter(): void {
  Atomics.wait(still, 0, 0, BETWEEN_LOOKS_MS);
}

/** Bytes of both header copies. */
const HEADERS_BYTES = HEADER_AT[1] + HEADER_BYTES;

/** Copies the headers of a file. */
export class HeaderReader {
  readonly #file: ReadableFile;
  readonly #bytes = new Uint8Array(HEADERS_BYTES);
  /** The bytes that `pair` was read from. */
  readonly bytes: Uint8Array = new Uint8Array(HEADERS_BYTES);
  pair: HeaderPair;

  constructor(file: ReadableFile) {
    this.#file = file;
    this.pair = readHeaders(this.bytes);
    this.read();
  }

  /**
   * Copies both headers. If neither is valid, a writer may be storing them, so they are read again.
   * The caller decides about headers that stay invalid.
   */
  read(): void {
    for (let look = 1;; look++) {
      readAt(this.#file, 0, this.#bytes);
      // Mostly they are as before, and checksums take the time of many system calls.
      if (Buffer.compare(this.#bytes, this.bytes) !== 0) {
        this.bytes.set(this.#bytes);
        this.pair = readHeaders(this.bytes);
      }
      if (this.pair.newest !== null || look === HEADER_LOOKS) return;
      waitForWriter();
    }
  }

  /** How the newest header is recognized. */
  get mark(): HeaderMark {
    const { newest, newestCopy } = this.pair;
    return { writeCounter: newest?.writeCounter ?? 0, headerCrc: storedChecksum(this.bytes, newestCopy) };
  }
}

/** As `ReadableFile.read()`, with zeros after the file's end, and the errors that callers catch. */
function readAt(file: ReadableFile, offset: number, into: Uint8Array): void {
  try {
    const count = file.read(offset, into);
    if (count < into.length) into.fill(0, count);
  } catch (error) {
    throw toWALError(error, file.path, 0);
  }
}

/** How many records are verified at once where several are. */
const RUN_RECORDS = 256;

/** Reads some slots of a file. */
export class SlotReader {
  readonly file: ReadableFile;
  readonly capacity: number;
  /** The slots that were copied last, the first of them as slot 0. */
  readonly slots: Slots;

  constructor(file: ReadableFile, { capacity, logId }: Pick<Header, "capacity" | "logId">) {
    this.file = file;
    this.capacity = capacity;
    const memory = new FileMemory(new ArrayBuffer(RUN_RECORDS * RECORD_BYTES));
    this.slots = new Slots(memory, 0, RUN_RECORDS, checksumSeed(logId));
  }

  /** Copies consecutive slots. */
  copy(slot: number, count: number): void {
    readAt(this.file, offsetOf(slot), this.slots.bytesOf(0, count));
  }

  /** Copies the slot of a record to slot 0, and verifies it. */
  probe(lsn: LSN): Probe {
    this.copy(slotOf(lsn, this.capacity), 1);
    const { slots } = this;
    return {
      state: slots.verify(0, lsn),
      crc: slots.view.getInt32(CRC_AT, true),
      distance: slots.distanceAt(0),
      batchGoesOn: slots.batchGoesOn(0),
    };
  }

  /** The hybrid time of a record. Its slot is not verified. */
  timeOf(lsn: LSN): Pick<Header, "timeNanos" | "timeSeq"> {
    this.copy(slotOf(lsn, this.capacity), 1);
    return { timeNanos: this.slots.timeNanosAt(0), timeSeq: this.slots.timeSeqAt(0) };
  }

  /** True if the record is in its place. */
  has(lsn: LSN): boolean {
    return this.probe(lsn).state === SlotState.Record;
  }

  /**
   * The newest record that is in its place, found by doubling steps and then by halving them. After
   * a crash there may be gaps, so a later record may be in its place too.
   *
   * @param base a record that is there, or the LSN before the first one.
   * @param end no record from this LSN on can be there.
   */
  newest(base: LSN, end: LSN): LSN {
    let step = 1;
    while (base + step < end && this.has(base + step)) {
      base += step;
      step *= 2;
    }
    for (step = Math.floor(step / 2); step >= 1; step = Math.floor(step / 2)) {
      if (base + step < end && this.has(base + step)) base += step;
    }
    return base;
  }

  /**
   * The newest record behind damage, given `newest()`: where a later record knows that the next one
   * was durable, that one is damaged, and not the log's end. Growing steps look for later records.
   * They find some unless the damage is more than 16 times as long as what is left behind it.
   *
   * @returns `newest` if nothing proves damage.
   */
  newestBehindDamage(newest: LSN, end: LSN): LSN {
    for (let step = 2; newest + step < end; step += Math.max(1, step >> 4)) {
      if (!this.has(newest + step)) continue;
      const later = this.newest(newest + step, end);
      if (later - this.probe(later).distance > newest) return this.newestBehindDamage(later, end);
    }
    return newest;
  }

  /** The last of the records after `base` that follow each other without a gap, before `end`. */
  lastInRow(base: LSN, end: LSN): LSN {
    for (let lsn = base + 1; lsn < end;) {
      const slot = slotOf(lsn, this.capacity);
      const count = Math.min(end - lsn, this.capacity - slot, RUN_RECORDS);
      this.copy(slot, count);
      const { good } = this.slots.verifyRun(0, lsn, count);
      lsn += good;
      if (good < count) return lsn - 1;
    }
    return Math.max(base, end - 1);
  }

  /** The last of the damaged records from `first` on that follow each other, up to `end`. */
  lastDamaged(first: LSN, end: LSN): LSN {
    for (let lsn = first; lsn <= end;) {
      const slot = slotOf(lsn, this.capacity);
      const count = Math.min(end - lsn + 1, this.capacity - slot, RUN_RECORDS);
      this.copy(slot, count);
      for (let index = 0; index < count; index++, lsn++) {
        if (this.slots.verify(index, lsn) !== SlotState.Other) return Math.max(first, lsn - 1);
      }
    }
    return end;
  }

  /**
   * The last record up to `end` that ends its batch, or is not in its place. It is less than `tail`
   * if there is none.
   */
  lastWhole(tail: LSN, end: LSN): LSN {
    for (let last = end, most = 1; last >= tail; most = RUN_RECORDS) {
      const slot = slotOf(last, this.capacity);
      const count = Math.min(last - tail + 1, slot + 1, most);
      this.copy(slot - count + 1, count);
      const first = last - count + 1;
      for (let index = count - 1; index >= 0; index--) {
        if (this.slots.verify(index, first + index) !== SlotState.Record) return first + index;
        if (!this.slots.batchGoesOn(index)) return first + index;
      }
      last = first - 1;
    }
    return tail - 1;
  }
}

/**
 * Copies the slots of records `first` to `last` to where a ring of `into.count` slots has them.
 */
export function copyRun(file: ReadableFile, capacity: number, into: Slots, first: LSN, last: LSN): void {
  for (let lsn = first; lsn <= last;) {
    const [from, to] = [slotOf(lsn, capacity), slotOf(lsn, into.count)];
    const count = Math.min(last - lsn + 1, capacity - from, into.count - to);
    readAt(file, offsetOf(from), into.bytesOf(to, count));
    lsn += count;
  }
}
