// WAL.follow() and WAL.inspect(): reading a log that another opener writes, without a lock
// (H65–H67, H82).

import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import {
  type Follower,
  type RecordRange,
  WAL,
  WALClosedError,
  WALCorruptError,
  WALFileGoneError,
  WALFormatError,
  WALLaggedError,
  WALNotFoundError,
  WALPlatformError,
  WALRewoundError,
  WALTruncatedError,
} from "../mod.ts";
import { RECORD_BYTES, RING_AT } from "../src/format/layout.ts";
import { items } from "./support/logs.ts";
import { type TempDir, tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const BYTES = 65536;
const CAPACITY = 768;

/** A log of its own file, whose idle header nobody waits for. */
function makeLog(directory: TempDir, name = "log"): WAL {
  return WAL.open(directory.join(name), { size: BYTES, idleHeaderDelayMs: Infinity });
}

function lsns(follower: Follower, range = {}): number[] {
  return Array.from(follower.records(range), ({ lsn }) => lsn);
}

function scan(follower: Follower, range = {}): number[] {
  const found: number[] = [];
  for (const cursor = follower.cursor(range); cursor.next();) found.push(cursor.lsn);
  return found;
}

function upTo(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** Changes a byte of a record's key in the file. */
function damage(path: string, lsn: number): void {
  damageAt(path, RING_AT + ((lsn - 1) % CAPACITY) * RECORD_BYTES + 40);
}

/** Changes a byte of a file, whatever it is. */
function damageAt(path: string, at: number): void {
  const fd = fs.openSync(path, "r+");
  const byte = new Uint8Array(1);
  fs.readSync(fd, byte, 0, 1, at);
  fs.writeSync(fd, Uint8Array.of(byte[0]! ^ 1), 0, 1, at);
  fs.closeSync(fd);
}

test("WAL.follow() reads every field of every record while the log is open", async () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  await wal.batchInsert(items(1, 5));
  await wal.logDelete(2n ** 64n - 1n, 5);
  wal.checkpoint(3);
  wal.checkpoint(4); // names the one before as durable
  using follower = WAL.follow(wal.path!, { mode: "appended" });
  const expected = wal.replay().map((record) => JSON.stringify(record));
  assertEquals([...follower.records()].map((record) => JSON.stringify(record)), expected);
  const shown: string[] = [];
  for (const cursor = follower.cursor(); cursor.next();) shown.push(JSON.stringify(cursor.toRecord()));
  assertEquals(shown, expected);
  assertEquals([follower.logId, follower.path, follower.tail, follower.head], [wal.logId, wal.path!, 1, 9]);
});

test("WAL.follow() shows durable records only, as far as the file proves that", async () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  using follower = WAL.follow(wal.path!);
  assertEquals([lsns(follower), follower.durable], [[], 0]);
  await wal.logInsert(1, 1, 1, 1);
  await wal.logInsert(2, 2, 2, 2);
  assertEquals([lsns(follower), scan(follower)], [[1], [1]]); // the third would prove the second
  wal.logInsertSync(3, 3, 3, 3);
  assertEquals([lsns(follower), follower.durable, follower.head], [[1, 2], 2, 4]);
  using appended = WAL.follow(wal.path!, { mode: "appended" });
  assertEquals(lsns(appended), [1, 2, 3]);
  wal.close(); // the header then has all of them
  assertEquals(lsns(follower), [1, 2, 3]);
});

test("WAL.follow() learns from the idle writer's header what is durable", async () => {
  using directory = tempDir();
  await using wal = WAL.open(directory.join("log"), { size: BYTES, idleHeaderDelayMs: 5 });
  using follower = WAL.follow(wal.path!);
  await wal.logInsert(1, 1, 1, 1);
  while (lsns(follower).length < 1) await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(follower.durable, 1);
});

test("records() and cursor() of a follower show whole batches only", async () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  await wal.batchInsert(items(1, 3));
  wal.batchInsertSync(items(4, 600));
  using follower = WAL.follow(wal.path!);
  assertEquals(lsns(follower), [1, 2, 3]);
  using appended = WAL.follow(wal.path!, { mode: "appended" });
  assertEquals(scan(appended), upTo(603));
  damage(wal.path!, 300);
  using cut = WAL.follow(wal.path!, { mode: "appended" });
  assertEquals([lsns(cut), scan(cut)], [[1, 2, 3], [1, 2, 3]]); // the batch of LSN 4 lacks a record
});

test("records() and cursor() of a follower take ranges of LSNs and of times", async () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  for (let i = 1; i <= 9; i++) wal.logInsertSync(i, i, i, i, [BigInt(i * 1000), 0, 0]);
  await wal.flushAsync();
  using follower = WAL.follow(wal.path!, { mode: "appended" });
  assertEquals(lsns(follower, { from: 3, to: 5 }), [3, 4, 5]);
  assertEquals(scan(follower, { since: 4000n, until: 6999n }), [4, 5, 6]);
  assertEquals([lsns(follower, { from: 8, to: 100 }), lsns(follower, { from: 10 })], [[8, 9], []]);
  assertThrows(() => lsns(follower, { from: 0 }), RangeError);
});

test("records() of a follower goes on over many laps, and reads released records as long as they are there", () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  using follower = WAL.follow(wal.path!, { mode: "appended" });
  for (let from = 1; from < 20 * CAPACITY; from += 500) {
    wal.batchInsertSync(items(from, 500));
    wal.flush();
    assertEquals(lsns(follower, { from }), upTo(from + 499, from));
    wal.truncate(from + 499);
  }
  wal.flush();
  using late = WAL.follow(wal.path!, { mode: "appended" });
  const { tail, head } = late;
  assert(tail > 1);
  const oldest = head - CAPACITY;
  assertEquals(lsns(late, { from: oldest, to: oldest + 9 }), upTo(oldest + 9, oldest));
  const error = assertThrows(() => lsns(late, { from: oldest - 1 }), WALLaggedError);
  assertEquals([error.code, error.firstLsn, error.lastLsn, error.path], ["LAGGED", oldest - 1, tail - 1, late.path]);
});

test("cursor() of a follower throws WALLaggedError once the writer has overwritten its next record", () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  wal.batchInsertSync(items(1, 700));
  wal.flush();
  using follower = WAL.follow(wal.path!, { mode: "appended" });
  const records = follower.records();
  assertEquals(records.next().value?.lsn, 1);
  for (let from = 701; from < 3000; from += 500) {
    wal.truncate(from - 1);
    wal.batchInsertSync(items(from, 500));
    wal.flush();
  }
  const error = assertThrows(() => [...records], WALLaggedError);
  assertEquals(error.firstLsn, 513); // the pieces of an iterator have 512 records
  assertEquals(lsns(follower, { from: error.lastLsn + 1 }).at(-1), wal.head - 1);
});

test("cursor() of a follower shows a copy, which stays as it is", () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  wal.logInsertSync(7, 8, 9, 10);
  using follower = WAL.follow(wal.path!, { mode: "appended" });
  const cursor = follower.cursor();
  assert(cursor.next());
  wal.flush();
  wal.truncate(1);
  for (let from = 2; from < 2000; from += 500) {
    wal.batchInsertSync(items(from, 500));
    wal.flush();
    wal.truncate(wal.head - 1);
  }
  assertEquals([cursor.lsn, cursor.keyHigh, cursor.toRecord().valueLow], [1, 7n, 10n]);
});

test("records() of a follower throws WALCorruptError for a durable record that is damaged", () => {
  using directory = tempDir();
  const path = directory.join("log");
  {
    using wal = makeLog(directory);
    wal.batchInsertSync(items(1, 100));
  }
  damage(path, 50);
  using follower = WAL.follow(path);
  assertEquals(lsns(follower, { from: 51 }), upTo(100, 51));
  const error = assertThrows(() => lsns(follower), WALCorruptError);
  assertEquals(error.losses, [{ firstLsn: 50, lastLsn: 50, offset: RING_AT + 49 * RECORD_BYTES }]);
  assertThrows(() => scan(follower), WALCorruptError);
  assertThrows(() => follower.verify(), WALCorruptError);
  assertThrows(() => follower.backup(directory.join("copy")), WALCorruptError);
  assertEquals(fs.existsSync(directory.join("copy")), false);
});

test("records() of a follower names at once all damaged records that it reads and that follow each other", () => {
  using directory = tempDir();
  const path = directory.join("log");
  {
    using wal = makeLog(directory);
    wal.batchInsertSync(items(1, 100));
  }
  for (const lsn of [50, 51, 52, 54]) damage(path, lsn);
  using follower = WAL.follow(path);
  const lossOf = (range: RecordRange) => assertThrows(() => lsns(follower, range), WALCorruptError).losses;
  assertEquals(lossOf({}), [{ firstLsn: 50, lastLsn: 52, offset: RING_AT + 49 * RECORD_BYTES }]);
  assertEquals(lossOf({ to: 51 }), [{ firstLsn: 50, lastLsn: 51, offset: RING_AT + 49 * RECORD_BYTES }]);
  assertEquals(lossOf({ from: 53 }), [{ firstLsn: 54, lastLsn: 54, offset: RING_AT + 53 * RECORD_BYTES }]);
});

test("WAL.follow() takes no damaged record of a log that crashed for the log's end", () => {
  using directory = tempDir();
  const path = directory.join("log");
  const copy = directory.join("copy");
  {
    using wal = makeLog(directory); // its header still says that nothing is durable
    for (let lsn = 1; lsn <= 20; lsn++) wal.logInsertSync(lsn, 1, 1, 1);
    wal.flush();
    for (let lsn = 21; lsn <= 25; lsn++) wal.logInsertSync(lsn, 1, 1, 1);
    fs.copyFileSync(path, copy);
  }
  for (
    const [first, last] of [[1, 1], [1, 12], [2, 3], [3, 3], [7, 8], [11, 20], [14, 24], [20, 24], [21, 22]] as const
  ) {
    fs.copyFileSync(copy, path);
    for (let lsn = first; lsn <= last; lsn++) damage(path, lsn);
    using follower = WAL.follow(path);
    using appended = WAL.follow(path, { mode: "appended" });
    if (first > 20) { // nothing was acknowledged from there on, so the record is torn
      assertEquals(scan(appended), upTo(first - 1));
      continue;
    }
    for (const read of [() => scan(follower), () => scan(appended), () => follower.backup(directory.join("backup"))]) {
      assertEquals(assertThrows(read, WALCorruptError).losses[0]?.firstLsn, first);
    }
  }
});

test("WAL.follow() goes on after a resize, in the larger and in the smaller file", async () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  await wal.batchInsert(items(1, 100));
  using follower = WAL.follow(wal.path!, { mode: "appended" });
  const cursor = follower.cursor();
  assert(cursor.next());
  wal.resize(4 * BYTES);
  for (let from = 101; from <= 901; from += 100) await wal.batchInsert(items(from, 100));
  assertEquals(lsns(follower), upTo(1000));
  while (cursor.next());
  assertEquals(cursor.lsn, 100); // its range ends where it began
  wal.truncate(900);
  wal.resize(BYTES);
  await wal.batchInsert(items(1001, 10));
  assertEquals(lsns(follower, { from: 990 }), upTo(1010, 990));
});

test("WAL.follow() notices that its file was deleted, cut, or replaced by another log", () => {
  const losses: Record<string, (path: string) => void> = {
    deleted: fs.unlinkSync,
    cut: (path) => fs.truncateSync(path, BYTES - 4096),
    "cut to less than its headers": (path) => fs.truncateSync(path, 100),
    other: (path) => {
      WAL.open(`${path}.other`, { size: BYTES }).close();
      fs.renameSync(`${path}.other`, path);
    },
    "other in place": (path) => {
      WAL.open(`${path}.other`, { size: BYTES }).close();
      fs.copyFileSync(`${path}.other`, path);
    },
  };
  for (const [name, lose] of Object.entries(losses)) {
    using directory = tempDir();
    const path = directory.join("log");
    makeLog(directory)[Symbol.dispose]();
    using follower = WAL.follow(path);
    lose(path);
    const error = assertThrows(() => follower.records(), WALFileGoneError, "", name);
    assertEquals(error.code, "GONE", name);
    assertThrows(() => follower.stats(), WALFileGoneError, "", name);
  }
});

test("WAL.follow() goes on in a backup that is put in place, if that has all that was read", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  const wal = makeLog(directory);
  await wal.batchInsert(items(1, 10));
  wal.backup(directory.join("ten"));
  using behind = WAL.follow(path, { mode: "appended" });
  assertEquals(lsns(behind), upTo(10));
  using other = WAL.follow(path, { mode: "appended" });
  await wal.batchInsert(items(11, 10));
  assertEquals(lsns(other), upTo(20));
  wal.close();
  fs.renameSync(directory.join("ten"), path);
  using restored = makeLog(directory);
  await restored.batchInsert(items(11, 30));
  assertEquals([lsns(behind, { from: 9 }), behind.logId], [upTo(40, 9), restored.logId]);
  const error = assertThrows(() => lsns(other), WALRewoundError);
  assertEquals([error.code, error.lsn], ["REWOUND", 20]);
});

test("WAL.follow() throws WALRewoundError when an older state of the file is put back", async () => {
  for (const goesOn of [false, true]) {
    using directory = tempDir();
    const path = directory.join("log");
    {
      using wal = makeLog(directory);
      await wal.batchInsert(items(1, 10));
    }
    fs.copyFileSync(path, directory.join("older"));
    {
      using wal = makeLog(directory);
      await wal.batchInsert(items(11, 10));
    }
    using follower = WAL.follow(path);
    assertEquals(lsns(follower), upTo(20));
    fs.copyFileSync(directory.join("older"), path);
    if (goesOn) {
      using wal = makeLog(directory);
      await wal.batchInsert(items(11, 5));
      await wal.batchInsert(items(16, 50)); // another history, with as many records and more
    }
    const error = assertThrows(() => lsns(follower), WALRewoundError);
    assertEquals(error.lsn, 20);
    using anew = WAL.follow(path);
    assertEquals(lsns(anew), upTo(goesOn ? 65 : 10));
  }
});

test("WAL.follow() refuses what is no log, and says why", () => {
  using directory = tempDir();
  const path = directory.join("log");
  assertThrows(() => WAL.follow(path), WALNotFoundError);
  fs.symlinkSync(path, directory.join("dangling"));
  assertThrows(() => WAL.follow(directory.join("dangling")), WALFormatError, "dangling");
  assertThrows(() => WAL.follow(directory.path), WALFormatError, "directory");
  fs.writeFileSync(path, new Uint8Array(100));
  assertThrows(() => WAL.follow(path), WALFormatError, "not a log");
  fs.unlinkSync(path);
  makeLog(directory).close();
  fs.truncateSync(path, 32768);
  assertThrows(() => WAL.follow(path), WALCorruptError, "cut");
  assertThrows(() => WAL.inspect(path), WALCorruptError, "cut");
});

test("WAL.follow() follows a symbolic link once, at the call", async () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  await wal.logInsert(1, 1, 1, 1);
  using other = makeLog(directory, "other");
  const link = directory.join("link");
  fs.symlinkSync(wal.path!, link);
  using follower = WAL.follow(link, { mode: "appended" });
  fs.unlinkSync(link);
  fs.symlinkSync(other.path!, link);
  assertEquals([lsns(follower), follower.path], [[1], fs.realpathSync(wal.path!)]);
});

test("backup() of a follower makes a log with the same records", async () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  await wal.batchInsert(items(1, 100));
  await wal.batchInsert(items(101, 100));
  using follower = WAL.follow(wal.path!, { mode: "appended" });
  assertEquals(follower.backup(directory.join("all")), { first: 1, last: 200 });
  assertEquals(follower.backup(directory.join("some"), { through: 150 }), { first: 1, last: 100 });
  using all = WAL.open(directory.join("all"), { verify: true });
  using some = WAL.open(directory.join("some"), { verify: true });
  assertEquals([all.replay().length, some.replay().length], [200, 100]);
  assertEquals(JSON.stringify(all.replay()), JSON.stringify(wal.replay()));
  assertEquals([all.recovery.origin?.logId, some.recovery.origin?.lastLsn], [wal.logId, 100]);
});

test("backup() of a follower refuses to end before the tail, and leaves no file", async () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  await wal.batchInsert(items(1, 100));
  await wal.batchInsert(items(101, 100));
  wal.truncate(100);
  wal.close();
  using follower = WAL.follow(wal.path!);
  assertThrows(() => follower.backup(directory.join("early"), { through: 99 }), WALTruncatedError);
  assertEquals([follower.tail, fs.existsSync(directory.join("early"))], [101, false]);
});

test("stats() of a follower counts what is read, and what is not", async () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  await wal.batchInsert(items(1, 10));
  using follower = WAL.follow(wal.path!, { mode: "appended" });
  assertEquals([follower.stats().read, follower.stats().lag], [0, 10]);
  lsns(follower, { to: 4 });
  assertEquals([follower.stats().read, follower.stats().lag, follower.verify()], [4, 6, { first: 1, last: 10 }]);
  const { path, logId, tail, head, warnings } = follower.stats();
  assertEquals([path, logId, tail, head, warnings], [wal.path!, wal.logId, 1, 11, []]);
});

test("close() of a follower ends all reading of it", async () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  await wal.batchInsert(items(1, 600));
  const follower = WAL.follow(wal.path!, { mode: "appended" });
  const records = follower.records();
  records.next();
  const cursor = follower.cursor();
  follower.close();
  follower.close();
  assertEquals(follower.isOpen, false);
  assertThrows(() => follower.records(), WALClosedError);
  assertThrows(() => follower.stats(), WALClosedError);
  assertThrows(() => cursor.next(), WALClosedError);
  assertThrows(() => [...records], WALClosedError);
});

test("WAL.inspect() shows an open log, a crashed one and a closed one", async () => {
  using directory = tempDir();
  const wal = makeLog(directory);
  const path = wal.path!;
  const open = WAL.inspect(path);
  assertEquals([open.length, open.oldestMs, open.newestMs, open.clean], [0, null, null, false]);
  await wal.batchInsert(items(1, 50));
  await wal.batchInsert(items(51, 50));
  wal.logInsertSync(1, 1, 1, 1);
  const { head, tail, durable, length, fillRatio, capacity, sizeBytes, logId, warnings, openerPid } = WAL.inspect(path);
  assertEquals([head, tail, durable, length, capacity], [102, 1, 100, 101, CAPACITY]);
  assertEquals([sizeBytes, logId, warnings, openerPid], [
    BYTES,
    wal.logId,
    [],
    (await import("node:process")).default.pid,
  ]);
  assert(Math.abs(fillRatio - 101 / CAPACITY) < 1e-9);
  wal.checkpoint(50);
  wal.truncate(50);
  wal.close();
  const closed = WAL.inspect(path);
  assertEquals(closed.consumers, []);
  assertEquals([closed.clean, closed.checkpoint, closed.tail, closed.durable], [true, 50, 51, 102]);
  assert(closed.oldestMs! <= closed.newestMs! && Math.abs(closed.newestMs! - Date.now()) < 60_000);
  damageAt(path, 100);
  assertEquals(WAL.inspect(path).warnings, ["Header copy A is damaged: only the other copy is left"]);
});

test("a follower's records() is a WALPlatformError on a runtime that is too old", () => {
  using directory = tempDir();
  using wal = makeLog(directory);
  using follower = WAL.follow(wal.path!);
  const { withResolvers } = Promise;
  Reflect.deleteProperty(Promise, "withResolvers"); // as on Node 20
  try {
    assertThrows(() => follower.records(), WALPlatformError, "too old");
  } finally {
    Object.defineProperty(Promise, "withResolvers", { value: withResolvers, configurable: true, writable: true });
  }
});
