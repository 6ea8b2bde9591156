// Fault: a program is loaded anew, or a part of it ends, in a process that goes on, and nobody
//   closed the log: `--watch`, `--hot`, a test that threw, a terminated worker (H45).
// Promise: the log can be opened again with all of its records, or the error says why not. There is
//   one writer all the same (G7).
// Method: real runs of each, in children whose files are changed. They wait for nothing but what a
//   child prints.

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import { fileURLToPath } from "node:url";
import { WAL, WALLockedError } from "../../mod.ts";
import { Child, type ChildResult, PROJECT_URL, projectUrl, runSnippet, runtimeBinary } from "../support/child.ts";
import { runtime } from "../support/runtime.ts";
import { nodeFlags } from "../../scripts/tools.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const MOD = JSON.stringify(projectUrl("mod.ts"));
const WORKER = JSON.stringify(projectUrl("tests/support/worker.ts"));
const CONFIG = `--config=${fileURLToPath(new URL("deno.json", PROJECT_URL))}`;
const notDeno = runtime !== "deno" && "only Deno has this";
const onBun = runtime === "bun" && "JavaScriptCore keeps the file mapped";
const notBun = runtime !== "bun" && "only Bun has this";
/** The arguments with which each runtime runs or tests a program that imports the project. */
const RUN = {
  deno: ["run", "--no-prompt", "--no-check", "--no-lock", CONFIG, "-A"],
  bun: [],
  node: [...nodeFlags, "--watch-preserve-output"],
};
const TEST = {
  deno: ["test", "-A", "--no-check", "--no-lock", CONFIG],
  bun: ["test"],
  // One file after the other, each in a process of its own.
  node: [...nodeFlags, "--test", "--test-concurrency=1"],
};

/** A program that opens the log, never closes it, and goes on; what it prints names its round. */
function program(path: string, round: number): string {
  return `
    import { WAL } from ${MOD};
    const wal = WAL.open(${JSON.stringify(path)}, { size: 65536 });
    await wal.logInsert(${round}, 1, 1, 1);
    wal.consumeAsync({ applyBatch() {} }).then(() => console.log("consumer of round ${round} ended"));
    console.log("round ${round}:", wal.head - 1, "records, clean", wal.recovery.clean);
    if (globalThis.before !== undefined) {
      try {
        globalThis.before.open();
      } catch (error) {
        console.log("round ${round}: the one before is", error.code);
      }
    }
    globalThis.before = wal;
    setInterval(() => {}, 1000);`;
}

/** Runs a program under a watcher, and changes it twice. */
async function reloads(flags: readonly string[], use: (child: Child) => unknown): Promise<void> {
  using directory = tempDir();
  const main = directory.join("main.ts");
  const path = directory.join("log");
  fs.writeFileSync(main, program(path, 1));
  await using child = new Child([runtimeBinary(), ...RUN[runtime], ...flags, main], { cwd: directory.path });
  try {
    await child.line(/^round 1:.*records/);
    for (const round of [2, 3]) {
      await changed(main, program(path, round), child.line(new RegExp(`^round ${round}:.*records`)));
    }
    await use(child);
  } finally {
    // Node's watcher ends its program when it is told to end, and not when it is killed.
    child.kill("SIGTERM");
    await child.result;
  }
}

/**
 * Changes a file until the change shows an effect, because a watcher may not look yet when its
 * program begins.
 */
async function changed(path: string, text: string, result: Promise<unknown>): Promise<void> {
  let isThere = false;
  const done = result.finally(() => isThere = true);
  for (let patienceMs = 500; !isThere; patienceMs *= 2) {
    fs.writeFileSync(path, text);
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, patienceMs);
    await Promise.race([done, promise]);
    clearTimeout(timer);
  }
  await done;
}

test(
  "WAL.open() of a program under `deno run --watch` opens the log that it did not close before it was restarted",
  async () => {
    await reloads(["--watch"], async (child) => {
      for (const round of [2, 3]) assertStringIncludes(await child.line(new RegExp(`^round ${round}:`)), "clean true");
    });
  },
  { skip: notDeno },
);

for (const command of ["bun --watch", "node --watch"]) {
  test(
    `WAL.open() of a program under \`${command}\` opens the log that it did not close before it was restarted`,
    async () => {
      await reloads(["--watch"], () => {});
    },
    { skip: !command.startsWith(runtime) && `this is ${runtime}` },
  );
}

test(
  "WAL.open() of a program under `bun --hot` takes over the log of its evaluation before, which does not get it back",
  async () => {
    await reloads(["--hot"], async (child) => {
      for (const round of [2, 3]) {
        assertStringIncludes(await child.line(new RegExp(`^round ${round}:`)), "clean true");
        await child.line(new RegExp(`^round ${round}: the one before is LOCKED$`));
        await child.line(new RegExp(`^consumer of round ${round - 1} ended$`));
      }
    });
  },
  { skip: notBun },
);

/**
 * Runs test files that each open the same log, append to it, and throw. In the first file two tests
 * do.
 */
async function failingTests(directory: TempDir): Promise<ChildResult> {
  const body = `() => {
    const wal = WAL.open(${JSON.stringify(directory.join("log"))}, { size: 65536 });
    wal.logInsertSync(1, 2, 3, 4);
    console.log("opened", wal.length, wal.recovery.clean);
    throw new Error("boom");
  }`;
  const register = runtime === "deno" ? "Deno.test" : "test";
  const header = `import { WAL } from ${MOD};\n${
    runtime === "deno" ? "" : `import { test } from "${runtime}:test";\n`
  }`;
  fs.writeFileSync(directory.join("a_test.ts"), `${header}${register}("one", ${body});\n${register}("two", ${body});`);
  fs.writeFileSync(directory.join("b_test.ts"), `${header}${register}("three", ${body});`);
  const command = [runtimeBinary(), ...TEST[runtime], "./a_test.ts", "./b_test.ts"];
  return await new Child(command, { cwd: directory.path }).result;
}

test("WALLockedError tells a test that follows one that threw why the log is locked; in Deno the next file opens it", async () => {
  using directory = tempDir();
  const { stdout, stderr } = await failingTests(directory);
  const opened = stdout.split("\n").filter((line) => line.startsWith("opened"));
  // Node runs the next file in another process, and Deno closes the log before the next file.
  const inNextFile = { deno: ["opened 2 true"], bun: [], node: ["opened 2 false"] };
  assertEquals(opened, ["opened 1 true", ...inNextFile[runtime]]);
  const why = `(this process): another instance is still open, perhaps after a reload, a failed test`;
  assertStringIncludes(stdout + stderr, why);
});

test(
  "WAL that a Deno program left open is closed when the program ends, after its own unload listeners' close() too",
  async () => {
    using directory = tempDir();
    for (const [round, end] of ["", "Deno.exit(0);", 'addEventListener("unload", () => wal.close());'].entries()) {
      const path = directory.join(`log${round}`);
      const { code, stderr } = await runSnippet(`
      import { WAL } from ${MOD};
      const wal = WAL.open(${JSON.stringify(path)}, { size: 65536 });
      wal.logInsertSync(1, 2, 3, 4);
      ${end}`);
      assertEquals([code, stderr], [0, ""]);
      using wal = WAL.open(path);
      assertEquals([wal.recovery.clean, wal.length], [true, 1]);
    }
  },
  { skip: notDeno },
);

/** A try a millisecond: a thread that is told to end may have to wait for a processor. */
const MOST_TRIES = 60_000;

/** The worker maps its log outside WebAssembly memories, as a log that is too large for them. */
const MAPPED_OUTSIDE = `
     import { FileMemory } from ${JSON.stringify(projectUrl("ffi/file_memory.ts"))};
     FileMemory.toMap = () => null;`;

/**
 * A program that opens a log in a worker, terminates the worker, and tries to open the log several
 * times.
 *
 * @param before what the worker does first.
 */
function terminating(directory: TempDir, tries: number, before = ""): string {
  const path = JSON.stringify(directory.join("log"));
  fs.writeFileSync(
    directory.join("worker.ts"),
    `import { WAL } from ${MOD};
     import { answer } from ${WORKER};${before}
     const opening = (async () => {
       const wal = WAL.open(${path}, { size: 65536 });
       await wal.logInsert(1, 2, 3, 4);
       return wal;
     })();
     answer(async (message) => {
       const wal = await opening;
       if (message === "close") wal.close();
       return "done";
     });`,
  );
  return `
    import { WAL } from ${MOD};
    import { startWorker } from ${WORKER};
    const worker = startWorker(new URL(${JSON.stringify(`file://${directory.join("worker.ts")}`)}));
    await worker.ask("is it open?");
    if (${tries} === 0) await worker.ask("close"); // what a program can do
    await worker.terminate();
    for (let i = 0;; i++) {
      try {
        const wal = WAL.open(${path});
        console.log("opened", wal.length, wal.recovery.clean);
        wal.close();
        break;
      } catch (error) {
        if (error.code !== "LOCKED") throw error;
        if (i >= ${tries}) {
          console.log(error.message);
          break;
        }
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }`;
}

test("WAL.open() opens a log that a terminated worker on V8 had open, without its process ending", async () => {
  using directory = tempDir();
  const { stdout, stderr } = await runSnippet(terminating(directory, MOST_TRIES));
  assertEquals([stdout, stderr], ["opened 1 false\n", ""]);
}, { skip: onBun });

// The thread ends, and such a mapping does not.
test("WAL.open() opens a large log that a terminated worker on V8 had open, without its process ending", async () => {
  using directory = tempDir();
  const { stdout, stderr } = await runSnippet(terminating(directory, MOST_TRIES, MAPPED_OUTSIDE));
  assertEquals([stdout, stderr], ["opened 1 false\n", ""]);
}, { skip: onBun });

test("WALLockedError says why a log is locked that a terminated Bun worker had open", async () => {
  using directory = tempDir();
  const { stdout } = await runSnippet(terminating(directory, 20));
  assertStringIncludes(stdout, "a terminated worker");
}, { skip: notBun });

test("WAL.open() opens a log at once that a worker closed before it was terminated", async () => {
  using directory = tempDir();
  const { stdout } = await runSnippet(terminating(directory, 0));
  assertEquals(stdout, "opened 1 true\n");
});

test("open() takes nothing over from this evaluation of the module, nor from one of another URL", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  const copy = directory.join("copy");
  for (const part of ["mod.ts", "ffi", "src"]) {
    fs.cpSync(new URL(part, PROJECT_URL), `${copy}/${part}`, { recursive: true });
  }
  using wal = WAL.open(path, { size: 65536 });
  const other: { WAL: typeof WAL } = await import(`file://${copy}/mod.ts`);
  assert(other.WAL !== WAL);
  for (const { open } of [WAL, other.WAL, WAL]) {
    const error = assertThrows(() => open(path));
    assertEquals((error as WALLockedError).code, "LOCKED");
  }
  assertThrows(() => WAL.open(path), WALLockedError);
  wal.logInsertSync(1, 2, 3, 4);
  wal.flush();
  assertEquals([wal.isOpen, wal.length], [true, 1]);
});

test("WAL that stays open from one test to the next is passed over by `deno test` with sanitizeOps", async () => {
  using directory = tempDir();
  const strict = "sanitizeOps: true, sanitizeResources: true";
  fs.writeFileSync(
    directory.join("x_test.ts"),
    `import { WAL } from ${MOD};
     // A slow disk's syncs would go off the thread, and the header's might last longer than a test.
     const wal = WAL.open(${JSON.stringify(directory.join("log"))}, {
       size: 65536,
       flush: "inline",
       idleHeaderDelayMs: 20,
     });
     const tests = {
       async append() { await wal.logInsert(1, 2, 3, 4); },
       async again() { wal.logInsertSync(1, 2, 3, 4); await wal.flushAsync(); },
       // The idle log writes its header here.
       async idle() { while (wal.stats().headerSyncs === 0) await new Promise((resolve) => setTimeout(resolve, 1)); },
       async consume() {
         const stop = new AbortController();
         const consuming = wal.consumeAsync({ applyBatch() {} }, { signal: stop.signal });
         await wal.whenApplied();
         stop.abort();
         await consuming;
       },
       async reopen() { await wal[Symbol.asyncDispose](); wal.open(); },
       close() { wal.close(); },
     };
     for (const [name, fn] of Object.entries(tests)) Deno.test({ name, fn, ${strict} });`,
  );
  const { code, stdout } = await new Child([runtimeBinary(), ...TEST[runtime], "x_test.ts"], { cwd: directory.path })
    .result;
  assertEquals(code, 0, stdout);
  assertStringIncludes(stdout, "6 passed");
}, { skip: notDeno });
