// The consumer over a log that works: what it hands out, when it wakes, how it stops.

import { assert, assertEquals, assertRejects, assertStrictEquals, assertStringIncludes } from "@std/assert";
import {
  consume,
  type ConsumeOptions,
  OpType,
  type Store,
  WALClosedError,
  WALConsumingError,
  type WALRecord,
} from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { settle, Watched } from "./support/commit_target.ts";
import { CAPACITY, fill, Gate, items, ListStore, lsns, openInMemory, openOn, range, until } from "./support/logs.ts";
import { test } from "./support/test.ts";

/** A store of whole runs. */
function runStore(runs: WALRecord[][] = []): Store & { readonly runs: WALRecord[][] } {
  return { runs, applyBatch: (records) => void runs.push([...records]) };
}

test("consumeAsync() hands each kind of record to its method, with the record", async () => {
  await using wal = openInMemory();
  const calls: unknown[][] = [];
  const store: Store = {
    insert: (...fields) => void calls.push(["insert", ...fields.slice(0, 4), fields[4].lsn]),
    delete: (...fields) => void calls.push(["delete", ...fields.slice(0, 2), fields[2].lsn]),
    deleteValue: (...fields) => void calls.push(["deleteValue", ...fields.slice(0, 4), fields[4].lsn]),
    replace: (...fields) => void calls.push(["replace", ...fields.slice(0, 4), fields[4].lsn]),
    apply: (...fields) =>
      void calls.push(["apply", ...fields.map(({ lsn, opType, keyHigh }) => [lsn, opType, keyHigh])]),
  };
  wal.logInsertSync(1, 2, 3, 4);
  wal.logDeleteSync(5, 6);
  wal.checkpoint(0);
  wal.logDeleteValueSync(7, 8, 9, 10);
  wal.logReplaceSync(11, 12, 13, 14);
  wal.logOperationSync(32, 15, 0, 0, 0);
  wal.logOperationSync(63, 16, 0, 0, 0);
  const consuming = wal.consumeAsync(store);
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals(calls, [
    ["insert", 1n, 2n, 3n, 4n, 1],
    ["delete", 5n, 6n, 2],
    ["deleteValue", 7n, 8n, 9n, 10n, 4],
    ["replace", 11n, 12n, 13n, 14n, 5],
    ["apply", [6, 32, 15n]],
    ["apply", [7, 63, 16n]],
  ]);
});

test("consumeAsync() calls the store's methods as methods", async () => {
  await using wal = openInMemory();
  const store = new ListStore();
  fill(wal, 3);
  const consuming = wal.consumeAsync(store);
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals(store.applied, [1, 2, 3]);
});

test("consumeAsync() hands out durable records only", async () => {
  const disk = new SimulatedDisk({ asyncTicks: "manual" });
  const wal = openOn(disk, { flush: "offload" });
  const store = new ListStore();
  store.before = ({ lsn }) => assert(lsn <= wal.durable, `LSN ${lsn} is not durable`);
  // A checkpoint of an idle consumer would need a sync of its own.
  const consuming = wal.consumeAsync(store, { pollIntervalMs: Infinity });
  for (let round = 1; round <= 3; round++) {
    const done = wal.logInsert(1, 1, 1, 1);
    await until(() => disk.pendingAsync > 0);
    await settle();
    assertEquals(store.applied.length, round - 1);
    disk.finishAsync();
    await done;
    await until(() => store.applied.length === round);
  }
  wal.close();
  await consuming;
});

test("consumeAsync() has sync appends made durable, though nobody asked for a flush", async () => {
  await using wal = openInMemory();
  const store = new ListStore();
  const consuming = wal.consumeAsync(store, { pollIntervalMs: Infinity });
  await settle();
  fill(wal, 3);
  await until(() => store.applied.length === 3);
  wal.close();
  await consuming;
});

test("logInsert() wakes the consumer at once, without a poll", async () => {
  await using wal = openInMemory();
  const store = new ListStore();
  const consuming = wal.consumeAsync(store, { pollIntervalMs: Infinity });
  for (let i = 1; i <= 20; i++) {
    await wal.logInsert(i, i, i, i);
    await wal.whenApplied();
  }
  assertEquals(store.applied, range(1, 20));
  wal.close();
  await consuming;
});

test("applyBatch() gets runs of about batchSize, in order, without checkpoints, batches whole", async () => {
  await using wal = openInMemory();
  fill(wal, 3);
  wal.batchInsertSync(items(4, 10));
  wal.checkpoint(0);
  fill(wal, 5);
  const store = runStore();
  const consuming = wal.consumeAsync(store, { batchSize: 4 });
  await wal.whenApplied();
  wal.close();
  await consuming;
  const runs = store.runs.map(lsns);
  assertEquals(runs.flat(), [...range(1, 13), ...range(15, 19)]);
  assertEquals(runs[0], range(1, 13));
  assert(runs.slice(1).every((run) => run.length <= 4));
});

test("applyBatch() is not called for a run of checkpoints", async () => {
  await using wal = openInMemory();
  fill(wal, 1);
  for (let i = 0; i < 5; i++) wal.checkpoint(0);
  const store = runStore();
  const consuming = wal.consumeAsync(store, { batchSize: 1 });
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals(store.runs.map(lsns), [[1]]);
});

test("WALRecord of a run stays as it is when the log goes on over its slot", async () => {
  await using wal = openInMemory();
  const store = runStore();
  const consuming = wal.consumeAsync(store);
  for (let i = 0; i < 3 * CAPACITY; i += 96) await wal.batchInsert(items(i, 96));
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals(store.runs.flat().map(({ keyHigh }) => Number(keyHigh)), range(0, 3 * CAPACITY - 1));
});

test("consumeAsync() makes one call at a time to a slow store", async () => {
  await using wal = openInMemory();
  let running = 0;
  let most = 0;
  const store = new ListStore();
  store.before = async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 0));
    running--;
  };
  const consuming = wal.consumeAsync(store, { batchSize: 3 });
  await Promise.all(range(1, 10).map((i) => wal.logInsert(i, i, i, i)));
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals([most, store.applied], [1, range(1, 10)]);
});

test("consumeAsync() that is idle makes the store durable, writes a checkpoint and releases, once", async () => {
  await using wal = openInMemory();
  const events: string[] = [];
  const store = new ListStore();
  const consuming = wal.consumeAsync(
    Object.assign(store, { sync: () => void events.push(`sync at tail ${wal.tail}`) }),
    { pollIntervalMs: 1 },
  );
  fill(wal, 5);
  await until(() => wal.tail === wal.head);
  assertEquals(events[0], "sync at tail 1");
  assertEquals([wal.head, wal.applied], [7, 6]);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assertEquals([wal.head, wal.tail], [7, 7], "a checkpoint is not worth a checkpoint");
  wal.close();
  await consuming;
});

test("consumeAsync() moves the tail only after the store's sync() has resolved", async () => {
  await using wal = openInMemory();
  const gate = new Gate();
  const store = Object.assign(new ListStore(), { sync: gate.enter });
  const consuming = wal.consumeAsync(store, { pollIntervalMs: 1 });
  fill(wal, 5);
  await gate.entered;
  await settle();
  assertEquals([wal.applied, wal.tail], [5, 1]);
  gate.open();
  await until(() => wal.tail > 5);
  wal.close();
  await consuming;
});

test("consumeAsync() under load writes a checkpoint for each eighth of the ring, not for each run", async () => {
  await using wal = openInMemory();
  const consuming = wal.consumeAsync(new ListStore(), { pollIntervalMs: Infinity });
  for (let i = 0; i < 4 * CAPACITY; i += 32) {
    await wal.batchInsert(items(i, 32));
    await wal.whenApplied();
  }
  const checkpoints = wal.head - 1 - 4 * CAPACITY;
  assert(checkpoints >= 24 && checkpoints <= 36, `${checkpoints} checkpoints`);
  wal.close();
  await consuming;
});

// Stopping.

test("consumeAsync() that is idle is stopped by the signal, and leaves no listener or timer behind", async () => {
  await using wal = openInMemory();
  const stop = new AbortController();
  let listeners = 0;
  const { signal } = stop;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...values: Parameters<typeof add>) => (listeners++, add(...values));
  signal.removeEventListener = (...values: Parameters<typeof remove>) => (listeners--, remove(...values));
  const consuming = wal.consumeAsync(new ListStore(), { signal });
  await settle();
  stop.abort();
  await consuming;
  assertEquals([listeners, wal.stats().consuming], [0, false]);
});

test("consumeAsync() with a signal that has aborted already ends before the first record", async () => {
  await using wal = openInMemory();
  fill(wal, 3);
  const store = new ListStore();
  await wal.consumeAsync(store, { signal: AbortSignal.abort() });
  assertEquals([store.applied, wal.tail], [[], 1]);
});

test("consumeAsync() that is busy is stopped by the signal after the running call to the store, and confirms what is applied", async () => {
  await using wal = openInMemory();
  const store = new ListStore();
  const stop = new AbortController();
  fill(wal, 100);
  store.before = ({ lsn }) => {
    if (lsn === 40) stop.abort();
  };
  await wal.consumeAsync(store, { signal: stop.signal });
  assertEquals([store.applied, wal.applied, wal.tail], [range(1, 40), 40, 41]);
});

test("close() stops a busy consumer after the call to the store that runs", async () => {
  const wal = openInMemory();
  const store = new ListStore();
  fill(wal, 100);
  store.before = ({ lsn }) => {
    if (lsn === 40) wal.close();
  };
  await wal.consumeAsync(store);
  assertEquals(store.applied, range(1, 40));
});

test("consumeAsync() goes on where the consumer before was stopped", async () => {
  await using wal = openInMemory();
  const store = new ListStore();
  fill(wal, 60);
  for (const last of [13, 14, 50, 60]) {
    const stop = new AbortController();
    store.before = ({ lsn }) => {
      if (lsn === last) stop.abort();
    };
    await wal.consumeAsync(store, { signal: stop.signal });
  }
  assertEquals(store.applied, range(1, 60));
});

test("consumeAsync() runs once at a time: a second consumer rejects with WALConsumingError", async () => {
  await using wal = openInMemory();
  const stop = new AbortController();
  const first = wal.consumeAsync(new ListStore(), { signal: stop.signal });
  assertEquals(wal.stats().consuming, true);
  const error = await assertRejects(() => wal.consumeAsync(new ListStore()), WALConsumingError);
  assertEquals(error.code, "CONSUMING");
  stop.abort();
  await first;
  const third = wal.consumeAsync(new ListStore());
  wal.close();
  await third;
});

test("consumeAsync() takes a number for the poll interval in seconds", async () => {
  await using wal = openInMemory();
  const store = new ListStore();
  const consuming = wal.consumeAsync(store, 0.001);
  fill(wal, 3);
  await until(() => wal.tail > 3);
  wal.close();
  await consuming;
});

test("consumeAsync() says of a number of more than 60 seconds that it was meant as milliseconds", async () => {
  await using wal = openInMemory();
  const store = new ListStore();
  const consumeAsync = (number: number) => wal.consumeAsync(store, number);
  for (const start of [consumeAsync, (number: number) => consume(wal, store, number).done]) {
    for (const number of [60.001, 100, 1e9, Infinity]) {
      const error = await assertRejects(() => start(number), RangeError, "a number is seconds, from 0 to 60");
      assertStringIncludes(error.message, `use { pollIntervalMs: ${number} }`);
      assertEquals(wal.stats().consuming, false);
    }
    for (const number of [NaN, -0.1]) {
      const error = await assertRejects(() => start(number), RangeError, "a number is seconds, from 0 to 60");
      assert(!error.message.includes("pollIntervalMs"), error.message);
    }
  }
  const consuming = wal.consumeAsync(store, 60);
  assertEquals(wal.stats().consuming, true);
  wal.close();
  await consuming;
});

// What cannot be used.

const BAD_OPTIONS: readonly [what: string, options: unknown, error: typeof TypeError | typeof RangeError][] = [
  ["null", null, TypeError],
  ["a string", "1", TypeError],
  ["NaN seconds", NaN, RangeError],
  ["negative seconds", -1, RangeError],
  ["a batch size of 0", { batchSize: 0 }, RangeError],
  ["a batch size that is no integer", { batchSize: 1.5 }, RangeError],
  ["a batch size that is no number", { batchSize: "9" }, TypeError],
  ["a batch size past 2^20", { batchSize: 2 ** 20 + 1 }, RangeError],
  ["a negative poll interval", { pollIntervalMs: -1 }, RangeError],
  ["a poll interval that is no number", { pollIntervalMs: "1" }, TypeError],
  ["a signal that is none", { signal: {} }, TypeError],
  ["an onError that is no function", { onError: "retry" }, TypeError],
];

test("consumeAsync() rejects options that cannot be used, and does not start", async () => {
  await using wal = openInMemory();
  for (const [what, options, error] of BAD_OPTIONS) {
    await assertRejects(() => wal.consumeAsync(new ListStore(), options as ConsumeOptions), error, "", what);
    assertEquals(wal.stats().consuming, false);
  }
});

test("consumeAsync() rejects what is no store with TypeError", async () => {
  await using wal = openInMemory();
  const stores: unknown[] = [
    null,
    undefined,
    5,
    {},
    { insert() {} },
    { insert() {}, delete() {} },
    {
      applyBatch: 5,
    },
    { applyBatch() {}, sync: 1 },
    { applyBatch() {}, appliedLsn: 7 },
  ];
  for (const store of stores) await assertRejects(() => wal.consumeAsync(store as Store), TypeError);
});

// whenApplied().

test("whenApplied() resolves when the record is applied, and at once if it is", async () => {
  await using wal = openInMemory();
  const gate = Promise.withResolvers<void>();
  const store = new ListStore();
  store.before = ({ lsn }) => lsn === 3 ? gate.promise : undefined;
  const consuming = wal.consumeAsync(store);
  fill(wal, 5);
  const waits = range(1, 5).map((lsn) => new Watched(wal.whenApplied(lsn)));
  await until(() => wal.applied === 2);
  await settle();
  assertEquals(waits.map(({ state }) => state), ["resolved", "resolved", "pending", "pending", "pending"]);
  gate.resolve();
  await wal.whenApplied();
  assertEquals(waits.map(({ state }) => state), Array(5).fill("resolved"));
  await wal.whenApplied(2);
  wal.close();
  await consuming;
});

test("whenApplied() rejects without a consumer, for a record that is not there, and when the consumer ends", async () => {
  await using wal = openInMemory();
  fill(wal, 3);
  await assertRejects(() => wal.whenApplied(), WALClosedError, "no consumer runs");
  await assertRejects(() => wal.whenApplied(4), RangeError);
  await assertRejects(() => wal.whenApplied(-1), RangeError);
  const error = new Error("no store");
  const store = new ListStore();
  store.before = () => Promise.reject(error);
  const consuming = wal.consumeAsync(store);
  const waiting = wal.whenApplied();
  assertStrictEquals(await assertRejects(() => waiting), error);
  assertStrictEquals(await assertRejects(() => consuming), error);
});

test("replay() gives a checkpoint that the consumer applied as a checkpoint record", async () => {
  await using wal = openInMemory();
  const stop = new AbortController();
  fill(wal, 4);
  wal.logDeleteSync(1, 1);
  const consuming = wal.consumeAsync(new ListStore(), { signal: stop.signal });
  await wal.whenApplied();
  stop.abort();
  await consuming;
  const [record, ...others] = wal.replay();
  assertEquals([record?.opType, record?.valueLow, others.length], [OpType.Checkpoint, 5n, 0]);
});

test("consumeAsync() asks onError when the store's sync() throws, and applies again what was not synced", async () => {
  using wal = openInMemory();
  const store = new ListStore() as ListStore & Store;
  const asked: unknown[] = [];
  let failures = 2;
  store.sync = () => {
    if (failures-- > 0) throw new Error("not yet");
  };
  const stop = new AbortController();
  const onError: ConsumeOptions["onError"] = (_error, { firstLsn, lastLsn, attempt }) => {
    asked.push([firstLsn, lastLsn, attempt]);
    return "retry";
  };
  const consuming = wal.consumeAsync(store, { signal: stop.signal, pollIntervalMs: 1, onError });
  fill(wal, 3);
  await until(() => wal.tail > 3);
  assertEquals(asked, [[1, 3, 1], [1, 3, 2]]);
  // A second sync may succeed without what the first could not write, so the records are applied
  // before each.
  assertEquals(store.applied, [1, 2, 3, 1, 2, 3, 1, 2, 3]);
  stop.abort();
  await consuming;
});
