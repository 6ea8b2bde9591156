// The consumers of all shards, as one object.

import { show } from "../arguments/numbers.ts";
import { consume, type Consumption } from "../consumption.ts";
import type { ApplicableStore, ConsumeOptions, LSN } from "../types.ts";
import type { OpenShards } from "./shard_files.ts";

/** The consumers that {@linkcode Shards.consume} started. `await using` stops them. */
export interface ShardsConsumption extends AsyncDisposable {
  /**
   * Resolves when all consumers have ended. Rejects as soon as one of them was refused or failed;
   * the others go on until `stop()`.
   */
  readonly done: Promise<void>;
  /** The highest LSN that is in the store of each shard, by the shard's number. */
  readonly applied: ReadonlyMap<number, LSN>;
  /**
   * Stops all consumers, waits until they have ended, and returns `done`. Do not await it in code
   * that a store runs, because it waits for the stores of the other shards.
   */
  stop(): Promise<void>;
}

/** Starts a consumer for each log. */
export function consumeShards(
  logs: OpenShards,
  storeOf: (shard: number) => ApplicableStore,
  options: ConsumeOptions | number,
): ShardsConsumption {
  if (typeof storeOf !== "function") {
    throw new TypeError(
      `Cannot use ${show(storeOf)} as storeOf: it must be a function that gives a shard its own store`,
    );
  }
  // All stores are asked for first, so that nothing has started if that fails.
  const stores = Array.from(logs, ([shard, wal]) => [shard, wal, storeOf(shard)] as const);
  return new JoinedConsumption(new Map(stores.map(([shard, wal, store]) => [shard, consume(wal, store, options)])));
}

class JoinedConsumption implements ShardsConsumption {
  readonly #parts: ReadonlyMap<number, Consumption>;
  #done: Promise<void> | null = null;

  constructor(parts: ReadonlyMap<number, Consumption>) {
    this.#parts = parts;
  }

  /** Made when it is asked for, so that a caller who only waits in `whenApplied()` has no other. */
  get done(): Promise<void> {
    return this.#done ??= Promise.all(Array.from(this.#parts.values(), ({ done }) => done)).then(() => {});
  }

  get applied(): ReadonlyMap<number, LSN> {
    return new Map(Array.from(this.#parts, ([shard, { applied }]) => [shard, applied]));
  }

  async stop(): Promise<void> {
    await Promise.allSettled(Array.from(this.#parts.values(), (part) => part.stop()));
    return this.done;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
