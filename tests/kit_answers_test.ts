// The kit finds what it is there to find, a fault at a time (H28): a store that says too little or
// too much, and in the suite the case that looks for it.

import { assertMatch, assertRejects } from "@std/assert";
import type { Store } from "../mod.ts";
import {
  BrokenPromiseError,
  crashTest,
  storeConformance,
  type StoreEntry,
  type StoreHome,
  type WorkloadContext,
} from "../testing.ts";
import { test } from "./support/test.ts";
import { AppliesTwice, GoodStore, OneByOne } from "./support/wrong_stores.ts";

/** A store that can be read. */
interface ReadableStore extends Store {
  entries(): Iterable<StoreEntry>;
}

/** Says that it has nothing. */
class SaysNothing extends GoodStore {
  override appliedLsn(): number {
    return 0;
  }
}

/** Says that it has a record which nobody gave to it. */
class SaysTooMuch extends GoodStore {
  override appliedLsn(): number {
    const lsn = super.appliedLsn();
    return lsn === 0 ? 0 : lsn + 1000;
  }
}

async function workload({ wal }: WorkloadContext): Promise<void> {
  for (let i = 0; i < 5; i++) await wal.logInsert(1, i, 2, i);
}

for (
  const [what, store, finding] of [
    ["nothing", (home: StoreHome) => new SaysNothing(home), /^G11 is broken.*appliedLsn\(\) is 0 when the store has/],
    ["too much", (home: StoreHome) => new SaysTooMuch(home), /^G11 is broken.*was never given a record after LSN/],
  ] as const
) {
  test(`crashTest() finds a store whose appliedLsn() says ${what}, though it cannot look into it`, async () => {
    const run = () => crashTest({ store, workload, seeds: 2, check: () => {} });
    assertMatch((await assertRejects(run, BrokenPromiseError)).message, finding);
  });
}

const CASES: readonly (readonly [name: string, store: (home: StoreHome) => ReadableStore, finding: RegExp])[] = [
  [
    "a run is there whole or not at all after a crash at any of its writes (G3)",
    (home) => new OneByOne(home),
    /^G3 is broken.*applyBatch\(\) was given LSN 6 to 10, and when the store is opened again it has LSN 6/,
  ],
  ["records that come again change nothing (G11)", (home) => new AppliesTwice(home), /^G11 is broken.*came twice/],
];

for (const [name, store, finding] of CASES) {
  test(`storeConformance() finds in its case what is wrong: ${name}`, async () => {
    const cases = storeConformance(store, { contents: (store) => store.entries() });
    const { run } = cases.find((own) => own.name.includes(name))!;
    assertMatch((await assertRejects(run, BrokenPromiseError)).message, finding);
  });
}
