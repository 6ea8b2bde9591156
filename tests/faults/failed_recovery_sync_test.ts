// Fault: a sync of recovery itself fails. Memory has what recovery stored, marked clean, but the
//   medium lacks it when power is lost (H5, H9, H11).
// Promise: what a recovery discarded stays discarded, and one good header copy is on the medium at
//   each moment (G4, G6, G12).
// Method: fail each sync of an opening in turn, open again from the page cache, crash there, and
//   open once more.

import { assert, assertEquals } from "@std/assert";
import { WALSyncError } from "../../mod.ts";
import { offsetOf, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

/** LSN of the first record of the ring's second page. */
const BORDER = 65;

/** Phantoms after a record that did not reach the medium: in one page and the next. */
function withPhantoms(seed: number): Simulation {
  const simulation = new Simulation({ seed, dropsCache: false });
  const wal = simulation.open();
  for (let lsn = 1; lsn < BORDER - 1; lsn++) wal.logInsertSync(1, lsn, 0, 0);
  wal.flush();
  for (let i = 0; i < 5; i++) wal.logInsertSync(666, i, 666, 666);
  simulation.crash({ keep: (piece) => "offset" in piece && piece.offset >= offsetOf(BORDER) });
  return simulation;
}

test("WAL erases again what a recovery has erased in memory only, as its sync failed", async () => {
  let failed = 0;
  for (let nth = 1; nth <= 8; nth++) {
    for (const times of [1, 2]) {
      const simulation = withPhantoms(nth);
      const { disk } = simulation;
      for (let time = 0; time < times; time++) {
        disk.fail({ call: "syncMapped", nth, pages: "clean" });
        try {
          simulation.open().close();
        } catch (error) {
          assert(error instanceof WALSyncError, String(error));
          failed++;
        }
        disk.clearFaults();
      }
      const wal = simulation.open();
      assertEquals(wal.head, BORDER - 1);
      await wal.logInsert(2, 2, 2, 2);
      const reopened = simulation.reopen({ keep: "none" });
      const phantoms = reopened.replay().filter(({ keyHigh }) => keyHigh === 666n).length;
      assertEquals([reopened.head, phantoms], [BORDER, 0], `sync ${nth} failed ${times} times`);
      reopened.close();
    }
  }
  assert(failed >= 6, `only ${failed} openings failed`);
});

test("WAL overwrites a header copy only once the other copy is on the medium, whatever the cache says", () => {
  let crashes = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const simulation = new Simulation({ seed, dropsCache: false, tearChance: 0.5 });
    const { disk } = simulation;
    const wal = simulation.open();
    for (let i = 0; i < 200; i++) wal.logInsertSync(1, i, 0, 0);
    wal.flush();
    wal.truncate(150);
    disk.fail({ call: "syncMapped", pages: "clean", when: "during" });
    simulation.bury();
    disk.clearFaults();
    const snapshot = disk.snapshot();
    for (let step = 1, over = false; !over; step++) {
      disk.restore(snapshot);
      disk.crash({ mode: "kill" });
      disk.crashAt(disk.steps + step, "during");
      try {
        simulation.open().close();
      } catch { /* the crash */ }
      over = !disk.halted;
      if (over) break;
      disk.restart({ keep: "random" });
      crashes++;
      const reopened = simulation.open();
      assertEquals(reopened.head, 201, `seed ${seed}, step ${step}`);
      reopened.close();
    }
  }
  assert(crashes >= 40, `only ${crashes} crashes`);
});
