// The figures of all shards, and their sums.

import type { WALStats } from "../types.ts";
import type { OpenShards } from "./shard_files.ts";

/** The figures of shards at one moment: those of each log, and over all logs that are open here. */
export interface ShardsStats {
  /** The directory, or null for memory. */
  readonly directory: string | null;
  /** How many shards the set has, open here or not. */
  readonly shards: number;
  /** The figures of each log, by the shard's number. */
  readonly logs: ReadonlyMap<number, WALStats>;
  /** Records kept. */
  readonly length: number;
  /** Records that the rings can hold. */
  readonly capacity: number;
  /** `length / capacity` of the fullest ring, whose appends are the first to wait. */
  readonly fillRatio: number;
  /** The shard with the fullest ring. */
  readonly fullest: number;
  /** Records appended since `open()`. */
  readonly appended: number;
  /** Data syncs since `open()`. */
  readonly syncs: number;
  /** Records that a data sync made durable, on average; 0 before the first sync. */
  readonly recordsPerSync: number;
  /** Appends that wait for room. */
  readonly waiting: number;
  /** Age of the oldest record that is not in the stores of all consumers; 0 if there is none. */
  readonly oldestUnconsumedAgeMs: number;
  /** What an operator should know now, each with the number of its shard. */
  readonly warnings: readonly string[];
  /** The shards whose logs only reopening helps. */
  readonly poisoned: readonly number[];
}

/** @throws {WALClosedError} if a log is closed. */
export function statisticsOfShards(directory: string | null, shards: number, open: OpenShards): ShardsStats {
  const logs = new Map(Array.from(open, ([shard, wal]) => [shard, wal.stats()]));
  const entries = [...logs];
  const sum = (of: (stats: WALStats) => number) => entries.reduce((total, [, stats]) => total + of(stats), 0);
  const [fullest, { fillRatio }] = entries.reduce((most, one) => one[1].fillRatio > most[1].fillRatio ? one : most);
  const syncs = sum((stats) => stats.syncs);
  return {
    directory,
    shards,
    logs,
    length: sum((stats) => stats.length),
    capacity: sum((stats) => stats.capacity),
    fillRatio,
    fullest,
    appended: sum((stats) => stats.appended),
    syncs,
    recordsPerSync: syncs === 0 ? 0 : sum((stats) => stats.syncs * stats.recordsPerSync) / syncs,
    waiting: sum((stats) => stats.waiting),
    oldestUnconsumedAgeMs: Math.max(...entries.map(([, stats]) => stats.oldestUnconsumedAgeMs)),
    warnings: entries.flatMap(([shard, { warnings }]) => warnings.map((warning) => `Shard ${shard}: ${warning}`)),
    poisoned: entries.filter(([, stats]) => stats.poisoned).map(([shard]) => shard),
  };
}
