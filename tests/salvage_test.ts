// Fault: rot in acknowledged records, and a cut file (H6, H9). A later recovery misreads what was
//   salvaged (H59).
// Promise: strict recovery refuses and touches nothing. Salvage keeps what can be proved, lists the
//   rest and keeps the damaged file (G5).
// Method: damage each record of small logs with and without batches, and compare what is kept with
//   what was written.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { mappedStorage } from "../ffi/file/mapped_storage.ts";
import { SystemError } from "../ffi/system/system.ts";
import { OpType, WAL, WALCorruptError, WALFormatError, WALIOError } from "../mod.ts";
import { EMPTY_LOG, type FixedFields } from "../src/format/header.ts";
import { LOG_ID_BYTES } from "../src/format/layout.ts";
import { salvage } from "../src/recovery/salvage.ts";
import { SimulatedDisk } from "../testing.ts";
import { sealInFile } from "./support/codec_reference.ts";
import { CAPACITY, fill, items, ListStore, lsns, openOn, PATH, range } from "./support/logs.ts";
import { RingBuilder, sourceOf, torn } from "./support/rings.ts";
import { systemWithMapping } from "./support/region.ts";
import { test } from "./support/test.ts";

/** The header of a damaged log of 64 slots. */
const HEADER: FixedFields = {
  capacity: 64,
  logId: new Uint8Array(LOG_ID_BYTES).fill(0xab),
  created: 0n,
  lineage: { logId: "ab".repeat(LOG_ID_BYTES), origin: null, fork: null },
};

/** A log of 12 records with one damaged record. LSN 5 to 8 are a batch. */
function damagedLog(lsn: number): SimulatedDisk {
  const disk = new SimulatedDisk();
  {
    using wal = openOn(disk);
    fill(wal, 4);
    wal.batchInsertSync(items(5, 4));
    fill(wal, 4);
  }
  disk.damage.flipBit(PATH, 16384 + (lsn - 1) * 64 + 50, 2);
  return disk;
}

for (let lsn = 1; lsn <= 12; lsn++) {
  test(`salvage() of a log whose LSN ${lsn} is damaged keeps the others, whole batches only`, () => {
    const disk = damagedLog(lsn);
    const damaged = disk.image(PATH);
    assertThrows(() => openOn(disk), WALCorruptError);
    assertEquals([disk.paths(), disk.image(PATH)], [[PATH], damaged]);
    using wal = openOn(disk, { recovery: "salvage" });
    const { losses, damagedFile, clean } = wal.recovery;
    const isInBatch = lsn >= 5 && lsn <= 8;
    const [first, last] = isInBatch ? [5, 8] : [lsn, lsn];
    assertEquals(losses[0]!.firstLsn, first);
    assert(losses.at(-1)!.lastLsn >= last);
    assertEquals(clean, false);
    // A kept record is as it was written. A checkpoint that confirms nothing stands for a lost one.
    const isLost = (n: number) => losses.some(({ firstLsn, lastLsn }) => n >= firstLsn && n <= lastLsn);
    for (const record of wal.replay()) {
      if (isLost(record.lsn)) assertEquals([record.opType, record.valueLow], [OpType.Checkpoint, 0n]);
      else assertEquals([record.opType, record.keyHigh], [OpType.Insert, BigInt(record.lsn)]);
    }
    assertEquals(lsns(wal.replay()), range(1, 12));
    // Intact records are lost only after a damaged record that may have begun their batch.
    for (let n = 1; n <= 12; n++) if (n < first) assert(!isLost(n), `LSN ${n}`);
    assertEquals([...disk.image(damagedFile!)], [...damaged]);
    assert(damagedFile!.startsWith(`${PATH}.damaged-`));
  });
}

/** A long log, closed cleanly, with damage far from either end. */
function longDamagedLog(): SimulatedDisk {
  const disk = new SimulatedDisk();
  {
    using wal = openOn(disk, { size: 2 ** 20 });
    fill(wal, 10_000);
  }
  disk.damage.flipBit(PATH, 16384 + 4999 * 64 + 50, 2);
  return disk;
}

test("WAL finds damage in the middle of a long log when it reads it, and loses nothing until then", () => {
  const disk = longDamagedLog();
  {
    using wal = openOn(disk);
    assertEquals([wal.recovery.clean, wal.length], [true, 10_000]);
    assertEquals(assertThrows(() => wal.replay(), WALCorruptError).firstLsn, 5000);
    assertEquals(lsns(wal.records({ to: 4999 })), range(1, 4999));
    assertEquals(lsns(wal.records({ from: 5001 })), range(5001, 10_000));
    fill(wal, 5);
  }
  using wal = openOn(disk, { recovery: "salvage" });
  // The record after the damaged one may belong to its batch.
  assertEquals(wal.recovery.losses, [{ firstLsn: 5000, lastLsn: 5001, offset: 16384 + 4999 * 64 }]);
  assertEquals(lsns(wal.replay()), range(1, 10_005));
});

test("WAL reports a record of a later version in the middle of a long log as such, and not as damage", () => {
  const disk = new SimulatedDisk();
  {
    using wal = openOn(disk, { size: 2 ** 20 });
    fill(wal, 10_000);
  }
  const image = disk.image(PATH);
  const at = 16384 + 4999 * 64;
  image[at + 4] = 0x40 | 9;
  sealInFile(image, at);
  disk.outsider.writeFile(PATH, image);
  using wal = openOn(disk);
  assertThrows(() => wal.replay(), WALFormatError, "later version");
  assertThrows(
    () => {
      for (const cursor = wal.cursor(); cursor.next(););
    },
    WALFormatError,
    "later version",
  );
  wal.close();
  assertThrows(() => openOn(disk, { verify: true }), WALFormatError, "later version");
});

test("consumeAsync() hands out the records before damage in the middle of a long log, and no more", async () => {
  await using wal = openOn(longDamagedLog());
  const store = new ListStore();
  assertEquals(
    (await assertRejects(() => wal.consumeAsync(store, { batchSize: 100 }), WALCorruptError)).firstLsn,
    5000,
  );
  assertEquals([store.applied, wal.tail <= 5000], [range(1, 4900), true]);
});

test("WAL.open() finds damage in the middle of a long log if it is asked to verify, and after a crash", () => {
  const disk = longDamagedLog();
  assertThrows(() => openOn(disk, { verify: true }), WALCorruptError);
  openOn(disk);
  disk.crash({ keep: "none" });
  assertThrows(() => openOn(disk, { verify: false }), WALCorruptError);
});

test("salvage() makes a good log, which takes appends and opens strictly from then on", () => {
  const disk = damagedLog(3);
  {
    using wal = openOn(disk, { recovery: "salvage" });
    fill(wal, 3);
  }
  using wal = openOn(disk);
  assertEquals([lsns(wal.replay()), wal.recovery.clean, wal.recovery.losses], [range(1, 15), true, []]);
});

test("salvage() keeps what checkpoints after the damage say, so that no later recovery takes it for news", async () => {
  const disk = new SimulatedDisk();
  let wal = openOn(disk);
  fill(wal, 10);
  wal.checkpoint(10);
  disk.damage.flipBit(PATH, 16384 + 2 * 64 + 50, 2);
  disk.crash({ mode: "kill" });
  wal = openOn(disk, { recovery: "salvage" });
  const store = new ListStore();
  store.before = () => {
    throw new Error("not now");
  };
  await assertRejects(() => wal.consumeAsync(store, { name: "late" }), Error, "not now");
  const { position } = wal.stats().consumers[0]!;
  disk.crash({ mode: "kill" });
  wal = openOn(disk);
  assertEquals(wal.stats().consumers[0]!.position, position);
  wal.close();
});

test("salvage() of a good log changes nothing and keeps no copy", () => {
  const disk = new SimulatedDisk();
  {
    using wal = openOn(disk);
    fill(wal, 3);
  }
  using wal = openOn(disk, { recovery: "salvage" });
  assertEquals([wal.recovery.losses, wal.recovery.damagedFile, disk.paths()], [[], null, [PATH]]);
});

test("salvage() of a log that was cut keeps what is left", () => {
  const disk = new SimulatedDisk();
  {
    using wal = openOn(disk);
    fill(wal, 400);
  }
  disk.outsider.truncate(PATH, 32768);
  assertThrows(() => openOn(disk), WALCorruptError, "was cut");
  using wal = openOn(disk, { recovery: "salvage" });
  assertEquals([wal.capacity, wal.size, wal.head], [CAPACITY, 65536, 401]);
  assertEquals(wal.recovery.losses, [{ firstLsn: 257, lastLsn: 400, offset: 32768 }]);
  assertEquals(lsns(wal.records({ to: 256 })), range(1, 256));
});

test("salvage() changes no file that is not a log, or is a log of a later version", () => {
  const disk = new SimulatedDisk();
  disk.outsider.writeFile(PATH, new Uint8Array(65536).fill(7));
  assertThrows(() => openOn(disk, { recovery: "salvage" }), WALFormatError);
  assertEquals(disk.paths(), [PATH]);
});

test("salvage() releases its files when writing fails, and the damaged file is still in its place", () => {
  const disk = damagedLog(3);
  const damaged = disk.image(PATH);
  disk.fail({ call: "write", errno: "ENOSPC" });
  assertThrows(() => openOn(disk, { recovery: "salvage" }));
  assertEquals([disk.openHandles, [...disk.image(PATH)]], [{ descriptors: 0, mappings: 0, locks: 0 }, [...damaged]]);
});

test("salvage() never loses the damaged file, in whatever order names become durable, at any crash", () => {
  const disk = new SimulatedDisk({ directoryOrder: "any" });
  {
    using wal = openOn(disk);
    fill(wal, 20);
  }
  disk.damage.flipBit(PATH, 16384 + 5 * 64 + 50, 2);
  const before = disk.snapshot();
  const damaged = disk.image(PATH).join();
  let crashes = 0;
  for (let step = 1, over = false; !over; step++) {
    for (let subset = 0; subset < 16; subset++) {
      disk.restore(before);
      disk.crashAt(disk.steps + step, "after");
      try {
        openOn(disk, { recovery: "salvage" }).close();
        over = true;
      } catch (error) {
        if (!disk.halted) throw error;
        // Any subset of the names survives, and all bytes do.
        disk.restart({ keep: (piece, index) => piece.kind === "bytes" || (subset >> (index % 4) & 1) === 1 });
        const copies = disk.paths().filter((path) => disk.image(path).join() === damaged);
        assert(copies.length >= 1, `step ${step}, subset ${subset}: ${disk.paths()}\n${disk.describe(12)}`);
        crashes++;
      }
      disk.clearFaults();
    }
  }
  assert(crashes > 300, `${crashes} crashes`);
});

test("salvage() of a log with an unreadable header is WALIOError, and not WALFormatError", () => {
  const disk = new SimulatedDisk();
  {
    using wal = openOn(disk);
    fill(wal, 20);
  }
  const unmapped = systemWithMapping(disk.system, (mapping) => ({
    pageIn(offset, lengthBytes, before) {
      if (before === "load") throw new SystemError("madvise", "EFAULT");
      mapping.pageIn(offset, lengthBytes, before);
    },
  }));
  const system = new Proxy(unmapped, {
    get(target, name) {
      if (name !== "read") return Reflect.get(target, name);
      return (fd: number, bytes: Uint8Array, offset: number) => {
        if (offset < 8192 && bytes.length <= 4096) throw new SystemError("pread", "EIO");
        return target.read(fd, bytes, offset);
      };
    },
  });
  const storage = mappedStorage(() => system);
  for (const recovery of ["strict", "salvage"] as const) {
    assertThrows(() => WAL.open(PATH, { storage, recovery }), WALIOError);
  }
});

// The choice of records, over any log and any damage.

/** A file of these pieces, and zeros. */
function joined(pieces: Iterable<Uint8Array>, sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

test("salvage() of a long log over the end of the ring keeps each record and its time, and gives lost ones the time before them", () => {
  const disk = new SimulatedDisk();
  const capacity = 2 ** 21 / 64 - 256;
  {
    using wal = openOn(disk, { size: 2 ** 21 });
    for (let n = 0; n < 45; n++) {
      disk.clock.advance(1000);
      if (n === 30) wal.truncate(25_000);
      for (let i = 0; i < 1000; i++) wal.logInsertSync(1, wal.head, 2, wal.head);
      wal.flush();
    }
  }
  const lost = [25_001, 26_000, 26_001, capacity, capacity + 1, 44_999];
  for (const lsn of lost) disk.damage.flipBit(PATH, 16384 + ((lsn - 1) % capacity) * 64 + 50, 2);
  const times: (readonly [bigint, number, number])[] = [];
  {
    using intact = openOn(disk, { verify: false });
    for (let lsn = 25_001; lsn <= 45_000; lsn++) {
      times.push(lost.includes(lsn) ? [0n, 0, 0] : [...intact.records({ from: lsn, to: lsn })][0]!.time);
    }
    disk.crash({ mode: "kill" });
  }
  using wal = openOn(disk, { recovery: "salvage" });
  const gone = new Set(wal.recovery.losses.flatMap(({ firstLsn, lastLsn }) => range(firstLsn, lastLsn)));
  assert(lost.every((lsn) => gone.has(lsn)) && gone.size <= 2 * lost.length, [...gone].join());
  let before: readonly [bigint, number, number] = [0n, 0, 0];
  for (const [i, { lsn, opType, keyLow, valueLow, time }] of wal.replay().entries()) {
    assertEquals(lsn, 25_001 + i);
    if (!gone.has(lsn)) before = times[i]!;
    if (!gone.has(lsn)) assertEquals([opType, keyLow, valueLow], [OpType.Insert, BigInt(lsn), BigInt(lsn)]);
    else assertEquals([opType, keyLow, valueLow], [OpType.Checkpoint, 0n, 0n]);
    assertEquals(time, before, `LSN ${lsn}`);
  }
});

test("salvage() makes no valid record of one that is damaged after it was verified", () => {
  const ring = new RingBuilder(64).records(1, 9);
  const slots = ring.build();
  const source = sourceOf(slots);
  const { pieces } = salvage(source, slots, { header: HEADER, state: EMPTY_LOG, proved: 9, overwritten: null });
  slots.words[16384 / 4 + 4 * 16 + 9]! ^= 1;
  const disk = new SimulatedDisk();
  disk.outsider.writeFile(PATH, joined(pieces(), 16384 + 64 * 64));
  assertEquals(assertThrows(() => WAL.open(PATH, { storage: disk.storage }), WALCorruptError).losses, [
    { firstLsn: 5, lastLsn: 5, offset: 16384 + 4 * 64 },
  ]);
});

const batches = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 8 });

test("salvage() keeps batches whole or not at all, invents nothing, and loses no single record that is intact", () => {
  fc.assert(
    fc.property(batches, fc.uniqueArray(fc.nat(39), { maxLength: 6 }), fc.nat(40), (sizes, broken, provedAt) => {
      const ring = new RingBuilder(64);
      const batchOf: number[] = [0];
      let durable = 0;
      sizes.forEach((size, batch) => {
        for (let i = 0; i < size; i++) {
          const lsn = batchOf.length;
          batchOf.push(batch);
          ring.record({ lsn, flags: i === size - 1 ? 0 : 1, distance: lsn - durable, keyHigh: 5n });
        }
        durable = batchOf.length - 1;
      });
      const last = batchOf.length - 1;
      const damaged = new Set(broken.map((n) => n + 1).filter((lsn) => lsn <= last));
      for (const lsn of damaged) ring.put(lsn, torn({ lsn }));
      const proved = Math.min(provedAt, last);
      const slots = ring.build();
      const source = sourceOf(slots);
      const request = { header: HEADER, state: EMPTY_LOG, proved, overwritten: null };
      const { pieces, head, losses } = salvage(source, slots, request);
      assert(head > proved && head <= last + 1);
      const disk = new SimulatedDisk();
      disk.outsider.writeFile(PATH, joined(pieces(), 16384 + 64 * 64));
      using wal = WAL.open(PATH, { storage: disk.storage, idleHeaderDelayMs: Infinity });
      const lost = new Set(losses.flatMap(({ firstLsn, lastLsn }) => range(firstLsn, lastLsn)));
      const kept = wal.replay().filter(({ lsn }) => !lost.has(lsn));
      assertEquals(wal.head, head);
      assertEquals(wal.recovery.origin, { logId: "ab".repeat(16), lastLsn: head - 1 });
      for (const { keyHigh, keyLow, lsn } of kept) assertEquals([keyHigh, keyLow], [5n, BigInt(lsn)]);
      const keptLsns = new Set(lsns(kept));
      const ofBatch = (batch: number) => range(1, last).filter((lsn) => batchOf[lsn] === batch);
      sizes.forEach((_size, batch) => {
        const members = ofBatch(batch);
        const count = members.filter((lsn) => keptLsns.has(lsn)).length;
        assert(count === 0 || count === members.length, `batch ${members}`);
        // Each record remembers that the batch before it was durable, so no intact batch is in
        // doubt.
        const isIntact = members.every((lsn) => !damaged.has(lsn));
        if (isIntact && members.at(-1)! <= proved) assertEquals(count, members.length, `batch ${members} is intact`);
      });
    }),
  );
});

test("salvage() keeps each damaged file, also of two salvages in one millisecond", () => {
  const disk = damagedLog(2);
  openOn(disk, { recovery: "salvage" }).close();
  disk.damage.flipBit(PATH, 16384 + 3 * 64 + 50, 2);
  using wal = openOn(disk, { recovery: "salvage" });
  assertEquals(disk.paths().length, 3);
  assert(disk.paths().includes(wal.recovery.damagedFile!));
});
