// Hybrid logical time that never goes back.
//
// Kulkarni, Demirbas, Madappa, Avva, Leone: "Logical physical clocks and consistent snapshots in globally distributed
// databases" (OPODIS 2014): the greatest physical time seen, and a counter that orders what happens while it stands still.
//
// A time that was given cannot be taken back, so one wrong reading from the far future would push all
// later times there. Hence a reading that is far ahead is believed only if a clock that nobody sets
// has gone on as far since the reading before.

import { assert } from "../assert.ts";
import { MAX_U32, MAX_U64 } from "../arguments/numbers.ts";

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
  readonly #monotonic: () => number;
  readonly #maxJumpMs: number;
  /**
   * The last reading of the wall clock, in whole milliseconds; 0 before the first one, and where it
   * made no sense.
   */
  #wallMs = 0;
  /** The last reading that was followed, 0 for none since `restart()`; and the monotonic clock's then. */
  #followedMs = 0;
  #followedAtMs = 0;
  #unconfirmedMs = 0;
  /** Whether the next `tick()` takes the last reading that was followed. */
  #isPending = false;
  #timesUntilReading = 0;
  #isReading = false;

  /**
   * @param now the wall clock, in milliseconds since 1970; it may stall, jump and go back.
   * @param monotonic a clock that nobody sets, in milliseconds since any time.
   * @param maxJumpMs how far the wall clock is followed beyond what `monotonic` confirms.
   */
  constructor(now: () => number, monotonic: () => number = () => 0, maxJumpMs = Infinity) {
    this.#now = now;
    this.#monotonic = monotonic;
    this.#maxJumpMs = maxJumpMs;
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

  /**
   * By how many milliseconds the last reading is ahead of what the monotonic clock confirms; 0 if it
   * was followed.
   */
  get unconfirmedMs(): number {
    return this.#unconfirmedMs;
  }

  /** The next reading is followed: nothing is known of the time that has passed since the last one. */
  restart(): void {
    this.#followedMs = 0;
    this.#isPending = false;
    this.#unconfirmedMs = 0;
  }

  /** Reads the wall clock if that is due, before a `tick()`. */
  readIfDue(): void {
    if (--this.#timesUntilReading >= 0) return;
    this.#timesUntilReading = 0; // if reading fails, it is due again
    this.read();
    this.#timesUntilReading = TIMES_PER_READING - 1;
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
      this.#wallMs = isSensible ? ms : 0;
      if (isSensible) this.#follow(ms);
    } finally {
      this.#isReading = false;
    }
  }

  /** Has the next `tick()` take a reading, unless it is a jump. */
  #follow(ms: number): void {
    if (ms === this.#followedMs) {
      this.#unconfirmedMs = 0;
      return;
    }
    const atMs = this.#monotonic();
    this.#unconfirmedMs = this.#followedMs === 0 ? 0 : this.#jumpMs(ms, atMs);
    if (this.#unconfirmedMs > 0) return;
    this.#followedMs = ms;
    this.#isPending = true;
    this.#followedAtMs = atMs;
  }

  /**
   * How far a reading jumps ahead, 0 if no further than is followed. It is compared with the reading
   * before and with the time that has passed since; and with the log's time, where nothing is far
   * ahead that is near: a machine without a battery for its clock starts in 1970.
   */
  #jumpMs(ms: number, atMs: number): number {
    const confirmedMs = this.#followedMs + atMs - this.#followedAtMs;
    if (!(ms - confirmedMs > this.#maxJumpMs)) return 0;
    const jumpMs = ms - Math.max(confirmedMs, Number(this.#nanos / NANOS_PER_MS));
    return jumpMs > this.#maxJumpMs ? jumpMs : 0;
  }

  /** Moves on: `nanos` and `seq` are the new time. Allocates only when the wall clock has moved. */
  tick(): void {
    if (!this.#isPending || !this.#takeReading()) this.next();
  }

  /**
   * True if the wall clock's last reading is later than the last time given: then it is the new
   * time.
   */
  #takeReading(): boolean {
    this.#isPending = false;
    const physical = BigInt(this.#followedMs) * NANOS_PER_MS;
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
