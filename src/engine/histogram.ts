// Counts durations in buckets that grow by a factor, so that one array holds microseconds and
// seconds.

import type { LatencyHistogram } from "../types.ts";

/** Upper bounds in milliseconds: 10 µs to 5 s, three to a decade. */
export const BOUNDS_MS: readonly number[] = [
  0.01,
  0.02,
  0.05,
  0.1,
  0.2,
  0.5,
  1,
  2,
  5,
  10,
  20,
  50,
  100,
  200,
  500,
  1000,
  2000,
  5000,
];

/** A histogram that only grows. */
export class Histogram {
  readonly #counts = new Array<number>(BOUNDS_MS.length + 1).fill(0);
  #count = 0;
  #totalMs = 0;
  #maxMs = 0;

  add(ms: number): void {
    let bucket = 0;
    while (bucket < BOUNDS_MS.length && ms >= BOUNDS_MS[bucket]!) bucket++;
    this.#counts[bucket]!++;
    this.#count++;
    this.#totalMs += ms;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  /** A copy that does not change any more. */
  snapshot(): LatencyHistogram {
    return {
      boundsMs: BOUNDS_MS,
      counts: this.#counts.slice(),
      count: this.#count,
      totalMs: this.#totalMs,
      maxMs: this.#maxMs,
    };
  }
}
