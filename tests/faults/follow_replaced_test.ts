// Fault: under a follower that waits, the log is resized, salvaged, put back from a backup, or its
//   file is exchanged for a copy that was made while the log was open, and was written on (H67).
// Promise: the follower goes on where the new file has all that was read, and otherwise ends with a
//   typed error. It shows no record of one history after those of another (G19).
// Method: an iteration and a consumer wait in this process while the file is changed.

import { assert, assertEquals } from "@std/assert";
import * as fs from "node:fs";
import { WAL, WALCorruptError, type WALError, type WALOptions, type WALRecord, WALRewoundError } from "../../mod.ts";
import { RECORD_BYTES, RING_AT } from "../../src/format/layout.ts";
import { items } from "../support/logs.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const BYTES = 65536;

function openLog(directory: TempDir, options: WALOptions = {}, name = "log"): WAL {
  return WAL.open(directory.join(name), { size: BYTES, followers: true, idleHeaderDelayMs: 5, ...options });
}

/** What a reader that never stops by itself was given, and how it ended. */
class Reading {
  readonly lsns: number[] = [];
  /** The keys, which tell histories apart. */
  readonly keys: number[] = [];
  readonly ended: Promise<WALError | null>;

  /** Starts a reader. @param consumes true for a consumer, false for an iteration. */
  constructor(path: string, consumes: boolean, from: number) {
    const follower = WAL.follow(path, { pollIntervalMs: 5, from });
    const take = ({ lsn, keyHigh }: WALRecord) => {
      this.lsns.push(lsn);
      this.keys.push(Number(keyHigh));
    };
    const iterate = async () => {
      for await (const record of follower) take(record);
    };
    const store = { applyBatch: (records: readonly WALRecord[]) => records.forEach(take) };
    const reading = consumes ? follower.consumeAsync(store) : iterate();
    this.close = () => follower.close();
    this.ended = reading.then(() => null, (error) => error as WALError);
  }

  readonly close: () => void;

  /** Resolves when a record was given, or the reader has ended. */
  async reaches(lsn: number): Promise<void> {
    let hasEnded = false;
    this.ended.then(() => hasEnded = true);
    while (!hasEnded && (this.lsns.at(-1) ?? 0) < lsn) await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function upTo(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** Runs the body of a test with an iteration and with a consumer. */
function both(body: (read: (path: string, from?: number) => Reading) => Promise<void>): () => Promise<void> {
  return async () => {
    for (const consumes of [false, true]) {
      const readings: Reading[] = [];
      try {
        await body((path, from = 1) => {
          const reading = new Reading(path, consumes, from);
          readings.push(reading);
          return reading;
        });
      } finally {
        for (const reading of readings) reading.close();
        await Promise.all(readings.map(({ ended }) => ended));
      }
    }
  };
}

/** Changes a byte of a record's key in the file. */
function damage(path: string, lsn: number): void {
  const fd = fs.openSync(path, "r+");
  const at = RING_AT + (lsn - 1) * RECORD_BYTES + 40;
  const byte = new Uint8Array(1);
  fs.readSync(fd, byte, 0, 1, at);
  fs.writeSync(fd, Uint8Array.of(byte[0]! ^ 1), 0, 1, at);
  fs.closeSync(fd);
}

test(
  "Follower goes on while the log is resized, larger and smaller, again and again",
  both(async (read) => {
    using directory = tempDir();
    await using wal = openLog(directory);
    const reading = read(wal.path!);
    for (let turn = 0; turn < 6; turn++) {
      await wal.batchInsert(items(wal.head, 50));
      if (turn % 2 === 1) {
        await reading.reaches(wal.durable); // so that it is not lapped
        wal.truncate(wal.durable);
      }
      wal.resize(turn % 2 === 0 ? 4 * BYTES : BYTES);
      await wal.batchInsert(items(wal.head, 50));
    }
    await reading.reaches(600);
    assertEquals(reading.lsns, upTo(600));
  }),
);

for (const isRenamed of [false, true]) {
  const how = isRenamed ? "put in place of the log" : "copied over the log";
  test(
    `Follower goes on in a backup that is ${how}, if the backup has all that was read`,
    both(async (read) => {
      using directory = tempDir();
      const [path, backup] = [directory.join("log"), directory.join("backup")];
      {
        await using wal = openLog(directory);
        await wal.batchInsert(items(1, 10));
        wal.backup(backup);
      }
      const behind = read(path);
      await behind.reaches(10);
      {
        await using wal = openLog(directory);
        await wal.batchInsert(items(11, 10));
      }
      const ahead = read(path, 15);
      await ahead.reaches(20);
      behind.close();
      assertEquals(await behind.ended, null);
      const again = read(path, 5);
      await again.reaches(20);
      if (isRenamed) fs.renameSync(backup, path);
      else fs.copyFileSync(backup, path);
      for (const reading of [ahead, again]) {
        const error = await reading.ended;
        assert(error instanceof WALRewoundError, String(error));
        assertEquals([error.code, error.lsn], ["REWOUND", 20]);
      }
      const anew = read(path, 8);
      await anew.reaches(10);
      {
        await using restored = openLog(directory);
        await restored.batchInsert(items(101, 5));
      }
      await anew.reaches(15);
      assertEquals([anew.lsns, anew.keys.slice(3)], [upTo(15, 8), upTo(105, 101)]);
    }),
  );
}

test(
  "Follower goes on in the salvaged log, whose lost records keep their LSNs",
  both(async (read) => {
    using directory = tempDir();
    const path = directory.join("log");
    {
      await using wal = openLog(directory);
      for (let lsn = 1; lsn <= 60; lsn++) wal.logInsertSync(lsn, 0, 0, 0);
    }
    const past = read(path);
    await past.reaches(60);
    damage(path, 50);
    const through = read(path);
    const error = await through.ended;
    assert(error instanceof WALCorruptError, String(error));
    assertEquals(error.losses, [{ firstLsn: 50, lastLsn: 50, offset: RING_AT + 49 * RECORD_BYTES }]);
    await using salvaged = openLog(directory, { recovery: "salvage", verify: true });
    assertEquals(salvaged.recovery.losses[0]?.firstLsn, 50);
    await salvaged.batchInsert(items(61, 3));
    const anew = read(path);
    await anew.reaches(63);
    await past.reaches(63);
    assertEquals([past.lsns, past.keys], [upTo(63), upTo(63)]);
    // A store is not called for records that are lost.
    const kept = (key: number) => key !== 0;
    const lost = salvaged.recovery.losses[0]!.lastLsn - 49;
    assertEquals(anew.keys.filter(kept), [...upTo(49), ...upTo(63, 50 + lost)]);
  }),
);

test(
  "Follower ends when a salvaged log takes the place that lacks what it has read",
  both(async (read) => {
    using directory = tempDir();
    const [path, older] = [directory.join("log"), directory.join("older")];
    {
      await using wal = openLog(directory);
      await wal.batchInsert(items(1, 40));
    }
    fs.copyFileSync(path, older);
    {
      await using wal = openLog(directory);
      await wal.batchInsert(items(41, 20));
    }
    const reading = read(path);
    await reading.reaches(60);
    damage(older, 10);
    openLog(directory, { recovery: "salvage", verify: true }, "older").close();
    fs.renameSync(older, path);
    const error = await reading.ended;
    assert(error instanceof WALRewoundError, String(error));
    assertEquals(error.lsn, 60);
  }),
);

test(
  "Follower ends when a copy with another history takes the log's place",
  both(async (read) => {
    using directory = tempDir();
    const [path, copy] = [directory.join("log"), directory.join("copy")];
    await using wal = openLog(directory);
    await wal.batchInsert(items(1, 20));
    // The copy is made while the log is open, so both have one id, and both are written on.
    fs.copyFileSync(path, copy);
    await using other = openLog(directory, {}, "copy");
    await other.batchInsert(items(501, 30));
    await wal.batchInsert(items(21, 10));
    assertEquals(other.logId, wal.logId);
    const [ahead, behind] = [read(path), read(path)];
    await ahead.reaches(30);
    await behind.reaches(30);
    fs.renameSync(copy, path);
    for (const reading of [ahead, behind]) {
      const error = await reading.ended;
      assert(error instanceof WALRewoundError, String(error));
      assertEquals([error.lsn, reading.keys], [30, upTo(30)]);
    }
    const anew = read(path);
    await anew.reaches(50);
    assertEquals(anew.keys, [...upTo(20), ...upTo(530, 501)]);
  }),
);

test(
  "Follower goes on in a copy with another history, if it has read only what both have",
  both(async (read) => {
    using directory = tempDir();
    const [path, copy] = [directory.join("log"), directory.join("copy")];
    {
      await using wal = openLog(directory);
      await wal.batchInsert(items(1, 20));
    }
    const reading = read(path);
    await reading.reaches(20);
    fs.copyFileSync(path, copy);
    await using other = openLog(directory, {}, "copy");
    await other.batchInsert(items(501, 30));
    fs.renameSync(copy, path);
    await reading.reaches(50);
    assertEquals(reading.keys, [...upTo(20), ...upTo(530, 501)]);
  }),
);
