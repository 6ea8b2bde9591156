// The kit for users: right stores pass, each wrong store fails for the promise that it breaks (H28,
// H38, H58), and a failure can be replayed.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { readdirSync } from "node:fs";
import { setImmediate } from "node:timers";
import type { Store, WALRecord } from "../mod.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { SQLiteStore } from "../src/stores/sqlite.ts";
import {
  BrokenPromiseError,
  crashTest,
  type CrashTestOptions,
  storeConformance,
  type StoreEntry,
  type StoreHome,
  type WorkloadContext,
} from "../testing.ts";
import { turn } from "./support/simulation.ts";
import { tempDir } from "./support/temp.ts";
import { isMine, share } from "./support/share.ts";
import { test } from "./support/test.ts";
import {
  AppliesTwice,
  AsyncGoodStore,
  Forgets,
  ForgetsLastByte,
  ForgetsLog,
  GoesBack,
  GoodBytesStore,
  GoodLogStore,
  GoodOperationsStore,
  GoodPlainStore,
  GoodStore,
  GoodSyncingLogStore,
  GoodSyncingPlainStore,
  GoodSyncingStore,
  IgnoresOrder,
  KeepsFirstLog,
  LazySync,
  LogAfterLsn,
  LogAheadOfDisk,
  LogBeforeLsn,
  LsnAfterData,
  LsnAheadOfDisk,
  LsnBeforeData,
  OneByOne,
  OneByOneWithoutSteps,
  ReadsLittleEndian,
  ReplacesAsInsert,
  RoundsNumbers,
  SkipsAfterThrow,
  SkipsOperations,
  SPLIT,
  SwapsHalves,
} from "./support/wrong_stores.ts";

/** A store that can be read. */
interface ReadableStore extends Store {
  entries(): Iterable<StoreEntry>;
}
type Make = (home: StoreHome) => ReadableStore;

const contents = (store: ReadableStore) => store.entries();

/** A bit of everything, on so few keys that records meet. */
async function everything({ wal, random }: WorkloadContext): Promise<void> {
  const key = () => random.below(3);
  const value = () => random.below(4);
  await wal.logInsert(1, key(), 1, value());
  await Promise.all([1, 2, 3].map(() => wal.logInsert(1, key(), 2, value())));
  await wal.batchInsert([1, 2, 3, 4].map(() => [1, key(), 2, value()]));
  await wal.logDelete(1, key());
  await wal.logDeleteValue(1, key(), 2, value());
  await wal.batch([
    { type: "delete", keyHigh: 1, keyLow: key() },
    { type: "insert", keyHigh: 1, keyLow: key(), valueHigh: 2, valueLow: value() },
    { type: "replace", keyHigh: 1, keyLow: key(), valueHigh: 2, valueLow: value() },
    { type: "deleteValue", keyHigh: 1, keyLow: key(), valueHigh: 2, valueLow: value() },
  ]);
  await wal.logReplace(1, key(), 2, value());
  wal.batchDeleteSync([[1, key()], [1, key()]]);
  wal.logInsertSync(1, key(), 2, value());
  wal.flush();
  wal.logInsertSync(1, key(), 2, value()); // nobody was told that this one is durable
}

/** More than the ring can hold, so that the log releases what the store has, and overwrites it. */
async function wraps({ wal }: WorkloadContext): Promise<void> {
  for (let batch = 0; batch < 16; batch++) {
    await wal.batchInsert(Array.from({ length: 60 }, (_, i) => [2, i % 5, 3, (batch + i) % 7]));
  }
  await wal.batchDelete([[2, 0], [2, 1]]);
}

const RIGHT: Readonly<Record<string, Make>> = {
  "MemoryStore, which outlives the log": (home) => home.outside(() => new MemoryStore()),
  "SQLiteStore": (home) => new SQLiteStore(`${home.directory}/store.sqlite`),
  "a store that writes at each run": (home) => new GoodStore(home),
  "a store that writes when it is told to": (home) => new GoodSyncingStore(home),
  "a store that takes bytes": (home) => new GoodBytesStore(home),
  "a store that awaits": (home) => new AsyncGoodStore(home),
  "a store that knows of no LSN": (home) => new GoodPlainStore(home),
  "a store that knows of no LSN, and writes when it is told to": (home) => new GoodSyncingPlainStore(home),
  "a store that saves the log's id": (home) => new GoodLogStore(home),
  "a store that saves the log's id when it is told to": (home) => new GoodSyncingLogStore(home),
};

/** Seeds of its own for each store: together they are more than the default, for less time. */
function seedsOf(store: number, count: number): number[] {
  return share(Array.from({ length: count }, (_, i) => 1 + store * count + i));
}

for (const [index, [name, store]] of Object.entries(RIGHT).entries()) {
  test(`crashTest() passes ${name}`, async () => {
    const seeds = seedsOf(index, 6);
    const result = await crashTest({ store, contents, workload: everything, seeds });
    assertEquals(result.histories, seeds.length * 21);
    assert(result.crashes >= seeds.length * 20 && result.records > 50 * seeds.length, JSON.stringify(result));
    assertEquals(result.notChecked, []);
    if (isMine(index)) await crashTest({ store, contents, workload: wraps, seeds: [index + 1], crashPoints: 6 });
  });

  // Each runtime tries its part of the stores. The one that reads a database is every runtime's.
  if (!isMine(index) && name !== "SQLiteStore") continue;
  for (const { name: title, run } of storeConformance(store, { contents, name })) test(title, run);
}

/** What a crash test and the suite find each wrong store to do. Null: a workload cannot show it. */
const WRONG: readonly (readonly [Make, crashTest: RegExp | null, suite: RegExp])[] = [
  [(home) => new LsnAfterData(home), /^G(3|11) is broken/, /^G11 is broken.*applied twice \(H28\)/],
  [(home) => new LsnBeforeData(home), /^G11 is broken.*is lost \(H28\)/, /^G11 is broken.*is lost \(H28\)/],
  [(home) => new OneByOne(home), /^G3 is broken/, /^G3 is broken.*applyBatch\(\) was given LSN 6 to 10/],
  [(home) => new OneByOneWithoutSteps(home), /^G3 is broken/, /^G3 is broken.*after applyBatch\(\) failed at LSN 10/],
  [(home) => new LsnAheadOfDisk(home), /^G11 is broken.*durably before/, /^G11 is broken.*durably before/],
  [(home) => new GoesBack(home), null, /^G11 is broken.*appliedLsn\(\) is \d+, though the store has LSN \d+ durably/],
  [(home) => new LazySync(home), /^G11 is broken.*appliedLsn\(\) is 0/, /^G11 is broken.*appliedLsn\(\) is 0/],
  [(home) => new SkipsAfterThrow(home), /^G(3|11) is broken/, /^G11 is broken.*got the run again.*is missing/],
  [(home) => new AppliesTwice(home), /^G11 is broken.*is in the store twice/, /^G11 is broken.*came twice/],
  [(home) => new IgnoresOrder(home), /^G(3|11) is broken/, /^G11 is broken.*after LSN \d+.*removed it/],
  [(home) => new ReplacesAsInsert(home), /^G(3|11) is broken/, /^G11 is broken.*after LSN \d+.*removed it/],
  [(home) => new Forgets(home), /^G11 is broken.*durably before/, /^G11 is broken.*durably before/],
  [(home) => new SkipsOperations(home), null, /^G11 is broken.*LSN 2 of type 32 was skipped/],
  [(home) => new RoundsNumbers(home), null, /^G11 is broken.*smallest and greatest/],
  [(home) => new ReadsLittleEndian(home), /^G(3|11) is broken/, /^G11 is broken.*smallest and greatest/],
  [(home) => new SwapsHalves(home), /^G(3|11) is broken/, /^G11 is broken.*each byte/],
  [(home) => new ForgetsLastByte(home), /^G(3|11) is broken/, /^G11 is broken.*each byte/],
  [(home) => new LogAfterLsn(home), /^G(3|11) is broken/, /^G11 is broken.*appliedLog\(\) is/],
  [(home) => new LogBeforeLsn(home), /^G11 is broken.*appliedLog\(\) is/, /^G11 is broken.*appliedLog\(\) is/],
  [(home) => new KeepsFirstLog(home), /^G11 is broken.*appliedLog\(\) is/, /^G11 is broken.*appliedLog\(\) is/],
  [(home) => new ForgetsLog(home), /^G11 is broken.*appliedLog\(\) is null/, /^G11 is broken.*appliedLog\(\) is null/],
  [(home) => new LogAheadOfDisk(home), /^G11 is broken.*appliedLog\(\) is/, /^G11 is broken.*appliedLog\(\) is/],
];

/** What a failing run throws. */
async function failureOf(run: () => Promise<unknown>): Promise<BrokenPromiseError> {
  return await assertRejects(run, BrokenPromiseError);
}

for (const [store, byCrashTest, bySuite] of share(WRONG)) {
  const name = /new (\w+)/.exec(String(store))![1];

  test(`crashTest() ${byCrashTest === null ? "cannot see what is wrong with" : "fails"} ${name}`, async () => {
    const options = { store, contents, workload: everything };
    if (byCrashTest === null) return void await crashTest({ ...options, seeds: 5 });
    const error = await failureOf(() => crashTest(options));
    assertMatch(error.message, byCrashTest);
    assertStringIncludes(error.message, `Replay: crashTest({ …, seeds: [`);
  });

  test(`storeConformance() fails ${name}`, async () => {
    const messages: string[] = [];
    for (const { name: title, run } of storeConformance(store, { contents, name })) {
      try {
        await run();
      } catch (error) {
        assert(error instanceof BrokenPromiseError, `${title}: ${String(error)}`);
        assertStringIncludes(error.message, `Case: ${title}`);
        messages.push(error.message);
      }
    }
    assert(messages.some((message) => bySuite.test(message)), messages.join("\n"));
  });
}

test("crashTest() goes through 420 histories unless it is told otherwise", async () => {
  const { histories, crashes } = await crashTest({
    store: (home) => home.outside(() => new MemoryStore()),
    workload: async ({ wal }) => {
      for (let i = 0; i < 9; i++) await wal.logInsert(1, 2, 3, i);
    },
  });
  assertEquals(histories, 20 * 21);
  assert(crashes >= 20 * 20);
});

test("crashTest() that fails leaves nothing that goes on", async () => {
  class BrokenStore extends GoodStore {
    override applyBatch(): void {
      throw new Error("no such table");
    }
  }
  let looks = 0;
  const workload = ({ wal }: WorkloadContext) => {
    Object.defineProperty(wal, "applied", { get: () => looks++ * 0 });
    wal.logInsertSync(1, 2, 3, 4);
  };
  await failureOf(() => crashTest({ store: (home) => new BrokenStore(home), workload, seeds: 1, crashPoints: 0 }));
  await turn();
  const before = looks;
  for (let turns = 0; turns < 10; turns++) await turn();
  assert(before > 0);
  assertEquals(looks, before);
});

test("crashTest() does the same for the same seed, and as its message says", async () => {
  const options: CrashTestOptions<ReadableStore> = {
    store: (home) => new LsnBeforeData(home),
    contents,
    workload: everything,
  };
  const first = await failureOf(() => crashTest(options));
  const again = await failureOf(() => crashTest(options));
  assertEquals(again.message, first.message);

  const [, seed, point, crashes] = /seeds: \[(\d+)\], crashPoints: \[(\d+)\], crashes: (\d+) }/.exec(first.message)!
    .map(Number) as [number, number, number, number];
  const replayed = await failureOf(() => crashTest({ ...options, seeds: [seed], crashPoints: [point], crashes }));
  assertEquals(replayed.message, first.message);
  assertMatch(first.message, /The history:\n {4}The machine starts\.\n {9}1 {2}open the log/);
});

const operations = { store: (home: StoreHome) => new GoodOperationsStore(home), contents };

test("crashTest() passes a store with operations of its own, and counts none twice", async () => {
  const { crashes } = await crashTest({
    ...operations,
    seeds: seedsOf(0, 18),
    workload: async ({ wal, random }) => {
      await everything({ wal, random } as WorkloadContext);
      for (let i = 0; i < 3; i++) await wal.logOperation(SPLIT, 1, i, 2, 3);
    },
    check: (store, records) => assertEquals(store.splits, records.filter(({ opType }) => opType === SPLIT).length),
  });
  assert(crashes > 100);
});

const splits = { ...operations, operations: [SPLIT], name: "a store with operations of its own" } as const;
for (const { name, run } of storeConformance(operations.store, splits)) test(name, run);

test("storeConformance() fails a store that throws at an operation that it should apply", async () => {
  const [broken] = storeConformance((home) => new GoodStore(home), { contents, operations: [SPLIT] })
    .filter(({ name }) => name.includes("of the application"));
  assertMatch((await failureOf(broken!.run)).message, /^G11 is broken.*the store threw at LSN 2 of type 40/);
});

test("crashTest() ends where a record is one that the store cannot apply, and says so", async () => {
  const workload = ({ wal }: WorkloadContext) => wal.logOperation(SPLIT, 1, 2, 3, 4);
  const error = await assertRejects(() => crashTest({ store: (home) => new GoodPlainStore(home), workload }), Error);
  assertMatch(error.message, /Cannot apply LSN 1 of type 40: the store has neither apply\(\) nor applyBatch\(\)/);
});

test("crashTest() may crash before and after an append by any method", async () => {
  const error = await assertRejects(() =>
    crashTest({
      store: (home) => new GoodOperationsStore(home),
      seeds: 1,
      crashPoints: [0],
      workload: async ({ wal }) => {
        await Promise.all([
          wal.logInsert(1, 2, 3, 4),
          wal.logDelete(1, 2),
          wal.logDeleteValue(1, 2, 3, 4),
          wal.logReplace(1, 2, 3, 4),
          wal.logOperation(SPLIT, 1, 2, 3, 4),
          wal.batchInsert([[1, 2, 3, 4]]),
          wal.batchDelete([[1, 2]]),
          wal.batch([{ type: "delete", keyHigh: 1, keyLow: 2 }]),
        ]);
        wal.logInsertSync(1, 2, 3, 4);
        wal.logDeleteSync(1, 2);
        wal.logDeleteValueSync(1, 2, 3, 4);
        wal.logReplaceSync(1, 2, 3, 4);
        wal.logOperationSync(SPLIT, 1, 2, 3, 4);
        wal.batchInsertSync([[1, 2, 3, 4]]);
        wal.batchDeleteSync([[1, 2]]);
        wal.batchSync([{ type: "delete", keyHigh: 1, keyLow: 2 }]);
        throw new Error("the workload ends here");
      },
    })
  );
  const steps = Array.from(
    (error as Error).message.matchAll(/append LSN (\d+): (\w+)\(\)/g),
    ([, lsn, name]) => [Number(lsn), name],
  );
  const names = [
    ...["logInsert", "logDelete", "logDeleteValue", "logReplace", "logOperation"],
    ...["batchInsert", "batchDelete", "batch"],
  ];
  assertEquals(steps, [...names, ...names.map((name) => `${name}Sync`)].map((name, i) => [i + 1, name]));
});

test("crashTest() asks check() with all that must be in the store", async () => {
  let checks = 0;
  const { histories } = await crashTest({
    store: (home) => new GoodStore(home),
    seeds: 2,
    crashPoints: 3,
    workload: async ({ wal, crashes, store }) => {
      await wal.logInsert(1, crashes, 2, store.entries().length);
    },
    check: (store, records) => {
      checks++;
      assertEquals(records.map(({ keyLow }) => keyLow), store.entries().map(([, keyLow]) => keyLow));
    },
  });
  assertEquals(checks, histories);
  const error = await failureOf(() =>
    crashTest({
      store: (home) => new GoodStore(home),
      workload: ({ wal }) => wal.logInsert(1, 2, 3, 4),
      check: (_, records) => {
        if (records.length > 0) throw new Error("two and two are five");
      },
    })
  );
  assertMatch(error.message, /^G11 is broken.*check\(\) failed after LSN 1: Error: two and two are five/);
});

test("crashTest() lets a workload close and open its log, and truncate what is applied", async () => {
  await crashTest({
    store: (home) => new GoodStore(home),
    contents,
    seeds: 5,
    workload: async ({ wal }) => {
      await wal.logInsert(1, 2, 3, 4);
      wal.close();
      wal.open();
      await wal.batchInsert([[1, 2, 3, 5], [1, 2, 3, 6]]);
      wal.truncate(wal.applied);
      await wal.logDelete(1, 2);
    },
  });
});

test("crashTest() runs a workload that may not release what the store has not synced", async () => {
  await assertRejects(
    () =>
      crashTest({
        store: (home) => new GoodSyncingStore(home),
        contents,
        workload: async ({ wal }) => {
          for (let i = 0; i < 5; i++) {
            await wal.batchInsert(Array.from({ length: 50 }, (_, n) => [1, 2, i, n]));
            await new Promise((resolve) => setImmediate(resolve));
            wal.truncate(Math.min(wal.applied, wal.durable));
          }
        },
      }),
    Error,
    "RangeError: Cannot confirm LSN",
  );
});

/** A service that reads its own writes: each is in the store when whenApplied() has resolved. */
async function readsItsWrites({ wal, store, crashes, random }: WorkloadContext<ReadableStore>): Promise<void> {
  await wal.whenApplied();
  for (let i = 0; i < 6; i++) {
    const [key, value] = [BigInt(random.below(3)), BigInt(100 * crashes + i)];
    await wal.logInsert(1, key, 2, value);
    await (i % 2 === 0 ? wal.whenApplied() : wal.whenApplied(wal.head - 1));
    const found = [...store.entries()].some(([, keyLow, , valueLow]) => keyLow === key && valueLow === value);
    if (!found) throw new Error(`value ${value} is not there yet`);
  }
}

for (const [index, [name, store]] of Object.entries(RIGHT).entries()) {
  test(`crashTest() passes a workload that reads its own writes, over crashes, with ${name}`, async () => {
    const seeds = seedsOf(index, 3);
    const { crashes } = await crashTest({ store, contents, workload: readsItsWrites, seeds });
    assert(crashes >= 20 * seeds.length);
  });
}

/** Has records some time after it was given them. */
class WriteBehind extends MemoryStore {
  override applyBatch(records: readonly WALRecord[]): void {
    setImmediate(() => super.applyBatch(records));
  }
}

test("crashTest() fails a store that lacks what whenApplied() says it has, for a workload that reads its own writes", async () => {
  const options: CrashTestOptions<ReadableStore> = {
    store: (home) => home.outside(() => new WriteBehind()),
    workload: readsItsWrites,
  };
  const error = await assertRejects(() => crashTest(options), Error);
  assertMatch(
    error.message,
    /^The workload failed, though nothing had crashed: Error: value \d+ is not there yet\n {2}Seed 1/,
  );
});

test("crashTest() lets whenApplied() reject as it does where the log is closed, and where its store waits for itself", async () => {
  const seen: string[] = [];
  const note = (error: unknown) => void seen.push((error as { code: string }).code);
  let waiting = true;
  await crashTest({
    store: (home) => new GoodStore(home),
    seeds: 1,
    crashPoints: [0],
    workload: async ({ wal, store }) => {
      const { applyBatch } = store;
      store.applyBatch = async (records) => {
        // Asked once: it would be asked again at each retry.
        if (waiting) await wal.whenApplied(wal.head - 1).catch(note).finally(() => waiting = false);
        return applyBatch.call(store, records);
      };
      await wal.logInsert(1, 2, 3, 4);
      await wal.whenApplied();
      const closed = wal.whenApplied(wal.head - 1);
      wal.close();
      await closed.catch(note);
      await wal.whenApplied().catch(note);
      wal.open();
      await wal.logInsert(1, 2, 3, 5);
      await wal.whenApplied();
    },
  });
  assert(seen.length > 0 && seen.every((code) => code === "CLOSED"), seen.join());
});

test("crashTest() says in which life a workload failed, without naming the error twice", async () => {
  const store = (home: StoreHome) => new GoodStore(home);
  const workload = async ({ wal, crashes }: WorkloadContext) => {
    await wal.logInsert(1, 2, 3, 4);
    if (crashes === 1) throw new Error("no rows");
  };
  const error = await assertRejects(() => crashTest({ store, workload }), Error);
  assertMatch(
    error.message,
    /^The workload failed, though nothing had crashed since crash 1: Error: no rows\n {2}Seed 1/,
  );
  assert(!String(error).includes("Error: Error"), String(error));
});

test("crashTest() says where a workload failed or hung", async () => {
  const store = (home: StoreHome) => new GoodStore(home);
  await assertRejects(
    () => crashTest({ store, workload: () => Promise.reject(new Error("no rows")) }),
    Error,
    "The workload failed, though nothing had crashed: Error: no rows\n  Seed 1",
  );
  await assertRejects(
    () => crashTest({ store, workload: () => new Promise(() => {}), timeoutMs: 50 }),
    Error,
    "this life did not end in 50 ms",
  );
  await assertRejects(() => crashTest({ store, workload: () => {}, crashes: 0 }), RangeError, "Cannot crash 0 times");
  const broken = () => {
    throw new Error("no such table");
  };
  const error = await failureOf(() => crashTest({ store: broken, workload: () => {} }));
  assertMatch(error.message, /^G11 is broken.*the store cannot be opened: Error: no such table/);
});

test("crashTest() and storeConformance() leave no directory behind", async () => {
  using directory = tempDir();
  const store = (home: StoreHome) => new SQLiteStore(`${home.directory}/store.sqlite`);
  const temporary = directory.path;
  await crashTest({ store, contents, workload: everything, seeds: 1, crashPoints: 4, temporary });
  await storeConformance(store, { contents, temporary })[7]!.run();
  assertEquals(readdirSync(temporary), []);
});

test("storeConformance() registers each case under its own name", () => {
  const names: string[] = [];
  const cases = storeConformance((home) => new GoodStore(home), {
    name: "GoodStore",
    test: (name, run) => {
      assertEquals(typeof run, "function");
      names.push(name);
    },
  });
  assertEquals(names, cases.map(({ name }) => name));
  assertEquals(new Set(names).size, names.length);
  for (const name of names) assertMatch(name, /^GoodStore: .+ \(G\d+\)$/);
});

test("storeConformance() makes do with what a store says of itself", async () => {
  for (const { run } of storeConformance((home) => new GoodStore(home))) await run();
  const failures = storeConformance((home) => new LsnAheadOfDisk(home)).map(({ run }) =>
    run().then(() => null, (error: unknown) => String(error))
  );
  assert((await Promise.all(failures)).some((message) => message?.includes("G11 is broken")));
});
