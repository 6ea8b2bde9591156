// Fault: a sync covers less than its group, reports success and writes nothing, or writes elsewhere
//   (H1, H12, H14, H54).
// Promise: each page of a group is on the medium when the group is acknowledged, over the end of
//   the ring too. A sync that lied is noticed as damage once a later record or header proves it,
//   and never leads to a wrong record (G1, G2, G5).
// Method: groups of every length around page borders and the wrap, with power lost and nothing
//   unsynced kept. Each sync of a workload lies in turn, then power is lost.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type WAL, WALCorruptError } from "../../mod.ts";
import { append, assertHolds, CAPACITY, LOG, RECORD_BYTES, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

const PER_PAGE = 4096 / RECORD_BYTES;

for (const flush of ["inline", "offload"] as const) {
  for (const asyncUsesSpare of flush === "inline" ? [false] : [false, true]) {
    const how = `${flush}${asyncUsesSpare ? " through the spare descriptor" : ""}`;

    test(`WAL has every page of a group on the medium when it acknowledges it, ${how}`, async () => {
      for (const start of [0, 1, PER_PAGE - 1, PER_PAGE, CAPACITY - PER_PAGE - 1, CAPACITY - 2]) {
        for (const count of [1, 2, PER_PAGE - 1, PER_PAGE, PER_PAGE + 1, 2 * PER_PAGE + 3, 5 * PER_PAGE]) {
          const simulation = new Simulation({ asyncUsesSpare }, { flush });
          const wal = simulation.open();
          if (start > 0) {
            append(wal, start);
            wal.flush();
            wal.truncate(start);
            wal.close();
            wal.open();
          }
          await Promise.all(Array.from({ length: count }, (_, i) => wal.logInsert(1, start + i + 1, 2, start + i + 1)));
          assertHolds(simulation.reopen({ keep: "none" }), start + 1, start + count, `${count} from slot ${start}`);
        }
      }
    });

    test(`WAL acknowledges only what was stored before its sync was called, ${how}`, async () => {
      const simulation = new Simulation({ asyncUsesSpare, asyncTicks: 6 }, { flush });
      const wal = simulation.open();
      let acknowledged = 0;
      for (let i = 1; i <= 60; i++) {
        const lsn = wal.head;
        wal.logInsert(1, lsn, 2, lsn).then(() => acknowledged = Math.max(acknowledged, lsn), () => {});
        for (let turn = 0; turn < i % 7; turn++) await null;
        const { durable } = wal;
        const promised = Math.max(durable, acknowledged);
        if (i % 5 !== 0) continue;
        const before = simulation.disk.image(LOG, "medium");
        const view = new DataView(before.buffer);
        for (let each = 1; each <= promised; each++) {
          assertEquals(view.getUint32(16384 + (each - 1) * RECORD_BYTES + 8, true), each, `LSN ${each} of ${promised}`);
        }
      }
      await wal.flushAsync();
      assertEquals(wal.durable, 60);
      wal.close();
    });
  }
}

test("WAL acknowledges each half of a cut group only when that half is on the medium, at every crash", async () => {
  // In a ring of 768, groups of more than 96 are cut.
  const writers = 250;
  for (const flush of ["adaptive", "offload"] as const) {
    for (let step = 1, over = false; !over; step += 1) {
      const simulation = new Simulation({ asyncTicks: 200, traceLimit: 40 }, { flush });
      const { disk } = simulation;
      const wal = simulation.open();
      disk.crashAt(disk.steps + step, step % 2 === 0 ? "before" : "after");
      let acknowledged = 0;
      const settled = await Promise.allSettled(Array.from({ length: writers }, async () => {
        for (let round = 0; round < 2; round++) {
          const lsn = wal.head;
          await wal.logInsert(1, lsn, 2, lsn);
          if (!disk.halted) acknowledged = Math.max(acknowledged, lsn);
        }
      }));
      over = !disk.halted;
      disk.clearFaults();
      if (over) assertEquals(settled.filter(({ status }) => status === "rejected").length, 0);
      const recovered = simulation.reopen({ keep: "none" });
      assert(recovered.head > acknowledged, `${flush}, step ${step}: ${acknowledged} was acknowledged`);
      assertHolds(recovered, 1, recovered.head - 1, `${flush}, step ${step}`);
      simulation.bury();
      assert(step < 200, "the workload never ends");
    }
  }
});

/** A few groups, a checkpoint, a truncate. */
async function work(wal: WAL): Promise<void> {
  for (const count of [3, 70, 1]) {
    await Promise.all(Array.from({ length: count }, () => wal.logInsert(1, wal.head, 2, wal.head)));
  }
  wal.truncate(2);
  append(wal, 2);
  wal.flush();
}

test("WAL never returns a wrong record after a sync that lied, and refuses what a witness proves to be lost", async () => {
  for (const effect of ["lost", "misplaced"] as const) {
    let refused = 0;
    for (let nth = 1; nth <= 9; nth++) {
      const simulation = new Simulation({ traceLimit: 40 });
      simulation.open().close();
      const wal = simulation.open();
      simulation.disk.fail({ call: "syncMapped", nth, effect, byBytes: 4096 });
      await work(wal).catch(() => {});
      simulation.crash({ keep: "none" });
      try {
        const recovered = simulation.open();
        assertHolds(recovered, recovered.tail, recovered.head - 1, `${effect}, sync ${nth}`);
        simulation.bury();
      } catch (error) {
        assert(error instanceof WALCorruptError, `${effect}, sync ${nth}: ${error}`);
        refused++;
      }
    }
    assert(refused > 0, `${effect}: never noticed`);
  }
});

test("WAL rejects a group when any sync of its pages fails, and one of the ranges at the wrap is enough", async () => {
  for (const nth of [1, 2]) {
    const simulation = new Simulation();
    const wal = simulation.open();
    append(wal, CAPACITY - 5);
    wal.flush();
    wal.truncate(wal.durable);
    wal.close();
    wal.open();
    const last = wal.durable;
    simulation.disk.fail({ call: "syncMapped", nth });
    await assertRejects(() =>
      wal.batchInsert(Array.from({ length: 10 }, (_, i) => [1, last + 1 + i, 2, last + 1 + i] as const))
    );
    assertEquals(wal.durable, last);
    assertHolds(simulation.reopen({ keep: "none" }), last + 1, last);
  }
});
