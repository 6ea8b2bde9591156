// Draws bench/results/ship-<runtime>.json: for each engine its throughput, its lag and its memory.
//
//   bun bench/ship/plots.ts bench/plots

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { QUANTILES } from "../measure.ts";
import { type Labels, linePlot, type Point } from "../plots.ts";
import { resultsOf } from "./report.ts";
import { type EngineName, type EngineResult, ENGINES } from "./results.ts";

function draw(engine: EngineName, directory: string): void {
  const results = [...resultsOf(engine)];
  const { machine: { cores, cpu, kernel, fileSystem }, server, memoryRecords, memoryMiB } = results[0]![1];
  const caption = `${server} on loopback · ${cores} × ${cpu} · ${kernel} · ${fileSystem}`;
  const figure = (
    name: string,
    labels: Pick<Labels, "title" | "x" | "y" | "ticks"> & Partial<Labels>,
    of: (result: EngineResult, runtime: string) => Point[],
  ): void => {
    const points = results.flatMap(([runtime, result]) => of(result, runtime)).filter(({ y }) => y > 0);
    const title = `${labels.title}, ${ENGINES[engine]}`;
    writeFileSync(join(directory, `ship-${name}-${engine}.svg`), linePlot(points, { caption, ...labels, title }));
  };
  figure(
    "throughput",
    { title: "Shipping", x: "messages in flight", y: "records per second", ticks: [1, 32], marginRight: 220 },
    ({ throughput }, runtime) =>
      throughput.flatMap(({ inFlight: x, shipped, loops }) => [
        { x, y: shipped, series: `wal, ${runtime}` },
        ...Object.entries(loops).map(([loop, y]) => ({ x, y, series: `${loop}, ${runtime}` })),
      ]),
  );
  figure(
    "lag",
    {
      title: "From acknowledged to applied by a follower",
      x: "share of records that took at least as long",
      y: "milliseconds",
      ticks: [1, 0.5, 0.1, 0.01, 0.001],
      format: (share) => `${100 * share} %`,
    },
    ({ lagMs }, runtime) =>
      QUANTILES.flatMap((q, index) =>
        q === 0 || q === 1 ? [] : [{ x: Number((1 - q).toPrecision(3)), y: lagMs[index]!, series: `wal, ${runtime}` }]
      ),
  );
  const step = memoryRecords / memoryMiB.length / 1e6;
  figure(
    "memory",
    {
      title: "Resident memory of a process that ships and follows",
      x: "million records shipped",
      y: "MiB",
      ticks: [0, 0.25, 0.5, 0.75, 1].map((part) => part * memoryRecords / 1e6),
      scale: "linear",
    },
    ({ memoryMiB }, runtime) => [
      // The axis begins at nothing.
      { x: 0, y: 1e-9, series: `wal, ${runtime}` },
      ...memoryMiB.map((y, index) => ({ x: (index + 1) * step, y, series: `wal, ${runtime}` })),
    ],
  );
}

const [directory] = process.argv.slice(2);
if (directory === undefined) throw new TypeError("Say where the plots go: bun bench/ship/plots.ts bench/plots");
for (const engine of Object.keys(ENGINES) as EngineName[]) draw(engine, directory);
