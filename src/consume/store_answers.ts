// The answers that a consumer waits for: one at a time, timed, and no longer than the log is open.

/**
 * The unfinished calls of stores whose log was closed. A store gets no other call before its
 * unfinished one ends.
 */
const abandoned = new WeakMap<object, Promise<unknown>>();

/** The answers of a store and of its consumer's `onError`. */
export class StoreAnswers {
  readonly #nowMs: () => number;
  #store: object = this;
  #answer: PromiseLike<unknown> | null = null;
  /** Since when the answer is awaited. */
  #calledMs = 0;
  #waiting: PromiseWithResolvers<unknown> | null = null;
  #isOver = false;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /**
   * Begins with a store. Resolves after a call that an earlier consumer made to this store ends.
   */
  begin(store: object): Promise<unknown> | undefined {
    this.#store = store;
    const earlier = abandoned.get(store);
    return earlier && this.waitFor(earlier);
  }

  /** How long the running call has waited for its answer; null if none runs. */
  get callMs(): number | null {
    return this.#answer === null ? null : Math.max(0, this.#nowMs() - this.#calledMs);
  }

  /**
   * Waits for an answer, but no longer than the log is open.
   *
   * @returns undefined if the log was closed first. Nobody learns of the answer or the error then.
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

  /** The log is closed: nothing is awaited any more. */
  end(): void {
    this.#isOver = true;
    this.#giveUp();
  }

  // One pair for all answers, because an asynchronous store gives one for each record. A late
  // answer finds nobody waiting.
  readonly #answered = (value: unknown) => this.#takeWaiting()?.resolve(value);
  readonly #refused = (error: unknown) => this.#takeWaiting()?.reject(error);

  #takeWaiting(): PromiseWithResolvers<unknown> | null {
    const waiting = this.#waiting;
    this.#waiting = this.#answer = null;
    return waiting;
  }

  #giveUp(): void {
    if (this.#answer !== null) abandoned.set(this.#store, Promise.allSettled([this.#answer]));
    this.#takeWaiting()?.resolve(undefined);
  }
}
