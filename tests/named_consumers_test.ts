// Several consumers, each with a name: what each is given, what it holds, who is told (H27, H31,
// H59, H60).

import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import {
  consume,
  type ConsumeOptions,
  type Store,
  type WAL,
  WALClosedError,
  WALConsumerLostError,
  WALConsumingError,
  WALFullError,
  type WALRecord,
  WALStoreError,
} from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { CAPACITY, fill, items, ListStore, openInMemory, openOn, range, until } from "./support/logs.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

/** A store that saves its LSN. It keeps what it has when its log is opened again. */
class SavingStore implements Store {
  readonly lsns: number[] = [];
  logId: string | null = null;

  applyBatch(records: readonly WALRecord[], run: { readonly logId: string }): void {
    for (const { lsn } of records) this.lsns.push(lsn);
    this.logId = run.logId;
  }

  appliedLsn(): number {
    return this.lsns.at(-1) ?? 0;
  }

  appliedLog(): string | null {
    return this.logId;
  }
}

/** As above. It stops its consumer when it has a record. */
class StoppingStore extends SavingStore {
  readonly #last: number;
  readonly #stop: AbortController;

  constructor(last: number, stop: AbortController) {
    super();
    this.#last = last;
    this.#stop = stop;
  }

  override applyBatch(records: readonly WALRecord[], run: { readonly logId: string }): void {
    super.applyBatch(records, run);
    if (this.lsns.includes(this.#last)) this.#stop.abort();
  }
}

/** Runs a consumer until its store has everything, and stops it. */
async function catchUp(wal: WAL, store: Store & SavingStore | ListStore, options: ConsumeOptions): Promise<void> {
  await using _ = consume(wal, store, options);
  await wal.flushAsync();
  await wal.whenApplied(undefined, { name: options.name });
}

const consumer = (wal: WAL, name: string) => wal.stats().consumers.find((stats) => stats.name === name)!;
const names = (wal: WAL) => wal.stats().consumers.map(({ name }) => name);

test("consume() feeds several named stores at once, each with all records", async () => {
  await using wal = openInMemory();
  const [database, search, plain] = [new SavingStore(), new ListStore(), new ListStore()];
  await using first = consume(wal, database, { name: "database" });
  await using second = consume(wal, search, { name: "search" });
  await using third = consume(wal, plain);
  fill(wal, 5);
  await wal.whenApplied();
  assertEquals([database.lsns, search.applied, plain.applied], [range(1, 5), range(1, 5), range(1, 5)]);
  assertEquals([first.applied, second.applied, third.applied, wal.applied], [5, 5, 5, 5]);
  assertEquals(names(wal).sort(), ["", "database", "search"]);
});

test("wal.applied is what all consumers have, and each handle knows its own", async () => {
  await using wal = openInMemory();
  const { promise: goes, resolve } = Promise.withResolvers<void>();
  const slow = new ListStore();
  slow.before = ({ lsn }) => lsn === 3 ? goes : undefined;
  await using fast = consume(wal, new SavingStore(), { name: "fast" });
  await using behind = consume(wal, slow, { name: "slow" });
  fill(wal, 5);
  await wal.whenApplied(5, { name: "fast" });
  await until(() => behind.applied === 2);
  assertEquals([fast.applied, behind.applied, wal.applied], [5, 2, 2]);
  assertEquals([consumer(wal, "slow").lagRecords, consumer(wal, "fast").lagRecords], [3, 0]);
  resolve();
  await wal.whenApplied();
  assertEquals([behind.applied, wal.applied], [5, 5]);
});

test("a record is released when all consumers have it, and a stopped one holds what it lacks", async () => {
  await using wal = openInMemory();
  const store = new SavingStore();
  fill(wal, 4);
  await catchUp(wal, store, { name: "stopped" });
  fill(wal, 4);
  await catchUp(wal, new ListStore(), { name: "running" });
  assertEquals([wal.tail, consumer(wal, "stopped").position, consumer(wal, "stopped").running], [5, 4, false]);
  await catchUp(wal, store, { name: "stopped" });
  assertEquals([store.lsns.length, wal.tail > 8], [8, true]);
});

test("a consumer that is not running holds its records after a restart, and after a crash too", async () => {
  for (const end of ["close", "crash"] as const) {
    const disk = new SimulatedDisk({ seed: 5 });
    let wal = openOn(disk);
    const store = new ListStore();
    fill(wal, 4);
    await catchUp(wal, store, { name: "search" });
    const { position } = consumer(wal, "search");
    if (end === "close") wal.close();
    else disk.crash({ mode: "power", keep: "random" });
    wal = openOn(disk);
    assert(consumer(wal, "search").position <= position, end);
    fill(wal, 40);
    await catchUp(wal, new ListStore(), {});
    assert(wal.tail <= position + 1, `${end}: the tail is ${wal.tail}, "search" was at ${position}`);
    await catchUp(wal, store, { name: "search" });
    assertEquals(new Set(store.applied).size, 44, end);
    wal.close();
  }
});

test("the unnamed consumer holds its records from its start on, also if it was alone before a crash", async () => {
  const disk = new SimulatedDisk({ seed: 11 });
  let wal = openOn(disk);
  const store = new ListStore();
  fill(wal, 4);
  await catchUp(wal, store, {});
  fill(wal, 4);
  wal.flush();
  disk.crash({ mode: "kill" });
  wal = openOn(disk);
  await catchUp(wal, new ListStore(), { name: "search" });
  await catchUp(wal, store, { maxLagRecords: 100 });
  assertEquals(store.applied.filter((lsn) => lsn <= 4), range(1, 4));
  assertEquals(new Set(store.applied).size, 8);
  await catchUp(wal, store, {});
  disk.crash({ mode: "kill" });
  wal = openOn(disk);
  assertEquals(consumer(wal, "").maxLagRecords, Infinity);
  wal.close();
});

test("a consumer whose store has gone back holds what the store lacks, after a crash too", async () => {
  const disk = new SimulatedDisk({ seed: 10 });
  const wal = openOn(disk);
  const store = new SavingStore();
  const options = { name: "search", keepRecords: 100 };
  fill(wal, 4);
  await catchUp(wal, store, options);
  fill(wal, 20);
  await catchUp(wal, store, options); // with a checkpoint, which the header does not have yet
  store.lsns.length = 10;
  store.applyBatch = () => {
    throw new Error("not now");
  };
  await assertRejects(() => wal.consumeAsync(store, options), Error, "not now");
  const { position } = consumer(wal, "search");
  assertEquals(position, store.appliedLsn());
  disk.crash({ mode: "kill" });
  const again = openOn(disk);
  assertEquals(consumer(again, "search").position, position);
  again.close();
});

test("a new consumer begins with the oldest record that the log has, whatever others have", async () => {
  await using wal = openInMemory();
  fill(wal, 6);
  wal.flush();
  wal.truncate(2);
  await catchUp(wal, new ListStore(), { name: "held", keepRecords: 100 });
  const late = new ListStore();
  await catchUp(wal, late, { name: "late" });
  assertEquals(late.applied, range(3, 6));
});

test("a new consumer that stops behind a checkpoint begins again there, though later records are checkpointed", async () => {
  const disk = new SimulatedDisk({ seed: 4 });
  let wal = openOn(disk);
  for (let i = 0; i < 2; i++) {
    fill(wal, 3);
    wal.checkpoint(wal.head - 1);
  }
  const stop = new AbortController();
  const store = new StoppingStore(3, stop);
  await wal.consumeAsync(store, { name: "new", batchSize: 4, signal: stop.signal });
  assertEquals([store.lsns, consumer(wal, "new").position, wal.tail], [[1, 2, 3], 3, 4]);
  wal.close();
  wal = openOn(disk);
  await catchUp(wal, store, { name: "new" });
  assertEquals(store.lsns, [1, 2, 3, 5, 6, 7]);
  wal.close();
});

test("the unnamed consumer begins with the oldest record, though all others are lost", async () => {
  await using wal = openInMemory();
  fill(wal, 100);
  await catchUp(wal, new ListStore(), { name: "slow", maxLagRecords: 10, keepRecords: 50 });
  fill(wal, 20);
  await wal.flushAsync();
  assertEquals([consumer(wal, "slow").lost, wal.tail], [true, 51]);
  const store = new ListStore();
  await catchUp(wal, store, {});
  assertEquals(store.applied[0], 51);
});

test("consume() begins after a named store's own LSN", async () => {
  await using wal = openInMemory();
  const store = new SavingStore();
  fill(wal, 4);
  await using _ = consume(wal, new ListStore(), { name: "other", keepRecords: 100 });
  await catchUp(wal, store, { name: "before" });
  fill(wal, 2);
  await catchUp(wal, store, { name: "after" });
  assertEquals([store.lsns.length, new Set(store.lsns).size], [6, 6]);
});

test("consume() refuses a second consumer of a name, and a second one for a store", async () => {
  await using wal = openInMemory();
  const store = new ListStore();
  await using _ = consume(wal, store, { name: "a" });
  const twice = await assertRejects(() => wal.consumeAsync(new ListStore(), { name: "a" }), WALConsumingError);
  assertEquals([twice.consumer, twice.message], [
    "a",
    'Cannot consume the log: consumer "a" is running already; await its stop() first',
  ]);
  const shared = await assertRejects(() => wal.consumeAsync(store, { name: "b" }), WALConsumingError);
  assertEquals([shared.consumer, shared.message], [
    "a",
    'Cannot consume the log: consumer "a" is filling the store already',
  ]);
  assertEquals(names(wal).includes("b"), false);
});

test("a consumer that fails stops alone, and the others go on", async () => {
  await using wal = openInMemory();
  const bad = new ListStore();
  bad.before = ({ lsn }) => {
    if (lsn === 3) throw new Error("disk full");
  };
  const good = new ListStore();
  const failing = consume(wal, bad, { name: "bad" });
  await using _ = consume(wal, good, { name: "good" });
  const failed = assertRejects(() => failing.done, Error, "disk full");
  fill(wal, 5);
  await wal.flushAsync();
  await failed;
  await wal.whenApplied(5, { name: "good" });
  assertEquals([bad.applied, good.applied, wal.applied], [[1, 2], range(1, 5), 2]);
  const { state, lastError, position, lagRecords, running } = consumer(wal, "bad");
  assertEquals([state, position, running], ["failed", 2, false]);
  assert(lagRecords >= 3 && lastError instanceof Error);
  await assertRejects(() => wal.whenApplied(5, { name: "bad" }), Error, "disk full");
  assertEquals(
    wal.stats().warnings.some((warning) => warning.includes('Consumer "bad" failed with Error: disk full')),
    true,
  );
});

test("whenApplied() waits for a new consumer that has not begun yet", async () => {
  await using wal = openInMemory();
  const stores = [new ListStore(), new ListStore()] as const;
  await using _first = consume(wal, stores[0], { name: "first" });
  await wal.logInsert(1, 2, 3, 4);
  await wal.whenApplied();
  await using _second = consume(wal, stores[1], { name: "second" });
  await wal.whenApplied();
  assertEquals(stores.map(({ applied }) => applied), [[1], [1]]);
});

test("whenApplied() of a name rejects while that consumer does not run", async () => {
  await using wal = openInMemory();
  fill(wal, 1);
  await using _ = consume(wal, new ListStore(), { name: "a" });
  await wal.whenApplied(1);
  await assertRejects(() => wal.whenApplied(1, { name: "b" }), WALClosedError, 'consumer "b" does not run');
  await assertRejects(() => wal.whenApplied(1, { nam: "b" } as never), TypeError, "nam");
  await assertRejects(() => wal.whenApplied(1, { name: 3 } as never), TypeError, "3");
});

test("truncate() and checkpoint() may not pass a named consumer, running or not", async () => {
  await using wal = openInMemory();
  fill(wal, 4);
  await catchUp(wal, new ListStore(), { name: "search" });
  fill(wal, 4);
  wal.flush();
  const { position } = consumer(wal, "search");
  assertThrows(() => wal.truncate(position + 1), RangeError, 'the store of consumer "search" has records up to LSN');
  assertThrows(() => wal.checkpoint(position + 1), RangeError, 'consumer "search"');
  wal.checkpoint(position);
  wal.checkpoint();
  wal.truncate(position);
  assertEquals([wal.tail, wal.applied], [position + 1, position]);
});

test("truncate() stands for the unnamed consumer while that one does not run", async () => {
  await using wal = openInMemory();
  fill(wal, 4);
  await catchUp(wal, new ListStore(), {});
  fill(wal, 4);
  wal.flush();
  wal.truncate(wal.durable);
  assertEquals([wal.length, consumer(wal, "").position], [0, wal.durable]);
});

test("dropConsumer() lets go of what a consumer holds, durably, and says whether there was one", async () => {
  const disk = new SimulatedDisk({ seed: 6 });
  const wal = openOn(disk);
  fill(wal, 4);
  const store = new ListStore();
  const consumption = consume(wal, store, { name: "search" });
  await wal.whenApplied();
  const dropping = assertThrows(() => wal.dropConsumer("search"), WALConsumingError);
  assertEquals(dropping.message, 'Cannot drop a consumer: consumer "search" is running; stop it first');
  await consumption.stop();
  fill(wal, 10);
  await catchUp(wal, new ListStore(), {});
  assertEquals(wal.tail, 5);
  assertEquals([wal.dropConsumer("search"), wal.dropConsumer("search"), names(wal)], [true, false, [""]]);
  assert(wal.tail > 14, `the tail is ${wal.tail}`);
  disk.crash({ mode: "power", keep: "none" });
  const again = openOn(disk);
  assertEquals(names(again), [""]);
  again.close();
  assertThrows(() => again.dropConsumer("x"), WALClosedError);
});

test("nothing is told any more of a failed consumer that was dropped, or refused before another one began", async () => {
  await using wal = openInMemory();
  const bad = new ListStore();
  bad.before = () => {
    throw new Error("disk full");
  };
  fill(wal, 1);
  for (const name of ["a", "b", ""]) {
    await assertRejects(() => wal.consumeAsync(bad, { name }), Error, "disk full");
    assertEquals([wal.stats().warnings.length, wal.stats().consumer.state], [1, "failed"]);
    assertEquals(wal.dropConsumer(name), true);
    assertEquals([wal.stats().warnings, wal.stats().consumer.state], [[], "none"]);
    await assertRejects(() => wal.whenApplied(1), WALClosedError, "no consumer runs");
  }
  const foreign = { applyBatch() {}, appliedLsn: () => 1, appliedLog: () => "0123456789abcdef0123456789abcdef" };
  await assertRejects(() => wal.consumeAsync(foreign, { name: "foreign" }), WALStoreError);
  assertEquals(wal.stats().warnings.length, 1);
  await using _ = consume(wal, new ListStore(), { name: "good" });
  assertEquals(wal.stats().warnings, []);
});

test("the table holds 16 consumers, and their names are up to 40 bytes of UTF-8", async () => {
  await using wal = openInMemory();
  const long = "žluťoučký kůň úpěl ďábelské ódy.";
  for (let i = 0; i < 14; i++) await catchUp(wal, new ListStore(), { name: `c${i}` });
  await catchUp(wal, new ListStore(), {});
  await catchUp(wal, new ListStore(), { name: long.slice(0, 26) });
  await assertRejects(() => wal.consumeAsync(new ListStore(), { name: "one more" }), RangeError, "16 consumers");
  wal.dropConsumer("c3");
  await catchUp(wal, new ListStore(), { name: "one more" });
  assertEquals(names(wal).length, 16);
  const refused = [[long.padEnd(41, "!"), "40 bytes"], ["x".repeat(41), "40 bytes"], ["a\ud800", "surrogate"]] as const;
  for (const [name, why] of refused) {
    await assertRejects(() => wal.consumeAsync(new ListStore(), { name }), RangeError, why);
    assertThrows(() => wal.dropConsumer(name), RangeError, why);
  }
});

test("WALFullError and stats().warnings name the consumer that holds the tail", async () => {
  await using wal = openInMemory();
  fill(wal, 4);
  await catchUp(wal, new ListStore(), { name: "search" });
  const { position } = consumer(wal, "search");
  await using _ = consume(wal, new ListStore());
  while (wal.length < wal.capacity) {
    fill(wal, Math.min(100, wal.capacity - wal.length));
    await wal.whenApplied(wal.durable);
  }
  const error = assertThrows(() => fill(wal, 1), WALFullError);
  assertEquals([error.consumer, error.lagRecords], ["search", wal.head - 1 - position]);
  assertStringIncludes(
    error.message,
    `consumer "search" was stopped, and lacks ${error.lagRecords} record(s) from LSN`,
  );
  await assertRejects(() => wal.logInsert(1, 1, 1, 1), WALFullError, 'consumer "search"');
  const warning = wal.stats().warnings.find((text) => text.includes("search"));
  assertStringIncludes(warning ?? "", 'The ring is more than half full, and consumer "search" does not run');
});

test("appends wait while the consumers that are in the way run, and fail when one of them stops", async () => {
  await using wal = openInMemory();
  const { promise: goes, resolve } = Promise.withResolvers<void>();
  const slow = new ListStore();
  slow.before = ({ lsn }) => lsn === 1 ? goes : undefined;
  await using _ = consume(wal, new ListStore(), { name: "fast" });
  await using behind = consume(wal, slow, { name: "slow" });
  fill(wal, CAPACITY);
  await wal.flushAsync();
  const waits = wal.logInsert(1, 1, 1, 1);
  const rejected = assertRejects(() => waits, WALFullError, 'consumer "slow" was stopped');
  const stopped = behind.stop();
  resolve();
  await stopped;
  await rejected;
});

test("a store may wait for another consumer, and not for its own", async () => {
  await using wal = openInMemory();
  const results: string[] = [];
  const asking = new ListStore();
  asking.before = async ({ lsn }) => {
    if (lsn > 1) return;
    await wal.whenApplied(lsn, { name: "other" });
    results.push("other");
    await wal.whenApplied(lsn).catch(({ code }) => results.push(code));
  };
  await using _a = consume(wal, asking, { name: "asking" });
  await using _b = consume(wal, new ListStore(), { name: "other" });
  fill(wal, 1);
  await wal.whenApplied();
  assertEquals(results, ["other", "CLOSED"]);
});

test("an idle log with several consumers writes no records and no headers", async () => {
  const disk = new SimulatedDisk({ seed: 7 });
  const wal = openOn(disk, { idleHeaderDelayMs: 1 });
  await using _a = consume(wal, new SavingStore(), { name: "a", pollIntervalMs: 1 });
  await using _b = consume(wal, new ListStore(), { name: "b", pollIntervalMs: 1 });
  await using _c = consume(wal, new ListStore(), { pollIntervalMs: 1 });
  fill(wal, 5);
  await wal.whenApplied();
  const figures = () => [wal.head, wal.stats().headerSyncs, wal.stats().syncs].join();
  const settled = async () => {
    const before = figures();
    for (let turn = 0; turn < 30; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
    return figures() === before;
  };
  let rounds = 0;
  while (!await settled()) assert(++rounds < 20, "the log never comes to rest");
  assert(await settled());
  assert(wal.head <= 8, `${wal.head - 6} checkpoints for one burst`);
  wal.close();
});

test("resize() keeps the consumers, a backup has none", async () => {
  const disk = new SimulatedDisk({ seed: 8 });
  const wal = openOn(disk);
  fill(wal, 4);
  await catchUp(wal, new ListStore(), { name: "search", maxLagRecords: 700 });
  wal.backup("/sim/copy");
  wal.resize(2 * 65536);
  const before = consumer(wal, "search");
  wal.close();
  const again = openOn(disk);
  assertEquals([names(again), consumer(again, "search").position], [["search"], before.position]);
  assertEquals(consumer(again, "search").maxLagRecords, 700);
  const copy = openOn(disk, {}, "/sim/copy");
  assertEquals(names(copy), []);
  copy.close();
  again.close();
});

test("keepRecords keeps what the store has, until an append needs the room", async () => {
  await using wal = openInMemory();
  await using consumption = consume(wal, new SavingStore(), { name: "ship", keepRecords: 100, pollIntervalMs: 1 });
  for (let lap = 0; lap < 3; lap++) {
    for (let left = CAPACITY; left > 0; left -= 64) {
      await wal.batchInsert(Array.from({ length: 64 }, () => [1, 2, 3, 4]));
    }
    await wal.whenApplied();
    assert(wal.head - wal.tail >= 100, `lap ${lap}: ${wal.length} kept`);
  }
  await until(() => consumer(wal, "ship").position >= 3 * CAPACITY);
  assertThrows(() => wal.truncate(wal.durable - 50), RangeError, "keeps 100 records");
  await wal.batchInsert(Array.from({ length: CAPACITY - 10 }, () => [1, 2, 3, 4]));
  await wal.whenApplied();
  assert(consumption.applied >= wal.head - 2);
});

test("keepRecords makes room also beside a stopped consumer that lacks newer records", async () => {
  // All of the first batch is kept, or half of it.
  for (const keepRecords of [CAPACITY, CAPACITY - 50]) {
    await using wal = openInMemory({ fullTimeoutMs: 2000 });
    await using _ = consume(wal, new SavingStore(), { name: "ship", keepRecords, pollIntervalMs: 1 });
    wal.batchInsertSync(Array.from({ length: 100 }, () => [1, 2, 3, 4]));
    await catchUp(wal, new ListStore(), { name: "stopped" });
    fill(wal, CAPACITY - wal.length);
    await wal.whenApplied(undefined, { name: "ship" });
    assertEquals(wal.tail, 1);
    await wal.logInsert(1, 2, 3, 4);
    assertEquals(wal.tail, 101);
  }
});

test("an append takes no more than it needs of what is kept for a consumer that lacks records", async () => {
  await using wal = openInMemory();
  await using _ = consume(wal, new SavingStore(), { name: "ship", keepRecords: CAPACITY, pollIntervalMs: 1 });
  fill(wal, 150);
  await catchUp(wal, new SavingStore(), { name: "stopped", keepRecords: 100 });
  const kept = consumer(wal, "stopped").position - 100;
  fill(wal, CAPACITY - wal.length);
  await wal.whenApplied(undefined, { name: "ship" });
  assertEquals(wal.tail, 1);
  await wal.logInsert(1, 2, 3, 4);
  assertEquals(wal.tail, kept + 1);
});

test("keepRecords makes room for an append that is first in line after another one has waited too long", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 1000 });
  const gate = Promise.withResolvers<void>();
  const slow = new ListStore();
  slow.before = ({ lsn }) => lsn > 100 ? gate.promise : undefined;
  await using _slow = consume(wal, slow, { name: "slow" });
  await using _ship = consume(wal, new SavingStore(), { name: "ship", keepRecords: CAPACITY, pollIntervalMs: 1 });
  fill(wal, CAPACITY);
  await wal.whenApplied(undefined, { name: "ship" });
  const large = assertRejects(() => wal.batchInsert(items(1, 700)), WALFullError, "after 1000 ms");
  await new Promise((resolve) => setTimeout(resolve, 500));
  const small = wal.logInsert(1, 2, 3, 4).then(() => wal.head, ({ message }: Error) => message);
  await large;
  const inserted = await small;
  gate.resolve();
  assertEquals(inserted, CAPACITY + 2);
});

test("keepRecords makes room when a stopped consumer is dropped while an append waits for a backup", async () => {
  using directory = tempDir();
  await using wal = openInMemory({ fullTimeoutMs: 5000 });
  fill(wal, 10);
  await catchUp(wal, new ListStore(), { name: "stopped" });
  fill(wal, CAPACITY - wal.length);
  await using _ = consume(wal, new ListStore(), { name: "ship", keepRecords: CAPACITY, pollIntervalMs: 1 });
  await until(() => consumer(wal, "ship")?.position === wal.head - 1);
  await new Promise((resolve) => setTimeout(resolve, 20)); // it has nothing left to confirm
  const backup = wal.backupAsync(directory.join("backup"));
  const appended = wal.logInsert(1, 2, 3, 4);
  wal.dropConsumer("stopped");
  await backup;
  await appended;
});

test("keepRecords holds while its consumer can still let go of records", async () => {
  await using wal = openInMemory();
  const gate = Promise.withResolvers<void>();
  const store = {
    applyBatch: (records: readonly WALRecord[]) => records[0]!.lsn > 10 ? gate.promise : undefined,
    appliedLsn: () => 0,
  };
  await using _ = consume(wal, store, { name: "ship", keepRecords: 100, pollIntervalMs: 1 });
  fill(wal, 10);
  await wal.flushAsync();
  await wal.whenApplied(10);
  await until(() => consumer(wal, "ship").position === 10);
  fill(wal, CAPACITY - wal.length);
  const inserted = wal.logInsert(1, 2, 3, 4);
  assertEquals([wal.tail, wal.stats().waiting], [1, 1]);
  gate.resolve();
  await inserted;
  assert(wal.tail > 1 && wal.length >= 100);
});

test("logInsert() is refused in a full ring where a stopped consumer lacks the end of a batch", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 2000 });
  await using _ = consume(wal, new SavingStore(), { name: "ship", pollIntervalMs: 1 });
  let left = 49;
  const insert = () => {
    if (left-- === 0) throw new Error("no more");
  };
  const stopped = consume(wal, { insert, delete() {}, deleteValue() {} }, { name: "stopped" });
  wal.batchInsertSync(Array.from({ length: 100 }, () => [1, 2, 3, 4]));
  await assertRejects(() => stopped.done, Error, "no more");
  fill(wal, CAPACITY - wal.length);
  await wal.whenApplied(undefined, { name: "ship" });
  const { consumer: name, message } = await assertRejects(() => wal.logInsert(1, 2, 3, 4), WALFullError);
  assertEquals([name, message.includes("after 2000 ms")], ["stopped", false]);
});

test("logInsert() goes in after a checkpoint alone is released, beside a stopped consumer and one that keeps more", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 2000 });
  fill(wal, 1);
  wal.checkpoint(1);
  wal.truncate(1);
  const stop = new AbortController();
  const stopping = new StoppingStore(102, stop);
  const store = new SavingStore();
  for (const { lsns } of [stopping, store]) lsns.push(1);
  wal.batchInsertSync(Array.from({ length: 100 }, () => [1, 2, 3, 4]));
  fill(wal, CAPACITY - wal.length);
  await using _ = consume(wal, store, { name: "ship", keepRecords: CAPACITY - 50, pollIntervalMs: 1 });
  await wal.consumeAsync(stopping, { name: "stopped", batchSize: 50, signal: stop.signal });
  await wal.whenApplied(undefined, { name: "ship" });
  assertEquals(wal.tail, 2);
  await wal.logInsert(1, 2, 3, 4);
  assertEquals(wal.tail, 3);
});

test("logInsert() is refused in a full ring where a stopped consumer lacks what follows a checkpoint", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 2000 });
  for (let i = 0; i < 2; i++) {
    fill(wal, 3);
    wal.checkpoint(wal.head - 1);
  }
  const stop = new AbortController();
  await wal.consumeAsync(new StoppingStore(3, stop), { name: "stopped", batchSize: 4, signal: stop.signal });
  const store = new SavingStore();
  store.lsns.push(3);
  await using _ = consume(wal, store, { name: "ship", pollIntervalMs: 1 });
  fill(wal, CAPACITY - wal.length);
  await wal.whenApplied(undefined, { name: "ship" });
  const { consumer: name, message } = await assertRejects(() => wal.logInsert(1, 2, 3, 4), WALFullError);
  assertEquals([name, message.includes("after 2000 ms"), wal.tail], ["stopped", false, 4]);
});

for (const runs of [false, true]) {
  test(`logInsert() goes on where a consumer with a limit ${runs ? "hangs" : "stopped"} within the batch that it needs`, async () => {
    await using wal = openInMemory({ fullTimeoutMs: 5000 });
    const { promise: released, resolve } = Promise.withResolvers<void>();
    let left = 5;
    const insert = () => {
      if (left-- > 0) return;
      if (!runs) throw new Error("no more");
      return released;
    };
    const options = { name: "behind", maxLagRecords: 2 * CAPACITY };
    const { done } = consume(wal, { insert, delete() {}, deleteValue() {} }, options);
    const ended = assertRejects(() => done, runs ? WALConsumerLostError : Error);
    await wal.batchInsert(Array.from({ length: 10 }, () => [1, 2, 3, 4]));
    await until(() => wal.stats().consumer.state === (runs ? "running" : "failed") && wal.applied === 5);
    fill(wal, CAPACITY - wal.length);
    await wal.flushAsync();
    await wal.logInsert(1, 2, 3, 4);
    assertEquals([consumer(wal, "behind").lost, wal.tail > 10], [true, true]);
    resolve();
    await ended;
  });
}

const applying: Record<string, Partial<Store>> = {
  "stopped after it had applied": {},
  "stopped before it had synced": { sync: () => {} },
  "hangs after it had applied": {},
  "stopped after it had skipped": { appliedLsn: () => 0 },
};
for (const [what, methods] of Object.entries(applying)) {
  test(`logInsert() does not wait for a consumer with a limit that ${what} what it needs`, async () => {
    await using wal = openInMemory({ fullTimeoutMs: 5000 });
    const { promise: released, resolve } = Promise.withResolvers<void>();
    let left = 5;
    const insert = () => {
      if (left-- > 0 && !("appliedLsn" in methods)) return;
      if (what.startsWith("stopped")) throw new Error("no more");
      return released;
    };
    const skips = "appliedLsn" in methods;
    const stop = new AbortController();
    const { done } = consume(wal, { insert, delete() {}, deleteValue() {}, ...methods }, {
      name: "behind",
      maxLagRecords: 2 * CAPACITY,
      signal: stop.signal,
      onError: () => skips ? "skip" : "stop",
    });
    done.catch(() => {});
    fill(wal, CAPACITY);
    await wal.flushAsync();
    await until(() => wal.applied === (skips ? CAPACITY : 5));
    if (skips) stop.abort();
    if (what.startsWith("stopped")) await done.catch(() => {});
    const errors: string[] = [];
    for (let i = 0; i < 7; i++) await wal.logInsert(1, 2, 3, 4).catch(({ message }: Error) => errors.push(message));
    resolve();
    assertEquals([errors, consumer(wal, "behind").lost], [[], true]);
  });
}

for (const what of ["hangs", "was stopped", "fails"]) {
  test(`logInsert() takes what is kept for a consumer with a limit that ${what}, and does not give it up`, async () => {
    await using wal = openInMemory({ fullTimeoutMs: 5000 });
    const { promise: released, resolve } = Promise.withResolvers<void>();
    let isOver = false;
    const applyBatch = () => {
      if (!isOver) return;
      if (what === "fails") throw new Error("no more");
      return released;
    };
    const options = { name: "ship", maxLagRecords: 2 * CAPACITY, keepRecords: CAPACITY, pollIntervalMs: 1 };
    const consumption = consume(wal, { applyBatch }, { ...options, onError: () => "retry" });
    consumption.done.catch(() => {});
    fill(wal, 700);
    await wal.whenApplied();
    await until(() => consumer(wal, "ship").position >= 700);
    isOver = true;
    if (what === "was stopped") await consumption.stop();
    fill(wal, CAPACITY - wal.length);
    await wal.flushAsync();
    assertEquals(wal.tail, 1);
    await wal.logInsert(1, 2, 3, 4);
    wal.logInsertSync(1, 2, 3, 4);
    isOver = false;
    resolve();
    assertEquals([wal.tail > 1, consumer(wal, "ship").lost], [true, false]);
  });
}

test("logInsert() does not wait for a consumer with a limit whose sync() fails", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 5000 });
  const sync = () => Promise.reject(new Error("no sync"));
  const { done } = consume(wal, { applyBatch() {}, sync }, {
    name: "behind",
    maxLagRecords: 2 * CAPACITY,
    onError: () => "retry",
  });
  const lost = assertRejects(() => done, WALConsumerLostError);
  fill(wal, CAPACITY);
  await wal.flushAsync();
  await until(() => wal.stats().consumer.attempts > 0);
  await wal.logInsert(1, 2, 3, 4);
  await lost;
});

test("logInsertSync() gives up no consumer whose store has all durable records", async () => {
  await using wal = openInMemory();
  await using _ = consume(wal, new ListStore(), { name: "limited", maxLagRecords: 2 * CAPACITY });
  fill(wal, 1);
  await wal.whenApplied();
  assertThrows(() => fill(wal, 2 * CAPACITY), WALFullError, 'consumer "limited" is running');
  assertEquals(consumer(wal, "limited").lost, false);
});

test("batchInsert() gives up no consumer beside another one that is in the way", async () => {
  await using wal = openInMemory();
  fill(wal, 1);
  await catchUp(wal, new ListStore(), { name: "limited", maxLagRecords: 2 * CAPACITY });
  await catchUp(wal, new ListStore(), { name: "other" });
  fill(wal, CAPACITY - wal.length);
  await wal.flushAsync();
  await assertRejects(() => wal.batchInsert(items(1, 64)), WALFullError, 'consumer "other" was stopped');
  assertEquals(consumer(wal, "limited").lost, false);
  wal.dropConsumer("other");
  await wal.batchInsert(items(1, 64));
  assertEquals(consumer(wal, "limited").lost, true);
});

for (const what of ["was stopped before", "fails meanwhile"]) {
  test(`logInsert() waits for a consumer with a limit beside another one that ${what}`, async () => {
    await using wal = openInMemory({ fullTimeoutMs: 5000 });
    const options = { maxLagRecords: 2 * CAPACITY, pollIntervalMs: 1 };
    const [synced, failed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    failed.promise.catch(() => {});
    const store = (sync: () => Promise<void>) => ({ applyBatch() {}, sync });
    fill(wal, 1);
    if (what === "was stopped before") await catchUp(wal, new ListStore(), { ...options, name: "other" });
    const other = what === "was stopped before"
      ? null
      : consume(wal, store(() => failed.promise), { ...options, name: "other" });
    await using _ = consume(wal, store(() => synced.promise), { ...options, name: "healthy" });
    fill(wal, CAPACITY - wal.length);
    await wal.flushAsync();
    await until(() => consumer(wal, "healthy").applied > 1);
    await until(() => other === null || consumer(wal, "other").applied > 1);
    const waiting = wal.logInsert(1, 2, 3, 4);
    waiting.catch(() => {});
    failed.reject(new Error("no sync"));
    await assertRejects(() => other?.done ?? failed.promise, Error, "no sync");
    assertEquals([wal.stats().waiting, consumer(wal, "other").lost], [1, false]);
    synced.resolve();
    await waiting;
    assertEquals([consumer(wal, "other").lost, consumer(wal, "healthy").lost], [true, false]);
  });
}

test("logInsert() waits for the commit of what only a stopped consumer with a limit holds", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 5000 });
  fill(wal, 1);
  await catchUp(wal, new SavingStore(), { name: "limited", maxLagRecords: 2 * CAPACITY });
  fill(wal, CAPACITY - wal.length);
  await wal.logInsert(1, 2, 3, 4);
  assertEquals(consumer(wal, "limited").lost, true);
});

const inTheWay = { "a limit": { maxLagRecords: 2 * CAPACITY }, "kept records": { keepRecords: CAPACITY }, "none": {} };
for (const [what, options] of Object.entries(inTheWay)) {
  test(`checkpoint() gets room in a full ring as an append does, beside a consumer with ${what}`, async () => {
    await using wal = openInMemory();
    fill(wal, 1);
    await catchUp(wal, new SavingStore(), { name: "stopped", ...options });
    fill(wal, CAPACITY - wal.length);
    if (what === "kept records") await catchUp(wal, new SavingStore(), { name: "stopped", ...options });
    wal.flush();
    assertEquals(wal.length, CAPACITY);
    const checkpoint = () => wal.checkpoint();
    if (what === "none") assertThrows(checkpoint, WALFullError, 'consumer "stopped"');
    else assertEquals(checkpoint(), wal.head - 1);
  });
}

test("a consumer that is too far behind is lost, and the ring is not full", async () => {
  await using wal = openInMemory();
  fill(wal, 4);
  const store = new ListStore();
  await catchUp(wal, store, { name: "slow", maxLagRecords: 100 });
  const { position } = consumer(wal, "slow");
  await using _ = consume(wal, new ListStore(), { name: "fast" });
  for (let left = 3 * CAPACITY; left > 0; left -= 48) {
    await wal.batchInsert(Array.from({ length: 48 }, () => [1, 2, 3, 4]));
  }
  const stats = consumer(wal, "slow");
  assertEquals([stats.lost, stats.position, stats.running], [true, position, false]);
  assert(wal.stats().warnings.some((text) => text.includes('The log has given up consumer "slow"')));
  const error = await assertRejects(() => wal.consumeAsync(store, { name: "slow" }), WALConsumerLostError);
  assertEquals([error.consumer, error.position, error.code], ["slow", position, "CONSUMER_LOST"]);
  assert(error.tail > position);
  assertEquals(wal.dropConsumer("slow"), true);
  await catchUp(wal, store, { name: "slow" });
});

test("a lost consumer that runs ends with WALConsumerLostError", async () => {
  await using wal = openInMemory();
  const { promise: goes, resolve } = Promise.withResolvers<void>();
  const stuck = new ListStore();
  stuck.before = () => goes;
  const behind = consume(wal, stuck, { name: "stuck", maxLagRecords: 50 });
  await using _ = consume(wal, new ListStore(), { name: "fast" });
  const lost = assertRejects(() => behind.done, WALConsumerLostError, 'consumer "stuck"');
  for (let i = 0; i < 200; i++) await wal.logInsert(i, i, i, i);
  assertEquals(consumer(wal, "stuck").lost, true);
  resolve();
  const applied = wal.whenApplied(undefined, { name: "stuck" });
  await Promise.race([lost, applied.catch(() => {})]); // it may not go on to the end
  assertEquals(consumer(wal, "stuck").state, "failed");
  await lost;
});

for (const flush of ["inline", "offload"] as const) {
  test(`an append goes on after a consumer that has not begun was given up for it, flush: ${flush}`, async () => {
    await using wal = openInMemory({ flush, idleHeaderDelayMs: Infinity });
    const { promise: goes, resolve } = Promise.withResolvers<void>();
    const slow = { appliedLsn: () => 0, applyBatch: () => goes };
    await using _ = consume(wal, slow, { name: "slow" });
    const batch = (records: number) => wal.batchInsert(range(1, records).map((i) => [i, i, i, i] as const));
    await batch(CAPACITY - 10);
    const waiting = batch(100);
    const { promise: answers, resolve: answer } = Promise.withResolvers<number>();
    const beginning = consume(wal, { appliedLsn: () => answers, applyBatch: () => {} }, {
      name: "begins",
      maxLagRecords: CAPACITY - 1,
    });
    // Until nothing else is due that would let the append in.
    for (let turn = 0; turn < 20; turn++) await new Promise((next) => setTimeout(next));
    resolve();
    assertEquals(await waiting, CAPACITY + 90);
    answer(0);
    await beginning.stop().catch(() => {});
  });
}

test("consumeAsync() ends with WALConsumerLostError when the consumer is given up while its store is asked for its LSN", async () => {
  await using wal = openInMemory();
  const store = new SavingStore();
  fill(wal, 4);
  await catchUp(wal, store, { name: "slow", maxLagRecords: 100 });
  const { promise: goes, resolve } = Promise.withResolvers<void>();
  const filledAgain = () => goes.then(() => wal.tail - 1);
  const options = { name: "slow", maxLagRecords: 100 };
  const consumption = consume(wal, { applyBatch: () => {}, appliedLsn: filledAgain }, options);
  await using _ = consume(wal, new ListStore(), { name: "fast" });
  for (let i = 0; i < 200; i++) await wal.logInsert(i, i, i, i);
  await wal.whenApplied(undefined, { name: "fast" });
  const told = assertRejects(() => consumption.done, WALConsumerLostError, '"slow"');
  resolve();
  await until(() => consumer(wal, "slow").state === "failed");
  await told;
  assertEquals(consumer(wal, "slow").lost, true);
  store.lsns.push(wal.tail - 1);
  await catchUp(wal, store, options);
  assertEquals(consumer(wal, "slow").lost, false);
});

test("dropConsumer() has a consumer that starts anew begin with the oldest record, after a crash too", async () => {
  for (const name of ["", "search"]) {
    const disk = new SimulatedDisk({ seed: 12 });
    let wal = openOn(disk);
    fill(wal, 200);
    await catchUp(wal, new ListStore(), { name, keepRecords: 100 });
    assert(wal.tail < 150, `${wal.tail}`);
    wal.dropConsumer(name);
    assert(wal.tail > 200, `the log keeps LSN ${wal.tail} for nobody`);
    fill(wal, 3);
    wal.flush();
    disk.crash({ mode: "kill" });
    wal = openOn(disk);
    const store = new ListStore();
    const kept = range(wal.head - 3, wal.head - 1);
    await catchUp(wal, store, { name });
    assertEquals(store.applied, kept, JSON.stringify(name));
    wal.close();
  }
});

test("a log whose only consumers are lost goes on with its newest records", async () => {
  for (const sync of [true, false]) {
    await using wal = openInMemory();
    await catchUp(wal, new ListStore(), { name: "only", maxLagRecords: 2 ** 20 });
    for (let i = 0; i < 3 * CAPACITY; i++) {
      if (sync) fill(wal, 1);
      else await wal.logInsert(i, i, i, i);
      if (sync && i % 100 === 0) wal.flush();
    }
    assertEquals(consumer(wal, "only").lost, true);
    assert(wal.length > CAPACITY / 2, `${wal.length} records are kept`);
  }
});

for (const flush of ["inline", "offload"] as const) {
  test(`logInsert() waits for the commit of what lost consumers do not hold any more, flush: ${flush}`, async () => {
    await using wal = openOn(new SimulatedDisk({ seed: 5 }), { flush, fullTimeoutMs: 5000 });
    fill(wal, 1);
    await catchUp(wal, new ListStore(), { name: "lost", maxLagRecords: 100 });
    const appended: Promise<unknown>[] = [];
    for (let i = 0; i < 3 * CAPACITY; i++) appended.push(wal.logInsert(i, 1, 1, 1));
    appended.push(wal.batchInsert(Array.from({ length: 100 }, () => [1, 2, 3, 4])));
    await Promise.all(appended);
    assertEquals(consumer(wal, "lost").lost, true);
    assertEquals([...wal.records()].at(-1)?.lsn, wal.head - 1);
  });
}

test("logInsert() waits behind a batch that needs records which are not durable yet in a lost log", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 5000 });
  fill(wal, 1);
  await catchUp(wal, new ListStore(), { name: "lost", maxLagRecords: 100 });
  fill(wal, 200);
  await wal.flushAsync();
  assertEquals(consumer(wal, "lost").lost, true);
  fill(wal, CAPACITY - wal.length);
  const appended = Promise.all([wal.batchInsert(items(1, 600)), wal.logInsert(1, 2, 3, 4)]);
  const { waiting } = wal.stats();
  await appended;
  assertEquals(waiting, 2);
  assertEquals([...wal.records()].at(-1)?.lsn, wal.head - 1);
});

test("a lost consumer is accepted when its store was filled again", async () => {
  const disk = new SimulatedDisk({ seed: 9 });
  let wal = openOn(disk);
  const store = new SavingStore();
  fill(wal, 4);
  await catchUp(wal, store, { name: "slow", maxLagRecords: 100 });
  {
    await using _ = consume(wal, new ListStore(), { name: "fast" });
    for (let left = 2 * CAPACITY; left > 0; left -= 48) {
      await wal.batchInsert(Array.from({ length: 48 }, () => [1, 2, 3, 4]));
    }
    await wal.whenApplied(undefined, { name: "fast" });
  }
  wal.close();
  wal = openOn(disk);
  assertEquals(consumer(wal, "slow").lost, true);
  await assertRejects(() => wal.consumeAsync(store, { name: "slow" }), WALConsumerLostError);
  const foreign = new SavingStore();
  foreign.lsns.push(wal.durable);
  foreign.logId = "0123456789abcdef0123456789abcdef";
  await assertRejects(() => wal.consumeAsync(foreign, { name: "slow" }), WALStoreError);
  store.lsns.push(wal.tail - 1);
  await catchUp(wal, store, { name: "slow", maxLagRecords: 100 });
  assertEquals([consumer(wal, "slow").lost, wal.stats().warnings.length], [false, 0]);
  wal.close();
});
