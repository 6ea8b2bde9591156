// Appends that wait for room in a full ring, first come, first served.

import { clearTimeout, setTimeout } from "node:timers";
import { LONGEST_TIMER_MS } from "../arguments/numbers.ts";
import { Queue } from "./queue.ts";

/** One append that waits. */
interface Waiter {
  readonly records: number;
  /**
   * Appends, and settles the waiting promise as the promise of its group. Throws what appending
   * throws.
   */
  readonly append: () => void;
  readonly reject: (error: unknown) => void;
  readonly timer: ReturnType<typeof setTimeout> | null;
  readonly enteredMs: number;
  /** False after it has left the line. */
  isThere: boolean;
}

/**
 * A queue of appends. The promise of each append settles on every path: after the sync, after the
 * timeout, or by a rejection.
 */
export class WaitingLine {
  readonly #nowMs: () => number;
  readonly #left: (ms: number) => void;
  /** In order of arrival. Each except the first may have left the line already. */
  readonly #waiters = new Queue<Waiter>();
  #length = 0;

  /**
   * @param nowMs measures how long appends wait.
   * @param left is told how long an append has waited, when it leaves the line.
   */
  constructor(nowMs: () => number, left: (ms: number) => void) {
    this.#nowMs = nowMs;
    this.#left = left;
  }

  get length(): number {
    return this.#length;
  }

  /** How many records the first one appends; 0 if none waits. */
  get first(): number {
    return this.#waiters.first?.records ?? 0;
  }

  /**
   * Waits in line.
   *
   * @param timeoutMs how long the append waits at most; `Infinity` for no limit.
   * @param timedOut makes the error for an append that has waited too long.
   */
  enter<T>(records: number, append: () => Promise<T>, timeoutMs: number, timedOut: () => unknown): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const expire = () => {
      this.#leave(waiter);
      reject(timedOut());
    };
    const timer = timeoutMs > LONGEST_TIMER_MS ? null : setTimeout(expire, timeoutMs);
    const enteredMs = this.#nowMs();
    const waiter: Waiter = { records, append: () => resolve(append()), reject, timer, enteredMs, isThere: true };
    this.#waiters.push(waiter);
    this.#length++;
    return promise;
  }

  /** Lets appends in, in order, while there is room for the first. */
  admit(hasRoom: (records: number) => boolean): void {
    while (this.#waiters.first !== undefined && hasRoom(this.#waiters.first.records)) {
      const waiter = this.#waiters.first;
      this.#leave(waiter);
      try {
        waiter.append();
      } catch (error) {
        waiter.reject(error);
      }
    }
  }

  /** Rejects all appends. */
  rejectAll(makeError: (records: number) => unknown): void {
    while (this.#waiters.first !== undefined) {
      const waiter = this.#waiters.first;
      this.#leave(waiter);
      waiter.reject(makeError(waiter.records));
    }
  }

  #leave(waiter: Waiter): void {
    waiter.isThere = false;
    this.#length--;
    this.#left(Math.max(0, this.#nowMs() - waiter.enteredMs));
    if (waiter.timer !== null) clearTimeout(waiter.timer);
    while (this.#waiters.first?.isThere === false) this.#waiters.shift();
  }
}
