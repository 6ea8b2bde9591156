// Fault: the wall clock stalls, jumps, goes back or says NaN. The log is restarted under an earlier
//   clock (H32). One reading is years ahead (H43).
// Promise: hybrid time never goes backwards within a log, and follows no jump ahead that no other
//   clock confirms (G10).
// Method: a clock that does each of these, by itself and in random sequences.

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { WALAssertionError } from "../src/assert.ts";
import { HybridClock } from "../src/engine/hybrid_clock.ts";
import { WallClock } from "../src/engine/wall_clock.ts";
import { SimulatedClock } from "../testing.ts";
import { test } from "./support/test.ts";

const MAX_U64 = 2n ** 64n - 1n;
const MAX_U32 = 2 ** 32 - 1;

interface Time {
  readonly nanos: bigint;
  readonly seq: number;
}

/** A `WallClock` with a hybrid clock of its own. */
function clockOf(now: () => number, monotonic?: () => number, maxJumpMs?: number): WallClock {
  return new WallClock(new HybridClock(), now, monotonic, maxJumpMs);
}

/** The next time, checked to be after the one before. */
function next(clock: WallClock): Time {
  const { hybrid } = clock;
  const before = { nanos: hybrid.nanos, seq: hybrid.seq };
  clock.readIfDue();
  hybrid.tick();
  const { nanos, seq } = hybrid;
  assert(nanos > before.nanos || (nanos === before.nanos && seq > before.seq), `${nanos}/${seq} after ${before.nanos}`);
  assert(nanos >= 0n && nanos <= MAX_U64 && Number.isInteger(seq) && seq >= 0 && seq <= MAX_U32);
  checkWords(hybrid);
  return { nanos, seq };
}

/** Checks that the halves that records store make up the clock's time. */
function checkWords(clock: HybridClock): void {
  const words = BigInt.asUintN(32, BigInt(clock.nanosHigh)) << 32n | BigInt.asUintN(32, BigInt(clock.nanosLow));
  assertEquals(words, clock.nanos);
}

test("tick() takes the wall clock's time when that is later", () => {
  const wall = new SimulatedClock(5000, 0);
  const clock = clockOf(wall.now);
  assertEquals(next(clock), { nanos: 5_000_000_000n, seq: 0 });
  wall.set(5001.9);
  clock.refresh();
  assertEquals(next(clock), { nanos: 5_001_000_000n, seq: 0 });
});

test("tick() counts on while the wall clock stalls", () => {
  const wall = new SimulatedClock(5000);
  wall.stall();
  const clock = clockOf(wall.now);
  const times = Array.from({ length: 1000 }, () => {
    clock.refresh();
    return next(clock);
  });
  assertEquals(times.at(-1), { nanos: 5_000_000_000n, seq: 999 });
});

test("tick() reads a running wall clock at least every 16 times, also without refresh()", () => {
  const wall = new SimulatedClock(5000, 0);
  const clock = clockOf(wall.now);
  next(clock);
  wall.advance(1);
  for (let i = 0; i < 16; i++) next(clock);
  assertEquals(clock.hybrid.nanos, 5_001_000_000n);
});

test("tick() does not follow the wall clock back", () => {
  const wall = new SimulatedClock(5000, 0);
  const clock = clockOf(wall.now);
  next(clock);
  for (const ms of [4999, 1, 0, -1, -1e15]) {
    wall.set(ms);
    clock.refresh();
    assertEquals(next(clock).nanos, 5_000_000_000n);
  }
  wall.set(5001);
  clock.refresh();
  assertEquals(next(clock), { nanos: 5_001_000_000n, seq: 0 });
});

test("tick() goes on while the wall clock gives nonsense", () => {
  for (const ms of [NaN, Infinity, -Infinity, -5, 0, 1e300, 2 ** 53]) {
    const clock = clockOf(() => ms);
    for (let i = 0; i < 40; i++) next(clock);
    assertEquals(clock.hybrid.nanos, 0n, `${ms}`);
    assertEquals(clock.hybrid.seq, 40);
  }
});

test("tick() refuses a time past 64 bits, and takes the last time that fits", () => {
  const last = Number(MAX_U64 / 1_000_000n);
  const wall = new SimulatedClock(last + 1, 0);
  const clock = clockOf(wall.now);
  assertEquals(next(clock).nanos, 0n);
  const other = clockOf(() => last);
  assertEquals(next(other).nanos, BigInt(last) * 1_000_000n);
});

test("tick() carries a full sequence number into the nanoseconds", () => {
  const clock = clockOf(() => 0);
  clock.hybrid.observe(41n, MAX_U32);
  assertEquals(next(clock), { nanos: 42n, seq: 0 });
  clock.hybrid.observe(2n ** 32n - 1n, MAX_U32);
  assertEquals(next(clock), { nanos: 2n ** 32n, seq: 0 });
});

test("tick() refuses to go on once all times are used up", () => {
  const clock = clockOf(() => 0);
  clock.hybrid.observe(MAX_U64, MAX_U32);
  assertThrows(() => clock.hybrid.tick(), WALAssertionError);
  assertEquals([clock.hybrid.nanos, clock.hybrid.seq], [MAX_U64, MAX_U32]);
});

test("observe() moves the clock ahead and never back", () => {
  const clock = clockOf(() => 0);
  clock.hybrid.observe(7n, 3);
  clock.hybrid.observe(7n, 2);
  clock.hybrid.observe(6n, 9);
  assertEquals([clock.hybrid.nanos, clock.hybrid.seq], [7n, 3]);
  assertEquals(next(clock), { nanos: 7n, seq: 4 });
  clock.hybrid.observe(2n ** 63n + 5n, 0);
  checkWords(clock.hybrid);
  assertEquals(next(clock), { nanos: 2n ** 63n + 5n, seq: 1 });
});

test("isBefore() orders by nanoseconds, then by sequence number", () => {
  const clock = clockOf(() => 0);
  clock.hybrid.observe(7n, 3);
  assertEquals([
    clock.hybrid.isBefore(7n, 4),
    clock.hybrid.isBefore(8n, 0),
    clock.hybrid.isBefore(7n, 3),
    clock.hybrid.isBefore(6n, 9),
  ], [
    true,
    true,
    false,
    false,
  ]);
});

test("WallClock.nanos is 0 when the clock gives nonsense", () => {
  const wall = (ms: number) => {
    const clock = clockOf(() => ms);
    clock.read();
    return clock.nanos;
  };
  assertEquals([1.5, 0, -1, NaN, Infinity].map(wall), [1_000_000n, 0n, 0n, 0n, 0n]);
});

test("read() and readIfDue() alone call the caller's clock, once each, whatever that clock calls", () => {
  let calls = 0;
  const clock: WallClock = clockOf(() => {
    calls++;
    clock.readIfDue();
    clock.read();
    clock.hybrid.tick();
    return 7 + calls;
  });
  clock.hybrid.tick();
  clock.hybrid.next();
  clock.hybrid.observe(1n, 1);
  clock.refresh();
  assertEquals([clock.ms, clock.nanos, calls], [0, 0n, 0]);
  clock.readIfDue();
  assertEquals([clock.ms, calls], [8, 1]);
  clock.readIfDue();
  assertEquals(calls, 1);
  clock.read();
  assertEquals([clock.ms, calls], [9, 2]);
});

test("HybridClock reads the wall clock again before the next time, after a reading that threw", () => {
  let mustThrow = true;
  const clock = clockOf(() => {
    if (mustThrow) throw new Error("no clock");
    return 5;
  });
  assertThrows(() => clock.readIfDue(), Error, "no clock");
  mustThrow = false;
  assertEquals(next(clock), { nanos: 5_000_000n, seq: 0 });
});

/** Sets a wall clock and a monotonic clock by hand; the first reading is in the year 2026. */
class TwoClocks {
  wallMs = Date.UTC(2026, 0, 1);
  monotonicMs = 5;
  readonly clock: WallClock;

  constructor(maxJumpMs: number) {
    this.clock = clockOf(() => this.wallMs, () => this.monotonicMs, maxJumpMs);
    this.next();
  }

  /**
   * Moves both clocks, or only the wall clock.
   *
   * @returns how many milliseconds the next time is after the first.
   */
  pass(wallMs: number, monotonicMs = wallMs): number {
    this.wallMs += wallMs;
    this.monotonicMs += monotonicMs;
    return this.next();
  }

  next(): number {
    this.clock.refresh();
    return Number(next(this.clock).nanos / 1_000_000n) - Date.UTC(2026, 0, 1);
  }
}

const DAY_MS = 86_400_000;
const YEARS_MS = 75 * 365 * DAY_MS;

test("tick() counts on from the last time while the wall clock is further ahead than is allowed", () => {
  const clocks = new TwoClocks(DAY_MS);
  const seqs: number[] = [];
  for (let i = 0; i < 100; i++) {
    assertEquals(clocks.pass(i === 0 ? YEARS_MS : 1, 1), 0);
    assertEquals(clocks.clock.unconfirmedMs, YEARS_MS - 1);
    seqs.push(clocks.clock.hybrid.seq);
  }
  assertEquals(seqs, Array.from({ length: 100 }, (_, i) => i + 1));
  // The wall clock is back, and time goes on.
  assertEquals(clocks.pass(2 - YEARS_MS, 1), 101);
  assertEquals([clocks.clock.unconfirmedMs, clocks.clock.hybrid.seq], [0, 0]);
});

test("tick() follows a jump up to the limit, and none beyond it", () => {
  for (const limit of [0, 1, 1000, DAY_MS]) {
    for (const passed of [0, 1, 3_600_000]) {
      assertEquals(new TwoClocks(limit).pass(limit + passed, passed), limit + passed, `${limit} after ${passed}`);
      assertEquals(new TwoClocks(limit).pass(limit + passed + 1, passed), 0, `more than ${limit} after ${passed}`);
    }
  }
});

test("tick() follows the wall clock over any time that the monotonic clock confirms, stalls included", () => {
  const clocks = new TwoClocks(1000);
  assertEquals(clocks.pass(YEARS_MS), YEARS_MS);
  // The wall clock stood still for an hour, and is right again.
  assertEquals(clocks.pass(0, 3_600_000), YEARS_MS);
  assertEquals(clocks.pass(3_600_000, 0), YEARS_MS + 3_600_000);
  // The wall clock was set back by an hour, and later forward by an hour.
  assertEquals(clocks.pass(-3_600_000, 1), YEARS_MS + 3_600_000);
  assertEquals(clocks.pass(3_600_002, 1), YEARS_MS + 3_600_002, "no further than the log's own time");
});

test("tick() does not count earlier readings of a jump as a confirmation", () => {
  const clocks = new TwoClocks(1000);
  for (let i = 0; i < 50; i++) assertEquals(clocks.pass(1001, 0), 0);
  assertEquals(clocks.clock.unconfirmedMs, 50 * 1001);
  assertEquals(clocks.pass(0, 49 * 1001 + 1), 50 * 1001);
});

test("restart() makes tick() follow the next reading, and after observe() a reading near that time is no jump", () => {
  const clocks = new TwoClocks(1000);
  assertEquals(clocks.pass(YEARS_MS, 0), 0);
  clocks.clock.restart();
  assertEquals([clocks.clock.unconfirmedMs, clocks.next()], [0, YEARS_MS]);
  // A machine without a battery for its clock starts in 1970.
  let wallMs = 1000;
  const clock = clockOf(() => wallMs, () => 0, 1000);
  clock.hybrid.observe(BigInt(YEARS_MS) * 1_000_000n, 0);
  clock.read();
  wallMs = YEARS_MS + 1000;
  clock.refresh();
  assertEquals(next(clock), { nanos: BigInt(wallMs) * 1_000_000n, seq: 0 });
});

test("tick() follows every reading without a limit", () => {
  const clocks = new TwoClocks(Infinity);
  assertEquals([clocks.pass(YEARS_MS, 0), clocks.clock.unconfirmedMs], [YEARS_MS, 0]);
});

test("tick() carries into the nanoseconds while a jump is not followed", () => {
  const clocks = new TwoClocks(1000);
  const nanos = clocks.clock.hybrid.nanos + 5n;
  clocks.clock.hybrid.observe(nanos, MAX_U32 - 1);
  clocks.pass(YEARS_MS, 0);
  assertEquals([clocks.clock.hybrid.nanos, clocks.clock.hybrid.seq], [nanos, MAX_U32]);
  clocks.next();
  assertEquals([clocks.clock.hybrid.nanos, clocks.clock.hybrid.seq], [nanos + 1n, 0]);
});

test("tick() ignores a reading that is nonsense, and does not follow a jump after it", () => {
  const clocks = new TwoClocks(1000);
  const { wallMs } = clocks;
  for (const nonsense of [NaN, Infinity, -1, 0, 2 ** 60]) {
    clocks.wallMs = nonsense;
    assertEquals([clocks.next(), clocks.clock.ms], [0, 0]);
    clocks.wallMs = wallMs + YEARS_MS;
    assertEquals(clocks.next(), 0);
  }
});

test("HybridClock gives no time later than the clocks and the limit allow", () => {
  const step = fc.record({
    wall: fc.oneof(fc.integer({ min: -5000, max: 5000 }), fc.constantFrom(YEARS_MS, -YEARS_MS)),
    monotonic: fc.nat(5000),
  });
  fc.assert(fc.property(fc.nat(3000), fc.array(step, { maxLength: 40 }), (limit, steps) => {
    const clocks = new TwoClocks(limit);
    let [passed, most] = [0, 0];
    for (const { wall, monotonic } of steps) {
      passed += monotonic;
      most += limit;
      const now = clocks.pass(wall, monotonic);
      assert(now <= passed + most, `${now} after ${passed}, with jumps of ${most}`);
    }
  }));
});

test("tick() gives later and later times in every sequence of readings, restarts and observed times", () => {
  const reading = fc.oneof(fc.constantFrom(NaN, Infinity, 0, -1), fc.integer({ min: 0, max: 100 }), fc.double());
  const step = fc.oneof(
    fc.record({ kind: fc.constant("tick" as const), reading, refresh: fc.boolean() }),
    fc.record({ kind: fc.constant("observe" as const), nanos: fc.bigInt(0n, 10n ** 8n), seq: fc.nat(5) }),
    fc.record({ kind: fc.constant("restart" as const) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    let ms = 0;
    let clock = clockOf(() => ms);
    for (const step of steps) {
      if (step.kind === "observe") clock.hybrid.observe(step.nanos, step.seq);
      else if (step.kind === "restart") {
        const restarted = clockOf(() => ms);
        restarted.hybrid.observe(clock.hybrid.nanos, clock.hybrid.seq);
        clock = restarted;
      } else {
        ms = step.reading;
        if (step.refresh) clock.refresh();
        next(clock);
      }
    }
  }));
});
