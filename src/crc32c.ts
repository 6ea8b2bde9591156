// CRC-32C of 32-bit words in memory.
//
// The polynomial is Castagnoli's (Castagnoli, Bräuer, Herrmann: "Optimization of cyclic redundancy-check codes with 24 and
// 32 parity bits", IEEE Transactions on Communications 41, 1993), as in iSCSI (RFC 3720), reflected 0x82F63B78. The method is
// slicing-by-16 (Kounavis, Berry: "A systematic approach to building high performance software-based CRC generators", ISCC
// 2005): sixteen tables, so that the lookups of sixteen bytes do not wait for each other.
//
// A state is the shift register before the final inversion, as a signed 32-bit number; `INITIAL_STATE` starts it, `~state` is the
// checksum.

const REFLECTED_POLYNOMIAL = 0x82f63b78;

/** The state before the first byte. */
export const INITIAL_STATE = -1;

function makeTable(): Int32Array {
  const table = new Int32Array(16 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let state = byte;
    for (let bit = 0; bit < 8; bit++) state = (state & 1) === 0 ? state >>> 1 : (state >>> 1) ^ REFLECTED_POLYNOMIAL;
    table[byte] = state;
  }
  for (let i = 256; i < table.length; i++) {
    const before = table[i - 256];
    table[i] = (before >>> 8) ^ table[before & 0xff];
  }
  return table;
}

/** Row r, 256 entries from 256·r on: what a byte does that has r bytes behind it in the block. */
const T = makeTable();

/**
 * Goes on with a CRC over whole words; a word's bytes count from its low end, as they lie in memory on a little-endian
 * machine.
 *
 * @param words the memory.
 * @param from index of the first word.
 * @param to index after the last word.
 * @returns the state after them.
 */
export function updateWords(state: number, words: Int32Array, from: number, to: number): number {
  let i = from;
  for (; i + 4 <= to; i += 4) {
    const a = state ^ words[i];
    const b = words[i + 1];
    const c = words[i + 2];
    const d = words[i + 3];
    state = T[3840 + (a & 0xff)] ^ T[3584 + ((a >>> 8) & 0xff)] ^ T[3328 + ((a >>> 16) & 0xff)] ^ T[3072 + (a >>> 24)] ^
      T[2816 + (b & 0xff)] ^ T[2560 + ((b >>> 8) & 0xff)] ^ T[2304 + ((b >>> 16) & 0xff)] ^ T[2048 + (b >>> 24)] ^
      T[1792 + (c & 0xff)] ^ T[1536 + ((c >>> 8) & 0xff)] ^ T[1280 + ((c >>> 16) & 0xff)] ^ T[1024 + (c >>> 24)] ^
      T[768 + (d & 0xff)] ^ T[512 + ((d >>> 8) & 0xff)] ^ T[256 + ((d >>> 16) & 0xff)] ^ T[d >>> 24];
  }
  for (; i < to; i++) {
    const a = state ^ words[i];
    state = T[768 + (a & 0xff)] ^ T[512 + ((a >>> 8) & 0xff)] ^ T[256 + ((a >>> 16) & 0xff)] ^ T[a >>> 24];
  }
  return state;
}

/** Goes on with a CRC over bytes, one at a time: for the odd few, not for records. */
export function updateBytes(state: number, bytes: Uint8Array): number {
  for (const byte of bytes) state = (state >>> 8) ^ T[(state ^ byte) & 0xff];
  return state;
}

/** The CRC-32C of bytes, 0 to 2^32 − 1. */
export function crc32c(bytes: Uint8Array): number {
  return ~updateBytes(INITIAL_STATE, bytes) >>> 0;
}

/**
 * The checksum of a 64-byte record: of its 15 words after the first, as a signed 32-bit number. `updateWords()` unrolled, since it
 * runs at every append and for every record read.
 *
 * @param seed the state after the log id.
 * @param at index of the record's first word (the checksum's own place, which is not read).
 */
export function recordChecksum(seed: number, words: Int32Array, at: number): number {
  let a = seed ^ words[at + 1];
  let b = words[at + 2];
  let c = words[at + 3];
  let s = T[2816 + (a & 0xff)] ^ T[2560 + ((a >>> 8) & 0xff)] ^ T[2304 + ((a >>> 16) & 0xff)] ^ T[2048 + (a >>> 24)] ^
    T[1792 + (b & 0xff)] ^ T[1536 + ((b >>> 8) & 0xff)] ^ T[1280 + ((b >>> 16) & 0xff)] ^ T[1024 + (b >>> 24)] ^
    T[768 + (c & 0xff)] ^ T[512 + ((c >>> 8) & 0xff)] ^ T[256 + ((c >>> 16) & 0xff)] ^ T[c >>> 24];
  let d: number;
  for (let i = at + 4; i < at + 16; i += 4) {
    a = s ^ words[i];
    b = words[i + 1];
    c = words[i + 2];
    d = words[i + 3];
    s = T[3840 + (a & 0xff)] ^ T[3584 + ((a >>> 8) & 0xff)] ^ T[3328 + ((a >>> 16) & 0xff)] ^ T[3072 + (a >>> 24)] ^
      T[2816 + (b & 0xff)] ^ T[2560 + ((b >>> 8) & 0xff)] ^ T[2304 + ((b >>> 16) & 0xff)] ^ T[2048 + (b >>> 24)] ^
      T[1792 + (c & 0xff)] ^ T[1536 + ((c >>> 8) & 0xff)] ^ T[1280 + ((c >>> 16) & 0xff)] ^ T[1024 + (c >>> 24)] ^
      T[768 + (d & 0xff)] ^ T[512 + ((d >>> 8) & 0xff)] ^ T[256 + ((d >>> 16) & 0xff)] ^ T[d >>> 24];
  }
  return ~s;
}
