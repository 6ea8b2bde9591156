// Callers that wait until a position of the log has come so far.

import type { LSN } from "./types.ts";

interface Milestone {
  readonly lsn: LSN;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Waits for one position; each of them settles when it is reached or when nobody moves it any more. */
export class Milestones {
  #waiting: Milestone[] = [];

  /** Resolves when `reached()` is called with this LSN or a later one. */
  wait(lsn: LSN): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ lsn, resolve, reject });
    return promise;
  }

  reached(lsn: LSN): void {
    if (this.#waiting.length === 0) return;
    const there = this.#waiting.filter((milestone) => milestone.lsn <= lsn);
    this.#waiting = this.#waiting.filter((milestone) => milestone.lsn > lsn);
    for (const milestone of there) milestone.resolve();
  }

  rejectAll(error: unknown): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const milestone of waiting) milestone.reject(error);
  }
}
