// The table: what each system reached, and which targets are met.

import type { MachineFacts } from "./machine.ts";
import { median } from "./measure.ts";
import { type ContestResult, figures, type Outcome } from "./results.ts";
import type { Target, Verdict } from "./targets.ts";

/** The figures of the table, in this order, where a workload has them. */
const SHOWN: readonly [metric: string, heading: string][] = [
  ["opsPerSecond", "ops/s"],
  ["opsPerSecondFieldsRead", "ops/s, fields read"],
  ["freshOpsPerSecond", "ops/s, fresh mapping"],
  ["warmOpsPerSecond", "ops/s, second lap"],
  ["p50Us", "p50 µs"],
  ["p99Us", "p99 µs"],
  ["delayP50Ms", "delay p50 ms"],
  ["delayP99Ms", "delay p99 ms"],
  ["delayMaxMs", "delay max ms"],
  ["idleP99Ms", "idle p99 ms"],
  ["requestP50Ms", "request p50 ms"],
  ["requestP99Ms", "request p99 ms"],
  ["requestMaxMs", "request max ms"],
  ["openMs", "open ms"],
  ["copyMs", "copy ms"],
  ["callUs", "call µs"],
  ["putsPerSync", "puts/sync"],
  ["share", "share"],
  ["peakMiB", "peak MiB"],
];

/** The machine in a few lines. */
export function describeMachine(machine: MachineFacts): string {
  return [
    `${machine.runtime} ${machine.runtimeVersion}, ${machine.cores} × ${machine.cpu}, ${machine.memoryGiB} GiB`,
    `${machine.kernel}, ${machine.fileSystem}, bare fdatasync p50 ${round(machine.fdatasyncP50Us)} µs, ` +
    `p99 ${round(machine.fdatasyncP99Us)} µs`,
  ].join("\n");
}

/** One contest: medians of the run, and each system beside the library in the same round. */
export function describeContest(contest: ContestResult): string {
  const labels = Object.keys(contest.rounds[0] ?? {}).sort();
  const columns = SHOWN.filter(([metric]) => labels.some((label) => figures(contest.rounds, label, metric).length > 0));
  const rows = labels.map((label) => {
    const missing = reasonFor(contest, label);
    if (missing !== undefined) return [label, missing];
    return [label, ...columns.map(([metric]) => format(median(figures(contest.rounds, label, metric))))];
  });
  return `${contest.id}: ${contest.title}\n${align([["", ...columns.map(([, heading]) => heading)], ...rows])}`;
}

/** Every target that was measured, with the range over the rounds. */
export function describeVerdicts(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map((verdict) => {
    const { target, median, least, most, met } = verdict;
    return [
      target.contest,
      target.what,
      format(median),
      `${format(least)}–${format(most)}`,
      showWanted(target),
      met ? "met" : "NOT MET",
    ];
  });
  return align([["", "target", "median", "range", "wanted", ""], ...rows]);
}

/** As in `≥ 0.95`. */
export function showWanted({ atLeast, atMost }: Target): string {
  return atLeast === undefined ? `≤ ${format(atMost ?? NaN)}` : `≥ ${format(atLeast)}`;
}

function reasonFor(contest: ContestResult, label: string): string | undefined {
  const outcomes: readonly (Outcome | undefined)[] = contest.rounds.map((round) => round[label]);
  for (const outcome of outcomes) {
    if (outcome !== undefined && "unavailable" in outcome) return `not measured: ${outcome.unavailable}`;
  }
  return undefined;
}

function round(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Three digits, with k or M. */
export function format(value: number): string {
  if (Number.isNaN(value)) return "";
  if (value >= 1e6) return `${round(value / 1e6)}M`;
  if (value >= 1e4) return `${round(value / 1e3)}k`;
  return round(value);
}

function align(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((row) => row.length));
  // A row of two cells says why there are no figures. It must not widen the column.
  const full = rows.filter((row) => row.length === columns);
  const widths = Array.from(
    { length: columns },
    (_, i) => Math.max(...full.map((row) => row[i]!.length), ...(i === 0 ? rows.map((row) => row[0]!.length) : [])),
  );
  return rows.map((row) =>
    "  " + row.map((cell, i) => i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("  ").trimEnd()
  )
    .join("\n");
}
