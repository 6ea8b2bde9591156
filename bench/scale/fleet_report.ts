// The figures that go into the model of many logs, what comes out, and its plots.
//
//   bun bench/scale/fleet_report.ts [--plots DIR]
//
// It prints all of them, and writes the tables of docs/scale.md.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { replacePart, table } from "../../scripts/markdown.ts";
import { PROJECT } from "../../scripts/tools.ts";
import { median } from "../measure.ts";
import { figures, type RunResult } from "../results.ts";
import { type Fleet, type FleetRun, runFleet } from "./fleet.ts";
import type { ShipResult } from "../ship/results.ts";

const PAGE = join(PROJECT, "docs/scale.md");
const RECORD_BYTES = 64;

/** A figure that goes in, and where it is from. */
interface Parameter {
  readonly name: string;
  readonly value: number;
  readonly source: string;
}

function results(name: string): unknown {
  return JSON.parse(readFileSync(join(PROJECT, "bench/results", name), "utf8"));
}

/** What was measured or published. */
function parameters() {
  const { throughput } = (results("ship-bun.json") as ShipResult).jetstream;
  const { contests } = results("bun.json") as RunResult;
  const sqlite = contests.find(({ id }) => id === "W6 sqlite")!;
  const many = throughput.at(-1)!;
  return {
    shipRate: {
      name: "one log ships, records/s",
      value: many.shipped,
      source: "`bench/results/ship-bun.json`, 32 in flight",
    },
    brokerIn: {
      name: "the cluster takes in, records/s",
      value: many.loops["client's loop, same expectations"]!,
      source: "the same: the client's loop with the shipper's expectations, one server",
    },
    brokerOut: {
      name: "the cluster gives out, records/s",
      value: Math.round(3 * 147 * 2 ** 20 / RECORD_BYTES),
      source: "three servers of 147 MiB/s each, as published: see above",
    },
    applyRate: {
      name: "one follower applies, records/s",
      value: Math.round(median(figures(sqlite.rounds, "wal", "opsPerSecond"))),
      source: "W6 sqlite of `bench/results/bun.json`",
    },
  } satisfies Record<string, Parameter>;
}

/** The fleet that all scenarios are variations of. */
function fleet(): Fleet {
  const { shipRate, brokerIn, brokerOut, applyRate } = parameters();
  return {
    seed: 14,
    writers: 1000,
    followersEach: 10,
    ratePerWriter: 100,
    ringRecords: 1_048_320,
    shipRate: shipRate.value,
    brokerIn: brokerIn.value,
    brokerOut: brokerOut.value,
    applyRate: applyRate.value,
    outageAt: 600,
    outageSeconds: 3600,
    seconds: 4 * 3600,
    stepSeconds: 20,
    whenFull: "wait",
  };
}

/** What is varied. */
const SCENARIOS: Readonly<Record<string, Partial<Fleet>>> = {
  "100 records/s a writer, no outage": { outageSeconds: 0 },
  "an hour without the broker": {},
  "the same, 200 records/s a writer": { ratePerWriter: 200 },
  "the same, rings of 128 MiB": { ratePerWriter: 200, ringRecords: 2_096_896 },
  "rings of 64 MiB again, and lost when full": { ratePerWriter: 200, whenFull: "lose" },
  "1,000 records/s a writer, no outage": { ratePerWriter: 1000, outageSeconds: 0 },
};

/** Every scenario, run. */
export function runScenarios(): ReadonlyMap<string, FleetRun> {
  const base = fleet();
  return new Map(Object.entries(SCENARIOS).map(([name, change]) => [name, runFleet({ ...base, ...change })]));
}

/** The page, with the tables that the code gives. */
export function makePage(page: string, runs = runScenarios()): string {
  const base = fleet();
  const given: Parameter[] = [
    { name: "writers", value: base.writers, source: "chosen" },
    { name: "followers of each", value: base.followersEach, source: "chosen" },
    { name: "a ring holds, records", value: base.ringRecords, source: "64 MiB, the default" },
    ...Object.values(parameters()),
    { name: "seed", value: base.seed, source: "of the writers' rates, 0.5 to 1.5 of the average" },
    { name: "step, seconds", value: base.stepSeconds, source: "chosen; times are exact to a step" },
  ];
  const inTable = table([
    ["parameter", "value", "from"],
    ...given.map(({ name, value, source }) => [name, value.toLocaleString("en"), source]),
  ]);
  const outTable = table([
    ["scenario", "fullest ring", "writers told", "refused", "lost", "greatest lag", "rings drained", "caught up"],
    ...[...runs].map(([name, run]) => {
      const since = (seconds: number) =>
        SCENARIOS[name]!.outageSeconds === 0 && seconds !== Infinity ? "–" : minutes(seconds);
      return [
        name,
        percent(run.peakFill),
        String(run.told),
        percent(1 - run.logged / run.wanted, 2),
        percent(run.lost / run.wanted),
        minutes(run.peakLagSeconds),
        since(run.shippedAgainSeconds),
        since(run.caughtUpSeconds),
      ];
    }),
  ]);
  return replacePart(replacePart(page, "parameters", inTable), "scenarios", outTable);
}

function percent(share: number, digits = 1): string {
  return `${(100 * share).toFixed(digits)} %`;
}

function minutes(seconds: number): string {
  return seconds === Infinity ? "never" : `${Math.round(seconds / 6) / 10} min`;
}

async function drawPlots(runs: ReadonlyMap<string, FleetRun>, directory: string): Promise<void> {
  const { linePlot } = await import("../plots.ts"); // which loads much
  mkdirSync(directory, { recursive: true });
  const draw = (name: string, title: string, y: string, of: (sample: FleetRun["samples"][number]) => number): void => {
    const points = [...runs].slice(1).flatMap(([series, { samples }]) =>
      samples.filter((_, index) => index % 6 === 5).map((sample) => ({ x: sample.second / 60, y: of(sample), series }))
    );
    const caption = "a model, not a measurement: bench/scale/fleet.ts, seed 14, 1,000 writers, 10,000 followers";
    const ticks = [0, 30, 60, 90, 120, 150, 180, 210, 240];
    const labels = {
      title,
      caption,
      x: "minutes; the broker is away from 10 to 70",
      y,
      ticks,
      scale: "linear",
    } as const;
    writeFileSync(join(directory, `fleet-${name}.svg`), linePlot(points, labels));
  };
  draw("lag", "What followers lack", "age of the oldest record, minutes", ({ lagSeconds }) => lagSeconds / 60);
  draw("fill", "What the rings hold", "fill of the fullest ring, percent", ({ fullest }) => 100 * fullest);
}

if (import.meta.main) {
  const { values } = parseArgs({ args: process.argv.slice(2), options: { plots: { type: "string" } } });
  const runs = runScenarios();
  const page = makePage(readFileSync(PAGE, "utf8"), runs);
  writeFileSync(PAGE, page);
  for (const part of page.matchAll(/^\|.*\|$/gm)) console.log(part[0]);
  if (values.plots !== undefined) await drawPlots(runs, values.plots);
}
