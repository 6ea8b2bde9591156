// The kit with several stores on one log: right stores pass together, and a wrong one is found and
// named, whatever the other one does (H27, H28, H59, H60).

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import process from "node:process";
import type { Store, WALRecord } from "../mod.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { SQLiteStore } from "../src/stores/sqlite.ts";
import {
  BrokenPromiseError,
  type CrashStore,
  crashStore,
  crashTest,
  type CrashTestStoresOptions,
  type StoreEntry,
  type StoreHome,
  type StoresWorkloadContext,
} from "../testing.ts";
import { LsnFileLast } from "./support/disk_stores.ts";
import { LastWriter } from "./support/modelled_stores.ts";
import {
  Disturbs,
  Forgetful,
  RefillableStore,
  RefillableSyncingStore,
  RefillsTooLittle,
  SkipsSome,
} from "./support/paired_stores.ts";
import { share } from "./support/share.ts";
import { test } from "./support/test.ts";
import {
  AppliesTwice,
  AsyncGoodStore,
  GoodLogStore,
  GoodPlainStore,
  GoodStore,
  GoodSyncingPlainStore,
  GoodSyncingStore,
  LsnAfterData,
} from "./support/wrong_stores.ts";

/** A store that can be read. */
interface ReadableStore extends Store {
  entries(): Iterable<StoreEntry>;
}
type Make = (home: StoreHome) => ReadableStore;
type Context = Pick<StoresWorkloadContext<unknown>, "wal" | "random" | "crashes">;

const contents = (store: ReadableStore) => store.entries();
const readable = (store: Make) => crashStore({ store, contents });

/** A bit of everything, on so few keys that records meet. */
async function everything({ wal, random }: Context): Promise<void> {
  const pair = () => [1, random.below(3), 2, random.below(4)] as const;
  for (let i = 0; i < 3; i++) await wal.logInsert(...pair());
  await Promise.all([1, 2, 3].map(() => wal.logInsert(...pair())));
  await wal.batchInsert([pair(), pair(), pair()]);
  await wal.whenApplied();
  await wal.logDelete(1, random.below(3));
  for (let i = 0; i < 6; i++) await wal.logReplace(...pair());
  wal.logInsertSync(...pair());
}

/** More than the ring can hold. */
async function wraps({ wal }: Context): Promise<void> {
  for (let batch = 0; batch < 16; batch++) {
    await wal.batchInsert(Array.from({ length: 60 }, (_, i) => [2, i % 5, 3, (batch + i) % 7]));
  }
}

const PAIRS: readonly (readonly [name: string, database: Make, index: Make])[] = [
  ["SQLite, and a store in memory", sqlite, (home) => home.outside(() => new MemoryStore())],
  ["two databases in SQLite", sqlite, sqlite],
  ["a store that awaits, and one that knows of no LSN", (home) => new AsyncGoodStore(home), plain],
  ["a store that syncs, and one that saves the log's id", syncing, (home) => new GoodLogStore(home)],
  ["two stores that know of no LSN", (home) => new GoodSyncingPlainStore(home), plain],
];

function sqlite(home: StoreHome): ReadableStore {
  return new SQLiteStore(`${home.directory}/store.sqlite`);
}

function plain(home: StoreHome): ReadableStore {
  return new GoodPlainStore(home);
}

function syncing(home: StoreHome): ReadableStore {
  return new GoodSyncingStore(home);
}

for (const [name, database, index] of PAIRS) {
  test(`crashTest() passes several stores on one log: ${name}`, async () => {
    const stores = { database: readable(database), index: readable(index) };
    const seeds = share([1, 2, 3, 4, 5, 6]);
    const { histories, crashes, records, notChecked } = await crashTest({ stores, workload: everything, seeds });
    assertEquals([histories, notChecked], [seeds.length * 21, []]);
    assert(crashes >= seeds.length * 20 && records > 15 * histories, `${crashes} crashes, ${records} records`);
    await crashTest({ stores, workload: wraps, seeds: share([1, 2, 3]), crashPoints: 4 });
  });
}

test("crashTest() passes three stores, one of them with a model and one without a name", async () => {
  await crashTest({
    stores: {
      "": crashStore({ store: (home) => new GoodStore(home), contents: (store) => store.entries() }),
      "last values": crashStore({
        store: (home) => new LastWriter(home),
        contents: (store) => store.contents(),
        model: LastWriter.model,
      }),
      index: crashStore({
        store: (home) => new GoodSyncingStore(home),
        check: (store, records) => assertEquals(store.appliedLsn(), records.at(-1)?.lsn ?? 0),
        keepRecords: 10,
      }),
    },
    seeds: share([1, 2, 3]),
    workload: async ({ wal, stores, random }) => {
      for (let i = 0; i < 4; i++) await wal.logInsert(1, random.below(3), 2, i);
      await wal.whenApplied();
      assertEquals([...stores.index.entries()], [...stores[""].entries()]);
      await wal.logReplace(1, 1, 2, 9);
      await wal.whenApplied(wal.head - 1, { name: "last values" });
      assertEquals(stores["last values"].contents().get("1:1"), "2:9");
    },
  });
});

/** A store that the log may give up, and how often it was filled again. */
function givenUp<S extends ReadableStore & { refill(records: readonly WALRecord[]): void | Promise<void> }>(
  store: (home: StoreHome) => S,
  maxLagRecords: number,
): { readonly options: CrashStore<S>; readonly count: () => number } {
  let count = 0;
  const reseed = (store: S, records: readonly WALRecord[]) => {
    count++;
    return store.refill(records);
  };
  return { options: { store, contents, reseed, maxLagRecords }, count: () => count };
}

for (
  const [name, store] of [
    ["writes at each run", (home: StoreHome) => new RefillableStore(home)],
    ["syncs", (home: StoreHome) => new RefillableSyncingStore(home)],
  ] as const
) {
  test(`crashTest() loses and drops a consumer, has its store filled again, and passes one that ${name}`, async () => {
    for (const maxLagRecords of [5, Infinity]) {
      const { options: index, count } = givenUp<RefillableStore | RefillableSyncingStore>(store, maxLagRecords);
      const seeds = share([1, 2, 3, 4, 5, 6]);
      const stores = { database: readable((home) => new GoodStore(home)), index };
      await crashTest({ stores, workload: everything, seeds });
      assert(count() > 0);
    }
  });
}

test("crashTest() has a single store filled again that its log has given up", async () => {
  const { options, count } = givenUp((home) => new RefillableStore(home), 2);
  const slow = (home: StoreHome) => {
    const store = options.store(home) as RefillableStore;
    const { applyBatch } = store;
    return Object.assign(store, {
      applyBatch: async (records: readonly WALRecord[]) => {
        for (let turn = 0; turn < 40; turn++) await null;
        return applyBatch.call(store, records);
      },
    });
  };
  const workload = async ({ wal }: Context) => {
    for (let i = 0; i < 4; i++) await wal.logInsert(0, i, 2, 1);
    for (let i = 0; i < 5; i++) await wal.batchInsert([[1, i, 2, 1], [1, i, 2, 2], [1, i, 2, 3]]);
  };
  await crashTest({ ...options, store: slow, workload, seeds: share([1, 2, 3]) });
  assert(count() > 0);
});

/** What a wrong store beside a right one is found to do. */
const WRONG: readonly (readonly [what: string, Make, finding: RegExp])[] = [
  ["applies a record twice", (home) => new AppliesTwice(home), /store "index": .*is in the store twice\n/],
  ["applies a run twice after a crash", (home) => new LsnAfterData(home), /store "index": /],
  ["skips a record", (home) => new SkipsSome(home), /store "index": .*of LSN \d+ is missing/],
  ...(process.platform !== "linux" ? [] : [
    [
      "saves its LSN in a file of its own",
      (home: StoreHome) => new LsnFileLast(home),
      /store "index": .*applied twice \(H28\)\n {2}Seed \d+, crash within call \d+ of store "index"\n/,
    ] as const,
  ]),
];

/** Distinct pairs, so that none that is missing is there for another reason. */
async function distinct({ wal, crashes }: Context): Promise<void> {
  for (let i = 0; i < 8; i++) await wal.logInsert(crashes, i, 2, 3);
}

for (const [what, index, finding] of WRONG) {
  test(`crashTest() names the one of two stores that ${what}, with the seed`, async () => {
    for (const place of ["first", "last"]) {
      const database = readable((home) => new GoodStore(home));
      const stores = place === "last" ? { database, index: readable(index) } : { index: readable(index), database };
      const options: CrashTestStoresOptions<Record<string, ReadableStore>> = { stores, workload: distinct };
      const { message } = await assertRejects(() => crashTest(options), BrokenPromiseError);
      assertMatch(message, /^G(3|11) is broken/);
      assertMatch(message, finding);
      const call = /seeds: \[(\d+)\], crashPoints: \[(-?\d+)\], crashes: (\d+) }/.exec(message)!;
      const [, seed, point, crashes] = call.map(Number);
      const replay = { ...options, seeds: [seed!], crashPoints: [point!], crashes };
      const again = await assertRejects(() => crashTest(replay), BrokenPromiseError);
      assertEquals(again.message, message);
    }
  });
}

test("crashTest() names a store that is disturbed by another one, which is right alone", async () => {
  let database: Forgetful | null = null;
  const index = readable((home) => new Disturbs(home, () => database));
  await crashTest({ stores: { index }, workload: distinct, seeds: 2 });
  const disturbed = readable((home) => database = new Forgetful(home));
  const { message } = await assertRejects(
    () => crashTest({ stores: { database: disturbed, index }, workload: distinct }),
    BrokenPromiseError,
  );
  assertMatch(message, /^G\d+ is broken.*store "database": .*LSN \d+ is missing/);
});

test("crashTest() names a store that lacks a record when it was filled again", async () => {
  const { options: index } = givenUp<RefillableStore>((home) => new RefillsTooLittle(home), 5);
  const stores = { database: readable((home) => new GoodStore(home)), index };
  const { message } = await assertRejects(() => crashTest({ stores, workload: everything }), BrokenPromiseError);
  assertMatch(
    message,
    /^G11 is broken.*store "index": it was filled again through LSN (\d+), and .* of LSN \1 is missing/,
  );
});

test("crashTest() says of a lost consumer that nobody fills its store again", async () => {
  const { reseed: _, ...options } = givenUp((home) => new RefillableStore(home), 5).options;
  const stores = { database: readable((home) => new GoodStore(home)), index: options };
  const error = await assertRejects(() => crashTest({ stores, workload: everything }), Error);
  assertMatch(
    error.message,
    /^store "index": TypeError: The log has given up the consumer, and no `reseed` fills the store again\n {2}Seed 1/,
  );
});

test("crashTest() names the store whose check() throws, that cannot be opened, and that does not answer", async () => {
  const database = readable((home) => new GoodStore(home));
  const never = new Promise<never>(() => {});
  const cases: readonly (readonly [object, RegExp])[] = [
    [
      { check: () => Promise.reject(new Error("two and two are five")) },
      /^G11 is broken.*store "index": check\(\) failed after LSN \d: Error: two and two are five\n {2}Seed 1/,
    ],
    [{ contents: () => Promise.reject(new Error("no rows")) }, /^store "index": Error: no rows\n {2}Seed 1/],
    [{ store: () => Promise.reject(new Error("no table")) }, /^G11 .*store "index" cannot be opened: Error: no table/],
    [{ store: () => never }, /did not end in 1000 ms; no answer yet: open store "index"\n {2}Seed 1/],
    [
      { store: () => ({ applyBatch: () => never }), contents: undefined },
      /did not end in 1000 ms; no answer yet: store "index"\.applyBatch\(\) gets LSN 1 insert/,
    ],
  ];
  for (const [options, finding] of cases) {
    const stores = { database, index: { ...database, ...options } };
    const error = await assertRejects(() => crashTest({ stores, workload: distinct, timeoutMs: 1000 }), Error);
    assertMatch(error.message, finding);
  }
});

test("crashTest() has types that know each of several stores", () => {
  const lastWriter = { store: (home: StoreHome) => new LastWriter(home) };
  const stores = {
    database: crashStore({ store: (home) => new GoodStore(home), contents: (store) => store.entries() }),
    index: crashStore({ ...lastWriter, contents: (store) => store.contents(), model: LastWriter.model }),
  };
  const tests = [
    () =>
      crashTest({ stores, workload: ({ stores: { index } }) => assertStringIncludes("", String(index.contents())) }),
    // @ts-expect-error The contents are no pairs, so there must be a model.
    () => crashStore({ ...lastWriter, contents: (store) => store.contents() }),
    // @ts-expect-error There is no such store.
    () => crashTest({ stores, workload: ({ stores }) => stores.cache }),
    // @ts-expect-error A database has no contents().
    () => crashTest({ stores, workload: ({ stores }) => stores.database.contents() }),
  ];
  assertEquals(tests.length, 4);
});
