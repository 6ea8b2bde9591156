// Fault: power fails with a hole in the unsynced tail, recovery cuts there, the log goes on, and
//   power fails again (H4, H5).
// Promise: what the first recovery discarded never comes back, and what was acknowledged after it
//   is found (G1, G4).
// Method: every subset of six records beyond the durable ones, in pieces of 64 bytes and by sector.
//   Recover, append up to each place before an old record, crash again with everything or nothing
//   kept, and recover. Crash within the first recovery at each of its calls.

import { assert, assertEquals } from "@std/assert";
import { everySubset, SimulatedCrash } from "../../testing.ts";
import type { WAL } from "../../mod.ts";
import { append, LOG, Simulation } from "../support/simulation.ts";
import { isMine, roundsOf } from "../support/share.ts";
import { test } from "../support/test.ts";

const DURABLE = 3;
/**
 * Pieces of the medium, durable records, records that are not durable, and how many the next life
 * writes.
 */
const CASES = [
  [64, 3, 6, [1, 2, 3, 4, 5]],
  [512, 3, 40, [1, 5, 8, 13, 16, 21]],
  // Over a page border: what the next life syncs is another page than the one with the phantoms.
  [512, 40, 60, [8, 16, 24, 25]],
] as const;
/** What the second life writes, so that it cannot be taken for the first life's. */
const SECOND = 1000;

function assertLives(wal: WAL, first: number, atLeast: number, where: string): void {
  const keys = wal.replay().map(({ keyHigh }) => Number(keyHigh));
  const old = keys.filter((key) => key === 1).length;
  assertEquals(keys, [...Array(old).fill(1), ...Array(keys.length - old).fill(SECOND)], where);
  assertEquals(old, first, `${where}: records of the first life`);
  assert(
    keys.length - old >= atLeast,
    `${where}: ${keys.length - old} of ${atLeast} acknowledged records of the second life`,
  );
}

for (const [pieceBytes, durable, dirty, counts] of CASES) {
  test(`WAL does not bring back records after a hole after appending before them, ${dirty} in pieces of ${pieceBytes}`, () => {
    const simulation = new Simulation({ pieceBytes });
    const wal = simulation.open();
    append(wal, durable);
    wal.flush();
    append(wal, dirty);
    const { disk } = simulation;
    const before = disk.snapshot();
    const pieces = disk.dirtyPieces(LOG).length;
    let phantoms = 0;
    for (const [mask, keep] of [...everySubset(pieces)].entries()) {
      if (!isMine(mask)) continue;
      for (const more of counts) {
        for (const second of ["none", "all"] as const) {
          const where = `subset ${mask.toString(2)}, ${more} more, then ${second} kept`;
          disk.restore(before);
          simulation.bury();
          const recovered = simulation.reopen({ keep });
          const found = recovered.head - 1;
          phantoms += recovered.recovery.phantomsErased;
          for (let i = 0; i < more; i++) recovered.logInsertSync(SECOND, i, 0, 0);
          recovered.flush();
          recovered.logInsertSync(SECOND, more, 0, 0);
          const again = simulation.reopen({ keep: second });
          assertLives(again, found, more, where);
          simulation.bury();
        }
      }
    }
    assert(phantoms > roundsOf(100), `${phantoms} phantoms`);
  });
}

test("WAL does not bring back what a recovery discarded when that recovery crashes at any of its calls", () => {
  const simulation = new Simulation({ pieceBytes: 64 });
  const { disk } = simulation;
  const wal = simulation.open();
  append(wal, DURABLE);
  wal.flush();
  append(wal, 6);
  // The fourth is lost; the fifth to the ninth are phantoms.
  simulation.crash({ keep: (_piece, index) => index !== 0 });
  const before = disk.snapshot();
  let crashes = 0;
  for (let step = 1, over = false; !over; step++) {
    for (const when of ["before", "during", "after"] as const) {
      for (const keep of ["none", "all", "random"] as const) {
        disk.restore(before);
        disk.crashAt(disk.steps + step, when);
        try {
          simulation.open();
          disk.clearFaults();
          over = true;
        } catch (error) {
          assert(error instanceof SimulatedCrash || disk.halted, String(error));
          disk.restart({ keep });
          crashes++;
          simulation.open();
        }
        const recovered = simulation.wal!;
        assertEquals(recovered.head - 1, DURABLE, `step ${step} ${when}`);
        recovered.logInsertSync(SECOND, 0, 0, 0);
        recovered.flush();
        const again = simulation.reopen({ keep: "all" });
        assertLives(again, DURABLE, 1, `step ${step} ${when}, ${keep} kept`);
        assertEquals(again.head - 1, DURABLE + 1, `step ${step} ${when}, ${keep} kept`);
        simulation.bury();
      }
    }
  }
  assert(crashes > 100, `${crashes} crashes`);
});

test("WAL finds what was acknowledged after a recovery that cut, over five crashes in a row", () => {
  const simulation = new Simulation({ pieceBytes: 64 });
  let wal = simulation.open();
  let acknowledged = 0;
  for (let life = 1; life <= 5; life++) {
    append(wal, 2);
    wal.flush();
    acknowledged = wal.durable;
    append(wal, 5);
    wal = simulation.reopen({ keep: (_piece, index) => index % 2 === life % 2 });
    assert(
      wal.head > acknowledged,
      `life ${life}: LSN ${acknowledged} was acknowledged, the log ends at ${wal.head - 1}`,
    );
  }
  wal.close();
});
