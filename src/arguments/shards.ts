// What callers of `openShards()` hand in, checked.

import type { WALOptions } from "../types.ts";
import { checkInteger, show } from "./numbers.ts";
import { checkOptionNames } from "./objects.ts";
import { OPTION_NAMES } from "./options.ts";
import { checkPath } from "./paths.ts";

/** The most shards of a set. */
const MOST_SHARDS = 1024;

/**
 * How to open the shards of a directory: as {@linkcode WALOptions}, for each of the logs. The
 * records of a shard have its number as the shard of their times.
 */
export interface ShardsOptions extends Omit<WALOptions, "shard"> {
  /**
   * How many shards the directory has, 1 to 1024. It is needed to make them. A directory that has
   * another number of them is refused.
   *
   * @default {as many as the directory has}
   */
  shards?: number | undefined;
  /**
   * The shards to open here, if not all, so that several processes or workers share them. All
   * shards must have been opened once before, because such an opening makes none. Those that are
   * not opened are not looked at: whether all are of one set is known only when all are opened.
   *
   * @default {all}
   */
  only?: readonly number[] | undefined;
}

/** Options that were checked. */
export interface TakenShards {
  /** Absolute; null for memory. */
  readonly directory: string | null;
  /** Undefined for as many as there are. */
  readonly shards: number | undefined;
  /** In ascending order; null for all. */
  readonly only: readonly number[] | null;
  /** The options of each log. */
  readonly log: WALOptions;
}

/** @throws {TypeError} or {RangeError} if an argument cannot be used. */
export function takeShards(directory: string | URL | null, options: ShardsOptions): TakenShards {
  checkOptionNames(options, [...OPTION_NAMES.filter((name) => name !== "shard"), "shards", "only"]);
  const { shards, only, ...log } = options;
  if (shards !== undefined) checkShards(shards);
  const path = checkPath(directory);
  if (path === null && shards === undefined) {
    throw new TypeError("Cannot open shards in memory: the option shards must say how many");
  }
  return { directory: path, shards, only: only === undefined ? null : takeOnly(only, shards), log };
}

/** @throws {TypeError} or {RangeError} if it is no number of shards. */
export function checkShards(shards: number): void {
  checkInteger(shards, "shards", 1, MOST_SHARDS);
}

function takeOnly(only: readonly number[], shards = MOST_SHARDS): number[] {
  if (!Array.isArray(only)) throw new TypeError(`Cannot use ${show(only)} as only: it must be an array`);
  const taken = [...only as readonly number[]];
  for (const shard of taken) checkInteger(shard, "only", 0, shards - 1);
  if (taken.length === 0) throw new RangeError("Cannot use only: it has no shard");
  if (new Set(taken).size < taken.length) throw new RangeError("Cannot use only: it has a shard twice");
  return taken.sort((a, b) => a - b);
}
