// A cursor: reads records in place, in LSN order.

import { checkTarget } from "../arguments/target.ts";
import { ID_BYTES } from "../format/big_endian.ts";
import type { Slots } from "../format/record.ts";
import { slotOf } from "../format/ring.ts";
import type { HybridTime, LSN, OpType, WALRecord } from "../types.ts";
import { copyRecords } from "./copies.ts";
import type { ReadSource } from "./source.ts";
import { VerifiedAhead } from "./verified_ahead.ts";

/**
 * A reused window over the log (a flyweight). `next()` moves it, and its fields read the record in
 * place. It allocates nothing but the bigints and arrays that are read. What it shows is valid
 * until the log is next appended to, truncated, resized or closed. So read what you need before you
 * `await`.
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
   * @throws {WALTruncatedError} if the log has released the record and reused its slot.
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
  /** The key as a new array of 16 bytes, as {@linkcode WALRecord.key}. */
  readonly key: Uint8Array<ArrayBuffer>;
  /** The value as a new array of 16 bytes, as {@linkcode WALRecord.value}. */
  readonly value: Uint8Array<ArrayBuffer>;
  /** Copies the key, as {@linkcode WALRecord.copyKey}. */
  copyKey(into: Uint8Array, at?: number): void;
  /** Copies the value, as {@linkcode WALRecord.copyValue}. */
  copyValue(into: Uint8Array, at?: number): void;
  /** A copy of the record, which does not change any more. */
  toRecord(): WALRecord;
}

/** The cursor over a ring. */
export class RingCursor implements Cursor {
  readonly #source: ReadSource;
  readonly #slots: Slots;
  readonly #ahead: VerifiedAhead;
  readonly #first: LSN;
  readonly #last: LSN;
  #lsn: LSN;
  #slot: number;
  /** Slots of the ring that `#slot` is in; a resize changes them. */
  #count: number;

  constructor(source: ReadSource, first: LSN, last: LSN) {
    this.#source = source;
    this.#slots = source.slots();
    this.#ahead = new VerifiedAhead(source, last);
    this.#first = first;
    this.#last = last;
    this.#lsn = first - 1;
    this.#count = this.#slots.count;
    this.#slot = slotOf(first, this.#count) - 1;
  }

  next(): boolean {
    const lsn = this.#lsn + 1;
    if (lsn > this.#last) return false;
    if (this.#slots.count !== this.#count) this.#findSlot();
    const slot = this.#slot + 1 === this.#count ? 0 : this.#slot + 1;
    this.#ahead.verify(slot, lsn);
    this.#lsn = lsn;
    this.#slot = slot;
    return true;
  }

  get lsn(): LSN {
    return this.#lsn;
  }

  get opType(): OpType {
    return this.#slots.opTypeAt(this.#shown);
  }

  get batchGoesOn(): boolean {
    return this.#slots.batchGoesOn(this.#shown);
  }

  get timeNanos(): bigint {
    return this.#slots.timeNanosAt(this.#shown);
  }

  get timeSeq(): number {
    return this.#slots.timeSeqAt(this.#shown);
  }

  get timeShard(): number {
    return this.#slots.timeShardAt(this.#shown);
  }

  get time(): HybridTime {
    return [this.timeNanos, this.timeSeq, this.timeShard];
  }

  get keyHigh(): bigint {
    return this.#slots.keyHighAt(this.#shown);
  }

  get keyLow(): bigint {
    return this.#slots.keyLowAt(this.#shown);
  }

  get valueHigh(): bigint {
    return this.#slots.valueHighAt(this.#shown);
  }

  get valueLow(): bigint {
    return this.#slots.valueLowAt(this.#shown);
  }

  get key(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(ID_BYTES);
    this.#slots.copyKey(this.#shown, bytes, 0);
    return bytes;
  }

  get value(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(ID_BYTES);
    this.#slots.copyValue(this.#shown, bytes, 0);
    return bytes;
  }

  copyKey(into: Uint8Array, at = 0): void {
    checkTarget(into, at);
    this.#slots.copyKey(this.#shown, into, at);
  }

  copyValue(into: Uint8Array, at = 0): void {
    checkTarget(into, at);
    this.#slots.copyValue(this.#shown, into, at);
  }

  toRecord(): WALRecord {
    this.#mustShow();
    return copyRecords(this.#source, this.#lsn, this.#lsn)[0]!;
  }

  /** The slot of the record that it is at. */
  get #shown(): number {
    this.#mustShow();
    return this.#slot;
  }

  /** The log was resized, so the records have other slots. */
  #findSlot(): void {
    this.#count = this.#slots.count;
    this.#slot = slotOf(this.#lsn, this.#count); // -1 if the cursor is before LSN 1
  }

  #mustShow(): void {
    if (this.#slots.count !== this.#count) this.#findSlot();
    if (this.#lsn < this.#first) throw new RangeError("Cannot read a cursor: next() has not returned true yet");
  }
}
