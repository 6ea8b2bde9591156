// Fault: the wall clock stalls, jumps, goes back, overflows or talks nonsense, while the log is open and between two openings (H32).
// Promise: hybrid time never goes backwards within a log, whatever the clock says; one given time cannot push all later ones into the far
//   future (G10).
// Method: a clock under the test's control, every kind of jump before each record and each opening, clean and after crashes of both kinds.

import { assert, assertEquals, assertThrows } from "@std/assert";
import type { WAL } from "../../mod.ts";
import { Random } from "../../testing.ts";
import { Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

function assertAscends(wal: WAL, where: string): void {
  let before: readonly [bigint, number, number] = [0n, -1, 0];
  for (const { lsn, time } of wal.replay()) {
    const later = time[0] > before[0] || (time[0] === before[0] && time[1] > before[1]);
    assert(later, `${where}: LSN ${lsn} at ${time}, the one before at ${before}`);
    before = time;
  }
}

const JUMPS = [-1e12, -86_400_000, -1, 0, 1, 86_400_000, NaN, -Infinity];

test("WAL's time ascends from record to record whatever the clock does", () => {
  const simulation = new Simulation();
  const { clock } = simulation.disk;
  const wal = simulation.open();
  const random = new Random(1);
  const start = clock.timeMs;
  for (let i = 0; i < 600; i++) {
    const jump = random.pick(JUMPS);
    if (Number.isFinite(jump)) clock.advance(jump);
    else clock.set(random.pick([jump, start]));
    if (random.chance(0.2)) clock.stall();
    if (random.chance(0.2)) clock.resume();
    wal.logInsertSync(1, i, 2, i);
  }
  assertAscends(wal, "live");
  wal.close();
});

for (const end of ["close", "kill", "power"] as const) {
  test(`WAL's time goes on where it was after ${end === "close" ? "closing" : `a ${end} crash`} and a clock that went back`, () => {
    for (const back of [1, 3_600_000, 1e12]) {
      const simulation = new Simulation();
      const { clock } = simulation.disk;
      let wal = simulation.open();
      for (let life = 0; life < 4; life++) {
        for (let i = 0; i < 20; i++) wal.logInsertSync(1, i, 2, i);
        wal.flush();
        clock.advance(-back);
        if (end === "close") {
          wal.close();
          wal = simulation.open();
        } else wal = simulation.reopen(end === "kill" ? { mode: "kill" } : { keep: "none" });
      }
      assertEquals(wal.length, 80);
      assertAscends(wal, `${back} ms back`);
      wal.close();
    }
  });
}

test("WAL's time goes on after everything was let go of: the header remembers it", () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  wal.logInsertSync(1, 1, 2, 2);
  wal.flush();
  const { time: last } = wal.replay()[0]!;
  wal.truncate(1);
  wal.close();
  simulation.disk.clock.advance(-1e9);
  const opened = simulation.open();
  assertEquals(opened.length, 0);
  opened.logInsertSync(1, 1, 2, 2);
  const { time } = opened.replay()[0]!;
  assert(time[0] > last[0] || (time[0] === last[0] && time[1] > last[1]), `${time} after ${last}`);
  opened.close();
});

test("logInsert() refuses a time before the log's, or too far ahead of the clock, and writes nothing", () => {
  const simulation = new Simulation();
  const { clock } = simulation.disk;
  const wal = simulation.open();
  wal.logInsertSync(1, 1, 2, 2);
  const nanos = BigInt(clock.timeMs) * 1_000_000n;
  assertThrows(() => wal.logInsertSync(1, 1, 2, 2, [nanos - 10n ** 12n, 0, 0]), RangeError);
  assertThrows(() => wal.logInsertSync(1, 1, 2, 2, [nanos + 2n * 86_400_000_000_000n, 0, 0]), RangeError);
  assertThrows(() => wal.logInsertSync(1, 1, 2, 2, [2n ** 64n - 1n, 0, 0]), RangeError);
  assertEquals(wal.head, 2);
  wal.logInsertSync(1, 1, 2, 2, [nanos + 1_000_000_000n, 2 ** 32 - 1, 7]);
  // The counter is used up: it carries into the nanoseconds.
  wal.logInsertSync(1, 1, 2, 2);
  const times = wal.replay().map(({ time }) => time);
  assertEquals(times[1]!.slice(1), [2 ** 32 - 1, 7]);
  assert(times[2]![0] > times[1]![0]);
  assertAscends(wal, "carried");
  wal.close();
});
