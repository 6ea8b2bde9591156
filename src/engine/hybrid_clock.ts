// Hybrid logical time that never goes back.
//
// Kulkarni, Demirbas, Madappa, Avva, Leone: "Logical physical clocks and consistent snapshots in
// globally distributed databases" (OPODIS 2014). A time is the greatest physical time seen, and a
// counter that orders what happens while the physical time stands still.

import { MAX_U32, MAX_U64 } from "../arguments/numbers.ts";
import { assert } from "../assert.ts";
import { NANOS_PER_MS } from "../format/layout.ts";

/** The clock of one log. Each time it gives is greater than all it gave or observed before. */
export class HybridClock {
  #nanos = 0n;
  /** The two halves of `nanos` as signed 32-bit numbers, which a record stores. */
  nanosLow = 0;
  nanosHigh = 0;
  /** Sequence number of the last time given, 0 to 2^32 − 1. */
  seq = 0;
  /** The last reading of the wall clock that was followed, in milliseconds. */
  #physicalMs = 0;
  /** Whether the next `tick()` takes that reading. */
  #isPending = false;

  /** Nanoseconds of the last time given, 0 to 2^64 − 1. */
  get nanos(): bigint {
    return this.#nanos;
  }

  #setNanos(nanos: bigint): void {
    this.#nanos = nanos;
    this.nanosLow = Number(BigInt.asIntN(32, nanos));
    this.nanosHigh = Number(BigInt.asIntN(32, nanos >> 32n));
  }

  /** Makes the next `tick()` take a reading of the wall clock. */
  follow(ms: number): void {
    this.#physicalMs = ms;
    this.#isPending = true;
  }

  /** Makes the next `tick()` take no reading. */
  unfollow(): void {
    this.#isPending = false;
  }

  /** Moves on: `nanos` and `seq` are the new time. Allocates only when the wall clock has moved. */
  tick(): void {
    if (!this.#isPending || !this.#takeReading()) this.next();
  }

  /** Takes the reading as the new time if it is later. @returns whether it was. */
  #takeReading(): boolean {
    this.#isPending = false;
    const physical = BigInt(this.#physicalMs) * NANOS_PER_MS;
    if (physical <= this.#nanos || physical > MAX_U64) return false;
    this.#setNanos(physical);
    this.seq = 0;
    return true;
  }

  /** As `tick()`, without the wall clock: for the records of one batch. */
  next(): void {
    if (this.seq < MAX_U32) this.seq++;
    else this.#carry();
  }

  /** Moves on by `count` sequence numbers. */
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

  /** Notes a time that exists, so that every later time is greater. */
  observe(nanos: bigint, seq: number): void {
    if (!this.isBefore(nanos, seq)) return;
    this.#setNanos(nanos);
    this.seq = seq;
  }

  /** True if the last time given or observed is before this one. */
  isBefore(nanos: bigint, seq: number): boolean {
    return this.nanos < nanos || (this.nanos === nanos && this.seq < seq);
  }
}
