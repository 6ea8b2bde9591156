// The targets of the library: ratios to the limit and to peers in the same round.

import { median } from "./measure.ts";
import type { ContestResult, Round } from "./results.ts";

/** One target. */
export interface Target {
  readonly contest: string;
  readonly what: string;
  readonly label: string;
  readonly metric: string;
  /** The system to compare with in the same round. Without it, the figure itself is judged. */
  readonly against?: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** The loads beside which a server answers within milliseconds. */
const REQUESTED: readonly string[] = [
  ...["wal", "wal-adaptive", "wal-offload"].flatMap((system) => [
    `${system}, 1 writer`,
    ...[16, 256, 4096].map((count) => `${system}, ${count} writers`),
  ]),
  ...[5, 20, 200].map((us) => `backlog, synchronous store, ${us} µs`),
  "backlog, ready store, 20 µs",
  "backlog, runs store, 20 µs",
];

/** A target and the figure that was reached. */
export interface Verdict {
  readonly target: Target;
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly met: boolean;
}

/** The targets on a runtime. */
export function makeTargets(runtime: string): readonly Target[] {
  const rate = (
    contest: string,
    against: string,
    atLeast: number,
    metric = "opsPerSecond",
    label = "wal",
  ): Target => ({
    contest,
    what: `${label === "wal" ? "" : `${label}, `}${
      metric === "opsPerSecond" ? "throughput" : metric.replace("OpsPerSecond", "")
    } ÷ ${against}`,
    label,
    metric,
    against,
    atLeast,
  });
  const figure = (contest: string, what: string, metric: string, wanted: Partial<Target>): Target => ({
    contest,
    what,
    label: "wal",
    metric,
    ...wanted,
  });
  const served = (label: string, what: string, metric: string, wanted: Partial<Target>): Target => ({
    contest: "W11",
    what: `${label}, ${what} ÷ ${wanted.against}`,
    label,
    metric,
    ...wanted,
  });
  return [
    rate("W1", "limit", 0.95),
    figure("W1", "p99 ÷ limit", "p99Us", { against: "limit", atMost: 1.2 }),
    rate("W1", "prototype", 1),
    rate("W1", "sqlite-full", 1),
    rate("W1", "classic-level", 1.8),
    rate("W1", "lmdb", 3),
    rate("W2 16", "limit", 0.93),
    rate("W2 16", "prototype", 1),
    rate("W2 256", "limit", 0.85),
    rate("W2 256", "prototype", 1),
    rate("W2 4096", "limit", 0.5),
    rate("W2 4096", "limit", 0.55, "opsPerSecond", "wal-bytes"),
    rate("W2 4096", "prototype", 1),
    rate("W2 4096", "file-group", 1.5),
    rate("W2 4096", "sqlite-full-turn", 3),
    rate("W2 4096", "lmdb", 12),
    rate("W3", "limit", 0.92),
    rate("W3", "limit", 1.05, "opsPerSecond", "wal-packed"),
    rate("W3", "prototype", 1.05),
    rate("W3", "sqlite-full", runtime === "bun" ? 3 : 6),
    rate("W3", "lmdb", 5),
    ...["freshOpsPerSecond", "warmOpsPerSecond"].flatMap((lap) => [
      rate("W4", "limit", 0.5, lap),
      rate("W4", "limit", 0.6, lap, "wal-bytes"),
      rate("W4", "limit", 0.9, lap, "wal-packed"),
      rate("W4", "prototype", 0.95, lap),
    ]),
    rate("W4", "file", 12, "freshOpsPerSecond"),
    rate("W4", "lmdb", 50, "freshOpsPerSecond"),
    rate("W4", "sqlite-full", 150, "freshOpsPerSecond"),
    ...Object.entries({ "1M": 0.5, "8M": 0.65 }).flatMap(([size, share]) => [
      rate(`W5 verify ${size}`, "limit", share),
      figure(`W5 verify ${size}`, "peak memory ÷ (file + 120 B a record)", "memoryShare", { atMost: 1 }),
      figure(`W5 replay ${size}`, "array, M records/s", "opsPerSecond", { atLeast: 10e6 }),
      figure(`W5 replay ${size}`, "peak memory ÷ (file + 120 B a record)", "memoryShare", { atMost: 1 }),
      figure(`W5 scan ${size}`, "scan, M records/s", "opsPerSecond", { atLeast: 35e6 }),
    ]),
    rate("W6 memory", "map", 1, "opsPerSecond", "wal-packed"),
    rate("W6 sqlite", "sqlite-full", 2.5),
    rate("W6 sqlite", "sqlite-full-packed", 2.5, "opsPerSecond", "wal-packed"),
    ...REQUESTED.map((label): Target => ({
      contest: "W7b",
      what: `request p99, ms, ${label}`,
      label,
      metric: "requestP99Ms",
      atMost: 5,
    })),
    { contest: "W7", what: "delay p99, ms, offloaded", label: "wal-offload", metric: "delayP99Ms", atMost: 2 },
    {
      contest: "W1",
      what: "offloaded ÷ limit",
      label: "wal-offload",
      metric: "opsPerSecond",
      against: "limit",
      atLeast: 0.65,
    },
    { contest: "W8", what: "p50 ÷ durable p50", label: "applied", metric: "p50Us", against: "durable", atMost: 1.5 },
    ...["256 MiB", "1 GiB"].map((size) => ({
      contest: "W9",
      what: `clean ${size} ÷ clean 64 MiB`,
      label: `clean ${size}`,
      metric: "openMs",
      against: "clean 64 MiB",
      atMost: 2,
    })),
    { contest: "W10", what: "backup() ÷ limit", label: "backup()", metric: "copyMs", against: "limit", atMost: 3 },
    {
      contest: "W10",
      what: "salvage ÷ plain verified copy",
      label: "salvage",
      metric: "copyMs",
      against: "plain verified copy",
      atMost: 3,
    },
    { contest: "W10", what: "backupAsync(), delay p99, ms", label: "backupAsync()", metric: "delayP99Ms", atMost: 5 },
    ...["wal-applied", "wal-durable"].flatMap((label) => [
      served(label, "requests", "opsPerSecond", { against: "sqlite-full-turn", atLeast: 1 }),
      served(label, "p99", "p99Us", { against: "sqlite-full-turn", atMost: 1 }),
    ]),
    served("wal-durable", "requests", "opsPerSecond", { against: "http", atLeast: 0.9 }),
    { contest: "W13", what: "cursor(), M records/s", label: "cursor()", metric: "opsPerSecond", atLeast: 10e6 },
    ...["deno", "bun", "node"].map((writer): Target => ({
      contest: "W14",
      what: `writer on ${writer}, p50, µs`,
      label: `writer on ${writer}`,
      metric: "p50Us",
      atMost: 500,
    })),
    ...[1, 16, 256, 4096].flatMap((writers): Target[] => [
      {
        contest: `W15 ${writers}`,
        what: "followers: true ÷ without it",
        label: "followers: true",
        metric: "share",
        atLeast: 0.98,
      },
      rate(`W15 ${writers}`, "wal", 0.98, "opsPerSecond", "wal-followers"),
    ]),
    { contest: "W9", what: "killed 64 MiB, ms", label: "killed 64 MiB", metric: "openMs", atMost: 1000 },
  ];
}

/** Judges a target by the median of the rounds; undefined if it was not measured. */
export function judge(target: Target, contests: readonly ContestResult[]): Verdict | undefined {
  const rounds = contests.find((contest) => contest.id === target.contest)?.rounds ?? [];
  const values = rounds.map((round) => valueIn(round, target)).filter((value) => !Number.isNaN(value));
  if (values.length === 0) return undefined;
  const reached = median(values);
  return {
    target,
    median: reached,
    least: Math.min(...values),
    most: Math.max(...values),
    met: reached >= (target.atLeast ?? -Infinity) && reached <= (target.atMost ?? Infinity),
  };
}

function valueIn(round: Round, { label, metric, against }: Target): number {
  const value = figureIn(round, label, metric);
  return against === undefined ? value : value / figureIn(round, against, metric);
}

function figureIn(round: Round, label: string, metric: string): number {
  const outcome = round[label];
  if (outcome === undefined || "unavailable" in outcome) return NaN;
  const value = outcome.measurements[metric];
  return typeof value === "number" ? value : NaN;
}
