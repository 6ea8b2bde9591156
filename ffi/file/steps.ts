// Work in steps, written once as a generator. It runs at once, or with a turn of the event loop
// between its steps.

import { setTimeout } from "node:timers";

/** What must be done before the work goes on. */
export interface Step {
  /** Does it at once, and holds the event loop. */
  readonly now: () => void;
  /** Does it without holding the event loop. */
  readonly later: () => Promise<void>;
}

/**
 * Lets timers and sockets have a turn. It is a timer, because on Deno setImmediate() serves hardly
 * any socket.
 */
export const TURN: Step = {
  now: () => {},
  later: () => new Promise((resolve) => setTimeout(resolve, 0)),
};

/** Work in steps. An error of a step is thrown where the work yielded it. */
export type Steps<T> = Generator<Step, T, undefined>;

/** Does all the work before it returns. */
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

/** Does the work one step at a time. */
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
