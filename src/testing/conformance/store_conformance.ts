// A suite for any store, to be run by any test runner.

import type { ApplicableStore, Store } from "../../types.ts";
import { BrokenPromiseError } from "../broken_promise.ts";
import { CASES } from "./cases.ts";
import type { ReadContents } from "../store_model.ts";
import type { StoreHome } from "../store_home.ts";
import type { StoreMaker } from "./mortal_store.ts";
import { Trial } from "./store_trial.ts";

/** One thing that a store must do. */
export interface ConformanceCase {
  /** What the store must do, and the promise that depends on it, as in `… (G3)`. */
  readonly name: string;
  /**
   * Tries a new store, or several.
   *
   * @throws {BrokenPromiseError} which says what the store did wrong, and after which steps.
   */
  readonly run: () => Promise<void>;
}

/** How a store is tested. */
export interface ConformanceOptions<S extends Store = Store> {
  /**
   * Reads all of a store that is a multi-value map, as `(store) => store.entries()`. Without it,
   * the suite tests only what the store says: `appliedLsn()`, and what it throws.
   */
  readonly contents?: ReadContents<S> | undefined;
  /** Registers each case: `Deno.test`, or `test` of `bun:test` or `node:test`. */
  readonly test?: ((name: string, run: () => Promise<void>) => unknown) | undefined;
  /**
   * The first word of each case's name.
   *
   * @default {"Store"}
   */
  readonly name?: string | undefined;
  /**
   * Where `home.directory` is made.
   *
   * @default {"/dev/shm", which is in memory, or else the system's temporary directory}
   */
  readonly temporary?: string | undefined;
}

/**
 * A suite that any store must pass: order; whole runs in `applyBatch()`, also when it fails in the
 * middle; an honest `appliedLsn()` and `appliedLog()`; `sync()`; records that come again; crashes
 * and failures within a call.
 *
 * @example With a test runner
 * ```ts ignore
 * import { MemoryStore } from "@cidstore/wal/stores/memory";
 * import { storeConformance } from "@cidstore/wal/testing";
 *
 * storeConformance((home) => home.outside(() => new MemoryStore()), {
 *   name: "MemoryStore",
 *   contents: (store) => store.entries(),
 *   test: Deno.test, // or test from "bun:test"
 * });
 * ```
 *
 * @example Without one
 * ```ts
 * import { SQLiteStore } from "@cidstore/wal/stores/sqlite";
 * import { storeConformance } from "@cidstore/wal/testing";
 *
 * const cases = storeConformance((home) => new SQLiteStore(`${home.directory}/store.sqlite`), {
 *   contents: (store) => store.entries(),
 * });
 * for (const { name, run } of cases) {
 *   await run();
 *   console.log("ok", name);
 * }
 * ```
 *
 * @param makeStore opens a store on a home: an empty one for each case, and again after each crash.
 * {@linkcode StoreHome} says what a store can keep where.
 */
export function storeConformance<S extends ApplicableStore>(
  makeStore: (home: StoreHome) => S | Promise<S>,
  options: ConformanceOptions<S> = {},
): ConformanceCase[] {
  const { contents, test, name = "Store", temporary } = options;
  const maker: StoreMaker<S> = { make: makeStore, contents, temporary };
  const cases = CASES.map((body): ConformanceCase => {
    const title = `${name}: ${body.name}`;
    return { name: title, run: () => named(title, () => body.run(() => Trial.start(maker))) };
  });
  if (test !== undefined) { for (const { name, run } of cases) test(name, run); }
  return cases;
}

/** Puts the name of a case into the error that the case throws. */
async function named(title: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof BrokenPromiseError)) throw error;
    const where = `  Case: ${title}\n${error.message.slice(error.message.indexOf("\n") + 1)}`;
    throw new BrokenPromiseError(error.promise, error.finding, where, { cause: error.cause });
  }
}
