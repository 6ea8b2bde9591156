/**
 * Crash tests for logs, and for stores that are fed by one: a simulated disk that loses, reorders and tears what was not
 * synced, fails any call, rots, and is the same for the same seed.
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

export type { Storage } from "./ffi/region.ts";
export { SimulatedClock } from "./src/testing/clock.ts";
export { type DamagedPlace, DiskDamage } from "./src/testing/disk_damage.ts";
export type { CrashOptions, SimulatedDiskOptions } from "./src/testing/disk_options.ts";
export {
  type FailingCall,
  type Moment,
  SimulatedCrash,
  type SystemCall,
  type TraceEntry,
} from "./src/testing/fault_plan.ts";
export { type DirtyPiece, everySubset, type Keep } from "./src/testing/keep.ts";
export type { Fate, FilePiece } from "./src/testing/simulated_file.ts";
export type { EntryPiece } from "./src/testing/simulated_tree.ts";
export { OtherProgram } from "./src/testing/other_program.ts";
export { Random, type RandomState } from "./src/testing/random.ts";
export { type DiskSnapshot, SimulatedDisk } from "./src/testing/simulated_disk.ts";
