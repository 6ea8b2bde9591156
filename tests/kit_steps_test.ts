// The kit crashes a store between two writes of one call, without a home.step() there: right stores
// pass, a store that saves its LSN in a write of its own does not (H28).

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import process from "node:process";
import { DatabaseSync, StatementSync } from "node:sqlite";
import type { Store } from "../mod.ts";
import {
  BrokenPromiseError,
  crashTest,
  storeConformance,
  type StoreEntry,
  type StoreHome,
  type WorkloadContext,
} from "../testing.ts";
import {
  AsyncLsnFileLast,
  BunCalls,
  BunTransaction,
  BunTransactions,
  Generations,
  Journalled,
  LsnFileFirst,
  LsnFileLast,
  OneFileTwice,
  OneText,
  OneTransaction,
  openInBun,
  TwoCommits,
  TwoProperties,
  TwoStatements,
  TwoTransactions,
} from "./support/disk_stores.ts";
import { share } from "./support/share.ts";
import { test } from "./support/test.ts";
import { GoodStore } from "./support/wrong_stores.ts";

/** A store that can be read. */
interface ReadableStore extends Store {
  entries(): Iterable<StoreEntry>;
}
type Make = (home: StoreHome) => ReadableStore;

const contents = (store: ReadableStore) => store.entries();

/** Changes of a few keys, for stores whose own writes matter. */
async function little({ wal, random }: WorkloadContext): Promise<void> {
  for (let i = 0; i < 3; i++) await wal.logInsert(1, random.below(3), 2, random.below(4));
  await wal.batchInsert([[1, 4, 2, 1], [1, 4, 2, 2]]);
  await wal.logDelete(1, random.below(3));
}

/** Right stores that never call home.step(). */
const RIGHT_ON_DISK: Readonly<Record<string, Make>> = {
  "SQLite with one transaction": (home) => new OneTransaction(home),
  "SQLite with a transaction in one text": (home) => new OneText(home),
  "several files": (home) => new Generations(home),
  "two files and a journal": (home) => new Journalled(home),
  ...(openInBun === null ? {} : {
    "bun:sqlite": (home: StoreHome) => new OneTransaction(home, openInBun!),
    "bun:sqlite with a function": (home: StoreHome) => new BunTransaction(home),
  }),
};

for (const [name, store] of Object.entries(RIGHT_ON_DISK)) {
  test(`crashTest() and storeConformance() pass a store in ${name} without a step of its own`, async () => {
    const { notChecked } = await crashTest({ store, contents, workload: little, seeds: share([1, 2, 3]) });
    // Nobody knows what a journal had in it between its own changes.
    const unknown = 'store.applyBatch() changed "data","lsn", and it is not known what was there in between';
    const isJournal = name.includes("journal");
    if (process.platform === "linux") assertEquals(notChecked, isJournal ? [`Crashes within a call: ${unknown}`] : []);
    for (const { run } of storeConformance(store, { contents, name })) await run();
  });
}

/** Wrong stores that never call home.step(). Only Linux tells the order of changes of files. */
const WRONG_ON_DISK: readonly Make[] = [
  (home) => new TwoProperties(home),
  (home) => new TwoCommits(home),
  (home) => new TwoTransactions(home),
  (home) => new TwoStatements(home),
  ...(openInBun === null ? [] : [
    (home: StoreHome) => new TwoCommits(home, openInBun!),
    (home: StoreHome) => new TwoTransactions(home, openInBun!),
    (home: StoreHome) => new TwoStatements(home, openInBun!),
    (home: StoreHome) => new BunTransactions(home),
    (home: StoreHome) => new BunCalls(home),
  ]),
  ...(process.platform !== "linux" ? [] : [
    (home: StoreHome) => new LsnFileLast(home),
    (home: StoreHome) => new LsnFileFirst(home),
    (home: StoreHome) => new AsyncLsnFileLast(home),
  ]),
];

for (const store of WRONG_ON_DISK) {
  const name = /new (\w+)/.exec(String(store))![1] + (String(store).includes("openInBun") ? " of bun:sqlite" : "");

  test(`crashTest() and storeConformance() find the second write of ${name}`, async () => {
    const options = { store, contents, workload: little };
    const error = await assertRejects(() => crashTest(options), BrokenPromiseError);
    assertMatch(error.message, /^G11 is broken.*(is lost|applied twice) \(H28\)/);
    const [, seed, point] = /seeds: \[(\d+)\], crashPoints: \[(-?\d+)\], crashes: 1 }/.exec(error.message)!;
    const replay = { ...options, seeds: [Number(seed)], crashPoints: [Number(point)], crashes: 1 };
    const again = await assertRejects(() => crashTest(replay), BrokenPromiseError);
    // How long real files take decides what else happens while a store awaits them.
    if (!name.startsWith("Async")) assertEquals(again.message, error.message);
    const found = await Promise.all(
      storeConformance(store, { contents }).map(({ run }) => run().then(() => "", (error: unknown) => String(error))),
    );
    assert(found.some((message) => /G11 is broken.*(is lost|applied twice) \(H28\)/.test(message)), found.join("\n"));
  });
}

test("crashTest() says of which writes it cannot see the middle", async () => {
  const store = (home: StoreHome) => new OneFileTwice(home);
  const { notChecked } = await crashTest({ store, contents, workload: little, seeds: 1 });
  assertEquals(notChecked, [
    'Crashes within a call: store.applyBatch() changed "both" in its place, and no home.step() is between its writes',
  ]);
  const good = (home: StoreHome) => new GoodStore(home);
  const { notChecked: contentless } = await crashTest({ store: good, workload: little, seeds: 1, crashPoints: 0 });
  assertEquals(contentless, ["What the store contains: there is neither `contents` nor `check`"]);
});

test("crashTest() puts the methods of SQLite back, and leaves other databases alone", async () => {
  const { prepare, exec } = DatabaseSync.prototype;
  const { run } = StatementSync.prototype;
  const other = new DatabaseSync(":memory:");
  let changed = 0;
  await crashTest({
    store: (home) => new OneTransaction(home),
    workload: async ({ wal }) => {
      other.exec("CREATE TABLE IF NOT EXISTS t (a); INSERT INTO t VALUES (1)");
      changed += DatabaseSync.prototype.exec === exec ? 0 : 1;
      await wal.logInsert(1, 2, 3, 4);
    },
    seeds: 2,
    crashPoints: 3,
  });
  assert(changed > 0);
  assertEquals([DatabaseSync.prototype.prepare, DatabaseSync.prototype.exec], [prepare, exec]);
  assertEquals(StatementSync.prototype.run, run);
  other.close();
});
