// The whole suite, or its files under the given paths, on all runtimes side by side.
//
//   scripts/test.ts [--only deno|bun|node] [--quick] [--filter text] [--seed N] [--jobs N]
//                   [--times] [--no-check] [path…]
//
// As many processes run at once as there are processors, and share the files. The whole output of a
// process is printed if it failed, and always with a path or --filter. The last lines repeat which
// tests failed, and why. --quick leaves the long files out. --times says what each process took.
// --no-check leaves out the types, which Deno checks.

import { availableParallelism } from "node:os";
import process from "node:process";
import { parseArgs } from "node:util";
import { type Batch, findTestFiles, isSlow, planBatches } from "./test_plan.ts";
import { failuresIn } from "./test_failures.ts";
import { checkTypes, killAll, type Outcome, runTests, type TestSettings } from "./test_process.ts";
import { findBinary, NOT_FOUND, type Runtime, RUNTIMES } from "./tools.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string" },
    quick: { type: "boolean", default: false },
    filter: { type: "string" },
    seed: { type: "string" },
    jobs: { type: "string", default: String(availableParallelism()) },
    times: { type: "boolean", default: false },
    "no-check": { type: "boolean", default: false },
  },
});
const { only, quick, filter, seed, times } = values;
const jobs = Number(values.jobs);
if (only !== undefined && !RUNTIMES.some((name) => name === only)) {
  throw new RangeError(`--only ${only}: ${RUNTIMES.join(", ")}`);
}
if (!(Number.isSafeInteger(jobs) && jobs > 0)) throw new RangeError(`--jobs ${values.jobs}: an integer above 0`);

// The random tests take their seed from the environment, so that a runtime's own runner can replay
// one too.
if (seed !== undefined) process.env["SEED"] = seed;

const startedAt = performance.now();
const commands = { deno: "", bun: "", node: "" };
const summary: string[] = [];
let failed = false;
const runtimes: Runtime[] = [];
for (const runtime of RUNTIMES) {
  if (only !== undefined && only !== runtime) continue;
  const command = findBinary(runtime);
  if (command !== null) {
    commands[runtime] = command;
    runtimes.push(runtime);
    continue;
  }
  // A runtime that is asked for by name must be there. Otherwise its part is left out, and the
  // summary says so.
  failed ||= only !== undefined;
  summary.push(`Skipped: ${runtime}, as ${NOT_FOUND[runtime]}`);
}

const all = findTestFiles(positionals.length === 0 ? ["tests"] : positionals);
if (all.length === 0) throw new Error(`There are no tests under ${positionals.join(", ")}`);
const files = quick ? all.filter((file) => !isSlow(file)) : all;
if (files.length < all.length) {
  summary.push(`Skipped by --quick: ${all.filter((file) => !files.includes(file)).join(", ")}`);
}
// With a filter, one process gets all files, because Bun's fails if none of its tests has that
// name.
const batches = filter === undefined ? planBatches(runtimes, files) : runtimes.map((runtime) => ({ runtime, files }));
const isShown = positionals.length > 0 || filter !== undefined;
const settings: TestSettings = { commands, filter, isLive: isShown && batches.length === 1 };

for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  process.once(signal, () => {
    for (const { runtime, files } of underWay) console.log(`FAILED  ${runtime}  did not end: ${files.join(" ")}`);
    killAll();
    process.exit(code);
  });
}

const outcomes: Outcome[] = [];
const underWay = new Set<Batch>();
const types = runtimes.includes("deno") && !values["no-check"]
  ? checkTypes(files, commands.deno)
  : Promise.resolve(null);
const queue: Batch[] = [...batches];
await Promise.all([types, ...Array.from({ length: jobs }, work)]);

const wrongTypes = await types;
if (wrongTypes !== null) {
  failed = true;
  console.log(`\n--- types, as Deno checks them\n${wrongTypes}`);
}
if (times) printTimes();
console.log();
for (const runtime of runtimes) summarize(runtime);
if (wrongTypes !== null) console.log("FAILED | the types are wrong");
for (const line of summary) console.log(line);
for (const outcome of outcomes.filter(isFailed)) printFailures(outcome);
console.log(`in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
process.exitCode = failed ? 1 : 0;

/** Runs one batch after the other until there is none. */
async function work(): Promise<void> {
  for (let batch = queue.shift(); batch !== undefined; batch = queue.shift()) {
    underWay.add(batch);
    const outcome = await runTests(batch, settings);
    underWay.delete(batch);
    outcomes.push(outcome);
    failed ||= isFailed(outcome);
    if ((isShown || isFailed(outcome)) && !settings.isLive) printOutput(outcome);
    console.log(lineOf(outcome));
  }
}

function isFailed({ failed, problem }: Outcome): boolean {
  return failed > 0 || problem !== null;
}

/** As in `ok      deno  12 passed, 1 skipped in 3.2 s: tests/a_test.ts and 4 more`. */
function lineOf(outcome: Outcome): string {
  const { batch: { runtime, files }, passed, failed, skipped, problem, seconds } = outcome;
  const counts = [`${passed} passed`];
  if (failed > 0) counts.push(`${failed} FAILED`);
  if (skipped.length > 0) counts.push(`${skipped.length} skipped`);
  if (problem !== null) counts.push(problem);
  const more = files.length > 1 ? ` and ${files.length - 1} more` : "";
  const mark = isFailed(outcome) ? "FAILED" : "ok    ";
  return `${mark}  ${runtime.padEnd(4)}  ${seconds.toFixed(1).padStart(6)} s  ${files[0]}${more}: ${counts.join(", ")}`;
}

function printOutput(outcome: Outcome): void {
  const { batch: { runtime, files }, output } = outcome;
  console.log(`\n--- ${runtime}: ${files.join(" ")}\n${output}`);
}

/** A line for each failed test: short, because of a long output only the last lines may be kept. */
function printFailures({ batch: { runtime, files }, output, problem }: Outcome): void {
  if (problem !== null) console.log(`FAILED  ${runtime}  ${files.join(" ")}: ${problem}`);
  for (const failure of failuresIn(runtime, output)) console.log(`FAILED  ${runtime}  ${failure}`);
}

/** What each process took, the longest first. */
function printTimes(): void {
  console.log();
  for (const { batch: { runtime, files }, seconds, peakMiB } of outcomes.toSorted((a, b) => b.seconds - a.seconds)) {
    console.log(
      `${runtime.padEnd(4)}  ${seconds.toFixed(1).padStart(6)} s  ${peakMiB.toFixed(0).padStart(5)} MiB  ${
        files.join(" ")
      }`,
    );
  }
}

/** The outcome on a runtime, and what it skipped for which reason. */
function summarize(runtime: Runtime): void {
  const own = outcomes.filter(({ batch }) => batch.runtime === runtime);
  const sum = (count: (outcome: Outcome) => number) => own.reduce((total, outcome) => total + count(outcome), 0);
  const skipped = own.flatMap((outcome) => outcome.skipped);
  const problems = own.filter(({ problem }) => problem !== null);
  const seconds = sum((outcome) => outcome.seconds).toFixed(0);
  console.log(
    `${own.some(isFailed) ? "FAILED" : "ok"} | ${runtime}: ${sum(({ passed }) => passed)} passed | ` +
      `${sum(({ failed }) => failed)} failed | ${skipped.length} skipped (${own.length} processes, ${seconds} s)`,
  );
  for (const { batch, problem } of problems) console.log(`  ${batch.files.join(" ")}: ${problem}`);
  const reasons = Map.groupBy(skipped, (name) => /\(skipped: (.*)\)$/.exec(name)?.[1] ?? "no reason");
  for (const [reason, names] of reasons) console.log(`  ${runtime}: ${names.length} (skipped: ${reason})`);
}
