// What a crash test is told: the store, the workload, and how far to go.

import type { Store, WALOptions, WALRecord } from "../../types.ts";
import type { WAL } from "../../wal.ts";
import type { ReadContents } from "../store_model.ts";
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
  /** Random numbers that the seed gives again. With others, a failure cannot be replayed. */
  readonly random: Random;
}

/** How to test a store or a workload. */
export interface CrashTestOptions<S extends Store = Store> {
  /**
   * What the application does with its log. It runs from its start again after each crash, as the
   * application would. Where the machine crashes, the log throws, or a promise never settles.
   */
  readonly workload: (context: WorkloadContext<S>) => void | Promise<void>;
  /**
   * Opens the store, at first and after each crash: on `home.directory` if it has files, on
   * `home.saved()` if plain data stands for its disk, as `home.outside()` if it does not crash with
   * the log.
   *
   * A store with a `close()`, `[Symbol.dispose]()` or `[Symbol.asyncDispose]()` is closed when the
   * test no longer needs it.
   */
  readonly store: (home: StoreHome) => S | Promise<S>;
  /**
   * Reads all of a store that is a multi-value map, as `(store) => store.entries()`. After each
   * crash and at the end, the test compares this with what the records make of an empty map.
   */
  readonly contents?: ReadContents<S> | undefined;
  /**
   * Looks at the store at the end, when everything is applied, and throws if it is not right.
   *
   * @param records what the store must have: all that was ever durable, in LSN order, without
   * checkpoints.
   */
  readonly check?: ((store: S, records: readonly WALRecord[]) => void | Promise<void>) | undefined;
  /**
   * How many seeds to try, or which ones. A seed decides how the disk and the consumer behave.
   *
   * @default {20}
   */
  readonly seeds?: number | readonly number[] | undefined;
  /**
   * At how many steps of the workload to crash for each seed, or at which ones. A number is spread
   * over all steps; if there are no more, each is tried. Step 0 stands for no crash.
   *
   * @default {20}
   */
  readonly crashPoints?: number | readonly number[] | undefined;
  /**
   * Most crashes in a history. The first is at the crash point, later ones are at seeded steps.
   * Some of them come while the machine recovers from the one before.
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
   * Options of the log. With `flush: "inline"` it reads the real clock, so a seed may not give the
   * same history again.
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

/** What is tested, apart from how far to go. */
export interface Subject<S extends Store> {
  readonly workload: CrashTestOptions<S>["workload"];
  readonly store: CrashTestOptions<S>["store"];
  readonly contents?: CrashTestOptions<S>["contents"] | undefined;
  readonly check?: CrashTestOptions<S>["check"] | undefined;
  readonly temporary?: string | undefined;
  readonly timeoutMs: number;
}

/** What a crash test went through. */
export interface CrashTestResult {
  /** Histories: from an empty disk to the check of everything. */
  readonly histories: number;
  /** Crashes in them. */
  readonly crashes: number;
  /** Records that stores were checked to have at the end. */
  readonly records: number;
}
