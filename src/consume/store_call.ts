// Knows whether code runs within a call to a store or to `onError`. Such code must not wait for the
// consumer, which waits for it.

import { AsyncLocalStorage } from "node:async_hooks";

/** A call to a store or to `onError`. All code that the call runs and awaits can find it. */
export interface StoreCall {
  /** The feed of the consumer that makes the call. */
  readonly feed: CallingFeed;
  /** The signal in the options of the consumer. */
  readonly signal: AbortSignal | undefined;
  /** False after the call has returned. Code that it left running may wait for the consumer. */
  isRunning: boolean;
}

/** The call to a store within which the current code runs. */
export const storeCalls: AsyncLocalStorage<StoreCall> = new AsyncLocalStorage();

/** The part of a feed that tells whose call it is. */
export interface CallingFeed {
  /** All calls to stores of one log have this in common. */
  readonly calls: object;
}

/** True in code that a store of one of this log's consumers runs. */
export function isInStoreCall(log: object): boolean {
  const call = storeCalls.getStore();
  return call !== undefined && call.isRunning && call.feed.calls === log;
}

/** True in code that this consumer's store runs, which would wait for itself. */
export function isInCallOf(feed: CallingFeed): boolean {
  const call = storeCalls.getStore();
  return call !== undefined && call.isRunning && call.feed === feed;
}

/**
 * What `stop()` of a consumer's handle waits for: its end, but nothing in code that its own store
 * runs, because the consumer cannot end before the store returns.
 *
 * @param signal of the handle, which marks the calls of its consumer.
 */
export function whenStopped(signal: AbortSignal, ended: Promise<void>): Promise<void> {
  const call = storeCalls.getStore();
  return call?.isRunning && call.signal === signal ? Promise.resolve() : ended;
}

/** Calls a store, and marks the call until it has returned. */
export async function callStore<T>(
  feed: CallingFeed,
  signal: AbortSignal | undefined,
  work: () => T | Promise<T>,
): Promise<T> {
  const call = { feed, signal, isRunning: true };
  try {
    return await storeCalls.run(call, work);
  } finally {
    call.isRunning = false;
  }
}
