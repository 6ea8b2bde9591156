// Fault: power fails after slots were freed and written again, and before or while the header with
//   the new tail is written (H29).
// Promise: a slot is not written again before both header copies have a tail after it. So with
//   either copy, all records from its tail on are there (G1, G2, G3, G11).
// Method: fill the ring, release records in each way, and write over them. Crash at each call with
//   the header lost, with the data kept, and with seeded mixtures. Damage the newer header copy at
//   each of these crashes.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { type WAL, WALCorruptError } from "../../mod.ts";
import { readHeaders } from "../../src/format/header.ts";
import { HEADER_AT } from "../../src/format/layout.ts";
import type { Keep, SimulatedDisk } from "../../testing.ts";
import {
  append,
  appendBatch,
  assertHolds,
  CAPACITY,
  HEADER_BYTES,
  LOG,
  RING_AT,
  Simulation,
} from "../support/simulation.ts";
import { test } from "../support/test.ts";

const FREED = 100;

const WAYS: Readonly<Record<string, (wal: WAL) => void>> = {
  "truncate() and appends": (wal) => {
    wal.truncate(FREED);
    append(wal, 30);
    wal.flush();
    append(wal, 5);
  },
  "truncate() of a few, again and again": (wal) => {
    for (let i = 1; i <= 6; i++) {
      wal.truncate(i * 3);
      append(wal, 3);
      wal.flush();
    }
  },
  "truncate() and a batch": (wal) => {
    wal.truncate(FREED);
    const first = wal.head;
    wal.batchInsertSync(Array.from({ length: 50 }, (_, i) => [1, first + i, 2, first + i] as const));
    wal.flush();
  },
};

/** A way with batches, so that tails are between batches, and with more laps. */
const WAYS_OF_BATCHES: Readonly<Record<string, (wal: WAL) => void>> = {
  "batches, truncate() in the middle of one": (wal) => {
    for (let i = 0; i < 12; i++) {
      wal.truncate(wal.tail + 100);
      for (let more = 0; more < 30; more++) appendBatch(wal, 3);
      wal.flush();
    }
  },
};

for (const [name, way] of Object.entries(WAYS)) {
  test(`WAL never writes over a slot that the durable header still counts: ${name}`, () => {
    const simulation = new Simulation({ pieceBytes: 64, traceLimit: 60 });
    const { disk } = simulation;
    const wal = simulation.open();
    append(wal, CAPACITY);
    wal.flush();
    wal.close();
    const before = disk.snapshot();
    let crashes = 0;
    for (let step = 1, over = false; !over; step++) {
      for (const when of ["before", "during", "after"] as const) {
        disk.restore(before);
        simulation.bury();
        disk.crashAt(disk.steps + step, when);
        let durable = CAPACITY;
        let opened: WAL | null = null;
        try {
          opened = simulation.open();
          way(opened);
          over = true;
          disk.clearFaults();
        } catch (error) {
          if (!disk.halted) throw error;
        }
        if (opened !== null) durable = Math.max(durable, opened.durable);
        const crashed = disk.snapshot();
        const keeps: readonly Keep[] = [
          "none",
          "all",
          "random",
          (piece) => piece.kind !== "bytes" || piece.offset >= 2 * HEADER_BYTES,
          (piece) => piece.kind !== "bytes" || piece.offset < 2 * HEADER_BYTES,
          // A slot that is torn while it is written over is neither the old record nor the new one.
          () => "torn",
          (_piece, index) => index % 3 === 0 && "torn",
          (_piece, index) => index % 3 !== 0 || "torn",
        ];
        for (const [index, keep] of keeps.entries()) {
          disk.restore(crashed);
          simulation.crash({ keep });
          const recovered = simulation.open();
          const where = `step ${step} ${when}, choice ${index}`;
          assert(recovered.head - 1 >= durable, `${where}: ${durable} was durable, ends at ${recovered.head - 1}`);
          assert(recovered.tail <= FREED + 1, `${where}: the tail is ${recovered.tail}`);
          assertHolds(recovered, recovered.tail, recovered.head - 1, where);
          simulation.bury();
          crashes++;
        }
      }
    }
    assert(crashes > 100, `${crashes} crashes`);
  });
}

/** Loses the copy of the header that counts. */
function wipeNewerCopy(disk: SimulatedDisk): void {
  const image = disk.image(LOG);
  const { newest, newestCopy } = readHeaders(image.slice());
  assert(newest !== null);
  disk.damage.wipeSectors(LOG, HEADER_AT[newestCopy] / 512, HEADER_BYTES / 512);
}

for (const [name, way] of Object.entries({ ...WAYS, ...WAYS_OF_BATCHES })) {
  test(`WAL keeps whole batches and all that was durable when the newer header copy is lost: ${name}`, () => {
    const simulation = new Simulation({ traceLimit: 60 });
    const { disk } = simulation;
    const wal = simulation.open();
    // With batches of 3, a wrong tail would often be inside a batch.
    for (let i = 0; i < CAPACITY; i += 3) appendBatch(wal, 3);
    wal.flush();
    const before = disk.snapshot();
    let crashes = 0;
    for (let step = 1, over = false; !over; step++) {
      disk.restore(before);
      simulation.bury();
      const opened = simulation.open();
      disk.crashAt(disk.steps + step, "after");
      try {
        way(opened);
        over = true;
        disk.clearFaults();
      } catch (error) {
        if (!disk.halted) throw error;
      }
      const { durable, tail } = opened;
      const crashed = disk.snapshot();
      for (const keep of ["none", "all", "random"] as const) {
        disk.restore(crashed);
        simulation.crash({ keep });
        if (readHeaders(disk.image(LOG).slice()).copies.some((copy) => typeof copy === "string")) continue;
        wipeNewerCopy(disk);
        const recovered = simulation.open();
        const where = `step ${step}, ${keep}`;
        assert(recovered.tail <= tail && recovered.head > durable, where);
        assertEquals(recovered.tail % 3, 1, `${where}: the tail ${recovered.tail} is inside a batch`);
        assertHolds(recovered, recovered.tail, recovered.head - 1, where);
        simulation.bury();
        crashes++;
      }
    }
    assert(crashes > 10, `${crashes} crashes`);
  });
}

test("WAL.open() refuses a log whose only header counts records that were overwritten, and salvage lists them", () => {
  const simulation = new Simulation();
  const { disk } = simulation;
  const wal = simulation.open();
  const old = disk.image(LOG).slice(0, 2 * HEADER_BYTES);
  for (let i = 0; i < CAPACITY; i += 3) appendBatch(wal, 3);
  wal.flush();
  wal.truncate(FREED);
  for (let i = 0; i < 20; i++) append(wal, 1);
  wal.flush();
  simulation.crash({ keep: "none" });
  disk.outsider.writeFile(LOG, new Uint8Array([...old, ...disk.image(LOG).slice(2 * HEADER_BYTES)]));
  const refused = assertThrows(() => simulation.open(), WALCorruptError, "LSN 1 ");
  const end = CAPACITY + 20;
  // LSN 21 is the last of its batch, of which 19 and 20 are gone.
  assertEquals(refused.losses[0], { firstLsn: 1, lastLsn: 20, offset: RING_AT });
  const salvaged = simulation.open({ recovery: "salvage" });
  const { losses } = salvaged.recovery;
  assertEquals(losses.map(({ firstLsn, lastLsn }) => [firstLsn, lastLsn]), [[1, 20], [21, 21]]);
  assertEquals([salvaged.tail, salvaged.head - 1], [21, end]);
  const kept = [...salvaged.records({ from: 22 })];
  assertEquals(kept.map(({ keyLow }) => Number(keyLow)), Array.from({ length: end - 21 }, (_, i) => 22 + i));
});
