// Fault: a store loses what its failed sync() should have saved, or calls the log it is filled from, or is behind it (H10, H27, H28, H31).
// Promise: no record is let go of that the store does not have durably, and whatever waits is answered (G11, G13).
// Method: stores that hold records in memory until sync() ends well, and whose calls wait until the test lets them go on.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type Store,
  type WAL,
  WALClosedError,
  WALConsumingError,
  WALFullError,
  type WALRecord,
  WALStoreError,
} from "../../mod.ts";
import { SimulatedDisk } from "../../testing.ts";
import { Watched } from "../support/commit_target.ts";
import { CAPACITY, fill, ListStore, lsns, openInMemory, openOn, range, until } from "../support/logs.ts";
import { test } from "../support/test.ts";

/** Holds records in memory until `sync()`; a sync that fails loses them, as the page cache does. */
class BufferingStore implements Store {
  readonly #medium: Set<number>;
  #memory: number[] = [];
  /** So many syncs fail. */
  failures = 0;

  constructor(medium: Set<number>) {
    this.#medium = medium;
  }

  insert(_kh: bigint, _kl: bigint, _vh: bigint, _vl: bigint, record: WALRecord): void {
    this.#memory.push(record.lsn);
  }

  delete(): void {}
  deleteValue(): void {}

  sync(): void {
    const memory = this.#memory;
    this.#memory = [];
    if (this.failures-- > 0) throw new Error("the store's sync failed");
    for (const lsn of memory) this.#medium.add(lsn);
  }
}

/** The same, given whole runs. */
class BufferingRunStore extends BufferingStore {
  applyBatch(records: readonly WALRecord[]): void {
    for (const record of records) this.insert(0n, 0n, 0n, 0n, record);
  }
}

const KINDS = [BufferingStore, BufferingRunStore];

/** Has a store take everything, and stops the consumer, which syncs the store. */
async function consumeAll(wal: WAL, store: Store): Promise<void> {
  const stop = new AbortController();
  const run = wal.consumeAsync(store, { signal: stop.signal });
  await wal.whenApplied();
  stop.abort();
  await run;
}

/** Missing from what a log and its store have between them. */
function lost(wal: WAL, medium: ReadonlySet<number>, last: number): number[] {
  const kept = new Set(lsns(wal.replay()));
  return range(1, last).filter((lsn) => !medium.has(lsn) && !kept.has(lsn));
}

test("consumeAsync() starts from what the store before had durably when that one's sync() failed", async () => {
  for (const Kind of KINDS) {
    const wal = openInMemory();
    const medium = new Set<number>();
    fill(wal, 10);
    const failing = new Kind(medium);
    failing.failures = 1;
    await assertRejects(() => wal.consumeAsync(failing, { pollIntervalMs: 1 }), Error, "the store's sync failed");
    assertEquals([wal.tail, [...medium]], [1, []]);
    fill(wal, 1);
    await consumeAll(wal, new Kind(medium));
    assertEquals([...medium].filter((lsn) => lsn <= 10), range(1, 10));
    assertEquals(lost(wal, medium, 11), []);
    wal.close();
  }
});

test("consumeAsync() applies again what a failed sync() lost, when onError says retry", async () => {
  for (const Kind of KINDS) {
    for (const failures of [1, 2]) {
      const wal = openInMemory();
      const medium = new Set<number>();
      fill(wal, 10);
      const store = new Kind(medium);
      store.failures = failures;
      const stop = new AbortController();
      const run = wal.consumeAsync(store, { pollIntervalMs: 1, signal: stop.signal, onError: () => "retry" });
      await until(() => wal.tail > 10, "the records to be released");
      assertEquals([...medium], range(1, 10));
      stop.abort();
      await run;
      wal.close();
    }
  }
});

test("checkpoint() without an LSN confirms what a running consumer's store has durably, and no more", async () => {
  for (const truncates of [false, true]) {
    const disk = new SimulatedDisk({ seed: 1 });
    const medium = new Set<number>();
    const wal = openOn(disk);
    const run = wal.consumeAsync(new BufferingStore(medium), { pollIntervalMs: 1e6 });
    for (let i = 1; i <= 10; i++) await wal.logInsert(1, i, 1, 1);
    await wal.whenApplied();
    assertEquals([wal.applied, medium.size], [10, 0]);
    wal.checkpoint();
    assertThrows(() => wal.checkpoint(wal.applied), RangeError);
    if (truncates) assertThrows(() => wal.truncate(10), RangeError);
    disk.crash({ keep: "none" });
    try {
      wal.close();
    } catch { /* it says that it is dead */ }
    await run;

    const reopened = openOn(disk);
    assertEquals([reopened.applied, reopened.tail], [0, 1]);
    await consumeAll(reopened, new BufferingStore(medium));
    assertEquals([...medium], range(1, 10));
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
    // It may find no room for its own record; it may not take what the consumer would have made room with.
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

test("checkpoint() that releases lets those in who wait", async () => {
  for (const flush of ["inline", "offload"] as const) {
    const wal = openOn(new SimulatedDisk(), { flush });
    const gate = Promise.withResolvers<void>();
    fill(wal, CAPACITY);
    wal.close();
    wal.open();
    const store = Object.assign(new ListStore(), { appliedLsn: () => 300 });
    store.before = () => gate.promise;
    const run = wal.consumeAsync(store);
    await until(() => wal.applied === 300);
    const waiting = new Watched(wal.logInsert(2, 2, 2, 2));
    assertEquals([wal.stats().waiting, wal.checkpoint(300)], [1, CAPACITY + 1]);
    await until(() => waiting.state !== "pending", `the append that waited (${flush})`);
    assertEquals([waiting.state, wal.tail, wal.head], ["resolved", 301, CAPACITY + 3]);
    wal.close();
    gate.resolve();
    await run;
  }
});

test("whenApplied() and asyncDispose from within the store settle: they do not wait for the call they are made in", async () => {
  for (const what of ["whenApplied", "dispose"] as const) {
    const wal = openInMemory();
    await wal.logInsert(1, 2, 3, 4);
    let inner: unknown = "not called";
    const store = new ListStore();
    store.before = async () => {
      const call = what === "dispose" ? wal[Symbol.asyncDispose]() : wal.whenApplied();
      inner = await call.then(() => "resolved", (error) => error);
    };
    const stop = new AbortController();
    const run = new Watched(wal.consumeAsync(store, { signal: stop.signal }));
    await until(() => inner !== "not called", `${what} in the store`);
    assertEquals(what === "dispose" ? inner : inner instanceof WALClosedError, what === "dispose" ? "resolved" : true);
    stop.abort();
    await until(() => run.state !== "pending", "the consumer to end");
    assertEquals(run.state, "resolved");
    wal.close();
  }
});

test("consumeAsync() refuses a store that lacks records which truncate() let go of without a checkpoint", async () => {
  const wal = openInMemory();
  fill(wal, 10);
  wal.flush();
  wal.truncate(10);
  await wal.logInsert(1, 99, 0, 0);
  const store = Object.assign(new ListStore(), { appliedLsn: () => 3 });
  await assertRejects(() => wal.consumeAsync(store), WALStoreError);
  assertEquals(store.applied, []);
  wal.close();
});

test("an append from what a store call left running waits for room as any other does", async () => {
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
  const elsewhere = new Watched(wal.logInsert(6, 6, 6, 6));
  start.resolve();
  await until(() => wal.stats().waiting === 2 || background!.state !== "pending");
  assertEquals([background!.state, elsewhere.state], ["pending", "pending"], String(background!.error));
  slow.resolve();
  await until(() => background!.state !== "pending" && elsewhere.state !== "pending");
  assertEquals([background!.state, elsewhere.state], ["resolved", "resolved"]);
  wal.close();
  await run;
});

test("consumeAsync() from within appliedLsn() rejects with WALConsumingError", async () => {
  const wal = openInMemory();
  await wal.logInsert(1, 1, 1, 1);
  const other = new ListStore();
  let second: Promise<unknown> | null = null;
  const store = Object.assign(new ListStore(), {
    appliedLsn() {
      second = wal.consumeAsync(other).then(() => "ran", (error) => error);
      return 0;
    },
  });
  const run = wal.consumeAsync(store);
  await wal.whenApplied();
  await assertRejects(() => wal.consumeAsync(other), WALConsumingError);
  wal.close();
  await run;
  assertEquals([(await second as unknown) instanceof WALConsumingError, store.applied, other.applied], [true, [1], []]);
});
