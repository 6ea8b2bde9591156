// The benchmarks: `deno task bench`, `bun run bench` or `node bench/main.ts`. options.ts lists the
// options.

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { makeContests } from "./contests.ts";
import { buildLimit } from "./limit/build.ts";
import { machineFacts } from "./machine.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { PEER_NOTES } from "./peers/registry.ts";
import { describeContest, describeMachine, describeVerdicts } from "./report.ts";
import { type ContestResult, readResult, type RunResult } from "./results.ts";
import { runContest, type RunSettings } from "./runner.ts";
import { judge, makeTargets } from "./targets.ts";
import { verifyDurability } from "./verify_durability.ts";
import { makeWorkDirectory } from "./work_directory.ts";

const RESULTS = fileURLToPath(new URL("./results/", import.meta.url));

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) return console.log(USAGE);
  using work = makeWorkDirectory(options.directory);
  if (options.verifyDurability) return console.log(verifyDurability(work.path));
  const result = await run(options, work.path);
  const path = options.json ?? join(RESULTS, `${result.machine.runtime}.tmp.json`);
  save(options.merge && existsSync(path) ? merged(readResult(path), result) : result, path);
  if (options.plots !== undefined) {
    const { drawPlots } = await import("./plots.ts");
    drawPlots(result, options.plots);
  }
}

async function run(options: Options, directory: string): Promise<RunResult> {
  const machine = machineFacts(directory, options.quick ? 0.5 : 2);
  console.log(`${describeMachine(machine)}\n`);
  const settings: RunSettings = {
    directory,
    rounds: options.rounds,
    warmSeconds: options.quick ? 0.1 : 1,
    seconds: options.quick ? 0.3 : 2,
    limit: buildLimit(directory),
  };
  const contests: ContestResult[] = [];
  for (const contest of makeContests(options)) {
    if (options.only.length > 0 && !options.only.some((id) => `${contest.id} `.startsWith(`${id} `))) continue;
    const result = await runContest(contest, settings, showProgress);
    showProgress("");
    console.log(`${describeContest(result)}\n`);
    contests.push(result);
  }
  const verdicts = makeTargets(machine.runtime).flatMap((target) => judge(target, contests) ?? []);
  console.log(`Targets: medians of ratios inside a round\n${describeVerdicts(verdicts)}\n`);
  console.log(describeSystems(contests));
  return { machine, quick: options.quick, rounds: options.rounds, contests, verdicts };
}

function describeSystems(contests: readonly ContestResult[]): string {
  const measured = new Set(contests.flatMap((contest) => contest.rounds.flatMap((round) => Object.keys(round))));
  const notes = Object.entries({
    limit: "C: msync, hardware CRC-32C, preallocated file",
    "wal-unverified": "opened with verify: false, so that nothing was read before",
    "http": "HTTP alone, nothing is kept (W11)",
    "wal-applied": "this library by default with SQLiteStore, answers when applied (W11)",
    "wal-durable": "the same, answers when durable (W11)",
    ...PEER_NOTES,
  });
  return notes.filter(([label]) => measured.has(label)).map(([label, note]) => `  ${label}: ${note}`).join("\n");
}

/** Shows progress in one line, if the output is a terminal. */
function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

/** The contests of two runs; those of the later one if both have them. */
function merged(earlier: RunResult, later: RunResult): RunResult {
  const ids = new Set(later.contests.map(({ id }) => id));
  const contests = [...earlier.contests.filter(({ id }) => !ids.has(id)), ...later.contests];
  const verdicts = makeTargets(earlier.machine.runtime).flatMap((target) => judge(target, contests) ?? []);
  return { ...earlier, contests, verdicts };
}

function save(result: RunResult, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
  console.log(`\nResults: ${path}`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  console.error(`${error.message}\n\n${USAGE}`);
  process.exitCode = 2;
}
