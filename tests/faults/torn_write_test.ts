// Fault: power fails while records are written back: any subset of their pieces reaches the medium,
//   and a record is cut at any byte (H1, H2).
// Promise: all acknowledged records are there, then a prefix of the others, and no part of a record
//   (G1, G2).
// Method: every subset of the 64-byte pieces of eight records, and every cut of the last one, over
//   zeros and over an earlier lap. Then the log goes on, and loses power again.

import { assert, assertEquals } from "@std/assert";
import { everySubset } from "../../testing.ts";
import { append, assertHolds, CAPACITY, LOG, offsetOf, RECORD_BYTES, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

test("WAL recovers the longest prefix whatever subset of eight unsynced records reached the medium", () => {
  const DURABLE = 3;
  const DIRTY = 8;
  const simulation = new Simulation({ pieceBytes: 64 });
  const wal = simulation.open();
  append(wal, DURABLE);
  wal.flush();
  append(wal, DIRTY);
  const before = simulation.disk.snapshot();
  assertEquals(simulation.disk.dirtyPieces(LOG).length, DIRTY);
  let mask = 0;
  for (const keep of everySubset(DIRTY)) {
    simulation.disk.restore(before);
    simulation.bury();
    let kept = 0;
    while ((mask >> kept & 1) === 1) kept++;
    const recovered = simulation.reopen({ keep });
    assertHolds(recovered, 1, DURABLE + kept, `subset ${mask.toString(2)}`);
    const past = mask.toString(2).replaceAll("0", "").length - kept;
    assertEquals(recovered.recovery.phantomsErased, past, `subset ${mask.toString(2)}`);
    append(recovered, 1);
    recovered.flush();
    assertHolds(simulation.reopen({ keep: "none" }), 1, DURABLE + kept + 1, `subset ${mask.toString(2)}, one more`);
    mask++;
  }
  assertEquals(mask, 2 ** DIRTY);
});

for (const [name, laps] of [["over zeros", 0], ["over an earlier lap", 1]] as const) {
  test(`WAL never takes a record that is cut at any byte, ${name}`, () => {
    const simulation = new Simulation({ pieceBytes: 64 });
    const wal = simulation.open();
    for (let lap = 0; lap < laps; lap++) {
      append(wal, CAPACITY);
      wal.flush();
      wal.truncate(wal.durable);
    }
    append(wal, 2);
    wal.flush();
    const last = wal.head;
    append(wal, 1);
    const { disk } = simulation;
    const cached = disk.image(LOG, "cache");
    const medium = disk.image(LOG, "medium");
    const at = offsetOf(last);
    const fresh = cached.slice(at, at + RECORD_BYTES);
    const old = medium.slice(at, at + RECORD_BYTES);
    simulation.crash({ keep: "none" });
    const before = disk.snapshot();
    let cuts = 0;
    for (let cut = 0; cut <= RECORD_BYTES; cut++) {
      for (const side of ["head", "tail"] as const) {
        const bytes = old.slice();
        if (side === "head") bytes.set(fresh.subarray(0, cut), 0);
        else bytes.set(fresh.subarray(cut), cut);
        disk.restore(before);
        disk.damage.overwrite(LOG, at, bytes);
        const whole = bytes.every((byte, i) => byte === fresh[i]);
        const recovered = simulation.open();
        assertEquals(recovered.head - 1, whole ? last : last - 1, `${side} cut at ${cut}`);
        append(recovered, 1);
        recovered.flush();
        assertHolds(simulation.reopen({ keep: "none" }), laps * CAPACITY + 1, whole ? last + 1 : last);
        cuts++;
      }
    }
    assert(cuts === 2 * (RECORD_BYTES + 1));
  });
}

test("WAL recovers a prefix whatever sectors or pages of a group across page borders reached the medium", () => {
  for (const pieceBytes of [512, 4096] as const) {
    const simulation = new Simulation({ pieceBytes });
    const wal = simulation.open();
    append(wal, 60);
    wal.flush();
    // 60 records are durable in the ring's first page. These begin in that page and end in the
    // third.
    append(wal, pieceBytes === 512 ? 60 : 140);
    const before = simulation.disk.snapshot();
    const pieces = simulation.disk.dirtyPieces(LOG).length;
    assert(pieces > 2 && pieces <= 12, `${pieces} pieces`);
    for (const keep of everySubset(pieces)) {
      simulation.disk.restore(before);
      simulation.bury();
      const recovered = simulation.reopen({ keep });
      const last = recovered.head - 1;
      assert(last >= 60);
      assertHolds(recovered, 1, last);
      assertHolds(simulation.reopen({ keep: "none" }), 1, last, "recovered twice");
    }
  }
});
