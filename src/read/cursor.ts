// Read records in LSN order: in place, through one reused cursor, or as values.

import { WALCorruptError, type WALError, WALFormatError, WALTruncatedError } from "../errors.ts";
import {
  FLAG_BATCH_GOES_ON,
  FLAGS_AT,
  KEY_HIGH_AT,
  KEY_LOW_AT,
  OPCODE_MASK,
  RECORD_BYTES,
  TIME_NANOS_AT,
  TIME_SEQ_AT,
  TIME_SHARD_AT,
  VALUE_HIGH_AT,
  VALUE_LOW_AT,
  VERSION_OP_AT,
} from "../format/layout.ts";
import { type Slots, SlotState } from "../format/record.ts";
import { lossOf, offsetOf, rangesOf, slotOf } from "../format/ring.ts";
import { RUN_RECORDS } from "../format/run_codec.ts";
import { readRecords } from "./stored_record.ts";
import type { HybridTime, LSN, OpType, WALRecord } from "../types.ts";

/** What a reader asks of the log. */
export interface ReadSource {
  readonly path: string | null;
  /** The oldest record kept, now. */
  readonly tail: LSN;
  /** The ring; throws `WALClosedError` once the log is closed. */
  slots(): Slots;
  /**
   * Looks whether the file is still there to be read, since a load from a file that was cut kills the process, and has the
   * kernel read these records if it must.
   */
  makeReadable(first: LSN, last: LSN): void;
  /** Says that these records' bytes have been read: the process need not hold them any longer. */
  release(offset: number, length: number): void;
}

/** Bytes that are copied at once; what has been copied is forgotten, lest a replay hold the log twice. */
const COPY_BYTES = 256 * 1024;
const COPY_RECORDS = COPY_BYTES / RECORD_BYTES;
const WORDS = RECORD_BYTES / 4;

/** The records `first` to `last`, each verified; the caller has checked that they are retained. */
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

/** Verifies a copy run by run, and says at which slot each starts and how long it is. @throws as `damage()` has it. */
function forEachRun(source: ReadSource, copy: Slots, first: LSN, take: (slot: number, count: number) => void): void {
  for (let slot = 0; slot < copy.count; slot += RUN_RECORDS) {
    const count = Math.min(RUN_RECORDS, copy.count - slot);
    const { good } = copy.verifyRun(slot, first + slot, count);
    if (good < count) throw damage(source, first + slot + good);
    take(slot, count);
  }
}

/**
 * The bytes of `first` to `last`, slot 0 of the copy holding `first`. Not verified.
 *
 * @param buffer what they are copied into, if there is one already.
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
      bytes.set(new Uint8Array(slots.view.buffer as ArrayBuffer, offset + done, piece), at);
      at += piece;
      if (piece === COPY_BYTES) source.release(offset + done, piece);
    }
  }
  return slots.copyOf(bytes.buffer, count);
}

/** A cursor looks at the file once in so many records. */
const CHECK_RECORDS = 1024;
/** Records a lazy iterator copies at once. */
const CHUNK_RECORDS = 512;

/** Records from `first` to `last`, copied a piece at a time. */
export function* iterateRecords(source: ReadSource, first: LSN, last: LSN): Generator<WALRecord, undefined, undefined> {
  for (let from = first; from <= last; from += CHUNK_RECORDS) {
    checkRetained(source, from);
    yield* copyRecords(source, from, Math.min(last, from + CHUNK_RECORDS - 1));
  }
}

/** @throws {WALTruncatedError} if the log has let go of the record. */
export function checkRetained(source: ReadSource, lsn: LSN): void {
  if (lsn < source.tail) throw new WALTruncatedError(lsn, source.tail);
}

/** The error for a retained record that does not verify, or that a later version of this library wrote. */
export function damage(source: ReadSource, lsn: LSN): WALError {
  const slots = source.slots();
  const loss = lossOf(lsn, lsn, slots.count);
  if (slots.verify(slotOf(lsn, slots.count), lsn) === SlotState.Unsupported) {
    return new WALFormatError(
      source.path,
      loss.offset,
      `Cannot read LSN ${lsn}: the record at byte ${loss.offset} was written by a later version`,
    );
  }
  return new WALCorruptError(
    source.path,
    [loss],
    `Cannot read LSN ${lsn}: the record at byte ${loss.offset} is damaged`,
  );
}

/**
 * One reused window over the log (a flyweight): `next()` moves it, its fields read the record in place. It allocates nothing but the
 * bigints that are read. What it shows is valid until the log is next truncated, appended to or closed, so read what you
 * need before you `await`.
 *
 * @example
 * ```ts
 * import { OpType, WAL } from "@cidstore/wal";
 *
 * using wal = WAL.open(null);
 * wal.batchInsertSync([[1, 2, 3, 4], [5, 6, 7, 8]]);
 * let inserts = 0;
 * for (const cursor = wal.cursor(); cursor.next();) {
 *   if (cursor.opType === OpType.Insert) inserts++;
 * }
 * console.log(inserts); // 2
 * ```
 */
export interface Cursor {
  /**
   * Moves to the next record and verifies it.
   *
   * @returns false at the end; the fields then still show the last record.
   * @throws {WALTruncatedError} if the log has let go of it and used its slot again.
   * @throws {WALCorruptError} if it is damaged.
   * @throws {WALClosedError} if the log is closed.
   */
  next(): boolean;
  /** LSN of the record it is at; before the first `next()`, one less than the first record's. */
  readonly lsn: LSN;
  /** Opcode of the record, as in `OpType`. */
  readonly opType: OpType;
  /** True if the record's batch goes on in the next one. */
  readonly batchGoesOn: boolean;
  /** Nanoseconds of the record's hybrid time. */
  readonly timeNanos: bigint;
  /** Sequence number of the record's hybrid time. */
  readonly timeSeq: number;
  /** Shard of the record's hybrid time. */
  readonly timeShard: number;
  /** The record's hybrid time. */
  readonly time: HybridTime;
  /** Upper 64 bits of the key. */
  readonly keyHigh: bigint;
  /** Lower 64 bits of the key. */
  readonly keyLow: bigint;
  /** Upper 64 bits of the value. */
  readonly valueHigh: bigint;
  /** Lower 64 bits of the value. */
  readonly valueLow: bigint;
  /** The record as a value that stays as it is. */
  toRecord(): WALRecord;
}

/** The cursor over a ring. */
export class RingCursor implements Cursor {
  readonly #source: ReadSource;
  readonly #first: LSN;
  readonly #last: LSN;
  readonly #slots: Slots;
  #lsn: LSN;
  #slot: number;
  #untilCheck = 0;
  /** Records to be verified at once the next time. */
  #ahead = 1;
  /** Verified are the records before this LSN, in this turn of the microtask queue. */
  #verified: LSN;
  #turnIsOpen = false;

  readonly #closeTurn = () => {
    this.#turnIsOpen = false;
    this.#verified = this.#lsn + 1;
    this.#ahead = 1;
  };

  constructor(source: ReadSource, first: LSN, last: LSN) {
    this.#source = source;
    this.#slots = source.slots();
    this.#first = first;
    this.#last = last;
    this.#lsn = first - 1;
    this.#slot = slotOf(first, this.#slots.count) - 1;
    this.#verified = first;
  }

  next(): boolean {
    const lsn = this.#lsn + 1;
    if (lsn > this.#last) return false;
    if (--this.#untilCheck < 0) this.#check(lsn);
    const slots = this.#slots;
    const slot = this.#slot + 1 === slots.count ? 0 : this.#slot + 1;
    if (lsn === this.#verified) this.#verify(slot, lsn);
    // Verified a moment ago, in this turn: it is the same still if the log has not used its slot again.
    if (lsn >= this.#verified || !slots.hasLsn(slot, lsn)) {
      this.#check(lsn); // closed and overwritten are no damage
      throw damage(this.#source, lsn);
    }
    this.#lsn = lsn;
    this.#slot = slot;
    return true;
  }

  #verify(slot: number, lsn: LSN): void {
    if (!this.#turnIsOpen) {
      this.#turnIsOpen = true;
      queueMicrotask(this.#closeTurn);
    }
    const slots = this.#source.slots();
    const count = Math.min(this.#ahead, this.#untilCheck + 1, this.#last - lsn + 1, slots.count - slot);
    this.#verified = lsn + slots.verifyRun(slot, lsn, count).good;
    // More each time, since who reads on may read to the end.
    this.#ahead = Math.min(4 * this.#ahead, CHECK_RECORDS);
  }

  #check(lsn: LSN): void {
    this.#source.makeReadable(lsn, Math.min(this.#last, lsn + 2 * CHECK_RECORDS));
    checkRetained(this.#source, lsn);
    this.#untilCheck = CHECK_RECORDS - 1;
  }

  get lsn(): LSN {
    return this.#lsn;
  }

  get opType(): OpType {
    return (this.#view.getUint8(this.#at + VERSION_OP_AT) & OPCODE_MASK) as OpType;
  }

  get batchGoesOn(): boolean {
    return (this.#view.getUint8(this.#at + FLAGS_AT) & FLAG_BATCH_GOES_ON) !== 0;
  }

  get timeNanos(): bigint {
    return this.#view.getBigUint64(this.#at + TIME_NANOS_AT, true);
  }

  get timeSeq(): number {
    return this.#view.getUint32(this.#at + TIME_SEQ_AT, true);
  }

  get timeShard(): number {
    return this.#view.getUint16(this.#at + TIME_SHARD_AT, true);
  }

  get time(): HybridTime {
    return [this.timeNanos, this.timeSeq, this.timeShard];
  }

  get keyHigh(): bigint {
    return this.#view.getBigUint64(this.#at + KEY_HIGH_AT, true);
  }

  get keyLow(): bigint {
    return this.#view.getBigUint64(this.#at + KEY_LOW_AT, true);
  }

  get valueHigh(): bigint {
    return this.#view.getBigUint64(this.#at + VALUE_HIGH_AT, true);
  }

  get valueLow(): bigint {
    return this.#view.getBigUint64(this.#at + VALUE_LOW_AT, true);
  }

  toRecord(): WALRecord {
    this.#mustBeAtRecord();
    return copyRecords(this.#source, this.#lsn, this.#lsn)[0]!;
  }

  get #view(): DataView {
    this.#mustBeAtRecord();
    return this.#slots.view;
  }

  /** Byte offset of the record. */
  get #at(): number {
    return offsetOf(this.#slot);
  }

  #mustBeAtRecord(): void {
    if (this.#lsn < this.#first) throw new RangeError("Cannot read a cursor: next() has not returned true yet");
  }
}
