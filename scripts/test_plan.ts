// What `npm test` runs: which files, in which processes, the longest first.

import { globSync, statSync } from "node:fs";
import { relative, resolve, sep } from "node:path";
import { PROJECT, type Runtime } from "./tools.ts";

/**
 * Seconds that a file takes on one core, where they are many: `--times` shows them. The order
 * of running and what `--quick` leaves out follow from them, and nothing else does.
 */
export const SECONDS: Readonly<Record<string, number>> = {
  "tests/backup_async_test.ts": 3,
  "tests/channels_test.ts": 4,
  "tests/cidwal_copy_test.ts": 4,
  "tests/cidwal_end_test.ts": 8,
  "tests/cidwal_read_test.ts": 3,
  "tests/crash_test.ts": 6,
  "tests/create_crash_test.ts": 7,
  "tests/example_kit_test.ts": 9,
  "tests/examples_test.ts": 8,
  "tests/faults/bit_rot_test.ts": 5,
  "tests/faults/callers_code_test.ts": 3,
  "tests/faults/consumer_crash_test.ts": 3,
  "tests/faults/dead_consumer_test.ts": 3,
  "tests/faults/disk_full_test.ts": 4,
  "tests/faults/failed_sync_test.ts": 8,
  "tests/faults/follow_live_file_test.ts": 5,
  "tests/faults/follow_processes_test.ts": 20,
  "tests/faults/follow_torn_test.ts": 5,
  "tests/faults/fuzz_test.ts": 5,
  "tests/faults/given_back_test.ts": 5,
  "tests/faults/gone_test.ts": 4,
  "tests/faults/header_test.ts": 3,
  "tests/faults/histories_test.ts": 10,
  "tests/faults/holds_test.ts": 3,
  "tests/faults/kill_test.ts": 8,
  "tests/faults/leak_test.ts": 3,
  "tests/faults/libc_test.ts": 3,
  "tests/faults/long_name_test.ts": 3,
  "tests/faults/openers_test.ts": 4,
  "tests/faults/page_cache_test.ts": 3,
  "tests/faults/reload_test.ts": 5,
  "tests/faults/salvage_openers_test.ts": 4,
  "tests/faults/ship_failover_test.ts": 4,
  "tests/faults/ship_kill_test.ts": 9,
  "tests/faults/shipping_test.ts": 4,
  "tests/faults/strace_test.ts": 5,
  "tests/faults/unreadable_sector_test.ts": 3,
  "tests/faults/use_after_close_test.ts": 6,
  "tests/ffi_failing_calls_test.ts": 3,
  "tests/ffi_lock_test.ts": 3,
  "tests/ffi_mapped_file_test.ts": 3,
  "tests/ffi_permissions_test.ts": 3,
  "tests/follow_consume_test.ts": 3,
  "tests/follow_live_test.ts": 4,
  "tests/follow_test.ts": 4,
  "tests/format_reader_test.ts": 4,
  "tests/kill_kit_test.ts": 13,
  "tests/kit_steps_test.ts": 5,
  "tests/kit_stores_test.ts": 5,
  "tests/model_test.ts": 3,
  "tests/named_consumers_test.ts": 3,
  "tests/otel_test.ts": 5,
  "tests/package_install_test.ts": 5,
  "tests/packaging_test.ts": 6,
  "tests/recovery_test.ts": 3,
  "tests/salvage_test.ts": 5,
  "tests/ship_jetstream_test.ts": 7,
  "tests/ship_postgres_test.ts": 8,
  "tests/store_types_test.ts": 3,
  "tests/stored_record_test.ts": 3,
  "tests/stores_sqlite_test.ts": 3,
  "tests/test_runner_test.ts": 5,
  "tests/testing_kit_test.ts": 12,
};
/** Files that only read the project's texts: what one runtime finds, each would find. */
const TEXT_FILES: ReadonlySet<string> = new Set([
  "tests/faults/table_test.ts",
  "tests/format_doc_test.ts",
  "tests/names_test.ts",
  "tests/prose_test.ts",
  "tests/rooms_test.ts",
]);
/**
 * Files that run on a simulated disk alone, which is the same code to each engine. Each of them
 * runs on one of the runtimes, in turn.
 */
const SIMULATED_FILES: ReadonlySet<string> = new Set([
  "tests/create_crash_test.ts",
  "tests/faults/bit_rot_test.ts",
  "tests/faults/clock_test.ts",
  "tests/faults/consumer_crash_test.ts",
  "tests/faults/failed_sync_test.ts",
  "tests/faults/header_test.ts",
  "tests/faults/late_failure_test.ts",
  "tests/faults/lost_sync_test.ts",
  "tests/faults/page_cache_test.ts",
  "tests/faults/stale_header_test.ts",
  "tests/faults/stale_lap_test.ts",
  "tests/faults/tail_reuse_test.ts",
  "tests/faults/torn_write_test.ts",
  "tests/format_reader_test.ts",
  "tests/kit_answers_test.ts",
  "tests/kit_model_test.ts",
  "tests/recovery_test.ts",
  "tests/salvage_test.ts",
  "tests/shrink_test.ts",
  "tests/simulated_disk_test.ts",
]);
/** For a file that is not listed. */
const DEFAULT_SECONDS = 1;
/** Files of more than this are left out by `--quick`. */
const QUICK_SECONDS = 2;
/**
 * Files are put together in one process up to this: starting one takes a while, and each is to end
 * soon.
 */
const BATCH_SECONDS = 10;

/** Files that one process runs. */
export interface Batch {
  readonly runtime: Runtime;
  readonly files: readonly string[];
}

/** The test files under paths of the project, or of elsewhere, each once and in order. */
export function findTestFiles(paths: readonly string[]): string[] {
  const files = paths.flatMap((path) => {
    const full = resolve(PROJECT, path);
    return statSync(full).isFile()
      ? [full]
      : globSync("**/*_test.ts", { cwd: full }).map((file) => resolve(full, file));
  });
  const local = files.map((file) => file.startsWith(PROJECT) ? relative(PROJECT, file).replaceAll(sep, "/") : file);
  return [...new Set(local)].sort();
}

/** Whether a file takes so long that a quick run leaves it out. */
export function isSlow(file: string): boolean {
  return secondsOf(file) > QUICK_SECONDS;
}

/**
 * The processes of each runtime, in the order in which to start them. The first of several runtimes
 * has those files too that only read texts.
 */
export function planBatches(runtimes: readonly Runtime[], files: readonly string[]): Batch[] {
  const byLength = files.toSorted((a, b) => secondsOf(b) - secondsOf(a));
  const { once = [], inTurn = [], each = [] } = Object.groupBy(
    byLength,
    (file) => TEXT_FILES.has(file) ? "once" : SIMULATED_FILES.has(file) ? "inTurn" : "each",
  );
  const onEach = batchesOf(each).flatMap((files) => runtimes.map((runtime) => ({ runtime, files })));
  const onOne = runtimes.flatMap((runtime, place) => {
    const own = inTurn.filter((_, index) => index % runtimes.length === place);
    return batchesOf(place === 0 ? [...own, ...once] : own).map((files) => ({ runtime, files }));
  });
  return [...onEach, ...onOne];
}

function secondsOf(file: string): number {
  return SECONDS[file] ?? DEFAULT_SECONDS;
}

/**
 * Puts files together, longest first, so that no batch but one of a single file is longer than
 * `BATCH_SECONDS`.
 */
function batchesOf(files: readonly string[]): string[][] {
  const batches: string[][] = [];
  let room = 0;
  for (const file of files) {
    room -= secondsOf(file);
    if (room < 0 || batches.length === 0) {
      batches.push([]);
      room = BATCH_SECONDS - secondsOf(file);
    }
    batches.at(-1)!.push(file);
  }
  return batches;
}
