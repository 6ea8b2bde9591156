// consume(): the handle that stops a consumer, also from its own store and onError (H31).

import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { consume, type ConsumeOptions, type Consumption, type Store, WALConsumingError } from "../mod.ts";
import { CAPACITY, fill, ListStore, openInMemory, range, until } from "./support/logs.ts";
import { test } from "./support/test.ts";

test("consume() does what consumeAsync() does, until the log is closed", async () => {
  await using wal = openInMemory();
  const store = new ListStore();
  const consumption = consume(wal, store, { batchSize: 2 });
  fill(wal, 5);
  assertEquals(consumption.applied, 0);
  await wal.whenApplied();
  assertEquals([consumption.applied, wal.applied], [5, 5]);
  wal.close();
  await consumption.done;
  assertEquals(store.applied, range(1, 5));
});

test("stop() ends the consumer after the call to the store that runs, and another one may begin", async () => {
  await using wal = openInMemory();
  const { promise: returns, resolve } = Promise.withResolvers<void>();
  const calls: number[] = [];
  const applyBatch: Store["applyBatch"] = async (records) => {
    calls.push(records.length);
    await returns;
  };
  const consumption = consume(wal, { applyBatch });
  fill(wal, 3);
  await wal.flushAsync();
  await until(() => calls.length > 0);
  let stopped = false;
  const stopping = consumption.stop().then(() => stopped = true);
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  assertEquals(stopped, false);
  resolve();
  await stopping;
  assertEquals([calls, consumption.applied, wal.stats().consumer.state], [[3], 3, "stopped"]);
  assertStrictEquals(consumption.stop(), consumption.done);
  await using another = consume(wal, new ListStore());
  assertEquals(wal.stats().consuming, true);
  await another.stop();
});

test("consume() is stopped at the end of its block, and the log stays open", async () => {
  await using wal = openInMemory();
  const store = new ListStore();
  {
    await using consumption = consume(wal, store);
    fill(wal, 4);
    await wal.whenApplied();
    assertEquals(consumption.applied, 4);
  }
  assertEquals([wal.isOpen, wal.stats().consuming, store.applied], [true, false, range(1, 4)]);
});

test("stop() from within the store resolves at once, and the consumer ends when the store returns", async () => {
  await using wal = openInMemory();
  const seen: number[] = [];
  const consumption: Consumption = consume(wal, {
    async applyBatch(records) {
      seen.push(records.length);
      await consumption.stop();
    },
  });
  fill(wal, 2);
  await wal.flushAsync();
  await consumption.done;
  fill(wal, 1);
  assertEquals([seen, wal.stats().consuming], [[2], false]);
});

for (const failing of ["insert", "sync", "appliedLsn"]) {
  test(`stop(), whenApplied() and appends do not wait for themselves in onError after a failed ${failing}()`, async () => {
    await using wal = openInMemory();
    fill(wal, CAPACITY);
    const fail = () => {
      throw new Error("no");
    };
    const store: Store = { insert() {}, delete() {}, deleteValue() {}, [failing]: fail };
    const refused = new Set<string>(); // a stopped consumer calls sync() once more
    const soon = async (promise: Promise<unknown>) => {
      const { promise: late, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(reject, 2000, new Error("waits"));
      await Promise.race([promise, late]).catch(({ name }: Error) => refused.add(name));
      clearTimeout(timer);
    };
    const consumption: Consumption = consume(wal, store, {
      async onError() {
        await soon(wal.whenApplied());
        await soon(wal.logInsert(1, 1, 1, 1));
        await soon(consumption.stop());
        return "retry" as const;
      },
    });
    await consumption.done;
    // A record counts as applied before sync().
    const errors = [...failing === "sync" ? [] : ["WALClosedError"], "WALFullError"];
    assertEquals([[...refused], wal.stats().consuming], [errors, false]);
  });
}

test("consume() is stopped by the options' signal too, and reads each option once", async () => {
  await using wal = openInMemory();
  const controller = new AbortController();
  const reads: string[] = [];
  class Options implements ConsumeOptions {
    readonly #signal = controller.signal;
    get signal() {
      reads.push("signal");
      return this.#signal;
    }
    get batchSize() {
      reads.push("batchSize");
      return 7;
    }
    get pollIntervalMs() {
      reads.push("pollIntervalMs");
      return 1;
    }
    get onError() {
      reads.push("onError");
      return () => "stop" as const;
    }
  }
  for (const options of [new Options(), Object.freeze({ signal: controller.signal, batchSize: 7 })]) {
    const consumption = consume(wal, new ListStore(), options);
    controller.abort();
    await consumption.done;
  }
  assertEquals(reads.sort(), ["batchSize", "onError", "pollIntervalMs", "signal"]);
});

test("Consumption.done rejects with what the store threw, and so does stop()", async () => {
  await using wal = openInMemory();
  const fault = new Error("the store is away");
  const failing: Store = {
    applyBatch: () => {
      throw fault;
    },
  };
  const consumption = consume(wal, failing);
  fill(wal, 1);
  const { done } = consumption;
  assertStrictEquals(await assertRejects(() => done), fault);
  assertStrictEquals(await assertRejects(() => consumption.stop()), fault);
});

test("Consumption.done rejects for unusable options and where a consumer runs: consume() throws nothing", async () => {
  await using wal = openInMemory();
  const bad: readonly [unknown, typeof TypeError | typeof RangeError][] = [
    [null, TypeError],
    ["100", TypeError],
    [61, RangeError],
    [{ signal: {} }, TypeError],
    [{ signal: Object.create(AbortSignal.prototype) }, TypeError],
    [{ batchSize: 0 }, RangeError],
  ];
  for (const [options, error] of bad) {
    const refused = consume(wal, new ListStore(), options as ConsumeOptions);
    await assertRejects(() => refused.done, error);
    assertEquals(wal.stats().consumer.state, "failed");
  }
  await using _running = consume(wal, new ListStore(), 0.5);
  const second = consume(wal, new ListStore());
  await assertRejects(() => second.done, WALConsumingError);
  await assertRejects(() => second.stop(), WALConsumingError);
  assertEquals(wal.stats().consuming, true);
});
