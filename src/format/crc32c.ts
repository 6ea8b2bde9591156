// CRC-32C of 32-bit words in memory.
//
// The polynomial is Castagnoli's (Castagnoli, Bräuer, Herrmann: "Optimization of cyclic
// redundancy-check codes with 24 and 32 parity bits", IEEE Transactions on Communications 41,
// 1993), as in iSCSI (RFC 3720), reflected 0x82F63B78. The method is slicing-by-16 (Kounavis,
// Berry: "A systematic approach to building high performance software-based CRC generators", ISCC
// 2005): sixteen tables, so that the lookups of sixteen bytes do not wait for each other.
//
// A state is the shift register before the final inversion, as a signed 32-bit number;
// `INITIAL_STATE` starts it, `~state` is the checksum.

const REFLECTED_POLYNOMIAL = 0x82f63b78;

/** The state before the first byte. */
export const INITIAL_STATE = -1;

/**
 * An `Int32Array` of which only elements that exist are read. Programs that use this library check
 * its sources, often with `noUncheckedIndexedAccess`, which adds `undefined` to each element's
 * type. The `any` spares a `!` at a hundred look-ups. Each element is used as an operand at once,
 * or is declared a number.
 */
// deno-lint-ignore no-explicit-any
type Words = Int32Array & { readonly [index: number]: any };

/** Slicing needs 16 rows, the fixed part of a record needs 28. */
const ROWS = 28;
/** Entries of a row. */
export const TABLE_ROW = 256;

/** Row r, at index 256·r: for each byte, its effect on the state when r more bytes follow it. */
export function makeTable(rows: number): Int32Array {
  const table: Words = new Int32Array(rows * TABLE_ROW);
  for (let byte = 0; byte < 256; byte++) {
    let state = byte;
    for (let bit = 0; bit < 8; bit++) state = (state & 1) === 0 ? state >>> 1 : (state >>> 1) ^ REFLECTED_POLYNOMIAL;
    table[byte] = state;
  }
  for (let i = 256; i < table.length; i++) {
    const before: number = table[i - 256];
    table[i] = (before >>> 8) ^ table[before & 0xff];
  }
  return table;
}

const T: Words = makeTable(ROWS);

/**
 * Continues a CRC over whole words. The low byte of a word comes first, as in the memory of a
 * little-endian machine.
 *
 * @param words the memory.
 * @param from index of the first word.
 * @param to index after the last word.
 * @returns the state after the words.
 */
export function updateWords(state: number, words: Words, from: number, to: number): number {
  let i = from;
  for (; i + 4 <= to; i += 4) {
    const a = state ^ words[i];
    const b: number = words[i + 1];
    const c: number = words[i + 2];
    const d: number = words[i + 3];
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

/** Continues a CRC byte by byte: for few bytes, not for records. */
export function updateBytes(state: number, bytes: Uint8Array): number {
  for (const byte of bytes) state = (state >>> 8) ^ T[(state ^ byte) & 0xff];
  return state;
}

/** The CRC-32C of bytes, 0 to 2^32 − 1. */
export function crc32c(bytes: Uint8Array): number {
  return ~updateBytes(INITIAL_STATE, bytes) >>> 0;
}

/**
 * The checksum of one 64-byte record, as a signed 32-bit number. It covers the 15 words after the
 * first one.
 *
 * @param seed the state after the log id.
 * @param at index of the record's first word (the checksum's own place, which is not read).
 */
export function recordChecksum(seed: number, words: Words, at: number): number {
  return ~updateWords(seed, words, at + 1, at + 16);
}

/**
 * The exclusive or of a record's checksums under two seeds. It is the same for all records, because
 * a CRC is linear and all records have one length. So one exclusive or fits a checksum to another
 * log.
 */
export function checksumDifference(seed: number, otherSeed: number): number {
  const zeros = new Int32Array(16);
  return recordChecksum(seed, zeros, 0) ^ recordChecksum(otherSeed, zeros, 0);
}

/**
 * What a word contributes to the state when `row` more bytes follow it. A CRC is linear, so
 * contributions are combined by exclusive or.
 */
function contribution(row: number, word: number): number {
  const at = row * 256;
  return T[at + 768 + (word & 0xff)] ^ T[at + 512 + ((word >>> 8) & 0xff)] ^ T[at + 256 + ((word >>> 16) & 0xff)] ^
    T[at + (word >>> 24)];
}

const ALL_BUT_LOW_BYTE = ~0xff;

/**
 * Checksums of one log's records, mostly one after another. They take two thirds of the time of
 * `recordChecksum()`.
 *
 * A CRC is linear, so the state after a record's first half is the exclusive or of the
 * contributions of its seven words. From one record to the next, usually only the low bytes of
 * three words change: LSN, time sequence and distance. The contribution of all other bytes is kept,
 * so 3 look-ups replace 28. If another byte changes, the kept contribution is computed anew.
 */
export class RecordChecksums {
  readonly #seed: number;
  /** The words whose contribution is `#rest`; the last three without their low byte. */
  #flags = 0;
  #lsnHigh = 0;
  #nanosLow = 0;
  #nanosHigh = 0;
  #lsnLow = 0;
  #seq = 0;
  #distance = 0;
  #rest: number;

  /** @param seed the state after the log id. */
  constructor(seed: number) {
    this.#seed = seed;
    this.#rest = contribution(24, seed);
  }

  /** @param at index of the record's first word (the checksum's own place, which is not read). */
  of(words: Words, at: number): number {
    const lsnLow: number = words[at + 2];
    const seq: number = words[at + 6];
    const distance: number = words[at + 7];
    if (
      words[at + 1] !== this.#flags || words[at + 3] !== this.#lsnHigh || words[at + 4] !== this.#nanosLow ||
      words[at + 5] !== this.#nanosHigh || (lsnLow & ALL_BUT_LOW_BYTE) !== this.#lsnLow ||
      (seq & ALL_BUT_LOW_BYTE) !== this.#seq || (distance & ALL_BUT_LOW_BYTE) !== this.#distance
    ) this.#keep(words, at);

    const a = this.#rest ^ T[5888 + (lsnLow & 0xff)] ^ T[1792 + (seq & 0xff)] ^ T[768 + (distance & 0xff)] ^
      words[at + 8];
    const b: number = words[at + 9];
    const c: number = words[at + 10];
    const d: number = words[at + 11];
    const e = words[at + 12] ^
      T[3840 + (a & 0xff)] ^ T[3584 + ((a >>> 8) & 0xff)] ^ T[3328 + ((a >>> 16) & 0xff)] ^ T[3072 + (a >>> 24)] ^
      T[2816 + (b & 0xff)] ^ T[2560 + ((b >>> 8) & 0xff)] ^ T[2304 + ((b >>> 16) & 0xff)] ^ T[2048 + (b >>> 24)] ^
      T[1792 + (c & 0xff)] ^ T[1536 + ((c >>> 8) & 0xff)] ^ T[1280 + ((c >>> 16) & 0xff)] ^ T[1024 + (c >>> 24)] ^
      T[768 + (d & 0xff)] ^ T[512 + ((d >>> 8) & 0xff)] ^ T[256 + ((d >>> 16) & 0xff)] ^ T[d >>> 24];
    const f: number = words[at + 13];
    const g: number = words[at + 14];
    const h: number = words[at + 15];
    return ~(T[3840 + (e & 0xff)] ^ T[3584 + ((e >>> 8) & 0xff)] ^ T[3328 + ((e >>> 16) & 0xff)] ^
      T[3072 + (e >>> 24)] ^
      T[2816 + (f & 0xff)] ^ T[2560 + ((f >>> 8) & 0xff)] ^ T[2304 + ((f >>> 16) & 0xff)] ^ T[2048 + (f >>> 24)] ^
      T[1792 + (g & 0xff)] ^ T[1536 + ((g >>> 8) & 0xff)] ^ T[1280 + ((g >>> 16) & 0xff)] ^ T[1024 + (g >>> 24)] ^
      T[768 + (h & 0xff)] ^ T[512 + ((h >>> 8) & 0xff)] ^ T[256 + ((h >>> 16) & 0xff)] ^ T[h >>> 24]);
  }

  /** Computes the contribution of the bytes that seldom change. */
  #keep(words: Words, at: number): void {
    this.#flags = words[at + 1];
    this.#lsnLow = words[at + 2] & ALL_BUT_LOW_BYTE;
    this.#lsnHigh = words[at + 3];
    this.#nanosLow = words[at + 4];
    this.#nanosHigh = words[at + 5];
    this.#seq = words[at + 6] & ALL_BUT_LOW_BYTE;
    this.#distance = words[at + 7] & ALL_BUT_LOW_BYTE;
    this.#rest = contribution(24, this.#seed ^ this.#flags) ^ contribution(20, this.#lsnLow) ^
      contribution(16, this.#lsnHigh) ^ contribution(12, this.#nanosLow) ^ contribution(8, this.#nanosHigh) ^
      contribution(4, this.#seq) ^ contribution(0, this.#distance);
  }
}
