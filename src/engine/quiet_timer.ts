// A timer for work that can wait. The process may end before, and no test runner waits for it.

/**
 * One delay at a time. A timer of the runtime would not do, even one that does not keep the process
 * alive: `deno test` with `sanitizeOps` fails each test in which a timer starts or ends.
 */
export class QuietTimer {
  /** Nobody stores into this cell. A wait on it ends when its time is up, or by `clear()`. */
  readonly #cell = new Int32Array(new SharedArrayBuffer(4));
  /**
   * How often the timer was set or cleared. A wait that ends at another count does not call back.
   */
  #count = 0;
  #isSet = false;

  get isSet(): boolean {
    return this.#isSet;
  }

  /** Calls back after a delay, unless `clear()` is called before. The timer must not be set. */
  set(delayMs: number, callBack: () => void): void {
    this.#isSet = true;
    const count = ++this.#count;
    const wait = Atomics.waitAsync(this.#cell, 0, 0, delayMs);
    Promise.resolve(wait.value).then(() => {
      if (this.#count !== count) return;
      this.#isSet = false;
      callBack();
    });
  }

  clear(): void {
    if (!this.#isSet) return;
    this.#isSet = false;
    this.#count++;
    Atomics.notify(this.#cell, 0);
  }
}
