// Fault: one header copy is damaged or half written, or both are. The header reaches the medium
//   before the data that it speaks of, or speaks of more than there is (H1, H9, H19).
// Promise: the newest valid copy counts, and one is always whole. If both are bad, the log is
//   refused and the file stays as it is. What the header calls durable was durable before the
//   header was (G1, G5, G12).
// Method: damage every byte of either copy, closed and crashed, and both at once. Crash at each
//   call of a workload that writes headers, with every subset of what was not synced, and read the
//   copies. Keep header pieces only.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { type WAL, WALCorruptError, WALFormatError } from "../../mod.ts";
import { readHeaders } from "../../src/format/header.ts";
import { everySubset } from "../../testing.ts";
import { append, assertHolds, assertRefused, CAPACITY, HEADER_BYTES, LOG, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

const LAST = 6;

function make(state: "closed" | "crashed"): Simulation {
  const simulation = new Simulation({ traceLimit: 50 });
  const wal = simulation.open();
  append(wal, LAST);
  wal.flush();
  if (state === "closed") wal.close();
  else simulation.crash({ keep: "none" });
  return simulation;
}

for (const state of ["closed", "crashed"] as const) {
  test(`WAL opens a ${state} log with any one byte of either header copy damaged, and loses nothing`, () => {
    const simulation = make(state);
    const { disk } = simulation;
    const before = disk.snapshot();
    // The fields, and some of the zeros after them.
    const offsets = [...Array.from({ length: 116 }, (_, i) => i), 200, 2000, 4091, 4092, 4095];
    for (const copy of [0, 1]) {
      for (const offset of offsets) {
        disk.restore(before);
        simulation.bury();
        disk.damage.flipBit(LOG, copy * HEADER_BYTES + offset, offset % 8);
        const wal = simulation.open();
        assert(wal.recovery.headerDamaged, `copy ${copy}, byte ${offset}`);
        assertHolds(wal, 1, LAST, `copy ${copy}, byte ${offset}`);
        append(wal, 1);
        wal.flush();
        assertHolds(simulation.reopen({ keep: "none" }), 1, LAST + 1, `copy ${copy}, byte ${offset}, one more`);
      }
    }
  });

  test(`WAL refuses a ${state} log with both header copies damaged, and leaves the file as it is`, () => {
    const simulation = make(state);
    const { disk } = simulation;
    const before = disk.snapshot();
    for (const offset of [16, 40, 48, 88, 4092]) {
      disk.restore(before);
      for (const copy of [0, 1]) disk.damage.flipBit(LOG, copy * HEADER_BYTES + offset, 1);
      assertEquals(assertRefused(simulation, `byte ${offset} of both copies`).firstLsn, 0);
    }
    for (const offset of [0, 7, 8]) {
      disk.restore(before);
      for (const copy of [0, 1]) disk.damage.flipBit(LOG, copy * HEADER_BYTES + offset, 1);
      assertThrows(() => simulation.open(), WALFormatError);
    }
    disk.restore(before);
    disk.damage.wipeSectors(LOG, 0, 16);
    assertThrows(() => simulation.open(), WALFormatError);
  });
}

/** Calls that write headers. */
function work(wal: WAL): void {
  append(wal, 40);
  wal.flush();
  wal.checkpoint(10);
  wal.truncate(30);
  append(wal, CAPACITY - 41);
  wal.flush();
  append(wal, 4);
  wal.truncate(500);
  append(wal, 60);
  wal.close();
}

test("WAL has a whole header copy on the medium at any call, whatever subset of the unsynced pieces arrived", () => {
  const simulation = new Simulation({ pieceBytes: 512, traceLimit: 50 });
  const { disk } = simulation;
  simulation.open().close();
  const before = disk.snapshot();
  let images = 0;
  for (let step = 1, over = false; !over; step++) {
    for (const when of ["before", "during", "after"] as const) {
      disk.restore(before);
      simulation.bury();
      disk.crashAt(disk.steps + step, when);
      try {
        work(simulation.open());
        over = true;
        break;
      } catch (error) {
        if (!disk.halted) throw error;
      }
      const halted = disk.snapshot();
      disk.restart({ keep: "none" });
      const counters = readHeaders(disk.image(LOG)).copies.map((copy) =>
        typeof copy === "string" ? NaN : copy.writeCounter
      );
      // Each copy is durable before the other is touched, so nothing unsynced is needed for either
      // of the last two.
      if (when !== "during") {
        assertEquals(
          Math.abs(counters[0]! - counters[1]!),
          1,
          `step ${step} ${when}: copies ${counters}\n${disk.describe(30)}`,
        );
      }
      const pieces = disk.dirtyPieces().filter((piece) => piece.kind === "bytes" && piece.offset < 2 * HEADER_BYTES);
      for (const keep of everySubset(Math.min(pieces.length, 8))) {
        disk.restore(halted);
        disk.restart({
          keep: (piece, index) => piece.kind === "bytes" && piece.offset < 2 * HEADER_BYTES && keep(piece, index),
        });
        const { newest } = readHeaders(disk.image(LOG));
        assert(newest !== null, `step ${step} ${when}: no copy is whole\n${disk.describe(30)}`);
        images++;
        // The header has overtaken all data that was not synced. What it speaks of is there all the
        // same.
        const wal = simulation.open();
        assert(
          wal.head - 1 >= newest.durable,
          `step ${step} ${when}: the header says ${newest.durable}, ends at ${wal.head - 1}`,
        );
        wal.replay();
        simulation.bury();
        disk.crash({ keep: "none" });
      }
    }
  }
  assert(images > 100, `${images} images`);
});

test("WAL trusts neither a header that lags nor one that has overtaken the data", () => {
  const simulation = new Simulation({ pieceBytes: 512 });
  const { disk } = simulation;
  const wal = simulation.open();
  append(wal, 10);
  wal.flush();
  // It lags: no header was written since the opening.
  const lagging = readHeaders(disk.image(LOG)).newest!;
  assertEquals(lagging.durable, 0);
  assertHolds(simulation.reopen({ keep: "none" }), 1, 10);
  // It has overtaken: everything but the data arrived.
  const opened = simulation.wal!;
  append(opened, 5);
  const kept = simulation.reopen({ keep: (piece) => piece.kind === "bytes" && piece.offset < 2 * HEADER_BYTES });
  assertHolds(kept, 1, 10);
});

test("WAL refuses a file that was cut below what its header says", () => {
  const simulation = make("closed");
  const { disk } = simulation;
  for (const bytes of [65536 - 64, 32768, 16384 + 64, 16384]) {
    const before = disk.snapshot();
    disk.outsider.truncate(LOG, bytes);
    assertThrows(() => simulation.open(), WALCorruptError, "cut");
    disk.restore(before);
  }
  disk.outsider.truncate(LOG, 8192);
  assertThrows(() => simulation.open(), WALFormatError);
});
