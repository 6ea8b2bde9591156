// The kit with a model, for stores that are no multi-value map; and what it says of contents that
// it cannot read.

import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import type { ApplicationOpType, Store, WALRecord } from "../mod.ts";
import {
  BrokenPromiseError,
  crashTest,
  type CrashTestOptions,
  storeConformance,
  type StoreHome,
  type WorkloadContext,
} from "../testing.ts";
import {
  ADD,
  Counter,
  FirstWriter,
  IgnoresOperations,
  InvertedIndex,
  LastWriter,
  LeavesEmptyLists,
} from "./support/modelled_stores.ts";
import { GoodStore } from "./support/wrong_stores.ts";
import { test } from "./support/test.ts";

/** A store with its model, whatever it contains. */
interface Subject {
  readonly store: (home: StoreHome) => Store & Required<Pick<Store, "applyBatch">> | InvertedIndex;
  readonly contents: (store: never) => unknown;
  readonly model: (records: readonly WALRecord[]) => unknown;
  readonly operations?: readonly ApplicationOpType[];
}

const lastWriter = { contents: (store: LastWriter) => store.contents(), model: LastWriter.model };
const counter = { contents: (store: Counter) => store.contents(), model: Counter.model, operations: [ADD] as const };
const index = { contents: (store: InvertedIndex) => store.index, model: InvertedIndex.model };

const RIGHT: Readonly<Record<string, Subject>> = {
  LastWriter: { store: (home) => new LastWriter(home), ...lastWriter },
  Counter: { store: (home) => new Counter(home), ...counter },
  InvertedIndex: { store: (home) => home.outside(() => new InvertedIndex()), ...index },
};

const WRONG: Readonly<Record<string, readonly [Subject, finding: RegExp]>> = {
  FirstWriter: [
    { store: (home) => new FirstWriter(home), ...lastWriter },
    /^G11 is broken.*the contents at '1:\d' are '2:\d' and should be '2:\d'/,
  ],
  IgnoresOperations: [
    { store: (home) => new IgnoresOperations(home), ...counter },
    /^G11 is broken.*the contents are \d+n and should be \d+n/,
  ],
  LeavesEmptyLists: [
    { store: (home) => home.outside(() => new LeavesEmptyLists()), ...index },
    /^G11 is broken.*the contents at \dn: \[\] is there, and should not be/,
  ],
};

function workloadOf({ operations = [] }: Subject) {
  return async ({ wal, random }: WorkloadContext) => {
    const number = () => random.below(3);
    for (let i = 0; i < 3; i++) await wal.logInsert(1, number(), 2, number());
    await wal.batchInsert([[1, 0, 2, 1], [1, 0, 2, 2], [1, 1, 2, 2]]);
    for (let value = 0; value < 3; value++) await wal.logDeleteValue(1, number(), 2, value);
    for (const code of operations) await wal.logOperation(code, 1, 2, 3, 1 + number());
    await wal.logReplace(1, number(), 2, number());
  };
}

for (const [name, subject] of Object.entries(RIGHT)) {
  test(`crashTest() and storeConformance() pass ${name} with its model`, async () => {
    const workload = workloadOf(subject);
    const { notChecked } = await crashTest({ ...subject, workload, seeds: 4 } as unknown as CrashTestOptions);
    assertEquals(notChecked, []);
    for (const { run, notChecked } of storeConformance(subject.store, subject as object)) {
      assertEquals(notChecked, null);
      await run();
    }
  });
}

for (const [name, [subject, finding]] of Object.entries(WRONG)) {
  test(`crashTest() and storeConformance() fail ${name} by its model`, async () => {
    const workload = workloadOf(subject);
    const run = () => crashTest({ ...subject, workload } as unknown as CrashTestOptions);
    assertMatch((await assertRejects(run, BrokenPromiseError)).message, finding);
    const messages: string[] = [];
    for (const { run } of storeConformance(subject.store, { ...subject, name } as object)) {
      await run().catch((error: unknown) => messages.push(String(error)));
    }
    assert(messages.some((message) => message.includes("is broken")), messages.join("\n"));
  });
}

test("crashTest() has types that know what contents() and model() give", () => {
  const store = (home: StoreHome) => new LastWriter(home);
  const workload = () => {};
  const tests = [
    () => crashTest({ store, workload, contents: (store) => store.contents(), model: LastWriter.model }),
    // @ts-expect-error The contents are no pairs, so there must be a model.
    () => crashTest({ store, workload, contents: (store) => store.contents() }),
    // @ts-expect-error The model makes something else than the contents.
    () => crashTest({ store, workload, contents: (store) => store.contents(), model: Counter.model }),
    // @ts-expect-error The same for the suite.
    () => storeConformance(store, { contents: (store) => store.contents() }),
  ];
  assertEquals(tests.length, 4);
});

test("crashTest() and storeConformance() refuse a model without contents, and contents that are no pairs", async () => {
  const options = { store: (home: StoreHome) => new GoodStore(home), workload: () => {}, seeds: 1, crashPoints: 0 };
  const model = { model: () => [] } as object;
  await assertRejects(() => crashTest({ ...options, ...model }), TypeError, "A model needs `contents`");
  assertThrows(() => storeConformance(options.store, model), TypeError, "A model needs `contents`");
  for (const contents of [7, [1, 2], [[1n, 2n, 3n]], [{}], null]) {
    const read = { contents: () => contents } as object;
    const error = await assertRejects(() => crashTest({ ...options, ...read }));
    assertStringIncludes(String(error), "contents() must give [keyHigh, keyLow, valueHigh, valueLow] of each pair");
  }
  const operations = [31 as ApplicationOpType];
  assertThrows(() => storeConformance(options.store, { operations }), RangeError, "from 32 to 63, not 31");
});

test("storeConformance() says by the names of its cases what it does not check without contents", () => {
  const cases = storeConformance((home) => new GoodStore(home), { name: "GoodStore" });
  const names = cases.map(({ name }) => name);
  assert(names.includes(
    "GoodStore: each byte of a key and of a value counts, of which nothing is checked without `contents` (G11)",
  ));
  assert(names.includes(
    "GoodStore: appliedLsn() says what the store has after a crash, checked only by what the store says without `contents` (G11)",
  ));
  for (const { name, notChecked } of cases) assertStringIncludes(name, `, ${notChecked} (G`);
});
