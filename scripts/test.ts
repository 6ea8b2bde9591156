// The whole suite, or the part of it under the paths given, on both runtimes.
//
//   scripts/test.ts [--only deno|bun] [--filter text] [--seed N] [path…]

import process from "node:process";
import { parseArgs } from "node:util";
import { denoFlags, findRuntime, run, type Runtime } from "./tools.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string" },
    filter: { type: "string" },
    seed: { type: "string" },
  },
});
const { only, filter, seed } = values;
if (only !== undefined && only !== "deno" && only !== "bun") throw new RangeError(`--only ${only}: deno or bun`);

/** The command line of one runtime's test runner. */
function testArguments(runtime: Runtime): string[] {
  if (runtime === "deno") {
    const filters = filter === undefined ? [] : [`--filter=${filter}`];
    return ["test", ...denoFlags, "--allow-all", ...filters, ...(positionals.length === 0 ? ["tests"] : positionals)];
  }
  const filters = filter === undefined ? [] : ["--test-name-pattern", RegExp.escape(filter)];
  // A bare word is a filter of names to Bun; with ./ it is a path.
  return ["test", ...filters, ...positionals.map((path) => path.startsWith("/") ? path : `./${path}`)];
}

// The random tests take their seed from the environment, so that each runtime's own runner can replay one too.
if (seed !== undefined) process.env["SEED"] = seed;

const outcomes: string[] = [];
let failed = false;
const runtimes: readonly Runtime[] = only === undefined ? ["deno", "bun"] : [only];
for (const runtime of runtimes) {
  const command = findRuntime(runtime);
  if (command === null) {
    // Asked for by name it must be there; otherwise its half is left out, visibly.
    failed ||= only !== undefined;
    outcomes.push(`${runtime}: skipped, no ${runtime} found (npm ci installs one)`);
    continue;
  }
  console.log(`\n--- ${runtime}`);
  const startedAt = performance.now();
  const code = await run(command, testArguments(runtime));
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  failed ||= code !== 0;
  outcomes.push(`${runtime}: ${code === 0 ? "passed" : `failed with exit code ${code}`} in ${seconds} s`);
}
console.log(`\n${outcomes.join("\n")}`);
process.exitCode = failed ? 1 : 0;
