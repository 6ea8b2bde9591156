// Records of 64 bytes: encoded into their slots, and verified there.

import { FileMemory } from "../../ffi/file_memory.ts";
import { assert } from "../assert.ts";
import type { HalfOrBytes, LSN, OpType, U64 } from "../types.ts";
import { type Codec, codecOf, INITIAL_STATE, type Run, updateCrc32c } from "./codec.ts";
import {
  FLAG_BATCH_GOES_ON,
  KEY_HIGH_AT,
  KEY_LOW_AT,
  RECORD_BYTES,
  RECORD_VERSION,
  RING_AT,
  VALUE_HIGH_AT,
  VALUE_LOW_AT,
  VERSION_OP_AT,
  VERSION_SHIFT,
} from "./layout.ts";
import type { PackedItems } from "./packed_items.ts";
import { SlotFields, viewOf, wordsOf } from "./slot_fields.ts";

// Not imported, because V8 would load it at each use.
const TWO_TO_32 = 0x1_0000_0000;
const WORDS = RECORD_BYTES / 4;

/** The version in the byte that also has the opcode. */
const VERSION_BITS = RECORD_VERSION << VERSION_SHIFT;

/** Bytes of a record that its checksum covers. */
const COVERED_BYTES = RECORD_BYTES - VERSION_OP_AT;

/** Stores a safe integer as two words. */
function setNumber(words: Int32Array, word: number, value: number): void {
  words[word] = value | 0;
  words[word + 1] = (value / TWO_TO_32) | 0;
}

/** Stores a key or a value that is 16 bytes, big-endian, as two halves of two words each. */
function setBytes(words: Int32Array, word: number, bytes: Uint8Array): void {
  words[word] = (bytes[4]! << 24) | (bytes[5]! << 16) | (bytes[6]! << 8) | bytes[7]!;
  words[word + 1] = (bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!;
  words[word + 2] = (bytes[12]! << 24) | (bytes[13]! << 16) | (bytes[14]! << 8) | bytes[15]!;
  words[word + 3] = (bytes[8]! << 24) | (bytes[9]! << 16) | (bytes[10]! << 8) | bytes[11]!;
}

/** What a slot holds, compared with the LSN that is expected there. */
export const SlotState = {
  /** Checksum, LSN, version and opcode are right. */
  Record: 0,
  /** Checksum and LSN are right, but a later version of this library wrote it. */
  Unsupported: 1,
  /** Anything else. */
  Other: 2,
} as const;
/** One of {@linkcode SlotState}. */
export type SlotState = (typeof SlotState)[keyof typeof SlotState];

/** A hybrid time's nanoseconds as two words, and its sequence number. */
export interface TimeWords {
  readonly nanosLow: number;
  readonly nanosHigh: number;
  readonly seq: number;
}

/** A clock that can give the next time. */
export interface RunClock extends TimeWords {
  /** Moves on by one sequence number. */
  next(): void;
  /** Moves on by `count` numbers. They must not carry: `seq + count` is at most 2^32 − 1. */
  skip(count: number): void;
}

/**
 * The state from which a record's checksum starts: the CRC state after the log id. So the records
 * of other logs never verify.
 */
export function checksumSeed(logId: Uint8Array): number {
  return updateCrc32c(INITIAL_STATE, logId);
}

/** The state after a record of zeros. */
function stateAfterZeros(seed: number): number {
  return updateCrc32c(seed, new Uint8Array(COVERED_BYTES));
}

/** True if a slot of zeros would verify as far as its checksum goes. */
export function verifiesZeros(logId: Uint8Array): boolean {
  return ~stateAfterZeros(checksumSeed(logId)) === 0;
}

/** Some items of a batch, one after another. */
export interface BatchPart {
  /** All items of the batch. */
  readonly items: PackedItems;
  /** Index of the part's first item. */
  readonly from: number;
  readonly count: number;
  /** True if the part's last item is the last of the batch. */
  readonly endsBatch: boolean;
}

/** Record slots in memory: the ring itself, or a copy of a part of it. */
export class Slots extends SlotFields {
  memory: FileMemory;
  readonly #seed: number;
  #codec: Codec;

  /** @param base offset of the first slot in the file, a multiple of 4. */
  constructor(memory: FileMemory, base: number, count: number, seed: number) {
    super(memory, base, count);
    this.memory = memory;
    this.#seed = seed;
    this.#codec = codecOf(memory, seed);
  }

  /** The ring of a mapped file. */
  static ofRing(memory: FileMemory, capacity: number, seed: number): Slots {
    return new Slots(memory, RING_AT, capacity, seed);
  }

  /**
   * Makes these the slots of another memory, where records of the same log lie at the same base.
   * Whoever has them goes on with them. An error leaves them as they are.
   */
  moveTo(memory: FileMemory, count: number): void {
    assert(this.base + count * RECORD_BYTES <= memory.sizeBytes, "slots lie inside their memory");
    const codec = codecOf(memory, this.#seed);
    [this.view, this.words, this.count] = [viewOf(memory), wordsOf(memory), count];
    this.memory = memory;
    this.#codec = codec;
  }

  /**
   * Slots over a copy of their bytes, verified with the same seed.
   *
   * @param base offset of the first slot in the buffer.
   */
  copyOf(buffer: ArrayBuffer, base = 0): Slots {
    return new Slots(new FileMemory(buffer), base, (buffer.byteLength - base) / RECORD_BYTES, this.#seed);
  }

  /** The bytes of consecutive slots, as they are. */
  bytesOf(slot: number, count: number): Uint8Array<ArrayBuffer> {
    return this.memory.bytes(this.offsetOf(slot), count * RECORD_BYTES);
  }

  /**
   * Stores the fields of a record: every byte of the slot but the checksum, which `seal()` writes.
   * The arguments were checked.
   *
   * @param distance `lsn` minus the highest durable LSN.
   * @param time where the clock stands.
   * @param keyHigh the upper half of the key, or all of it in 16 bytes. With bytes, `keyLow` is
   * `undefined`. The value is given likewise.
   */
  write(
    slot: number,
    opType: OpType,
    flags: number,
    lsn: LSN,
    distance: number,
    time: TimeWords,
    timeShard: number,
    keyHigh: HalfOrBytes,
    keyLow: U64 | undefined,
    valueHigh: HalfOrBytes,
    valueLow: U64 | undefined,
  ): void {
    assert(slot >= 0 && slot < this.count, "a record is written into a slot of the ring");
    const words = this.words;
    const word = this.firstWord + slot * WORDS;
    this.#writeFront(word, VERSION_BITS | opType | (flags << 8) | (timeShard << 16), lsn, distance, time);
    // A bigint is never split: that allocates.
    const view = this.view;
    const at = word * 4;
    if (typeof keyHigh === "bigint") view.setBigUint64(at + KEY_HIGH_AT, keyHigh, true);
    else if (typeof keyHigh === "number") setNumber(words, word + 8, keyHigh);
    else setBytes(words, word + 8, keyHigh);
    if (typeof keyLow === "bigint") view.setBigUint64(at + KEY_LOW_AT, keyLow, true);
    else if (typeof keyLow === "number") setNumber(words, word + 10, keyLow);
    if (typeof valueHigh === "bigint") view.setBigUint64(at + VALUE_HIGH_AT, valueHigh, true);
    else if (typeof valueHigh === "number") setNumber(words, word + 12, valueHigh);
    else setBytes(words, word + 12, valueHigh);
    if (typeof valueLow === "bigint") view.setBigUint64(at + VALUE_LOW_AT, valueLow, true);
    else if (typeof valueLow === "number") setNumber(words, word + 14, valueLow);
  }

  /** Writes the checksums of consecutive slots, in their order. A checksum commits its record. */
  seal(slot: number, count: number): void {
    assert(slot >= 0 && slot + count <= this.count, "slots of the ring are sealed");
    this.#codec.seal(this.offsetOf(slot), count);
  }

  /** Writes what comes before a record's key, without the checksum. */
  #writeFront(word: number, kind: number, lsn: LSN, distance: number, time: TimeWords): void {
    // 32-bit halves are stored as words. For a double, `| 0` gives the low half.
    const words = this.words;
    words[word + 1] = kind;
    words[word + 2] = lsn | 0;
    words[word + 3] = (lsn / TWO_TO_32) | 0;
    words[word + 4] = time.nanosLow;
    words[word + 5] = time.nanosHigh;
    words[word + 6] = time.seq | 0;
    words[word + 7] = distance | 0;
  }

  /**
   * Writes a part of a batch into consecutive slots, as `write()` and `seal()` do for one record.
   *
   * @param distance the first record's distance.
   * @param clock is at the first record's time, and afterwards at that of the last one. Between
   * them, the sequence number does not carry.
   */
  writeRun(slot: number, part: BatchPart, lsn: LSN, distance: number, clock: RunClock, timeShard: number): void {
    const { items, from, count } = part;
    assert(slot >= 0 && slot + count <= this.count, "a run is written into slots of the ring");
    const kind = VERSION_BITS | items.opType | (timeShard << 16);
    const kindGoingOn = kind | (FLAG_BATCH_GOES_ON << 8);
    const lastKind = part.endsBatch ? kind : kindGoingOn;
    const { nanosLow, nanosHigh, seq } = clock;
    const { bytes, itemBytes } = items;
    const packed = bytes.subarray(from * itemBytes, (from + count) * itemBytes);
    const fields = { kind: kindGoingOn, lastKind, lsn, distance, nanosLow, nanosHigh, seq };
    this.#codec.encode(this.offsetOf(slot), packed, count, fields);
    clock.skip(count - 1);
  }

  /** What a slot holds, compared with the LSN that belongs there. */
  verify(slot: number, lsn: LSN): SlotState {
    if (this.verifyRun(slot, lsn, 1).good === 1) return SlotState.Record;
    return this.hasLsn(slot, lsn) && this.checksumMatches(slot) ? SlotState.Unsupported : SlotState.Other;
  }

  /**
   * Verifies consecutive slots, as `verify()` does for one, up to the first that is not the
   * expected record. The first slot is to hold `lsn`.
   */
  verifyRun(slot: number, lsn: LSN, count: number): Run {
    assert(slot >= 0 && slot + count <= this.count, "slots of the ring are verified");
    return this.#codec.verify(this.offsetOf(slot), count, lsn);
  }

  /** True if the slot's bytes and its checksum agree, whatever they mean. */
  checksumMatches(slot: number): boolean {
    return this.words[this.wordOf(slot)] === this.#codec.checksum(this.offsetOf(slot));
  }

  /**
   * Turns all records here into records of the log with another seed. A record that does not verify
   * now does not verify with the other seed either.
   */
  reseal(seed: number): Slots {
    // A CRC is linear and all records have one length, so one exclusive or fits all checksums.
    const difference = stateAfterZeros(this.#seed) ^ stateAfterZeros(seed);
    const { words } = this;
    const end = this.wordOf(this.count);
    for (let word = this.firstWord; word < end; word += WORDS) words[word]! ^= difference;
    return new Slots(this.memory, this.base, this.count, seed);
  }

  /** Writes zeros, which never verify. */
  erase(slot: number): void {
    const word = this.wordOf(slot);
    this.words.fill(0, word, word + WORDS);
  }
}
