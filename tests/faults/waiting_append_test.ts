// Fault: appends wait for room in a full ring while the log fails or is closed, a consumer fails, a
//   checkpoint frees the room, the file goes, or code that a store call left running appends too
//   (H10, H31).
// Promise: nothing is appended to a log that has failed or closed, and every append settles. A
//   clean mark covers synced records only (G1, G6, G13).
// Method: microtasks that try to append at each turn, a close at each microtask after a header
//   sync, and syncs and store calls that end when the test says so.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { consume, type Consumption, type WAL, WALClosedError, WALFullError } from "../../mod.ts";
import type { Storage } from "../../ffi/region.ts";
import { HEADER_AT, HEADER_BYTES } from "../../src/format/layout.ts";
import { SimulatedDisk } from "../../testing.ts";
import { Watched } from "../support/commit_target.ts";
import {
  CAPACITY,
  closeGone,
  fill,
  items,
  ListStore,
  lsns,
  openInMemory,
  openOn,
  range,
  until,
} from "../support/logs.ts";
import { test } from "../support/test.ts";

test("logInsert() settles when letting in another append has just poisoned the log", async () => {
  for (const nth of [1, 2, 3]) {
    const disk = new SimulatedDisk({ seed: 1 });
    const wal = openOn(disk, { size: 16384 + 64 * 4096, flush: "inline" });
    fill(wal, wal.capacity - 600);
    wal.flush();
    const gate = Promise.withResolvers<void>();
    const store = new ListStore();
    store.before = ({ lsn }) => lsn === 1 ? gate.promise : undefined;
    const run = new Watched(wal.consumeAsync(store, { pollIntervalMs: 1 }));
    const batch = new Watched(wal.batchInsert(items(1, 3000)));
    await until(() => wal.stats().waiting === 1);
    disk.fail({ call: "populate", nth, errno: "EIO", times: Infinity });
    // Any other code of a program may do this at each microtask of each turn, until the log is
    // poisoned.
    let append: Watched | null = null;
    let headBefore = 0;
    let turns = 0;
    const spin = () => {
      if (append !== null) return;
      if (wal.stats().poisoned) {
        headBefore = wal.head;
        append = new Watched(wal.logInsert(9, 9, 9, 9));
      } else if (++turns % 2000 > 0) queueMicrotask(spin);
      else if (turns < 1_000_000) setTimeout(spin, 0);
    };
    gate.resolve();
    queueMicrotask(spin);
    await until(() => append !== null && append.state !== "pending", `the append after failure ${nth}`);
    await until(() => batch.state !== "pending" && run.state !== "pending", "the batch and the consumer");
    assertEquals([append!.state, batch.state, wal.head], ["rejected", "rejected", headBefore]);
    try {
      wal.close();
    } catch { /* it says that it is poisoned */ }
  }
});

test("logInsert() settles when the file goes while lost consumers make room for it", async () => {
  for (let headers = 1; headers <= 4; headers++) {
    const disk = new SimulatedDisk({ seed: 5 });
    let left = Infinity;
    const storage: Storage = {
      open(path, request) {
        const region = disk.storage.open(path, request);
        const sync = region.sync.bind(region);
        region.sync = (offset, length) => {
          sync(offset, length);
          if (offset < HEADER_AT[1] + HEADER_BYTES && --left === 0) disk.outsider.unlink(path);
        };
        return region;
      },
      write: (...given) => disk.storage.write(...given),
    };
    const wal = openOn(disk, { storage, flush: "inline" });
    fill(wal, 1);
    await using lost = consume(wal, new ListStore(), { name: "lost", maxLagRecords: 100 });
    await wal.whenApplied();
    await lost.stop();
    fill(wal, 200);
    await wal.flushAsync();
    fill(wal, CAPACITY - wal.length);
    left = headers;
    const appends = [wal.batchInsert(items(1, 600)), wal.logInsert(1, 2, 3, 4)].map((append) => new Watched(append));
    await until(() => appends.every(({ state }) => state !== "pending"), `the appends after header ${headers}`);
    assertEquals([left, ...appends.map(({ state }) => state)], [0, "rejected", "rejected"]);
    closeGone(wal);
  }
});

test("close() lets nobody in who waits for room: the clean mark covers synced records only", async () => {
  for (let hops = 0; hops < 24; hops++) {
    const disk = new SimulatedDisk({ seed: 1, asyncTicks: "manual" });
    {
      using before = openOn(disk);
      fill(before, 600);
    }
    const wal = openOn(disk, { flush: "offload" });
    const [start, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const store = new ListStore();
    store.before = ({ lsn }) => lsn === 1 ? start.promise : lsn === 301 ? gate.promise : undefined;
    const run = wal.consumeAsync(store, { batchSize: 300 });
    fill(wal, 60);
    const synced = new Watched(wal.flushAsync());
    await until(() => disk.pendingAsync === 1);
    fill(wal, 60); // not covered by the sync that runs
    const waiting = new Watched(wal.batchInsert(items(1, 200)));
    assertEquals(wal.stats().waiting, 1);
    start.resolve();
    await until(() => wal.tail === 301);
    disk.finishAsync();
    await until(() => disk.pendingAsync === 1 && synced.state === "resolved", "the header's sync");
    disk.finishAsync();
    for (let hop = 0; hop < hops; hop++) await null;
    const isLetIn = wal.head > 721;
    wal.close();
    await until(() => waiting.state !== "pending");
    assertEquals(waiting.state, isLetIn ? "resolved" : "rejected", `after ${hops} hops`);
    if (!isLetIn) assert(waiting.error instanceof WALClosedError);
    gate.resolve();
    await run;

    disk.crash({ keep: "none" });
    const reopened = openOn(disk);
    assertEquals(lsns(reopened.replay()), range(301, isLetIn ? 920 : 720), `after ${hops} hops`);
    reopened.close();
  }
});

test("checkpoint() in a full ring leaves nobody waiting whom it or the consumer after it makes room for", async () => {
  for (const flush of ["inline", "offload"] as const) {
    const wal = openInMemory({ flush });
    const gate = Promise.withResolvers<void>();
    fill(wal, CAPACITY);
    const store = Object.assign(new ListStore(), { sync: () => gate.promise });
    const run = wal.consumeAsync(store, { pollIntervalMs: 1 });
    await wal.whenApplied();
    const first = new Watched(wal.logInsert(2, 2, 2, 2));
    // A checkpoint may find no room for its own record. It may not take the room that the consumer
    // would have made.
    try {
      wal.checkpoint();
    } catch (error) {
      if (!(error instanceof WALFullError)) throw error;
    }
    gate.resolve();
    await until(() => first.state !== "pending", `the append that waited (${flush})`);
    const second = new Watched(wal.logInsert(3, 3, 3, 3));
    await until(() => second.state !== "pending", `the append after it (${flush})`);
    assertEquals([first.state, second.state], ["resolved", "resolved"]);
    wal.close();
    await run;
  }
});

test("logInsert() does not wait for a store that hangs, but has what is in the way", async () => {
  for (const flush of ["inline", "offload"] as const) {
    const wal = openOn(new SimulatedDisk(), { flush, fullTimeoutMs: 5000 });
    const gate = Promise.withResolvers<void>();
    fill(wal, CAPACITY);
    wal.close();
    wal.open();
    const store = Object.assign(new ListStore(), { appliedLsn: () => 300 });
    store.before = () => gate.promise;
    const run = wal.consumeAsync(store);
    await until(() => wal.applied === 300);
    await wal.logInsert(2, 2, 2, 2);
    await wal.batchInsert(items(1, 250));
    fill(wal, 49);
    assertEquals([wal.tail, wal.length], [301, CAPACITY]);
    assertThrows(() => fill(wal, 1), WALFullError, "waiting");
    wal.close();
    gate.resolve();
    await run;
  }
});

test("logInsert() from what a store call left running waits for room as any other append does", async () => {
  const wal = openInMemory();
  const start = Promise.withResolvers<void>();
  const slow = Promise.withResolvers<void>();
  let background: Watched | null = null;
  const store = new ListStore();
  let calls = 0;
  store.before = () => {
    if (++calls === 2) return slow.promise;
    background ??= new Watched(start.promise.then(() => wal.logInsert(5, 5, 5, 5)));
    return undefined;
  };
  fill(wal, 1);
  const run = wal.consumeAsync(store, { pollIntervalMs: 1 });
  await until(() => wal.tail > 1, "the first record to be released");
  await wal.logInsert(1, 2, 3, 4);
  await until(() => calls === 2, "the slow call");
  fill(wal, CAPACITY - wal.length);
  // It needs more room than a checkpoint has, which no store is given.
  const elsewhere = new Watched(wal.batchInsert(items(6, 2)));
  start.resolve();
  await until(() => wal.stats().waiting === 2 || background!.state !== "pending");
  assertEquals([background!.state, elsewhere.state], ["pending", "pending"], String(background!.error));
  slow.resolve();
  await until(() => background!.state !== "pending" && elsewhere.state !== "pending");
  assertEquals([background!.state, elsewhere.state], ["resolved", "resolved"]);
  wal.close();
  await run;
});

/** Fills the ring. Another consumer has all of that, so it has nothing left to confirm. */
async function fillBeside(wal: WAL): Promise<Consumption> {
  const store = Object.assign(new ListStore(), { sync: () => {} });
  const other = consume(wal, store, { name: "other", pollIntervalMs: 1 });
  fill(wal, CAPACITY);
  await until(() => wal.stats().consumers.some(({ name, position }) => name === "other" && position === CAPACITY));
  return other;
}

test("logInsert() waits for no room that a consumer has made which then failed", async () => {
  using wal = openInMemory();
  const gate = Promise.withResolvers<void>();
  const store = new ListStore();
  store.before = ({ lsn }) => {
    if (lsn === 11) throw new Error("no more");
    return lsn === 1 ? gate.promise : undefined;
  };
  const { done } = consume(wal, store, { name: "failing" });
  const failed = new Watched(done);
  await using _ = await fillBeside(wal);
  const appends = range(1, 20).map((key) => new Watched(wal.logInsert(key, 1, 1, 1)));
  assertEquals(wal.stats().waiting, 20);
  gate.resolve();
  await until(() => failed.state === "rejected" && appends.every(({ state }) => state !== "pending"), "the appends");
  const settled = ({ state, error }: Watched) => error instanceof WALFullError ? error.consumer : state;
  assertEquals(appends.map(settled), [...Array(10).fill("resolved"), ...Array(10).fill("failing")]);
});

test("logInsert() waits for no room that a consumer has made by beginning, though its sync() fails", async () => {
  for (const answer of ["stop", "retry"] as const) {
    using wal = openInMemory();
    const { promise: applied, resolve } = Promise.withResolvers<number>();
    const sync = () => Promise.reject(new Error("no sync"));
    const store = Object.assign(new ListStore(), { appliedLsn: () => applied, sync });
    const failing = consume(wal, store, { name: "failing", onError: () => answer });
    const failed = new Watched(failing.done);
    await using _ = await fillBeside(wal);
    const append = new Watched(wal.logInsert(1, 1, 1, 1));
    assertEquals(wal.stats().waiting, 1);
    resolve(CAPACITY);
    await until(() => append.state !== "pending", `the append (${answer})`);
    assertEquals([append.state, wal.tail], ["resolved", CAPACITY + 1]);
    await failing.stop().catch(() => {});
    await until(() => failed.state !== "pending");
  }
});
