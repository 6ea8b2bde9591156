import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { WALError, WALOperationError, WALStoreError } from "../src/errors.ts";
import { SQLiteStore, SQLiteStoreError } from "../src/stores/sqlite.ts";
import { type StoreEntry, StoreModel } from "../src/testing/store_model.ts";
import { type AppliedRun, OpType, type WALRecordFields } from "../src/types.ts";
import { WAL } from "../src/wal.ts";
import { projectUrl, runSnippet } from "./support/child.ts";
import { applySingly, assertSame } from "./support/store_check.ts";
import { makeInserts, makeRecord, makeRecords, MAX, operations, sorted } from "./support/store_records.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const withoutStrace = spawnSync("strace", ["-V"]).status === 0 ? false : "no strace";

/** SQLite keeps pairs in order, and lists them so. */
const assertSameInOrder = (store: SQLiteStore, model: StoreModel) => assertSame(store, model, (pairs) => [...pairs]);

/**
 * Copies a database as a crash of its process would leave it, without what SQLite does at close.
 */
function copyDatabase(from: string, to: string): void {
  copyFileSync(from, to);
  if (existsSync(`${from}-wal`)) copyFileSync(`${from}-wal`, `${to}-wal`);
}

test("SQLiteStore holds what a plain map holds after any operations, in runs or one by one", () => {
  fc.assert(
    fc.property(operations, fc.integer({ min: 1, max: 150 }), (all, runLength) => {
      const model = new StoreModel();
      using inRuns = new SQLiteStore(":memory:");
      using singly = new SQLiteStore(":memory:");
      const records = makeRecords(all);
      for (let i = 0; i < records.length; i += runLength) inRuns.applyBatch(records.slice(i, i + runLength));
      for (const record of records) {
        applySingly(singly, record);
        model.apply(record);
      }
      assertSameInOrder(inRuns, model);
      assertSameInOrder(singly, model);
      assertEquals(inRuns.appliedLsn(), records.length);
    }),
    { numRuns: 50 },
  );
});

test("SQLiteStore skips records that it has, also where they begin a run", () => {
  fc.assert(
    fc.property(operations, fc.nat(), fc.nat(), (all, a, b) => {
      const records = makeRecords(all);
      const [again, end] = [a % (all.length + 1), b % (all.length + 1)].sort((x, y) => x - y);
      using store = new SQLiteStore(":memory:");
      store.applyBatch(records.slice(0, end));
      for (const record of records.slice(again, end)) applySingly(store, record);
      store.applyBatch(records.slice(again));
      const model = new StoreModel();
      for (const record of records) model.apply(record);
      assertSameInOrder(store, model);
    }),
    { numRuns: 50 },
  );
});

/** Ids of logs. */
const [A, B] = ["a1".repeat(16), "b2".repeat(16)] as const;

function runOf(records: readonly WALRecordFields[], logId: string): AppliedRun {
  return { logId, firstLsn: records[0]!.lsn, lastLsn: records.at(-1)!.lsn };
}

test("SQLiteStore.appliedLog() is null in a new store, then the log of the last run that changed it", () => {
  using directory = tempDir();
  const path = directory.join("store.db");
  {
    using store = new SQLiteStore(path);
    assertEquals([store.appliedLsn(), store.appliedLog()], [0, null]);
    store.applyBatch(makeInserts(5), runOf(makeInserts(5), A));
    assertEquals([store.appliedLsn(), store.appliedLog()], [5, A]);
    const more = makeInserts(4, 6);
    store.applyBatch(more, runOf(more, B));
    // All of it is there: nothing changes.
    store.applyBatch(more, runOf(more, B));
    // By hand: the caller says nothing of a log.
    store.applyBatch(makeInserts(1, 10));
    store.insert(1n, 2n, 3n, 4n, makeRecord(11, OpType.Insert));
    assertEquals([store.appliedLsn(), store.appliedLog()], [11, B]);
  }
  using store = new SQLiteStore(path);
  assertEquals([store.appliedLsn(), store.appliedLog()], [11, B]);
  store.close();
  assertThrows(() => store.appliedLog(), SQLiteStoreError, "closed");
});

// Fault: two processes consume two logs into one database, and the second log's LSNs look like
//   those that it has (H38).
// Promise: the store refuses a run that it would skip, and stays as it is.
// Method: two connections.
test("SQLiteStore.applyBatch() refuses a run of another log that starts at or below its LSN", () => {
  using directory = tempDir();
  const path = directory.join("store.db");
  using one = new SQLiteStore(path);
  using other = new SQLiteStore(path);
  one.applyBatch(makeInserts(5), runOf(makeInserts(5), A));
  for (const records of [makeInserts(1), makeInserts(5), makeInserts(9), makeInserts(4, 5)]) {
    assertThrows(() => other.applyBatch(records, runOf(records, B)), SQLiteStoreError, `LSN 5 of log ${A}`);
    assertEquals([other.appliedLsn(), other.appliedLog(), other.size], [5, A, 5]);
  }
  const more = makeInserts(4, 6);
  other.applyBatch(more, runOf(more, B));
  assertEquals([one.appliedLsn(), one.appliedLog(), one.size], [9, B, 9]);
});

// Fault: a run fails or the process dies within it (H28, H38).
// Promise: data, LSN and log id are of one run.
// Method: a record that cannot be applied; a copy of the files after each run.
test("SQLiteStore saves LSN and log id in the transaction of the data", () => {
  using directory = tempDir();
  const path = directory.join("store.db");
  using store = new SQLiteStore(path);
  for (let i = 0; i < 6; i++) {
    const logId = i % 2 === 0 ? A : B;
    const records = makeInserts(4, 1 + 4 * i);
    const unreadable = {
      ...records[3]!,
      get keyHigh(): bigint {
        throw new Error("unreadable");
      },
    };
    const spoilt = [...records.slice(0, 3), unreadable];
    assertThrows(() => store.applyBatch(spoilt, runOf(spoilt, logId)), Error, "unreadable");
    assertEquals([store.appliedLsn(), store.appliedLog()], i === 0 ? [0, null] : [4 * i, i % 2 === 0 ? B : A]);
    store.applyBatch(records, runOf(records, logId));
    const copy = directory.join(`copy-${i}.db`);
    copyDatabase(path, copy);
    using crashed = new SQLiteStore(copy);
    assertEquals([crashed.appliedLsn(), crashed.appliedLog(), crashed.size], [4 * i + 4, logId, 4 * i + 4]);
  }
});

/** Makes a database as version 0.1.0 of this library left it. */
function makeVersion1(path: string, lsn: number): void {
  new SQLiteStore(path).close();
  using other = open(path);
  other.database.exec(`
    DROP TABLE applied;
    CREATE TABLE applied (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      lsn INTEGER NOT NULL,
      syncs INTEGER NOT NULL
    ) STRICT;
    INSERT INTO applied VALUES (1, ${lsn}, 3);
    INSERT INTO pair VALUES (zeroblob(16), zeroblob(16));
    PRAGMA user_version = 1;`);
}

test("SQLiteStore opens a database of before, which does not know its log, and learns it with the next run", async () => {
  using directory = tempDir();
  const path = directory.join("store.db");
  makeVersion1(path, 20);
  for (let opening = 0; opening < 2; opening++) {
    using store = new SQLiteStore(path);
    assertEquals([store.appliedLsn(), store.appliedLog(), store.size], [20, null, 1]);
  }
  const logPath = directory.join("log");
  {
    using wal = WAL.open(logPath, { size: 65536 });
    for (let i = 1; i <= 30; i++) wal.logInsertSync(1, i, 2, i);
  }
  await using wal = WAL.open(logPath);
  using store = new SQLiteStore(path);
  const consuming = wal.consumeAsync(store);
  await wal.whenApplied();
  assertEquals(wal.stats().warnings.filter((warning) => warning.includes("LSN 20")).length, 1);
  assertEquals([store.appliedLsn(), store.appliedLog(), store.size], [30, wal.logId, 11]);
  await wal[Symbol.asyncDispose]();
  await consuming;
  wal.open();
  const again = wal.consumeAsync(store);
  await wal.whenApplied();
  assertEquals(wal.stats().warnings.filter((warning) => warning.includes("LSN")), []);
  await wal[Symbol.asyncDispose]();
  await again;
});

test("SQLiteStore of before is refused where its LSN was not there at open()", async () => {
  using directory = tempDir();
  const path = directory.join("store.db");
  makeVersion1(path, 20);
  using wal = WAL.open(directory.join("log"), { size: 65536 });
  for (let i = 1; i <= 30; i++) wal.logInsertSync(1, i, 2, i);
  wal.flush();
  using store = new SQLiteStore(path);
  await assertRejects(() => wal.consumeAsync(store), WALStoreError, "LSN 20");
  assertEquals([wal.tail, store.size], [1, 1]);
});

test("SQLiteStore that was refused goes on once somebody has said in its table what it has of which log", async () => {
  using directory = tempDir();
  const path = directory.join("store.db");
  using wal = WAL.open(directory.join("log"), { size: 65536 });
  for (let i = 1; i <= 30; i++) wal.logInsertSync(1, i, 2, i);
  wal.close();
  wal.open();
  {
    using store = new SQLiteStore(path);
    store.applyBatch(makeInserts(70), runOf(makeInserts(70), A));
    await assertRejects(() => wal.consumeAsync(store), WALStoreError);
  }
  {
    using other = open(path);
    other.database.exec(`UPDATE applied SET lsn = ${wal.durable}, log = '${wal.logId}'`);
  }
  wal.logInsertSync(1, 31, 2, 31);
  using store = new SQLiteStore(path);
  const stop = new AbortController();
  const consuming = wal.consumeAsync(store, { signal: stop.signal });
  await wal.whenApplied();
  stop.abort();
  await consuming;
  assertEquals([store.appliedLsn(), store.appliedLog(), store.size], [31, wal.logId, 71]);
});

// Fault: the process dies between any two runs (H27, H28).
// Promise: data and LSN agree. Applying the log from that LSN on makes the store that it would be
//   without the crash.
// Method: copy the files as they are while the store is open, open the copy, and apply everything
//   again.
test("SQLiteStore has data and LSN of the same transaction after a crash", () => {
  using directory = tempDir();
  let round = 0;
  fc.assert(
    fc.property(operations, fc.integer({ min: 1, max: 100 }), fc.nat(), (all, runLength, crash) => {
      const path = directory.join(`${++round}.db`);
      const records = makeRecords(all);
      const end = crash % (all.length + 1);
      {
        using store = new SQLiteStore(path);
        for (let i = 0; i < end; i += runLength) store.applyBatch(records.slice(i, Math.min(i + runLength, end)));
        copyDatabase(path, `${path}.copy`);
      }
      for (const opened of [path, `${path}.copy`]) {
        using store = new SQLiteStore(opened);
        const model = new StoreModel();
        for (const record of records.slice(0, end)) model.apply(record);
        assertEquals(store.appliedLsn(), end);
        assertSameInOrder(store, model);
        store.applyBatch(records);
        for (const record of records.slice(end)) model.apply(record);
        assertSameInOrder(store, model);
      }
    }),
    { numRuns: 20 },
  );
});

// Fault: SIGKILL while runs are being applied (H28).
// Promise: whole runs are in the store, with their LSN.
// Method: a child applies runs of 100 and says so, and kills itself in the transaction of one run.
test("SQLiteStore has whole runs after its process was killed in a transaction", async () => {
  using directory = tempDir();
  const path = directory.join("store.db");
  const child = await runSnippet(`
    import process from "node:process";
    import { SQLiteStore } from ${JSON.stringify(projectUrl("src/stores/sqlite.ts"))};
    import { makeInserts } from ${JSON.stringify(projectUrl("tests/support/store_records.ts"))};
    const store = new SQLiteStore(${JSON.stringify(path)});
    for (let first = 1; first <= 1000; first += 100) store.applyBatch(makeInserts(100, first));
    const last = makeInserts(100, 1001);
    // Read as the store comes to this record: the inserts before it are done, the commit is not.
    Object.defineProperty(last[99], "keyHigh", { get: () => process.kill(process.pid, "SIGKILL") });
    store.applyBatch(last);
  `);
  assertEquals(child.signal, "SIGKILL", child.stderr);
  using store = new SQLiteStore(path);
  assertEquals([store.appliedLsn(), store.size], [1000, 1000]);
});

test("SQLiteStore.applyBatch() applies nothing of a run that it cannot apply", () => {
  const good = makeInserts(70, 11);
  const bad: [string, unknown, typeof RangeError | typeof WALOperationError | typeof SQLiteStoreError][] = [
    ["an unknown type", makeRecord(81, 9 as OpType), RangeError],
    ["a type before the application's", makeRecord(81, 31 as OpType), RangeError],
    ["a record of the application", makeRecord(81, 32), WALOperationError],
    ["an LSN again", makeRecord(80, OpType.Insert), RangeError],
    ["an LSN before", makeRecord(3, OpType.Insert), RangeError],
    ["a number as a half", { ...makeRecord(81, OpType.Insert), keyLow: 1 }, SQLiteStoreError],
  ];
  for (const [name, record, errorClass] of bad) {
    using store = new SQLiteStore(":memory:");
    store.applyBatch(makeInserts(2));
    assertThrows(() => store.applyBatch([...good, record as WALRecordFields]), errorClass, undefined, name);
    assertEquals([store.size, store.appliedLsn()], [2, 2], name);
    store.applyBatch(good);
    assertEquals([store.size, store.appliedLsn()], [72, 80], name);
  }
});

test("SQLiteStore.applyBatch() rolls back where SQLite fails in the middle, and can be called again", () => {
  using directory = tempDir();
  const path = directory.join("store.db");
  using store = new SQLiteStore(path);
  store.applyBatch(makeInserts(5));
  // A real failure of a statement: a constraint that somebody else adds.
  using other = open(path);
  other.database.exec(`CREATE TRIGGER refuse BEFORE DELETE ON pair BEGIN SELECT RAISE(ABORT, 'refused'); END`);
  const run = [...makeInserts(100, 6), makeRecord(106, OpType.Delete, [1n, MAX - 1n, 0n, 0n]), ...makeInserts(10, 107)];
  const error = assertThrows(() => store.applyBatch(run), SQLiteStoreError, "refused");
  assertEquals([error.code, error.path], ["SQLITE", path]);
  assert(error instanceof WALError && error.cause instanceof Error);
  assertEquals([store.size, store.appliedLsn()], [5, 5]);
  other.database.exec("DROP TRIGGER refuse");
  store.applyBatch(run);
  assertEquals([store.size, store.appliedLsn()], [114, 116]);
});

test("SQLiteStore reads the LSN in the transaction: two connections do not apply a record twice", () => {
  using directory = tempDir();
  const path = directory.join("store.db");
  using one = new SQLiteStore(path);
  using two = new SQLiteStore(path);
  const insert = makeRecord(1, OpType.Insert, [1n, 2n, 3n, 4n]);
  one.applyBatch([insert]);
  one.applyBatch([makeRecord(2, OpType.Delete, [1n, 2n, 0n, 0n])]);
  two.applyBatch([insert]);
  two.insert(1n, 2n, 3n, 4n, insert);
  assertEquals([two.size, two.appliedLsn()], [0, 2]);
});

test("SQLiteStore waits for another connection's transaction, then throws and can be called again", () => {
  using directory = tempDir();
  const path = directory.join("store.db");
  using store = new SQLiteStore(path, { busyTimeoutMs: 20 });
  store.applyBatch(makeInserts(1));
  {
    using other = open(path);
    other.database.exec("BEGIN IMMEDIATE");
    assertThrows(() => store.applyBatch(makeInserts(2)), SQLiteStoreError, "locked");
    assertThrows(() => store.sync(), SQLiteStoreError, "locked");
    assertEquals(store.size, 1, "readers do not wait");
    other.database.exec("COMMIT");
  }
  store.applyBatch(makeInserts(2));
  store.sync();
  assertEquals([store.size, store.appliedLsn()], [2, 2]);
});

test("SQLiteStore keeps LSNs and halves of any size", () => {
  using store = new SQLiteStore(":memory:");
  const halves = [0n, 1n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, MAX];
  const pairs = halves.flatMap((a) => halves.map((b): StoreEntry => [a, b, b, a]));
  store.applyBatch(
    pairs.map((pair, i) => makeRecord(Number.MAX_SAFE_INTEGER - pairs.length + i + 1, OpType.Insert, pair)),
  );
  assertEquals([...store], sorted(pairs));
  assertEquals(store.appliedLsn(), Number.MAX_SAFE_INTEGER);
});

test("SQLiteStore.insert() and its like refuse halves outside 0 to 2^64 - 1", () => {
  using store = new SQLiteStore(":memory:");
  for (const half of [-1n, MAX + 1n]) {
    assertThrows(() => store.insert(half, 0n, 0n, 0n), RangeError, "keyHigh");
    assertThrows(() => store.delete(0n, half), RangeError, "keyLow");
    assertThrows(() => store.deleteValue(0n, 0n, half, 0n), RangeError, "valueHigh");
    assertThrows(() => store.replace(0n, 0n, 0n, half), RangeError, "valueLow");
    assertThrows(() => store.has(0n, 0n, 0n, half), RangeError, "valueLow");
  }
  assertThrows(() => store.insert(1 as unknown as bigint, 0n, 0n, 0n), TypeError, "keyHigh");
  assertEquals(store.size, 0);
});

test("SQLiteStore.entries() goes on past what is changed while it runs", () => {
  using store = new SQLiteStore(":memory:");
  store.applyBatch(makeInserts(3000));
  let seen = 0;
  for (const [keyHigh, keyLow] of store) {
    store.delete(keyHigh, keyLow);
    seen++;
  }
  assertEquals([seen, store.size], [3000, 0]);
});

test("SQLiteStore is closed once, by close() or by its scope, and says so afterwards", () => {
  const store = new SQLiteStore(":memory:");
  store.close();
  store.close();
  store[Symbol.dispose]();
  const calls = [
    () => store.applyBatch(makeInserts(1)),
    () => store.insert(0n, 0n, 0n, 0n),
    () => store.sync(),
    () => store.appliedLsn(),
    () => store.has(0n, 0n),
    () => store.size,
    () => [...store],
  ];
  for (const call of calls) assertThrows(call, SQLiteStoreError, "closed");
});

test("SQLiteStore opens a path or a file URL, and only a store or an empty file", () => {
  using directory = tempDir();
  const path = directory.join("store with space.db");
  {
    using store = new SQLiteStore(pathToFileURL(path));
    store.applyBatch(makeInserts(3));
  }
  {
    using store = new SQLiteStore(path);
    assertEquals([store.size, store.appliedLsn()], [3, 3]);
  }
  const foreign = directory.join("foreign.db");
  using other = open(foreign);
  other.database.exec("CREATE TABLE things (name TEXT)");
  assertThrows(() => new SQLiteStore(foreign), SQLiteStoreError, "not the database of a store");

  const later = directory.join("later.db");
  new SQLiteStore(later).close();
  using newer = open(later);
  newer.database.exec("PRAGMA user_version = 3");
  assertThrows(() => new SQLiteStore(later), SQLiteStoreError, "version 3");

  const text = directory.join("text.db");
  writeFileSync(text, "This is no database, but long enough to look at. ".repeat(100));
  assertThrows(() => new SQLiteStore(text), SQLiteStoreError, "not a database");

  mkdirSync(directory.join("sub"));
  assertThrows(() => new SQLiteStore(directory.join("sub")), SQLiteStoreError);
  const missing = assertThrows(() => new SQLiteStore(directory.join("missing", "x.db")), SQLiteStoreError);
  assertStringIncludes(missing.message, "missing");
  for (const bad of ["", "a\0b", 7, null]) assertThrows(() => new SQLiteStore(bad as string), TypeError);
  for (const busyTimeoutMs of [-1, 0.5, NaN]) {
    assertThrows(() => new SQLiteStore(":memory:", { busyTimeoutMs }), RangeError);
  }
});

// Fault: power fails after sync() returned (H26, H27).
// Promise: what was applied before sync() is on the medium, and SQLite wrote no commit record later
//   than its fsync.
// Method: read the system calls. A commit alone does not fsync, which shows that the test can tell.
test("SQLiteStore on a runtime without SQLite is a WALPlatformError, and its module can be imported", async () => {
  const { stdout, stderr } = await runSnippet(`
    import process from "node:process";
    process.getBuiltinModule = () => undefined;
    const { SQLiteStore } = await import("${projectUrl("src/stores/sqlite.ts")}");
    try {
      new SQLiteStore(":memory:");
    } catch (error) {
      console.log(error.constructor.name, error.code);
    }`);
  assertEquals(stdout, "WALPlatformError PLATFORM\n", stderr);
});

test("SQLiteStore.sync() reaches the medium, and a commit alone does not", async () => {
  using directory = tempDir();
  const trace = directory.join("trace");
  const child = await runSnippet(
    `
    import { writeSync } from "node:fs";
    import { SQLiteStore } from ${JSON.stringify(projectUrl("src/stores/sqlite.ts"))};
    import { makeInserts } from ${JSON.stringify(projectUrl("tests/support/store_records.ts"))};
    const mark = (name) => writeSync(1, "mark " + name + "\\n");
    const store = new SQLiteStore(${JSON.stringify(directory.join("store.db"))});
    store.applyBatch(makeInserts(10));
    store.sync();
    mark("commit");
    store.applyBatch(makeInserts(10, 11));
    store.applyBatch(makeInserts(10, 21));
    mark("sync");
    store.sync();
    mark("nothing");
    store.sync();
    mark("end");
    store.close();
    `,
    { wrapper: ["strace", "-f", "-e", "trace=fsync,fdatasync,write,pwrite64", "-s", "20", "-o", trace] },
  );
  assertEquals(child.code, 0, child.stderr);
  const between = syncsBetweenMarks(trace);
  assertEquals(between, { commit: 0, sync: 1, nothing: 0 });
}, { skip: existsSync("/usr/bin/strace") ? false : "no strace" });

// Fault: an fsync fails once; the next one succeeds without the data (H10).
// Promise: the store reports no success after it, until it is reopened.
// Method: inject EIO into one fsync of the store's, wherever it falls.
test("SQLiteStore reports nothing as durable after a failed sync", async () => {
  using directory = tempDir();
  const child = await runSnippet(
    `
    import { SQLiteStore } from ${JSON.stringify(projectUrl("src/stores/sqlite.ts"))};
    import { makeInserts } from ${JSON.stringify(projectUrl("tests/support/store_records.ts"))};
    const store = new SQLiteStore(${JSON.stringify(directory.join("store.db"))});
    const attempt = (action) => {
      try {
        action();
        return "done";
      } catch (error) {
        return error.name;
      }
    };
    let round = 0;
    while (round < 20 && attempt(() => store.sync()) === "done") store.applyBatch(makeInserts(1, ++round));
    console.log(round < 20);
    console.log(attempt(() => store.sync()), attempt(() => store.appliedLsn()));
    console.log(attempt(() => store.applyBatch(makeInserts(1, 100))));
    console.log(store.size === round);
    console.log(attempt(() => store.close()), attempt(() => store.close()));
    `,
    { wrapper: ["strace", "-f", "-qq", "-e", "inject=fsync:error=EIO:when=10", "-o", directory.join("trace")] },
  );
  assertEquals(child.stderr, "");
  const failed = "SQLiteStoreError";
  assertEquals(child.stdout, `true\n${failed} ${failed}\n${failed}\ntrue\ndone done\n`);
}, { skip: withoutStrace });

/** How many fsyncs follow each mark, up to the next. */
function syncsBetweenMarks(trace: string): Record<string, number> {
  const counts: Record<string, number> = {};
  let mark: string | null = null;
  for (const line of readFileSync(trace, "utf8").split("\n")) {
    mark = /"mark (\w+)/.exec(line)?.[1] ?? mark;
    if (mark === null || mark === "end") continue;
    counts[mark] ??= 0;
    if (/ f(data)?sync\(/.test(line)) counts[mark]!++;
  }
  return counts;
}

function open(path: string): { database: DatabaseSync; [Symbol.dispose]: () => void } {
  const database = new DatabaseSync(path);
  return { database, [Symbol.dispose]: () => database.close() };
}
