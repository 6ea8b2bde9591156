// Work in steps, written once as a generator: run at once, or with a turn of the event loop for
// everybody else between the steps.

import { setTimeout } from "node:timers";

/** What is to be done before the work goes on. */
export interface Step {
  /** Holds the event loop. */
  readonly now: () => void;
  /** Does not. */
  readonly later: () => Promise<void>;
}

/**
 * Others may have their turn: timers and sockets. A timer, since on Deno setImmediate() lets hardly
 * any socket in.
 */
export const TURN: Step = {
  now: () => {},
  later: () => new Promise((resolve) => setTimeout(resolve, 0)),
};

/** Work whose steps may fail: what a step throws is thrown where the work stands. */
export type Steps<T> = Generator<Step, T, undefined>;

/** Does all of it before it returns. */
export function runNow<T>(work: Steps<T>): T {
  let at = work.next();
  while (at.done !== true) {
    let failure: { readonly error: unknown } | null = null;
    try {
      at.value.now();
    } catch (error) {
      failure = { error };
    }
    at = failure === null ? work.next() : work.throw(failure.error);
  }
  return at.value;
}

/** Does it a step at a time. */
export async function runLater<T>(work: Steps<T>): Promise<T> {
  let at = work.next();
  while (at.done !== true) {
    let failure: { readonly error: unknown } | null = null;
    try {
      await at.value.later();
    } catch (error) {
      failure = { error };
    }
    at = failure === null ? work.next() : work.throw(failure.error);
  }
  return at.value;
}
