// Options that are given as undefined are options that are left out: for the compiler, with
// `exactOptionalPropertyTypes`, and when the program runs.

import { assert, assertEquals } from "@std/assert";
import {
  type ConsumeOptions,
  type RecordRange,
  RegionError,
  type RegionFailureDetails,
  WAL,
  type WALOptions,
} from "../mod.ts";
import { type FollowFromOptions, type ShipOptions, takeFollower, takeShipOptions } from "../src/arguments/shipping.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { SQLiteStore, type SQLiteStoreOptions } from "../src/stores/sqlite.ts";
import {
  type ConformanceOptions,
  type CrashOptions,
  crashTest,
  type CrashTestOptions,
  type FailingCall,
  killTest,
  type KillTestOptions,
  SimulatedDisk,
  type SimulatedDiskOptions,
  storeConformance,
} from "../testing.ts";
import { test } from "./support/test.ts";

/**
 * The options of a type that may be left out, each undefined. The type has none that is not named.
 */
type LeftOut<T> = { [K in keyof T as Record<never, never> extends Pick<T, K> ? K : never]-?: undefined };

const LOG: LeftOut<WALOptions> = {
  size: undefined,
  create: undefined,
  recovery: undefined,
  verify: undefined,
  flush: undefined,
  fullTimeoutMs: undefined,
  closeTimeoutMs: undefined,
  durability: undefined,
  idleHeaderDelayMs: undefined,
  shard: undefined,
  maxClockDriftMs: undefined,
  now: undefined,
  allowUnsafeFileSystem: undefined,
  followers: undefined,
  storage: undefined,
};
const RANGE: LeftOut<RecordRange> = { from: undefined, to: undefined, since: undefined, until: undefined };
const CONSUME: LeftOut<ConsumeOptions> = {
  signal: undefined,
  batchSize: undefined,
  pollIntervalMs: undefined,
  onError: undefined,
  name: undefined,
  maxLagRecords: undefined,
  keepRecords: undefined,
};
const SHIP: LeftOut<ShipOptions> = { inFlight: undefined, startAfter: undefined, timeoutMs: undefined };
const FOLLOW_FROM: LeftOut<FollowFromOptions> = {
  signal: undefined,
  batchSize: undefined,
  pollIntervalMs: undefined,
  onError: undefined,
  copy: undefined,
  timeoutMs: undefined,
};

test("WAL options, ranges and consume options that are undefined count as left out", async () => {
  const { size: _, ...others } = LOG;
  assertEquals(WAL.open(null, LOG).stats().sizeBytes, WAL.open(null).stats().sizeBytes);
  await using wal = WAL.open(null, { size: 65536, ...others });
  await wal.logInsert(1, 2, 3, 4, undefined);
  assertEquals([...wal.records(RANGE)].length, 1);
  const cursor = wal.cursor(RANGE);
  assert(cursor.next());

  const store = new MemoryStore();
  const consuming = wal.consumeAsync(store, CONSUME);
  await wal.whenApplied(undefined);
  assertEquals(store.size, 1);
  await wal.close();
  await consuming;
});

test("SQLiteStore options that are undefined count as left out", () => {
  const options: LeftOut<SQLiteStoreOptions> = { busyTimeoutMs: undefined };
  using store = new SQLiteStore(":memory:", options);
  assertEquals(store.size, 0);
});

test("RegionError details that are undefined count as unknown", () => {
  const details: LeftOut<RegionFailureDetails> = {
    path: undefined,
    call: undefined,
    errno: undefined,
    flags: undefined,
    ownerPid: undefined,
    cause: undefined,
  };
  assert(!("cause" in new RegionError("IO", "Cannot do that", details)));
});

test("SimulatedDisk options and failures that are undefined count as left out", () => {
  const options: LeftOut<SimulatedDiskOptions> = {
    seed: undefined,
    pieceBytes: undefined,
    tearChance: undefined,
    directoryOrder: undefined,
    writeBackChance: undefined,
    pageBytes: undefined,
    fileSystem: undefined,
    noCopyOnWrite: undefined,
    dropsCache: undefined,
    asyncUsesSpare: undefined,
    asyncTicks: undefined,
    keepVersions: undefined,
    directories: undefined,
    traceLimit: undefined,
  };
  const crash: LeftOut<CrashOptions> = { mode: undefined, keep: undefined };
  const failure: LeftOut<FailingCall> = {
    nth: undefined,
    times: undefined,
    errno: undefined,
    when: undefined,
    pages: undefined,
    effect: undefined,
    byBytes: undefined,
    path: undefined,
  };
  const outcome = (given: SimulatedDiskOptions, crashed: CrashOptions, failing: Omit<FailingCall, "call">): unknown => {
    const disk = new SimulatedDisk(given);
    const wal = WAL.open("/sim/log", { storage: disk.storage, now: disk.clock.now, size: 65536 });
    wal.logInsertSync(1, 2, 3, 4);
    disk.fail({ call: "syncMapped", ...failing });
    let code = "";
    try {
      wal.flush();
    } catch (error) {
      ({ code } = error as { code: string });
    }
    disk.crash(crashed);
    return [code, disk.steps, disk.trace.length];
  };
  assertEquals(outcome(options, crash, failure), outcome({}, {}, {}));
});

test("crashTest() and storeConformance() options that are undefined count as left out", async () => {
  const options: Omit<LeftOut<CrashTestOptions>, "seeds" | "crashPoints"> = {
    contents: undefined,
    model: undefined,
    check: undefined,
    reseed: undefined,
    maxLagRecords: undefined,
    keepRecords: undefined,
    crashes: undefined,
    failures: undefined,
    log: undefined,
    timeoutMs: undefined,
    temporary: undefined,
  };
  const needed: CrashTestOptions<MemoryStore> = {
    store: (home) => home.outside(() => new MemoryStore()),
    workload: ({ wal }) => wal.logInsert(1, 2, 3, 4),
    seeds: 1,
    crashPoints: 3,
  };
  assertEquals(await crashTest({ ...needed, ...options }), await crashTest(needed));

  const conformance: LeftOut<ConformanceOptions> = {
    contents: undefined,
    model: undefined,
    operations: undefined,
    test: undefined,
    name: undefined,
    temporary: undefined,
  };
  assertEquals(
    storeConformance(needed.store, conformance).map(({ name }) => name),
    storeConformance(needed.store).map(({ name }) => name),
  );
});

test("shipTo() and followFrom() options that are undefined count as left out", () => {
  assertEquals(takeShipOptions(SHIP), takeShipOptions({}));
  const store = new MemoryStore();
  const [given, none] = [takeFollower(store, FOLLOW_FROM), takeFollower(store, {})];
  assertEquals(given.timeoutMs, none.timeoutMs);
  assertEquals(given.consumer.batchSize, none.consumer.batchSize);
});

test("killTest() options that are undefined count as left out", async () => {
  const options: LeftOut<Omit<KillTestOptions, "rounds">> = {
    workload: undefined,
    mostAcknowledged: undefined,
    seed: undefined,
    timeoutMs: undefined,
    temporary: undefined,
  };
  const { kills } = await killTest({
    ...options,
    spawn: () => ({ command: "/bin/sh", args: ["-c", "while :; do echo 1; done"], cwd: undefined, env: undefined }),
    verify: () => {},
    rounds: 1,
  });
  assertEquals(kills, 1);
});
