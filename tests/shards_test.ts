// The shards of a directory as one log: where keys go, what each method does, and what is refused
// (H74).

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { mkdirSync } from "node:fs";
import { type Store, WAL, WALClosedError, WALLockedError, WALNotFoundError } from "../mod.ts";
import { bytesToHalves, hexToBytes } from "../src/keys.ts";
import { prometheusText } from "../src/prometheus.ts";
import { openShards, shardOf, type Shards, type ShardsOptions } from "../src/shards.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { Random } from "../testing.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const SIZE = 65536;
const inMemory = (shards: number, more: ShardsOptions = {}) => openShards(null, { shards, size: SIZE, ...more });

/** MurmurHash3_x86_32 with seed 0 as it was published, for bytes of any number. */
function murmur3(bytes: Uint8Array): number {
  const turned = (word: number, bits: number) => (word << bits) | (word >>> (32 - bits));
  const mixed = (block: number) => Math.imul(turned(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593);
  let hash = 0;
  const whole = bytes.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    hash ^= mixed(bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24));
    hash = Math.imul(turned(hash, 13), 5) + 0xe6546b64;
  }
  let rest = 0;
  for (let i = bytes.length - 1; i >= whole; i--) rest = (rest << 8) | bytes[i]!;
  if (whole < bytes.length) hash ^= mixed(rest);
  hash ^= bytes.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

test("murmur3() of this test gives the values that are known of others", () => {
  const known: Record<string, number> = {
    "test": 0xba6bd213,
    "Hello, world!": 0xc0363e43,
    "The quick brown fox jumps over the lazy dog": 0x2e4ff723,
  };
  for (const [text, hash] of Object.entries(known)) assertEquals(murmur3(new TextEncoder().encode(text)), hash, text);
});

test("shardOf() is MurmurHash3 of the key's bytes modulo the shards, in bytes and in halves", () => {
  const random = new Random(14);
  for (let run = 0; run < 2000; run++) {
    const key = Uint8Array.from({ length: 16 }, () => random.below(3) === 0 ? 0 : random.below(256));
    const shards = random.between(1, 1024);
    const expected = murmur3(key) % shards;
    assertEquals(shardOf(key, shards), expected);
    assertEquals(shardOf(...bytesToHalves(key), shards), expected);
    const [high, low] = [random.below(2 ** 31), random.below(2 ** 53)];
    assertEquals(shardOf(high, low, shards), shardOf(BigInt(high), BigInt(low), shards));
  }
});

test("shardOf() never changes: these keys are of these shards", () => {
  const places = [
    "00000000000000000000000000000000",
    "000102030405060708090a0b0c0d0e0f",
    "ffffffffffffffffffffffffffffffff",
    "6ba7b8109dad11d180b400c04fd430c8",
  ].map((hex) => [2, 16, 1000, 1024].map((shards) => shardOf(hexToBytes(hex), shards)));
  assertEquals(places, [[0, 8, 464, 504], [1, 13, 317, 989], [0, 14, 286, 110], [1, 7, 815, 471]]);
});

test("shardOf() gives each of 16 shards its part, also of keys that differ in few bits", () => {
  const kinds: Record<string, (index: number) => [bigint, bigint]> = {
    "a counter": (index) => [0n, BigInt(index)],
    "a counter in the upper half": (index) => [BigInt(index), 0n],
    "multiples of 2^32": (index) => [0n, BigInt(index) << 32n],
    "UUIDs by time": (index) => [(BigInt(1_700_000_000_000 + index) << 16n) | 0x7000n, 0x8000000000000000n],
  };
  const count = 16_000;
  for (const [kind, keyOf] of Object.entries(kinds)) {
    const counts = new Array<number>(16).fill(0);
    for (let index = 0; index < count; index++) counts[shardOf(...keyOf(index), 16)]!++;
    // Chance alone makes one of 16 shards differ by five standard deviations once in 10^5 trials.
    for (const one of counts) assert(Math.abs(one - count / 16) < 5 * Math.sqrt(count / 16), `${kind}: ${counts}`);
  }
});

test("Shards has the methods of WAL that append, and each does what WAL's does", async () => {
  const [a, b] = [new Uint8Array(16).fill(0xa), new Uint8Array(16).fill(0xb)];
  const time = [10n ** 18n + 5n, 6, 7] as const;
  const calls: ((log: WAL | Shards) => unknown)[] = [
    (log) => log.logInsert(1, 2n, 3, 4n),
    (log) => log.logInsert(a, b, time),
    (log) => log.logDelete(1, 2),
    (log) => log.logDelete(a),
    (log) => log.logDeleteValue(1, 2, 3, 4),
    (log) => log.logDeleteValue(a, b),
    (log) => log.logReplace(1, 2, 3, 4),
    (log) => log.logReplace(a, b),
    (log) => log.logOperation(40, 1, 2, 3, 4),
    (log) => log.logOperation(63, a, b),
    (log) => log.logInsertSync(1, 2, 3, 4),
    (log) => log.logInsertSync(a, b),
    (log) => log.logDeleteSync(1, 2),
    (log) => log.logDeleteSync(a),
    (log) => log.logDeleteValueSync(1, 2, 3, 4),
    (log) => log.logDeleteValueSync(a, b),
    (log) => log.logReplaceSync(1, 2, 3, 4),
    (log) => log.logReplaceSync(a, b),
    (log) => log.logOperationSync(40, 1, 2, 3, 4),
    (log) => log.logOperationSync(63, a, b),
    (log) => log.batchInsert([[1, 2, 3, 4], [1n, 2n, 5n, 6n]]),
    (log) => log.batchInsert(new Uint8Array([...a, ...b, ...a, ...a])),
    (log) => log.batchDelete([[1, 2]]),
    (log) => log.batchDelete(a),
    (log) => log.batch(new Set([{ type: "insert", key: a, value: b } as const, { type: "delete", key: a } as const])),
    (log) => log.batchInsertSync([[a, b]]),
    (log) => log.batchDeleteSync(a),
    (log) => log.batchSync([{ type: "operation", code: 33, keyHigh: 1, keyLow: 2, valueHigh: 3, valueLow: 4 }]),
  ];
  const now = () => 1e12;
  await using wal = WAL.open(null, { size: SIZE, now });
  await using one = inMemory(1, { now });
  await using three = inMemory(3, { now });
  const fields = (log: WAL) => log.replay().map(({ opType, key, value }) => `${opType} ${key} ${value}`);
  for (const call of calls) {
    const result = await call(wal);
    assertEquals(await call(one), result, String(call));
    await call(three);
  }
  assertEquals(
    one.logs[0]!.replay().map((record) => record.toObject()),
    wal.replay().map((record) => record.toObject()),
  );
  const halves = Uint8Array.from({ length: 16 }, (_, index) => index === 7 ? 1 : index === 15 ? 2 : 0);
  for (const key of [a, halves]) {
    const ofKey = (log: WAL) => fields(log).filter((text) => text.includes(` ${key} `));
    assertEquals(ofKey(three.log(three.shardOf(key))), ofKey(wal));
  }
  assertEquals(three.shardOf(1, 2n), three.shardOf(halves));
  assertEquals(three.logs.reduce((sum, log) => sum + log.length, 0), wal.length);
});

test("Shards refuses what WAL refuses, with the same error, and writes nothing", async () => {
  await using wal = WAL.open(null, { size: SIZE });
  await using shards = inMemory(3);
  const bytes = new Uint8Array(16);
  const wrong: unknown[][] = [
    [],
    [1],
    [-1, 2, 3, 4],
    [1, 2n ** 64n, 3, 4],
    [1.5, 2, 3, 4],
    ["key", 2, 3, 4],
    [null, 2, 3, 4],
    [1, 2, 3],
    [bytes],
    [bytes.subarray(1), bytes],
    [bytes, bytes.subarray(1)],
    [bytes, 1],
    [new Uint8Array(new SharedArrayBuffer(16)), bytes],
    [new Uint8Array(new ArrayBuffer(16, { maxByteLength: 32 })), bytes],
    [new Uint16Array(16), bytes],
    [1, 2, 3, 4, "time"],
    [bytes, bytes, [1, 2]],
    [bytes, 2, 3, 4],
  ];
  type Loose = Record<string, (...given: unknown[]) => unknown>;
  const errorOf = async (log: WAL | Shards, method: string, given: unknown[]) => {
    try {
      const result = (log as unknown as Loose)[method]!(...given);
      await result;
      return "no error";
    } catch (error) {
      return String(error);
    }
  };
  const compare = async (method: string, given: unknown[]) =>
    assertEquals(await errorOf(shards, method, given), await errorOf(wal, method, given), `${method}(${given.length})`);
  for (const method of ["logInsert", "logInsertSync", "logDeleteValue", "logReplaceSync"]) {
    for (const given of wrong) await compare(method, given);
  }
  for (const given of [[], [1], [-1, 2], ["key", 2], [bytes.subarray(1)], [bytes, 1]]) {
    await compare("logDelete", given);
  }
  for (const given of wrong) await compare("logOperation", [40, ...given]);
  for (const code of [31, 64, "40", undefined]) await compare("logOperationSync", [code, 1, 2, 3, 4]);
  const batches: unknown[] = [undefined, null, 5, [1], [[1, 2, 3]], [[1, 2, 3, -4]], bytes.subarray(1), [{
    type: "insert",
  }]];
  for (const batch of batches) {
    for (const method of ["batchInsert", "batchDeleteSync", "batch", "batchSync"]) await compare(method, [batch]);
  }
  assertEquals([wal.length, ...shards.logs.map((log) => log.length)], [0, 0, 0, 0]);
  assertEquals([await shards.batch([]), shards.batchInsertSync([])], [0, 0]);
});

test("openShards() refuses options that cannot be used, and makes nothing", () => {
  using temp = tempDir();
  const wrong: [options: unknown, error: typeof TypeError | typeof RangeError][] = [
    [null, TypeError],
    [4, TypeError],
    [{ shards: 0 }, RangeError],
    [{ shards: 1025 }, RangeError],
    [{ shards: 1.5 }, RangeError],
    [{ shards: "4" }, TypeError],
    [{ shards: 4n }, TypeError],
    [{ shards: 4, shard: 1 }, TypeError],
    [{ shards: 4, shrads: 1 }, TypeError],
    [{ shards: 4, only: 1 }, TypeError],
    [{ shards: 4, only: [] }, RangeError],
    [{ shards: 4, only: [4] }, RangeError],
    [{ shards: 4, only: [-1] }, RangeError],
    [{ shards: 4, only: [1, 1] }, RangeError],
    [{ shards: 4, only: ["1"] }, TypeError],
    [{ shards: 4, size: 1 }, RangeError],
    [{ shards: 4, flush: "never" }, RangeError],
  ];
  const [here, missing] = [temp.path, temp.join("missing")];
  for (const [options, error] of wrong) {
    assertThrows(() => openShards(here, options as ShardsOptions), error, undefined, JSON.stringify(String(options)));
  }
  assertThrows(() => openShards(null), TypeError, "must say how many");
  assertThrows(() => openShards(undefined as unknown as null, { shards: 2 }), TypeError);
  assertThrows(() => openShards("", { shards: 2 }), RangeError);
  const notFound = assertThrows(() => openShards(missing, { shards: 2 })) as { readonly code?: string };
  assertEquals(notFound.code, "NOT_FOUND");
  for (const options of [{}, { only: [0] }, { shards: 2, only: [1] }]) {
    const error = assertThrows(() => openShards(here, options), WALNotFoundError, "open all of them once");
    assertEquals(error.path, temp.join(`shard-000${options.only?.[0] ?? 0}.wal`));
  }
  assertEquals(
    (assertThrows(() => openShards(here, { shards: 2, create: false })) as { readonly code?: string }).code,
    "NOT_FOUND",
  );
  for (
    const bad of [[], [1.5, 2], [new Uint8Array(15), 2], [1, 2, 0], [1, 2, 1025], [new Uint8Array(16), 1.5], ["a", 2]]
  ) {
    assertThrows(() => (shardOf as (...given: unknown[]) => number)(...bad), Error);
  }
  openShards(here, { shards: 2, size: SIZE, only: undefined, create: undefined }).close();
});

test("openShards() opens some shards in each process, and each record knows its shard", () => {
  using temp = tempDir();
  const directory = temp.join("set");
  mkdirSync(directory);
  openShards(new URL(`file://${directory}`), { shards: 3, size: SIZE }).close();
  using first = openShards(directory, { only: [2, 0] });
  using second = openShards(directory, { only: [1], shards: 3 });
  assertThrows(() => openShards(directory, { only: [1] }), WALLockedError);
  assertThrows(() => openShards(directory), WALLockedError);
  assertEquals([first.logs.map((log) => log.path), second.directory], [
    [`${directory}/shard-0000.wal`, `${directory}/shard-0002.wal`],
    directory,
  ]);
  for (let key = 0; key < 30; key++) (shardOf(0, key, 3) === 1 ? second : first).logInsertSync(0, key, 0, 0);
  for (const { logs } of [first, second]) {
    for (const log of logs) {
      for (const { key, time } of log.records()) assertEquals(time[2], shardOf(key, 3));
    }
  }
  assertEquals([...first.stats().logs.keys(), first.stats().appended + second.stats().appended], [0, 2, 30]);
});

test("stats() of shards has the sums, the fullest shard, and each shard's warnings with its number", async () => {
  await using shards = inMemory(3);
  const mine = Array.from({ length: 100 }, (_, key) => key).filter((key) => shardOf(0, key, 3) === 2);
  for (const key of mine) await shards.logInsert(0, key, 0, 0);
  shards.log(0).logInsertSync(0, 0, 0, 0);
  const stats = shards.stats();
  const logs = shards.logs.map((log) => log.stats());
  assertEquals([stats.directory, stats.shards, stats.length, stats.capacity], [null, 3, mine.length + 1, 3 * 768]);
  assertEquals([stats.fullest, stats.fillRatio, stats.appended], [2, logs[2]!.fillRatio, mine.length + 1]);
  assertEquals([stats.syncs, stats.recordsPerSync], [mine.length, 1]);
  assertEquals(
    stats.warnings,
    logs.flatMap(({ warnings }, shard) => warnings.map((text) => `Shard ${shard}: ${text}`)),
  );
  assertEquals([stats.waiting, stats.poisoned], [0, []]);
  assert(stats.oldestUnconsumedAgeMs >= logs[0]!.oldestUnconsumedAgeMs - 1000);
  // The figures of each log for Prometheus, too.
  assertEquals(prometheusText(shards.logs).match(/^cidstore_wal_fill_ratio\{/gm)?.length, 3);
});

test("consume() of shards feeds a store for each shard, and goes on where it was", async () => {
  using temp = tempDir();
  const stores = Array.from({ length: 3 }, () => new MemoryStore());
  for (let life = 0; life < 2; life++) {
    await using shards = openShards(temp.path, { shards: 3, size: SIZE });
    await using consumers = shards.consume((shard) => stores[shard]!);
    await Promise.all(Array.from({ length: 50 }, (_, key) => shards.logInsert(life, key, 7, key)));
    await shards.whenApplied();
    assertEquals([...consumers.applied.keys()], [0, 1, 2]);
    await consumers.stop();
    await consumers.done;
    await shards.whenDurable();
  }
  assertEquals(stores.reduce((sum, store) => sum + store.size, 0), 100);
  for (const [shard, store] of stores.entries()) {
    for (const [high, low] of store) assertEquals(shardOf(high, low, 3), shard);
  }
  await using shards = openShards(temp.path, { shards: 3 });
  assertThrows(() => shards.consume((shard) => (shard === 2 ? fail() : {}) as Store), Error, "no store");
  assertEquals(shards.logs.map((log) => log.stats().consuming), [false, false, false]);
});

function fail(): never {
  throw new Error("there is no store");
}

test("close() of shards closes all logs, and what comes later is refused", async () => {
  const shards = inMemory(2);
  shards.close();
  shards.close();
  await shards[Symbol.asyncDispose]();
  await assertRejects(() => shards.logInsert(1, 2, 3, 4), WALClosedError);
  await assertRejects(() => shards.flushAsync(), WALClosedError);
  assertThrows(() => shards.flush(), WALClosedError);
  assertThrows(() => shards.stats(), WALClosedError);
  assertThrows(() => shards.log(2), RangeError);
  assertThrows(() => shards.log("1" as unknown as number), TypeError);
});
