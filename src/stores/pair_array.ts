// Pairs of a 128-bit key and a 128-bit value in one array, numbered from 1.
//
// Typed arrays, because a Map would need a bigint of 128 bits as its key. Making and hashing such
// a bigint would cost more than all that the table of pairs does.

/** A value, as `values()` returns it. */
export type Value = readonly [high: bigint, low: bigint];

/** A key with one of its values, as `entries()` returns it. */
export type Entry = readonly [keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint];

/** A pair's words of 32 bits: four of the key, then four of the value. */
export const PAIR_WORDS = 8;
export const KEY_WORDS = 4;
/** The length of a pair in halves of 64 bits. */
const PAIR_HALVES = 4;
/** The number that stands for no pair. New arrays hold zeros, so they name no pair. */
export const NONE = 0;

/** The array, and the given pair: one pair outside of the array, to look up or to add. */
export class PairArray {
  #words = new Uint32Array(PAIR_WORDS);
  /** The words as bigints. */
  #halves = new BigUint64Array(this.#words.buffer);
  #highest = NONE;
  /** The first free pair. The first word of a free pair names the next free pair. */
  #firstFree = NONE;
  #size = 0;
  /** The given pair. Bigints go in and words come out, because that allocates nothing. */
  readonly #given = new Uint32Array(PAIR_WORDS);
  /**
   * A DataView, because a BigUint64Array takes JavaScriptCore eight times as long to store a
   * bigint.
   */
  readonly #givenView = new DataView(this.#given.buffer);
  /** Random, so that nobody can choose keys whose hashes are equal. */
  readonly #seed = crypto.getRandomValues(new Uint32Array(1))[0]!;

  /** How many pairs there are. */
  get size(): number {
    return this.#size;
  }

  /** The highest number that a pair has had so far. */
  get highest(): number {
    return this.#highest;
  }

  /**
   * Makes room for `capacity` pairs in all.
   *
   * @throws {RangeError} if there is no memory for them. Then nothing has changed.
   */
  reserve(capacity: number): void {
    const words = new Uint32Array((capacity + 1) * PAIR_WORDS);
    words.set(this.#words);
    this.#words = words;
    this.#halves = new BigUint64Array(words.buffer);
  }

  /** Sets the given pair. */
  give(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): void {
    const view = this.#givenView;
    view.setBigUint64(0, keyHigh, true);
    view.setBigUint64(8, keyLow, true);
    view.setBigUint64(16, valueHigh, true);
    view.setBigUint64(24, valueLow, true);
  }

  /** A hash of the first words of the given pair. */
  hashOfGiven(wordCount: number): number {
    return hash(this.#given, 0, wordCount, this.#seed);
  }

  /** A hash of the first words of a pair. */
  hashOf(pair: number, wordCount: number): number {
    return hash(this.#words, pair * PAIR_WORDS, wordCount, this.#seed);
  }

  /** True if a pair has the same first words as the given pair. */
  isGiven(pair: number, wordCount: number): boolean {
    const words = this.#words;
    const given = this.#given;
    const at = pair * PAIR_WORDS;
    for (let i = 0; i < wordCount; i++) if (words[at + i] !== given[i]) return false;
    return true;
  }

  /** Adds the given pair to the array. @returns its number. */
  addGiven(): number {
    let pair = this.#firstFree;
    if (pair === NONE) pair = ++this.#highest;
    else this.#firstFree = this.#words[pair * PAIR_WORDS]!;
    for (let i = 0; i < PAIR_WORDS; i++) this.#words[pair * PAIR_WORDS + i] = this.#given[i]!;
    this.#size++;
    return pair;
  }

  /** Frees a pair, so that its number can be used again. */
  release(pair: number): void {
    this.#words[pair * PAIR_WORDS] = this.#firstFree;
    this.#firstFree = pair;
    this.#size--;
  }

  valueOf(pair: number): Value {
    const at = pair * PAIR_HALVES;
    return [this.#halves[at + 2]!, this.#halves[at + 3]!];
  }

  entryOf(pair: number): Entry {
    const at = pair * PAIR_HALVES;
    const halves = this.#halves;
    return [halves[at]!, halves[at + 1]!, halves[at + 2]!, halves[at + 3]!];
  }
}

/**
 * Mixes words into one of 32 bits, by multipliers and shifts of MurmurHash2 and 3 (Appleby, 2008
 * and 2011).
 */
function hash(words: Uint32Array, from: number, count: number, seed: number): number {
  let mixed = seed;
  for (let i = from; i < from + count; i++) {
    mixed = Math.imul(mixed ^ words[i]!, 0x5bd1e995);
    mixed ^= mixed >>> 15;
  }
  mixed = Math.imul(mixed, 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}
