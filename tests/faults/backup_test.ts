// Fault: a log is copied while it is written, by backup() or by a program that reads it piece by
//   piece, so that old and new blocks mix (H34). A copy ends at an LSN within a batch (H7), or
//   before what a store has (H38).
// Promise: backup() makes a good log with everything durable, or all of it up to an LSN, in whole
//   batches. A mixed copy is refused with a typed error, or holds a gapless prefix of what was
//   appended, and never a wrong record (G2, G3, G5). No store gets records of two histories (G11).
// Method: back up between appends and within groups, and up to each LSN; open the copy, and
//   compare. Copy page by page in seeded orders, with appends, wraps and truncations between, and
//   open that copy.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { WAL, WALCorruptError, WALIOError, type WALRecord, WALStoreError } from "../../mod.ts";
import { Random } from "../../testing.ts";
import { append, appendBatch, assertHolds, CAPACITY, LOG, Simulation, turn } from "../support/simulation.ts";
import { isMine } from "../support/share.ts";
import { test } from "../support/test.ts";

const COPY = "/sim/copy";

test("backup() writes everything durable and nothing else, at any moment, also over the end of the ring", () => {
  const simulation = new Simulation({ traceLimit: 20 });
  const { disk } = simulation;
  const wal = simulation.open();
  for (let round = 0; round < 60; round++) {
    append(wal, 9);
    appendBatch(wal, 4);
    if (round % 3 !== 0) wal.flush();
    append(wal, 2);
    const { durable } = wal;
    if (wal.length > CAPACITY - 40) wal.truncate(wal.durable - 100);
    const { tail } = wal;
    assertEquals(wal.backup(COPY), { first: tail, last: durable });
    const copy = WAL.open(COPY, simulation.options);
    assert(copy.recovery.clean);
    assertHolds(copy, tail, durable, `round ${round}`);
    append(copy, 1);
    copy.close();
    disk.outsider.unlink(COPY);
  }
  wal.close();
});

test("backup() through any LSN is what the log had then in whole batches, and goes on from there", async () => {
  for (const how of ["backup", "backupAsync"] as const) {
    for (let seed = 1; seed <= 6; seed++) {
      const random = new Random(seed);
      const simulation = new Simulation({ seed, traceLimit: 20 });
      const { disk } = simulation;
      const wal = simulation.open();
      for (let left = random.between(0, CAPACITY - 5); left > 0; left--) append(wal, 1);
      wal.flush();
      if (wal.length > 0) wal.truncate(wal.head - 1 - random.below(3));
      await turn(); // a header with the new tail may be due
      /** The last LSNs of the batches. */
      const ends = new Set([wal.tail - 1, ...wal.replay().map(({ lsn }) => lsn)]);
      while (wal.length < 60) {
        disk.clock.advance(random.below(3));
        if (random.chance(0.5)) appendBatch(wal, random.between(2, 20));
        else append(wal, 1);
        ends.add(wal.head - 1);
      }
      const { tail } = wal;
      wal.flush();
      const { durable } = wal;
      append(wal, 3);
      const times = new Map(wal.replay().map(({ lsn, time }) => [lsn, time]));
      for (let through = tail; through <= durable + 2; through += random.between(1, 4)) {
        let last = Math.min(through, durable);
        while (!ends.has(last)) last--;
        const where = `${how}, seed ${seed}, through LSN ${through}`;
        assertEquals(await wal[how](COPY, { through }), { first: tail, last }, where);
        const copy = WAL.open(COPY, { ...simulation.options, verify: true });
        assertEquals([copy.recovery.clean, copy.recovery.origin], [true, { logId: wal.logId, lastLsn: last }], where);
        assertHolds(copy, tail, last, where);
        for (const { lsn, time } of copy.replay()) assertEquals(time, times.get(lsn), where);
        append(copy, 1);
        const [before, next] = [copy.replay().at(-2)?.time ?? [0n, 0], copy.replay().at(-1)!.time];
        assert(next[0] > before[0] || (next[0] === before[0] && next[1] > before[1]), where);
        copy.close();
        assertHolds(WAL.open(COPY, simulation.options), tail, last + 1, where);
        disk.outsider.unlink(COPY);
      }
      wal.close();
    }
  }
});

test("backup() through an LSN makes a log that refuses stores which have more, and gives others the rest", async () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  append(wal, 100);
  wal.flush();
  const { logId } = wal;
  for (const applied of [0, 1, 59, 60, 61, 100]) {
    wal.backup(COPY, { through: 60 });
    const copy = WAL.open(COPY, simulation.options);
    append(copy, 100); // past the LSN of each store
    const given: number[] = [];
    const store = {
      appliedLsn: () => applied,
      appliedLog: () => logId,
      applyBatch: (records: readonly WALRecord[]) => void given.push(...records.map(({ lsn }) => lsn)),
    };
    const consuming = copy.consumeAsync(store);
    if (applied > 60) {
      await assertRejects(() => consuming, WALStoreError, "shares only LSN 1 to 60");
      assertEquals([given, copy.tail], [[], 1]);
    } else {
      await copy.whenApplied(160);
      assertEquals(given, Array.from({ length: 160 - applied }, (_, i) => applied + 1 + i));
    }
    copy.close();
    simulation.disk.outsider.unlink(COPY);
  }
  wal.close();
});

for (const how of ["backup", "backupAsync"] as const) {
  test(`${how}() leaves no file or a whole one when power fails at any of its calls`, async () => {
    const simulation = new Simulation({ pieceBytes: 4096, traceLimit: 20 });
    const { disk } = simulation;
    append(simulation.open(), 50);
    simulation.wal!.close();
    const before = disk.snapshot();
    let crashes = 0;
    for (let step = 1, over = false; !over; step++) {
      for (const keep of ["none", "all", "random"] as const) {
        disk.restore(before);
        const wal = simulation.open();
        disk.crashAt(disk.steps + step, step % 2 === 0 ? "during" : "after");
        try {
          await wal[how](COPY);
          over = true;
        } catch (error) {
          if (!disk.halted) throw error;
        }
        if (over) break;
        simulation.crash({ keep });
        if (disk.exists(COPY)) {
          const copy = WAL.open(COPY, simulation.options);
          assertHolds(copy, 1, 50, `step ${step}, ${keep}`);
          copy.close();
        }
        assertHolds(simulation.open(), 1, 50, `step ${step}, ${keep}: the log itself`);
        await simulation.wal![how](`${COPY}2`);
        simulation.bury();
        crashes++;
      }
    }
    assert(crashes > 60, `${crashes} crashes`);
  });
}

test("backup() makes a copy that keeps its records over power loss, and no older record comes back", () => {
  for (let seed = 1; seed <= 150; seed++) {
    if (!isMine(seed)) continue;
    const random = new Random(seed);
    const simulation = new Simulation({ seed, tearChance: 0.3, traceLimit: 20 });
    const { disk } = simulation;
    const wal = simulation.open();
    for (let group = random.between(0, 40); group > 0; group--) {
      if (CAPACITY - wal.length < 60) wal.truncate(wal.durable - random.below(wal.length - 50));
      append(wal, random.below(20));
      appendBatch(wal, random.below(30));
      if (random.chance(0.7)) wal.flush();
    }
    const { first, last } = wal.backup(COPY);
    wal.close();
    let tail = first;
    let acknowledged = last;
    for (let life = 0; life < 3; life++) {
      const copy = new WAL(COPY, simulation.options);
      copy.open();
      simulation.wal = copy;
      assertHolds(copy, copy.tail, copy.head - 1, `seed ${seed}`);
      assert(copy.tail === tail && copy.head > acknowledged, `seed ${seed}: ${copy.tail} to ${copy.head - 1}`);
      if (copy.length > CAPACITY / 2) copy.truncate(copy.durable - random.below(copy.length - 1));
      append(copy, random.below(30));
      appendBatch(copy, random.below(30));
      if (random.chance(0.5)) copy.flush();
      append(copy, random.below(30));
      if (random.chance(0.5)) disk.writeBackSome();
      acknowledged = copy.durable;
      simulation.crash({ keep: "random" });
      const found = WAL.open(COPY, simulation.options);
      // A tail that was moved may not have reached the header.
      assert(found.tail >= tail && found.tail <= copy.tail, `seed ${seed}: tail ${found.tail}`);
      tail = found.tail;
      found.close();
    }
  }
});

test("WAL.open() refuses a damaged copy, or salvages all of it except the damaged batch", () => {
  for (let lsn = 1; lsn <= 60; lsn += 7) {
    const simulation = new Simulation();
    const wal = simulation.open();
    for (let n = 0; n < 20; n++) {
      appendBatch(wal, 3);
      wal.flush();
    }
    wal.backup(COPY);
    wal.close();
    simulation.disk.damage.flipBit(COPY, 16384 + (lsn - 1) * 64 + 50, 2);
    assertThrows(() => WAL.open(COPY, simulation.options), WALCorruptError);
    const copy = WAL.open(COPY, { ...simulation.options, recovery: "salvage" });
    const start = lsn - (lsn - 1) % 3;
    assertEquals(copy.recovery.losses, [{ firstLsn: start, lastLsn: start + 2, offset: 16384 + (start - 1) * 64 }]);
    copy.close();
  }
});

test("backup() does not overwrite a file", () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  append(wal, 5);
  wal.flush();
  wal.backup(COPY);
  const before = simulation.disk.image(COPY);
  append(wal, 5);
  wal.flush();
  assertThrows(() => wal.backup(COPY), WALIOError);
  assertThrows(() => wal.backup(LOG), WALIOError);
  assertEquals(simulation.disk.image(COPY), before);
  wal.close();
});

test("WAL refuses a copy that was read while the log was written, or takes a prefix from it; never a wrong record", () => {
  let refused = 0;
  let opened = 0;
  for (let seed = 1; seed <= 120; seed++) {
    if (!isMine(seed)) continue;
    const random = new Random(seed);
    const simulation = new Simulation({ seed, traceLimit: 20 });
    const { disk } = simulation;
    const wal = simulation.open();
    append(wal, random.between(1, CAPACITY));
    wal.flush();
    const copy = disk.image(LOG, "cache");
    const pages = Array.from({ length: copy.length / 4096 }, (_, page) => page);
    if (random.chance(0.5)) pages.reverse();
    for (const page of pages) {
      copy.set(disk.image(LOG, "cache").subarray(page * 4096, (page + 1) * 4096), page * 4096);
      if (!random.chance(0.6)) continue;
      const room = CAPACITY - wal.length;
      if (room < 100) wal.truncate(Math.max(0, wal.durable - random.below(wal.length)));
      append(wal, Math.min(random.between(1, 99), CAPACITY - wal.length));
      if (random.chance(0.7)) wal.flush();
    }
    wal.flush();
    disk.outsider.writeFile(COPY, copy);
    try {
      const found = WAL.open(COPY, simulation.options);
      assertHolds(found, found.tail, found.head - 1, `seed ${seed}`);
      assert(found.head <= wal.head);
      found.close();
      opened++;
    } catch (error) {
      assert(error instanceof WALCorruptError, `seed ${seed}: ${error}`);
      refused++;
    }
    wal.close();
  }
  assert(refused > 5 && opened > 5, `${refused} refused, ${opened} opened`);
});
