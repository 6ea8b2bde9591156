// A pair of a key and a value as 32 bytes, big-endian: 16 of the key, then 16 of the value.
//
// Both stores keep pairs so. A record's bytes are copied into a pair that is used again, because
// making two bigints of a key takes longer than looking it up.

import { ID_BYTES } from "../format/big_endian.ts";
import type { WALRecord, WALRecordFields } from "../types.ts";

/** A value, as `values()` returns it. */
export type Value = readonly [high: bigint, low: bigint];

/** A key with one of its values, as `entries()` returns it. */
export type Entry = readonly [keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint];

export const PAIR_BYTES: number = 2 * ID_BYTES;
const HALF_BYTES = 8;

/** A pair, to be looked up or stored. */
export class Pair {
  readonly bytes: Uint8Array = new Uint8Array(PAIR_BYTES);
  /** The bytes as words, which are compared and hashed faster. Their order means nothing. */
  readonly words: Uint32Array = new Uint32Array(this.bytes.buffer);
  /** The bytes of the key. */
  readonly key: Uint8Array = this.bytes.subarray(0, ID_BYTES);
  /** The bytes of the value. */
  readonly value: Uint8Array = this.bytes.subarray(ID_BYTES);
  readonly #view = new DataView(this.bytes.buffer);

  /** The key; the value is as it was. */
  setKey(high: bigint, low: bigint): this {
    this.#view.setBigUint64(0, high);
    this.#view.setBigUint64(HALF_BYTES, low);
    return this;
  }

  set(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): this {
    this.setKey(keyHigh, keyLow);
    this.#view.setBigUint64(ID_BYTES, valueHigh);
    this.#view.setBigUint64(ID_BYTES + HALF_BYTES, valueLow);
    return this;
  }

  /** Key and value of a record. Only a plain object has no bytes, so its halves are taken. */
  take(record: WALRecordFields): this {
    if (!givesBytes(record)) return this.set(record.keyHigh, record.keyLow, record.valueHigh, record.valueLow);
    record.copyKey(this.bytes, 0);
    record.copyValue(this.bytes, ID_BYTES);
    return this;
  }
}

function givesBytes(record: WALRecordFields): record is WALRecord {
  return (record as Partial<WALRecord>).copyKey !== undefined;
}

/** The halves of a key or of a value. */
export function halvesAt(view: DataView, at: number): Value {
  return [view.getBigUint64(at), view.getBigUint64(at + HALF_BYTES)];
}
