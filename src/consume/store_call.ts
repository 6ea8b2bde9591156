// Knows whether code runs within a call to a store. Such code must not wait for the store's
// consumer.

import { AsyncLocalStorage } from "node:async_hooks";

/** A call to a store. All code that the call runs and awaits can find it. */
export interface StoreCall {
  /** The feed of the log whose consumer makes the call. */
  readonly log: object;
  /** The signal in the options of the consumer. */
  readonly signal: AbortSignal | undefined;
  /** False after the call has returned. Code that it left running may wait for the consumer. */
  isRunning: boolean;
}

/** The call to a store within which the current code runs. */
export const storeCalls: AsyncLocalStorage<StoreCall> = new AsyncLocalStorage();

/** True in code that a store of this log runs, which would wait for itself. */
export function isInStoreCall(log: object): boolean {
  const call = storeCalls.getStore();
  return call !== undefined && call.isRunning && call.log === log;
}

/** Calls a store, and marks the call until it has returned. */
export async function callStore<T>(
  log: object,
  signal: AbortSignal | undefined,
  work: () => T | Promise<T>,
): Promise<T> {
  const call = { log, signal, isRunning: true };
  try {
    return await storeCalls.run(call, work);
  } finally {
    call.isRunning = false;
  }
}
