// Fault: a slot still holds a whole record of an earlier lap, where the log ends or a later record
//   was lost, or a record of another log (H3, H33).
// Promise: no record of an earlier lap or of another log is ever taken for a later one (G2).
// Method: go round the ring more than three times, a few records at a time. Lose power at each
//   place, with everything unsynced lost, kept, or kept in part. Then put a stale sector in the
//   place of each new one.

import { assert, assertEquals } from "@std/assert";
import { WALCorruptError } from "../../mod.ts";
import { Random } from "../../testing.ts";
import { append, assertHolds, CAPACITY, LOG, offsetOf, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

test("WAL ends where it ended in every slot of three laps, whatever stale records follow", () => {
  const simulation = new Simulation({ pieceBytes: 64 });
  const random = new Random(1);
  let wal = simulation.open();
  let durable = 0;
  let lives = 0;
  while (wal.head < 3 * CAPACITY + 20) {
    append(wal, random.between(1, 3));
    wal.flush();
    durable = wal.durable;
    append(wal, random.below(3));
    const { tail } = wal;
    const keep = random.pick(["none", "all", "random"] as const);
    wal = simulation.reopen({ keep });
    lives++;
    assert(wal.head > durable, `life ${lives}: LSN ${durable} was durable, the log ends at ${wal.head - 1}`);
    // The new tail may be lost with power, which leaves more records, and not fewer.
    assert(wal.tail <= tail, `life ${lives}: the tail was ${tail}, it is ${wal.tail}`);
    assertHolds(wal, wal.tail, wal.head - 1, `life ${lives}`);
    if (wal.length > CAPACITY - 8) wal.truncate(wal.head - random.between(1, CAPACITY / 2));
  }
  assert(lives > CAPACITY / 2, `${lives} lives`);
  wal.close();
});

test("WAL never takes a stale sector for the one that was written over it", () => {
  const RECORDS = 24;
  const simulation = new Simulation({ keepVersions: true });
  const wal = simulation.open();
  append(wal, CAPACITY);
  wal.flush();
  wal.truncate(wal.durable);
  for (let i = 0; i < RECORDS / 4; i++) {
    append(wal, 4);
    wal.flush();
  }
  const { disk } = simulation;
  simulation.crash({ keep: "none" });
  const before = disk.snapshot();
  let refused = 0;
  for (let sector = 0; sector < RECORDS / 8; sector++) {
    for (let back = 1; back <= 8; back++) {
      disk.restore(before);
      if (!disk.damage.staleSector(LOG, offsetOf(1) / 512 + sector, back)) continue;
      try {
        const opened = simulation.open();
        // Only what is in the last sector has no witness outside of it.
        const witnessed = sector === RECORDS / 8 - 1 ? RECORDS - 8 : RECORDS;
        assert(opened.head - 1 >= CAPACITY + witnessed, `sector ${sector}, ${back} back: ends at ${opened.head - 1}`);
        assertHolds(opened, CAPACITY + 1, opened.head - 1);
        simulation.bury();
      } catch (error) {
        assert(error instanceof WALCorruptError, `sector ${sector}, ${back} back: ${error}`);
        refused++;
      }
    }
  }
  assert(refused >= 8, `${refused} refused`);
});

test("WAL never takes a record of another log, in the place and with the LSN of its own", () => {
  const simulation = new Simulation();
  const other = new Simulation();
  for (const { wal } of [{ wal: simulation.open() }, { wal: other.open() }]) {
    append(wal, 5);
    wal.flush();
  }
  append(other.wal!, 10);
  other.wal!.flush();
  simulation.crash({ keep: "none" });
  const foreign = other.disk.image(LOG);
  simulation.disk.damage.overwrite(LOG, offsetOf(6), foreign.slice(offsetOf(6), offsetOf(16)));
  assertHolds(simulation.open(), 1, 5);
  append(simulation.wal!, 1);
  simulation.wal!.flush();
  assertHolds(simulation.reopen({ keep: "none" }), 1, 6);
});

test("WAL takes no record for another in a ring whose slots are rotated by a lap or less", () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  append(wal, CAPACITY);
  wal.flush();
  wal.truncate(300);
  append(wal, 200);
  wal.flush();
  const { disk } = simulation;
  const image = disk.image(LOG, "cache").slice(offsetOf(1));
  simulation.crash({ keep: "none" });
  const before = disk.snapshot();
  for (const by of [1, 8, 64, 200, 299, 300, 301, CAPACITY - 1]) {
    disk.restore(before);
    const rotated = new Uint8Array(image.length);
    rotated.set(image.subarray(0, image.length - by * 64), by * 64);
    rotated.set(image.subarray(image.length - by * 64), 0);
    disk.damage.overwrite(LOG, offsetOf(1), rotated);
    let head = 0;
    try {
      head = simulation.open().head;
    } catch (error) {
      assert(error instanceof WALCorruptError, String(error));
    }
    // No record is in its place: the header alone says what was durable at its last write.
    assertEquals(head === 0 || simulation.wal!.length === 0, true, `rotated by ${by}: ends at ${head - 1}`);
    simulation.bury();
  }
});
