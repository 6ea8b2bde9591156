// Fault: the ring is full, and its consumer is slow, stuck, absent, or appends itself (H31).
// Promise: nothing is overwritten. Sync appends throw, async ones wait while a consumer runs, and
//   every promise settles (G13).
// Method: 768 slots, filled, and a store that waits for the test.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { consume, type Store, type WAL, WALClosedError, WALFullError, type WALOptions, WALSyncError } from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { settle, Watched } from "./support/commit_target.ts";
import { CAPACITY, fill, Gate, items, ListStore, lsns, openInMemory, openOn, range, until } from "./support/logs.ts";
import { test } from "./support/test.ts";

/** A full log whose consumer waits within the store until `gate.open()`. */
async function stuck(options: WALOptions = {}, wal: WAL = openInMemory(options)) {
  const gate = new Gate();
  const stop = new AbortController();
  const store = new ListStore();
  store.before = gate.enter;
  fill(wal, CAPACITY);
  const consuming = wal.consumeAsync(store, { signal: stop.signal, batchSize: 8 });
  await gate.entered;
  return { wal, gate, stop, store, consuming };
}

function calls(wal: WAL): (() => unknown)[] {
  return [
    () => wal.logInsertSync(1, 1, 1, 1),
    () => wal.logDeleteSync(1, 1),
    () => wal.logDeleteValueSync(1, 1, 1, 1),
    () => wal.logReplaceSync(1, 1, 1, 1),
    () => wal.logOperationSync(63, 1, 1, 1, 1),
    () => wal.batchInsertSync(items(1, 1)),
    () => wal.batchDeleteSync([[1, 1]]),
    () => wal.batchSync([{ type: "delete", keyHigh: 1, keyLow: 1 }]),
  ];
}

function asyncCalls(wal: WAL): (() => Promise<unknown>)[] {
  return [
    () => wal.logInsert(1, 1, 1, 1),
    () => wal.logDelete(2, 2),
    () => wal.logDeleteValue(3, 3, 3, 3),
    () => wal.logReplace(3, 3, 3, 3),
    () => wal.logOperation(63, 3, 3, 3, 3),
    () => wal.batchInsert(items(4, 2)),
    () => wal.batchDelete([[6, 6]]),
    () => wal.batch([{ type: "delete", keyHigh: 7, keyLow: 7 }]),
  ];
}

test("WALFullError meets every append to a full ring without a consumer, which writes nothing", async () => {
  await using wal = openInMemory();
  fill(wal, CAPACITY);
  wal.flush();
  const before = JSON.stringify(wal.replay());
  for (const call of calls(wal)) {
    const error = assertThrows(call, WALFullError);
    assertEquals([error.code, error.capacity, error.tail, error.head, error.wanted], ["FULL", 768, 1, 769, 1]);
  }
  for (const call of asyncCalls(wal)) await assertRejects(call, WALFullError, "the ring holds LSN 1 to 768 in 768");
  assertEquals([wal.head, wal.stats().waiting], [CAPACITY + 1, 0]);
  assertEquals(JSON.stringify(wal.replay()), before);
});

test("batchInsertSync() throws whole where a batch does not fit, and goes in where it does", () => {
  using wal = openInMemory();
  fill(wal, CAPACITY - 3);
  assertEquals(assertThrows(() => wal.batchInsertSync(items(1, 4)), WALFullError).wanted, 4);
  assertEquals(wal.head, CAPACITY - 2);
  wal.batchInsertSync(items(1, 3));
  assertEquals(wal.head, CAPACITY + 1);
});

test("truncate() makes room at once", () => {
  using wal = openInMemory();
  fill(wal, CAPACITY);
  wal.flush();
  wal.truncate(2);
  fill(wal, 2);
  assertThrows(() => fill(wal, 1), WALFullError);
  assertEquals(lsns(wal.replay()), range(3, CAPACITY + 2));
});

test("logInsert() waits while a consumer runs, and goes in first come, first served", async () => {
  const { wal, gate, stop, store, consuming } = await stuck();
  const waiting = asyncCalls(wal).map((call) => call());
  assertEquals(wal.stats().waiting, 8);
  for (const call of calls(wal)) assertThrows(call, WALFullError);
  assertEquals(wal.head, CAPACITY + 1);
  gate.open();
  await Promise.all(waiting);
  await until(() => store.applied.length >= CAPACITY + 9);
  stop.abort();
  await consuming;
  assertEquals([wal.stats().waiting, store.applied.slice(0, CAPACITY)], [0, range(1, CAPACITY)]);
  wal.close();
});

test("logInsert() calls that waited are logged in their order, once each", async () => {
  const { wal, gate, stop, store, consuming } = await stuck();
  const keys: number[] = [];
  store.before = ({ keyHigh, keyLow }) => void (keyHigh === 9000n && keys.push(Number(keyLow)));
  const waiting = range(1, 100).map((i) => wal.logInsert(9000, i, 9, i));
  gate.open();
  await Promise.all(waiting);
  await wal.whenApplied();
  stop.abort();
  await consuming;
  assertEquals(keys, range(1, 100));
  wal.close();
});

test("batchInsert() of a batch as large as the ring waits until all of it is free", async () => {
  const { wal, gate, stop, consuming } = await stuck();
  const batch = wal.batchInsert(items(1, CAPACITY));
  gate.open();
  await batch;
  assertEquals(wal.head, 2 * CAPACITY + 1);
  stop.abort();
  await consuming;
  wal.close();
});

test("batchInsert() that waits writes the batch as it was when it was handed over", async () => {
  const { wal, gate, stop, store, consuming } = await stuck();
  const seen: bigint[] = [];
  store.before = (record) => {
    if (record.lsn > CAPACITY) seen.push(record.keyHigh);
  };
  const item: [number, number, number, number] = [7, 7, 7, 7];
  const batch = wal.batchInsert([item]);
  item[0] = 99;
  gate.open();
  await batch;
  await wal.whenApplied();
  assertEquals(seen, [7n]);
  stop.abort();
  await consuming;
  wal.close();
});

test("logInsert() that waits too long rejects with WALFullError and is never written", async () => {
  const { wal, gate, stop, store, consuming } = await stuck({ fullTimeoutMs: 2 });
  await assertRejects(() => wal.logInsert(1, 1, 1, 1), WALFullError, "after 2 ms");
  await assertRejects(() => wal.batchInsert(items(1, 3)), WALFullError, "after 2 ms");
  assertEquals(wal.stats().waiting, 0);
  gate.open();
  await until(() => store.applied.length === CAPACITY);
  stop.abort();
  await consuming;
  assertEquals(store.applied, range(1, CAPACITY));
  wal.close();
});

test("logInsert() after one that timed out goes in as soon as there is room for it", async () => {
  // 8 slots are free: too few for the batch in front, enough for the insert after it.
  const wal = openInMemory({ fullTimeoutMs: 30 });
  const gate = new Gate();
  const store = new ListStore();
  store.before = gate.enter;
  fill(wal, CAPACITY - 8);
  const consuming = wal.consumeAsync(store);
  await gate.entered;
  const batch = assertRejects(() => wal.batchInsert(items(1, 9)), WALFullError);
  await new Promise((resolve) => setTimeout(resolve, 15));
  await Promise.all([batch, wal.logInsert(1, 1, 1, 1)]);
  wal.close();
  gate.open();
  await consuming;
});

test("logInsertSync() that is refused again reads nothing of the batch that is in the way", async () => {
  const disk = new SimulatedDisk({ seed: 1 });
  {
    using before = openOn(disk);
    before.batchInsertSync(items(1, CAPACITY));
  }
  using wal = openOn(disk);
  const gate = new Gate();
  const store = new ListStore();
  store.before = ({ lsn }) => lsn === 300 ? gate.enter() : undefined;
  const consuming = wal.consumeAsync(store);
  await gate.entered;
  assertThrows(() => wal.logInsertSync(1, 2, 3, 4), WALFullError);
  const { steps } = disk;
  assertThrows(() => wal.logInsertSync(1, 2, 3, 4), WALFullError);
  assertEquals([wal.applied, disk.steps - steps], [299, 0]);
  gate.open();
  wal.close();
  await consuming;
});

test("batchInsertSync() that is refused in turn with logInsertSync() reads nothing that is in the way again", async () => {
  const disk = new SimulatedDisk({ seed: 1 });
  {
    using before = openOn(disk);
    before.logInsertSync(1, 2, 3, 4);
    before.batchInsertSync(items(1, CAPACITY - 1));
  }
  using wal = openOn(disk);
  const gate = new Gate();
  const store = new ListStore();
  store.before = ({ lsn }) => lsn === 1 ? gate.enter() : undefined;
  const consuming = wal.consumeAsync(store);
  await gate.entered;
  const refuse = () => {
    const { steps } = disk;
    for (const count of [300, 1, 2, 299]) assertThrows(() => wal.batchInsertSync(items(1, count)), WALFullError);
    assertThrows(() => wal.logInsertSync(1, 2, 3, 4), WALFullError);
    return disk.steps - steps;
  };
  assert(refuse() > 0);
  assertEquals(refuse(), 0);
  gate.open();
  wal.close();
  await consuming;
});

test("stop() lets in who waits for what the consumer has released", async () => {
  for (const flush of ["inline", "offload"] as const) {
    for (const keepRecords of [0, 100]) {
      await using wal = openInMemory({ flush, fullTimeoutMs: 5000 });
      const sync = new Gate();
      const consumption = consume(wal, { applyBatch() {}, sync: sync.enter }, { name: "one", keepRecords });
      fill(wal, CAPACITY);
      await wal.flushAsync();
      await sync.entered;
      const waiting = wal.logInsert(1, 2, 3, 4);
      const stopped = consumption.stop();
      sync.open();
      await Promise.all([waiting, stopped]);
      assertEquals(wal.head, CAPACITY + 2);
    }
  }
});

test("consumeAsync() that ends turns away those who wait, whether it was stopped or failed", async () => {
  for (const end of ["stopped", "failed"] as const) {
    const { wal, gate, stop, consuming } = await stuck();
    const waiting = new Watched(wal.logInsert(1, 1, 1, 1));
    const batch = new Watched(wal.batchInsert(items(1, CAPACITY)));
    const ended = new Watched(consuming);
    if (end === "stopped") {
      stop.abort();
      gate.open();
    } else gate.fail(new Error("no store"));
    await until(() => ended.state !== "pending" && batch.state !== "pending" && waiting.state !== "pending");
    assertEquals(ended.state, end === "stopped" ? "resolved" : "rejected");
    assert(batch.error instanceof WALFullError, String(batch.error));
    if (end === "failed") assert(waiting.error instanceof WALFullError);
    assertEquals(wal.stats().waiting, 0);
    wal.close();
  }
});

test("close() turns away those who wait with WALClosedError", async () => {
  const { wal, gate, consuming } = await stuck();
  const waiting = asyncCalls(wal).map((call) => new Watched(call()));
  const applied = new Watched(wal.whenApplied());
  wal.close();
  await settle();
  for (const { state, error } of waiting) assert(state === "rejected" && error instanceof WALClosedError);
  // The store still has not answered.
  assertEquals(applied.state, "rejected");
  gate.open();
  await consuming;
  assertEquals(wal.isOpen, false);
});

test("WALSyncError turns away those who wait after a failed sync", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  const { gate, consuming } = await stuck({}, wal);
  const waiting = new Watched(wal.logInsert(1, 1, 1, 1));
  disk.fail({ call: "syncMapped", times: Infinity });
  gate.open();
  await assertRejects(() => consuming, WALSyncError);
  await settle();
  assert(waiting.error instanceof WALSyncError);
  assertEquals(wal.stats().poisoned, true);
  wal.close();
});

test("logInsert() from within the store goes in while there is room", async () => {
  await using wal = openInMemory();
  const applied: bigint[] = [];
  const store: Store = {
    insert: async (keyHigh, keyLow) => {
      applied.push(keyHigh);
      if (keyHigh >= 3n) return;
      if (keyLow === 0n) wal.logInsertSync(keyHigh + 1n, 0, 0, 0);
      await wal.logInsert(100n + keyHigh, 1, 0, 0);
    },
    delete() {},
    deleteValue() {},
  };
  const stop = new AbortController();
  const consuming = wal.consumeAsync(store, { signal: stop.signal });
  await wal.logInsert(1, 0, 0, 0);
  await until(() => applied.includes(102n) && applied.includes(3n));
  stop.abort();
  await consuming;
  assertEquals(applied.toSorted(), [1n, 101n, 102n, 2n, 3n]);
});

test("logInsert() from within the store to a full ring rejects at once: waiting would wait for itself", async () => {
  await using wal = openInMemory();
  fill(wal, CAPACITY);
  const errors: unknown[] = [];
  const store: Store = {
    applyBatch: async () => {
      await null;
      for (const call of asyncCalls(wal)) await call().catch((error) => errors.push(error));
      for (const call of calls(wal)) {
        try {
          call();
        } catch (error) {
          errors.push(error);
        }
      }
      throw new Error("enough");
    },
  } as Partial<Store> as Store;
  await assertRejects(() => wal.consumeAsync(store), Error, "enough");
  assertEquals([errors.length, errors.every((error) => error instanceof WALFullError)], [16, true]);
  assertEquals(wal.head, CAPACITY + 1);
});

test("WAL loses nothing and repeats nothing over many laps under a consumer and writers that wait", async () => {
  const disk = new SimulatedDisk();
  await using wal = openOn(disk, { flush: "offload" });
  const store = new ListStore();
  const keys: bigint[] = [];
  store.before = (record) => void keys.push(record.keyLow);
  const stop = new AbortController();
  const consuming = wal.consumeAsync(store, { signal: stop.signal, batchSize: 50 });
  const count = 4 * CAPACITY;
  await Promise.all(range(1, count).map((i) => wal.logInsert(0, i, 0, 0)));
  await wal.whenApplied();
  stop.abort();
  await consuming;
  assertEquals(keys.map(Number), range(1, count));
  assert(wal.head > count);
});
