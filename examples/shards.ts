// Four shards: batches, a store for each shard, and the same data in eight shards afterwards.
//
//   deno run --allow-all examples/shards.ts
//   bun examples/shards.ts
//   node examples/shards.ts

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openShards, type Shards } from "@cidstore/wal/shards";
import { MemoryStore } from "@cidstore/wal/stores/memory";

const SIZE = 65536;
const KEYS = 1000n;

/** Logs pairs as one batch for each shard, because a batch is all or nothing in one shard. */
async function logAll(shards: Shards, pairs: Iterable<readonly [bigint, bigint, bigint, bigint]>): Promise<void> {
  const batches = Map.groupBy(pairs, ([high, low]) => shards.shardOf(high, low));
  await Promise.all(Array.from(batches.values(), (batch) => shards.batchInsert(batch)));
}

/** A store for each shard, with all that its log has. */
async function fill(shards: Shards): Promise<readonly MemoryStore[]> {
  const stores = Array.from({ length: shards.shards }, () => new MemoryStore());
  await using consumers = shards.consume((shard) => stores[shard]!);
  await shards.whenApplied();
  await consumers.stop();
  return stores;
}

function describe(stores: readonly MemoryStore[]): void {
  console.log(`${stores.length} shards: ${stores.map((store) => store.size).join(" + ")} pairs`);
}

const directory = mkdtempSync(join(tmpdir(), "wal-shards-"));
const [four, eight] = [join(directory, "four"), join(directory, "eight")];
try {
  mkdirSync(four);
  mkdirSync(eight);
  await using before = openShards(four, { shards: 4, size: SIZE });
  await logAll(before, Array.from({ length: Number(KEYS) }, (_, n) => [1n, BigInt(n), 2n, BigInt(n)] as const));
  const stores = await fill(before);
  describe(stores);

  // A set keeps its number of shards. More of them are a new set, with what the stores have.
  await using after = openShards(eight, { shards: 8, size: SIZE });
  for (const store of stores) await logAll(after, store);
  const filled = await fill(after);
  describe(filled);

  const key = KEYS - 1n;
  const shard = after.shardOf(1n, key);
  console.log(
    `key ${key} is in shard ${before.shardOf(1n, key)} of 4 and ${shard} of 8: ${filled[shard]!.has(1n, key)}`,
  );
} finally {
  rmSync(directory, { recursive: true });
}
