// onError answers "skip": what is left out, what is told, and what a store is given again (H80).

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  consume,
  type ConsumeOptions,
  type Store,
  type WAL,
  WALClosedError,
  WALConsumerLostError,
  WALFullError,
  type WALRecord,
  type WALStats,
} from "../mod.ts";
import { SQLiteStore } from "../src/stores/sqlite.ts";
import { SimulatedDisk } from "../testing.ts";
import { CAPACITY, fill, items, ListStore, openInMemory, openOn, range, until } from "./support/logs.ts";
import { test } from "./support/test.ts";

/** A store of whole runs, which throws at some LSNs. */
class PoisonedStore implements Store {
  readonly lsns: number[] = [];
  readonly poison: Set<number>;

  constructor(...poison: number[]) {
    this.poison = new Set(poison);
  }

  applyBatch(records: readonly WALRecord[]): void {
    const bad = records.find(({ lsn }) => this.poison.has(lsn));
    if (bad !== undefined) throw new Error(`LSN ${bad.lsn} is poison`);
    for (const { lsn } of records) this.lsns.push(lsn);
  }
}

/** As above, with an LSN of its own. */
class PoisonedSavingStore extends PoisonedStore {
  appliedLsn(): number {
    return this.lsns.at(-1) ?? 0;
  }
}

const skip = () => "skip" as const;
const skips = (wal: WAL) => [wal.stats().consumer.skipped, wal.stats().consumer.skippedLsns];
const told = (wal: WAL, text: string) => wal.stats().warnings.some((warning) => warning.includes(text));

test("whenApplied() counts a skipped record also after the consumer has confirmed what comes before", async () => {
  await using wal = openInMemory();
  let syncs = 0;
  const store = Object.assign(new PoisonedSavingStore(4), { sync: () => void syncs++ });
  await using behind = consume(wal, new ListStore(), { name: "behind" });
  await behind.stop(); // so that no checkpoint is written, which would be applied
  fill(wal, 4);
  await using skipping = consume(wal, store, { onError: skip, name: "skipping", pollIntervalMs: 1 });
  await until(() => wal.stats().consumers.some(({ position }) => position === 3));
  await until(() => skipping.applied === 4);
  await wal.whenApplied(4, { name: "skipping" });
  assertEquals(syncs, 1);
});

test('"skip" leaves out the record that a store without applyBatch() cannot apply, and no other', async () => {
  await using wal = openInMemory();
  const store = new ListStore();
  store.before = ({ lsn }) => {
    if ([2, 3, 7].includes(lsn)) throw new Error("poison");
  };
  fill(wal, 8);
  const asked: number[] = [];
  await using consumption = consume(wal, store, {
    onError: (_, { firstLsn, attempt }) => {
      asked.push(firstLsn);
      return attempt === 1 ? "skip" : "stop";
    },
  });
  await wal.whenApplied();
  assertEquals([store.applied, asked], [[1, 4, 5, 6, 8], [2, 3, 7]]);
  assertEquals(skips(wal), [3, [2, 3, 7]]);
  assert(told(wal, "The consumer has skipped 3 record(s), the last one at LSN 7"));
  await consumption.stop();
  assertEquals(wal.tail, 9);
});

test('"skip" narrows a run down to the batch that a store with applyBatch() cannot apply', async () => {
  await using wal = openInMemory();
  fill(wal, 10);
  wal.batchInsertSync(items(11, 4)); // LSN 11 to 14
  fill(wal, 30);
  const store = new PoisonedStore(13, 40);
  await using _ = consume(wal, store, { onError: skip, name: "search" });
  await wal.whenApplied();
  assertEquals(store.lsns, range(1, 44).filter((lsn) => (lsn < 11 || lsn > 14) && lsn !== 40));
  assertEquals(wal.stats().consumers[0]?.skippedLsns, [11, 12, 13, 14, 40]);
  assert(told(wal, 'Consumer "search" has skipped 5 record(s), the last one at LSN 40'));
});

test('"skip" leaves out what is left of a batch as a whole after truncate() has confirmed its first records', async () => {
  for (const takesRuns of [true, false]) {
    const disk = new SimulatedDisk({ seed: 4 });
    let wal = openOn(disk);
    wal.batchInsertSync(items(1, 4));
    fill(wal, 3);
    wal.batchInsertSync(items(8, 3));
    wal.flush();
    wal.truncate(2);
    assertEquals(wal.tail, 1); // a batch is released as a whole
    const runs = new PoisonedStore(1, 4, 6, 9);
    const each = new ListStore();
    each.before = ({ lsn }) => {
      if (runs.poison.has(lsn)) throw new Error("poison");
    };
    for (const left of [8, 0]) { // also by a consumer that goes on after a crash
      await using consumption = consume(wal, takesRuns ? runs : each, { onError: skip, pollIntervalMs: Infinity });
      await wal.whenApplied();
      assertEquals(skips(wal), left === 0 ? [0, []] : takesRuns ? [6, [3, 4, 6, 8, 9, 10]] : [3, [4, 6, 9]]);
      await consumption.stop();
      disk.crash({ mode: "kill" });
      wal = openOn(disk);
    }
    assertEquals(takesRuns ? runs.lsns : each.applied, takesRuns ? [5, 7] : [3, 5, 7, 8, 10]);
    wal.close();
  }
});

test('"skip" searches once, and then hands over runs of full length again', async () => {
  await using wal = openInMemory();
  const lengths: number[] = [];
  const store = new PoisonedStore(5);
  const applyBatch = (records: readonly WALRecord[]) => {
    lengths.push(records.length);
    store.applyBatch(records);
  };
  fill(wal, 64);
  await using _ = consume(wal, { applyBatch }, { onError: skip });
  await wal.whenApplied();
  assertEquals(store.lsns, range(1, 64).filter((lsn) => lsn !== 5));
  assert(lengths.length < 20, `${lengths.length} runs`);
});

test("the LSN of a store does not pass a skipped record before the store has a later one", async () => {
  const disk = new SimulatedDisk({ seed: 3 });
  let wal = openOn(disk);
  const store = new PoisonedSavingStore(4);
  fill(wal, 4);
  await consumeAll(wal, store);
  assertEquals([store.lsns, wal.stats().consumers[0]?.position], [[1, 2, 3], 3]);
  wal.close();
  wal = openOn(disk);
  await consumeAll(wal, store); // asked again
  assertEquals(skips(wal), [1, [4]]);
  fill(wal, 1);
  await consumeAll(wal, store);
  const { position, lagRecords } = wal.stats().consumers[0]!;
  assert(position >= store.appliedLsn() && store.appliedLsn() > 4, `at ${position}`);
  assertEquals(lagRecords <= 1, true);
  wal.close();
  wal = openOn(disk);
  await consumeAll(wal, store);
  assertEquals([skips(wal), store.lsns.length], [[0, []], 4]);
  wal.close();
});

/** Appends until a store has skipped as many records as the ring has slots, and one more. */
async function skipRing(wal: WAL, options: ConsumeOptions): Promise<{ done: Promise<void>; last: Promise<unknown> }> {
  const store = new PoisonedSavingStore(...range(1, 2 * CAPACITY));
  const { done } = consume(wal, store, { ...options, name: "skipping", onError: skip, pollIntervalMs: Infinity });
  done.catch(() => {});
  for (let lsn = 1; lsn <= CAPACITY; lsn++) await wal.logInsert(lsn, lsn, lsn, lsn);
  await wal.whenApplied();
  const last = wal.logInsert(1, 1, 1, 1);
  const settled = last.then(() => "is appended", (error: unknown) => error);
  return { done, last: settled };
}

test("consumeAsync() ends when it has skipped all that the ring holds, so that no append waits for ever", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 5000 });
  const { done, last } = await skipRing(wal, {});
  const error = await last as WALFullError;
  assertEquals([error.name, error.consumer, error.lagRecords], ["WALFullError", "skipping", CAPACITY]);
  assertStringIncludes(String(error.cause), "is poison");
  await assertRejects(() => done, Error, "is poison");
  assertEquals(wal.dropConsumer("skipping"), true);
});

for (const options of [{}, { maxLagRecords: 2 * CAPACITY }]) {
  const limit = "maxLagRecords" in options ? "with a limit" : "without a limit";
  test(`logInsert() waits for no consumer ${limit} that has skipped from the middle of a batch on`, async () => {
    await using wal = openInMemory({ fullTimeoutMs: 5000 });
    let last = 0;
    const insert = (_kh: bigint, _kl: bigint, _vh: bigint, _vl: bigint, { lsn }: WALRecord) => {
      if (lsn > 4) throw new Error(`LSN ${lsn} is poison`);
      last = lsn;
    };
    const store = { insert, delete() {}, deleteValue() {}, appliedLsn: () => last };
    const { done } = consume(wal, store, { ...options, name: "skipping", onError: skip, pollIntervalMs: 1 });
    done.catch(() => {});
    await wal.batchInsert(items(1, 10));
    fill(wal, CAPACITY - 10);
    await wal.whenApplied();
    const appended = await wal.logInsert(1, 1, 1, 1).then(() => "is appended", (error: WALFullError) => error.message);
    const [{ state, lost }] = wal.stats().consumers as [WALStats["consumers"][number]];
    if ("maxLagRecords" in options) assertEquals([appended, lost], ["is appended", true]);
    else {
      assertEquals([appended.includes("after 5000 ms"), state], [false, "failed"]);
      assertStringIncludes(appended, "is poison");
    }
  });
}

test("consumeAsync() gives up a consumer with a limit that has skipped all that the ring holds", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 5000 });
  const { done, last } = await skipRing(wal, { maxLagRecords: 2 * CAPACITY });
  assertEquals([await last, wal.stats().consumers[0]?.lost], ["is appended", true]);
  await assertRejects(() => done, WALConsumerLostError, "skipping");
});

test("consumeAsync() that is given up says so, also if the log is closed before the append goes in", async () => {
  for (let hops = 0; hops < 40; hops++) {
    const wal = openOn(new SimulatedDisk({ seed: 1 }), { flush: "offload" });
    const insert = () => {
      throw new Error("poison");
    };
    const store = { insert, delete() {}, deleteValue() {}, appliedLsn: () => 0 };
    const { done } = consume(wal, store, { maxLagRecords: 2 * CAPACITY, onError: skip, pollIntervalMs: Infinity });
    const ended = done.then(() => null, (error: unknown) => error);
    fill(wal, CAPACITY);
    await wal.whenApplied();
    await new Promise((resolve) => setTimeout(resolve, 0));
    const appended = wal.logInsert(1, 2, 3, 4).catch(() => {});
    for (let hop = 0; hop < hops; hop++) await null;
    wal.close();
    const error = await ended;
    assert(error === null || error instanceof WALConsumerLostError, `after ${hops} hops: ${String(error)}`);
    await appended;
  }
});

test("consumeAsync() ends when it has skipped all from within the oldest batch on", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 5000 });
  let applied = 0;
  const insert = () => {
    if (applied === 50) throw new Error("no more than 50");
    applied++;
  };
  const store = { insert, delete() {}, deleteValue() {}, appliedLsn: () => applied };
  const { done } = consume(wal, store, { name: "skipping", onError: skip, pollIntervalMs: Infinity });
  done.catch(() => {});
  wal.batchInsertSync(items(1, 100));
  fill(wal, CAPACITY - wal.length);
  await wal.whenApplied();
  const { consumer, message } = await assertRejects(() => wal.logInsert(1, 2, 3, 4), WALFullError);
  assertEquals([consumer, message.includes("after 5000 ms")], ["skipping", false]);
  await assertRejects(() => done, Error, "no more than 50");
});

test("keepRecords gives way after the newest records were skipped, and the consumer goes on", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 5000 });
  const store = new PoisonedSavingStore(CAPACITY, CAPACITY + 1);
  const options: ConsumeOptions = { name: "ship", onError: skip, pollIntervalMs: Infinity };
  await using _ = consume(wal, store, { ...options, keepRecords: CAPACITY - 50 });
  wal.batchInsertSync(items(1, 100));
  fill(wal, CAPACITY - wal.length);
  await wal.whenApplied();
  assertEquals(wal.tail, 1);
  await wal.logInsert(1, 2, 3, 4);
  assertEquals(wal.tail, 101);
  await wal.logInsert(1, 2, 3, 4);
  await wal.whenApplied();
  assertEquals(store.lsns.at(-1), CAPACITY + 2);
});

test("logInsert() goes in where a consumer has skipped the newest records, and another one has failed", async () => {
  await using wal = openInMemory({ fullTimeoutMs: 5000 });
  const begins = Promise.withResolvers<void>();
  const insert = (_kh: bigint, _kl: bigint, _vh: bigint, _vl: bigint, { lsn }: WALRecord) => {
    if (lsn === 100) throw new Error("no more");
    return lsn === 1 ? begins.promise : undefined;
  };
  const failing = consume(wal, { insert, delete() {}, deleteValue() {} }, { name: "failing" });
  const store = new PoisonedSavingStore(...range(600, CAPACITY));
  await using skipping = consume(wal, store, { name: "skipping", onError: skip, pollIntervalMs: 1 });
  fill(wal, CAPACITY);
  await until(() => skipping.applied === CAPACITY && wal.stats().consumers[1]?.position === 599);
  await new Promise((resolve) => setTimeout(resolve, 20)); // it confirms
  begins.resolve();
  await assertRejects(() => failing.done, Error, "no more");
  await wal.logInsert(1, 2, 3, 4);
  assertEquals(wal.stats().consumers.map(({ name, state }) => [name, state]), [
    ["failing", "failed"],
    ["skipping", "running"],
  ]);
});

test("dropConsumer() forgets what the consumer has skipped", async () => {
  await using wal = openInMemory();
  fill(wal, 1);
  const consumption = consume(wal, new PoisonedStore(1), { name: "search", onError: skip });
  await wal.whenApplied();
  await consumption.stop();
  assert(told(wal, 'Consumer "search" has skipped'));
  await using _ = consume(wal, new ListStore(), { name: "latest" });
  wal.dropConsumer("search");
  assertEquals(wal.stats().warnings, []);
  await assertRejects(() => wal.whenApplied(1, { name: "search" }), WALClosedError, '"search" does not run');
});

async function consumeAll(wal: WAL, store: Store & PoisonedStore): Promise<void> {
  await using _ = consume(wal, store, { onError: skip, pollIntervalMs: Infinity });
  await wal.flushAsync();
  await wal.whenApplied();
}

test('"skip" after a failed sync() means "retry", because no record is to blame', async () => {
  await using wal = openInMemory();
  let failures = 2;
  const store = Object.assign(new ListStore(), {
    sync() {
      if (failures-- > 0) throw new Error("no sync");
    },
  });
  fill(wal, 3);
  await using consumption = consume(wal, store, { onError: skip, pollIntervalMs: 1 });
  await wal.whenApplied();
  await until(() => wal.tail === 4);
  assertEquals([skips(wal), new Set(store.applied)], [[0, []], new Set(range(1, 3))]);
  await consumption.stop();
});

/** A store that throws at some LSNs, and loses what it has not synced when a sync fails. */
class ForgettingStore implements Store {
  readonly poison = new Set<number>();
  failures = 0;
  applied = 0;
  saved = 0;

  insert(_kh: bigint, _kl: bigint, _vh: bigint, _vl: bigint, { lsn }: WALRecord): void {
    if (this.poison.has(lsn)) throw new Error(`LSN ${lsn} is poison`);
    this.applied = lsn;
  }

  delete(): void {}
  deleteValue(): void {}

  appliedLsn(): number {
    return this.saved;
  }

  sync(): void {
    if (this.failures-- > 0) {
      this.applied = this.saved;
      throw new Error("no sync");
    }
    this.saved = this.applied;
  }
}

test("consumeAsync() confirms no record that a failed sync() has lost before a skipped one", async () => {
  await using wal = openInMemory();
  class StoppingStore extends ForgettingStore {
    override insert(...given: Parameters<ForgettingStore["insert"]>): void {
      super.insert(...given);
      if (this.failures === 0 && this.applied === 2) void consumption.stop();
    }
  }
  const store = new StoppingStore();
  store.failures = 1;
  store.poison.add(5);
  fill(wal, 5);
  const onError = (error: unknown) => String(error).includes("poison") ? "skip" : "retry";
  const consumption = consume(wal, store, { onError, batchSize: 1, pollIntervalMs: 1 });
  await consumption.done;
  assertEquals([skips(wal), store.saved, wal.tail], [[1, [5]], 2, 3]);
});

test("consumeAsync() confirms no skipped record that has only a checkpoint after it since a failed sync()", async () => {
  await using wal = openInMemory();
  const store = new ForgettingStore();
  fill(wal, 1);
  const first = consume(wal, store);
  await wal.whenApplied();
  await first.stop(); // which writes a checkpoint
  fill(wal, 1);
  assertEquals(wal.checkpoint(), 4);
  fill(wal, 1);
  const onError = (error: unknown) => {
    store.poison.add(3).add(5);
    if (String(error).includes("LSN 5")) void consumption.stop();
    return String(error).includes("LSN 3") ? "skip" : "retry";
  };
  store.failures = 1;
  const consumption = consume(wal, store, { onError, batchSize: 1, pollIntervalMs: 1 });
  await consumption.done;
  assertEquals([skips(wal), store.saved, wal.tail], [[1, [3]], 1, 3]);
});

test('"skip" finds a batch in SQLiteStore, whose transactions join several runs', async () => {
  await using wal = openInMemory();
  using store = new SQLiteStore(":memory:");
  fill(wal, 20);
  wal.logOperationSync(40, 1, 1, 1, 1); // SQLiteStore cannot apply it, and says so by a WALOperationError
  await assertRejects(() => wal.consumeAsync(store, { onError: skip }), Error, "LSN 21");
  assertEquals(skips(wal), [0, []]);
});

test("onError must answer with one of three words", async () => {
  await using wal = openInMemory();
  fill(wal, 1);
  const answer = "ignore" as "skip";
  await assertRejects(
    () => wal.consumeAsync(new PoisonedStore(1), { onError: () => answer }),
    Error,
    "LSN 1 is poison",
  );
});
