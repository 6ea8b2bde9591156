// The fields of a slot, whether or not its bytes are a whole record.

import type { FileMemory } from "../../ffi/file_memory.ts";
import { assert } from "../assert.ts";
import type { LSN, OpType } from "../types.ts";
import { storeHalves } from "./big_endian.ts";
import {
  DISTANCE_AT,
  FLAG_BATCH_GOES_ON,
  FLAGS_AT,
  KEY_HIGH_AT,
  KEY_LOW_AT,
  LSN_AT,
  OPCODE_MASK,
  RECORD_BYTES,
  TIME_NANOS_AT,
  TIME_SEQ_AT,
  TIME_SHARD_AT,
  VALUE_HIGH_AT,
  VALUE_LOW_AT,
  VERSION_OP_AT,
} from "./layout.ts";
import { getSafeU64 } from "./u64.ts";

const TWO_TO_32 = 0x1_0000_0000;
const WORDS = RECORD_BYTES / 4;

export function viewOf({ buffer, at, sizeBytes }: FileMemory): DataView {
  return new DataView(buffer, at, sizeBytes);
}

export function wordsOf({ buffer, at, sizeBytes }: FileMemory): Int32Array {
  return new Int32Array(buffer, at, Math.floor(sizeBytes / 4));
}

/** Record slots in memory, to be read. `Slots.moveTo()` alone changes the fields. */
export class SlotFields {
  /** The memory from the file's first byte on. */
  view: DataView;
  /** As `view`. */
  words: Int32Array;
  /** Byte offset of slot 0. */
  readonly base: number;
  count: number;
  /** Index of the first word of slot 0. */
  protected readonly firstWord: number;

  /** @param base offset of the first slot in the file, a multiple of 4. */
  constructor(memory: FileMemory, base: number, count: number) {
    assert(base % 4 === 0 && base + count * RECORD_BYTES <= memory.sizeBytes, "slots lie inside their memory");
    this.view = viewOf(memory);
    this.words = wordsOf(memory);
    this.base = base;
    this.firstWord = base / 4;
    this.count = count;
  }

  /** True if a slot bears this LSN. */
  hasLsn(slot: number, lsn: LSN): boolean {
    const word = this.wordOf(slot);
    return this.words[word + 2] === (lsn | 0) && this.words[word + 3] === ((lsn / TWO_TO_32) | 0);
  }

  /** The slot's LSN. It may be no safe integer, if the bytes are not those of a record. */
  lsnAt(slot: number): number {
    return getSafeU64(this.view, this.offsetOf(slot) + LSN_AT);
  }

  opTypeAt(slot: number): OpType {
    return (this.view.getUint8(this.offsetOf(slot) + VERSION_OP_AT) & OPCODE_MASK) as OpType;
  }

  /** True if the batch goes on in the next record. */
  batchGoesOn(slot: number): boolean {
    return (this.view.getUint8(this.offsetOf(slot) + FLAGS_AT) & FLAG_BATCH_GOES_ON) !== 0;
  }

  /** LSN minus the highest LSN that was durable when the record was written. */
  distanceAt(slot: number): number {
    return this.view.getUint32(this.offsetOf(slot) + DISTANCE_AT, true);
  }

  timeNanosAt(slot: number): bigint {
    return this.#u64(slot, TIME_NANOS_AT);
  }

  timeSeqAt(slot: number): number {
    return this.view.getUint32(this.offsetOf(slot) + TIME_SEQ_AT, true);
  }

  timeShardAt(slot: number): number {
    return this.view.getUint16(this.offsetOf(slot) + TIME_SHARD_AT, true);
  }

  keyHighAt(slot: number): bigint {
    return this.#u64(slot, KEY_HIGH_AT);
  }

  keyLowAt(slot: number): bigint {
    return this.#u64(slot, KEY_LOW_AT);
  }

  valueHighAt(slot: number): bigint {
    return this.#u64(slot, VALUE_HIGH_AT);
  }

  valueLowAt(slot: number): bigint {
    return this.#u64(slot, VALUE_LOW_AT);
  }

  /** Copies a slot's key, big-endian. The caller has checked that `into` has room for it. */
  copyKey(slot: number, into: Uint8Array, at: number): void {
    this.#copyBytes(slot, KEY_HIGH_AT, into, at);
  }

  /** As `copyKey()`, for the value. */
  copyValue(slot: number, into: Uint8Array, at: number): void {
    this.#copyBytes(slot, VALUE_HIGH_AT, into, at);
  }

  /** In a checkpoint record: the LSN up to which the store has everything. */
  checkpointAt(slot: number): LSN {
    return getSafeU64(this.view, this.offsetOf(slot) + VALUE_LOW_AT);
  }

  #u64(slot: number, at: number): bigint {
    return this.view.getBigUint64(this.offsetOf(slot) + at, true);
  }

  /** Reads all words before it stores a byte, through the view, which throws if it is detached. */
  #copyBytes(slot: number, from: number, into: Uint8Array, at: number): void {
    const { view } = this;
    const offset = this.offsetOf(slot) + from;
    const highLower = view.getInt32(offset, true);
    const highUpper = view.getInt32(offset + 4, true);
    const lowLower = view.getInt32(offset + 8, true);
    const lowUpper = view.getInt32(offset + 12, true);
    storeHalves(into, at, highUpper, highLower, lowUpper, lowLower);
  }

  /** Byte offset of a slot. */
  protected offsetOf(slot: number): number {
    return this.base + slot * RECORD_BYTES;
  }

  /** Index of a slot's first word in `words`. */
  wordOf(slot: number): number {
    return this.firstWord + slot * WORDS;
  }
}
