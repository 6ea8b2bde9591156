// How cost grows: with the size of the log, the number of writers, of logs, and of shards.
//
//   deno run -A bench/scale/main.ts [--quick] [--dir DIR] [--json FILE] [--merge] [--plots DIR]
//
// SCALE_ONLY=shards, or another of the four, measures that alone. With --merge, the rest stays as
// the JSON file has it.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { machineFacts } from "../machine.ts";
import type { Measurements } from "../measure.ts";
import { type Options, parseOptions } from "../options.ts";
import { describeMachine } from "../report.ts";
import { runCell } from "../runner.ts";
import { LOG_BYTES, logRecords } from "../sizes.ts";
import { openShards } from "../../src/shards.ts";
import { makeWorkDirectory } from "../work_directory.ts";
import type { CellRequest } from "../workloads/workload.ts";
import { drawScalePlots } from "./plots.ts";
import type { ScaleResult, ScaleRow } from "./results.ts";

const RESULTS = fileURLToPath(new URL("../results/", import.meta.url));
const MIB = 2 ** 20;

type Cell = Omit<CellRequest, "directory" | "warmSeconds" | "seconds">;

/** Runs cells in one directory, and reports each result at once. */
class Bench {
  readonly rows: ScaleRow[] = [];
  readonly #directory: string;
  readonly #seconds: number;

  constructor(parent: string, seconds: number) {
    this.#directory = join(parent, "scale");
    this.#seconds = seconds;
  }

  /** Runs cells one after the other over the same files. */
  async sequence(
    series: string,
    x: number,
    cells: readonly (Cell & { readonly as: string })[],
    clears = true,
  ): Promise<void> {
    mkdirSync(this.#directory);
    for (const { as, ...cell } of cells) {
      try {
        this.#note(`${series}, ${as}`, x, await this.#run(cell, this.#directory));
      } catch (error) {
        this.#note(`${series}, ${as}`, x, {}, error instanceof Error ? error.message : String(error));
        break;
      }
    }
    if (clears) this.clear();
  }

  /** Runs one cell in several processes at once, and adds up the rates. */
  async together(series: string, processes: number, cell: Cell): Promise<void> {
    const directories = Array.from({ length: processes }, (_, i) => join(this.#directory, String(i)));
    for (const directory of directories) mkdirSync(directory, { recursive: true });
    const results = await Promise.all(directories.map((directory) => this.#run(cell, directory)));
    const opsPerSecond = results.reduce((sum, result) => sum + Number(result["opsPerSecond"]), 0);
    this.#note(series, processes, { opsPerSecond });
    rmSync(this.#directory, { recursive: true });
  }

  /**
   * Runs a cell in several processes over the same files, with its number as the parameter. Rates
   * are added up, and of times the longest counts.
   */
  async sharing(series: string, processes: number, prepare: (directory: string) => void, cell: Cell): Promise<void> {
    mkdirSync(this.#directory, { recursive: true });
    prepare(this.#directory);
    const numbers = Array.from({ length: processes }, (_, number) => number);
    const results = await Promise.all(numbers.map((parameter) => this.#run({ ...cell, parameter }, this.#directory)));
    const of = (name: string) => results.map((result) => Number(result[name])).filter((value) => !Number.isNaN(value));
    const [rates, times] = [of("opsPerSecond"), of("openMs")];
    this.#note(series, processes, {
      ...rates.length === 0 ? {} : { opsPerSecond: rates.reduce((sum, rate) => sum + rate) },
      ...times.length === 0 ? {} : { openMs: Math.max(...times) },
    });
  }

  /** Removes the files. */
  clear(): void {
    rmSync(this.#directory, { recursive: true });
  }

  #run(cell: Cell, directory: string): Promise<Measurements> {
    return runCell({ ...cell, directory, warmSeconds: this.#seconds / 4, seconds: this.#seconds });
  }

  #note(series: string, x: number, measurements: Measurements, unavailable?: string): void {
    const row: ScaleRow = { series, x, measurements, ...unavailable === undefined ? {} : { unavailable } };
    this.rows.push(row);
    const figures = Object.entries(measurements).filter(([, value]) => typeof value === "number")
      .map(([name, value]) => `${name} ${Number(value).toLocaleString("en", { maximumSignificantDigits: 4 })}`);
    if (figures.length > 0 || unavailable !== undefined) {
      console.log(`  ${series}, ${x.toLocaleString("en")}: ${unavailable ?? figures.join(", ")}`);
    }
  }
}

async function sizes(bench: Bench, quick: boolean): Promise<void> {
  console.log("\nLog size in MiB");
  for (const mib of quick ? [64, 256] : [64, 256, 1024, 4095, 8192]) {
    const records = logRecords(mib * MIB);
    await bench.sequence("size", mib, [
      { as: "fill", workload: "fillLogAndDie", system: "wal", parameter: records },
      { as: "recovery after a kill", workload: "opening", system: "wal", parameter: records },
      { as: "clean open", workload: "opening", system: "wal", parameter: records },
      { as: "clean open, verify: true", workload: "openingVerified", system: "wal", parameter: records },
      { as: "batches of 1000 across the wrap", workload: "wrap", system: "wal", parameter: records },
    ]);
  }
}

async function writers(bench: Bench, quick: boolean): Promise<void> {
  console.log("\nOutstanding writers");
  for (const system of ["wal", "wal-adaptive", "wal-offload"]) {
    for (const count of quick ? [1, 256, 65536] : [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536]) {
      await bench.sequence("writers", count, [{ as: system, workload: "manyWriters", system, parameter: count }]);
    }
  }
}

async function logs(bench: Bench, quick: boolean): Promise<void> {
  console.log("\nLogs, one writer each");
  for (const count of quick ? [1, 4] : [1, 2, 4, 8, 16]) {
    for (const system of ["wal", "wal-offload"]) {
      await bench.sequence("logs", count, [{
        as: `one process, ${system}`,
        workload: "manyLogs",
        system,
        parameter: count,
      }]);
    }
    await bench.together("logs, a process each, wal", count, {
      workload: "singleWriter",
      system: "wal",
      parameter: 1,
    });
  }
}

async function shards(bench: Bench, quick: boolean): Promise<void> {
  console.log("\nShards, 64 writers each");
  for (const count of quick ? [1, 4] : [1, 2, 4, 8, 16]) {
    for (const system of ["wal", "wal-offload"]) {
      const as = `one process, ${system}`;
      await bench.sequence("shards", count, [{ as, workload: "allShards", system, parameter: count }]);
    }
    const make = (directory: string) => openShards(directory, { shards: count, size: LOG_BYTES }).close();
    const cell = { system: "wal", parameter: 0 };
    await bench.sharing("shards, a process each, wal", count, make, { ...cell, workload: "oneShard" });
    bench.clear();
    // What a kill leaves in half of each ring.
    const fill = { as: "fill", workload: "fillShardsAndDie", system: "wal", parameter: count };
    const recovery = { as: "one process", workload: "recoverShards", system: "wal", parameter: count };
    await bench.sequence("shard recovery", count, [fill, recovery]);
    const aside = { as: "workers of one process", workload: "recoverShardsAside", system: "wal", parameter: count };
    await bench.sequence("shard recovery", count, [fill, aside]);
    await bench.sequence("shard recovery", count, [fill], false);
    await bench.sharing("shard recovery, a process each", count, () => {}, { ...cell, workload: "recoverShard" });
    bench.clear();
  }
}

const PARTS = { sizes, writers, logs, shards };

async function main(options: Options): Promise<void> {
  using work = makeWorkDirectory(options.directory);
  const machine = machineFacts(work.path, options.quick ? 0.5 : 2);
  console.log(describeMachine(machine));
  const bench = new Bench(work.path, options.quick ? 0.5 : 2);
  const only = process.env["SCALE_ONLY"];
  for (const [name, part] of Object.entries(PARTS)) {
    if (only === undefined || only === name) await part(bench, options.quick);
  }
  const path = options.json ?? join(RESULTS, `scale-${machine.runtime}.tmp.json`);
  const measured = { machine, quick: options.quick, rows: bench.rows };
  const result = options.merge ? merged(JSON.parse(readFileSync(path, "utf8")), measured) : measured;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
  console.log(`\nResults: ${path}`);
  if (options.plots !== undefined) drawScalePlots(result, options.plots);
}

/** What was measured, in place of what the file has of the same series. */
function merged(file: ScaleResult, { rows }: ScaleResult): ScaleResult {
  const series = new Set(rows.map((row) => row.series));
  return { ...file, rows: [...file.rows.filter((row) => !series.has(row.series)), ...rows] };
}

await main(parseOptions(process.argv.slice(2)));
