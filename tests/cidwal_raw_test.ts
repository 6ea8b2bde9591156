// How cidwal reads a log's file: by windows, and again where a writer may be at work (H81).

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { closeSync, openSync, readdirSync, readFileSync, truncateSync } from "node:fs";
import { CommandError } from "../cli/exit_codes.ts";
import { RunPacker, RunReader } from "../cli/packed_runs.ts";
import { readRawLog } from "../cli/raw_log.ts";
import { salvageTo } from "../cli/salvage_copy.ts";
import { WindowedSlots } from "../cli/windowed_slots.ts";
import { FileMemory, OpType, WAL } from "../mod.ts";
import { readHeaders } from "../src/format/header.ts";
import { RING_AT } from "../src/format/layout.ts";
import { checksumSeed, Slots } from "../src/format/record.ts";
import { Random } from "../testing.ts";
import { makeLog, slotAt, spoil } from "./support/cidwal.ts";
import { range } from "./support/logs.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

/** Fills three windows. */
function makeLongLog(path: string): void {
  using wal = WAL.open(path, { size: 3 * 2 ** 20 + RING_AT, now: () => 1 });
  for (let n = 0; n < wal.capacity; n += 1024) wal.batchInsertSync(range(n, n + 1023).map((key) => [1, key, 2, key]));
}

test("WindowedSlots shows what slots of the whole file show, wherever it is looked at", () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLongLog(path);
  const bytes = readFileSync(path);
  const header = readHeaders(bytes).newest!;
  const seed = checksumSeed(header.logId);
  const whole = Slots.ofRing(
    new FileMemory(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)),
    header.capacity,
    seed,
  );
  const descriptor = openSync(path, "r");
  let moves = 0;
  const windowed = new WindowedSlots(descriptor, header.capacity, seed, () => moves++);
  const random = new Random(3);
  for (let look = 0; look < 100; look++) {
    const count = random.below(200) + 1;
    const slot = random.below(header.capacity - count);
    assertEquals(windowed.verifyRun(slot, slot + 1, count), whole.verifyRun(slot, slot + 1, count));
    assert(Buffer.compare(windowed.bytesOf(slot, count), whole.bytesOf(slot, count)) === 0);
    const other = random.below(header.capacity);
    assertEquals([windowed.lsnAt(other), windowed.keyLowAt(other)], [whole.lsnAt(other), whole.keyLowAt(other)]);
    assertEquals(windowed.words[windowed.wordOf(other)], whole.words[whole.wordOf(other)]);
  }
  const before = moves;
  const inOrder = range(0, header.capacity - 1).every((slot) => windowed.lsnAt(slot) === slot + 1);
  assert(inOrder, "each slot has its record");
  assertEquals([moves - before, windowed.memory.sizeBytes], [3, 2 ** 20]);
  closeSync(descriptor);
});

test("readRawLog() comes to one verdict for a file and for one that is cut, and holds a window of each", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLongLog(path);
  spoil(path, slotAt(5) + 20, slotAt(20_000) + 20, slotAt(40_000) + 20);
  {
    using log = (await readRawLog(path))!;
    assertEquals(log.verdict!.damaged, [5, 20_000, 40_000].map((lsn) => ({ first: lsn, last: lsn })));
    assertEquals([4, 5, 19_999, 20_000].map((slot) => log.slotAt(slot).state), [
      "damaged",
      "record",
      "damaged",
      "record",
    ]);
    assertEquals(log.slots.memory.sizeBytes, 2 ** 20);
  }
  truncateSync(path, slotAt(30_000));
  using log = (await readRawLog(path))!;
  assert(log.isCut);
  assertEquals(log.verdict!.damaged.at(-1), { first: 30_000, last: log.capacity });
  assertEquals(log.slotAt(29_999).state, "damaged");
});

test("RawLog calls a record that was appended since its verdict a record, and tells that records were released since", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  using wal = WAL.open(path, { idleHeaderDelayMs: Infinity });
  {
    using log = (await readRawLog(path))!;
    wal.logInsertSync(1, 2, 3, 4);
    wal.flush();
    log.slots.forget(); // as a long log has by then
    assertEquals([log.slotAt(12).state, log.hasMovedOn()], ["record", false]);
    wal.truncate(3);
    wal.close();
    assertEquals(log.hasMovedOn(), true);
  }
});

test("salvageTo() leaves no file if a writer releases what it copies", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  using wal = WAL.open(path);
  using log = (await readRawLog(path))!;
  wal.truncate(3);
  wal.close();
  await assertRejects(() => salvageTo(log, directory.join("new")), CommandError, "try again without it");
  assertEquals(readdirSync(directory.path), ["log"]);
});

test("RunReader reads a long run that comes in small pieces in a time that grows with it", () => {
  const pieces: Uint8Array[] = [];
  const packer = new RunPacker("a".repeat(32), (bytes) => pieces.push(bytes));
  const record = {
    opType: OpType.Insert,
    timeNanos: 5n,
    timeSeq: 0,
    timeShard: 0,
    keyHigh: 1n,
    keyLow: 2n,
    valueHigh: 3n,
    valueLow: 4n,
  };
  // One batch, so that it is one run.
  const count = 5000;
  for (let lsn = 1; lsn <= count; lsn++) packer.add({ ...record, lsn, timeSeq: lsn, batchGoesOn: lsn < count });
  packer.add({ ...record, lsn: count + 1, batchGoesOn: false });
  packer.end();
  assertEquals(pieces.length, 2);
  const bytes = Buffer.concat(pieces);
  let read = 0;
  const reader = new RunReader();
  // Joined at every piece, these would be 800 MB of copies.
  for (let at = 0; at < bytes.length; at += 64) read += [...reader.take(bytes.subarray(at, at + 64))].length;
  reader.end();
  assertEquals(read, count + 1);
});
