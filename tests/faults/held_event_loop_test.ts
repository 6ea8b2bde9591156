// Fault: writers, or a consumer with a backlog, await nothing but the log, and do some work of
//   their own between (H17, H44).
// Promise: the event loop is not held: timers and sockets get their turn meanwhile (G16).
// Method: count the turns of a chain of timers. A clock only makes the work long enough, so a slow
//   machine changes nothing.

import { assert } from "@std/assert";
import type { Store } from "../../mod.ts";
import { fill, ListStore, openInMemory } from "../support/logs.ts";
import { test } from "../support/test.ts";

/** Counts turns until it is disposed. */
class Turns implements Disposable {
  count = 0;
  #timer = setTimeout(() => this.#turn(), 0);

  #turn(): void {
    this.count++;
    this.#timer = setTimeout(() => this.#turn(), 0);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** Works for at least so long. */
function work(ms: number): void {
  const startMs = performance.now();
  while (performance.now() - startMs < ms);
}

test("logInsert() lets timers run while a writer works between appends that it awaits", async () => {
  const wal = openInMemory();
  using turns = new Turns();
  for (let i = 0; i < 200; i++) {
    await wal.logInsert(1, 2, 3, 4);
    work(1.5);
  }
  assert(turns.count >= 20, `${turns.count} turns in 200 appends`);
  wal.close();
});

test("logInsert() lets timers run while a writer awaits appends to a log in memory that syncs off the thread", async () => {
  const wal = openInMemory({ flush: "offload" });
  using turns = new Turns();
  for (let appends = 0; turns.count < 3; appends++) {
    assert(appends < 1_000_000, `${turns.count} turns in ${appends} appends`);
    await wal.logInsert(1, 2, 3, 4);
    if (wal.length > 500) wal.truncate(wal.durable);
  }
  wal.close();
});

test("consumeAsync() lets timers run within a run that a synchronous store is given", async () => {
  const wal = openInMemory();
  fill(wal, 640);
  wal.flush();
  const store = new ListStore();
  store.before = () => work(0.2);
  using turns = new Turns();
  const consuming = wal.consumeAsync(store);
  await wal.whenApplied();
  assert(turns.count >= 10, `${turns.count} turns in one run of 640 records`);
  wal.close();
  await consuming;
});

test("consumeAsync() lets timers run between runs that are made shorter for a store that takes them at once", async () => {
  const wal = openInMemory();
  fill(wal, 640);
  wal.flush();
  let applied = 0;
  const applyBatch = (records: readonly unknown[]) => {
    work(0.2 * records.length);
    applied += records.length;
  };
  using turns = new Turns();
  const consuming = wal.consumeAsync({ applyBatch } as Store);
  await wal.whenApplied();
  assert(turns.count >= 3, `${turns.count} turns in ${applied} records`);
  wal.close();
  await consuming;
});

test("consumeAsync() lets timers run while a synchronous store is given a backlog, and can be stopped", async () => {
  const wal = openInMemory();
  fill(wal, 640);
  wal.flush();
  const store = new ListStore();
  store.before = () => work(0.2);
  const stop = new AbortController();
  using turns = new Turns();
  let stoppedAt = 0;
  setTimeout(() => {
    stoppedAt = store.applied.length;
    stop.abort();
  }, 0);
  await wal.consumeAsync(store, { batchSize: 16, signal: stop.signal });
  assert(stoppedAt > 0 && stoppedAt < 640, `stopped after ${stoppedAt} records`);
  const before = turns.count;
  const all = wal.consumeAsync(store, { batchSize: 16 });
  await wal.whenApplied();
  assert(turns.count >= before + 10, `${turns.count - before} turns in ${640 - stoppedAt} records`);
  wal.close();
  await all;
});
