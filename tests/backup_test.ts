// Fault: a log is copied while it is written (H34).
// Promise: the copy is a whole log that holds everything durable and nothing else (G2).
// Method: back up in each state, open the copy, compare.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Region, Storage } from "../ffi/region.ts";
import { newLogId } from "../src/format/lineage.ts";
import { readHeaders } from "../src/format/header.ts";
import { WAL, WALCorruptError, WALIOError, WALNotFoundError, WALPermissionError, WALTruncatedError } from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { CAPACITY, fill, items, lsns, openInMemory, openOn, range } from "./support/logs.ts";
import { withTempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const COPY = "/sim/copy";

function openCopy(disk: SimulatedDisk): WAL {
  return WAL.open(COPY, { storage: disk.storage, create: false, idleHeaderDelayMs: Infinity });
}

test("backup(), salvage and resize() make the pieces of a long copy in the same memory", () => {
  const disk = new SimulatedDisk();
  const buffers: Set<ArrayBufferLike>[] = [];
  const watched = function* (chunks: Iterable<Uint8Array>) {
    const seen = new Set<ArrayBufferLike>();
    buffers.push(seen);
    for (const chunk of chunks) {
      seen.add(chunk.buffer);
      yield chunk;
    }
  };
  const watchedRegion = (region: Region): Region => {
    const replace = region.replace.bind(region);
    region.replace = (chunks, sizeBytes, keepAs) => replace(watched(chunks), sizeBytes, keepAs);
    return region;
  };
  const storage: Storage = {
    open: (path, request) => watchedRegion(disk.storage.open(path, request)),
    write: (path, chunks, sizeBytes) => disk.storage.write(path, watched(chunks), sizeBytes),
  };
  const wal = WAL.open("/sim/log", { storage, size: 2 ** 21 });
  const pairs = new Uint8Array(32 * 4096);
  for (let batch = 0; batch < 7; batch++) wal.batchInsertSync(pairs);
  wal.logInsertSync(1, 2, 3, 4);
  wal.flush();
  wal.backup(COPY);
  wal.resize(2 ** 22);
  wal.close();
  disk.damage.flipBit("/sim/log", 16384 + 64 * 5000 + 50, 2);
  WAL.open("/sim/log", { storage, recovery: "salvage" }).close();
  // The headers, whole pieces, and the last one, which is shorter.
  assertEquals(buffers.map(({ size }) => size), [3, 3, 3]);
});

test("backup() copies everything durable into a cleanly closed log with the same LSNs", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { shard: 3 });
  fill(wal, 600);
  wal.flush();
  wal.truncate(600);
  fill(wal, 300);
  wal.batchInsertSync(items(901, 5));
  wal.checkpoint(700);
  const durable = wal.replay().map((record) => JSON.stringify(record));
  fill(wal, 4);
  assertEquals(wal.backup(COPY), { first: 601, last: 906 });
  disk.crash({ keep: "none" });
  using copy = openCopy(disk);
  assertEquals(copy.replay().map((record) => JSON.stringify(record)), durable);
  assertEquals([copy.recovery.clean, copy.recovery.records, copy.applied], [true, 306, 700]);
  const cursor = copy.cursor({ from: 901 });
  const flags = range(901, 906).map(() => cursor.next() && cursor.batchGoesOn);
  assertEquals(flags, [true, true, true, true, false, false]);
});

test("backup() through what is durable, or later, is the whole backup, also of an empty log", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  for (const through of [0, 1, 2 ** 53 - 1]) {
    assertEquals(wal.backup(COPY, { through }), { first: 1, last: 0 });
    disk.outsider.unlink(COPY);
  }
  fill(wal, 9);
  wal.flush();
  fill(wal, 3);
  for (const through of [9, 10, 12, 13, 2 ** 53 - 1, undefined]) {
    assertEquals(wal.backup(COPY, { through }), { first: 1, last: 9 });
    disk.outsider.unlink(COPY);
  }
  wal.flush();
  wal.truncate(12);
  assertEquals(wal.backup(COPY, { through: 12 }), { first: 13, last: 12 });
});

test("backup() through an LSN that was released is a WALTruncatedError, and leaves no file", async () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 9);
  wal.flush();
  wal.truncate(5);
  for (const through of [0, 4, 5]) {
    const error = assertThrows(() => wal.backup(COPY, { through }), WALTruncatedError);
    assertEquals([error.lsn, error.tail], [through, 6]);
    await assertRejects(() => wal.backupAsync(COPY, { through }), WALTruncatedError);
  }
  assertEquals(disk.paths(), ["/sim/log"]);
  assertEquals(wal.backup(COPY, { through: 6 }), { first: 6, last: 6 });
  // No slot is kept for a copy that was refused.
  wal.flush();
  wal.truncate(9);
  fill(wal, CAPACITY);
});

test("backup() through LSN 0, as lsnAt() a time before the first record, is a log without records", async () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 9);
  wal.flush();
  wal.checkpoint(9);
  const through = wal.lsnAt(new Date(0));
  for (const backup of [() => wal.backup(COPY, { through }), () => wal.backupAsync(COPY, { through })]) {
    assertEquals(await backup(), { first: 1, last: 0 });
    using copy = openCopy(disk);
    assertEquals([copy.tail, copy.head, copy.applied, copy.recovery.clean], [1, 1, 0, true]);
    disk.outsider.unlink(COPY);
  }
});

test("backup() through an LSN inside the first batch is a log without records, which goes on after the tail", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 3);
  wal.batchInsertSync(items(4, 5));
  wal.flush();
  wal.truncate(3);
  for (const through of [4, 7]) {
    assertEquals(wal.backup(COPY, { through }), { first: 4, last: 3 });
    using copy = openCopy(disk);
    assertEquals([copy.tail, copy.head, copy.applied, copy.recovery.clean], [4, 4, 3, true]);
    disk.outsider.unlink(COPY);
  }
});

test("backup() through an LSN caps the checkpoint, and leaves out a time that was wrong", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk, { maxClockDriftMs: Infinity });
  fill(wal, 9);
  wal.flush();
  wal.checkpoint(9);
  const right = wal.replay()[4]!.time[0];
  wal.logInsertSync(1, 1, 1, 1, [2n ** 63n, 0, 0]);
  wal.flush();
  wal.backup(COPY, { through: 5 });
  using copy = openCopy(disk);
  assertEquals(copy.applied, 5);
  fill(copy, 1);
  const [nanos] = copy.replay()[5]!.time;
  assert(nanos >= right && nanos < 2n ** 62n);
});

test("backup() through an LSN needs no later record, and none that is damaged", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 9);
  wal.flush();
  disk.damage.flipBit("/sim/log", 16384 + 5 * 64 + 50, 2);
  for (const through of [6, 7, 9]) {
    assertEquals(assertThrows(() => wal.backup(COPY, { through }), WALCorruptError).firstLsn, 6);
    assertEquals(disk.paths(), ["/sim/log"]);
  }
  assertEquals(wal.backup(COPY, { through: 5 }), { first: 1, last: 5 });
});

test("backup() through lsnAt() a time has the records up to that time", async () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  const aMinute = 60_000;
  wal.batchInsertSync(items(1, 5));
  const then = new Date(disk.clock.timeMs);
  disk.clock.advance(aMinute);
  await null; // the log reads the clock once in each burst
  fill(wal, 5);
  wal.flush();
  assertEquals(wal.backup(COPY, { through: wal.lsnAt(then) }), { first: 1, last: 5 });
});

test("backup() of an empty log is an empty log", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  assertEquals(wal.backup(COPY), { first: 1, last: 0 });
  using copy = openCopy(disk);
  assertEquals([copy.head, copy.tail, copy.capacity], [1, 1, CAPACITY]);
});

test("backup() of a full ring is a full ring", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, CAPACITY);
  wal.flush();
  wal.backup(COPY);
  using copy = openCopy(disk);
  assertEquals(lsns(copy.replay()), range(1, CAPACITY));
});

test("backup() of a log in memory is a log on disk", () =>
  withTempDir((directory) => {
    using wal = openInMemory();
    fill(wal, 5);
    wal.flush();
    assertEquals(wal.backup(`${directory}/copy`), { first: 1, last: 5 });
    using copy = WAL.open(`${directory}/copy`);
    assertEquals(lsns(copy.replay()), range(1, 5));
  }));

test("backup() gives a copy an id of its own: its records mean nothing to the first log", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 3);
  wal.flush();
  wal.backup(COPY);
  const ids = ["/sim/log", COPY].map((path) => readHeaders(disk.image(path)).newest!.logId.join());
  assert(ids[0] !== ids[1]);
});

test("backup() makes a copy that goes on by itself, later than anything in the log", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 3);
  wal.flush();
  wal.backup(COPY);
  const [nanos] = wal.replay()[2]!.time;
  disk.clock.set(5);
  using copy = openCopy(disk);
  fill(copy, 2);
  assertEquals(lsns(copy.replay()), range(1, 5));
  assert(copy.replay()[3]!.time[0] >= nanos);
});

test("backup() to a file that is there is a WALIOError, and leaves it as it is", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  disk.outsider.writeFile(COPY, Uint8Array.of(1, 2, 3));
  const error = assertThrows(() => wal.backup(COPY), WALIOError);
  assertEquals([error.errno, [...disk.image(COPY)]], ["EEXIST", [1, 2, 3]]);
  assertThrows(() => wal.backup("/sim/log"), WALIOError);
});

test("backup() that the system refuses leaves nothing, and the log goes on", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 3);
  wal.flush();
  assertThrows(() => wal.backup("/none/copy"), WALNotFoundError);
  disk.fail({ call: "openOrCreate", errno: "EACCES" });
  assertThrows(() => wal.backup(COPY), WALPermissionError);
  assertThrows(() => wal.backup(null as unknown as string), TypeError);
  assertEquals(disk.paths(), ["/sim/log"]);
  fill(wal, 1);
  wal.flush();
});

test("backup() of a log that is damaged in its middle is a WALCorruptError, and leaves no file", () => {
  const disk = new SimulatedDisk();
  fillAndClose(disk, 30_000);
  disk.damage.flipBit("/sim/log", 16384 + 19_999 * 64 + 50, 2);
  using wal = openOn(disk);
  assertEquals(assertThrows(() => wal.backup(COPY), WALCorruptError).firstLsn, 20_000);
  assertEquals(disk.paths(), ["/sim/log"]);
  fill(wal, 1);
});

function fillAndClose(disk: SimulatedDisk, records: number): void {
  using wal = openOn(disk, { size: 2 ** 21 });
  for (let first = 1; first <= records; first += 1000) wal.batchInsertSync(items(first, 1000));
}

test("backup() asks the system for megabytes, not for records", () => {
  const disk = new SimulatedDisk();
  fillAndClose(disk, 20_000);
  using wal = openOn(disk);
  const before = disk.steps;
  wal.backup(COPY);
  const calls = disk.trace.filter(({ step, call }) => step > before && call !== "write");
  assert(calls.length < 40, calls.map(({ call }) => call).join());
});

test("backup() keeps each record in its slot, and leaves the other slots empty", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 700);
  wal.flush();
  wal.truncate(650);
  fill(wal, 100);
  wal.flush();
  wal.backup(COPY);
  const [from, to] = ["/sim/log", COPY].map((path) => disk.image(path, "cache"));
  for (let slot = 0; slot < CAPACITY; slot++) {
    // All of a record but its checksum, to which the log's id belongs.
    const at = 16384 + slot * 64 + 4;
    const isKept = slot < 800 - CAPACITY || (slot >= 650 && slot < CAPACITY);
    assertEquals(to!.slice(at, at + 60), isKept ? from!.slice(at, at + 60) : new Uint8Array(60), `slot ${slot}`);
  }
});

test("newLogId() gives 16 random bytes", () => {
  const ids = new Set(range(1, 100).map(() => newLogId().join()));
  assertEquals([ids.size, newLogId().length], [100, 16]);
});
