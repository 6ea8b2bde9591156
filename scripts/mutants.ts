// Breaks a copy of the library in many small ways, and expects the suites to notice each.
//
//   scripts/mutants.ts [--quick] [--only text] [--write]
//
// `--only` takes a part of a name, or a hazard: `--only H59`.
//
// Each mutant is tried alone: its test files run, the likeliest first, until one fails. The mutant
// counts as caught if that file names its hazard in its first lines. The run fails if a mutant no
// longer applies, or if no test notices it. `--write` keeps which test
// caught each mutant, and writes docs/faults.md.

import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { writeCaught, writeDocument } from "./fault_document.ts";
import { type Mutant, MUTANTS } from "./mutants_list.ts";
import { hazardsNamed } from "./test_names.ts";
import { denoFlags, findRuntime, hasNodeModules, plainEnvironment, PROJECT } from "./tools.ts";

/** The outcome of a mutant's trial. */
interface Outcome {
  readonly mutant: Mutant;
  readonly caught: boolean;
  /** The file and test that failed, or what went wrong. */
  readonly by: string;
  readonly seconds: number;
}

const WORKERS = 2;
const LIMIT_MS = 600_000;
/** What the tests need of the tree. */
const COPIED = [
  "cli",
  "ffi",
  "src",
  "tests",
  "scripts",
  "docs",
  "examples",
  "mod.ts",
  "testing.ts",
  "deno.json",
  "package.json",
  "README.md",
];

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    write: { type: "boolean", default: false },
  },
});
const deno = findRuntime("deno");
if (deno === null) throw new Error("The mutants are tried on Deno, and there is none");
const chosen = MUTANTS.filter(({ name, hazard, quick }) =>
  (!values.quick || quick === true) &&
  (values.only === undefined || values.only === hazard || name.includes(values.only))
);
if (chosen.length === 0) {
  throw new RangeError(`--only ${values.only}: no mutant has that in its name, or as its hazard`);
}

const outcomes: Outcome[] = [];
const queue = [...chosen];
const startedAt = performance.now();
await Promise.all(Array.from({ length: WORKERS }, worker));
outcomes.sort((a, b) => chosen.indexOf(a.mutant) - chosen.indexOf(b.mutant));

const missed = outcomes.filter(({ caught }) => !caught);
const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
console.log(`\n${outcomes.length - missed.length} of ${outcomes.length} mutants caught in ${seconds} s`);
for (const { mutant, by } of missed) console.log(`NOT CAUGHT  ${mutant.name} (${mutant.hazard}): ${by}`);
if (values.write && missed.length === 0) {
  writeCaught(Object.fromEntries(outcomes.map(({ mutant, by }) => [mutant.name, by.replace("tests/", "")])));
  writeDocument();
}
process.exitCode = missed.length === 0 ? 0 : 1;

/** Tries one mutant after the other, in a tree of its own. */
async function worker(): Promise<void> {
  const tree = fs.mkdtempSync(join(tmpdir(), "wal-mutants-"));
  try {
    for (const name of COPIED) {
      if (fs.existsSync(join(PROJECT, name))) fs.cpSync(join(PROJECT, name), join(tree, name), { recursive: true });
    }
    if (hasNodeModules) fs.symlinkSync(join(PROJECT, "node_modules"), join(tree, "node_modules"));
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const began = performance.now();
      const verdict = await attempt(tree, mutant);
      const outcome = { mutant, ...verdict, seconds: (performance.now() - began) / 1000 };
      outcomes.push(outcome);
      const mark = outcome.caught ? "caught    " : "NOT CAUGHT";
      console.log(
        `${mark} ${outcome.seconds.toFixed(1).padStart(5)} s  ${mutant.hazard.padEnd(3)} ${mutant.name}: ${outcome.by}`,
      );
    }
  } finally {
    fs.rmSync(tree, { recursive: true, force: true });
  }
}

async function attempt(tree: string, mutant: Mutant): Promise<{ caught: boolean; by: string }> {
  const originals = new Map<string, string>();
  try {
    for (const { file, find, replace } of mutant.edits) {
      const path = join(tree, file);
      const text = fs.readFileSync(path, "utf8");
      if (!originals.has(path)) originals.set(path, text);
      const count = text.split(find).length - 1;
      if (count !== 1) return { caught: false, by: `does not apply: ${count} times in ${file}: ${find}` };
      fs.writeFileSync(path, text.replace(find, () => replace));
    }
    for (const test of mutant.tests) {
      const failed = await failingTest(tree, test);
      if (failed === null) continue;
      if (failed === "") return { caught: false, by: `${test} does not run` };
      const named = hazardsNamed(fs.readFileSync(join(tree, test), "utf8"));
      if (!named.has(mutant.hazard)) return { caught: false, by: `${test} fails, but does not name ${mutant.hazard}` };
      return { caught: true, by: `${test} › ${failed}` };
    }
    return { caught: false, by: "no test fails" };
  } finally {
    for (const [path, text] of originals) fs.writeFileSync(path, text);
  }
}

/**
 * The name of the first test of a file that fails; null if none does; "" if the file does not run.
 */
function failingTest(tree: string, test: string): Promise<string | null> {
  const args = ["test", ...denoFlags, "--no-check", "--allow-all", "--fail-fast", test];
  // Elsewhere each runtime takes a part of the long tests.
  const env = { ...plainEnvironment(), WHOLE: "1" };
  return new Promise((resolve, reject) => {
    const child = spawn(deno!, args, { cwd: tree, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    child.stderr.resume();
    const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
    child.once("error", reject);
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      if (code === 0) return resolve(null);
      // A test that prints has its verdict on a separate line.
      const failed = /^(.+?) \.\.\..*FAILED/m.exec(output)?.[1] ?? /^(.+?) => .*test\.ts/m.exec(output)?.[1];
      const running = output.trimEnd().split("\n").at(-1)?.split(" ...")[0] ?? "";
      resolve(failed ?? (signal !== null ? `${running} (ends with ${signal})` : ""));
    });
  });
}
