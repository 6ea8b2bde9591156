// A set of pairs of a 128-bit key and a 128-bit value that also finds all the pairs of a key.
//
// Two hash tables with chains over one array of pairs. A key's first pair, its leader, stands in the table of keys; its other pairs
// stand in the table of followers, by key and value; all of them form a ring. So what has one value, as most keys do, costs
// one look-up, and a key with a million values is no slower. All of it lies in typed arrays: a Map needs a bigint of 128 bits as
// its key, and to make and hash that costs more than everything done here.

/** A value, as `values()` returns it. */
export type Value = readonly [high: bigint, low: bigint];

/** A key with one of its values, as `entries()` returns it. */
export type Entry = readonly [keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint];

/** A pair's words of 32 bits: four of the key, then four of the value. */
const PAIR_WORDS = 8;
const KEY_WORDS = 4;
/** The same, counted in halves of 64 bits. */
const PAIR_HALVES = 4;
/** Pairs are numbered from 1, so that zeros, which new arrays hold, point nowhere. */
const NONE = 0;
const FIRST_CAPACITY = 1024;

/** Where a pair stands. */
const FREE = 0;
const LEADER = 1;
const FOLLOWER = 2;

/** The set. Halves must be bigints from 0 to 2^64 − 1; who calls has checked that. */
export class PairTable {
  /** Pairs there is room for, a power of two; also the number of buckets in each table. */
  #capacity = 0;
  #words = new Uint32Array(PAIR_WORDS);
  /** The same bytes as bigints. */
  #halves = new BigUint64Array(this.#words.buffer);
  /** For each pair, `FREE`, `LEADER` or `FOLLOWER`. */
  #places = new Uint8Array(1);
  /** For each bucket, the first leader whose key hashes to it. */
  #keyBuckets = new Uint32Array(0);
  /** For each bucket, the first follower whose key and value hash to it. */
  #followerBuckets = new Uint32Array(0);
  /** For each pair, the next one of its bucket, in the table it stands in; if it is free, the next free one. */
  #nextInChain = new Uint32Array(1);
  /** For each pair, its neighbours in its key's ring. */
  #nextInRing = new Uint32Array(1);
  #previousInRing = new Uint32Array(1);
  /** No pair past this one has ever been in use. */
  #highest = 0;
  #firstFree = NONE;
  #size = 0;
  #keyCount = 0;

  /** The pair at hand: goes in as bigints and comes out as words, which allocates nothing. */
  readonly #given = new Uint32Array(PAIR_WORDS);
  /** The same bytes; a DataView, since JavaScriptCore takes eight times as long to store a bigint through a BigUint64Array. */
  readonly #givenView = new DataView(this.#given.buffer);
  /** Keeps whoever chooses the keys from choosing the buckets. */
  readonly #seed = crypto.getRandomValues(new Uint32Array(1))[0]!;

  constructor() {
    this.reserve(FIRST_CAPACITY);
  }

  /** How many pairs there are. */
  get size(): number {
    return this.#size;
  }

  /** How many keys they have. */
  get keyCount(): number {
    return this.#keyCount;
  }

  /**
   * Makes room for so many pairs in all, so that inserting them cannot fail.
   *
   * @throws {RangeError} if there is no memory for them; nothing has changed then.
   */
  reserve(pairs: number): void {
    if (pairs <= this.#capacity) return;
    let capacity = Math.max(this.#capacity, FIRST_CAPACITY);
    while (capacity < pairs) capacity *= 2;

    const words = new Uint32Array((capacity + 1) * PAIR_WORDS);
    const places = new Uint8Array(capacity + 1);
    const nextInRing = new Uint32Array(capacity + 1);
    const previousInRing = new Uint32Array(capacity + 1);
    const nextInChain = new Uint32Array(capacity + 1);
    const keyBuckets = new Uint32Array(capacity);
    const followerBuckets = new Uint32Array(capacity);
    // Everything is allocated: nothing can fail from here on.
    words.set(this.#words);
    places.set(this.#places);
    nextInRing.set(this.#nextInRing);
    previousInRing.set(this.#previousInRing);
    nextInChain.set(this.#nextInChain);
    this.#capacity = capacity;
    this.#words = words;
    this.#halves = new BigUint64Array(words.buffer);
    this.#places = places;
    this.#nextInRing = nextInRing;
    this.#previousInRing = previousInRing;
    this.#nextInChain = nextInChain;
    this.#keyBuckets = keyBuckets;
    this.#followerBuckets = followerBuckets;
    for (let pair = 1; pair <= this.#highest; pair++) {
      if (places[pair] === LEADER) this.#enter(keyBuckets, this.#bucketOf(pair, KEY_WORDS), pair);
      else if (places[pair] === FOLLOWER) this.#enter(followerBuckets, this.#bucketOf(pair, PAIR_WORDS), pair);
    }
  }

  /** Adds a pair; no-op if it is there. Call `reserve()` before. */
  insert(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): void {
    this.#give(keyHigh, keyLow, valueHigh, valueLow);
    const keyBucket = this.#bucketOfGiven(KEY_WORDS);
    const leader = this.#find(this.#keyBuckets[keyBucket]!, KEY_WORDS);
    if (leader === NONE) {
      const pair = this.#take(LEADER);
      this.#enter(this.#keyBuckets, keyBucket, pair);
      this.#link(pair, pair);
      this.#keyCount++;
      return;
    }
    if (this.#isGiven(leader, PAIR_WORDS)) return;
    const bucket = this.#bucketOfGiven(PAIR_WORDS);
    if (this.#find(this.#followerBuckets[bucket]!, PAIR_WORDS) !== NONE) return;
    const pair = this.#take(FOLLOWER);
    this.#enter(this.#followerBuckets, bucket, pair);
    this.#link(this.#previousInRing[leader]!, pair);
    this.#link(pair, leader);
  }

  /** Removes all pairs of a key. */
  delete(keyHigh: bigint, keyLow: bigint): void {
    const leader = this.#leaderOf(keyHigh, keyLow);
    if (leader === NONE) return;
    let pair = leader;
    do {
      const next = this.#nextInRing[pair]!;
      this.#leave(pair);
      this.#release(pair);
      pair = next;
    } while (pair !== leader);
    this.#keyCount--;
  }

  /** Removes a pair. */
  deleteValue(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): void {
    const pair = this.#pairOf(keyHigh, keyLow, valueHigh, valueLow);
    if (pair === NONE) return;
    const next = this.#nextInRing[pair]!;
    this.#leave(pair);
    if (next === pair) {
      this.#keyCount--;
    } else if (this.#places[pair] === LEADER) {
      this.#leave(next);
      this.#places[next] = LEADER;
      this.#enter(this.#keyBuckets, this.#bucketOfGiven(KEY_WORDS), next);
    }
    this.#link(this.#previousInRing[pair]!, next);
    this.#release(pair);
  }

  /** Whether there is this pair. */
  has(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): boolean {
    return this.#pairOf(keyHigh, keyLow, valueHigh, valueLow) !== NONE;
  }

  /** Whether there is a pair with this key. */
  hasKey(keyHigh: bigint, keyLow: bigint): boolean {
    return this.#leaderOf(keyHigh, keyLow) !== NONE;
  }

  /** The values of a key, in no order. */
  values(keyHigh: bigint, keyLow: bigint): Value[] {
    const values: Value[] = [];
    const leader = this.#leaderOf(keyHigh, keyLow);
    let pair = leader;
    while (pair !== NONE) {
      const at = pair * PAIR_HALVES;
      values.push([this.#halves[at + 2]!, this.#halves[at + 3]!]);
      pair = this.#nextInRing[pair]!;
      if (pair === leader) break;
    }
    return values;
  }

  /** All pairs, in no order. What changes meanwhile may be among them or not. */
  *entries(): IterableIterator<Entry> {
    for (let pair = 1; pair <= this.#highest; pair++) {
      if (this.#places[pair] === FREE) continue;
      const at = pair * PAIR_HALVES;
      const halves = this.#halves;
      yield [halves[at]!, halves[at + 1]!, halves[at + 2]!, halves[at + 3]!];
    }
  }

  #leaderOf(keyHigh: bigint, keyLow: bigint): number {
    this.#give(keyHigh, keyLow, 0n, 0n);
    return this.#find(this.#keyBuckets[this.#bucketOfGiven(KEY_WORDS)]!, KEY_WORDS);
  }

  #pairOf(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): number {
    this.#give(keyHigh, keyLow, valueHigh, valueLow);
    const leader = this.#find(this.#keyBuckets[this.#bucketOfGiven(KEY_WORDS)]!, KEY_WORDS);
    if (leader === NONE || this.#isGiven(leader, PAIR_WORDS)) return leader;
    return this.#find(this.#followerBuckets[this.#bucketOfGiven(PAIR_WORDS)]!, PAIR_WORDS);
  }

  #give(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): void {
    const view = this.#givenView;
    view.setBigUint64(0, keyHigh, true);
    view.setBigUint64(8, keyLow, true);
    view.setBigUint64(16, valueHigh, true);
    view.setBigUint64(24, valueLow, true);
  }

  #bucketOfGiven(wordCount: number): number {
    return hash(this.#given, 0, wordCount, this.#seed) & (this.#capacity - 1);
  }

  #bucketOf(pair: number, wordCount: number): number {
    return hash(this.#words, pair * PAIR_WORDS, wordCount, this.#seed) & (this.#capacity - 1);
  }

  /** The first pair of a chain whose first words are those given. */
  #find(first: number, wordCount: number): number {
    let pair = first;
    while (pair !== NONE && !this.#isGiven(pair, wordCount)) pair = this.#nextInChain[pair]!;
    return pair;
  }

  #isGiven(pair: number, wordCount: number): boolean {
    const words = this.#words;
    const given = this.#given;
    const at = pair * PAIR_WORDS;
    for (let i = 0; i < wordCount; i++) if (words[at + i] !== given[i]) return false;
    return true;
  }

  /** A free pair, filled with what is given; it stands in no table and no ring yet. */
  #take(place: typeof LEADER | typeof FOLLOWER): number {
    let pair = this.#firstFree;
    if (pair === NONE) pair = ++this.#highest;
    else this.#firstFree = this.#nextInChain[pair]!;
    for (let i = 0; i < PAIR_WORDS; i++) this.#words[pair * PAIR_WORDS + i] = this.#given[i]!;
    this.#places[pair] = place;
    this.#size++;
    return pair;
  }

  #release(pair: number): void {
    this.#places[pair] = FREE;
    this.#nextInChain[pair] = this.#firstFree;
    this.#firstFree = pair;
    this.#size--;
  }

  #enter(buckets: Uint32Array, bucket: number, pair: number): void {
    this.#nextInChain[pair] = buckets[bucket]!;
    buckets[bucket] = pair;
  }

  /** Takes a pair out of the table it stands in. */
  #leave(pair: number): void {
    const isLeader = this.#places[pair] === LEADER;
    const buckets = isLeader ? this.#keyBuckets : this.#followerBuckets;
    const bucket = this.#bucketOf(pair, isLeader ? KEY_WORDS : PAIR_WORDS);
    const next = this.#nextInChain;
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

/** Mixes words into one of 32 bits, by multipliers and shifts of MurmurHash2 and 3 (Appleby, 2008 and 2011). */
function hash(words: Uint32Array, from: number, count: number, seed: number): number {
  let mixed = seed;
  for (let i = from; i < from + count; i++) {
    mixed = Math.imul(mixed ^ words[i]!, 0x5bd1e995);
    mixed ^= mixed >>> 15;
  }
  mixed = Math.imul(mixed, 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}
