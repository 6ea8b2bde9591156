// Fault: a store's LSN is taken for a position in another history, because the log was restored,
//   made anew, copied or salvaged, and has grown past that LSN (H38, H28).
// Promise: such a store is refused until somebody decides, in this opening and in every later one.
//   Nothing is skipped or released. A store that is right is never refused (G11).
// Method: each way in which a log loses its end × the moments at which it grows × stores with and
//   without an id; retries, reopenings, and crashes between the header writes of a fork; on the
//   simulated disk, and with SQLite on the real one.

import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { copyFileSync, rmSync } from "node:fs";
import { type AppliedRun, type Store, WAL, WALIOError, type WALRecord, WALStoreError } from "../../mod.ts";
import { readHeaders } from "../../src/format/header.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import { SQLiteStore, SQLiteStoreError } from "../../src/stores/sqlite.ts";
import { SimulatedDisk } from "../../testing.ts";
import { fill, openOn, PATH, range } from "../support/logs.ts";
import { turn } from "../support/simulation.ts";
import { withTempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const COPY = "/sim/copy";

/** A store whose disk is its object: it notes which records of which log it was given. */
class LineStore {
  readonly applied: number[] = [];
  readonly runs: AppliedRun[] = [];
  lsn = 0;
  logId: string | null = null;

  applyBatch(records: readonly WALRecord[], run: AppliedRun): void {
    this.applied.push(...records.map(({ lsn }) => lsn));
    this.runs.push(run);
    this.lsn = run.lastLsn;
    this.logId = run.logId;
  }

  appliedLsn(): number {
    return this.lsn;
  }

  appliedLog(): string | null {
    return this.logId;
  }

  asStore(): Store {
    return this as unknown as Store;
  }

  /** The same store, without an id: one that was written for an earlier version. */
  asOldStore(): Store {
    const old = { applyBatch: this.applyBatch.bind(this), appliedLsn: this.appliedLsn.bind(this) };
    return old as unknown as Store;
  }
}

/** Runs a consumer until everything is applied. */
async function consumeAll(wal: WAL, store: Store): Promise<void> {
  const stop = new AbortController();
  const running = wal.consumeAsync(store, { signal: stop.signal });
  try {
    await Promise.race([running, wal.flushAsync().then(() => wal.whenApplied())]);
  } finally {
    stop.abort();
    await running;
  }
}

/**
 * Fills a store with LSNs 1 to 100 of a log. `restored()` puts back the log's file as it was at LSN
 * 50.
 */
async function prepared(how: string) {
  const disk = new SimulatedDisk();
  const store = new LineStore();
  let wal = openOn(disk);
  fill(wal, 50);
  wal.flush();
  wal.backup(COPY);
  wal.close();
  const closed = disk.image(PATH);
  wal = openOn(disk);
  fill(wal, 50, 51);
  await consumeAll(wal, store.asStore());
  assertEquals([store.lsn, store.logId], [100, wal.logId]);
  const { logId } = wal;
  wal.close();
  disk.outsider.unlink(PATH);
  if (how === "restored from a backup") disk.outsider.rename(COPY, PATH);
  else if (how === "put back as a copy of the closed file") disk.outsider.writeFile(PATH, closed);
  else assertEquals(how, "deleted and made anew");
  return { disk, store, logId, common: how === "deleted and made anew" ? 0 : 50 };
}

const WAYS = [
  "restored from a backup",
  "put back as a copy of the closed file",
  "deleted and made anew",
];

/** A consumer that is not refused at once is stopped: it would run for ever. */
async function tryToConsume(wal: WAL, store: Store): Promise<void> {
  const stop = new AbortController();
  const running = wal.consumeAsync(store, { signal: stop.signal });
  let isOver = false;
  running.finally(() => isOver = true).catch(() => {});
  for (let turns = 0; turns < 50 && !isOver; turns++) await turn();
  stop.abort();
  await running;
}

async function refused(wal: WAL, store: Store): Promise<WALStoreError> {
  const before = [wal.tail, wal.applied, wal.durable];
  const error = await assertRejects(() => tryToConsume(wal, store), WALStoreError);
  assertEquals([wal.tail, wal.applied, wal.durable], before);
  return error;
}

for (const how of WAYS) {
  for (const kind of ["a store", "a store without an id"]) {
    const asStore = (store: LineStore) => kind === "a store" ? store.asStore() : store.asOldStore();

    test(`consumeAsync() of a log that was ${how} refuses ${kind} that has more, before, when and after it grows past its LSN`, async () => {
      const { disk, store, common } = await prepared(how);
      using wal = openOn(disk);
      assertEquals(wal.durable, common);
      const error = await refused(wal, asStore(store));
      assertEquals([error.appliedLsn, error.applied, error.code], [100, 100, "STORE"]);
      // In the same turn, in the next ones, and when all of it is durable.
      fill(wal, 30);
      await refused(wal, asStore(store));
      const consuming = assertRejects(() => tryToConsume(wal, asStore(store)), WALStoreError);
      fill(wal, 100);
      await consuming;
      const last = wal.head - 1;
      await Promise.all([
        wal.logInsert(1, 2, 3, 4),
        assertRejects(() => tryToConsume(wal, asStore(store)), WALStoreError),
      ]);
      wal.flush();
      await refused(wal, asStore(store));
      assertEquals([store.applied.length, wal.head, wal.tail, wal.applied], [100, last + 2, 1, 0]);
      // What was logged is all there for a store that has the right to it.
      const empty = new LineStore();
      await consumeAll(wal, empty.asStore());
      assertEquals(empty.applied, range(1, last + 1));
    });

    test(`consumeAsync() of a log that was ${how} and has grown before its first consumer starts refuses ${kind}`, async () => {
      const { disk, store } = await prepared(how);
      using wal = openOn(disk);
      fill(wal, 120);
      wal.flush();
      await refused(wal, asStore(store));
      assertEquals(store.lsn, 100);
    });

    test(`consumeAsync() of a log that was ${how} refuses ${kind} at each try of a supervisor while producers go on`, async () => {
      const { disk, store } = await prepared(how);
      using wal = openOn(disk);
      let tries = 0;
      for (let round = 0; round < 20; round++) {
        const append = wal.logInsert(round, 1, 2, 3);
        await assertRejects(() => tryToConsume(wal, asStore(store)), WALStoreError);
        tries++;
        fill(wal, 10);
        await append;
      }
      assertEquals([tries, wal.tail, wal.applied, store.applied.length], [20, 1, 0, 100]);
    });
  }

  test(`consumeAsync() of a log that was ${how} refuses the store in every later opening, closed or crashed`, async () => {
    const { disk, store, logId } = await prepared(how);
    for (let opening = 0; opening < 6; opening++) {
      const wal = openOn(disk);
      fill(wal, 60);
      if (opening % 2 === 0) wal.flush();
      const error = await refused(wal, store.asStore());
      assertEquals([error.appliedLog, error.logId, error.appliedLsn], [logId, wal.logId, 100]);
      assertNotEquals(wal.logId, logId);
      wal.flush();
      if (opening === 3) disk.crash({ keep: "random" });
      else wal.close();
    }
    assertEquals(store.applied.length, 100);
  });

  test(`WALStoreError of a log that was ${how} says what happened, and what to do`, async () => {
    const { disk, store, logId, common } = await prepared(how);
    using wal = openOn(disk);
    fill(wal, 200);
    wal.flush();
    const { message } = await refused(wal, store.asStore());
    const shares = common === 0 ? "" : ", which shares only LSN 1 to 50 with that log";
    assertEquals(
      message,
      `Cannot consume the log: the store has LSN 100 of log ${logId}, but this is log ${wal.logId}${shares}; ` +
        "open the log that the store belongs to, or give this log an empty store",
    );
  });
}

for (const how of WAYS.slice(0, 2)) {
  test(`consumeAsync() of a log that was ${how} goes on with a store that has no more than both histories share`, async () => {
    for (const lsn of [0, 1, 49, 50, 51]) {
      const { disk, store, logId } = await prepared(how);
      const wal = openOn(disk);
      fill(wal, 60);
      // A store that has too much makes no other one wrong.
      await refused(wal, store.asStore());
      const right = Object.assign(new LineStore(), { lsn, logId });
      if (lsn > 50) await refused(wal, right.asStore());
      else {
        await consumeAll(wal, right.asStore());
        assertEquals(right.applied, range(lsn + 1, 110));
        assertEquals([right.logId, right.lsn], [wal.logId, 110]);
      }
      wal.close();
      using again = openOn(disk);
      fill(again, 5);
      await refused(again, store.asStore());
      if (lsn <= 50) {
        await consumeAll(again, right.asStore());
        assertEquals(right.applied.at(-1), again.applied);
      }
    }
  });
}

test("consumeAsync() of a copy of a copy takes the store of the copy, and refuses that of the first log: only the nearest origin is known", async () => {
  const disk = new SimulatedDisk();
  const open = (path: string) => WAL.open(path, { storage: disk.storage, size: 65536, idleHeaderDelayMs: Infinity });
  using first = open("/sim/first");
  fill(first, 50);
  first.flush();
  first.backup("/sim/second");
  using second = open("/sim/second");
  second.backup("/sim/third");
  using third = open("/sim/third");
  const at = (log: WAL) => Object.assign(new LineStore(), { lsn: 20, logId: log.logId }).asStore();
  await refused(third, at(first));
  await consumeAll(third, at(second));
});

test("consumeAsync() of a backup takes the store of its log, and its log no longer takes that store", async () => {
  const disk = new SimulatedDisk();
  const store = new LineStore();
  const wal = openOn(disk);
  fill(wal, 50);
  await consumeAll(wal, store.asStore());
  const original = wal.logId;
  fill(wal, 10);
  wal.flush();
  wal.backup(COPY);
  {
    using copy = WAL.open(COPY, { storage: disk.storage, idleHeaderDelayMs: Infinity });
    fill(copy, 3);
    await consumeAll(copy, store.asStore());
    assertEquals(store.applied, [...range(1, 50), ...range(52, 64)]); // LSN 51 is a checkpoint
    assertEquals(store.logId, copy.logId);
    assertNotEquals(store.logId, original);
  }
  fill(wal, 40);
  wal.flush();
  await refused(wal, store.asStore());
});

test("consumeAsync() of a log that salvage made takes its store, and refuses one that has what it could not keep", async () => {
  const disk = new SimulatedDisk();
  const store = new LineStore();
  let wal = openOn(disk);
  fill(wal, 40);
  await consumeAll(wal, new MemoryStore());
  wal.close();
  wal = openOn(disk);
  fill(wal, 20);
  wal.flush();
  fill(wal, 3);
  wal.flush();
  const { logId } = wal;
  const head = wal.head;
  disk.crash({ mode: "kill" });
  disk.damage.flipBit(PATH, 16384 + 50 * 64 + 50, 2); // LSN 51: acknowledged, and lost
  disk.damage.flipBit(PATH, 16384 + (head - 2) * 64 + 50, 2); // the last one: nothing proves that it was acknowledged
  Object.assign(store, { lsn: 45, logId });
  const ahead = Object.assign(new LineStore(), { lsn: head - 1, logId });
  using saved = openOn(disk, { recovery: "salvage" });
  assertEquals(saved.recovery.origin, { logId, lastLsn: head - 2 });
  fill(saved, 30);
  await refused(saved, ahead.asStore());
  await consumeAll(saved, store.asStore());
  const lost = new Set(saved.recovery.losses.flatMap(({ firstLsn, lastLsn }) => range(firstLsn, lastLsn)));
  assert(lost.has(51));
  assertEquals(store.applied, range(46, store.lsn).filter((lsn) => !lost.has(lsn)));
  await refused(saved, ahead.asStore());
});

test("applyBatch() is told the log's id, and the first and last LSN of the run", async () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  const store = new LineStore();
  fill(wal, 5);
  await consumeAll(wal, store.asStore());
  assertEquals(store.runs, [{ logId: wal.logId, firstLsn: 1, lastLsn: 5 }]);
  assertMatch(wal.logId, /^[0-9a-f]{32}$/);
});

for (const kind of ["a store", "a store without an id"]) {
  test(`consumeAsync() is refused ${kind} while a consumer of another log fills it`, async () => {
    const disk = new SimulatedDisk();
    const [one, other] = ["/sim/one", "/sim/other"].map((path) => openOn(disk, {}, path)) as [WAL, WAL];
    const line = new LineStore();
    const store = kind === "a store" ? line.asStore() : line.asOldStore();
    const stop = new AbortController();
    const consuming = one.consumeAsync(store, { signal: stop.signal });
    // Before either has asked the empty store for its position, and when it has one.
    await refused(other, store);
    fill(one, 10);
    await one.whenApplied();
    fill(other, 5);
    const error = await refused(other, store);
    assertMatch(error.message, /a consumer of log [0-9a-f]{32} is filling the store, and this is log [0-9a-f]{32}/);
    assertEquals([error.appliedLsn, error.appliedLog], [10, one.logId]);
    assertEquals([error.logId, other.tail], [other.logId, 1]);
    stop.abort();
    await consuming;
    assertEquals(line.applied, range(1, 10));
    // Its own log takes it again, before and after it was opened anew.
    await consumeAll(one, store);
    const again = one.consumeAsync(store);
    await turn();
    one.close();
    one.open();
    await consumeAll(one, store);
    await again;
    one.close();
    other.close();
  });
}

test("consumeAsync() goes on with its store after a crash, though the consumer of before has not ended", async () => {
  const disk = new SimulatedDisk();
  const store = new LineStore();
  const dead = openOn(disk);
  const consuming = assertRejects(() => dead.consumeAsync(store.asStore()), WALIOError);
  fill(dead, 10);
  await dead.whenApplied();
  disk.crash();
  const wal = openOn(disk);
  fill(wal, 5);
  await consumeAll(wal, store.asStore());
  assertEquals(store.applied, range(1, 15));
  wal.close();
  dead.close(); // its disk fails it, and nothing is left to be made durable
  await consuming;
});

test("SQLiteStore that two logs fill over two connections skips the records of neither", () =>
  withTempDir(async (_, directory) => {
    const logs = ["one", "other"].map((name) => WAL.open(directory.join(name), { size: 65536 }));
    const stores = logs.map(() => new SQLiteStore(directory.join("store.db")));
    const [one, other] = logs as [WAL, WAL];
    const consuming = logs.map((wal, index) => wal.consumeAsync(stores[index]!));
    await turn(); // both have asked the empty store
    fill(one, 10);
    await one.whenApplied();
    fill(other, 5);
    await assertRejects(() => other.whenApplied(), SQLiteStoreError, `LSN 10 of log ${one.logId}`);
    assertEquals([other.tail, other.applied], [1, 0]);
    await assertRejects(() => consuming[1]!, SQLiteStoreError);
    await one[Symbol.asyncDispose]();
    await consuming[0];
    other.close();
    for (const store of stores) store.close();
  }));

test("consumeAsync() fills a store without a position from two logs at a time", async () => {
  using one = openOn(new SimulatedDisk());
  using other = openOn(new SimulatedDisk());
  const applied: number[] = [];
  const store = { applyBatch: (records: readonly WALRecord[]) => void applied.push(...records.map(({ lsn }) => lsn)) };
  const consuming = [one, other].map((wal) => wal.consumeAsync(store));
  fill(one, 3);
  await one.whenApplied();
  fill(other, 2);
  await other.whenApplied();
  assertEquals(applied, [1, 2, 3, 1, 2]);
  one.close();
  other.close();
  await Promise.all(consuming);
});

test("consumeAsync() takes its log's own store again, whatever this opening has handed out", async () => {
  const disk = new SimulatedDisk();
  const store = new LineStore();
  for (let opening = 0; opening < 4; opening++) {
    using wal = openOn(disk);
    for (let consumer = 0; consumer < 4; consumer++) {
      fill(wal, 20);
      await consumeAll(wal, opening % 2 === 0 ? store.asStore() : store.asOldStore());
      assertEquals(wal.stats().warnings, []);
    }
  }
  assertEquals(new Set(store.applied).size, store.applied.length);
});

test("consumeAsync() of a log that has released records refuses an empty store, and the error says which store is right", async () => {
  const disk = new SimulatedDisk();
  const store = new LineStore();
  using wal = openOn(disk);
  fill(wal, 50);
  await consumeAll(wal, store.asStore());
  assert(wal.tail > 50);
  const error = await refused(wal, new LineStore().asStore());
  assertMatch(
    error.message,
    /the store has LSN 0 \(it is empty: .+\), but the log has released everything before LSN \d+; give this log a store that has its LSN \d+$/,
  );
  const foreign = Object.assign(new LineStore(), { lsn: 7, logId: "ab".repeat(16) });
  const other = await refused(wal, foreign.asStore());
  assertMatch(other.message, /open the log that the store belongs to, or give this log a store that has its LSN \d+$/);
  await consumeAll(wal, store.asStore());
});

test("checkpoint() counts what the caller confirms as handed out: the caller says that the store has it", async () => {
  using wal = openOn(new SimulatedDisk());
  fill(wal, 20);
  wal.flush();
  const store = Object.assign(new LineStore(), { lsn: 12 });
  await refused(wal, store.asOldStore());
  wal.checkpoint(12);
  await consumeAll(wal, store.asOldStore());
  assertEquals(store.applied, range(13, 20));
});

test("consumeAsync() takes a store that does not know its log where its LSN was there at open(), with a warning, and the store learns it", async () => {
  for (const unknown of [null, ""]) {
    const disk = new SimulatedDisk();
    const store = new LineStore();
    {
      using wal = openOn(disk);
      fill(wal, 20);
    }
    Object.assign(store, { lsn: 10, logId: unknown });
    const wal = openOn(disk);
    await consumeAll(wal, store.asStore());
    assertEquals(wal.stats().warnings, [
      "The store does not know which log its LSN 10 belongs to, so it is used as an LSN of this log",
    ]);
    assertEquals([store.applied, store.logId], [range(11, 20), wal.logId]);
    wal.close();
    using again = openOn(disk);
    await consumeAll(again, store.asStore());
    assertEquals(again.stats().warnings, []);
  }
});

test("appliedLog() that gives no id is a TypeError, and none for an LSN of 0 is no warning", async () => {
  using wal = openOn(new SimulatedDisk());
  for (const logId of [7, {}, true]) {
    const store = { applyBatch() {}, appliedLsn: () => 0, appliedLog: () => logId } as unknown as Store;
    await assertRejects(() => wal.consumeAsync(store), TypeError, "appliedLog()");
  }
  await assertRejects(() => wal.consumeAsync({ applyBatch() {}, appliedLog: 5 } as unknown as Store), TypeError);
  fill(wal, 3);
  await consumeAll(wal, new LineStore().asStore());
  assertEquals(wal.stats().warnings, []);
});

// The fork: what a log does that was put back to an earlier state, which only its store can tell.

async function prepareFork() {
  const { disk, store, logId } = await prepared("put back as a copy of the closed file");
  return { disk, store, logId };
}

test("consumeAsync() forks a log once, whatever a store says after that: a store that lies makes no right one wrong", async () => {
  const { disk, logId } = await prepareFork();
  const right = Object.assign(new LineStore(), { lsn: 40, logId });
  using wal = openOn(disk);
  const liar = { applyBatch() {}, appliedLsn: () => 2 ** 40, appliedLog: () => wal.logId } as unknown as Store;
  await refused(wal, liar);
  const parted = wal.logId;
  assertNotEquals(parted, logId);
  for (let attempt = 0; attempt < 5; attempt++) {
    const error = await refused(wal, liar);
    assertEquals([error.logId, error.appliedLog, wal.logId], [parted, parted, parted]);
  }
  fill(wal, 9);
  await consumeAll(wal, right.asStore());
  assertEquals([right.applied, right.logId], [range(41, 59), parted]);
});

test("consumeAsync() writes a fork into both header copies before the store hears of it, and keeps the records as they are", async () => {
  const { disk, store, logId } = await prepareFork();
  const wal = openOn(disk);
  fill(wal, 100);
  wal.flush();
  await refused(wal, store.asStore());
  const fork = { logId, lastLsn: 50 };
  const { copies } = readHeaders(disk.image(PATH));
  for (const copy of copies) {
    assert(typeof copy === "object");
    assertEquals(copy.lineage, { logId: wal.logId, origin: null, fork });
  }
  const parted = wal.logId;
  for (const damaged of [0, 4096]) {
    const other = new SimulatedDisk();
    other.outsider.writeFile(PATH, disk.image(PATH));
    other.damage.flipBit(PATH, damaged + 100, 3);
    using reopened = openOn(other);
    assertEquals([reopened.logId, reopened.recovery.logId, reopened.durable], [parted, parted, 150]);
    await refused(reopened, store.asStore());
  }
});

test("consumeAsync() that crashes at any call of a fork leaves a log that forks again or has forked; the store stays refused", async () => {
  for (let step = 1, isOver = false; !isOver; step++) {
    for (const keep of ["none", "all"] as const) {
      const { disk, store, logId } = await prepareFork();
      const wal = openOn(disk);
      const from = disk.steps;
      disk.crashAt(from + step, "during");
      await assertRejects(() => tryToConsume(wal, store.asStore()));
      isOver = !disk.halted;
      if (!disk.halted) continue;
      disk.restart({ mode: "power", keep });
      disk.clearFaults();
      for (let opening = 0; opening < 2; opening++) {
        using again = openOn(disk);
        await refused(again, store.asStore());
        assertNotEquals(again.logId, logId);
        fill(again, 80);
      }
    }
  }
});

test("consumeAsync() refuses the store when a fork cannot be written, and poisons the log", async () => {
  const { disk, store } = await prepareFork();
  const wal = openOn(disk);
  disk.fail({ call: "syncMapped", times: Infinity });
  await assertRejects(() => tryToConsume(wal, store.asStore()), WALStoreError);
  assertEquals(wal.stats().poisoned, true);
  wal.close();
});

test("backup() of a log that has forked is made under the id that the log has now", async () => {
  const { disk, store } = await prepareFork();
  using wal = openOn(disk);
  await refused(wal, store.asStore());
  fill(wal, 10);
  wal.flush();
  wal.backup("/sim/second");
  using copy = WAL.open("/sim/second", { storage: disk.storage });
  assertEquals(copy.recovery.origin, { logId: wal.logId, lastLsn: 60 });
});

// The real disk, and a real store.

for (const how of WAYS) {
  test(`consumeAsync() of a log on a disk that was ${how} refuses its SQLiteStore in every opening`, () =>
    withTempDir(async (directory) => {
      const [path, copy, database] = [`${directory}/log`, `${directory}/copy`, `${directory}/store.sqlite`];
      const open = () => WAL.open(path, { size: 65536, idleHeaderDelayMs: Infinity });
      {
        using wal = open();
        fill(wal, 50);
        wal.flush();
        if (how === "restored from a backup") wal.backup(copy);
      }
      if (how === "put back as a copy of the closed file") copyFileSync(path, copy);
      let logId: string;
      {
        using wal = open();
        using store = new SQLiteStore(database);
        fill(wal, 50, 51);
        await consumeAll(wal, store);
        logId = wal.logId;
        assertEquals([store.appliedLsn(), store.appliedLog()], [100, logId]);
      }
      rmSync(path);
      if (how !== "deleted and made anew") copyFileSync(copy, path);
      for (let opening = 0; opening < 3; opening++) {
        using wal = open();
        using store = new SQLiteStore(database);
        if (opening === 1) await refused(wal, store);
        fill(wal, 100);
        wal.flush();
        const error = await refused(wal, store);
        assertEquals([error.appliedLsn, error.appliedLog, error.logId], [100, logId, wal.logId]);
        assertEquals([wal.tail, store.size], [1, 100]);
      }
      using wal = open();
      using empty = new SQLiteStore(":memory:");
      const { head } = wal;
      await consumeAll(wal, empty);
      assertEquals([empty.appliedLsn(), empty.appliedLog()], [head - 1, wal.logId]);
    }));
}
