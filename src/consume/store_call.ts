// From within which call to a store code runs. Such code must not wait for the store's consumer.

import { AsyncLocalStorage } from "node:async_hooks";

/** A call to a store, seen by all code that the call runs and awaits. */
export interface StoreCall {
  /** The port of the log whose consumer calls. */
  readonly log: object;
  /** The signal that the consumer's caller gave. */
  readonly signal: AbortSignal | undefined;
  /** False once the call has returned: what it left running may wait for the consumer. */
  isRunning: boolean;
}

/** The call to a store from within which code runs. */
export const storeCalls: AsyncLocalStorage<StoreCall> = new AsyncLocalStorage();

/** True in code that a store of this log runs: it would wait for itself. */
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
