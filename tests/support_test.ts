import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { existsSync, writeFileSync } from "node:fs";
import { projectUrl, runScript, runSnippet, spawnSnippet } from "./support/child.ts";
import { runtime } from "./support/runtime.ts";
import { tempDir, withTempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

test("test() skips with its reason", () => {
  throw new Error("not to be run");
}, { skip: "this test is there to be skipped" });

test("tempDir() is gone once disposed, with what it holds", () => {
  let path: string;
  {
    using directory = tempDir();
    path = directory.path;
    writeFileSync(directory.join("file"), "content");
    assert(existsSync(directory.join("file")));
  }
  assert(!existsSync(path));
});

test("withTempDir() removes the directory when the function throws", async () => {
  let path = "";
  await assertRejects(
    () =>
      withTempDir((directory) => {
        path = directory;
        throw new Error("on purpose");
      }),
    Error,
    "on purpose",
  );
  assert(path !== "" && !existsSync(path));
});

test("runSnippet() collects output and exit code from the same runtime", async () => {
  const result = await runSnippet(
    `
    import { runtime } from ${JSON.stringify(projectUrl("tests/support/runtime.ts"))};
    import process from "node:process";
    console.log(runtime, process.argv[2] ?? "");
    console.error("to stderr");
    process.exit(3);
  `,
    { args: ["argument"] },
  );
  assertEquals(result, {
    code: 3,
    signal: null,
    stdout: `${runtime} argument\n`,
    stderr: "to stderr\n",
  });
});

test("spawnSnippet() can wait for a line, then kill", async () => {
  await using child = spawnSnippet(
    `console.log("one\\nready 17"); setInterval(() => {}, 1000);`,
  );
  assertEquals(await child.line(/^ready/), "ready 17");
  child.kill();
  const { code, signal } = await child.result;
  assertEquals([code, signal], [null, "SIGKILL"]);
});

test("Child.line() rejects when the child ends without the line", async () => {
  await using child = spawnSnippet(`console.log("something else")`);
  const error = await assertRejects(() => child.line(/^ready/), Error);
  assertMatch(error.message, /something else/);
});

test("Child that does not end in time is killed", async () => {
  await using child = spawnSnippet(`setInterval(() => {}, 1000);`, {
    timeoutMs: 300,
  });
  await assertRejects(() => child.result, Error, "did not end within 300 ms");
});

test("runSnippet() rejects when the child cannot start", async () => {
  await assertRejects(
    () => runScript("mod.ts", { wrapper: ["/nonexistent/wrapper"] }),
    Error,
  );
});

test("assertThrows() returns the error as its class", () => {
  const error = assertThrows(() => {
    throw new RangeError("on purpose");
  }, RangeError);
  assertEquals(error.message, "on purpose");
});
