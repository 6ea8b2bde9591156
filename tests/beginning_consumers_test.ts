// A consumer from its start until it begins: what the log keeps for it meanwhile, who is told (H59,
// H60).

import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { consume, type Store, type WAL, WALFullError, type WALRecord, WALStoreError } from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { CAPACITY, fill, ListStore, openInMemory, openOn, range } from "./support/logs.ts";
import { test } from "./support/test.ts";

/** A store that does not say what it has before it is told, or the log is closed. */
class AskedStore implements Store {
  readonly lsns: number[] = [];
  readonly #answer = Promise.withResolvers<number>();

  /** @param has the highest LSN that it has. */
  answer(has: number): void {
    this.#answer.resolve(has);
  }

  fail(error: unknown): void {
    this.#answer.reject(error);
  }

  applyBatch(records: readonly WALRecord[]): void {
    for (const { lsn } of records) this.lsns.push(lsn);
  }

  appliedLsn(): number | Promise<number> {
    return this.lsns.at(-1) ?? this.#answer.promise;
  }
}

/** Another consumer gets all records, and confirms them. */
async function release(wal: WAL): Promise<void> {
  await using _ = consume(wal, new ListStore(), { name: "other" });
  await wal.flushAsync();
  await wal.whenApplied(undefined, { name: "other" });
}

test("consume() has the log keep all records until the consumer begins, whatever others release", async () => {
  for (const name of ["", "late"]) {
    using wal = openInMemory();
    fill(wal, 4);
    const store = new AskedStore();
    const beginning = consume(wal, store, { name });
    await release(wal);
    assertEquals(wal.tail, 1, name);
    assertThrows(() => wal.truncate(2), RangeError, "begins, and its store may lack it");
    wal.checkpoint(4);
    assertEquals(wal.tail, 1, name);
    store.answer(0);
    await wal.whenApplied(4, { name });
    assertEquals(store.lsns, range(1, 4), name);
    await beginning.stop();
    await release(wal);
    assertEquals(wal.tail > 4, true, name);
  }
});

test("consume() has the log keep the records after those with which a lost store was filled again", async () => {
  using wal = openInMemory();
  const options = { name: "slow", maxLagRecords: 10 };
  fill(wal, 1);
  {
    await using _ = consume(wal, new ListStore(), options);
    await wal.flushAsync();
    await wal.whenApplied();
  }
  fill(wal, 50);
  await release(wal);
  assertEquals(wal.stats().consumers.find(({ name }) => name === "slow")?.lost, true);
  const store = new AskedStore();
  const { tail } = wal;
  const beginning = consume(wal, store, options);
  fill(wal, 5);
  await release(wal);
  assertEquals(wal.tail, tail);
  store.answer(tail - 1);
  await wal.whenApplied(undefined, { name: "slow" });
  await beginning.stop();
});

test("a consumer that ends before it begins keeps nothing any more", async () => {
  using wal = openInMemory();
  fill(wal, 4);
  const store = new AskedStore();
  const { done } = consume(wal, store, { name: "late" });
  await release(wal);
  assertEquals(wal.tail, 1);
  store.fail(new Error("no answer"));
  await assertRejects(() => done, Error, "no answer");
  assertEquals([wal.tail, wal.stats().consumers.map(({ name }) => name)], [5, ["other"]]);
});

test("WALFullError names a consumer that has not begun, and an append waits for it", async () => {
  for (const name of ["", "late"]) {
    using wal = openInMemory({ fullTimeoutMs: 5 });
    const store = new AskedStore();
    const beginning = consume(wal, store, { name });
    fill(wal, CAPACITY);
    await release(wal);
    const full = assertThrows(() => fill(wal, 1), WALFullError, "for its store to return from a call");
    assertEquals([full.consumer, full.lagRecords], [name, CAPACITY]);
    if (name !== "") assertStringIncludes(full.message, 'consumer "late" has been waiting');
    await assertRejects(() => wal.logInsert(1, 1, 1, 1), WALFullError, " after 5 ms");
    store.answer(100);
    await wal.whenApplied(CAPACITY, { name });
    await beginning.stop();
    await wal.logInsert(1, 1, 1, 1);
  }
});

test("an append in a full ring does not wait for a consumer with a limit that has not begun", async () => {
  using wal = openInMemory();
  const store = new AskedStore();
  const { done } = consume(wal, store, { name: "late", maxLagRecords: 100 });
  fill(wal, CAPACITY);
  await release(wal);
  assertEquals(wal.tail, 1);
  fill(wal, 1);
  assertEquals(wal.tail, CAPACITY + 1);
  store.answer(0);
  await assertRejects(() => done, WALStoreError, "has released everything before LSN");
});

test("consumeAsync() accepts a store that lacks released checkpoints only, as long as their slots show it", async () => {
  const disk = new SimulatedDisk({ seed: 5 });
  let wal = openOn(disk);
  wal.checkpoint();
  wal.truncate(1);
  fill(wal, 1);
  {
    await using _ = consume(wal, new ListStore(), { name: "other", keepRecords: 700 });
    await wal.flushAsync();
    await wal.whenApplied();
  }
  wal.close();
  wal = openOn(disk);
  assertEquals(wal.tail, 2);
  const store = new AskedStore();
  store.answer(0);
  const { done } = consume(wal, store, { name: "ship" });
  await wal.whenApplied(2, { name: "ship" });
  assertEquals(store.lsns, [2]);
  wal.close();
  await done;
  wal = openOn(disk);
  wal.dropConsumer("ship");
  fill(wal, CAPACITY - wal.length - 1);
  assertEquals(wal.checkpoint(2), CAPACITY + 1); // in the slot of LSN 1
  await assertRejects(
    () =>
      wal.consumeAsync({ applyBatch() {}, appliedLsn: () => 0 }, { name: "ship", signal: AbortSignal.timeout(2000) }),
    WALStoreError,
  );
  wal.close();
});
