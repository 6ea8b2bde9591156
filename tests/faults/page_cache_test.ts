// Fault: the process is killed, or a sync failed, so that the page cache shows what the medium does
//   not have; then power fails (H1, H5, H11).
// Promise: what an opened log shows is durable when open() returns, and acknowledged records never
//   lie after a hole (G1, G2, G6).
// Method: kill with unsynced records, open, and lose power at once with nothing kept, in chains of
//   kills, opens, appends and power cuts. Do it again with pages that a failed sync has marked
//   clean.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Random } from "../../testing.ts";
import { append, assertHolds, CAPACITY, LOG, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

const PIECES = [64, 512, 4096] as const;

test("WAL has made durable what it recovered from the page cache of a killed process when open() returns", () => {
  for (const pieceBytes of PIECES) {
    for (const unsynced of [1, 7, 8, 9, 63, 64, 65, 200]) {
      const simulation = new Simulation({ pieceBytes });
      const wal = simulation.open();
      append(wal, 3);
      wal.flush();
      append(wal, unsynced);
      assertHolds(simulation.reopen({ mode: "kill" }), 1, 3 + unsynced, "after the kill");
      assertHolds(simulation.reopen({ keep: "none" }), 1, 3 + unsynced, `${unsynced} unsynced, then power was lost`);
    }
  }
});

test("WAL has made durable what it recovered from a killed process over the end of the ring", () => {
  const simulation = new Simulation({ pieceBytes: 512 });
  const wal = simulation.open();
  append(wal, CAPACITY - 20);
  wal.flush();
  wal.truncate(wal.durable);
  wal.close();
  wal.open();
  append(wal, 60);
  simulation.reopen({ mode: "kill" });
  assertHolds(simulation.reopen({ keep: "none" }), CAPACITY - 19, CAPACITY + 40);
});

for (const what of ["a kill", "a failed sync"] as const) {
  test(`WAL opens again, with all that was acknowledged, when power fails at any call of the opening after ${what}`, () => {
    crashInOpening(what === "a failed sync");
  });
}

function crashInOpening(afterFailure: boolean): void {
  const simulation = new Simulation({ pieceBytes: 512, dropsCache: !afterFailure, traceLimit: 60 });
  const { disk } = simulation;
  const wal = simulation.open();
  append(wal, 3);
  wal.flush();
  append(wal, 20);
  if (afterFailure) {
    disk.fail({ call: "syncMapped" });
    assertThrows(() => wal.flush());
  }
  simulation.crash({ mode: "kill" });
  const before = disk.snapshot();
  let crashes = 0;
  for (let step = 1, over = false; !over; step++) {
    for (const when of ["before", "during", "after"] as const) {
      for (const keep of ["none", "all", "random"] as const) {
        disk.restore(before);
        disk.crashAt(disk.steps + step, when);
        try {
          simulation.open();
          over = true;
          break;
        } catch (error) {
          if (!disk.halted) throw error;
        }
        disk.restart({ keep });
        const opened = simulation.open();
        assert(opened.head > 3);
        assertHolds(opened, 1, opened.head - 1, `step ${step} ${when}, ${keep} kept`);
        simulation.bury();
        crashes++;
      }
    }
  }
  assert(crashes > 100, `${crashes} crashes`);
}

test("WAL acknowledges nothing after a hole in chains of kills, appends and power cuts", () => {
  let chains = 0;
  for (let seed = 1; seed <= 150; seed++) {
    const random = new Random(seed);
    const simulation = new Simulation({ seed, pieceBytes: random.pick(PIECES), dropsCache: random.chance(0.5) });
    let wal = simulation.open();
    let acknowledged = 0;
    for (let life = 0; life < 8; life++) {
      append(wal, random.between(1, 20));
      if (random.chance(0.5)) {
        wal.flush();
        acknowledged = wal.durable;
      }
      if (random.chance(0.5)) append(wal, random.between(1, 20));
      const mode = random.chance(0.6) ? "kill" : "power";
      wal = simulation.reopen(mode === "kill" ? { mode } : { keep: random.pick(["none", "random"]) });
      const last = wal.head - 1;
      assert(last >= acknowledged, `seed ${seed}, life ${life}: ${acknowledged} was acknowledged, ends at ${last}`);
      assertHolds(wal, 1, last, `seed ${seed}, life ${life}`);
      acknowledged = last;
    }
    chains++;
  }
  assertEquals(chains, 150);
});

test("WAL dirties again what a failed sync has marked clean: nothing recovered is lost with power", () => {
  for (const pieceBytes of PIECES) {
    for (const unsynced of [1, 8, 65, 200]) {
      const simulation = new Simulation({ pieceBytes, dropsCache: false });
      const wal = simulation.open();
      append(wal, 3);
      wal.flush();
      append(wal, unsynced);
      simulation.disk.fail({ call: "syncMapped" });
      try {
        wal.flush();
        throw new RangeError("flush() succeeded");
      } catch (error) {
        assert(error instanceof Error && "code" in error && error.code === "SYNC", String(error));
      }
      assertEquals(simulation.disk.dirtyPieces(LOG).length, 0, "the kernel believes that all is written");
      simulation.bury();
      const opened = simulation.open();
      assertHolds(opened, 1, 3 + unsynced, "still in the page cache");
      assertHolds(
        simulation.reopen({ keep: "none" }),
        1,
        3 + unsynced,
        `${unsynced} unsynced, pieces of ${pieceBytes}`,
      );
    }
  }
});
