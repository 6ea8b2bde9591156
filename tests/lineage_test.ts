import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { WAL, WALStoreError } from "../mod.ts";
import { forked, type Lineage, logIdBytes, logIdText, sharedThrough } from "../src/format/lineage.ts";
import { SimulatedDisk } from "../testing.ts";
import { readLineage } from "./support/format_reader.ts";
import { fill, openInMemory, openOn, PATH } from "./support/logs.ts";
import { withTempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const COPY = "/sim/copy";
const [A, B, C] = ["a1", "b2", "c3"].map((byte) => byte.repeat(16)) as [string, string, string];

test("sharedThrough() is endless for the log itself, and nothing for a strange one", () => {
  const lineage: Lineage = { logId: A, origin: null, fork: null };
  assertEquals([A, B, ""].map((id) => sharedThrough(lineage, id)), [Infinity, 0, 0]);
});

test("sharedThrough() ends at the last LSN that a copy shares with its origin", () => {
  const lineage: Lineage = { logId: B, origin: { logId: A, lastLsn: 50 }, fork: null };
  assertEquals([A, B, C].map((id) => sharedThrough(lineage, id)), [50, Infinity, 0]);
});

test("forked() keeps the origin, and shares with the id of before what there was then", () => {
  const copy: Lineage = { logId: B, origin: { logId: A, lastLsn: 50 }, fork: null };
  const parted = forked(copy, logIdBytes(C), 70);
  assertEquals(parted, { logId: C, origin: { logId: A, lastLsn: 50 }, fork: { logId: B, lastLsn: 70 } });
  assertEquals([A, B, C].map((id) => sharedThrough(parted, id)), [50, 70, Infinity]);
});

test("logIdText() writes each byte as two lowercase hex digits, and logIdBytes() reads them", () => {
  const bytes = Uint8Array.from({ length: 16 }, (_, i) => 17 * i);
  assertEquals(logIdText(bytes), "00112233445566778899aabbccddeeff");
  assertEquals([...logIdBytes(logIdText(bytes))], [...bytes]);
});

test("WAL.logId is the id in the header, empty before the first open() and kept after close()", () => {
  const disk = new SimulatedDisk();
  const wal = new WAL(PATH, { storage: disk.storage, size: 65536 });
  assertEquals(wal.logId, "");
  wal.open();
  const { logId } = wal;
  assertMatch(logId, /^[0-9a-f]{32}$/);
  assertEquals([wal.recovery.logId, wal.recovery.origin], [logId, null]);
  wal.close();
  assertEquals(wal.logId, logId);
  assertEquals(logIdText(disk.image(PATH).subarray(24, 40)), logId);
  assertEquals(disk.image(PATH).subarray(108, 4092).every((byte) => byte === 0), true);
  wal.open();
  assertEquals([wal.logId, wal.recovery.logId], [logId, logId]);
  wal.close();
});

test("WAL gives each log an id of its own, in memory too", () => {
  using one = openInMemory();
  using other = openInMemory();
  assertMatch(one.logId, /^[0-9a-f]{32}$/);
  assertNotEquals(one.logId, other.logId);
});

test("stats() and recovery say which log it is, what it was copied from, and when it was made", () => {
  const disk = new SimulatedDisk();
  const what = (log: WAL) => {
    const { logId, origin, createdMs } = log.stats();
    assertEquals([log.recovery.logId, log.recovery.origin, log.recovery.createdMs], [logId, origin, createdMs]);
    JSON.stringify({ logId, origin, createdMs }); // throws for a bigint
    return { logId, origin, createdMs };
  };
  const madeMs = disk.clock.timeMs;
  let wal = openOn(disk);
  const made = { logId: wal.logId, origin: null, createdMs: madeMs };
  assertEquals(what(wal), made);
  fill(wal, 5);
  disk.clock.advance(1e9);
  wal.resize(2 * 65536);
  assertEquals(what(wal), made);
  wal.flush();
  wal.backup(COPY);
  wal.close();
  wal = openOn(disk);
  assertEquals([what(wal), wal.recovery.created], [made, false]);
  wal.close();
  const copy = openOn(disk, {}, COPY);
  assertEquals(what(copy), { logId: copy.logId, origin: { logId: made.logId, lastLsn: 5 }, createdMs: madeMs });
  copy.close();
});

test("stats() has no time of making where the file has none", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { now: () => 0 });
  assertEquals([wal.stats().createdMs, wal.recovery.createdMs], [null, null]);
  wal.close();
});

test("backup() gives a copy an id of its own, and the log as its origin", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 50);
  wal.flush();
  wal.truncate(20);
  fill(wal, 3); // not durable: no part of the copy
  wal.backup(COPY);
  using copy = WAL.open(COPY, { storage: disk.storage, idleHeaderDelayMs: Infinity });
  assertNotEquals(copy.logId, wal.logId);
  assertEquals(copy.recovery.logId, copy.logId);
  assertEquals(copy.recovery.origin, { logId: wal.logId, lastLsn: 50 });
  assertEquals(wal.recovery.origin, null);
});

test("backup() of a copy has the nearest log as its origin", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 5);
  wal.flush();
  wal.backup(COPY);
  using copy = WAL.open(COPY, { storage: disk.storage });
  fill(copy, 4);
  copy.flush();
  copy.backup("/sim/copy-of-copy");
  using second = WAL.open("/sim/copy-of-copy", { storage: disk.storage });
  assertEquals(second.recovery.origin, { logId: copy.logId, lastLsn: 9 });
});

test("WAL keeps an origin through appends, header writes, crashes and openings", () => {
  const disk = new SimulatedDisk();
  {
    using wal = openOn(disk);
    fill(wal, 5);
    wal.flush();
    wal.backup(COPY);
  }
  const expected = { logId: "", origin: {} as unknown };
  for (let opening = 0; opening < 5; opening++) {
    const copy = WAL.open(COPY, { storage: disk.storage, size: 65536, idleHeaderDelayMs: Infinity });
    if (opening === 0) Object.assign(expected, { logId: copy.logId, origin: copy.recovery.origin });
    assertEquals({ logId: copy.logId, origin: copy.recovery.origin }, expected);
    // Laps of the ring: both header copies are written again and again.
    for (let round = 0; round < 10; round++) {
      copy.truncate(copy.durable);
      fill(copy, 300);
      copy.flush();
    }
    if (opening % 2 === 0) copy.close();
    else disk.crash({ keep: "random" });
  }
  assertEquals(expected.origin, { logId: (expected.origin as { logId: string }).logId, lastLsn: 5 });
});

test("backup() of an empty log shares nothing with it", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  wal.backup(COPY);
  using copy = WAL.open(COPY, { storage: disk.storage });
  assertEquals(copy.recovery.origin, { logId: wal.logId, lastLsn: 0 });
});

test("Salvage gives the new log an id of its own, and the damaged one as its origin", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, 40);
  wal.close();
  disk.damage.flipBit(PATH, 16384 + 30 * 64 + 50, 2);
  using saved = openOn(disk, { recovery: "salvage" });
  assertNotEquals(saved.logId, wal.logId);
  assertEquals(saved.recovery.logId, saved.logId);
  // The lost record keeps its LSN, so the histories part only after the last one.
  assertEquals(saved.recovery.origin, { logId: wal.logId, lastLsn: 40 });
  assert(saved.recovery.losses.length > 0);
});

test("Salvage shares with the damaged log what it keeps, not what it discards at the end", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, 40);
  wal.flush();
  fill(wal, 2); // remembers that LSN 40 was durable
  wal.flush();
  fill(wal, 30);
  disk.crash({ mode: "kill" });
  disk.damage.flipBit(PATH, 16384 + 9 * 64 + 50, 2);
  disk.damage.flipBit(PATH, 16384 + 59 * 64 + 50, 2); // LSN 60, of a group that nothing proves to be acknowledged
  using saved = openOn(disk, { recovery: "salvage" });
  assertEquals([saved.recovery.lastLsn, saved.recovery.origin], [59, { logId: wal.logId, lastLsn: 59 }]);
});

test("docs/format.md makes a reader that finds the public id, the origin and the fork", async () => {
  const disk = new SimulatedDisk();
  const open = (path: string) => WAL.open(path, { storage: disk.storage, size: 65536, idleHeaderDelayMs: Infinity });
  const read = (path: string) => readLineage(disk.image(path));
  const wal = open(PATH);
  assertEquals(read(PATH), { publicId: wal.logId, shared: [] });
  fill(wal, 9);
  wal.flush();
  wal.backup(COPY);
  const copy = open(COPY);
  assertEquals(read(COPY), { publicId: copy.logId, shared: [[wal.logId, 9]] });
  const before = copy.logId;
  // What nobody but a log that went back in time can hear.
  const store = { applyBatch() {}, appliedLsn: () => 20, appliedLog: () => before };
  await assertRejects(() => copy.consumeAsync(store), WALStoreError);
  assertNotEquals(copy.logId, before);
  const expected = { publicId: copy.logId, shared: [[wal.logId, 9], [before, 9]] as const };
  assertEquals(read(COPY), expected);
  copy.close();
  wal.close();
  assertEquals(read(COPY), expected);
});

test("WAL has the same origin on the real disk", () =>
  withTempDir((directory) => {
    using wal = WAL.open(`${directory}/log`, { size: 65536 });
    fill(wal, 7);
    wal.flush();
    wal.backup(`${directory}/copy`);
    using copy = WAL.open(`${directory}/copy`);
    assertEquals(copy.recovery.origin, { logId: wal.logId, lastLsn: 7 });
  }));
