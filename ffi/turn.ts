// How long loops may hold the event loop, and how they give it up so that sockets are served.
//
// A loop that awaits only promises that are ready holds the event loop. It must give way now and
// then, and on Deno `setImmediate` is not enough. There, the event loop is one task of tokio's
// scheduler, and a pending immediate wakes that task at once. The scheduler polls the sockets only
// when no task is ready, or once in 61 steps. So beside a loop that yields by `setImmediate` every
// millisecond, a request takes 60 ms or more. Timers do run, because the event loop reads the clock
// for them.
//
// A call on another thread is not enough either: if it ends before the event loop sleeps, the
// scheduler again finds a ready task. A timer that is set when a turn ends does let the sockets be
// polled, but then the event loop idles for a millisecond.
//
// So on Deno a turn ends with a timer that was set when the turn began and is due by now. The
// scheduler itself must fire that timer, because it polls the sockets at the same place. Deno has
// such timers for V8, and `Atomics.waitAsync` sets one. (`setTimeout` does not: the event loop sees
// by the clock that it is due whenever anything else wakes the loop.) A turn costs about 10 µs. If
// the timer does not fire, the turn ends 2 ms later.

import { clearTimeout, setImmediate, setTimeout } from "node:timers";
import { runtime } from "./runtime.ts";

/** Milliseconds in a turn for which all loops together hold the event loop. */
export const TURN_BUDGET_MS = 1;
/** The delay of the poll's timer; tokio rounds it up to the next whole millisecond. */
const POLL_DELAY_MS = 0.001;
/** Milliseconds after which the poll is due. A turn that ends sooner does not wait for it. */
const POLL_DUE_MS = 0.9;
/** The most milliseconds that a turn waits for its poll. */
const LONGEST_POLL_MS = 2;
/** How many calls of `isOver()` make a turn of `CountedTurn`. */
const MOST_CALLS = 16;

/** The turns of one loop that may hold the event loop. */
export interface Turn {
  /**
   * True if the loop has held the event loop for its share of the turn, or would do so in its next
   * step.
   *
   * @param nowMs the time by the loop's clock.
   * @param stepMs how long the next step may take. A step that is longer than the share is taken at
   * once.
   */
  isOver(nowMs: number, stepMs?: number): boolean;
  /** Resolves after others had their turn. */
  end(): Promise<void>;
}

/** A timer that Deno's scheduler fires when it polls the sockets, or soon after. */
class Poll {
  readonly #cell = new Int32Array(new SharedArrayBuffer(4));
  #fired: Promise<unknown> = Promise.resolve();
  /** When the scheduler learned of the timer; `Infinity` before that. */
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

  /**
   * Makes sure that the scheduler knows the timer. Two immediates, because the first may run before
   * the event loop has gone round.
   */
  async set(): Promise<void> {
    await immediate();
    await immediate();
    this.#setMs = performance.now();
  }

  /**
   * Waits until the timer fires. Meanwhile it keeps the process alive, as an immediate does.
   *
   * `deno test` with `sanitizeOps` fails a test that leaves a timeout. So a loop ends a turn only
   * while somebody waits for it.
   */
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

/** The turn of this thread's event loop, which all its loops share. */
class SharedTurn {
  /** The turn's number, which changes when the turn ends. */
  number = 0;
  /** Each loop's share of the turn, in milliseconds. */
  shareMs: number = TURN_BUDGET_MS;
  /** Null on Bun and Node, whose event loops poll their sockets whenever they run immediates. */
  readonly #poll = runtime === "deno" ? new Poll() : null;
  /** The loops that have held the event loop in this turn. */
  readonly #holders = new Set<Turn>();
  /** How many loops held the event loop in the turn before. */
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
    // While loops go on, the next poll is set now. If it were set when the next turn ends, it would
    // be due a whole budget later.
    if (this.#poll !== null && this.#holdersBefore > 0) this.#open();
  };

  /** Counts a loop among those that share this turn. */
  enter(holder: Turn): void {
    if (!this.#isOpen) this.#open();
    this.#holders.add(holder);
    this.shareMs = TURN_BUDGET_MS / Math.max(this.#holders.size, this.#holdersBefore);
  }

  /** Lets others run. Sockets are polled too, unless the turn ends before its poll is due. */
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
      await (poll.isSet ? immediate() : this.#polling);
    }
    this.#passing = null;
  }
}

const sharedTurn = new SharedTurn();

/** One loop's share of the turns of this thread's event loop. */
export class LoopTurn implements Turn {
  /** The number of the turn in which this loop was counted. */
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
    this.#number = -1; // the loop's time starts anew when it goes on
    return sharedTurn.pass();
  }
}

/**
 * Turns that are over after `MOST_CALLS` calls, whatever the time, so that every run of a
 * simulation is the same. Sockets play no part.
 */
export class CountedTurn implements Turn {
  #calls = 0;

  isOver(): boolean {
    return ++this.#calls > MOST_CALLS;
  }

  end(): Promise<void> {
    this.#calls = 0;
    return immediate();
  }
}

/** Lets everything run that waits for nothing outside. */
export function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
