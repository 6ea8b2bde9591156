// Fault: power fails after slots were freed and written again, and before or while the header with the new tail is written (H29).
// Promise: a slot is not written before a header with a tail past it is durable, so that what the old tail names is there (G1, G2, G11).
// Method: fill the ring, let go of a part and write over it, by each way to free; crash at each call with the header lost, the data kept,
//   and every mixture that is seeded; then damage the newer header copy.

import { assert, assertEquals } from "@std/assert";
import type { WAL } from "../../mod.ts";
import type { Keep } from "../../testing.ts";
import { append, assertHolds, CAPACITY, HEADER_BYTES, LOG, Simulation } from "../support/simulation.ts";
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

test("WAL finds its tail again when the newer header copy is lost after its slots were used again", () => {
  const simulation = new Simulation();
  const { disk } = simulation;
  const wal = simulation.open();
  append(wal, CAPACITY);
  wal.flush();
  const counterAt = 40;
  wal.truncate(FREED);
  append(wal, 60);
  wal.flush();
  simulation.crash({ keep: "none" });
  const view = new DataView(disk.image(LOG).buffer);
  const newer = view.getUint32(counterAt, true) > view.getUint32(HEADER_BYTES + counterAt, true) ? 0 : 1;
  disk.damage.wipeSectors(LOG, newer * HEADER_BYTES / 512, 8);
  const recovered = simulation.open();
  assertEquals(recovered.head - 1, CAPACITY + 60);
  assertHolds(recovered, 61, CAPACITY + 60);
});
