// Fault: pages fail, or the log is closed, at the moment when waiting appends are let in; an item appends while it is read (H10, H25, H31).
// Promise: nothing is appended to a log that has failed or closed, each append settles, and a clean mark covers synced records only (G1, G6).
// Method: microtasks that try to append at each turn; a close at each microtask after a header sync; syncs that end when told.

import { assert, assertEquals } from "@std/assert";
import { type InsertItem, WALClosedError } from "../../mod.ts";
import { SimulatedDisk } from "../../testing.ts";
import { Watched } from "../support/commit_target.ts";
import { fill, items, ListStore, lsns, openInMemory, openOn, range, until } from "../support/logs.ts";
import { test } from "../support/test.ts";

test("an append settles when letting in another one has just poisoned the log", async () => {
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
    // As any other code of a program may: at each microtask of each turn, up to when the log is poisoned.
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

test("close() lets nobody in who waits for room: the clean mark covers synced records only", async () => {
  for (let hops = 0; hops < 24; hops++) {
    const disk = new SimulatedDisk({ seed: 1, asyncTicks: "manual" });
    {
      using before = openOn(disk);
      fill(before, 600);
    }
    const wal = openOn(disk, { flush: "offload" }); // which may have handed out what its store has
    const gate = Promise.withResolvers<void>();
    const store = Object.assign(new ListStore(), { appliedLsn: () => 300 });
    store.before = () => gate.promise;
    const run = wal.consumeAsync(store);
    await until(() => wal.applied === 300);
    fill(wal, 60);
    const synced = new Watched(wal.flushAsync());
    await until(() => disk.pendingAsync === 1);
    fill(wal, 60); // not covered by the sync that runs
    const waiting = new Watched(wal.batchInsert(items(1, 200)));
    assertEquals(wal.stats().waiting, 1);
    wal.truncate(300);
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

test("a batch item that appends when it is read neither loses its record nor tears the batch", () => {
  for (let nth = 1; nth <= 4; nth++) {
    const wal = openInMemory();
    let reads = 0;
    let appended = 0;
    const item = [0, 2, 3, 4];
    Object.defineProperty(item, 0, {
      get() {
        if (++reads === nth) appended = wal.logInsertSync(77, 77, 77, 77);
        return 1;
      },
    });
    let last = 0;
    try {
      last = wal.batchInsertSync([[5, 5, 5, 5], item as unknown as InsertItem, [6, 6, 6, 6]]);
    } catch { /* refusing it is as good */ }
    wal.flush();
    const records = wal.replay();
    assertEquals(lsns(records), range(1, wal.head - 1), `read ${nth}`);
    if (appended > 0) assertEquals(records[appended - 1]!.keyHigh, 77n, `read ${nth}`);
    if (last > 0) assertEquals(records.slice(last - 3, last).map((record) => record.keyHigh), [5n, 1n, 6n]);
    assertEquals(wal.head - 1, (appended > 0 ? 1 : 0) + (last > 0 ? 3 : 0));
    wal.close();
  }
});
