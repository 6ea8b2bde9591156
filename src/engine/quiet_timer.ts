// A timer for work that can wait: the process may end before, and a test runner does not miss it.

/**
 * One delay at a time. A timer of the runtime would not do, even one that does not keep the process alive: `deno test` with
 * `sanitizeOps` fails each test that one was started in or ended in.
 */
export class QuietTimer {
  /** Nobody stores into it: a wait on it ends when its time is up, or when it is cancelled. */
  readonly #cell = new Int32Array(new SharedArrayBuffer(4));
  /** Counts how often it was set or cleared: a time that is up for another count calls nobody back. */
  #count = 0;
  #isSet = false;

  get isSet(): boolean {
    return this.#isSet;
  }

  /** Calls back after a delay in milliseconds, unless `clear()` is called before. It must not be set already. */
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
