// Which shard a key belongs to. docs/format.md describes it for other programs, so it never
// changes.
//
// The hash is MurmurHash3_x86_32 (Appleby 2011) of the key's 16 bytes, with seed 0.

import { checkBytes } from "../arguments/bytes.ts";
import { checkKey, isU64 } from "../arguments/numbers.ts";
import { checkShards } from "../arguments/shards.ts";
import { ID_BYTES, setHalf, setId } from "../format/big_endian.ts";
import type { U64 } from "../types.ts";

/** The key that is hashed. Nothing that a caller wrote runs while it is in use. */
const scratch = new DataView(new ArrayBuffer(ID_BYTES));

/**
 * The shard of a key: the same in every runtime and every version.
 *
 * The hash has no secret. Whoever chooses keys can choose them all for one shard.
 *
 * @param key 16 bytes, big-endian, as the append methods take it.
 * @param shards how many shards there are, 1 to 1024.
 * @returns from 0 to `shards - 1`.
 * @throws {TypeError} or {RangeError} if an argument cannot be used.
 *
 * @example
 * ```ts
 * import { shardOf } from "@cidstore/wal/shards";
 *
 * console.log(shardOf(new Uint8Array(16).fill(7), 16), shardOf(0x1234n, 5, 16)); // 7 9
 * ```
 */
export function shardOf(key: Uint8Array, shards: number): number;
/** As above, for a key as two halves of 64 bits. */
export function shardOf(keyHigh: U64, keyLow: U64, shards: number): number;
export function shardOf(key: Uint8Array | U64, second: U64, third?: number): number {
  if (third === undefined && !isU64(key)) {
    checkBytes(key, "key");
    checkShards(second as number);
    return shardOfBytes(key, second as number);
  }
  checkKey(key as U64, second);
  checkShards(third as number);
  return shardOfHalves(key as U64, second, third as number);
}

/** As `shardOf()`, for what was checked. */
export function shardOfBytes(key: Uint8Array, shards: number): number {
  setId(scratch, 0, key);
  return shardAt(scratch, 0, shards);
}

/** As `shardOf()`, for what was checked. */
export function shardOfHalves(keyHigh: U64, keyLow: U64, shards: number): number {
  setHalf(scratch, 0, keyHigh);
  setHalf(scratch, 8, keyLow);
  return shardAt(scratch, 0, shards);
}

/** The shard of the key at an offset. */
export function shardAt(keys: DataView, at: number, shards: number): number {
  let hash = 0;
  for (let i = at; i < at + ID_BYTES; i += 4) {
    const block = rotated(Math.imul(keys.getInt32(i, true), 0xcc9e2d51), 15);
    hash = rotated(hash ^ Math.imul(block, 0x1b873593), 13);
    hash = Math.imul(hash, 5) + 0xe6546b64 | 0;
  }
  hash ^= ID_BYTES;
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b);
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35);
  return ((hash ^ hash >>> 16) >>> 0) % shards;
}

function rotated(word: number, bits: number): number {
  return word << bits | word >>> 32 - bits;
}
