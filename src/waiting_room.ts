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
}

/** A queue of appends. Each one's promise settles on every path: when it has been appended and synced, timed out or rejected. */
export class WaitingRoom {
  readonly #waiters: Waiter[] = [];

  get length(): number {
    return this.#waiters.length;
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
      this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
      reject(timedOut());
    };
    const timer = timeoutMs > LONGEST_TIMER_MS ? null : setTimeout(expire, timeoutMs);
    const waiter: Waiter = { records, append, resolve, reject, timer };
    this.#waiters.push(waiter);
    return promise;
  }

  /** Lets those in whom there is room for, in order. */
  admit(hasRoom: (records: number) => boolean): void {
    while (this.#waiters.length > 0 && hasRoom(this.#waiters[0]!.records)) {
      const waiter = this.#leave();
      try {
        waiter.resolve(waiter.append());
      } catch (error) {
        waiter.reject(error);
      }
    }
  }

  /** Turns all away. */
  rejectAll(makeError: (records: number) => unknown): void {
    while (this.#waiters.length > 0) {
      const waiter = this.#leave();
      waiter.reject(makeError(waiter.records));
    }
  }

  #leave(): Waiter {
    const waiter = this.#waiters.shift()!;
    if (waiter.timer !== null) clearTimeout(waiter.timer);
    return waiter;
  }
}
