// Fault: a set of shards is made half, lacks a file, or has another file in its place; a key gets
//   into the wrong shard; one shard fails (H72, H73, H74, H75).
// Promise: what was acknowledged is in the shard of its key, each shard is whole or refused, and a
//   shard that fails harms no other (G1, G2, G7, G21).
// Method: crash at each call of making a set on a simulated disk. Move, swap and delete files. Have
//   the caller's code change a key while it is logged. Fail the sync of one shard.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import process from "node:process";
import { bury } from "../../src/testing/bury.ts";
import { openShards, shardOf, type Shards, type ShardsOptions, WALShardsError } from "../../src/shards.ts";
import {
  type HybridTimeInput,
  type Storage,
  type Store,
  WAL,
  WALError,
  WALNotFoundError,
  WALSyncError,
} from "../../mod.ts";
import { type Keep, type Moment, SimulatedCrash, SimulatedDisk } from "../../testing.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";
import { turn } from "../support/turn.ts";

const SIZE = 65536;
const SHARDS = 3;
/** A key of each shard. */
const KEYS = Array.from({ length: SHARDS }, (_, shard) => keyOf(shard, SHARDS));
const names = Array.from({ length: SHARDS }, (_, shard) => `shard-000${shard}.wal`);

function simulated(disk: SimulatedDisk, more: ShardsOptions = {}): ShardsOptions {
  const { storage, clock } = disk;
  return { shards: SHARDS, size: SIZE, idleHeaderDelayMs: Infinity, flush: "inline", storage, now: clock.now, ...more };
}

function keyOf(shard: number, shards: number): number {
  for (let key = 0;; key++) if (shardOf(0, key, shards) === shard) return key;
}

/** What each log of a set has, by the keys. */
function keysOf({ logs }: Shards): number[][] {
  return logs.map((wal) => wal.replay().map(({ keyLow }) => Number(keyLow)));
}

/** The fault of the error that opening throws. */
function faultOf(directory: string, options: ShardsOptions): [fault: string, shard: number] {
  const error = assertThrows(() => openShards(directory, options).close(), WALShardsError);
  assertEquals([error.code, error.directory], ["SHARDS", directory]);
  return [error.fault, error.shard];
}

/** Of how many calls one is tried. */
const EVERY = process.env["SHARDS_EVERY_CALL"] ? 1 : 7;
const MOMENTS: readonly Moment[] = ["before", "during", "after"];
const KEEPS: readonly Keep[] = ["none", "all", "random"];

test("openShards() finishes a set whose making was cut at any call, and opens no shard before", async () => {
  const shards = 2;
  const keys = [0, 1].map((shard) => keyOf(shard, shards));
  const clean = new SimulatedDisk();
  openShards("/sim", simulated(clean, { shards })).close();
  const steps = clean.steps;
  assert(steps > 100, `${steps} calls`);
  let unfinished = 0;
  for (let step = 1, run = 0; step <= steps; step += EVERY, run++) {
    const disk = new SimulatedDisk({ seed: step, directoryOrder: run % 2 === 0 ? "any" : "journal" });
    disk.crashAt(step, MOMENTS[run % 3]!);
    let set: Shards | null = null;
    try {
      set = openShards("/sim", simulated(disk, { shards }));
      set.close();
    } catch (error) {
      assert(error instanceof SimulatedCrash || disk.halted, String(error));
    }
    set?.logs.forEach(bury);
    disk.crash({ mode: run % 5 === 0 ? "kill" : "power", keep: KEEPS[(run / 3 | 0) % 3]! });

    // A process that opens one shard goes on only if all are there, whether it knows their number.
    const only = simulated(disk, { only: [run % shards], shards: run % 4 < 2 ? shards : undefined });
    try {
      openShards("/sim", only).close();
      assertEquals(names.slice(0, shards).filter((name) => !disk.exists(`/sim/${name}`)), [], `step ${step}`);
    } catch (error) {
      const isUnfinished = error instanceof WALNotFoundError ||
        (error instanceof WALShardsError && error.fault === "unfinished");
      assert(isUnfinished, `step ${step}: ${error}`);
      unfinished++;
    }

    set = openShards("/sim", simulated(disk, { shards }));
    assertEquals(keysOf(set), [[], []]);
    for (const key of keys) set.logInsertSync(0, key, 0, 0);
    set.flush();
    disk.crash({ mode: "power", keep: "none" });
    set.logs.forEach(bury);
    set = openShards("/sim", simulated(disk, { shards }));
    assertEquals(keysOf(set), keys.map((key) => [key]), `step ${step}`);
    set.close();
    if (run % 16 === 0) await turn();
  }
  assert(unfinished > steps / EVERY / 4, `${unfinished} of ${steps} were unfinished`);
});

test("openShards() finishes no set with the wrong number of shards, or with `create: false`", () => {
  const disk = new SimulatedDisk();
  disk.fail({ call: "allocate", nth: 2, errno: "ENOSPC" });
  assertThrows(() => openShards("/sim", simulated(disk)), WALError);
  const before = disk.paths();
  assertEquals(before, ["/sim/shard-0000.wal"]);
  assertEquals(faultOf("/sim", simulated(disk, { shards: 4 })), ["count", 0]);
  assertEquals(faultOf("/sim", simulated(disk, { create: false })), ["unfinished", 1]);
  assertEquals(faultOf("/sim", simulated(disk, { only: [0] })), ["unfinished", 0]);
  assertThrows(() => openShards("/sim", simulated(disk, { only: [1] })), WALNotFoundError);
  assertEquals(disk.paths(), before);
  openShards("/sim", simulated(disk, { shards: undefined })).close(); // the first shard says how many
  assertEquals(disk.paths().sort(), names.map((name) => `/sim/${name}`));
});

test("openShards() goes on with a set that another process has begun to make meanwhile", () => {
  const disk = new SimulatedDisk();
  let isBegun = false;
  const storage: Storage = {
    open(path, request) {
      if (request.create && !isBegun) {
        isBegun = true;
        disk.fail({ call: "allocate", nth: 2, errno: "ENOSPC" });
        assertThrows(() => openShards("/sim", simulated(disk)), WALError);
        assertEquals(disk.paths(), ["/sim/shard-0000.wal"]);
      }
      return disk.storage.open(path, request);
    },
    write: (path, chunks, sizeBytes) => disk.storage.write(path, chunks, sizeBytes),
  };
  openShards("/sim", simulated(disk, { storage })).close();
  using shards = openShards("/sim", simulated(disk));
  assertEquals([isBegun, keysOf(shards)], [true, [[], [], []]]);
});

/** A set on the real disk, in which only the shard 1 was ever used. */
function usedSet(directory: string): void {
  mkdirSync(directory);
  openShards(directory, { shards: SHARDS, size: SIZE }).close();
  using shards = openShards(directory, { only: [1] });
  shards.logInsertSync(0, KEYS[1]!, 0, 0);
}

/** The bytes of a file, in short. */
function bytesOf(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

test("openShards() refuses a set that lacks a shard, and makes none in its place", () => {
  using temp = tempDir();
  const directory = temp.join("set");
  usedSet(directory);
  for (const [shard, name] of names.entries()) {
    renameSync(`${directory}/${name}`, temp.join("away"));
    assertEquals(faultOf(directory, { shards: SHARDS }), ["missing", shard]);
    assertThrows(() => openShards(directory, { only: [shard] }), WALNotFoundError);
    assertEquals(readdirSync(directory).sort(), names.toSpliced(shard, 1));
    renameSync(temp.join("away"), `${directory}/${name}`);
  }
  using shards = openShards(directory);
  assertEquals(keysOf(shards), [[], [KEYS[1]!], []]);
});

test("openShards() refuses another number of shards, and files that are not the shards of their places", () => {
  using temp = tempDir();
  const [directory, other] = [temp.join("set"), temp.join("other")];
  usedSet(directory);
  usedSet(other);
  const place = (shard: number) => `${directory}/${names[shard]}`;
  const refuses = (expected: [string, number], options: ShardsOptions = { shards: SHARDS }) => {
    const before = bytesOf(place(expected[1]));
    assertEquals(faultOf(directory, options), expected);
    assertEquals(bytesOf(place(expected[1])), before, "a refused shard is as it was");
  };

  refuses(["count", 0], { shards: SHARDS - 1 });
  refuses(["count", 0], { shards: SHARDS + 1 });
  refuses(["count", 2], { shards: SHARDS + 1, only: [2] });

  copyFileSync(place(2), temp.join("kept"));
  copyFileSync(place(1), place(2)); // a shard twice
  refuses(["place", 2]);
  refuses(["place", 2], { only: [2] });
  copyFileSync(`${other}/${names[2]}`, place(2)); // of another set
  refuses(["foreign", 2]);
  rmSync(place(2));
  WAL.open(place(2), { size: SIZE }).close(); // a log of its own
  refuses(["foreign", 2]);
  refuses(["foreign", 2], { only: [2] });
  rmSync(place(2));
  mkdirSync(place(2));
  assertThrows(() => openShards(directory), WALError);
  rmSync(place(2), { recursive: true });
  copyFileSync(temp.join("kept"), place(2));

  // A backup of a shard, and the shard in another size, are the shard.
  {
    using shards = openShards(directory);
    shards.log(1).backup(temp.join("backup"));
    shards.log(0).resize(2 * SIZE);
  }
  copyFileSync(temp.join("backup"), place(1));
  using shards = openShards(directory, { shards: SHARDS });
  assertEquals(keysOf(shards), [[], [KEYS[1]!], []]);
  assertEquals(shards.logs.map((wal) => wal.size), [2 * SIZE, SIZE, SIZE]);
});

test("openShards() puts each key into the log of its shard, whatever the caller's code does meanwhile", async () => {
  const other = (key: Uint8Array) => {
    const changed = key.slice();
    while (shardOf(changed, SHARDS) === shardOf(key, SHARDS)) changed[15]!++;
    return changed;
  };
  const key = new Uint8Array(16).fill(1);
  /** A time that changes the key when it is read. */
  const changing = (): HybridTimeInput =>
    new Proxy([1n, 0, 0] as const, {
      get: (target, name) => {
        key.set(other(key));
        return Reflect.get(target, name) as unknown;
      },
    });
  const value = new Uint8Array(16);
  await using shards = openShards(null, { shards: SHARDS, size: SIZE, now: () => (key.set(other(key)), Date.now()) });
  const attempts: (() => unknown)[] = [
    () => shards.logInsert(key, value, changing()),
    () => shards.logDelete(key, changing()),
    () => shards.logInsertSync(key, value, changing()),
    () => shards.logOperationSync(40, key, value, changing()),
    () => shards.batch([{ type: "insert", key, value }], changing()),
    () => shards.batchInsertSync([[key, value]]),
    () => shards.batchDelete(key),
    () => shards.logReplace(key, value),
  ];
  for (const attempt of attempts) await attempt();
  const counts = shards.logs.map((wal, shard) =>
    wal.replay().filter((record) => shardOf(record.key, SHARDS) === shard).length
  );
  assertEquals(counts.reduce((sum, count) => sum + count), attempts.length);
});

test("openShards() keeps apart the keys of appends that are made while another one is", async () => {
  using shards = openShards(null, { shards: SHARDS, size: SIZE });
  const keys = Array.from({ length: 24 }, (_, i) => new Uint8Array(16).fill(i));
  const value = new Uint8Array(16);
  /** A time that appends two other keys when it is read; each of their times does the same. */
  const appending = (): HybridTimeInput =>
    new Proxy([1n, 0, 0] as const, {
      get: (target, name) => {
        for (let i = 0; i < 2; i++) if (left.length > 0) shards.logInsertSync(left.pop()!, value, appending());
        return Reflect.get(target, name) as unknown;
      },
    });
  const left = [...keys];
  shards.logInsertSync(keys[0]!, value, [1n, 0, 0]);
  shards.logInsertSync(left.pop()!, value, appending());
  assertThrows(() => shards.logInsertSync(keys[0]!, new Uint8Array(15)), RangeError);
  await assertRejects(() => shards.logInsert(keys[0]!, new Uint8Array(15)), RangeError);
  const found = shards.logs.map((wal) => wal.replay().map((record) => record.key[0]!));
  found.forEach((list, shard) => list.forEach((i) => assertEquals(shardOf(keys[i]!, SHARDS), shard)));
  assertEquals(found.flat().sort((a, b) => a - b), [0, ...keys.keys()]);
});

test("openShards() refuses a batch that spans shards, and a key whose shard is not open here", async () => {
  using temp = tempDir();
  const directory = temp.join("set");
  usedSet(directory);
  const bytes = (key: number) => Uint8Array.from({ length: 16 }, (_, index) => index === 15 ? key : 0);
  const [one, two, mine] = [KEYS[0]!, KEYS[2]!, KEYS[1]!];
  const open = { shards: openShards(directory), part: null as Shards | null };
  {
    await using shards = open.shards;
    const later = (append: () => unknown) => () => new Promise((resolve) => resolve(append()));
    const spanning: (() => Promise<unknown>)[] = [
      () => shards.batchInsert([[0, one, 0, 0], [0, two, 0, 0]]),
      () => shards.batchDelete([[0, one], bytes(two)]),
      () => shards.batchDelete(new Uint8Array([...bytes(one), ...bytes(two)])),
      () => shards.batch([{ type: "delete", key: bytes(one) }, { type: "delete", keyHigh: 0, keyLow: two }]),
      later(() => shards.batchInsertSync(new Uint8Array([...bytes(one), ...bytes(0), ...bytes(two), ...bytes(0)]))),
      later(() => shards.batchDeleteSync([[0, one], [0, two]])),
      later(() => shards.batchSync([{ type: "delete", key: bytes(one) }, { type: "delete", key: bytes(two) }])),
    ];
    for (const batch of spanning) await assertRejects(batch, RangeError, "item 0 is of shard 0, and item 1 of shard 2");
    assertEquals(keysOf(shards), [[], [mine], []]);
    assertEquals(await shards.batchInsert([[0, two, 0, 0], [0, two, 0, 1]]), 2);
  }
  await using part = openShards(directory, { only: [1] });
  const refused: (() => unknown)[] = [
    () => part.logInsert(0, one, 0, 0),
    () => part.logDelete(bytes(two)),
    () => part.batch([{ type: "delete", key: bytes(one) }]),
  ];
  for (const append of refused) await assertRejects(async () => await append(), RangeError, "not open here");
  assertThrows(() => part.logInsertSync(0, two, 0, 0), RangeError, "shard 2, which is not open here");
  assertThrows(() => part.log(0), RangeError, "shard 0, which is not open here");
  await part.logInsert(0, mine, 0, 0);
  assertEquals([part.logs.length, part.shards, part.stats().appended], [1, SHARDS, 1]);
});

test("flush() of shards makes all durable that can be, and one that fails harms no other", async () => {
  const disk = new SimulatedDisk();
  const shards = openShards("/sim", simulated(disk));
  for (const key of KEYS) shards.logInsertSync(0, key, 0, 0);
  disk.fail({ call: "syncMapped", path: "/sim/shard-0001.wal", times: Infinity });
  assertThrows(() => shards.flush(), WALSyncError);
  assertEquals(shards.logs.map((wal) => wal.durable), [1, 0, 1]);
  assertEquals(shards.stats().poisoned, [1]);
  await assertRejects(() => shards.flushAsync(), WALSyncError);
  await assertRejects(() => shards.whenDurable(), WALSyncError);
  await assertRejects(() => shards.logInsert(0, KEYS[1]!, 0, 1), WALSyncError);
  await shards.logInsert(0, KEYS[0]!, 0, 1);
  await shards.batchInsert([[0, KEYS[2]!, 0, 1]]);
  assertThrows(() => shards.close(), WALSyncError);
  assertEquals([shards.logs.map((wal) => wal.isOpen), disk.openHandles], [[false, false, false], {
    descriptors: 0,
    mappings: 0,
    locks: 0,
  }]);
  disk.clearFaults();
  using again = openShards("/sim", simulated(disk));
  assertEquals(again.logs.map((wal) => wal.head), [3, 1, 3]); // the record was not acknowledged
});

test("openShards() leaves no file open if one of the shards cannot be opened", () => {
  const disk = new SimulatedDisk();
  const shards = openShards("/sim", simulated(disk));
  shards.close();
  for (const [shard, name] of names.entries()) {
    disk.fail({ call: "map", path: `/sim/${name}`, errno: "ENOMEM" });
    assertThrows(() => openShards("/sim", simulated(disk)), WALError, undefined, `shard ${shard}`);
    assertEquals(disk.openHandles, { descriptors: 0, mappings: 0, locks: 0 });
  }
  openShards("/sim", simulated(disk)).close();
});

test("consume() of shards goes on in the others when one store fails, and each store has its own log", async () => {
  await using shards = openShards(null, { shards: SHARDS, size: SIZE });
  const stores = KEYS.map(() => new MemoryStore());
  const broken: Store = {
    applyBatch: () => {
      throw new Error("the store is broken");
    },
  };
  const consumers = shards.consume((shard) => shard === 1 ? broken : stores[shard]!);
  const done = assertRejects(() => consumers.done, Error, "the store is broken");
  for (const key of KEYS) await shards.logInsert(0, key, 0, 0);
  await done;
  await assertRejects(() => shards.whenApplied(), Error, "the store is broken");
  await shards.logInsert(0, KEYS[0]!, 0, 1);
  await shards.log(0).whenApplied();
  assertEquals([...consumers.applied.values()], [2, 0, 1]);
  await assertRejects(() => consumers.stop(), Error, "the store is broken");
  assertEquals(shards.logs.map((wal) => wal.stats().consuming), [false, false, false]);

  const one = new MemoryStore();
  const shared = shards.consume(() => one, { name: "shared" });
  await assertRejects(() => shared.done, WALError); // a store belongs to one log
  await assertRejects(() => shared.stop(), WALError);
});
