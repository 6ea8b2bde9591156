// The consumer as a function beside the method of the same kind.

import type { ApplicableStore, ConsumeOptions } from "../types.ts";
import type { WAL } from "../wal.ts";

/**
 * Applies a log's durable records to a store until it is stopped: {@linkcode WAL.consumeAsync} as a function.
 *
 * @param options a number is the poll interval in seconds, 0 to 60; `{ pollIntervalMs }` takes milliseconds.
 * @throws as {@linkcode WAL.consumeAsync} rejects.
 */
export function consume(wal: WAL, store: ApplicableStore, options: ConsumeOptions | number = {}): Promise<void> {
  return wal.consumeAsync(store, options);
}
