// A turn of the event loop.

import { setImmediate } from "node:timers";

/**
 * Gives the event loop a turn. Long loops need one now and then: what they make and drop without
 * one stays in memory, gigabytes of it, until they end.
 */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
