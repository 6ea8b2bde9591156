// `npm test` itself: what it counts, what it shows, how it ends.

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { SECONDS } from "../scripts/test_plan.ts";
import { isRecentNode } from "../scripts/tools.ts";
import { type ChildResult, PROJECT_URL, projectUrl, runScript, spawnScript } from "./support/child.ts";
import { runtime } from "./support/runtime.ts";
import { type TempDir, tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const HEAD = `import { test } from "${projectUrl("tests/support/test.ts")}";\n`;
const PASSES = `test("one that passes", () => {});\n`;
const SKIPS = `test("one to skip", () => {}, { skip: "there is no moon" });\n`;
const FAILS = `test("one that fails", () => { console.log("seen before"); throw new Error("on purpose"); });\n`;

/** Writes test files into a directory. */
function writeTests(directory: TempDir, files: Readonly<Record<string, string>>): void {
  for (const [name, tests] of Object.entries(files)) writeFileSync(directory.join(name), HEAD + tests);
}

/** Runs the tests of a directory on this runtime, without their types, which take Deno a second. */
async function runTests(directory: TempDir, ...args: string[]): Promise<ChildResult> {
  return await runScript("scripts/test.ts", { args: ["--only", runtime, "--no-check", ...args, directory.path] });
}

test("scripts/test.ts counts what passed and what was skipped for which reason, over all processes", async () => {
  using directory = tempDir();
  writeTests(directory, {
    "a_test.ts": PASSES + SKIPS,
    "b_test.ts": PASSES + PASSES.replace("one", "two"),
    "no.ts": FAILS,
  });
  const { code, stdout, stderr } = await runTests(directory);
  assertEquals([code, stderr], [0, ""], stdout);
  assertMatch(stdout, new RegExp(`^ok \\| ${runtime}: 3 passed \\| 0 failed \\| 1 skipped`, "m"));
  assertMatch(stdout, new RegExp(`^  ${runtime}: 1 \\(skipped: there is no moon\\)$`, "m"));
});

test("scripts/test.ts counts tests with and without colors in the output", async () => {
  using directory = tempDir();
  writeTests(directory, { "a_test.ts": PASSES + SKIPS });
  for (const colors of [{ FORCE_COLOR: "1" }, { FORCE_COLOR: undefined }]) {
    const env = { NO_COLOR: undefined, CI: undefined, ...colors };
    const args = ["--only", runtime, "--no-check", directory.path];
    const { code, stdout } = await runScript("scripts/test.ts", { args, env });
    assertEquals(code, 0, stdout);
    assertMatch(stdout, new RegExp(`^ok \\| ${runtime}: 1 passed \\| 0 failed \\| 1 skipped`, "m"));
  }
});

test("scripts/test.ts shows all that a failing file said, and ends with exit code 1", async () => {
  using directory = tempDir();
  writeTests(directory, { "a_test.ts": PASSES, "b_test.ts": PASSES + FAILS });
  const { code, stdout } = await runTests(directory);
  assertEquals(code, 1);
  for (const text of ["seen before", "on purpose", "one that fails"]) assertStringIncludes(stdout, text);
  assertMatch(stdout, new RegExp(`^FAILED \\| ${runtime}: 2 passed \\| 1 failed \\| 0 skipped`, "m"));
});

test("scripts/test.ts repeats at its end which tests failed, where and why, a line each", async () => {
  using directory = tempDir();
  const differs = `test("differs", () => assertEquals([1, 2], [1, 3]));\n`;
  const assertions = `import { assertEquals } from "${projectUrl("tests/support/assert.ts")}";\n`;
  writeTests(directory, { "a_test.ts": PASSES + FAILS, "b_test.ts": assertions + differs });
  const { stdout } = await runTests(directory);
  const lines = stdout.split("\n").filter((line) => line.startsWith(`FAILED  ${runtime}  `) && line.includes(" › "));
  assertEquals(lines.length, 2, stdout);
  assertMatch(lines[0]!, /^FAILED {2}\w+ {2}a_test\.ts:\d+ › one that fails: (?:Error|error): on purpose$/);
  assertMatch(
    lines[1]!,
    /^FAILED {2}\w+ {2}b_test\.ts(?::\d+)? › differs: .*Values are not equal.* \| - +2,? \| \+ +3,?$/,
  );
});

test("scripts/test.ts fails for a file that cannot be loaded, and for one that ends its process", async () => {
  const sources = [
    `import "./none.ts";\n`,
    `test("ends", () => { process.kill(process.pid, "SIGKILL"); });\n`,
    `test("ends", () => { process.exit(0); });\n`,
    `test("says it is over", () => { console.log("ℹ pass 1\\nℹ fail 0"); process.exit(1); });\n`,
  ];
  for (const source of sources) {
    using directory = tempDir();
    writeTests(directory, { "a_test.ts": PASSES });
    writeFileSync(directory.join("b_test.ts"), `import process from "node:process";\n${HEAD}${source}`);
    const { code, stdout } = await runTests(directory);
    assertEquals(code, 1, stdout);
    assertMatch(stdout, /^FAILED \|/m);
    assertMatch(stdout, new RegExp(`^FAILED  ${runtime}  .*b_test\\.ts`, "m"));
  }
});

test("scripts/test.ts fails for wrong types, on Deno, which checks them", async () => {
  using directory = tempDir();
  writeTests(directory, { "a_test.ts": `const text: string = 5;\ntest("text", () => void text);\n` });
  const { code, stdout } = await runScript("scripts/test.ts", { args: ["--only", runtime, directory.path] });
  assertEquals(code, runtime === "deno" ? 1 : 0, stdout);
  if (runtime === "deno") assertStringIncludes(stdout, "not assignable to type 'string'");
});

test("scripts/test.ts --filter runs the tests of that name, and --seed gives them a seed", async () => {
  using directory = tempDir();
  const seed = `test("says its seed", () => console.log("seed", process.env.SEED));\n`;
  writeTests(directory, { "a_test.ts": PASSES + FAILS });
  writeFileSync(
    directory.join("b_test.ts"),
    `import process from "node:process";\n${HEAD}${seed.replace(".SEED", '["SEED"]')}`,
  );
  const { code, stdout } = await runTests(directory, "--filter", "says its", "--seed", "17");
  assertEquals(code, 0, stdout);
  assertStringIncludes(stdout, "seed 17\n");
  assertMatch(stdout, /^ok \| \w+: 1 passed \| 0 failed/m);
});

test("scripts/test.ts leaves Node out where it is too old, says so, and fails if it is asked for", async () => {
  using directory = tempDir();
  writeTests(directory, { "a_test.ts": PASSES });
  writeFileSync(directory.join("node"), "#!/bin/sh\necho v26.8.1\n", { mode: 0o755 });
  const env = { PATH: `${directory.path}:${process.env["PATH"]}` };
  for (const [only, wanted] of [[[], 0], [["--only", "node"], 1]] as const) {
    const { code, stdout } = await runScript("scripts/test.ts", { args: [...only, "--no-check", directory.path], env });
    assertEquals(code, wanted, stdout);
    assertMatch(stdout, /^Skipped: node, as no Node ≥ 26\.9 was found/m);
  }
}, { skip: runtime === "node" && "it finds the Node that runs it" });

test("isRecentNode() takes 26.9 and what is later", () => {
  for (const version of ["v26.9.0", "v26.10.0\n", "v27.0.0-nightly2026"]) assert(isRecentNode(version), version);
  for (const version of ["v20.20.2\n", "v26.8.11", "v9.11.2", ""]) assert(!isRecentNode(version), version);
});

test("scripts/test.ts has times only for files that exist", () => {
  for (const file of Object.keys(SECONDS)) assert(existsSync(new URL(file, PROJECT_URL)), file);
});

test("scripts/test.ts --quick says which files it leaves out", async () => {
  const { code, stdout } = await runScript("scripts/test.ts", {
    args: ["--only", runtime, "--no-check", "--quick", "tests/ring_test.ts", "tests/faults/fuzz_test.ts"],
  });
  assertEquals(code, 0, stdout);
  assertMatch(stdout, /^Skipped by --quick: tests\/faults\/fuzz_test\.ts$/m);
  assertMatch(stdout, /^ok \| \w+: 6 passed/m);
});

test("scripts/test.ts runs a file that only reads texts on one of the runtimes", async () => {
  const { code, stdout } = await runScript("scripts/test.ts", { args: ["--no-check", "tests/format_doc_test.ts"] });
  assertEquals(code, 0, stdout);
  assertEquals([...stdout.matchAll(/^ok \| \w+: [1-9]\d* passed/gm)].length, 1, stdout);
});

test("scripts/test.ts ends the tests, and what they have started, when it is told to end", async () => {
  using directory = tempDir();
  const pids = directory.join("pids");
  writeFileSync(
    directory.join("a_test.ts"),
    `import { spawn } from "node:child_process";
    import { writeFileSync, renameSync } from "node:fs";
    import process from "node:process";
    ${HEAD}
    test("hangs", async () => {
      const child = spawn("sleep", ["1000"]);
      writeFileSync("${pids}.new", process.pid + " " + child.pid);
      renameSync("${pids}.new", "${pids}");
      await new Promise(() => setInterval(() => {}, 1000));
    });\n`,
  );
  await using runner = spawnScript("scripts/test.ts", { args: ["--only", runtime, "--no-check", directory.path] });
  const isOver = runner.result.then(() => true);
  while (!existsSync(pids)) {
    const hasEnded = await Promise.race([isOver, new Promise<false>((resolve) => setTimeout(() => resolve(false), 5))]);
    assert(!hasEnded, "it ended before the test had begun");
  }
  // Not runner.kill(), because in Deno that reports the child as ended by the signal.
  process.kill(runner.pid, "SIGINT");
  const { code, stdout } = await runner.result;
  assertEquals(code, 130);
  assertStringIncludes(stdout, `FAILED  ${runtime}  did not end: ${directory.join("a_test.ts")}\n`);
  for (const pid of readFileSync(pids, "utf8").split(" ").map(Number)) {
    while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 5));
  }
}, { skip: process.platform !== "linux" && "looks into /proc" });

/** Whether a process runs. A zombie counts as ended. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
