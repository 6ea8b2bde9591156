// A random history: what is done to a log and what happens to it, as plain data made of a seed.

import type { SimulatedDiskOptions } from "../../testing.ts";
import { Random } from "../../testing.ts";
import type { ConsumerPlan } from "./history_consumer.ts";

/** One step. It means something in any state of the log, so a history can be shortened anywhere. */
export type Step =
  | { readonly do: Single; readonly count: number; readonly wait: boolean }
  | { readonly do: "insertSync"; readonly count: number }
  | {
    readonly do: "batch";
    readonly how: "insert" | "delete" | "mixed" | "sync" | "mixedSync";
    readonly count: number;
    readonly wait: boolean;
  }
  | { readonly do: "flush" | "flushAsync" | "settle" | "reopen" | "read" | "writeBack" | "backup" }
  | { readonly do: "fillTo"; readonly slot: number }
  | { readonly do: "resize"; readonly size: number }
  | { readonly do: "truncate" | "checkpoint" | "whenDurable"; readonly part: number }
  | { readonly do: "turns"; readonly count: number }
  | { readonly do: "consume" | "drop"; readonly consumer: number; readonly fills: boolean }
  | { readonly do: "stop"; readonly consumer: number }
  | { readonly do: "storeFails" | "storeSyncFails"; readonly consumer: number; readonly after: number }
  | {
    readonly do: "failSync";
    readonly nth: number;
    readonly errno: string;
    readonly when: "before" | "during" | "after";
  }
  | { readonly do: "clock"; readonly ms: number }
  | { readonly do: "rot"; readonly slot: number; readonly bit: number }
  | Crash;

/** An append of one record. */
export type Single = "insert" | "delete" | "deleteValue" | "replace" | "operation";

/** A crash: at once (0), or at a call to come. */
export interface Crash {
  readonly do: "crash";
  readonly mode: "power" | "kill";
  readonly keep: "none" | "all" | "random";
  readonly inCalls: number;
  readonly when: "before" | "during" | "after";
  /** Power is lost once more as soon as the log is open again, and nothing more is kept. */
  readonly again: boolean;
}

/** Everything that a run depends on. */
export interface History {
  readonly seed: number;
  readonly disk: SimulatedDiskOptions;
  readonly flush: "inline" | "offload";
  /** None to three. */
  readonly consumers: readonly ConsumerPlan[];
  readonly steps: readonly Step[];
}

const SLOTS = 768;

/** In histories of seeds from here on, two or three consumers crowd a ring that is mostly full. */
export const CROWDED = 1e9;

/** The history of a seed. */
export function makeHistory(seed: number): History {
  const isCrowded = seed >= CROWDED;
  const random = new Random(seed).fork("history");
  const disk: SimulatedDiskOptions = {
    seed,
    pieceBytes: random.pick([64, 512, 512, 4096]),
    tearChance: random.pick([0, 0, 0.3]),
    writeBackChance: random.pick([0, 0, 0.05, 0.3]),
    pageBytes: random.pick([4096, 4096, 16384]),
    asyncUsesSpare: random.chance(0.5),
    asyncTicks: random.pick([1, 8, 30]),
    dropsCache: random.chance(0.5),
    directoryOrder: random.pick(["journal", "any"]),
    traceLimit: 400,
  };
  const flush = random.pick(["inline", "offload"] as const);
  const consumers = makeConsumers(random, isCrowded);
  const steps: Step[] = [];
  // Half of the histories begin near the ring's end, and wrap.
  if (random.chance(0.5)) steps.push({ do: "fillTo", slot: random.between(SLOTS - 80, SLOTS) });
  const count = random.between(4, isCrowded ? 20 : 40);
  const makers = (isCrowded ? FILLING : ALWAYS).concat(MANUAL, consumers.length === 0 ? UNCONSUMED : CONSUMED);
  const weights = makers.reduce((sum, [weight]) => sum + weight, 0);
  for (let i = 0; i < count; i++) {
    let at = random.below(weights);
    const [, make] = makers.find(([weight]) => (at -= weight) < 0)!;
    steps.push(make(random));
  }
  steps.push(crash(random));
  return { seed, disk, flush, consumers, steps };
}

/** Half of the other histories have a consumer, and half of these have several. */
function makeConsumers(random: Random, isCrowded: boolean): ConsumerPlan[] {
  const first = random.below(3);
  const length = random.pick(isCrowded ? [2, 3] : [0, 0, 0, 0, 1, 1, 2, 3]);
  return Array.from({ length }, (_, i) => ({
    name: ["", "search", "ship"][(first + i) % 3]!,
    kind: random.pick(["exact", "plain"] as const),
    maxLagRecords: random.pick([Infinity, Infinity, 60, 300]),
    keepRecords: random.pick(isCrowded ? [0, 50, 700] : [0, 0, 0, 50, 700]),
    skips: random.chance(isCrowded ? 0.5 : 0.3),
    retries: isCrowded && random.chance(0.7),
  }));
}

type Maker = readonly [weight: number, make: (random: Random) => Step];

/** Few most of the time, now and then many. */
function amount(random: Random): number {
  return random.pick([1, 1, 2, 3, random.between(1, 12), random.between(1, 100)]);
}

function crash(random: Random): Crash {
  return {
    do: "crash",
    mode: random.pick(["power", "power", "kill"]),
    keep: random.pick(["random", "random", "random", "none", "all"]),
    inCalls: random.pick([0, 0, random.between(1, 12), random.between(1, 40)]),
    when: random.pick(["before", "during", "after"]),
    again: random.chance(0.4),
  };
}

const ALWAYS: Maker[] = [
  [14, (random) => ({ do: "insert", count: amount(random), wait: random.chance(0.6) })],
  [3, (random) => ({ do: "delete", count: amount(random), wait: random.chance(0.6) })],
  [3, (random) => ({ do: "deleteValue", count: amount(random), wait: random.chance(0.6) })],
  [3, (random) => ({ do: "replace", count: amount(random), wait: random.chance(0.6) })],
  [2, (random) => ({ do: "operation", count: amount(random), wait: random.chance(0.6) })],
  [12, (random) => ({ do: "insertSync", count: amount(random) })],
  [12, (random) => ({
    do: "batch",
    how: random.pick(["insert", "delete", "mixed", "sync", "mixedSync"]),
    count: 1 + amount(random),
    wait: random.chance(0.5),
  })],
  [5, () => ({ do: "flush" })],
  [3, () => ({ do: "flushAsync" })],
  [3, (random) => ({ do: "whenDurable", part: random.pick([0.3, 0.9, 1]) })],
  [3, () => ({ do: "settle" })],
  [6, (random) => ({ do: "turns", count: random.below(6) })],
  [4, () => ({ do: "writeBack" })],
  [4, () => ({ do: "reopen" })],
  [3, () => ({ do: "read" })],
  [1, () => ({ do: "backup" })],
  [4, (random) => ({ do: "resize", size: random.pick([65536, 81920, 98304, 131072]) })],
  [4, (random) => ({ do: "clock", ms: random.pick([-1e9, -5000, -1, 1, 5000, 1e7]) })],
  [3, (random) => ({
    do: "failSync",
    nth: random.between(1, 4),
    errno: random.pick(["EIO", "ENOSPC", "EDQUOT", "EINTR", "ENOMEM"]),
    when: random.pick(["before", "during", "after"]),
  })],
  [3, (random) => ({ do: "rot", slot: random.below(SLOTS), bit: random.below(512) })],
  [12, crash],
];

const FILLING: Maker[] = [
  [20, (random) => ({ do: "insert", count: random.between(1, 128), wait: random.chance(0.8) })],
  [10, (random) => ({ do: "fillTo", slot: random.between(SLOTS - 80, SLOTS) })],
  [6, (random) => ({ do: "insertSync", count: amount(random) })],
  [8, (random) => ({
    do: "batch",
    how: random.pick(["insert", "mixed", "sync"]),
    count: 1 + amount(random),
    wait: random.chance(0.8),
  })],
  [6, () => ({ do: "settle" })],
  [6, (random) => ({ do: "turns", count: random.below(6) })],
  [1, () => ({ do: "backup" })],
  [1, () => ({ do: "reopen" })],
  [12, (random) => ({ do: "storeSyncFails", consumer: random.below(3), after: random.below(3) })],
];

const MANUAL: Maker[] = [
  [2, (random) => ({ do: "truncate", part: random.pick([0.3, 0.9, 1]) })],
  [2, (random) => ({ do: "checkpoint", part: random.pick([0.3, 0.9, 1]) })],
  [4, (random) => ({ do: "fillTo", slot: random.between(0, SLOTS) })],
];

/** Without a consumer the caller releases records. */
const UNCONSUMED: Maker[] = [
  [8, (random) => ({ do: "truncate", part: random.pick([0.3, 0.9, 1]) })],
  [3, (random) => ({ do: "checkpoint", part: random.pick([0.3, 0.9, 1]) })],
];

const CONSUMED: Maker[] = [
  [20, (random) => ({ do: "consume", consumer: random.below(3), fills: random.chance(0.5) })],
  [6, (random) => ({ do: "stop", consumer: random.below(3) })],
  [2, (random) => ({ do: "drop", consumer: random.below(3), fills: random.chance(0.5) })],
  [4, (random) => ({ do: "storeFails", consumer: random.below(3), after: random.below(6) })],
];
