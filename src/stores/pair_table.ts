// A set of pairs that finds a pair, and also all pairs of a key.
//
// Two hash tables with chains over one array of pairs. The first pair of a key, its leader, is
// in the table of keys. Its other pairs are in the table of followers, by key and value. All pairs
// of a key form a ring. Most keys have one value, so they cost one look-up. A key with a million
// values is as fast.

import type { Entry, Pair, Value } from "./pair.ts";
import { KEY_WORDS, NONE, PAIR_WORDS, PairArray } from "./pair_array.ts";

const FIRST_CAPACITY = 1024;

/** Which table a pair is in. */
const FREE = 0;
const LEADER = 1;
const FOLLOWER = 2;

/** The set. */
export class PairTable {
  readonly #pairs = new PairArray();
  /** For each pair, `FREE`, `LEADER` or `FOLLOWER`. */
  #places = new Uint8Array(1);
  /**
   * For each bucket, the first leader whose key hashes to it. There are as many buckets as there is
   * room for pairs: a power of two.
   */
  #keyBuckets = new Uint32Array(0);
  /**
   * For each bucket, the first follower whose key and value hash to it. As many buckets as of keys.
   */
  #followerBuckets = new Uint32Array(0);
  /** For each pair, the next one in its bucket. */
  #nextInChain = new Uint32Array(1);
  /** For each pair, its neighbours in its key's ring. */
  #nextInRing = new Uint32Array(1);
  #previousInRing = new Uint32Array(1);
  #keyCount = 0;

  constructor() {
    this.reserve(FIRST_CAPACITY);
  }

  /** How many pairs there are. */
  get size(): number {
    return this.#pairs.size;
  }

  /** How many keys the pairs have. */
  get keyCount(): number {
    return this.#keyCount;
  }

  /**
   * Makes room for `count` pairs in all, so that inserting them cannot fail.
   *
   * @throws {RangeError} if there is no memory for them. Then nothing has changed.
   */
  reserve(count: number): void {
    if (count <= this.#keyBuckets.length) return;
    let capacity = Math.max(this.#keyBuckets.length, FIRST_CAPACITY);
    while (capacity < count) capacity *= 2;

    const places = new Uint8Array(capacity + 1);
    const nextInRing = new Uint32Array(capacity + 1);
    const previousInRing = new Uint32Array(capacity + 1);
    const nextInChain = new Uint32Array(capacity + 1);
    const keyBuckets = new Uint32Array(capacity);
    const followerBuckets = new Uint32Array(capacity);
    this.#pairs.reserve(capacity);
    // Everything is allocated: nothing can fail from here on.
    places.set(this.#places);
    nextInRing.set(this.#nextInRing);
    previousInRing.set(this.#previousInRing);
    this.#places = places;
    this.#nextInRing = nextInRing;
    this.#previousInRing = previousInRing;
    this.#nextInChain = nextInChain;
    this.#keyBuckets = keyBuckets;
    this.#followerBuckets = followerBuckets;
    const pairs = this.#pairs;
    for (let pair = 1; pair <= pairs.highest; pair++) {
      if (places[pair] === LEADER) this.#enter(keyBuckets, pairs.hashOf(pair, KEY_WORDS), pair);
      else if (places[pair] === FOLLOWER) this.#enter(followerBuckets, pairs.hashOf(pair, PAIR_WORDS), pair);
    }
  }

  /** Adds a pair; no-op if it is there. Call `reserve()` before. */
  insert({ words }: Pair): void {
    const pairs = this.#pairs;
    const keyHash = pairs.hashOfGiven(words, KEY_WORDS);
    const leader = this.#find(this.#keyBuckets, keyHash, words, KEY_WORDS);
    if (leader === NONE) {
      const pair = pairs.add(words);
      this.#places[pair] = LEADER;
      this.#enter(this.#keyBuckets, keyHash, pair);
      this.#link(pair, pair);
      this.#keyCount++;
      return;
    }
    if (pairs.equals(leader, words, PAIR_WORDS)) return;
    const pairHash = pairs.hashOfGiven(words, PAIR_WORDS);
    if (this.#find(this.#followerBuckets, pairHash, words, PAIR_WORDS) !== NONE) return;
    const pair = pairs.add(words);
    this.#places[pair] = FOLLOWER;
    this.#enter(this.#followerBuckets, pairHash, pair);
    this.#link(this.#previousInRing[leader]!, pair);
    this.#link(pair, leader);
  }

  /** Removes all pairs that have the key of a pair. */
  delete(given: Pair): void {
    const leader = this.#leaderOf(given);
    if (leader === NONE) return;
    let pair = leader;
    do {
      const next = this.#nextInRing[pair]!;
      this.#leave(pair);
      this.#pairs.release(pair);
      pair = next;
    } while (pair !== leader);
    this.#keyCount--;
  }

  /** Removes a pair. */
  deleteValue(given: Pair): void {
    const pair = this.#pairOf(given);
    if (pair === NONE) return;
    const next = this.#nextInRing[pair]!;
    const isLeader = this.#places[pair] === LEADER;
    this.#leave(pair);
    if (next === pair) {
      this.#keyCount--;
    } else if (isLeader) {
      this.#leave(next);
      this.#places[next] = LEADER;
      this.#enter(this.#keyBuckets, this.#pairs.hashOf(next, KEY_WORDS), next);
    }
    this.#link(this.#previousInRing[pair]!, next);
    this.#pairs.release(pair);
  }

  /** Whether there is this pair. */
  has(given: Pair): boolean {
    return this.#pairOf(given) !== NONE;
  }

  /** Whether there is a pair with the key of this one. */
  hasKey(given: Pair): boolean {
    return this.#leaderOf(given) !== NONE;
  }

  /** The values of a pair's key, in no order. */
  values(given: Pair): Value[] {
    const values: Value[] = [];
    const leader = this.#leaderOf(given);
    let pair = leader;
    while (pair !== NONE) {
      values.push(this.#pairs.valueOf(pair));
      pair = this.#nextInRing[pair]!;
      if (pair === leader) break;
    }
    return values;
  }

  /** All pairs, in no order. Pairs that are added or removed meanwhile may be among them or not. */
  *entries(): IterableIterator<Entry> {
    for (let pair = 1; pair <= this.#pairs.highest; pair++) {
      if (this.#places[pair] !== FREE) yield this.#pairs.entryOf(pair);
    }
  }

  #leaderOf({ words }: Pair): number {
    return this.#find(this.#keyBuckets, this.#pairs.hashOfGiven(words, KEY_WORDS), words, KEY_WORDS);
  }

  #pairOf(given: Pair): number {
    const pairs = this.#pairs;
    const { words } = given;
    const leader = this.#leaderOf(given);
    if (leader === NONE || pairs.equals(leader, words, PAIR_WORDS)) return leader;
    return this.#find(this.#followerBuckets, pairs.hashOfGiven(words, PAIR_WORDS), words, PAIR_WORDS);
  }

  /** The pair of a table whose first words are these. */
  #find(buckets: Uint32Array, hash: number, words: Uint32Array, wordCount: number): number {
    const pairs = this.#pairs;
    let pair = buckets[hash & (buckets.length - 1)]!;
    while (pair !== NONE && !pairs.equals(pair, words, wordCount)) pair = this.#nextInChain[pair]!;
    return pair;
  }

  #enter(buckets: Uint32Array, hash: number, pair: number): void {
    const bucket = hash & (buckets.length - 1);
    this.#nextInChain[pair] = buckets[bucket]!;
    buckets[bucket] = pair;
  }

  /** Takes a pair out of its table. */
  #leave(pair: number): void {
    const isLeader = this.#places[pair] === LEADER;
    const buckets = isLeader ? this.#keyBuckets : this.#followerBuckets;
    const bucket = this.#pairs.hashOf(pair, isLeader ? KEY_WORDS : PAIR_WORDS) & (buckets.length - 1);
    const next = this.#nextInChain;
    this.#places[pair] = FREE;
    if (buckets[bucket] === pair) {
      buckets[bucket] = next[pair]!;
      return;
    }
    let before = buckets[bucket]!;
    while (next[before] !== pair) before = next[before]!;
    next[before] = next[pair]!;
  }

  #link(pair: number, next: number): void {
    this.#nextInRing[pair] = next;
    this.#previousInRing[next] = pair;
  }
}
