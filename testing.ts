/**
 * Crash tests for logs, and for stores that a log feeds.
 *
 * A simulated disk loses, reorders and tears what was not synced. It fails any call, rots, and does
 * the same for the same seed. {@linkcode crashTest} runs your workload and your store on it through
 * hundreds of crashes. {@linkcode storeConformance} is a suite for any store. {@linkcode killTest}
 * kills a program of yours, and verifies what it acknowledged.
 *
 * @example A store of your own, crashed wherever it can be
 * ```ts
 * import { SQLiteStore } from "@cidstore/wal/stores/sqlite";
 * import { crashTest } from "@cidstore/wal/testing";
 *
 * const { crashes } = await crashTest({
 *   store: (home) => new SQLiteStore(`${home.directory}/store.sqlite`),
 *   contents: (store) => store.entries(),
 *   workload: async ({ wal, random }) => {
 *     await wal.logInsert(1, random.below(9), 2, 3);
 *     await wal.batchInsert([[1, 10, 2, 3], [1, 11, 2, 3]]);
 *     await wal.logDelete(1, random.below(9));
 *   },
 * });
 * console.log(crashes > 100); // true
 * ```
 *
 * @example A crash loses what was not flushed
 * ```ts
 * import { WAL } from "@cidstore/wal";
 * import { SimulatedDisk } from "@cidstore/wal/testing";
 *
 * const disk = new SimulatedDisk({ seed: 7 });
 * const options = { storage: disk.storage, now: disk.clock.now, size: 65536 };
 *
 * const wal = WAL.open("/sim/log", options);
 * await wal.logInsert(1, 2, 3, 4);
 * wal.logInsertSync(5, 6, 7, 8); // never flushed
 * disk.crash({ mode: "power", keep: "none" });
 *
 * using recovered = WAL.open("/sim/log", options);
 * console.log(recovered.replay().length); // 1
 * ```
 *
 * @module
 */

export type * from "./mod.ts";
export { BrokenPromiseError, type PromiseNumber } from "./src/testing/broken_promise.ts";
export { SimulatedClock } from "./src/testing/disk/clock.ts";
export { type DamagedPlace, DiskDamage } from "./src/testing/disk/damage.ts";
export { crashStore, crashTest } from "./src/testing/crash/kit.ts";
export type {
  CrashStore,
  CrashTestExtent,
  CrashTestOptions,
  CrashTestResult,
  CrashTestStoresOptions,
  StoresWorkloadContext,
  WorkloadContext,
} from "./src/testing/crash/options.ts";
export type { CrashOptions, SimulatedDiskOptions } from "./src/testing/disk/options.ts";
export {
  type FailingCall,
  type Moment,
  SimulatedCrash,
  type SystemCall,
  type TraceEntry,
} from "./src/testing/disk/fault_plan.ts";
export { type DirtyPiece, everySubset, type Keep } from "./src/testing/disk/keep.ts";
export type { Fate, FilePiece } from "./src/testing/disk/simulated_file.ts";
export type { EntryPiece } from "./src/testing/disk/durable_names.ts";
export { killTest } from "./src/testing/kill/kit.ts";
export type {
  KillCommand,
  KillContext,
  KillRound,
  KillTestOptions,
  KillTestResult,
  KillWorkload,
} from "./src/testing/kill/options.ts";
export { OtherProgram } from "./src/testing/disk/other_program.ts";
export type { ContentsModel, NeedsModel, ReadContents } from "./src/testing/contents.ts";
export type { StoreEntry } from "./src/testing/store_model.ts";
export { Random, type RandomState } from "./src/testing/random.ts";
export { type DiskSnapshot, SimulatedDisk } from "./src/testing/disk/simulated_disk.ts";
export {
  type ConformanceCase,
  type ConformanceOptions,
  storeConformance,
} from "./src/testing/conformance/store_conformance.ts";
export { SimulatedFailure, type StoreHome } from "./src/testing/store_home.ts";
