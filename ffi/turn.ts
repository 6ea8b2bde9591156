// How long the event loop has been held, and how to give it up so that sockets are served.
//
// A loop that awaits nothing but promises that are ready holds the event loop. It has to give way
// now and then, and `setImmediate` is not enough on Deno. There, the event loop is one task of
// tokio's scheduler, and a pending immediate wakes that task at once. The scheduler polls the
// sockets only when no task is ready, or once in 61 steps: beside a loop that yields by
// `setImmediate` every millisecond, a request takes 60 ms and more. Timers run, because the event
// loop reads the clock for them.
//
// A call off the thread is not enough either. Where it ends before the event loop has gone to
// sleep, the scheduler finds a ready task again. A timer that is set when a turn ends does poll the
// sockets, but idles for a millisecond.
//
// So a turn on Deno ends with a timer that was set when the turn began and is due by now. It has to
// be one that the scheduler fires, which it does only where it polls the sockets too. Deno gives V8
// such timers, and `Atomics.waitAsync` makes one. (`setTimeout` does not: the event loop finds that
// one due by the clock whenever anything else wakes it.) The whole costs about 10 µs. Where such a
// timer does not fire, the turn ends 2 ms later.

import { clearTimeout, setImmediate, setTimeout } from "node:timers";

/** Milliseconds that all loops together hold the event loop in a turn. The poll is due by then. */
export const TURN_BUDGET_MS = 1;
/** Milliseconds until the poll is due; tokio rounds up to the next whole one. */
const POLL_DELAY_MS = 0.001;
/** Milliseconds after which it is due: a turn that ends sooner does not wait for it. */
const POLL_DUE_MS = 0.9;
/** Milliseconds that a turn waits for its poll at most. */
const LONGEST_POLL_MS = 2;
/** Looks that make a turn where time does not count. */
const MOST_LOOKS = 16;

/** What a loop asks that may hold the event loop. Each loop has one of its own. */
export interface Turn {
  /**
   * True when the loop has held the event loop for its share of a turn, or would have before its
   * next step is over.
   *
   * @param nowMs what its clock says.
   * @param stepMs how long that step may take. One longer than the share is taken at once.
   */
  isOver(nowMs: number, stepMs?: number): boolean;
  /** Resolves after others had their turn. */
  end(): Promise<void>;
}

/** A timer that Deno's scheduler fires when it polls the sockets, or soon after. */
class Poll {
  readonly #cell = new Int32Array(new SharedArrayBuffer(4));
  #fired: Promise<unknown> = Promise.resolve();
  /** When the scheduler knew of the timer; `Infinity` while it may not. */
  #setMs = Infinity;

  start(fired: () => void): void {
    this.#setMs = Infinity;
    this.#fired = Promise.resolve(Atomics.waitAsync(this.#cell, 0, 0, POLL_DELAY_MS).value);
    this.#fired.then(fired);
  }

  get isSet(): boolean {
    return this.#setMs < Infinity;
  }

  get isDue(): boolean {
    return performance.now() - this.#setMs > POLL_DUE_MS;
  }

  /** Gives the scheduler the timer: a first immediate may run before the loop has gone round. */
  async set(): Promise<void> {
    await immediate();
    await immediate();
    this.#setMs = performance.now();
  }

  /** Waits until it fires, and keeps the process alive meanwhile, as an immediate does. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LONGEST_POLL_MS);
      this.#fired.then(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

/** The turn of this thread's event loop, which all loops share. */
class SharedTurn {
  /** Changes when a turn ends. */
  number = 0;
  /** Milliseconds for each loop. */
  shareMs: number = TURN_BUDGET_MS;
  /** Null where the event loop polls its sockets whenever it runs immediates, as Bun's does. */
  readonly #poll = "Deno" in globalThis ? new Poll() : null;
  /** The loops that have held the event loop in this turn, and how many did in the one before. */
  readonly #holders = new Set<Turn>();
  #holdersBefore = 0;
  #isOpen = false;
  #passing: Promise<void> | null = null;
  /** Resolves when the scheduler knows of the turn's poll. */
  #polling: Promise<void> = Promise.resolve();
  readonly #close = () => {
    this.number++;
    this.#isOpen = false;
    this.#holdersBefore = this.#holders.size;
    this.#holders.clear();
    // Where loops go on, the next poll is set now: set when the next turn ends, it would be due a
    // whole budget later.
    if (this.#poll !== null && this.#holdersBefore > 0) this.#open();
  };

  /** Counts a loop in. */
  enter(holder: Turn): void {
    if (!this.#isOpen) this.#open();
    this.#holders.add(holder);
    this.shareMs = TURN_BUDGET_MS / Math.max(this.#holders.size, this.#holdersBefore);
  }

  /** Lets others run. Sockets are polled unless the turn is younger than its budget. */
  pass(): Promise<void> {
    return this.#passing ??= this.#pass();
  }

  #open(): void {
    this.#isOpen = true;
    if (this.#poll === null) {
      setImmediate(this.#close);
    } else {
      this.#poll.start(this.#close);
      this.#polling = this.#poll.set();
    }
  }

  async #pass(): Promise<void> {
    const poll = this.#poll;
    if (poll === null) {
      await immediate();
    } else {
      if (poll.isDue) await poll.wait();
      if (!this.#isOpen) this.#open();
      await (poll.isSet ? immediate() : this.#polling);
    }
    this.#passing = null;
  }
}

const sharedTurn = new SharedTurn();

/** One loop's share of the turns of this thread's event loop. */
export class LoopTurn implements Turn {
  /** The turn that it was counted in. */
  #number = -1;
  #sinceMs = 0;

  isOver(nowMs: number, stepMs: number = 0): boolean {
    if (this.#number === sharedTurn.number) return nowMs - this.#sinceMs + stepMs > sharedTurn.shareMs;
    sharedTurn.enter(this);
    this.#number = sharedTurn.number;
    this.#sinceMs = nowMs;
    return false;
  }

  end(): Promise<void> {
    this.#number = -1; // its time counts again from when it goes on
    return sharedTurn.pass();
  }
}

/**
 * Turns that are over after so many looks, whatever the time: the same in each run of a simulation.
 * Sockets play no part.
 */
export class CountedTurn implements Turn {
  #looks = 0;

  isOver(): boolean {
    return ++this.#looks > MOST_LOOKS;
  }

  end(): Promise<void> {
    this.#looks = 0;
    return immediate();
  }
}

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
