// A record as a value of its own: its numbers as plain integers, decoded when they are asked for.
//
// Four bigints and a tuple for each record would cost more than the rest of a replay, in time and
// in memory. So a record keeps its words as on disk, which both engines hold without an allocation.
// The words are enumerable properties of the record, so whatever compares two records by their
// properties compares what they say. A record keeps nothing else alive, and nothing that the log
// does later changes it.

import { checkTarget } from "../arguments/target.ts";
import { ID_BYTES, storeHalves } from "../format/big_endian.ts";
import { OPCODE_MASK, RECORD_BYTES, VERSION_SHIFT } from "../format/layout.ts";
import type { HybridTime, LSN, OpType, WALRecord, WALRecordFields } from "../types.ts";

const TWO_TO_32 = 0x1_0000_0000;
const WORDS = RECORD_BYTES / 4;
const VERSION_MASK = 3;
/** Of word 1: all but the flags, which are no part of what a record says. */
const ALL_BUT_FLAGS = ~0xff00;

const wordPair = new Int32Array(2);
const long = new BigUint64Array(wordPair.buffer);

function joined(low: number, high: number): bigint {
  wordPair[0] = low;
  wordPair[1] = high;
  return long[0]!;
}

/**
 * Is in each record, because an object with a function cannot be cloned. A clone of a record would
 * have its words and no fields.
 */
function cloneWhatToObjectReturns(): void {}

/** The words that consecutive records have in common. Sharing them saves five words in each. */
class CommonWords {
  /** Version, opcode and shard. */
  readonly word1: number;
  readonly word3: number;
  readonly word4: number;
  readonly word5: number;
  /** The sequence number less the LSN: both grow by one from record to record. */
  readonly word6Less2: number;
  readonly toClone: () => void = cloneWhatToObjectReturns;

  constructor(word1: number, word3: number, word4: number, word5: number, word6Less2: number) {
    this.word1 = word1;
    this.word3 = word3;
    this.word4 = word4;
    this.word5 = word5;
    this.word6Less2 = word6Less2;
  }
}

const inspectedByNode: unique symbol = Symbol.for("nodejs.util.inspect.custom");
const inspectedByDeno: unique symbol = Symbol.for("Deno.customInspect");

/** A record that was read from the log. */
export class StoredRecord implements WALRecord {
  // Declared only: to define each field before it is set takes a quarter of a replay.
  declare readonly common: CommonWords;
  declare readonly word2: number;
  declare readonly word8: number;
  declare readonly word9: number;
  declare readonly word10: number;
  declare readonly word11: number;
  declare readonly word12: number;
  declare readonly word13: number;
  declare readonly word14: number;
  declare readonly word15: number;

  /** @param at index of the record's first word. */
  constructor(common: CommonWords, words: Int32Array, at: number) {
    this.common = common;
    this.word2 = words[at + 2]!;
    this.word8 = words[at + 8]!;
    this.word9 = words[at + 9]!;
    this.word10 = words[at + 10]!;
    this.word11 = words[at + 11]!;
    this.word12 = words[at + 12]!;
    this.word13 = words[at + 13]!;
    this.word14 = words[at + 14]!;
    this.word15 = words[at + 15]!;
  }

  get lsn(): LSN {
    return (this.common.word3 >>> 0) * TWO_TO_32 + (this.word2 >>> 0);
  }

  get opType(): OpType {
    return (this.common.word1 & OPCODE_MASK) as OpType;
  }

  get version(): number {
    return (this.common.word1 >>> VERSION_SHIFT) & VERSION_MASK;
  }

  get time(): HybridTime {
    const { word1, word4, word5, word6Less2 } = this.common;
    return [joined(word4, word5), (word6Less2 + this.word2) >>> 0, word1 >>> 16];
  }

  get keyHigh(): bigint {
    return joined(this.word8, this.word9);
  }

  get keyLow(): bigint {
    return joined(this.word10, this.word11);
  }

  get valueHigh(): bigint {
    return joined(this.word12, this.word13);
  }

  get valueLow(): bigint {
    return joined(this.word14, this.word15);
  }

  get key(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(ID_BYTES);
    storeHalves(bytes, 0, this.word9, this.word8, this.word11, this.word10);
    return bytes;
  }

  get value(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(ID_BYTES);
    storeHalves(bytes, 0, this.word13, this.word12, this.word15, this.word14);
    return bytes;
  }

  copyKey(into: Uint8Array, at = 0): void {
    checkTarget(into, at);
    storeHalves(into, at, this.word9, this.word8, this.word11, this.word10);
  }

  copyValue(into: Uint8Array, at = 0): void {
    checkTarget(into, at);
    storeHalves(into, at, this.word13, this.word12, this.word15, this.word14);
  }

  toObject(): WALRecordFields {
    return {
      lsn: this.lsn,
      opType: this.opType,
      version: this.version,
      time: this.time,
      keyHigh: this.keyHigh,
      keyLow: this.keyLow,
      valueHigh: this.valueHigh,
      valueLow: this.valueLow,
    };
  }

  toJSON(): Record<string, unknown> {
    const { time, keyHigh, keyLow, valueHigh, valueLow, ...rest } = this.toObject();
    return {
      ...rest,
      time: [String(time[0]), time[1], time[2]],
      keyHigh: String(keyHigh),
      keyLow: String(keyLow),
      valueHigh: String(valueHigh),
      valueLow: String(valueLow),
    };
  }

  /** What `console.log()` shows on Node and Bun. */
  [inspectedByNode](): WALRecordFields {
    return this.toObject();
  }

  /** What `console.log()` shows on Deno. */
  [inspectedByDeno](inspect: (value: unknown, options: unknown) => string, options: unknown): string {
    return inspect(this.toObject(), options);
  }
}

/**
 * Makes records of words that were verified.
 *
 * @param at index of the first record's first word.
 * @param into takes them, from `index` on.
 */
export function readRecords(words: Int32Array, at: number, count: number, into: WALRecord[], index: number): void {
  let common = new CommonWords(0, 0, 0, 0, 0);
  for (const end = index + count; index < end; index++, at += WORDS) {
    const word1 = words[at + 1]! & ALL_BUT_FLAGS;
    const word3 = words[at + 3]!;
    const word4 = words[at + 4]!;
    const word5 = words[at + 5]!;
    const word6Less2 = (words[at + 6]! - words[at + 2]!) | 0;
    if (
      word4 !== common.word4 || word6Less2 !== common.word6Less2 || word1 !== common.word1 || word5 !== common.word5 ||
      word3 !== common.word3
    ) common = new CommonWords(word1, word3, word4, word5, word6Less2);
    into[index] = new StoredRecord(common, words, at);
  }
}

/**
 * Stores a record's words as on disk, but for its checksum.
 *
 * @param at index of the record's first word.
 */
export function storeRecord(
  record: StoredRecord,
  flags: number,
  distance: number,
  words: Int32Array,
  at: number,
): void {
  const { common } = record;
  words[at + 1] = common.word1 | (flags << 8);
  words[at + 2] = record.word2;
  words[at + 3] = common.word3;
  words[at + 4] = common.word4;
  words[at + 5] = common.word5;
  words[at + 6] = common.word6Less2 + record.word2;
  words[at + 7] = distance;
  words[at + 8] = record.word8;
  words[at + 9] = record.word9;
  words[at + 10] = record.word10;
  words[at + 11] = record.word11;
  words[at + 12] = record.word12;
  words[at + 13] = record.word13;
  words[at + 14] = record.word14;
  words[at + 15] = record.word15;
}

/** A record with these fields, as the log would hand it out. */
export function recordOf(fields: WALRecordFields): StoredRecord {
  const { lsn, opType, version, time: [nanos, seq, shard], keyHigh, keyLow, valueHigh, valueLow } = fields;
  const words = new Int32Array(WORDS);
  words[1] = opType | (version << VERSION_SHIFT) | (shard << 16);
  words[6] = seq;
  const longs = new BigUint64Array(words.buffer);
  longs.set([BigInt(lsn), nanos], 1);
  longs.set([keyHigh, keyLow, valueHigh, valueLow], 4);
  const records: StoredRecord[] = [];
  readRecords(words, 0, 1, records, 0);
  return records[0]!;
}
