// Followers that feed a store: the consumer's loop over a log that another opener writes.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  consume,
  OpType,
  type Store,
  WAL,
  WALClosedError,
  WALConsumingError,
  WALLaggedError,
  type WALRecord,
  WALStoreError,
} from "../mod.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { items } from "./support/logs.ts";
import { watchedFollower } from "./support/watched_follower.ts";
import { type TempDir, tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

function makeLog(directory: TempDir): WAL {
  return WAL.open(directory.join("log"), { size: 65536, followers: true, idleHeaderDelayMs: 10 });
}

/** A store with an LSN of its own, which outlives its followers. */
class LsnStore {
  readonly lsns: number[] = [];
  logId: string | null = null;
  syncedLsn = 0;
  failures = 0;
  applyBatch(records: readonly WALRecord[], { logId }: { logId: string }): void {
    if (this.failures-- > 0) throw new Error("not now");
    this.lsns.push(...records.map(({ lsn }) => lsn));
    this.logId = logId;
  }
  appliedLsn(): number {
    return this.lsns.at(-1) ?? 0;
  }
  appliedLog(): string | null {
    return this.logId;
  }
  sync(): void {
    this.syncedLsn = this.appliedLsn();
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

function upTo(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

test("consumeAsync() of a follower applies what is there and what comes, and syncs the store in a pause", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  await wal.batchInsert(items(1, 100));
  const follower = WAL.follow(wal.path!, { pollIntervalMs: 10 });
  const store = new LsnStore();
  const consuming = follower.consumeAsync(store, { pollIntervalMs: 5 });
  await until(() => store.lsns.length === 100);
  for (let i = 101; i <= 120; i++) await wal.logInsert(i, 0, 0, 0);
  await until(() => store.syncedLsn === 120); // no checkpoint is due yet
  follower.close();
  await consuming;
  assertEquals([store.lsns, store.logId, wal.tail], [upTo(120), wal.logId, 1]);
});

test("consumeAsync() of a follower goes on where its store is, exactly once", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  const store = new LsnStore();
  for (let round = 1; round <= 5; round++) {
    await wal.batchInsert(items(1, 7));
    await wal.batchInsert(items(1, 6));
    using follower = WAL.follow(wal.path!, { pollIntervalMs: 10 });
    store.failures = 2;
    const consuming = follower.consumeAsync(store, { onError: () => "retry" });
    await until(() => store.lsns.length === 13 * round);
    follower.close();
    await consuming;
  }
  assertEquals(store.lsns, upTo(65));
});

test("consumeAsync() of a follower feeds a store without an LSN from `from` on", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  await wal.batchInsert([[1, 1, 1, 1], [2, 2, 2, 2]]);
  await wal.logDelete(1, 1);
  const stopping = new AbortController();
  using follower = WAL.follow(wal.path!);
  const store = new MemoryStore();
  const consuming = follower.consumeAsync(store, { signal: stopping.signal });
  await until(() => store.has(2n, 2n) && !store.has(1n, 1n));
  stopping.abort();
  await consuming;
  const seen: OpType[] = [];
  const partial: Store = { insert: () => {}, delete: () => void seen.push(OpType.Delete), deleteValue: () => {} };
  using late = WAL.follow(wal.path!, { from: 3 });
  const also = late.consumeAsync(partial);
  await until(() => seen.length === 1);
  late.close();
  await also;
  assert(follower.isOpen);
});

test("consumeAsync() of a follower ends with the errors of the log, of the store, and of a store that does not fit", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  for (let from = 1; from < 2000; from += 500) {
    await wal.batchInsert(items(from, 500));
    wal.truncate(wal.durable);
  }
  using follower = WAL.follow(wal.path!);
  const lagging = new LsnStore();
  const error = await assertRejects(() => follower.consumeAsync(lagging), WALLaggedError);
  assertEquals([error.firstLsn, lagging.lsns.length], [1, 0]);
  const ahead = new LsnStore();
  ahead.lsns.push(wal.head);
  ahead.logId = wal.logId;
  await assertRejects(() => follower.consumeAsync(ahead), WALStoreError);
  const foreign = new LsnStore();
  foreign.lsns.push(1990);
  foreign.logId = "0".repeat(32);
  await assertRejects(() => follower.consumeAsync(foreign), WALStoreError);
  const failing = new LsnStore();
  failing.lsns.push(1900);
  failing.failures = 1;
  await assertRejects(() => follower.consumeAsync(failing), Error, "not now");
  // @ts-expect-error a follower has no name
  await assertRejects(() => follower.consumeAsync(failing, { name: "index" }), TypeError);
  await assertRejects(() => follower.consumeAsync({}), TypeError);
  for (const no of [follower, failing, null, undefined]) {
    assertThrows(() => consume(no as unknown as WAL, failing), TypeError, "it must be a WAL");
  }
  follower.close();
  await assertRejects(() => follower.consumeAsync(failing), WALClosedError);
});

test("consumeAsync() of a follower refuses a store that another consumer of the log is filling", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  await wal.batchInsert(items(1, 3));
  using one = WAL.follow(wal.path!, { mode: "appended" });
  using two = WAL.follow(wal.path!);
  const store = new LsnStore();
  const consuming = one.consumeAsync(store);
  await until(() => store.lsns.length === 3);
  await assertRejects(() => one.consumeAsync(store), WALConsumingError);
  await assertRejects(() => two.consumeAsync(store), WALConsumingError);
  await assertRejects(() => wal.consumeAsync(store), WALConsumingError);
  one.close();
  await consuming;
  assertEquals([store.lsns, wal.stats().logId], [upTo(3), store.logId]);
});

test("consumeAsync() takes a follower's store after the log was opened again, and not before", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  await wal.batchInsert(items(1, 3));
  const fill = async (store: LsnStore) => {
    using follower = WAL.follow(wal.path!, { mode: "appended" });
    const consuming = follower.consumeAsync(store);
    await until(() => store.appliedLsn() === wal.head - 1);
    follower.close();
    await consuming;
  };
  const [store, late] = [new LsnStore(), new LsnStore()];
  await fill(store);
  wal.close();
  wal.open();
  const stop = new AbortController();
  const consuming = wal.consumeAsync(store, { signal: stop.signal });
  await wal.logInsert(4, 0, 0, 0);
  await wal.whenApplied();
  stop.abort();
  await consuming;
  assertEquals(store.lsns, upTo(4));
  await wal.logInsert(5, 0, 0, 0);
  await fill(late);
  await assertRejects(() => wal.consumeAsync(late), WALStoreError);
  assert(wal.logId !== late.logId);
});

test("consumeAsync() of a follower applies only what was not synced again when sync() fails", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  await wal.batchInsert(items(1, 3));
  const follower = WAL.follow(wal.path!, { mode: "appended", pollIntervalMs: 5 });
  const lsns: number[] = [];
  let synced = 0;
  let fails = false;
  const store = {
    applyBatch: (records: readonly WALRecord[]) => void lsns.push(...records.map(({ lsn }) => lsn)),
    sync() {
      if (fails) throw new Error("not now");
      synced++;
    },
  };
  const onError = () => {
    fails = false;
    return "retry" as const;
  };
  const consuming = follower.consumeAsync(store, { pollIntervalMs: 5, onError });
  await until(() => synced === 1);
  fails = true;
  await wal.batchInsert(items(4, 2));
  await until(() => synced === 2);
  follower.close();
  await consuming;
  assertEquals(lsns, [1, 2, 3, 4, 5, 4, 5]);
});

test("close() of a follower does not wait for a store that does not return", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  await wal.batchInsert(items(1, 10));
  const follower = WAL.follow(wal.path!, { mode: "appended" });
  let called = 0;
  const store = { applyBatch: () => new Promise<void>(() => void called++) };
  const consuming = follower.consumeAsync(store);
  await until(() => called === 1);
  follower.close();
  await consuming;
});

test("close() of a follower ends a consumer that waits for records, at once", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  await wal.batchInsert(items(1, 10));
  const follower = WAL.follow(wal.path!, { pollIntervalMs: 2 ** 31 - 1 });
  const store = new LsnStore();
  const consuming = follower.consumeAsync(store, { pollIntervalMs: 2 ** 31 - 1 });
  await until(() => store.lsns.length === 10);
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  follower.close();
  await consuming; // and not after pollIntervalMs
});

test("consumeAsync() of a follower with `pollIntervalMs: 0` does not keep looking while no record comes", async () => {
  for (const followers of [true, false]) {
    for (const isLastSkipped of [true, false]) {
      using directory = tempDir();
      await using wal = WAL.open(directory.join("log"), { size: 65536, followers, idleHeaderDelayMs: 10 });
      await wal.batchInsert(items(1, 100));
      const store = new LsnStore();
      store.failures = isLastSkipped ? Infinity : 0; // then there is always something to confirm
      const following = watchedFollower(wal.path!);
      using follower = following.follower;
      const consuming = follower.consumeAsync(store, { pollIntervalMs: 0, onError: () => "skip" });
      await until(() => isLastSkipped ? follower.stats().read === 100 : store.syncedLsn > 0);
      const { looks } = following;
      for (let timer = 1; timer <= 20; timer++) await new Promise((resolve) => setTimeout(resolve, 1));
      assert(following.looks - looks < 200, `${following.looks - looks} looks in the time of 20 timers`);
      await wal.logInsert(101, 0, 0, 0);
      await until(() => follower.stats().read === 101);
      follower.close();
      await consuming;
    }
  }
});
