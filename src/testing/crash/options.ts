// What a crash test is told: the stores, the workload, and how far to go.

import type { AppliedRun, ConsumeOptions, Store, WALOptions, WALRecord } from "../../types.ts";
import type { WAL } from "../../wal.ts";
import type { ContentsModel, FindContents, ReadContents } from "../contents.ts";
import type { StoreEntry } from "../store_model.ts";
import type { Random } from "../random.ts";
import type { StoreHome } from "../store_home.ts";

/** What a workload gets. */
export interface WorkloadContext<S extends Store = Store> {
  /** The log, open, on a simulated disk. A consumer applies it to the store already. */
  readonly wal: WAL;
  /** The store, to read from. */
  readonly store: S;
  /** How many crashes there have been: 0 at the first start of the application. */
  readonly crashes: number;
  /** Random numbers from the seed. If a workload uses others, its failures cannot be replayed. */
  readonly random: Random;
}

/** What a workload gets in a test of several stores. */
export interface StoresWorkloadContext<S> extends Omit<WorkloadContext, "store"> {
  /** The stores by their consumers' names, to read from. */
  readonly stores: S;
}

/**
 * A store, the limits of its consumer, and what must be in it.
 *
 * @typeParam C what `contents` returns.
 */
export interface CrashStore<S extends Store = Store, C = Iterable<StoreEntry>>
  extends Readonly<Pick<ConsumeOptions, "maxLagRecords" | "keepRecords">> {
  /**
   * Opens the store, at first and after each crash. A store with files uses `home.directory`, a
   * store whose disk is plain data uses `home.saved()`. A store that does not crash with the log
   * comes from `home.outside()`.
   *
   * A store with a `close()`, `[Symbol.dispose]()` or `[Symbol.asyncDispose]()` is closed when the
   * test no longer needs it.
   */
  readonly store: (home: StoreHome) => S | Promise<S>;
  /**
   * Reads all of a store: of a multi-value map its pairs, as `(store) => store.entries()`; of any
   * other store plain data (numbers, strings, arrays, `Map`s, bytes), for which there is a `model`.
   * After each crash and at the end, the test compares this with what the same records make of a
   * plain map, or with what `model` returns.
   */
  readonly contents?: ReadContents<S, C> | undefined;
  /**
   * Makes what `contents` must return for a store that was given these records, in LSN order and
   * without checkpoints; for an empty store it is given none. It must return the same whenever it
   * is given the same.
   *
   * @default {a multi-value map}
   */
  readonly model?: ContentsModel<C> | undefined;
  /**
   * Checks the store at the end, when everything is applied, and throws if the store is wrong.
   *
   * @param records what the store must have: all that was ever durable, in LSN order, without
   * checkpoints.
   */
  readonly check?: ((store: S, records: readonly WALRecord[]) => void | Promise<void>) | undefined;
  /**
   * Fills a store that the log has given up, so that it has exactly these records. It is called if
   * the consumer is lost, which `maxLagRecords` allows. With several stores, the test also drops
   * the consumer now and then, by {@linkcode WAL.dropConsumer}, and starts it again later. A crash
   * may come within the call. Then the store may have some of the records, as long as its
   * `appliedLsn()` says so. It need not call `sync()`, because the test does.
   *
   * @param records all that is durable, in LSN order, without checkpoints.
   * @param run as `applyBatch()` gets it.
   */
  readonly reseed?:
    | ((store: S, records: readonly WALRecord[], run: AppliedRun) => void | Promise<void>)
    | undefined;
}

/** How far a crash test goes. */
export interface CrashTestExtent {
  /**
   * How many seeds to try, or a list of seeds. A seed decides how the disk and the consumer behave.
   *
   * @default {20}
   */
  readonly seeds?: number | readonly number[] | undefined;
  /**
   * At how many steps of the workload to crash for each seed, or a list of steps. A number is
   * spread over all steps; if there are fewer steps, each is tried. Step 0 stands for no crash. A
   * negative number stands for a moment between two files that one call of the store changes.
   *
   * @default {20}
   */
  readonly crashPoints?: number | readonly number[] | undefined;
  /**
   * The most crashes in a history. The first is at the crash point, later ones are at seeded steps.
   * Some come while the log recovers from the previous crash.
   *
   * @default {2}
   */
  readonly crashes?: number | undefined;
  /**
   * The chance that `home.step()` throws as a failed write does, 0 to 1.
   *
   * @default {0.1}
   */
  readonly failures?: number | undefined;
  /**
   * Options of the log.
   *
   * @default {{ size: 65536, flush: "offload", idleHeaderDelayMs: Infinity }}
   */
  readonly log?: Omit<WALOptions, "storage" | "now"> | undefined;
  /**
   * How long the machine may stay up before the test counts as hanging, in milliseconds.
   *
   * @default {10000}
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Where `home.directory` is made.
   *
   * @default {"/dev/shm", which is in memory, or else the system's temporary directory}
   */
  readonly temporary?: string | undefined;
}

/**
 * How to test a store or a workload.
 *
 * @typeParam C what `contents` returns.
 */
export interface CrashTestOptions<S extends Store = Store, C = Iterable<StoreEntry>>
  extends CrashStore<S, C>, CrashTestExtent {
  /**
   * What the application does with its log. After each crash the workload starts from the
   * beginning, as an application would. At a crash, the log throws or a promise never settles.
   */
  readonly workload: (context: WorkloadContext<S>) => void | Promise<unknown>;
}

/** How to test several stores on one log. */
export interface CrashTestStoresOptions<S extends Readonly<Record<string, Store>>> extends CrashTestExtent {
  /**
   * The stores by the names of their consumers, 1 to 16, each as {@linkcode crashStore} returns it.
   * `""` is the unnamed consumer.
   */
  // deno-lint-ignore no-explicit-any
  readonly stores: { readonly [Name in keyof S]: CrashStore<S[Name], any> };
  /** What the application does with its log, as with one store. */
  readonly workload: (context: StoresWorkloadContext<S>) => void | Promise<unknown>;
}

/** The options that say what is tested, without those that say how far to go. */
export interface Subject {
  readonly workload: (
    context: WorkloadContext & StoresWorkloadContext<Readonly<Record<string, Store>>>,
  ) => void | Promise<unknown>;
  readonly stores: readonly StoreSubject[];
  readonly temporary: string | undefined;
  readonly timeoutMs: number;
}

/** The options of one store. */
export interface StoreSubject extends Pick<CrashStore, "store" | "check" | "reseed" | "maxLagRecords" | "keepRecords"> {
  /** The name of its consumer. */
  readonly name: string;
  /** The store in a sentence: `the store` if its consumer has no name. */
  readonly text: string;
  readonly contents: FindContents<Store>;
}

/** What a crash test went through. */
export interface CrashTestResult {
  /** How many histories ran, each from an empty disk to the check at its end. */
  readonly histories: number;
  /** How many crashes the histories had. */
  readonly crashes: number;
  /** Records that the checks at the end found in stores. */
  readonly records: number;
  /**
   * What the test did not look at, a sentence for each: the contents, if there is neither
   * `contents` nor `check`; moments within a call of the store at which no crash came. Empty if
   * there is nothing of the kind.
   */
  readonly notChecked: readonly string[];
}
