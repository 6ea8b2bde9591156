// The tables of docs/shipping.md from bench/results/ship-<runtime>.json.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { table } from "../../scripts/markdown.ts";
import { PROJECT } from "../../scripts/tools.ts";
import { QUANTILES } from "../measure.ts";
import { format } from "../report.ts";
import type { EngineResult, ResultName, ShipResult } from "./results.ts";

/** The runtimes, by their names in tables. */
const RUNTIMES = { deno: "Deno", bun: "Bun", node: "Node" };

/** What was measured of a server, by the names of the runtimes. */
export function resultsOf(name: ResultName): ReadonlyMap<string, EngineResult> {
  return new Map(
    Object.entries(RUNTIMES).flatMap(([runtime, shown]) => {
      const path = join(PROJECT, `bench/results/ship-${runtime}.json`);
      if (!existsSync(path)) return [];
      return [[shown, (JSON.parse(readFileSync(path, "utf8")) as ShipResult)[name]] as const];
    }),
  );
}

/** One server's table: a column for each runtime. */
export function shippingTable(name: ResultName): string {
  const results = resultsOf(name);
  const row = (what: string, of: (result: EngineResult) => string) => [what, ...[...results.values()].map(of)];
  const [first] = results.values();
  const throughput = first!.throughput.flatMap(({ inFlight, loops }, index) => [
    row(`shipped with ${inFlight} in flight`, (result) => perSecond(result.throughput[index]!.shipped)),
    ...Object.keys(loops).map((loop) =>
      row(`beside the ${loop}`, (result) => `${format(result.throughput[index]!.ratios[loop]!)}×`)
    ),
  ]);
  return table([
    [first!.server, ...results.keys()],
    ...throughput,
    row("followed, to a store in memory", ({ throughput }) => perSecond(throughput.at(-1)!.followed)),
    row("lag, median", ({ lagMs }) => `${format(lagMs[QUANTILES.indexOf(0.5)]!)} ms`),
    row("lag, 99th percentile", ({ lagMs }) => `${format(lagMs[QUANTILES.indexOf(0.99)]!)} ms`),
    row(`memory, over ${first!.memoryRecords / 1e6}M records`, ({ memoryMiB }) => {
      const later = memoryMiB.slice(memoryMiB.length / 2);
      return `${Math.min(...later)}–${Math.max(...later)} MiB`;
    }),
  ]);
}

function perSecond(records: number): string {
  return `${format(records)} records/s`;
}
