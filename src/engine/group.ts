// The callers that wait for one sync. Most of them share a promise; some have one of their own.

import type { LSN } from "../types.ts";

/** Promises that settle in the order in which callers got them. */
export class Group {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  /** The latest promise that callers share. The first one is that of the sync itself. */
  #shared: Promise<void>;
  /** The latest promise of a caller's own; null if `#shared` is later. */
  #latest: Promise<LSN> | null = null;

  constructor() {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#shared = promise;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** A promise that callers share. */
  get shared(): Promise<void> {
    if (this.#latest !== null) {
      this.#shared = this.#latest.then(() => {});
      this.#latest = null;
    }
    return this.#shared;
  }

  /** A promise of the caller's own, which resolves to an LSN. */
  promiseOf(lsn: LSN): Promise<LSN> {
    return this.#latest = (this.#latest ?? this.#shared).then(() => lsn);
  }
}
