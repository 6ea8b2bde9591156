// Callers that wait until a position of the log has come so far.

import type { LSN } from "./types.ts";

interface Milestone {
  readonly lsn: LSN;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** So many that were reached are kept at most before the list is copied without them. */
const MOST_REACHED = 1024;

/** Waits for one position; each of them settles when it is reached or when nobody moves it any more. */
export class Milestones {
  /** In LSN order, and in order of arrival where the LSN is the same. */
  #waiting: Milestone[] = [];
  /** Index of the first that is not reached. */
  #first = 0;

  /** Resolves when `reached()` is called with this LSN or a later one. */
  wait(lsn: LSN): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.splice(this.#placeFor(lsn), 0, { lsn, resolve, reject });
    return promise;
  }

  reached(lsn: LSN): void {
    while (this.#first < this.#waiting.length && this.#waiting[this.#first]!.lsn <= lsn) {
      this.#waiting[this.#first++]!.resolve();
    }
    if (this.#first >= MOST_REACHED && this.#first * 2 >= this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
  }

  rejectAll(error: unknown): void {
    const waiting = this.#waiting.slice(this.#first);
    this.#waiting = [];
    this.#first = 0;
    for (const milestone of waiting) milestone.reject(error);
  }

  /** Index before which nobody waits for a later LSN; mostly the end, as callers wait for what they have appended. */
  #placeFor(lsn: LSN): number {
    let low = this.#first;
    let high = this.#waiting.length;
    if (high === low || this.#waiting[high - 1]!.lsn <= lsn) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#waiting[middle]!.lsn <= lsn) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
