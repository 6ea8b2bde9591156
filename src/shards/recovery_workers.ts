// Recovers shards side by side, in workers, before they are opened in this thread. A worker opens a
// log, which recovers it, and closes it. So the opening here finds a log that was closed.
//
// Only time depends on workers. What they could not recover, the opening here recovers, or refuses.

import { Worker } from "node:worker_threads";
import type { TakenShards } from "../arguments/shards.ts";
import type { RecoveryReport } from "../types.ts";
import { openShardFiles, type Recovered, shardsToRecover } from "./shard_files.ts";

/** With fewer bytes to read, workers take longer to start than they save. */
const LEAST_BYTES = 512 * 1024 * 1024;

/**
 * This module, which a worker imports. Null in a bundle: to import a bundle would run the program
 * once more.
 */
const MODULE = /\/shards\/recovery_workers\.[jt]s$/.test(import.meta.url) ? import.meta.url : null;

/** What each worker is given. */
export interface Work {
  readonly given: TakenShards;
  readonly shards: readonly number[];
  /** How many of the shards a worker has taken, in memory that the workers share. */
  readonly taken: Int32Array;
}

/** What a worker tells of each shard that it has recovered and closed. */
type Told = readonly [shard: number, report: RecoveryReport];

/**
 * Recovers the shards that were not closed, or that are to be verified whole.
 *
 * @returns the reports of the shards that are closed now; of none if workers would not help.
 */
export async function recoverInWorkers(given: TakenShards, leastBytes: number = LEAST_BYTES): Promise<Recovered> {
  const recovered = new Map<number, RecoveryReport>();
  const { now, storage } = given.log;
  // A function of the caller cannot be handed to a worker.
  if (MODULE === null || now !== undefined || storage !== undefined) return recovered;
  const sizes = sizesToRecover(given);
  let bytes = 0;
  for (const size of sizes.values()) bytes += size;
  const count = Math.min(sizes.size, navigator.hardwareConcurrency);
  if (count < 2 || bytes < leastBytes) return recovered;
  const log = { ...given.log, create: false, followers: false };
  const taken = new Int32Array(new SharedArrayBuffer(4));
  const work: Work = { given: { ...given, log }, shards: [...sizes.keys()], taken };
  const tell = ([shard, report]: Told) => recovered.set(shard, report);
  await Promise.all(Array.from({ length: count }, () => runWorker(MODULE, work, tell)));
  return recovered;
}

/** None if the opening will refuse the shards, or make them. */
function sizesToRecover(given: TakenShards): ReadonlyMap<number, number> {
  try {
    return shardsToRecover(given);
  } catch {
    return new Map();
  }
}

/** Resolves when the worker has ended, however that was. */
function runWorker(module: string, work: Work, tell: (told: Told) => void): Promise<void> {
  const code = `const { parentPort, workerData } = require("node:worker_threads");
    import(${JSON.stringify(module)})
      .then(({ recoverShards }) => recoverShards(workerData, (told) => parentPort.postMessage(told)))
      .catch(() => {});`;
  return new Promise((resolve) => {
    try {
      const worker = new Worker(code, { eval: true, workerData: work, stderr: true });
      worker.on("message", tell);
      worker.on("error", () => {});
      worker.on("exit", () => resolve());
    } catch {
      resolve(); // this program may not start workers
    }
  });
}

/** What a worker does: it takes one shard after another, until all are taken. */
export function recoverShards({ given, shards, taken }: Work, tell: (told: Told) => void): void {
  for (let at = Atomics.add(taken, 0, 1); at < shards.length; at = Atomics.add(taken, 0, 1)) {
    const shard = shards[at]!;
    try {
      const wal = openShardFiles({ ...given, only: [shard] }).logs.get(shard)!;
      const report = wal.recovery;
      wal.close();
      tell([shard, report]);
    } catch { /* the opening in the other thread says why */ }
  }
}
