// What a consumer leaves out because its store cannot apply it, and how it finds that.

import type { LSN } from "../types.ts";

/** The skipped records of one consumer, and the search for the next ones. */
export class Skips {
  /** A run that failed and is tried in parts, to find what may be skipped. */
  #searched: { readonly through: LSN; readonly records: number } | null = null;
  /** The first skipped record, until the store has a later one; null if there is none. */
  #first: LSN | null = null;

  /** The most records in the next run during a search; null if there is no search. */
  get records(): number | null {
    return this.#searched?.records ?? null;
  }

  /** Tries a run in halves: the one from `next` to `through`, which has failed. */
  search(next: LSN, through: LSN): void {
    const tried = Math.min(this.records ?? Infinity, through - next + 1);
    this.#searched = { through, records: Math.max(1, tried >> 1) };
  }

  /** Notes that records from this one on are skipped. */
  skip(lsn: LSN): void {
    this.#searched = null;
    this.#first ??= lsn;
  }

  /** Notes what the store has. @param lastData the last record that it was given and has. */
  reached(applied: LSN, lastData: LSN): void {
    if (lastData > (this.#first ?? Infinity)) this.#first = null;
    if (applied >= (this.#searched?.through ?? Infinity)) this.#searched = null;
  }

  /**
   * The last record that may be confirmed. The LSN of a store does not pass a skipped record before
   * the store has a later one. If the log released that record, it would refuse the store.
   */
  confirmable(applied: LSN): LSN {
    return this.#first === null ? applied : this.#first - 1;
  }
}
