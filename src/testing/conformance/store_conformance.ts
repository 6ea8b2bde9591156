// A suite for any store, to be run by any test runner.

import { isApplicationOpcode } from "../../format/operations.ts";
import type { ApplicableStore, ApplicationOpType, Store } from "../../types.ts";
import { BrokenPromiseError } from "../broken_promise.ts";
import { CASES } from "./cases.ts";
import { contentsFinder, type ContentsModel, type NeedsModel, type ReadContents } from "../contents.ts";
import type { StoreEntry } from "../store_model.ts";
import type { StoreHome } from "../store_home.ts";
import type { StoreMaker } from "./mortal_store.ts";
import { Trial } from "./store_trial.ts";

/** What a case looks at without `contents`, by what it looks at with them. */
const LIMITS = {
  contents: "of which nothing is checked without `contents`",
  both: "checked only by what the store says without `contents`",
} as const;

/** One thing that a store must do. */
export interface ConformanceCase {
  /**
   * What the store must do, and the promise that depends on it, as in `… (G3)`. Without `contents`
   * it also says how little of that is checked.
   */
  readonly name: string;
  /** How little is checked, in words; null if all of it is. */
  readonly notChecked: string | null;
  /**
   * Tries a new store, or several.
   *
   * @throws {BrokenPromiseError} which says what the store did wrong, and after which steps.
   */
  readonly run: () => Promise<void>;
}

/**
 * How a store is tested.
 *
 * @typeParam C what `contents` returns.
 */
export interface ConformanceOptions<S extends Store = Store, C = Iterable<StoreEntry>> {
  /**
   * Reads all of a store: of a multi-value map its pairs, as `(store) => store.entries()`; of any
   * other store plain data, for which there is a `model`. Without it, the suite tests only what the
   * store says: `appliedLsn()`, and what it throws.
   */
  readonly contents?: ReadContents<S, C> | undefined;
  /**
   * Makes what `contents` must return for a store that was given these records, in LSN order and
   * without checkpoints; for an empty store it is given none. The suite gives records of all kinds
   * with any keys and values, so a model must know what the store makes of each.
   *
   * @default {a multi-value map}
   */
  readonly model?: ContentsModel<C> | undefined;
  /**
   * The opcodes of the application that the store applies, 32 to 63: the suite gives it such
   * records too. They change nothing in a multi-value map. At a record with another opcode the
   * store must throw, because the log releases what a store has been given.
   *
   * @default {none, if `contents` is given; otherwise the suite does not try such records}
   */
  readonly operations?: readonly ApplicationOpType[] | undefined;
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
 * middle; an honest `appliedLsn()` and `appliedLog()`; `sync()`; records that come again; records
 * of the application; crashes and failures within a call.
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
export function storeConformance<S extends ApplicableStore, C = Iterable<StoreEntry>>(
  makeStore: (home: StoreHome) => S | Promise<S>,
  options: ConformanceOptions<S, C> & NeedsModel<C> = {} as ConformanceOptions<S, C> & NeedsModel<C>,
): ConformanceCase[] {
  const { contents, model, operations: given, test, name = "Store", temporary } = options;
  const operations = given === undefined ? [] : [...given];
  for (const code of operations) {
    if (!isApplicationOpcode(code)) {
      throw new RangeError(`An operation has an opcode from 32 to 63, not ${String(code)}`);
    }
  }
  // Without `contents`, the store may well keep records of every type.
  const known = given === undefined && contents === undefined ? null : operations;
  const find = contentsFinder<S, C>(contents, model);
  const maker: StoreMaker<S> = { make: makeStore, contents: find, operations, temporary };
  const cases = CASES.map((body): ConformanceCase => {
    const limit = contents === undefined ? LIMITS[body.looksAt] : null;
    const title = `${name}: ${
      body.name.replace(/ \(G\d+\)$/, (promise) => limit === null ? promise : `, ${limit}${promise}`)
    }`;
    const run = () => named(title, () => body.run(() => Trial.start(maker), known));
    return { name: title, notChecked: limit, run };
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
