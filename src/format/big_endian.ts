// Keys and values as bytes: 16 bytes, the most significant one first.
//
// That is the order in which a hash or a UUID is written. A record on disk is little-endian, so the
// bytes are stored from its words of 32 bits.

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
