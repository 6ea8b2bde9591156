// Fault: a store's transaction takes many runs, and one of them, its commit, its process or its log
//   fails in between (H28).
// Promise: the store has whole batches and their LSN, and no record is skipped or counts as applied
//   before it is committed.
// Method: a consumer of many short runs on a simulated disk, and in each of its turns a look at the
//   store and at its file. A trigger refuses a record; a deferred constraint refuses the commit.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { setImmediate } from "node:timers";
import { DatabaseSync } from "node:sqlite";
import type { AppliedRun, ConsumeErrorContext, ConsumeOptions, WAL, WALRecordFields } from "../mod.ts";
import { SQLiteStore, SQLiteStoreError } from "../src/stores/sqlite.ts";
import { SimulatedDisk } from "../testing.ts";
import { projectUrl, runSnippet } from "./support/child.ts";
import { openOn, range } from "./support/logs.ts";
import { type TempDir, tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const BATCH = 3;
const RECORDS = 1500;
/** Short runs, so that one transaction takes many. */
const OPTIONS = { batchSize: 6 };

/** A log with durable batches, and a store in a file with a second connection to it. */
class Scene implements Disposable {
  readonly wal: WAL;
  readonly store: SQLiteStore;
  readonly other: DatabaseSync;
  readonly path: string;

  constructor(directory: TempDir) {
    this.path = directory.join("store.db");
    this.store = new SQLiteStore(this.path, { busyTimeoutMs: 20 });
    this.other = new DatabaseSync(this.path);
    this.wal = openOn(new SimulatedDisk(), { size: 2 ** 20 });
    for (let first = 0; first < RECORDS; first += BATCH) {
      this.wal.batchInsertSync(Array.from({ length: BATCH }, (_, i) => [1, first + i, 2, 3] as const));
    }
    this.wal.flush();
  }

  /** What the file holds, as another connection sees it. */
  get committed(): [pairs: number, lsn: number] {
    const pairs = this.other.prepare("SELECT count(*) AS count FROM pair").get()!["count"];
    const lsn = this.other.prepare("SELECT lsn FROM applied").get()!["lsn"];
    return [Number(pairs), Number(lsn)];
  }

  /** Consumes until everything is applied or the consumer ends, and looks at each turn. */
  async consume(look: (turn: number) => void, options: ConsumeOptions = {}): Promise<void> {
    let hasEnded = false;
    const stop = new AbortController();
    const consuming = this.wal.consumeAsync(this.store, { ...OPTIONS, ...options, signal: stop.signal });
    const ended = consuming.finally(() => hasEnded = true);
    ended.catch(() => {});
    for (let turn = 1; !hasEnded && (!this.wal.isOpen || this.wal.applied < RECORDS); turn++) {
      look(turn);
      await new Promise((resolve) => setImmediate(resolve));
    }
    stop.abort();
    await ended;
  }

  [Symbol.dispose](): void {
    this.wal.close();
    this.store.close();
    this.other.close();
  }
}

test("consumeAsync() joins the runs of SQLiteStore in one transaction, and others have their turns meanwhile", async () => {
  using directory = tempDir();
  using scene = new Scene(directory);
  let turnsWithin = 0;
  await scene.consume(() => {
    const { size } = scene.store;
    const [pairs, lsn] = scene.committed;
    assertEquals(size % BATCH, 0, "a reader sees whole batches");
    assertEquals([pairs, lsn], [scene.wal.applied, scene.wal.applied], "what counts as applied is committed");
    if (size > pairs) turnsWithin++;
  });
  assert(turnsWithin > 5, `${turnsWithin} turns`);
  assertEquals(scene.committed, [RECORDS, RECORDS]);
});

test("consumeAsync() applies all runs of a transaction again when SQLiteStore refuses a record", async () => {
  using directory = tempDir();
  using scene = new Scene(directory);
  const middle = `x'${"1".padStart(16, "0")}${(RECORDS / 2).toString(16).padStart(16, "0")}'`;
  scene.other.exec(`CREATE TRIGGER refuse BEFORE INSERT ON pair WHEN NEW.key = ${middle}
    BEGIN SELECT RAISE(ABORT, 'refused'); END`);
  const contexts: ConsumeErrorContext[] = [];
  await scene.consume(() => {}, {
    onError: (error, context) => {
      assert(error instanceof SQLiteStoreError && error.message.includes("refused"));
      assertEquals([scene.committed, scene.store.size, scene.wal.applied], [[0, 0], 0, 0]);
      contexts.push(context);
      if (contexts.length === 2) scene.other.exec("DROP TRIGGER refuse");
      return "retry";
    },
  });
  assertEquals(contexts.map(({ firstLsn, attempt }) => [firstLsn, attempt]), [[1, 1], [1, 2]]);
  assert(contexts.every(({ lastLsn }) => lastLsn > RECORDS / 2 && lastLsn < RECORDS / 2 + 10));
  assertEquals(scene.committed, [RECORDS, RECORDS]);
});

/** Lets the commit of a transaction fail that inserts one of the first records. */
function refuseCommit({ other }: Scene): void {
  other.exec(`CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER defer AFTER INSERT ON pair WHEN NEW.key = x'${"1".padStart(16, "0")}${"0".repeat(16)}'
    BEGIN INSERT INTO child VALUES (7); END`);
}

test("consumeAsync() applies everything again when the commit fails, also one that somebody else has caused", async () => {
  for (const meddles of [false, true]) {
    using directory = tempDir();
    using scene = new Scene(directory);
    refuseCommit(scene);
    let failures = 0;
    let meddled = false;
    await scene.consume(() => {
      if (!meddles || meddled || scene.store.size === 0) return;
      meddled = true;
      assertThrows(() => scene.store.insert(9n, 9n, 9n, 9n), SQLiteStoreError, "FOREIGN KEY");
    }, {
      onError: (error) => {
        assert(error instanceof SQLiteStoreError && error.message.includes("FOREIGN KEY"), String(error));
        assertEquals([scene.committed, scene.wal.applied], [[0, 0], 0]);
        if (++failures === 2) scene.other.exec("DROP TRIGGER defer");
        return "retry";
      },
    });
    assertEquals([failures, meddled, scene.committed], [2, meddles, [RECORDS, RECORDS]]);
  }
});

test("SQLiteStore commits the runs that it joins before anything else changes or asks, and goes on", async () => {
  const calls: ((store: SQLiteStore) => void)[] = [
    (store) => store.insert(9n, 9n, 9n, 9n),
    (store) => store.applyBatch([]),
    (store) => store.sync(),
    (store) => assert(store.appliedLsn() > 0),
  ];
  for (const [i, call] of calls.entries()) {
    using directory = tempDir();
    using scene = new Scene(directory);
    let called = 0;
    await scene.consume((turn) => {
      const { size } = scene.store;
      if (turn % 3 !== 0 || size === 0) return;
      call(scene.store);
      called++;
      assert(scene.committed[0] >= size, `call ${i}`);
    });
    assert(called > 1);
    assertEquals(scene.committed, [RECORDS + (i === 0 ? 1 : 0), RECORDS], `call ${i}`);
  }
});

test("SQLiteStore leaves no transaction open after its consumer was stopped, its log closed, or it failed", async () => {
  const ends: ((scene: Scene, stop: AbortController) => void)[] = [
    (_, stop) => stop.abort(),
    ({ wal }) => wal.close(),
    ({ wal, store }) => {
      wal.close();
      store.close();
    },
  ];
  for (const [i, end] of ends.entries()) {
    using directory = tempDir();
    using scene = new Scene(directory);
    const stop = new AbortController();
    const consuming = scene.wal.consumeAsync(scene.store, { ...OPTIONS, signal: stop.signal });
    while (scene.store.size === 0) await new Promise((resolve) => setImmediate(resolve));
    end(scene, stop);
    await consuming;
    scene.other.exec("BEGIN IMMEDIATE; COMMIT");
    const [pairs, lsn] = scene.committed;
    assert(pairs === lsn && pairs > 0 && pairs % BATCH === 0, `end ${i}: ${pairs}, ${lsn}`);
  }
  using directory = tempDir();
  using scene = new Scene(directory);
  refuseCommit(scene);
  await assertRejects(() => scene.consume(() => {}), SQLiteStoreError, "FOREIGN KEY");
  scene.other.exec("BEGIN IMMEDIATE; COMMIT");
  assertEquals(scene.committed, [0, 0]);
});

test("consumeAsync() calls applyBatch() of a SQLiteStore whose applyBatch() is another one", async () => {
  class Counting extends SQLiteStore {
    runs = 0;
    override applyBatch(records: readonly WALRecordFields[], run?: AppliedRun): void {
      this.runs++;
      super.applyBatch(records, run);
    }
  }
  using wal = openOn(new SimulatedDisk());
  for (let i = 0; i < 100; i++) wal.logInsertSync(1, i, 2, 3);
  wal.flush();
  using subclass = new Counting(":memory:");
  const stop = new AbortController();
  const consuming = wal.consumeAsync(subclass, { ...OPTIONS, signal: stop.signal });
  await wal.whenApplied();
  stop.abort();
  await consuming;
  assert(subclass.runs > 10 && subclass.size === 100);
});

test("SQLiteStore has whole transactions after its process was killed within one", async () => {
  using directory = tempDir();
  const path = directory.join("store.db");
  const child = await runSnippet(`
    import process from "node:process";
    import { WAL } from ${JSON.stringify(projectUrl("mod.ts"))};
    import { SQLiteStore } from ${JSON.stringify(projectUrl("src/stores/sqlite.ts"))};
    const wal = WAL.open(${JSON.stringify(directory.join("log"))}, { size: 2 ** 20 });
    const store = new SQLiteStore(${JSON.stringify(path)});
    wal.consumeAsync(store);
    for (let i = 0; i < 300; i++) wal.logInsertSync(1, i, 2, 3);
    wal.flush();
    await wal.whenApplied();
    for (let i = 300; i < 9000; i++) wal.logInsertSync(1, i, 2, 3);
    wal.flush();
    const kill = () => store.size > 300 ? process.kill(process.pid, "SIGKILL") : setImmediate(kill);
    kill();
    await wal.whenApplied();
  `);
  assertEquals(child.signal, "SIGKILL", child.stderr);
  using store = new SQLiteStore(path);
  const keys = [...store].map(([, keyLow]) => Number(keyLow));
  assertEquals(keys, range(0, keys.length - 1));
  const checkpoints = store.appliedLsn() - keys.length;
  assert(keys.length >= 300 && (checkpoints === 0 || checkpoints === 1), `${checkpoints}`);
});
