// What a crash test is told: the store, the workload, and how far to go.

import type { Store, WALOptions, WALRecord } from "../../types.ts";
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

/**
 * How to test a store or a workload.
 *
 * @typeParam C what `contents` returns.
 */
export interface CrashTestOptions<S extends Store = Store, C = Iterable<StoreEntry>> {
  /**
   * What the application does with its log. After each crash the workload starts from the
   * beginning, as an application would. At a crash, the log throws or a promise never settles.
   */
  readonly workload: (context: WorkloadContext<S>) => void | Promise<unknown>;
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

/** The options that say what is tested, without those that say how far to go. */
export interface Subject {
  readonly workload: (context: WorkloadContext) => void | Promise<unknown>;
  readonly stores: readonly StoreSubject[];
  readonly temporary?: string | undefined;
  readonly timeoutMs: number;
}

/** The options of one store. */
export interface StoreSubject {
  readonly store: (home: StoreHome) => Store | Promise<Store>;
  readonly contents: FindContents<Store>;
  readonly check?: ((store: Store, records: readonly WALRecord[]) => void | Promise<void>) | undefined;
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
