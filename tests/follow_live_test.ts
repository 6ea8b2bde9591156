// Followers that wait: iterations, and the live file in which the writer tells them of commits
// (H63, H65, H66).

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import { type Follower, WAL, WALFileGoneError, WALLaggedError, type WALOptions } from "../mod.ts";
import { LIVE_DURABLE_AT } from "../src/format/layout.ts";
import { type HeaderMark, newLiveBlock, readLiveBlock, writeLiveBlock } from "../src/format/live_block.ts";
import { items } from "./support/logs.ts";
import { watchedFollower } from "./support/watched_follower.ts";
import { type TempDir, tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const BYTES = 65536;

/** A log that tells its followers, and whose idle header nobody waits for. */
function makeLog(directory: TempDir, options: WALOptions = {}): WAL {
  return WAL.open(directory.join("log"), { size: BYTES, idleHeaderDelayMs: Infinity, followers: true, ...options });
}

/** The LSNs that an iteration gives. */
async function take(follower: Follower, count: number): Promise<number[]> {
  const found: number[] = [];
  for await (const { lsn } of follower) {
    found.push(lsn);
    if (found.length === count) break;
  }
  return found;
}

/** Waits until a condition holds. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}

function lsns(follower: Follower): number[] {
  return Array.from(follower.records(), ({ lsn }) => lsn);
}

test("Follower iterates over what is there, and waits for what comes", async () => {
  for (const followers of [true, false]) {
    using directory = tempDir();
    await using wal = WAL.open(directory.join("log"), { size: BYTES, followers, idleHeaderDelayMs: 10 });
    await wal.batchInsert(items(1, 3));
    using follower = WAL.follow(wal.path!, { pollIntervalMs: 10 });
    const taken = take(follower, 10);
    for (let i = 4; i <= 10; i++) {
      await wal.logInsert(i, 0, 0, 0);
      if (i % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assertEquals(await taken, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  }
});

test("Follower iterates from the LSN that is asked for, over more than a lap", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  await wal.batchInsert(items(1, 100));
  using follower = WAL.follow(wal.path!, { from: 41 });
  const iterator = follower[Symbol.asyncIterator]();
  for (let lsn = 41; lsn < 5000; lsn++) {
    if (lsn > wal.durable) {
      wal.truncate(lsn - 1);
      await wal.batchInsert(items(lsn, 321));
    }
    assertEquals((await iterator.next()).value?.lsn, lsn);
  }
  await iterator.return(undefined);
});

test("Follower ends its iterations without an error when it is closed, or its signal aborts", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  await wal.logInsert(1, 1, 1, 1);
  const aborting = new AbortController();
  const closed = WAL.follow(wal.path!);
  const aborted = WAL.follow(wal.path!, { signal: aborting.signal });
  const ends = [take(closed, 2), take(aborted, 2)];
  await new Promise((resolve) => setTimeout(resolve, 10));
  closed.close();
  aborting.abort();
  assertEquals(await Promise.all(ends), [[1], [1]]);
  assertEquals([aborted.isOpen, WAL.follow(wal.path!, { signal: aborting.signal }).isOpen], [false, false]);
});

test("Follower throws what is wrong out of its iteration", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  for (let from = 1; from < 2000; from += 500) {
    await wal.batchInsert(items(from, 500));
    wal.truncate(wal.durable);
  }
  using late = WAL.follow(wal.path!, { from: 1 });
  const error = await assertRejects(() => take(late, 1), WALLaggedError);
  assertEquals(error.firstLsn, 1);
  using follower = WAL.follow(wal.path!, { pollIntervalMs: 5, from: wal.head });
  const taken = take(follower, 1);
  fs.renameSync(wal.path!, `${wal.path!}.away`);
  await assertRejects(() => taken, WALFileGoneError);
  fs.renameSync(`${wal.path!}.away`, wal.path!);
});

test("WAL.open() with followers makes a live file with the log's mode, and close() removes it", async () => {
  using directory = tempDir();
  const live = directory.join("log.live");
  {
    await using wal = makeLog(directory);
    assertEquals([fs.statSync(live).size, fs.statSync(live).mode & 0o777], [64, 0o600]);
    assertEquals(wal.stats().warnings, []);
  }
  assertEquals(fs.existsSync(live), false);
  fs.chmodSync(directory.join("log"), 0o640);
  await using _ = makeLog(directory);
  assertEquals(fs.statSync(live).mode & 0o777, 0o640);
  await using without = WAL.open(directory.join("other"), { size: BYTES });
  assertEquals([fs.existsSync(`${without.path!}.live`), fs.readdirSync(directory.path).length], [false, 3]);
});

test("Follower knows the newest group from the live file, and only for the header that it names", async () => {
  using directory = tempDir();
  const wal = makeLog(directory);
  const live = directory.join("log.live");
  await wal.batchInsert(items(1, 3));
  await new Promise((resolve) => setTimeout(resolve, 5));
  await wal.logInsert(4, 4, 4, 4);
  using follower = WAL.follow(wal.path!);
  await until(() => follower.stats().durable === 4);
  const before = fs.readFileSync(live);
  wal.checkpoint(4);
  wal.truncate(2);
  wal.close();
  fs.writeFileSync(live, before); // as if it were left behind
  fs.chmodSync(live, 0o600);
  await using again = makeLog(directory, { followers: false });
  again.logInsertSync(9, 9, 9, 9);
  using other = WAL.follow(again.path!);
  assertEquals(other.durable, 5); // the checkpoint: the header says so, the file does not
  // A file that names another log, one with a wrong checksum, one that is cut.
  for (const change of [[8, 1], [48, 99], [60, 1], [24, 1], [32, 1]]) {
    const bytes = new Uint8Array(before);
    bytes[change[0]!]! ^= change[1]!;
    fs.writeFileSync(live, bytes);
    using third = WAL.follow(again.path!);
    assertEquals(third.durable, 5);
  }
  fs.writeFileSync(live, before.subarray(0, 40));
  using cut = WAL.follow(again.path!);
  assertEquals(cut.durable, 5);
});

test("Follower goes on when the live file is deleted or replaced, and uses the next one", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory, { idleHeaderDelayMs: 5 });
  const live = directory.join("log.live");
  using follower = WAL.follow(wal.path!, { pollIntervalMs: 10 });
  const iterator = follower[Symbol.asyncIterator]();
  await wal.logInsert(1, 1, 1, 1);
  assertEquals((await iterator.next()).value?.lsn, 1);
  fs.unlinkSync(live);
  await wal.logInsert(2, 2, 2, 2);
  assertEquals((await iterator.next()).value?.lsn, 2);
  // The writer looks for its file once a second.
  for (let lsn = 3; !fs.existsSync(live); lsn++) {
    await wal.logInsert(lsn, lsn, lsn, lsn);
    assertEquals((await iterator.next()).value?.lsn, lsn);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  fs.writeFileSync(`${live}.other`, "something else");
  fs.renameSync(`${live}.other`, live);
  const { head } = wal;
  await wal.logInsert(7, 7, 7, 7);
  assertEquals((await iterator.next()).value?.lsn, head);
  await iterator.return(undefined);
});

test("Follower goes on after the writer resizes, closes, and opens again", async () => {
  using directory = tempDir();
  const wal = makeLog(directory);
  using follower = WAL.follow(wal.path!, { pollIntervalMs: 10 });
  const taken = take(follower, 60);
  for (let i = 0; i < 20; i++) await wal.logInsert(1, 1, 1, 1);
  wal.resize(4 * BYTES);
  for (let i = 0; i < 20; i++) await wal.logInsert(1, 1, 1, 1);
  wal.close();
  await using again = makeLog(directory);
  for (let i = 0; i < 20; i++) await again.logInsert(1, 1, 1, 1);
  assertEquals(await taken, Array.from({ length: 60 }, (_, index) => index + 1));
  assertEquals(lsns(follower).length, 60);
});

/** So long that only the doorbell wakes a follower. */
const NEVER_MS = 2 ** 31 - 1;
/** Deno's watcher of a file ends a little after it was closed. */
const BELL = { timeoutMs: 30_000, sanitize: false };

/** Resolves when a follower has not looked for a while. */
async function whenQuiet(following: { readonly looks: number }): Promise<void> {
  for (let looks = -1; looks !== following.looks;) {
    looks = following.looks;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test("Follower is woken by the doorbell alone when nothing has come for some time", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  using following = watchedFollower(wal.path!, { pollIntervalMs: NEVER_MS });
  const iterator = following.follower[Symbol.asyncIterator]();
  for (let lsn = 1; lsn <= 3; lsn++) {
    const next = iterator.next();
    await whenQuiet(following);
    await wal.logInsert(lsn, 0, 0, 0);
    assertEquals((await next).value?.lsn, lsn);
  }
  await iterator.return(undefined);
}, BELL);

test(
  "Follower notices a record although the doorbell rings only once in a few milliseconds, as on Bun",
  async () => {
    using directory = tempDir();
    await using wal = makeLog(directory);
    let rungMs = -Infinity;
    using following = watchedFollower(wal.path!, { pollIntervalMs: NEVER_MS }, () => {
      const isRepeat = performance.now() - rungMs < 5;
      if (!isRepeat) rungMs = performance.now();
      return !isRepeat;
    });
    const iterator = following.follower[Symbol.asyncIterator]();
    for (let lsn = 1; lsn < 50; lsn += 2) {
      const next = iterator.next();
      for (const key of [lsn, lsn + 1]) await wal.logInsert(key, 0, 0, 0);
      assertEquals([(await next).value?.lsn, (await iterator.next()).value?.lsn], [lsn, lsn + 1]);
    }
    await iterator.return(undefined);
  },
  BELL,
);

test("Follower hears the next writer, whether it comes soon or late", async () => {
  using directory = tempDir();
  let wal = makeLog(directory);
  using following = watchedFollower(wal.path!, { pollIntervalMs: NEVER_MS });
  const iterator = following.follower[Symbol.asyncIterator]();
  for (let lsn = 1; lsn <= 8; lsn++) {
    const next = iterator.next();
    if (lsn % 3 === 0) await whenQuiet(following);
    await wal.logInsert(lsn, 0, 0, 0);
    assertEquals((await next).value?.lsn, lsn);
    wal.close();
    wal = makeLog(directory);
  }
  await iterator.return(undefined);
  wal.close();
}, BELL);

test("WAL.open() with followers in memory, or on a storage without live files, opens all the same", () => {
  using wal = WAL.open(null, { followers: true });
  wal.logInsertSync(1, 1, 1, 1);
  wal.flush();
  assertEquals(wal.stats().warnings, []);
  assertThrows(() => WAL.follow("log", { from: 0 }), RangeError);
  assertThrows(() => WAL.follow("log", { pollIntervalMs: 0 }), RangeError);
  // @ts-expect-error no AbortSignal
  assertThrows(() => WAL.follow("log", { signal: {} }), TypeError);
  // @ts-expect-error no such mode
  assertThrows(() => WAL.follow("log", { mode: "all" }), RangeError);
  // @ts-expect-error no such option
  assertThrows(() => WAL.follow("log", { modes: "all" }), TypeError);
  assert(wal.isOpen);
});

test("Follower believes a live file only with its checksum, its log's id, and the header that the log has", async () => {
  using directory = tempDir();
  await using wal = makeLog(directory);
  const live = directory.join("log.live");
  const told = () => readLiveBlock(fs.readFileSync(live))!;
  await wal.batchInsert(items(1, 4));
  await until(() => told().durable === 4);
  await wal.logInsert(5, 5, 5, 5);
  await until(() => told().durable === 5);
  for (let lsn = 6; lsn <= 7; lsn++) wal.logInsertSync(lsn, 0, 0, 0); // not durable
  const good = new Uint8Array(fs.readFileSync(live));
  const { writeCounter, headerCrc, logId } = readLiveBlock(good)!;
  const claiming = (mark: HeaderMark, id = logId): Uint8Array => {
    const bytes = newLiveBlock(id);
    writeLiveBlock(bytes, mark, 8, 7);
    return bytes;
  };
  const flipped = good.slice();
  flipped[LIVE_DURABLE_AT]! ^= 2; // 7 instead of 5
  const claims: readonly (readonly [Uint8Array, number])[] = [
    [claiming({ writeCounter, headerCrc }), 7], // what a follower believes
    [flipped, 5],
    [claiming({ writeCounter: writeCounter + 1, headerCrc }), 5],
    [claiming({ writeCounter, headerCrc: headerCrc ^ 1 }), 5],
    [claiming({ writeCounter, headerCrc }, logId.map((byte) => byte ^ 1)), 5],
  ];
  for (const [index, [bytes, durable]] of claims.entries()) {
    fs.writeFileSync(live, bytes);
    using follower = WAL.follow(wal.path!);
    assertEquals(follower.durable, durable, `claim ${index}`);
  }
});
