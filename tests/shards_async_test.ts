// openShardsAsync(): workers recover the shards that were not closed, and it finds what
// openShards() finds (H83).

import { assertEquals, assertRejects } from "@std/assert";
import { closeSync, copyFileSync, mkdirSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { WAL, WALCorruptError, WALLockedError, WALNotFoundError } from "../mod.ts";
import { takeShards } from "../src/arguments/shards.ts";
import { RECORD_BYTES, RING_AT } from "../src/format/layout.ts";
import { openShards, openShardsAsync, shardOf, Shards, type ShardsOptions, WALShardsError } from "../src/shards.ts";
import { recoverInWorkers } from "../src/shards/recovery_workers.ts";
import { openShardFiles } from "../src/shards/shard_files.ts";
import { ListStore } from "./support/logs.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const SIZE = 65536;
const SHARDS = 4;

/** A key of a shard. */
function keyOf(shard: number): number {
  for (let key = 0;; key++) if (shardOf(0, key, SHARDS) === shard) return key;
}

/** A set as a crash leaves it: each shard has durable records, and one that is torn after them. */
async function makeCrashed(directory: string): Promise<void> {
  mkdirSync(`${directory}/live`);
  using live = openShards(`${directory}/live`, { shards: SHARDS, size: SIZE });
  for (let shard = 0; shard < SHARDS; shard++) {
    const items = Array.from({ length: 10 * (shard + 1) }, (_, n) => [0, keyOf(shard), 0, n] as const);
    live.batchInsertSync(items.map(([a, b, c, d]) => [a, b, c, d]));
  }
  await using consumers = live.consume(() => new ListStore(), { name: "store" });
  await live.whenApplied();
  await consumers.stop();
  for (let shard = 0; shard < SHARDS; shard++) live.logInsertSync(0, keyOf(shard), 0, 99);
  live.flush();
  copySet(`${directory}/live`, `${directory}/crashed`);
  for (const [shard, wal] of live.logs.entries()) damage(`${directory}/crashed`, shard, wal.head - 1);
}

function copySet(from: string, to: string): string {
  mkdirSync(to);
  for (const file of readdirSync(from)) copyFileSync(`${from}/${file}`, `${to}/${file}`);
  return to;
}

function damage(directory: string, shard: number, lsn: number): void {
  const file = openSync(`${directory}/shard-000${shard}.wal`, "r+");
  writeSync(file, Uint8Array.of(0xa5, 0x5a), 0, 2, RING_AT + RECORD_BYTES * (lsn - 1) + 40);
  closeSync(file);
}

function bytesOf(directory: string): Record<string, string> {
  return Object.fromEntries(readdirSync(directory).map((file) => [file, readFileSync(`${directory}/${file}`, "hex")]));
}

/** What opening found, and what the logs have. */
function found({ logs }: Shards): unknown {
  return logs.map((wal) => {
    const { durationMs: _, ...recovery } = wal.recovery;
    const { consumers, checksumFailures, warnings } = wal.stats();
    const positions = consumers.map(({ name, position, lost }) => [name, position, lost]);
    return { recovery, records: wal.replay(), positions, checksumFailures, warnings };
  });
}

/** As `openShardsAsync()`, but workers recover however small the shards are. */
async function openInWorkers(directory: string, options: ShardsOptions = {}): Promise<[Shards, number[]]> {
  const given = takeShards(directory, options);
  const recovered = await recoverInWorkers(given, 0);
  const { shards, logs } = openShardFiles(given, recovered);
  return [new Shards(directory, shards, logs), [...recovered.keys()].sort()];
}

test("openShardsAsync() finds in workers what openShards() finds, and the next opening is clean", async () => {
  using directory = tempDir();
  await makeCrashed(directory.path);
  const here = copySet(directory.join("crashed"), directory.join("here"));
  const aside = copySet(directory.join("crashed"), directory.join("aside"));
  const expected = openShards(here);
  const [shards, recovered] = await openInWorkers(aside);
  assertEquals(recovered, [0, 1, 2, 3]);
  assertEquals(found(shards), found(expected));
  assertEquals(shards.logs.map(({ recovery }) => [recovery.clean, recovery.tornRecords]), Array(4).fill([false, 1]));
  // The reports are those of one opening, and what was opened goes on.
  await shards.logInsert(0, keyOf(2), 0, 7);
  const [first, , wal] = shards.logs;
  for (const each of [first!, wal!]) {
    each.close();
    each.open();
    assertEquals(each.recovery.clean, true);
  }
  assertEquals(wal!.replay().at(-1)?.valueLow, 7n);
  for (const each of [shards, expected]) each.close();
  assertEquals((await recoverInWorkers(takeShards(aside, {}), 0)).size, 0);
  assertEquals([...(await recoverInWorkers(takeShards(aside, { verify: true }), 0)).keys()].sort(), [0, 1, 2, 3]);
});

test("openShardsAsync() reports what it opens, though another process has opened a shard meanwhile", async () => {
  using directory = tempDir();
  await makeCrashed(directory.path);
  const set = directory.join("crashed");
  const given = takeShards(set, {});
  const recovered = await recoverInWorkers(given, 0);
  const reported = recovered.get(1)!;
  {
    using other = WAL.open(`${set}/shard-0001.wal`);
    other.logInsertSync(0, keyOf(1), 0, 8);
  }
  const { shards, logs } = openShardFiles(given, recovered);
  using opened = new Shards(set, shards, logs);
  assertEquals(opened.logs[0]!.recovery, recovered.get(0));
  const { clean, lastLsn, records, tornRecords } = opened.logs[1]!.recovery;
  assertEquals([clean, lastLsn, records, tornRecords], [true, reported.lastLsn + 1, reported.records + 1, 0]);
});

test("openShardsAsync() recovers in workers only what is opened here, and nothing that it refuses", async () => {
  using directory = tempDir();
  await makeCrashed(directory.path);
  const set = copySet(directory.join("crashed"), directory.join("set"));
  const before = bytesOf(set);
  assertEquals((await recoverInWorkers(takeShards(set, { shards: 3 }), 0)).size, 0);
  await assertRejects(() => openShardsAsync(set, { shards: 3 }), WALShardsError);
  const foreign = copySet(directory.join("crashed"), directory.join("foreign"));
  const last = `shard-000${SHARDS - 1}.wal`;
  copyFileSync(`${foreign}/shard-0000.wal`, `${foreign}/${last}`);
  const foreignBefore = bytesOf(foreign);
  assertEquals((await recoverInWorkers(takeShards(foreign, {}), 0)).size, 0);
  assertEquals(bytesOf(foreign), foreignBefore);
  assertEquals(bytesOf(set), before);
  const [shards, recovered] = await openInWorkers(set, { only: [3, 1] });
  assertEquals([recovered, shards.logs.length], [[1, 3], 2]);
  const after = bytesOf(set);
  assertEquals([after["shard-0000.wal"], after["shard-0002.wal"]], [
    before["shard-0000.wal"],
    before["shard-0002.wal"],
  ]);
  shards.close();
});

test("openShardsAsync() leaves to this thread what workers cannot be given, or could not open", async () => {
  using directory = tempDir();
  await makeCrashed(directory.path);
  const set = copySet(directory.join("crashed"), directory.join("set"));
  for (const options of [{ now: Date.now }, { flush: "sideways" as "inline" }]) {
    assertEquals((await recoverInWorkers(takeShards(set, options), 0)).size, 0);
  }
  {
    using _ = WAL.open(`${set}/shard-0001.wal`);
    assertEquals((await recoverInWorkers(takeShards(set, {}), 0)).size, 0);
    await assertRejects(() => openShardsAsync(set), WALLockedError);
  }
  const given = takeShards(set, {});
  assertEquals((await recoverInWorkers(given)).size, 0, "small shards");
  await assertRejects(() => openShardsAsync(`${set}/none`), WALNotFoundError);
  await assertRejects(() => openShardsAsync(set, { shards: 0 }), RangeError);
  using shards = await openShardsAsync(pathToFileURL(set), { shards: SHARDS });
  assertEquals(shards.logs.map(({ length }) => length), [11, 21, 31, 41]); // and a checkpoint each
  using memory = await openShardsAsync(null, { shards: 2, size: SIZE });
  assertEquals(memory.logs.map(({ recovery }) => recovery.created), [true, true]);
});

test("openShardsAsync() rejects for a damaged shard, and salvages it in a worker with its report", async () => {
  using directory = tempDir();
  await makeCrashed(directory.path);
  const crashed = directory.join("crashed");
  damage(crashed, 2, 5);
  const [strict, here, aside] = ["strict", "here", "aside"].map((name) => copySet(crashed, directory.join(name)));
  const error = await assertRejects(() => openInWorkers(strict!), WALCorruptError);
  assertEquals(error.path?.endsWith("shard-0002.wal"), true);
  using expected = openShards(here!, { recovery: "salvage" });
  const [shards, recovered] = await openInWorkers(aside!, { recovery: "salvage" });
  using _ = shards;
  assertEquals(recovered, [0, 1, 2, 3]);
  const lossesOf = (set: Shards) =>
    set.logs.map(({ recovery: { losses, clean, records } }) => [losses, clean, records]);
  assertEquals(lossesOf(shards), lossesOf(expected));
  assertEquals(shards.logs[2]!.recovery.losses.length, 1);
  const { damagedFile } = shards.logs[2]!.recovery;
  assertEquals(readdirSync(aside!).includes(damagedFile!.slice(aside!.length + 1)), true);
  assertEquals(process.exitCode ?? 0, 0);
});
