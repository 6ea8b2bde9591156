// A consumer as an object: the handle that stops it.

import { secondsToMs } from "./arguments/consumer.ts";
import { show } from "./arguments/numbers.ts";
import { whenStopped } from "./consume/store_call.ts";
import type { ApplicableStore, ConsumeOptions, LSN } from "./types.ts";
import { appliedBy, type WAL } from "./wal.ts";

/** A consumer that {@linkcode consume} started. `await using` stops it. */
export interface Consumption extends AsyncDisposable {
  /**
   * What {@linkcode WAL.consumeAsync} returns: resolves when the consumer was stopped or the log
   * closed, rejects when the consumer was refused or failed. An error that `onError` has not yet
   * answered when the log is closed counts as a failure.
   */
  readonly done: Promise<void>;
  /** The highest LSN that is in this consumer's store. */
  readonly applied: LSN;
  /**
   * Stops the consumer and returns `done`, which waits for the running call to the store while the
   * log is open. In code that the store or `onError` runs, the promise resolves at once, because
   * the consumer cannot end before that code returns.
   */
  stop(): Promise<void>;
}

/**
 * Starts to apply a log's durable records to a store, as {@linkcode WAL.consumeAsync} does, and
 * returns the handle that stops it.
 *
 * If `wal` is a log, it throws nothing: `done` rejects with whatever `consumeAsync()` would reject
 * with. Await `done` or `stop()`: if the consumer fails and nobody waits in `whenApplied()`, an
 * unhandled rejection of `done` ends the process.
 *
 * @param options a number is the poll interval in seconds, 0 to 60; `{ pollIntervalMs }` takes
 * milliseconds. A `signal` stops the consumer as well.
 * @throws {TypeError} if `wal` is no `WAL`, such as a follower.
 *
 * @example
 * ```ts
 * import { consume, WAL } from "@cidstore/wal";
 * import { MemoryStore } from "@cidstore/wal/stores/memory";
 *
 * await using wal = WAL.open(null);
 * const store = new MemoryStore();
 * {
 *   await using consumer = consume(wal, store); // stopped at the end of the block
 *   await wal.logInsert(1, 2, 3, 4);
 *   await wal.whenApplied();
 *   console.log(consumer.applied, store.has(1n, 2n)); // 1 true
 * }
 * ```
 */
export function consume(wal: WAL, store: ApplicableStore, options: ConsumeOptions | number = {}): Consumption {
  const given = wal as Partial<WAL> | null | undefined;
  if (typeof given?.logInsert !== "function") {
    throw new TypeError(`Cannot consume ${show(wal)}: it must be a WAL; a follower has consumeAsync()`);
  }
  return new StoppableConsumer(wal, store, options);
}

class StoppableConsumer implements Consumption {
  readonly #wal: WAL;
  /** As `consumeAsync()` read it. */
  #name = "";
  readonly #stopping = new AbortController();
  /** Aborts with `#stopping`, and with the caller's signal if there is one. */
  #signal = this.#stopping.signal;
  /** The promise of `consumeAsync()` itself, because a derived one would report a failure twice. */
  readonly done: Promise<void>;

  constructor(wal: WAL, store: ApplicableStore, options: ConsumeOptions | number) {
    this.#wal = wal;
    this.done = wal.consumeAsync(store, this.#withSignal(options));
  }

  get applied(): LSN {
    return appliedBy(this.#wal, this.#name);
  }

  stop(): Promise<void> {
    this.#stopping.abort();
    return whenStopped(this.#signal, this.done);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /**
   * The caller's options with our signal. `consumeAsync()` reads each option once, and refuses
   * wrong ones.
   */
  #withSignal(options: ConsumeOptions | number): ConsumeOptions {
    const given: ConsumeOptions = typeof options === "number"
      ? {
        get pollIntervalMs() {
          return secondsToMs(options);
        },
      }
      : options;
    if (given === null || typeof given !== "object") return given;
    return new Proxy<ConsumeOptions>({}, {
      get: (_, name) => {
        if (name === "signal") return this.#signalWith(given.signal);
        const value: unknown = Reflect.get(given, name);
        if (name === "name" && typeof value === "string") this.#name = value;
        return value;
      },
      // The names are checked too. The target has none of them, so each must be configurable.
      ownKeys: () => Reflect.ownKeys(given),
      getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
    });
  }

  #signalWith(signal: AbortSignal | undefined): AbortSignal {
    if (signal === undefined) return this.#signal;
    // `consumeAsync()` refuses what is no signal.
    if (!(signal instanceof AbortSignal)) return signal;
    return this.#signal = AbortSignal.any([this.#signal, signal]);
  }
}
