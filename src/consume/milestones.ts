// Callers that wait until a position of the log reaches an LSN.

import { Queue } from "../engine/queue.ts";
import type { LSN } from "../types.ts";

interface Milestone {
  readonly lsn: LSN;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The waiting callers of one position. */
export class Milestones {
  /** In LSN order; in order of arrival if LSNs are equal. */
  readonly #waiting = new Queue<Milestone>();

  /** True if nobody waits. */
  get isEmpty(): boolean {
    return this.#waiting.first === undefined;
  }

  /** Resolves when `reached()` is called with this LSN or a later one. */
  wait(lsn: LSN): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.insert({ lsn, resolve, reject }, (other) => other.lsn <= lsn);
    return promise;
  }

  /** Resolves the callers that wait for this LSN or an earlier one. */
  reached(lsn: LSN): void {
    while (this.#waiting.first !== undefined && this.#waiting.first.lsn <= lsn) this.#waiting.shift().resolve();
  }

  /**
   * Rejects all callers, because the position will not move any more.
   *
   * @param makeError makes one error for each caller. Mostly nobody waits, and no error is made.
   */
  rejectAll(makeError: () => unknown): void {
    while (this.#waiting.first !== undefined) this.#waiting.shift().reject(makeError());
  }
}
