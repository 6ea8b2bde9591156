// Calls to a store, and the question what happens after a failure.

import type { TakenConsumer } from "../arguments/consumer.ts";
import { mannersOf } from "../errors.ts";
import type { LSN } from "../types.ts";
import type { ConsumableLog } from "./consumer.ts";
import { isPromise } from "./promises.ts";
import { retryDelayMs } from "./retry_delay.ts";
import { callStore } from "./store_call.ts";

/** What one consumer asks of its store and of `onError`. */
export class Dialogue {
  readonly #log: ConsumableLog;
  readonly #options: TakenConsumer;
  readonly #signal: AbortSignal;

  /** @param signal stops the consumer. The signal in `options` is the caller's. */
  constructor(log: ConsumableLog, options: TakenConsumer, signal: AbortSignal) {
    this.#log = log;
    this.#options = options;
    this.#signal = signal;
  }

  /** False once the consumer is stopped, or the log is closed. */
  get goesOn(): boolean {
    return this.#log.isOpen && !this.#signal.aborted;
  }

  /** The answer of the store or of `onError`; undefined if the log is closed before the answer. */
  answer<T>(pending: T | PromiseLike<T>): T | Promise<T | undefined> {
    return isPromise(pending) ? this.#log.answers.waitFor(pending) : pending;
  }

  call<T>(work: () => T | Promise<T>): Promise<T> {
    return callStore(this.#log, this.#options.signal, work);
  }

  /**
   * Asks `onError`, and waits for the delay before a retry. Throws the error if the answer is
   * neither `"retry"` nor `"skip"`. If a retry would only fail again, `onError` is not asked.
   *
   * @param canSkip false if no record is to blame, as for an error of a shipper. Then `"skip"`
   * means `"retry"`.
   * @returns the answer; null if the consumer was stopped meanwhile.
   */
  async ask(
    error: unknown,
    firstLsn: LSN,
    lastLsn: LSN,
    attempt: number,
    canSkip = true,
  ): Promise<"retry" | "skip" | null> {
    const { onError } = this.#options;
    const { isFinal, blamesNoRecord } = mannersOf(error);
    this.#log.watch.fails(error, attempt);
    if (onError === undefined || isFinal) throw error;
    const delayMs = retryDelayMs(attempt);
    let answer = await this.call(() => this.answer(onError(error, { firstLsn, lastLsn, attempt, delayMs })));
    if (answer === "skip" && (!canSkip || blamesNoRecord)) answer = "retry";
    if (answer !== "retry" && answer !== "skip") throw error;
    if (answer === "retry" && this.goesOn) await this.#log.pause(delayMs, this.#signal);
    return this.goesOn ? answer : null;
  }
}
