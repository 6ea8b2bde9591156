// Fault: power fails with a part of a batch on the medium (H7, H56).
// Promise: a batch is recovered whole or not at all, at the head and at the tail, and applyBatch()
//   gets it whole (G3).
// Method: batches of 1 to 6 records, of inserts or of all operations in turn, cut before and after
//   each record, with every subset of the last batch, also over the end of the ring.

import { assert, assertEquals } from "@std/assert";
import { everySubset } from "../../testing.ts";
import type { WALRecord } from "../../mod.ts";
import { appendBatch, appendMixed, assertHolds, CAPACITY, LOG, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

const SIZES = [1, 2, 3, 4, 5, 6];
/** The last LSN of each batch. */
const ENDS = SIZES.map((_, i) => SIZES.slice(0, i + 1).reduce((sum, size) => sum + size, 0));
const TOTAL = ENDS[ENDS.length - 1]!;

for (
  const [start, append, place] of [
    [0, appendBatch, "in the ring"],
    [CAPACITY - 10, appendBatch, "over the end of the ring"],
    [0, appendMixed, "mixed, in the ring"],
    [CAPACITY - 10, appendMixed, "mixed, over the end of the ring"],
  ] as const
) {
  /** Batches that are not synced, after `start` records that were released. */
  const unsynced = () => {
    const simulation = new Simulation({ pieceBytes: 64 });
    const wal = simulation.open();
    if (start > 0) {
      appendBatch(wal, start);
      wal.flush();
      wal.truncate(start);
      wal.close();
      wal.open();
    }
    for (const size of SIZES) append(wal, size);
    return simulation;
  };

  test(`WAL recovers whole batches only, cut at each record, ${place}`, () => {
    const simulation = unsynced();
    const before = simulation.disk.snapshot();
    const inOrder = simulation.disk.dirtyPieces(LOG).map((piece) => piece.kind === "bytes" ? piece.offset : 0);
    assertEquals(inOrder.length, TOTAL);
    const offsetOfRecord = (lsn: number) => 16384 + (start + lsn - 1) % CAPACITY * 64;
    for (let cut = 0; cut <= TOTAL; cut++) {
      simulation.disk.restore(before);
      simulation.bury();
      const kept = new Set(Array.from({ length: cut }, (_, i) => offsetOfRecord(i + 1)));
      const wal = simulation.reopen({ keep: (piece) => piece.kind === "bytes" && kept.has(piece.offset) });
      const whole = ENDS.filter((end) => end <= cut).at(-1) ?? 0;
      assertHolds(wal, start + 1, start + whole, `cut after record ${cut}`);
      // Records that come next must not continue the rest of a batch.
      append(wal, 2);
      wal.flush();
      assertHolds(
        simulation.reopen({ keep: "none" }),
        start + 1,
        start + whole + 2,
        `cut after record ${cut}, two more`,
      );
    }
  });

  test(`WAL recovers the last batch whole or not at all, whatever subset of it arrived, ${place}`, () => {
    const simulation = unsynced();
    const wal = simulation.wal!;
    wal.flush();
    append(wal, 6);
    const before = simulation.disk.snapshot();
    let whole = 0;
    for (const keep of everySubset(6)) {
      simulation.disk.restore(before);
      simulation.bury();
      const last = simulation.reopen({ keep }).head - 1;
      assert(last === start + TOTAL || last === start + TOTAL + 6, `ends at ${last}`);
      if (last > start + TOTAL) whole++;
    }
    assertEquals(whole, 1);
  });
}

test("WAL never completes a batch that was cut with records that are appended after the crash", () => {
  const CUT = 3;
  const simulation = new Simulation({ pieceBytes: 64 });
  const wal = simulation.open();
  appendBatch(wal, 2);
  wal.flush();
  appendBatch(wal, CUT + 1);
  // The last record of the batch is lost.
  const recovered = simulation.reopen({ keep: (_piece, index) => index < CUT });
  assertHolds(recovered, 1, 2);
  for (let i = 0; i < CUT + 2; i++) recovered.logInsertSync(1000, i, 0, 0);
  const before = simulation.disk.snapshot();
  for (const keep of everySubset(CUT + 2)) {
    simulation.disk.restore(before);
    simulation.bury();
    const [, , ...later] = simulation.reopen({ keep }).replay();
    assertEquals(later.map(({ keyHigh, keyLow }) => [keyHigh, keyLow]), later.map((_, i) => [1000n, BigInt(i)]));
  }
});

test("truncate() and the recovered tail never part a batch", () => {
  for (let through = 0; through <= TOTAL; through++) {
    const simulation = new Simulation({ pieceBytes: 64 });
    const wal = simulation.open();
    for (const size of SIZES) (size % 2 === 0 ? appendMixed : appendBatch)(wal, size);
    wal.flush();
    wal.truncate(through);
    const tail = (ENDS.filter((end) => end <= through).at(-1) ?? 0) + 1;
    assertEquals(wal.tail, tail, `truncate(${through})`);
    wal.close();
    assertEquals(simulation.open().tail, tail, `truncate(${through}), reopened`);
  }
});

test("consumeAsync() hands batches to applyBatch() whole, whatever the batch size, before and after a crash", async () => {
  for (let batchSize = 1; batchSize <= 7; batchSize++) {
    const simulation = new Simulation({ pieceBytes: 64 });
    const wal = simulation.open();
    for (const size of SIZES) (size % 2 === 0 ? appendMixed : appendBatch)(wal, size);
    wal.flush();
    simulation.crash({ keep: "none" });
    const opened = simulation.open();
    const stop = new AbortController();
    const runs: number[] = [];
    const nothing = () => {};
    await opened.consumeAsync({
      insert: nothing,
      delete: nothing,
      deleteValue: nothing,
      applyBatch(records: readonly WALRecord[]) {
        runs.push(records.at(-1)!.lsn);
        if (records.at(-1)!.lsn === TOTAL) stop.abort();
      },
    }, { batchSize, signal: stop.signal });
    assert(runs.every((end) => ENDS.includes(end)), `runs end at ${runs}`);
  }
});
