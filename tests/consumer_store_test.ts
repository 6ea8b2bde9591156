// Fault: the store throws, at any record, once or for ever. Its data and its mark differ from the
//   log's. The process dies between any two steps (H26, H27, H28, H31).
// Promise: nothing is lost, skipped or handed out of order. Nothing is repeated where the store has
//   appliedLsn() (G11).
// Method: a store that fails where it is told to, and one that saves its mark with its data, over
//   crashes of the log's disk.

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type ConsumeErrorContext,
  type LSN,
  type Store,
  WALCorruptError,
  type WALOptions,
  type WALRecord,
  WALStoreError,
  WALSyncError,
} from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import {
  CAPACITY,
  fill,
  Gate,
  items,
  ListStore,
  lsns,
  openInMemory,
  openOn,
  PATH,
  range,
  until,
} from "./support/logs.ts";
import { test } from "./support/test.ts";

/** A store that survives the log's crashes, and saves its mark in the transaction of the data. */
class DurableStore {
  readonly applied: number[] = [];
  mark = 0;
  /** Called before a run is taken. */
  before: (records: readonly WALRecord[]) => void = () => {};
  /** Called after it was taken. */
  after: () => void = () => {};

  applyBatch(records: readonly WALRecord[]): void {
    this.before(records);
    this.applied.push(...lsns(records));
    this.mark = this.applied.at(-1)!;
    this.after();
  }

  appliedLsn(): LSN {
    return this.mark;
  }

  asStore(): Store {
    return this as unknown as Store;
  }
}

test("consumeAsync() ends with what a store throws at any record, and the next consumer goes on there", async () => {
  for (let failing = 1; failing <= 12; failing++) {
    await using wal = openInMemory();
    fill(wal, 12);
    const store = new ListStore();
    const error = new Error(`LSN ${failing}`);
    store.before = ({ lsn }) => {
      if (lsn === failing) throw error;
    };
    assertStrictEquals(await assertRejects(() => wal.consumeAsync(store, { batchSize: 5 })), error);
    assertEquals([wal.applied, wal.tail, wal.stats().consuming], [failing - 1, 1, false]);
    store.before = () => {};
    const consuming = wal.consumeAsync(store, { batchSize: 5 });
    await wal.whenApplied();
    wal.close();
    await consuming;
    assertEquals(store.applied, range(1, 12));
  }
});

test("consumeAsync() treats a store's rejection like a throw, also with a value that is no Error", async () => {
  await using wal = openInMemory();
  fill(wal, 3);
  const store = new ListStore();
  store.before = ({ lsn }) => lsn === 2 ? Promise.reject("no words") : undefined;
  let thrown: unknown;
  await wal.consumeAsync(store).catch((error) => thrown = error);
  assertEquals([thrown, wal.applied], ["no words", 1]);
});

test("onError that says retry makes the consumer apply the same record again, with delays that double", async () => {
  await using wal = openInMemory();
  fill(wal, 3);
  const store = new ListStore();
  let failures = 0;
  store.before = ({ lsn }) => {
    if (lsn === 2 && failures < 2) throw new Error(`failure ${++failures}`);
  };
  const asked: (ConsumeErrorContext & { message: string })[] = [];
  const consuming = wal.consumeAsync(store, {
    onError: (error, context) => {
      asked.push({ ...context, message: (error as Error).message });
      return Promise.resolve("retry");
    },
  });
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals(store.applied, [1, 2, 3]);
  assertEquals(asked, [
    { firstLsn: 2, lastLsn: 3, attempt: 1, delayMs: 10, message: "failure 1" },
    { firstLsn: 2, lastLsn: 3, attempt: 2, delayMs: 20, message: "failure 2" },
  ]);
});

test("onError gets the whole run of a store that takes runs, and the run is applied again as a whole", async () => {
  await using wal = openInMemory();
  wal.batchInsertSync(items(1, 4));
  const store = new DurableStore();
  const runs: number[][] = [];
  store.before = (records) => {
    runs.push(lsns(records));
    if (runs.length === 1) throw new Error("once");
  };
  const contexts: ConsumeErrorContext[] = [];
  const consuming = wal.consumeAsync(store.asStore(), {
    onError: (_error, context) => (contexts.push(context), "retry"),
  });
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals(runs, [range(1, 4), range(1, 4)]);
  assertEquals(contexts, [{ firstLsn: 1, lastLsn: 4, attempt: 1, delayMs: 10 }]);
});

test("onError gets the number of the attempt, and a delay that doubles with it", async () => {
  await using wal = openInMemory();
  fill(wal, 1);
  const store = new ListStore();
  store.before = () => {
    throw new Error("never");
  };
  const contexts: ConsumeErrorContext[] = [];
  const stop = new AbortController();
  await wal.consumeAsync(store, {
    signal: stop.signal,
    onError: (_error, context) => {
      contexts.push(context);
      if (context.attempt === 3) stop.abort();
      return "retry";
    },
  });
  assertEquals(contexts.map(({ attempt, delayMs }) => [attempt, delayMs]), [[1, 10], [2, 20], [3, 40]]);
  assertEquals(store.applied, []);
});

test("logInsert() does not cut a retry's delay short", async () => {
  await using wal = openInMemory();
  fill(wal, 1);
  const store = new ListStore();
  const calls: number[] = [];
  store.before = () => {
    calls.push(performance.now());
    if (calls.length < 3) throw new Error("not yet");
  };
  const consuming = wal.consumeAsync(store, { onError: () => "retry" });
  await until(() => calls.length > 0);
  while (calls.length < 3) {
    await wal.logInsert(1, 1, 1, 1);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert(calls[1]! - calls[0]! >= 9, `called again after ${calls[1]! - calls[0]!} ms`);
  assert(calls[2]! - calls[1]! >= 19, `called again after ${calls[2]! - calls[1]!} ms`);
  wal.close();
  await consuming;
});

test("onError that says stop, or throws, ends the consumer", async () => {
  await using wal = openInMemory();
  fill(wal, 2);
  const error = new Error("store");
  const other = new Error("onError");
  const store = new ListStore();
  store.before = () => {
    throw error;
  };
  assertStrictEquals(await assertRejects(() => wal.consumeAsync(store, { onError: () => "stop" })), error);
  const throwing = () => {
    throw other;
  };
  assertStrictEquals(await assertRejects(() => wal.consumeAsync(store, { onError: throwing })), other);
  assertEquals(wal.applied, 0);
});

test("close() and the signal end a consumer that waits to retry, at once", async () => {
  for (const end of ["close", "signal"]) {
    const wal = openInMemory();
    fill(wal, 2);
    const store = new ListStore();
    let failures = 0;
    store.before = () => {
      failures++;
      throw new Error("no");
    };
    const stop = new AbortController();
    const consuming = wal.consumeAsync(store, {
      signal: stop.signal,
      onError: () => {
        queueMicrotask(() => end === "close" ? wal.close() : stop.abort());
        return "retry";
      },
    });
    await consuming;
    assertEquals([failures, store.applied], [1, []]);
    wal.close();
  }
});

test("consumeAsync() releases nothing and writes no checkpoint when the store's sync() throws", async () => {
  await using wal = openInMemory();
  fill(wal, 5);
  const error = new Error("no space in the store");
  const store = Object.assign(new ListStore(), {
    sync: () => {
      throw error;
    },
  });
  assertStrictEquals(await assertRejects(() => wal.consumeAsync(store, { pollIntervalMs: 1 })), error);
  assertEquals([wal.tail, wal.head, wal.applied], [1, 6, 5]);
});

test("consumeAsync() ends with WALCorruptError before a damaged record, and all before it are applied", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, 10);
  wal.flush();
  disk.damage.flipBit(PATH, 16384 + 4 * 64 + 40, 3);
  const store = new ListStore();
  const error = await assertRejects(() => wal.consumeAsync(store, { batchSize: 1 }), WALCorruptError);
  assertEquals([error.firstLsn, error.lastLsn, error.offset], [5, 5, 16384 + 256]);
  assertEquals([store.applied, wal.tail], [[1, 2, 3, 4], 1]);
  wal.close();
});

test("consumeAsync() ends with WALSyncError when the log's sync fails, and the store has durable records only", async () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, 3);
  wal.flush();
  const store = new ListStore();
  const consuming = wal.consumeAsync(store);
  await wal.whenApplied();
  disk.fail({ call: "syncMapped", times: Infinity });
  fill(wal, 2);
  await assertRejects(() => consuming, WALSyncError);
  assertEquals([store.applied, wal.durable], [[1, 2, 3], 3]);
  assertThrows(() => wal.close(), WALSyncError);
});

// The store's mark.

test("appliedLsn() is asked once, and the consumer starts after it", async () => {
  const disk = new SimulatedDisk();
  await using wal = openOn(disk);
  fill(wal, 9);
  wal.close();
  wal.open();
  const store = new DurableStore();
  store.mark = 4;
  const consuming = wal.consumeAsync({ ...bound(store), appliedLsn: () => Promise.resolve(4) } as Store);
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals(store.applied, range(5, 9));
});

function bound(store: DurableStore): Partial<Store> {
  return {
    applyBatch: (records) => store.applyBatch(records),
    appliedLsn: () => store.appliedLsn(),
  };
}

test("consumeAsync() refuses a store that is ahead of the log with WALStoreError, and applies and writes nothing", async () => {
  await using wal = openInMemory();
  fill(wal, 3);
  wal.flush();
  fill(wal, 3);
  const store = new DurableStore();
  store.mark = 4;
  const error = await assertRejects(() => wal.consumeAsync(store.asStore()), WALStoreError);
  assertEquals([error.code, error.applied, error.tail, error.durable], ["STORE", 4, 1, 3]);
  assertEquals([store.applied, wal.head, wal.tail], [[], 7, 1]);
});

test("consumeAsync() refuses a store that lacks what was confirmed and released with WALStoreError", async () => {
  await using wal = openInMemory();
  fill(wal, 9);
  wal.checkpoint(6);
  wal.truncate(6);
  const store = new DurableStore();
  store.mark = 3;
  const error = await assertRejects(() => wal.consumeAsync(store.asStore()), WALStoreError);
  assertEquals([error.applied, error.tail, store.applied], [3, 7, []]);
});

test("consumeAsync() gives a store again what it lacks and what was confirmed but not released", async () => {
  await using wal = openInMemory();
  fill(wal, 9);
  wal.checkpoint(6);
  const store = new DurableStore();
  store.mark = 2;
  const consuming = wal.consumeAsync(store.asStore());
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals(store.applied, range(3, 9));
});

test("truncate() releases no record that an earlier store confirmed and a running consumer's store lacks", async () => {
  await using wal = openInMemory();
  fill(wal, 9);
  wal.checkpoint(6);
  const gate = new Gate();
  const applied: number[] = [];
  const store = {
    applyBatch: async (records: readonly WALRecord[]) => {
      await gate.enter();
      applied.push(...lsns(records));
    },
    appliedLsn: () => 2,
  };
  const consuming = wal.consumeAsync(store as unknown as Store);
  await gate.entered;
  let error: unknown;
  try {
    wal.truncate(6);
  } catch (thrown) {
    error = thrown;
  }
  gate.open();
  assert(error instanceof RangeError, "records were released that the store still lacks");
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals(applied, range(3, 9));
});

test("appliedLsn() that gives no LSN is a TypeError", async () => {
  await using wal = openInMemory();
  for (const mark of [NaN, -1, 0.5, "3", 3n, undefined, null]) {
    const store: Store = { applyBatch() {}, appliedLsn: () => mark as number };
    await assertRejects(() => wal.consumeAsync(store), TypeError, "appliedLsn()");
  }
});

test("consumeAsync() gives a store with appliedLsn() each record once over crashes, stops and failures of any kind", async () => {
  const step = fc.record({
    appends: fc.nat(30),
    batch: fc.nat(6),
    batchSize: fc.integer({ min: 1, max: 20 }),
    end: fc.constantFrom("stop", "throw before", "throw after", "power", "kill", "close"),
    at: fc.integer({ min: 1, max: 4 }),
    pollIntervalMs: fc.constantFrom(0, Infinity),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
      const disk = new SimulatedDisk();
      const store = new DurableStore();
      const options: WALOptions = { flush: "inline" };
      let wal = openOn(disk, options);
      for (const { appends, batch, batchSize, end, at, pollIntervalMs } of steps) {
        fill(wal, appends);
        wal.batchInsertSync(items(wal.head, batch));
        wal.flush();
        const stop = new AbortController();
        let runs = 0;
        const endNow = () => {
          if (end === "stop") stop.abort();
          else if (end === "close") wal.close();
          else throw new Error("on purpose");
        };
        store.before = () => {
          if (end !== "throw after" && ++runs === at) endNow();
        };
        store.after = () => {
          if (end === "throw after" && ++runs === at) endNow();
        };
        const last = wal.head - 1;
        const consuming = wal.consumeAsync(store.asStore(), { signal: stop.signal, batchSize, pollIntervalMs });
        await Promise.race([consuming, wal.whenApplied(last)]).catch(() => {});
        if (end === "power" || end === "kill") disk.crash({ mode: end });
        stop.abort();
        await consuming.catch(() => {});
        if (end !== "power" && end !== "kill") wal.close();
        store.before = store.after = () => {};
        wal = openOn(disk, options);
      }
      const consuming = wal.consumeAsync(store.asStore());
      await wal.whenApplied();
      wal.close();
      await consuming;
      assertEquals(store.applied, [...new Set(store.applied)].sort((a, b) => a - b));
      // The LSNs between them are checkpoints.
      assert(store.applied.length >= steps.reduce((sum, { appends, batch }) => sum + appends + batch, 0));
    }),
    { numRuns: 40 },
  );
});

test("consumeAsync() that is killed after every two records resumes without a loss, whatever the disk kept", async () => {
  const disk = new SimulatedDisk();
  const seen = new Set<number>();
  {
    using wal = openOn(disk);
    fill(wal, 20);
  }
  for (let round = 0; round < 10; round++) {
    const wal = openOn(disk);
    const store = new ListStore();
    const killed = Promise.withResolvers<void>();
    killed.promise.catch(() => {});
    store.before = () => store.applied.length < 2 ? undefined : killed.promise;
    const consuming = wal.consumeAsync(store, { batchSize: 3, pollIntervalMs: 0 });
    await until(() => store.applied.length === 2);
    wal.checkpoint();
    disk.crash({ mode: round % 2 === 0 ? "power" : "kill" });
    killed.reject(new Error("killed"));
    await consuming.catch(() => {});
    for (const lsn of store.applied) seen.add(lsn);
    assertEquals([...seen], range(1, 2 * round + 2));
  }
});

test("applyBatch() gets a full ring of one batch as one run, which is then released", async () => {
  await using wal = openInMemory();
  const store = new DurableStore();
  const consuming = wal.consumeAsync(store.asStore(), { batchSize: 10, pollIntervalMs: 0 });
  await wal.batchInsert(items(1, CAPACITY));
  await wal.batchInsert(items(1, CAPACITY));
  await wal.whenApplied();
  wal.close();
  await consuming;
  assertEquals(store.applied.length, 2 * CAPACITY);
});
