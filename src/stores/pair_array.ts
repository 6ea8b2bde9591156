// Pairs of a 128-bit key and a 128-bit value in one array, numbered from 1.
//
// Typed arrays, because a Map would need a bigint of 128 bits as its key. Making and hashing such
// a bigint would cost more than all that the table of pairs does.

import { ID_BYTES } from "../format/big_endian.ts";
import { type Entry, halvesAt, PAIR_BYTES, type Value } from "./pair.ts";

/** A pair's words of 32 bits: four of the key, then four of the value. */
export const PAIR_WORDS: number = PAIR_BYTES / 4;
export const KEY_WORDS: number = ID_BYTES / 4;
/** The number that stands for no pair. New arrays hold zeros, so they name no pair. */
export const NONE = 0;

/** The array. A pair outside of it is given by its words. */
export class PairArray {
  #words = new Uint32Array(PAIR_WORDS);
  #view = new DataView(this.#words.buffer);
  #highest = NONE;
  /** The first free pair. The first word of a free pair names the next free pair. */
  #firstFree = NONE;
  #size = 0;
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
    this.#view = new DataView(words.buffer);
  }

  /** A hash of the first words of a given pair. */
  hashOfGiven(given: Uint32Array, wordCount: number): number {
    return hash(given, 0, wordCount, this.#seed);
  }

  /** A hash of the first words of a pair. */
  hashOf(pair: number, wordCount: number): number {
    return hash(this.#words, pair * PAIR_WORDS, wordCount, this.#seed);
  }

  /** True if a pair has the same first words as a given pair. */
  equals(pair: number, given: Uint32Array, wordCount: number): boolean {
    const words = this.#words;
    const at = pair * PAIR_WORDS;
    for (let i = 0; i < wordCount; i++) if (words[at + i] !== given[i]) return false;
    return true;
  }

  /** Adds a given pair to the array. @returns its number. */
  add(given: Uint32Array): number {
    let pair = this.#firstFree;
    if (pair === NONE) pair = ++this.#highest;
    else this.#firstFree = this.#words[pair * PAIR_WORDS]!;
    for (let i = 0; i < PAIR_WORDS; i++) this.#words[pair * PAIR_WORDS + i] = given[i]!;
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
    return halvesAt(this.#view, pair * PAIR_BYTES + ID_BYTES);
  }

  entryOf(pair: number): Entry {
    return [...halvesAt(this.#view, pair * PAIR_BYTES), ...this.valueOf(pair)];
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
