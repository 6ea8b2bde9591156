// Hybrid logical time that never goes back.
//
// Kulkarni, Demirbas, Madappa, Avva, Leone: "Logical physical clocks and consistent snapshots in globally distributed
// databases" (OPODIS 2014): the greatest physical time seen, and a counter that orders what happens while it stands still.

import { assert } from "./assert.ts";
import { MAX_U32, MAX_U64 } from "./numbers.ts";

const NANOS_PER_MS = 1_000_000n;

/**
 * One time in this many asks for the wall clock, unless `refresh()` was called: a look at the clock costs as much as the rest of an
 * append, and order is the counter's business.
 */
const TIMES_PER_LOOK = 16;

/** The clock of one log. Each time it gives is greater than all it gave or observed before. */
export class HybridClock {
  #nanos = 0n;
  /** The two halves of `nanos`, as signed 32-bit numbers: what a record stores. */
  nanosLow = 0;
  nanosHigh = 0;
  /** Sequence number of the last time given, 0 to 2^32 − 1. */
  seq = 0;

  readonly #now: () => number;
  /** The greatest reading of the wall clock so far, in whole milliseconds. */
  #readingMs = -1;
  #timesUntilLook = 0;

  /** @param now the wall clock, in milliseconds since 1970; it may stall, jump and go back. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Nanoseconds of the last time given, 0 to 2^64 − 1. */
  get nanos(): bigint {
    return this.#nanos;
  }

  #setNanos(nanos: bigint): void {
    this.#nanos = nanos;
    this.nanosLow = Number(BigInt.asIntN(32, nanos));
    this.nanosHigh = Number(BigInt.asIntN(32, nanos >> 32n));
  }

  /** The wall clock's time in nanoseconds, at millisecond precision; 0 where the clock makes no sense. */
  wallNanos(): bigint {
    const ms = Math.floor(this.#now());
    return Number.isSafeInteger(ms) && ms > 0 ? BigInt(ms) * NANOS_PER_MS : 0n;
  }

  /** Moves on: `nanos` and `seq` are the new time. Allocates only when the wall clock has moved. */
  tick(): void {
    if (--this.#timesUntilLook < 0) {
      this.#timesUntilLook = TIMES_PER_LOOK - 1;
      const ms = Math.floor(this.#now());
      if (ms > this.#readingMs && Number.isSafeInteger(ms)) {
        this.#readingMs = ms;
        const physical = BigInt(ms) * NANOS_PER_MS;
        if (physical > this.#nanos && physical <= MAX_U64) {
          this.#setNanos(physical);
          this.seq = 0;
          return;
        }
      }
    }
    this.next();
  }

  /** As `tick()`, without a look at the wall clock: for records that are logged at once. */
  next(): void {
    if (this.seq < MAX_U32) this.seq++;
    else this.#carry();
  }

  /** Moves on by so many sequence numbers. */
  skip(count: number): void {
    assert(this.seq + count <= MAX_U32, "sequence numbers that are skipped do not carry");
    this.seq += count;
  }

  /** How many times with the same nanoseconds there are after this one. */
  get timesLeft(): number {
    return MAX_U32 - this.seq;
  }

  /** The counter carries into the time. */
  #carry(): void {
    assert(this.#nanos < MAX_U64, "hybrid time is not used up");
    this.#setNanos(this.#nanos + 1n);
    this.seq = 0;
  }

  /** Makes the next `tick()` look at the wall clock. */
  refresh(): void {
    this.#timesUntilLook = 0;
  }

  /** Takes note of a time that exists: every later one is greater. */
  observe(nanos: bigint, seq: number): void {
    if (this.isBefore(nanos, seq)) {
      this.#setNanos(nanos);
      this.seq = seq;
    }
  }

  /** True if the last time given or observed is before this one. */
  isBefore(nanos: bigint, seq: number): boolean {
    return this.nanos < nanos || (this.nanos === nanos && this.seq < seq);
  }
}
