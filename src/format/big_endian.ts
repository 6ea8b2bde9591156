// Keys and values as bytes: 16 bytes, the most significant one first.
//
// That is the order in which a hash or a UUID is written. A record on disk is little-endian, so the
// bytes are stored from its words of 32 bits.

import type { U64 } from "../types.ts";

const TWO_TO_32 = 0x1_0000_0000;

/** The length of a key, and of a value. */
export const ID_BYTES = 16;

/**
 * Stores 16 bytes from the words of two halves. The caller has checked that the bytes lie inside
 * the array, because a store outside of it does nothing.
 */
export function storeHalves(
  into: Uint8Array,
  at: number,
  highUpper: number,
  highLower: number,
  lowUpper: number,
  lowLower: number,
): void {
  storeWord(into, at, highUpper);
  storeWord(into, at + 4, highLower);
  storeWord(into, at + 8, lowUpper);
  storeWord(into, at + 12, lowLower);
}

function storeWord(into: Uint8Array, at: number, word: number): void {
  into[at] = word >>> 24;
  into[at + 1] = word >>> 16;
  into[at + 2] = word >>> 8;
  into[at + 3] = word;
}

/** Stores a checked half of a key or value, big-endian. */
export function setHalf(view: DataView, offset: number, value: U64): void {
  if (typeof value === "bigint") {
    view.setBigUint64(offset, value);
  } else {
    view.setUint32(offset, value / TWO_TO_32);
    view.setUint32(offset + 4, value % TWO_TO_32);
  }
}

/** Stores a key or a value of 16 bytes as it is. */
export function setId(view: DataView, offset: number, id: Uint8Array): void {
  view.setInt32(offset, (id[0]! << 24) | (id[1]! << 16) | (id[2]! << 8) | id[3]!);
  view.setInt32(offset + 4, (id[4]! << 24) | (id[5]! << 16) | (id[6]! << 8) | id[7]!);
  view.setInt32(offset + 8, (id[8]! << 24) | (id[9]! << 16) | (id[10]! << 8) | id[11]!);
  view.setInt32(offset + 12, (id[12]! << 24) | (id[13]! << 16) | (id[14]! << 8) | id[15]!);
}
