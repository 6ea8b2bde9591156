// Random histories of new seeds, on all runtimes at once, until the time is up or one fails.
//
//   scripts/soak.ts [--minutes N] [--seed S] [--only deno|bun|node]

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { findRuntime, NOT_FOUND, plainEnvironment, PROJECT, runArguments, type Runtime, RUNTIMES } from "./tools.ts";

/** What a worker reports. */
interface Report {
  readonly histories: number;
  readonly steps: number;
  readonly crashes: number;
  readonly opens: number;
  readonly hazards: Readonly<Record<string, number>>;
  readonly failure: string | null;
}

/** The hazards that random histories can meet. */
const MEETABLE = [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 26, 27, 28, 29, 31, 32, 34, 56, 57, 59, 60, 61, 62, 80].map((
  number,
) => `H${number}`);

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "1" }, seed: { type: "string" }, only: { type: "string" } },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? Date.now() % 1e9);
if (!(minutes > 0)) throw new RangeError(`--minutes ${values.minutes}: a number above 0`);
if (!Number.isSafeInteger(seed)) throw new RangeError(`--seed ${values.seed}: an integer`);

const runtimes: Runtime[] = [];
for (const runtime of RUNTIMES) {
  if (values.only !== undefined && values.only !== runtime) continue;
  if (findRuntime(runtime) === null) console.log(`Skipped: ${runtime}, as ${NOT_FOUND[runtime]}`);
  else runtimes.push(runtime);
}
console.log(`${minutes} min from seed ${seed} on ${runtimes.join(" and ")}`);

const latest = new Map<Runtime, Report>();
const children: ChildProcess[] = [];
const startedAt = Date.now();
const progress = setInterval(() => console.log(summary()), 30_000);
const codes = await Promise.all(runtimes.map(work));
clearInterval(progress);

console.log(`\n${summary()}`);
const hazards = total((report) => report.hazards);
console.log(`hazards: ${MEETABLE.map((hazard) => `${hazard} ${hazards[hazard] ?? 0}`).join(", ")}`);
const failures = [...latest].filter(([, { failure }]) => failure !== null);
for (const [runtime, { failure }] of failures) console.log(`\n${runtime} FAILED\n${failure}`);
if (runtimes.length === 0 || failures.length > 0 || codes.some((code) => code !== 0)) process.exitCode = 1;

/**
 * Runs one runtime's worker, and resolves with its exit code. The first failure ends the others.
 */
function work(runtime: Runtime, index: number): Promise<number> {
  const args = [
    ...runArguments(runtime),
    "scripts/soak_worker.ts",
    String(minutes),
    String(seed + index),
    String(runtimes.length),
  ];
  const env = plainEnvironment();
  const child = spawn(findRuntime(runtime)!, args, { cwd: PROJECT, env, stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  createInterface({ input: child.stdout! }).on("line", (line) => {
    const report = JSON.parse(line) as Report;
    latest.set(runtime, report);
    if (report.failure !== null) { for (const other of children) if (other !== child) other.kill(); }
  });
  return new Promise((resolve) => child.once("close", (code, signal) => resolve(signal === null ? code ?? 1 : 0)));
}

function total(pick: (report: Report) => Readonly<Record<string, number>>): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const report of latest.values()) {
    for (const [name, count] of Object.entries(pick(report))) sums[name] = (sums[name] ?? 0) + count;
  }
  return sums;
}

function summary(): string {
  const seconds = (Date.now() - startedAt) / 1000;
  const { histories = 0, steps = 0, crashes = 0, opens = 0 } = total(({ histories, steps, crashes, opens }) => {
    return { histories, steps, crashes, opens };
  });
  const met = Object.keys(total((report) => report.hazards)).length;
  return `${seconds.toFixed(0)} s: ${histories} histories (${(histories / seconds).toFixed(0)}/s), ${steps} steps, ` +
    `${crashes} crashes, ${opens} openings, ${met} of ${MEETABLE.length} hazards met`;
}
