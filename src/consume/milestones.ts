// Callers that wait until a position of the log has come so far.

import { Queue } from "../engine/queue.ts";
import type { LSN } from "../types.ts";

interface Milestone {
  readonly lsn: LSN;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Waits for one position; each of them settles when it is reached or when nobody moves it any more. */
export class Milestones {
  /** In LSN order, and in order of arrival where the LSN is the same. */
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

  reached(lsn: LSN): void {
    while (this.#waiting.first !== undefined && this.#waiting.first.lsn <= lsn) this.#waiting.shift().resolve();
  }

  /** @param makeError called for each waiting caller, because most often there is none. */
  rejectAll(makeError: () => unknown): void {
    while (this.#waiting.first !== undefined) this.#waiting.shift().reject(makeError());
  }
}
