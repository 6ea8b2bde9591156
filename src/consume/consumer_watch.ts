// What the log knows of its consumer: how it is, what it failed with last, and for how long the store has not answered.

import { WALClosedError } from "../errors.ts";
import type { ConsumerStats } from "../types.ts";

/** A call to a store is said to take long after this time. */
export const LONG_CALL_MS = 1000;

/** Calls that still ran when their log was closed. A store gets no other call before they have ended. */
const abandonedCalls = new WeakMap<object, Promise<unknown>>();

/** Watches the consumers of one opening of a log, one after the other. */
export class ConsumerWatch {
  readonly #nowMs: () => number;
  #state: ConsumerStats["state"] = "none";
  #attempts = 0;
  #lastError: unknown = null;
  #store: object = this;
  /** Since when an answer is waited for; null while none is. */
  #calledMs: number | null = null;
  #answer: PromiseLike<unknown> | null = null;
  #waiting: PromiseWithResolvers<unknown> | null = null;
  #isOver = false;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** A consumer begins. Resolves once no call is running that an earlier one has made to this store. */
  begins(store: object): Promise<unknown> | undefined {
    this.#state = "running";
    this.#attempts = 0;
    this.#store = store;
    const abandoned = abandonedCalls.get(store);
    return abandoned && this.waitFor(abandoned);
  }

  /** Its store failed, so many times in a row. */
  fails(error: unknown, attempts: number): void {
    this.#state = "retrying";
    this.#attempts = attempts;
    this.#lastError = error;
  }

  /** Its store does what it is asked. */
  recovers(): void {
    if (this.#attempts === 0) return;
    this.#state = "running";
    this.#attempts = 0;
  }

  /** It was stopped. */
  stops(): void {
    this.#state = "stopped";
    this.#attempts = 0;
  }

  /** It ends with an error, or was refused. */
  dies(error: unknown): void {
    this.#state = "failed";
    this.#attempts = Math.max(1, this.#attempts);
    this.#lastError = error;
  }

  /**
   * Waits for an answer of the store or of `onError`, but not longer than the log is open.
   *
   * @returns undefined if the log was closed first. The answer, or the error, is then of no interest.
   */
  waitFor<T>(answer: PromiseLike<T>): Promise<T | undefined> {
    const waiting = Promise.withResolvers<T | undefined>();
    this.#waiting = waiting as PromiseWithResolvers<unknown>;
    this.#answer = answer;
    this.#calledMs = this.#nowMs();
    Promise.resolve(answer).then(this.#answered, this.#refused);
    if (this.#isOver) this.#giveUp();
    return waiting.promise;
  }

  // One pair for all answers, since an asynchronous store gives one for each record. An answer that is late finds nobody waiting.
  readonly #answered = (value: unknown) => this.#takeWaiting()?.resolve(value);
  readonly #refused = (error: unknown) => this.#takeWaiting()?.reject(error);

  #takeWaiting(): PromiseWithResolvers<unknown> | null {
    const waiting = this.#waiting;
    this.#waiting = this.#answer = this.#calledMs = null;
    return waiting;
  }

  #giveUp(): void {
    if (this.#answer !== null) abandonedCalls.set(this.#store, Promise.allSettled([this.#answer]));
    this.#takeWaiting()?.resolve(undefined);
  }

  /** The log is closed: nothing is waited for any more. */
  isOver(): void {
    this.#isOver = true;
    this.#giveUp();
  }

  stats(): ConsumerStats {
    return { state: this.#state, attempts: this.#attempts, lastError: this.#lastError, callMs: this.#callMs() };
  }

  /** What to tell somebody who waits for a consumer when there is none. */
  absence(): unknown {
    if (this.#state === "failed") return this.#lastError;
    const state = this.#state === "stopped" ? "no consumer runs, the last one was stopped" : "no consumer runs";
    return new WALClosedError("wait for the consumer", state);
  }

  /** Why the consumer makes no room, and the error behind that. */
  blame(): { why: string; cause: ErrorOptions } {
    return { why: `; ${this.#describe()}`, cause: this.#isFailing() ? { cause: this.#lastError } : {} };
  }

  /** What an operator should know. @param left records that are not in the store. */
  warnings(left: number): string[] {
    const isLong = this.#callMs() > LONG_CALL_MS;
    if (left === 0 || !(this.#isFailing() || isLong)) return [];
    const described = this.#describe();
    return [`${described[0]!.toUpperCase()}${described.slice(1)}, and ${left} record(s) are not in the store`];
  }

  #isFailing(): boolean {
    return this.#state === "failed" || this.#state === "retrying";
  }

  #callMs(): number {
    return this.#calledMs === null ? 0 : Math.max(0, this.#nowMs() - this.#calledMs);
  }

  #describe(): string {
    switch (this.#state) {
      case "none":
        return "no consumer runs";
      case "stopped":
        return "the consumer was stopped";
      case "failed":
        return `the consumer failed with ${textOf(this.#lastError)}`;
      case "retrying":
        return `the store failed ${this.#attempts} time(s) in a row, at last with ${textOf(this.#lastError)}`;
      case "running":
        return this.#calledMs === null
          ? "the consumer is running"
          : `the consumer has been waiting ${Math.round(this.#callMs())} ms for its store to return from a call`;
    }
  }
}

/** Whatever was thrown, as a part of a sentence. */
function textOf(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  } catch {
    return "a value that has no text";
  }
}
