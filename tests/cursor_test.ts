// Reading: replay(), records() and cursor() over the same ring, at rest and while the log goes on.

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  OpType,
  type Storage,
  type WAL,
  WALClosedError,
  WALCorruptError,
  WALFileGoneError,
  WALTruncatedError,
} from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { CAPACITY, fill, items, lsns, openInMemory, openOn, PATH, range } from "./support/logs.ts";
import { test } from "./support/test.ts";

/** A log whose records go over the end of the ring: LSN 601 to 1000. */
function wrapped(wal: WAL = openInMemory()): WAL {
  fill(wal, 600);
  wal.flush();
  wal.truncate(600);
  fill(wal, 400);
  return wal;
}

/** The LSNs that a cursor shows. */
function scan(wal: WAL, range = {}): number[] {
  const found: number[] = [];
  for (const cursor = wal.cursor(range); cursor.next();) found.push(cursor.lsn);
  return found;
}

test("replay(), records() and cursor() agree on every field of every record", () => {
  using wal = openInMemory({ shard: 9 });
  fill(wal, 3);
  wal.logDeleteSync(2n ** 64n - 1n, 5);
  wal.logDeleteValueSync(1, 2, 3, 2n ** 64n - 1n);
  wal.batchInsertSync(items(50, 3));
  wal.checkpoint(2);
  const replayed = wal.replay();
  assertEquals([...wal.records()].map((record) => JSON.stringify(record)), replayed.map((r) => JSON.stringify(r)));
  const cursor = wal.cursor();
  for (const record of replayed) {
    assert(cursor.next());
    const { lsn, opType, time, keyHigh, keyLow, valueHigh, valueLow } = cursor;
    assertEquals([lsn, opType, [...time], keyHigh, keyLow, valueHigh, valueLow], [
      record.lsn,
      record.opType,
      [...record.time],
      record.keyHigh,
      record.keyLow,
      record.valueHigh,
      record.valueLow,
    ]);
    assertEquals([cursor.timeNanos, cursor.timeSeq, cursor.timeShard], [...record.time]);
    assertEquals(cursor.batchGoesOn, lsn === 6 || lsn === 7);
    assertEquals(JSON.stringify(cursor.toRecord()), JSON.stringify(record));
  }
  assertEquals([cursor.next(), cursor.lsn], [false, 9]);
});

test("replay(), records() and cursor() read over the end of the ring in LSN order", () => {
  using wal = wrapped();
  assertEquals(lsns(wal.replay()), range(601, 1000));
  assertEquals(lsns(wal.records()), range(601, 1000));
  assertEquals(scan(wal), range(601, 1000));
});

test("replay(), records() and cursor() find nothing in an empty log", () => {
  using wal = openInMemory();
  assertEquals([wal.replay(), [...wal.records()], scan(wal)], [[], [], []]);
  fill(wal, 3);
  wal.flush();
  wal.truncate(3);
  assertEquals([wal.replay(), [...wal.records()], scan(wal)], [[], [], []]);
});

test("records() and cursor() read any range, both ends included", () => {
  using wal = wrapped();
  const end = fc.integer({ min: 601, max: 1100 });
  fc.assert(fc.property(end, end, (from, to) => {
    const expected = range(from, Math.min(to, 1000));
    assertEquals(lsns(wal.records({ from, to })), expected);
    assertEquals(scan(wal, { from, to }), expected);
  }));
  assertEquals(lsns(wal.records({ from: 999 })), [999, 1000]);
  assertEquals(lsns(wal.records({ to: 602 })), [601, 602]);
  assertEquals(scan(wal, { to: 0 }), []);
});

test("records() and cursor() throw WALTruncatedError with the tail for a range that starts before it", () => {
  using wal = wrapped();
  for (const read of [() => wal.records({ from: 600 }), () => wal.cursor({ from: 1 })]) {
    const error = assertThrows(read, WALTruncatedError);
    assertEquals([error.code, error.tail], ["TRUNCATED", 601]);
  }
});

test("records() and cursor() do not read what is appended after the call", () => {
  using wal = openInMemory();
  fill(wal, 2);
  const records = wal.records();
  const cursor = wal.cursor();
  fill(wal, 3);
  assertEquals(lsns(records), [1, 2]);
  assertEquals([cursor.next(), cursor.next(), cursor.next()], [true, true, false]);
});

test("replay() has the kernel read each record once", () => {
  const disk = new SimulatedDisk();
  const read: [offset: number, length: number][] = [];
  const storage: Storage = {
    ...disk.storage,
    open: (path, request) => {
      const region = disk.storage.open(path, request);
      const { pageIn } = region;
      region.pageIn = (offset, length, before) => {
        if (before === "load") read.push([offset, length]);
        pageIn.call(region, offset, length, before);
      };
      return region;
    },
  };
  using wal = openOn(disk, { storage });
  fill(wal, 700);
  wal.flush();
  wal.truncate(600);
  fill(wal, 300);
  read.length = 0;
  assertEquals(wal.replay().length, 400);
  assertEquals(read, [[16384 + 600 * 64, 168 * 64], [16384, 232 * 64]]);
});

test("replay() gives records that stay as they are when their slots are used again, and when the log is closed", () => {
  using wal = openInMemory();
  fill(wal, CAPACITY);
  const [first] = wal.replay();
  const before = JSON.stringify(first);
  const [shown] = wal.records();
  wal.flush();
  wal.truncate(CAPACITY);
  fill(wal, CAPACITY);
  wal.close();
  assertEquals([JSON.stringify(first), JSON.stringify(shown)], [before, before]);
});

test("records() throws WALTruncatedError when the log releases records that are yet to be read, and never gives others", () => {
  using wal = openInMemory();
  fill(wal, CAPACITY);
  wal.flush();
  const records = wal.records();
  assertEquals(records.next().value.lsn, 1);
  wal.truncate(CAPACITY);
  fill(wal, CAPACITY);
  const found: number[] = [];
  assertThrows(() => {
    for (const { lsn, keyHigh } of { [Symbol.iterator]: () => records }) {
      assertEquals(keyHigh, BigInt(lsn));
      found.push(lsn);
    }
  }, WALTruncatedError);
  assertEquals(found, range(2, found.length + 1));
});

test("cursor() throws WALTruncatedError when its next record was released and overwritten", () => {
  using wal = openInMemory();
  fill(wal, CAPACITY);
  wal.flush();
  const cursor = wal.cursor();
  assert(cursor.next());
  wal.truncate(CAPACITY);
  fill(wal, 5);
  assertThrows(() => cursor.next(), WALTruncatedError);
});

test("cursor() shows nothing before the first next(), and the last record after the end", () => {
  using wal = openInMemory();
  fill(wal, 2);
  const cursor = wal.cursor({ from: 2 });
  assertEquals(cursor.lsn, 1);
  for (const read of [() => cursor.keyHigh, () => cursor.time, () => cursor.opType, () => cursor.toRecord()]) {
    assertThrows(read, RangeError, "next()");
  }
  while (cursor.next());
  assertEquals([cursor.lsn, cursor.keyHigh, cursor.opType], [2, 2n, OpType.Insert]);
});

test("cursor() over a log that was closed cannot reach its memory", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, 5);
  const cursor = wal.cursor();
  assert(cursor.next());
  wal.close();
  let error: unknown;
  try {
    cursor.next();
  } catch (thrown) {
    error = thrown;
  }
  assert(error instanceof WALClosedError || error instanceof TypeError, String(error));
  assertThrows(() => cursor.keyHigh);
});

test("next() throws WALClosedError once the log is closed, wherever the cursor stands", () => {
  for (let stop = 1; stop < CAPACITY; stop += stop < 100 ? 1 : 7) {
    const wal = openInMemory();
    fill(wal, CAPACITY);
    const cursor = wal.cursor();
    while (cursor.lsn < stop) cursor.next();
    wal.close();
    assertThrows(() => cursor.next(), WALClosedError, undefined, `at LSN ${stop}`);
  }
});

test("cursor() notices damage that comes while its reader awaits, in the very next record", async () => {
  for (const stop of [1, 5, 21, 85, 300, 700]) {
    const disk = new SimulatedDisk();
    const wal = openOn(disk);
    fill(wal, CAPACITY);
    wal.flush();
    const cursor = wal.cursor();
    while (cursor.lsn < stop) cursor.next();
    await null;
    disk.damage.flipBit(PATH, 16384 + stop * 64 + 33, 5);
    assertEquals(assertThrows(() => cursor.next(), WALCorruptError).firstLsn, stop + 1);
    wal.close();
  }
});

test("cursor() shows every record to a reader that awaits at each one", async () => {
  const wal = wrapped();
  const found: number[] = [];
  for (const cursor = wal.cursor(); cursor.next();) {
    found.push(cursor.lsn);
    if (cursor.lsn % 3 === 0) await null;
  }
  assertEquals(found, range(601, 1000));
});

test("WALCorruptError names a record with any flipped bit, however it is read", () => {
  for (const lsn of [601, 700, 768, 769, 1000]) {
    const disk = new SimulatedDisk();
    const wal = wrapped(openOn(disk));
    wal.flush();
    const offset = 16384 + (lsn - 1) % CAPACITY * 64;
    disk.damage.flipBit(PATH, offset + 33, 5);
    for (const read of [() => wal.replay(), () => [...wal.records()], () => scan(wal)]) {
      const error = assertThrows(read, WALCorruptError);
      assertEquals([error.code, error.firstLsn, error.lastLsn, error.offset], ["CORRUPT", lsn, lsn, offset]);
    }
    // What lies before it can be read.
    assertEquals(lsns(wal.records({ to: lsn - 1 })), range(601, lsn - 1));
    assertEquals(scan(wal, { from: lsn + 1 }), range(lsn + 1, 1000));
    wal.close();
  }
});

test("replay() takes swapped slots for no records: each LSN belongs in its place", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 16);
  wal.flush();
  disk.damage.swapSectors(PATH, 32, 33);
  assertEquals(assertThrows(() => wal.replay(), WALCorruptError).firstLsn, 1);
});

test("replay(), records() and cursor() throw WALFileGoneError for a log whose file was cut", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, 5);
  wal.flush();
  disk.outsider.truncate(PATH, 16384);
  for (const read of [() => wal.replay(), () => [...wal.records()], () => scan(wal)]) {
    assertEquals(assertThrows(read, WALFileGoneError).code, "GONE");
  }
  wal.close();
});
