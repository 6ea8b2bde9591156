// Fault: a log is copied while it is written, by backup() or by a program that reads it piece by
//   piece, so that old and new blocks mix (H34).
// Promise: backup() makes a good log with everything durable. A mixed copy is refused with a typed
//   error, or holds a gapless prefix of what was appended, and never a wrong record (G2, G5).
// Method: back up between appends and within groups, open the copy, and compare. Copy page by page
//   in seeded orders, with appends, wraps and truncations between, and open that copy.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { WAL, WALCorruptError, WALIOError } from "../../mod.ts";
import { Random } from "../../testing.ts";
import { append, appendBatch, assertHolds, CAPACITY, LOG, Simulation } from "../support/simulation.ts";
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
