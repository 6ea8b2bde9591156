// The consumers of one life, one after the other, as if the application stopped and started them.

import { immediate } from "../../../ffi/turn.ts";
import type { LifeSteps } from "./life_steps.ts";
import type { WatchedLog } from "./watched_log.ts";
import type { WatchedStore } from "./watched_store.ts";

/** Runs the consumers that feed a store during one life. */
export class Consumers {
  readonly #log: WatchedLog;
  readonly #steps: LifeSteps;
  #session = new AbortController();
  #hasEnded = false;

  constructor(log: WatchedLog, steps: LifeSteps) {
    this.#log = log;
    this.#steps = steps;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Runs consumers until `end()` or the crash. */
  async run(watched: WatchedStore, batchSize: number): Promise<void> {
    const log = this.#log;
    while (!this.#hasEnded && !this.#steps.hasCrashed) {
      if (!log.isOpen) {
        await immediate();
        continue;
      }
      this.#session = new AbortController();
      watched.begin();
      await log.consumeAsync(watched.store, {
        batchSize,
        // The history must depend on steps only, and not on time.
        pollIntervalMs: Infinity,
        signal: this.#session.signal,
      });
    }
  }

  /**
   * Stops the consumer, and another one goes on. Appends that wait for room reject when a consumer
   * ends, so a consumer is stopped only while there is plenty of room.
   */
  stop(): void {
    const log = this.#log;
    if (log.isOpen && log.length < log.capacity / 4 && log.stats().waiting === 0) this.#session.abort();
  }

  /** Stops the consumer; there is no next one. */
  end(): void {
    this.#hasEnded = true;
    this.#session.abort();
  }
}
