// Hybrid logical time that never goes back.
//
// Kulkarni, Demirbas, Madappa, Avva, Leone: "Logical physical clocks and consistent snapshots in globally distributed
// databases" (OPODIS 2014): the greatest physical time seen, and a counter that orders what happens while it stands still.

import { assert } from "./assert.ts";
import { MAX_U32, MAX_U64 } from "./numbers.ts";

const NANOS_PER_MS = 1_000_000n;

/**
 * After this many times a reading of the wall clock is due, unless `refresh()` was called before: a
 * reading costs as much as the rest of an append, and the counter alone keeps the order.
 */
const TIMES_PER_READING = 16;

/** The clock of one log. Each time it gives is greater than all it gave or observed before. */
export class HybridClock {
  #nanos = 0n;
  /** The two halves of `nanos`, as signed 32-bit numbers: what a record stores. */
  nanosLow = 0;
  nanosHigh = 0;
  /** Sequence number of the last time given, 0 to 2^32 − 1. */
  seq = 0;

  readonly #now: () => number;
  /**
   * The last reading of the wall clock, in whole milliseconds; 0 before the first one, and where it
   * made no sense.
   */
  #wallMs = 0;
  /** A reading that the next `tick()` takes; 0 for none. */
  #pendingMs = 0;
  #timesUntilReading = 0;
  #isReading = false;

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

  /** What the wall clock said last, in whole milliseconds; 0 where it made no sense. */
  get wallMs(): number {
    return this.#wallMs;
  }

  /** The same in nanoseconds. */
  get wallNanos(): bigint {
    return BigInt(this.#wallMs) * NANOS_PER_MS;
  }

  /** Reads the wall clock if that is due, before a `tick()`. */
  readIfDue(): void {
    if (this.#timesUntilReading > 0) return;
    this.read();
    this.#timesUntilReading = TIMES_PER_READING;
  }

  /**
   * Reads the wall clock, which is the caller's code and may do anything to the log. No other
   * method runs it. Code that the wall clock runs gets by with the reading before.
   */
  read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      const now = this.#now;
      const ms = Math.floor(now());
      const isSensible = Number.isSafeInteger(ms) && ms > 0;
      if (isSensible && ms !== this.#wallMs) this.#pendingMs = ms;
      this.#wallMs = isSensible ? ms : 0;
    } finally {
      this.#isReading = false;
    }
  }

  /** Moves on: `nanos` and `seq` are the new time. Allocates only when the wall clock has moved. */
  tick(): void {
    this.#timesUntilReading--;
    if (this.#pendingMs === 0 || !this.#takeReading()) this.next();
  }

  /**
   * True if the wall clock's last reading is later than the last time given: then it is the new
   * time.
   */
  #takeReading(): boolean {
    const physical = BigInt(this.#pendingMs) * NANOS_PER_MS;
    this.#pendingMs = 0;
    if (physical <= this.#nanos || physical > MAX_U64) return false;
    this.#setNanos(physical);
    this.seq = 0;
    return true;
  }

  /** As `tick()`, without the wall clock: for records that are logged at once. */
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

  /** Makes a reading due. */
  refresh(): void {
    this.#timesUntilReading = 0;
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
