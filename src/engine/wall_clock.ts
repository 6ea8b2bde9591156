// The wall clock, and how far hybrid time follows it.
//
// A time that was given cannot be taken back. So one wrong reading from the far future would push
// all later times there. So a reading that is far ahead is a jump, unless a monotonic clock,
// which nobody sets, shows that as much time has passed since the previous reading.

import { NANOS_PER_MS } from "../format/layout.ts";
import type { HybridClock } from "./hybrid_clock.ts";

/**
 * A reading is due after this many hybrid times, or after `refresh()`. Readings are rare, because a
 * reading costs as much as the rest of an append. Between readings the sequence number keeps order.
 */
const TIMES_PER_READING = 16;

/** Reads the wall clock for one log's hybrid time. */
export class WallClock {
  /** The hybrid time that takes the readings. */
  readonly hybrid: HybridClock;
  readonly #now: () => number;
  readonly #monotonic: () => number;
  readonly #maxJumpMs: number;
  #ms = 0;
  #unconfirmedMs = 0;
  /** The last reading that was followed; 0 if none was since `restart()`. */
  #followedMs = 0;
  /** The monotonic clock at that reading. */
  #followedAtMs = 0;
  #timesUntilReading = 0;
  #isReading = false;

  /**
   * @param now the wall clock, in milliseconds since 1970; it may stall, jump and go back.
   * @param monotonic a clock that nobody sets, in milliseconds from any start.
   * @param maxJumpMs how far the wall clock is followed beyond what `monotonic` confirms.
   */
  constructor(hybrid: HybridClock, now: () => number, monotonic: () => number = () => 0, maxJumpMs = Infinity) {
    this.hybrid = hybrid;
    this.#now = now;
    this.#monotonic = monotonic;
    this.#maxJumpMs = maxJumpMs;
  }

  /** The last reading in whole milliseconds; 0 before the first one, and if it was nonsense. */
  get ms(): number {
    return this.#ms;
  }

  /** The last reading in nanoseconds. */
  get nanos(): bigint {
    return BigInt(this.#ms) * NANOS_PER_MS;
  }

  /**
   * By how many milliseconds the last reading is ahead of what the monotonic clock confirms; 0 if
   * the reading was followed.
   */
  get unconfirmedMs(): number {
    return this.#unconfirmedMs;
  }

  /** Makes hybrid time follow the next reading, because the time since the last one is unknown. */
  restart(): void {
    this.#followedMs = 0;
    this.#unconfirmedMs = 0;
    this.hybrid.unfollow();
  }

  /** Makes a reading due. */
  refresh(): void {
    this.#timesUntilReading = 0;
  }

  /** Reads the wall clock if a reading is due, before a `tick()` of hybrid time. */
  readIfDue(): void {
    if (--this.#timesUntilReading >= 0) return;
    this.#timesUntilReading = 0; // if reading fails, it is due again
    this.read();
    this.#timesUntilReading = TIMES_PER_READING - 1;
  }

  /**
   * Reads the wall clock, which is the caller's code and may do anything to the log. No other
   * method runs it. Code that the wall clock runs uses the previous reading.
   */
  read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      const now = this.#now;
      const ms = Math.floor(now());
      const isSensible = Number.isSafeInteger(ms) && ms > 0;
      this.#ms = isSensible ? ms : 0;
      if (isSensible) this.#follow(ms);
    } finally {
      this.#isReading = false;
    }
  }

  /** Makes hybrid time follow a reading, unless the reading is a jump. */
  #follow(ms: number): void {
    if (ms === this.#followedMs) {
      this.#unconfirmedMs = 0;
      return;
    }
    const atMs = this.#monotonic();
    this.#unconfirmedMs = this.#followedMs === 0 ? 0 : this.#jumpMs(ms, atMs);
    if (this.#unconfirmedMs > 0) return;
    this.#followedMs = ms;
    this.#followedAtMs = atMs;
    this.hybrid.follow(ms);
  }

  /**
   * How far a reading jumps ahead; 0 if it may be followed. A reading is compared with the last
   * reading and the time that has passed since. It is also compared with hybrid time, because a
   * machine without a battery for its clock starts in 1970, and later jumps to the log's time.
   */
  #jumpMs(ms: number, atMs: number): number {
    const confirmedMs = this.#followedMs + atMs - this.#followedAtMs;
    if (!(ms - confirmedMs > this.#maxJumpMs)) return 0;
    const jumpMs = ms - Math.max(confirmedMs, Number(this.hybrid.nanos / NANOS_PER_MS));
    return jumpMs > this.#maxJumpMs ? jumpMs : 0;
  }
}
