// Random numbers that can be repeated from a seed.
//
// sfc32 by Chris Doty-Humphrey (PractRand, 2010): 128 bits of state. A counter is part of the
// state, so no seed leads into a short cycle. As in PractRand, the seed fills three words, the
// counter starts at 1, and twelve numbers are discarded. Labels are hashed with FNV-1a (Fowler,
// Noll, Vo).

/**
 * Deterministic random numbers. The same seed gives the same numbers on every runtime.
 *
 * @example
 * ```ts
 * import { Random } from "@cidstore/wal/testing";
 *
 * const random = new Random(7);
 * const again = new Random(7);
 * console.log(random.below(100) === again.below(100), random.between(1, 6) <= 6); // true true
 * ```
 */
export class Random {
  /** The seed, as given. */
  readonly seed: number;

  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /**
   * Starts a sequence.
   *
   * @param seed any integer; its low 53 bits count.
   * @param stream a 32-bit number. Each seed has a sequence for each stream.
   */
  constructor(seed: number, stream = 0) {
    this.seed = seed;
    const whole = Math.abs(Math.trunc(seed)) % 2 ** 53;
    this.#a = whole | 0;
    this.#b = Math.floor(whole / 2 ** 32) | 0;
    this.#c = stream | 0;
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** 0 to 2^32 − 1. */
  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** 0 to `limit` − 1, for a limit from 1 to 2^32. */
  below(limit: number): number {
    return Math.floor(this.uint32() / 2 ** 32 * limit);
  }

  /** `first` to `last`, both included. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  /** True with the given probability, 0 to 1. */
  chance(probability: number): boolean {
    return this.uint32() < probability * 2 ** 32;
  }

  /** One of the items. There must be one. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** Any unsigned 64-bit number. */
  uint64(): bigint {
    return BigInt(this.uint32()) << 32n | BigInt(this.uint32());
  }

  /** Fills the bytes. */
  fill(bytes: Uint8Array): Uint8Array {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.uint32() >>> 24;
    return bytes;
  }

  /**
   * A sequence of its own for one purpose. It depends on the seed and the label only, and not on
   * the numbers that were taken so far. So a shortened history still meets the same faults.
   */
  fork(label: string): Random {
    let hash = 0x811c9dc5;
    for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193);
    return new Random(this.seed, hash);
  }

  /** The state, so that the sequence can go on from here later. */
  save(): RandomState {
    return [this.#a, this.#b, this.#c, this.#counter];
  }

  /** Goes on from a saved state. */
  load([a, b, c, counter]: RandomState): void {
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#counter = counter;
  }
}

/** Where a `Random` is in its sequence. */
export type RandomState = readonly [a: number, b: number, c: number, counter: number];
