// Shards of one directory, in one process or in several. Each shard has 64 writers, and each of
// them waits until its record is durable. Then the shards are killed and recovered.

import { mkdirSync } from "node:fs";
import process from "node:process";
import { openShards, openShardsAsync, type Shards } from "../../src/shards.ts";
import type { Measurements } from "../measure.ts";
import { LOG_BYTES } from "../sizes.ts";
import type { CellRequest } from "./workload.ts";

const WRITERS = 64;
/** The size of a shard that is killed and recovered. */
const KILLED_BYTES = 4 * LOG_BYTES;
/** Keys that a shard's writers take in turn. */
const KEYS = 1024;

/** All shards here, as many as the parameter says. */
export function allShards({ directory, parameter, system, seconds }: CellRequest): Promise<Measurements> {
  mkdirSync(directory, { recursive: true });
  const flush = system === "wal-offload" ? "offload" : "inline";
  return write(openShards(directory, { shards: parameter, size: LOG_BYTES, flush }), seconds);
}

/** One shard of a directory that was made before: the parameter is its number. */
export function oneShard({ directory, parameter, seconds }: CellRequest): Promise<Measurements> {
  return write(openShards(directory, { only: [parameter], flush: "inline" }), seconds);
}

/** Writes without a consumer, up to half of each ring, and waits to be killed. */
export async function fillShardsAndDie({ directory, parameter }: CellRequest): Promise<Measurements> {
  mkdirSync(directory, { recursive: true });
  const shards = openShards(directory, { shards: parameter, size: KILLED_BYTES });
  for (const log of shards.logs) {
    const packed = new Uint8Array(32 * 1000);
    while (log.length < log.capacity / 2) log.batchInsertSync(packed);
    log.flush();
  }
  process.stdout.write("READY\n");
  // The parent kills this process when it reads the line.
  await new Promise((resolve) => setTimeout(resolve, 60_000));
  return process.exit(1);
}

/** Recovers all shards in this process. */
export function recoverShards({ directory, parameter }: CellRequest): Promise<Measurements> {
  return timed(() => openShards(directory, { shards: parameter }));
}

/** Recovers all shards in workers of this process. */
export function recoverShardsAside({ directory, parameter }: CellRequest): Promise<Measurements> {
  return timed(() => openShardsAsync(directory, { shards: parameter }));
}

/** Recovers one shard. */
export function recoverShard({ directory, parameter }: CellRequest): Promise<Measurements> {
  return timed(() => openShards(directory, { only: [parameter] }));
}

async function timed(open: () => Shards | Promise<Shards>): Promise<Measurements> {
  const start = performance.now();
  const shards = await open();
  const openMs = performance.now() - start;
  shards.close();
  return { openMs };
}

async function write(shards: Shards, seconds: number): Promise<Measurements> {
  const keys = new Map(shards.stats().logs.entries().map(([shard]) => [shard, keysOf(shards, shard)]));
  const start = performance.now();
  const end = start + 1e3 * seconds;
  const writers = [...keys.values()].flatMap((own) => Array.from({ length: WRITERS }, (_, i) => writeUntil(own, i)));
  const counts = await Promise.all(writers);
  const opsPerSecond = counts.reduce((sum, count) => sum + count) / ((performance.now() - start) / 1e3);
  shards.close();
  return { opsPerSecond };

  async function writeUntil(own: readonly number[], first: number): Promise<number> {
    let written = 0;
    while (performance.now() < end) {
      await shards.logInsert(0, own[(first + written) % KEYS]!, 0, written);
      written++;
      if (written % 256 === 0) release();
    }
    return written;
  }

  /** In place of a consumer, so that only logging is measured. */
  function release(): void {
    for (const log of shards.logs) if (log.length > log.capacity / 2) log.truncate(log.durable);
  }
}

/** Keys of a shard. */
function keysOf(shards: Shards, shard: number): number[] {
  const keys: number[] = [];
  for (let key = 0; keys.length < KEYS; key++) if (shards.shardOf(0, key) === shard) keys.push(key);
  return keys;
}
