// Appends that wait for room in a full ring, first come, first served.

import { clearTimeout, setTimeout } from "node:timers";
import { LONGEST_TIMER_MS } from "./numbers.ts";

/** One append that waits. */
interface Waiter {
  readonly records: number;
  /** Appends, and returns the promise of its group. Throws what appending throws. */
  readonly append: () => Promise<void>;
  readonly resolve: (group: Promise<void>) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: ReturnType<typeof setTimeout> | null;
  isThere: boolean;
}

/** So many who have left are kept at most before the queue is copied without them. */
const MOST_GONE = 1024;

/** A queue of appends. Each one's promise settles on every path: when it has been appended and synced, timed out or rejected. */
export class WaitingRoom {
  /** In order of arrival; some may have left. An `Array.shift()` for each would move all the others. */
  #waiters: Waiter[] = [];
  /** Index of the first who may be there. */
  #first = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /**
   * Waits in line.
   *
   * @param timeoutMs how long at most, `Infinity` for no limit.
   * @param timedOut makes the error for one that has waited too long.
   */
  enter(records: number, append: () => Promise<void>, timeoutMs: number, timedOut: () => unknown): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const expire = () => {
      this.#leave(waiter);
      reject(timedOut());
    };
    const timer = timeoutMs > LONGEST_TIMER_MS ? null : setTimeout(expire, timeoutMs);
    const waiter: Waiter = { records, append, resolve, reject, timer, isThere: true };
    this.#waiters.push(waiter);
    this.#length++;
    return promise;
  }

  /** Lets those in whom there is room for, in order. */
  admit(hasRoom: (records: number) => boolean): void {
    for (let waiter = this.#next(); waiter !== null && hasRoom(waiter.records); waiter = this.#next()) {
      this.#leave(waiter);
      try {
        waiter.resolve(waiter.append());
      } catch (error) {
        waiter.reject(error);
      }
    }
  }

  /** Turns all away. */
  rejectAll(makeError: (records: number) => unknown): void {
    for (let waiter = this.#next(); waiter !== null; waiter = this.#next()) {
      this.#leave(waiter);
      waiter.reject(makeError(waiter.records));
    }
  }

  /** Who is first in line; null if nobody waits. */
  #next(): Waiter | null {
    while (this.#first < this.#waiters.length && !this.#waiters[this.#first]!.isThere) this.#first++;
    if (this.#first >= MOST_GONE && this.#first * 2 >= this.#waiters.length) {
      this.#waiters = this.#waiters.slice(this.#first);
      this.#first = 0;
    }
    return this.#waiters[this.#first] ?? null;
  }

  #leave(waiter: Waiter): void {
    waiter.isThere = false;
    this.#length--;
    if (waiter.timer !== null) clearTimeout(waiter.timer);
    // Nobody is left: nor are those who are gone.
    if (this.#length === 0) {
      this.#waiters = [];
      this.#first = 0;
    }
  }
}
