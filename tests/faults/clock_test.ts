// Fault: the wall clock stalls, jumps, goes back, overflows or makes no sense, while the log is
//   open and between two openings (H32). One reading is years ahead (H43).
// Promise: hybrid time never goes backwards within a log. Neither one given time nor one reading of
//   the clock moves all later times into the far future, and a log that is ahead says so (G10).
// Method: a clock that the test controls, with every kind of jump before each record and each
//   opening, after clean closes and after crashes of both kinds.

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { WAL, type WALOptions } from "../../mod.ts";
import { Random } from "../../testing.ts";
import { LOG, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

function assertAscends(wal: WAL, where: string): void {
  let before: readonly [bigint, number, number] = [0n, -1, 0];
  for (const { lsn, time } of wal.replay()) {
    const later = time[0] > before[0] || (time[0] === before[0] && time[1] > before[1]);
    assert(later, `${where}: LSN ${lsn} at ${time}, the one before at ${before}`);
    before = time;
  }
}

/** As `assertAscends()`, where equal times were given or stand for lost records. */
function assertNeverDescends(wal: WAL, where: string): void {
  let [nanos, seq] = [0n, 0];
  for (const { lsn, time } of wal.replay()) {
    const isBefore = time[0] < nanos || (time[0] === nanos && time[1] < seq);
    assert(!isBefore, `${where}: LSN ${lsn} at ${time}, the one before at ${nanos},${seq}`);
    [nanos, seq] = time;
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

test("WAL's time goes on after everything was released: the header remembers it", () => {
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

test("salvage() of a log goes on after the last record that it keeps, also after the damage", () => {
  for (const back of [0, 5000, 1e12]) {
    const simulation = new Simulation();
    const { clock } = simulation.disk;
    const wal = simulation.open();
    for (let lsn = 1; lsn <= 7; lsn++) wal.logInsertSync(1, lsn, 2, lsn);
    clock.advance(1000);
    wal.logInsertSync(1, 8, 2, 8);
    wal.flush();
    wal.logInsertSync(1, 9, 2, 9); // proves that the records before it were acknowledged
    simulation.crash({ keep: "all" });
    simulation.disk.damage.flipBit(LOG, 16384 + 64 + 50, 2);
    clock.stall();
    clock.advance(-1000 - back);
    const salvaged = simulation.open({ recovery: "salvage" });
    assert(salvaged.recovery.losses.length > 0);
    salvaged.logInsertSync(1, 10, 2, 10);
    salvaged.close();
    assertNeverDescends(simulation.open(), `${back} ms back`);
    simulation.wal!.close();
  }
});

/** A random history of a log, whose time must not go back at any point. */
function liveThrough(seed: number): void {
  const random = new Random(seed);
  const simulation = new Simulation({ seed }, { maxClockDriftMs: Infinity });
  const { disk } = simulation;
  let wal = simulation.open();
  let copies = 0;
  const steps: (() => void)[] = [
    () => wal.logInsertSync(1, 1, 2, 2),
    () => void wal.batchInsertSync(Array.from({ length: random.between(1, 5) }, () => [1, 1, 2, 2] as const)),
    () => {
      wal.logInsertSync(1, 1, 2, 2);
      const [nanos, seq] = wal.replay().at(-1)!.time;
      const [later, laterSeq] = random.pick([[0n, seq], [0n, 2 ** 32 - 1], [1n, 0], [10n ** 12n, 7]] as const);
      wal.logInsertSync(1, 1, 2, 2, [nanos + later, laterSeq, random.below(3)]);
    },
    () => disk.clock.advance(random.pick([-1e10, -1000, -1, 1, 1000, 1e8])),
    () => disk.clock.set(random.pick([NaN, 0, disk.clock.timeMs])),
    () => wal.flush(),
    () => {
      wal.flush();
      wal.truncate(wal.head - 1 - random.below(wal.length + 1));
    },
    () => {
      wal.close();
      wal = simulation.open();
    },
    () => wal = simulation.reopen(random.chance(0.5) ? { mode: "kill" } : { keep: random.pick(["none", "all"]) }),
    () => {
      simulation.crash({ keep: "all" });
      for (let n = random.between(1, 3); n > 0; n--) disk.damage.flipBit(LOG, 16384 + random.below(40) * 64 + 50, 2);
      wal = simulation.open({ recovery: "salvage" });
    },
    () => {
      const copy = `/sim/copy${copies++}`;
      wal.backup(copy);
      wal.close();
      disk.outsider.rename(copy, LOG);
      wal = simulation.open();
    },
  ];
  for (let step = 0; step < 40; step++) {
    // An append after each step would meet a clock that has gone back.
    random.pick(steps)();
    if (random.chance(0.5)) wal.logInsertSync(1, 1, 2, 2);
    assertNeverDescends(wal, `seed ${seed}, step ${step}`);
  }
  wal.close();
}

test("WAL's time never goes back in random histories of clocks, given times, crashes, salvage and backups", () => {
  for (let seed = 1; seed <= 150; seed++) liveThrough(seed);
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

const DAY_MS = 86_400_000;
const IN_2026 = Date.UTC(2026, 5, 1);
const IN_2101 = Date.UTC(2101, 0, 1);

/** Milliseconds of the newest record's time. */
function newestMs(wal: WAL): number {
  return Number(Array.from(wal.records({ from: wal.head - 1 })).at(-1)!.time[0] / 1_000_000n);
}

/** What the log warns of its clock. */
function clockWarnings(wal: WAL): string[] {
  return wal.stats().warnings.filter((warning) => /clock/.test(warning));
}

/** A log whose wall clock says what it is told to, in memory or on a simulated disk. */
function* logsWithClock(options: WALOptions = {}): Generator<{ wal: WAL; set: (ms: number) => void; where: string }> {
  for (const where of ["memory", "disk"]) {
    let ms = IN_2026;
    const now = () => ms;
    const storage = where === "disk" ? { storage: new Simulation().disk.storage } : {};
    const path = where === "disk" ? LOG : null;
    const wal = WAL.open(path, { size: 65536, idleHeaderDelayMs: Infinity, ...options, ...storage, now });
    yield { wal, set: (to) => void (ms = to), where };
    wal.close();
  }
}

test("WAL is left in no other century by one wrong clock, however many records meet it", async () => {
  for (const { wal, set, where } of logsWithClock()) {
    wal.logInsertSync(1, 1, 2, 2);
    set(IN_2101);
    await null;
    wal.logInsertSync(1, 1, 2, 2);
    await wal.logInsert(1, 1, 2, 2);
    for (let turn = 0; turn < 20; turn++) {
      await wal.batchInsert([[1, 1, 2, 2], [1, 1, 2, 2]]);
      wal.logDeleteSync(1, 1);
    }
    wal.checkpoint();
    assertEquals(newestMs(wal), IN_2026, where);
    const [warning, ...others] = clockWarnings(wal);
    assertMatch(warning!, /^The clock has jumped ahead by 23\d{11} ms, which no other clock confirms/);
    assertEquals(others, []);
    set(IN_2026 + 1000);
    await null; // each turn asks for the time
    await wal.logInsert(1, 1, 2, 2);
    assertEquals([newestMs(wal), clockWarnings(wal)], [IN_2026 + 1000, []], where);
    assertAscends(wal, where);
  }
});

test("stats() says by how much the log's time is ahead of the clock, in each opening, until the clock gets there", () => {
  const wrongs: readonly [how: string, open: (simulation: Simulation) => void][] = [
    ["the first reading", (simulation) => {
      simulation.disk.clock.set(IN_2101);
      const wal = simulation.open();
      wal.logInsertSync(1, 1, 2, 2);
      wal.flush();
    }],
    ["any reading, without a limit", (simulation) => {
      simulation.disk.clock.set(IN_2026);
      const wal = simulation.open({ maxClockDriftMs: Infinity });
      simulation.disk.clock.set(IN_2101);
      wal.logInsertSync(1, 1, 2, 2);
      wal.flush();
    }],
    ["a given time, without a limit", (simulation) => {
      simulation.disk.clock.set(IN_2026);
      const wal = simulation.open({ maxClockDriftMs: Infinity });
      wal.logInsertSync(1, 1, 2, 2, [BigInt(IN_2101) * 1_000_000n, 0, 0]);
      wal.flush();
    }],
  ];
  for (const [how, open] of wrongs) {
    for (const end of ["close", "kill", "power"] as const) {
      const simulation = new Simulation();
      const { clock } = simulation.disk;
      clock.stall();
      open(simulation);
      clock.set(IN_2026);
      const ahead = (ms: number) => {
        const warning = `The log's time, 2101-01-01T00:00:00.000Z, is ${ms} ms ahead of the clock`;
        return (warnings: string[]) => {
          assertEquals(warnings.length, 1, `${how}, ${end}`);
          assert(warnings[0]!.startsWith(warning), warnings[0]);
        };
      };
      ahead(IN_2101 - IN_2026)(clockWarnings(simulation.wal!));
      let wal: WAL;
      if (end === "close") {
        simulation.wal!.close();
        wal = simulation.open();
      } else wal = simulation.reopen(end === "kill" ? { mode: "kill" } : { keep: "none" });
      ahead(IN_2101 - IN_2026)(clockWarnings(wal));
      wal.logInsertSync(1, 1, 2, 2);
      assertEquals(newestMs(wal), IN_2101);
      assertAscends(wal, how);
      wal.close();
      // A minute is no more than clocks may be apart.
      clock.set(IN_2101 - 60_001);
      wal = simulation.open();
      ahead(60_001)(clockWarnings(wal));
      wal.close();
      clock.set(IN_2101 - 60_000);
      wal = simulation.open();
      assertEquals(clockWarnings(wal), []);
      wal.close();
    }
  }
});

test("WAL.open() of a log that was closed for a week, or longer, takes the clock's time", () => {
  for (const end of ["close", "kill"] as const) {
    const simulation = new Simulation();
    let wal = simulation.open();
    wal.logInsertSync(1, 1, 2, 2);
    wal.flush();
    for (const [days, isSame] of [[7, false], [10_000, false], [7, true]] as const) {
      if (isSame || end === "close") wal.close();
      else simulation.crash({ mode: "kill" });
      simulation.disk.clock.advance(days * DAY_MS);
      const { timeMs } = simulation.disk.clock;
      if (isSame) wal.open();
      else wal = simulation.open();
      wal.logInsertSync(1, 1, 2, 2);
      assert(newestMs(wal) >= timeMs, `${newestMs(wal)} at ${timeMs}`);
      assertEquals(clockWarnings(wal), []);
    }
    wal.close();
  }
});

test("WAL.open() follows a clock that was set right since the last open(), and at once if the log was there a moment ago", () => {
  for (const [lastMs, follows] of [[IN_2026 - 3_600_000, true], [IN_2026 - 2 * DAY_MS, false]] as const) {
    const simulation = new Simulation();
    const { clock } = simulation.disk;
    clock.set(lastMs);
    let wal = simulation.open();
    wal.logInsertSync(1, 1, 2, 2);
    wal.close();
    clock.set(1000);
    wal = simulation.open();
    clock.set(IN_2026);
    wal.logInsertSync(1, 1, 2, 2);
    assertEquals(newestMs(wal) >= IN_2026, follows);
    assertEquals(clockWarnings(wal).length, follows ? 0 : 1);
    wal.close();
    wal = simulation.open();
    wal.logInsertSync(1, 1, 2, 2);
    assert(newestMs(wal) >= IN_2026);
    assertEquals(clockWarnings(wal), []);
    assertAscends(wal, "set right");
    wal.close();
  }
});

test("maxClockDriftMs is how far the clock is followed, Infinity for any distance", () => {
  for (
    const [maxClockDriftMs, jump, follows] of [[1000, 500, true], [1000, 600_000, false], [0, 600_000, false], [
      Infinity,
      1e12,
      true,
    ]] as const
  ) {
    for (const { wal, set, where } of logsWithClock({ maxClockDriftMs })) {
      wal.logInsertSync(1, 1, 2, 2);
      set(IN_2026 + jump);
      wal.checkpoint();
      assertEquals(newestMs(wal), follows ? IN_2026 + jump : IN_2026, `${where}, ${maxClockDriftMs}`);
      assertEquals(clockWarnings(wal).length, follows ? 0 : 1);
    }
  }
});

test("WAL is not taken along by a clock that jumps by years and back, between records and between openings", () => {
  const random = new Random(43);
  const simulation = new Simulation();
  const { clock } = simulation.disk;
  clock.set(IN_2026);
  let wal = simulation.open();
  for (let i = 0; i < 300; i++) {
    clock.set(random.pick([IN_2026, IN_2026 + i, IN_2101, IN_2101 + i, 0, NaN, 1000]));
    wal.logInsertSync(1, i, 2, i);
    assert(newestMs(wal) < IN_2026 + DAY_MS);
    if (!random.chance(0.1)) continue;
    wal.flush();
    clock.set(random.pick([IN_2026, 1000]));
    if (random.chance(0.5)) wal.close();
    else simulation.crash({ mode: "kill" });
    wal = simulation.open();
  }
  assertEquals(wal.length, 300);
  assertAscends(wal, "jumps");
  wal.close();
});
