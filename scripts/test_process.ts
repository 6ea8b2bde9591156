// Runs one process of a runtime's own test runner, and reads its counts from its output.

import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import type { Batch } from "./test_plan.ts";
import { denoFlags, nodeFlags, plainEnvironment, PROJECT, type Runtime } from "./tools.ts";

/** How tests are run, whichever they are. */
export interface TestSettings {
  /** The runtimes' binaries. Wrappers would take the signals meant for them. */
  readonly commands: Readonly<Record<Runtime, string>>;
  readonly filter: string | undefined;
  /** Whether to print the output while the process runs. */
  readonly isLive: boolean;
}

/** The outcome of a process. */
export interface Outcome {
  readonly batch: Batch;
  readonly passed: number;
  readonly failed: number;
  /** Names of the tests that were skipped, each with its reason. */
  readonly skipped: readonly string[];
  /** What went wrong besides tests; null if nothing did. */
  readonly problem: string | null;
  readonly output: string;
  readonly seconds: number;
  /** The most memory of the process itself, in MiB; 0 if the system does not say. */
  readonly peakMiB: number;
}

const running = new Set<ChildProcess>();

/** Ends every process that runs, and those that it has started. */
export function killAll(): void {
  for (const child of running) {
    try {
      process.kill(-child.pid!, "SIGKILL");
    } catch { /* it has ended */ }
  }
}

function argumentsOf({ runtime, files }: Batch, filter: string | undefined): string[] {
  if (runtime === "deno") {
    const filters = filter === undefined ? [] : [`--filter=${filter}`];
    // Types are checked once for all files, not in each process.
    return ["test", ...denoFlags, "--no-check", "--allow-all", ...filters, ...files];
  }
  const filters = filter === undefined ? [] : ["--test-name-pattern", RegExp.escape(filter)];
  if (runtime === "node") {
    // All files in this process, as the other runners have it. Node's own would be one for each.
    return [...nodeFlags, "--test", "--test-isolation=none", "--test-reporter=spec", ...filters, ...files];
  }
  // A bare word is a filter of names to Bun; with ./ it is a path.
  return ["test", ...filters, ...files.map((path) => path.startsWith("/") ? path : `./${path}`)];
}

/** Runs the tests of some files. Rejects only if the process cannot be started. */
export function runTests(batch: Batch, { commands, filter, isLive }: TestSettings): Promise<Outcome> {
  return runProcess(commands[batch.runtime], argumentsOf(batch, filter), isLive, (ended) => judge(batch, ended));
}

/** Checks the types of test files, as `deno test` does. */
export function checkTypes(files: readonly string[], command: string): Promise<string | null> {
  return runProcess(
    command,
    ["check", ...denoFlags, ...files],
    false,
    ({ ending, output }) => ending === null ? null : output,
  );
}

interface Ended {
  /** Null if the process ended with exit code 0. */
  readonly ending: string | null;
  readonly output: string;
  readonly seconds: number;
  readonly peakMiB: number;
}

function runProcess<T>(command: string, args: string[], isLive: boolean, conclude: (ended: Ended) => T): Promise<T> {
  const env = plainEnvironment();
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    // A process group of its own, so that one signal also ends what the process starts.
    const child = spawn(command, args, { cwd: PROJECT, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    running.add(child);
    let output = "";
    let peakMiB = 0;
    const hear = (text: string) => {
      output += text;
      if (isLive) process.stdout.write(text);
    };
    child.stdout.setEncoding("utf8").on("data", hear);
    child.stderr.setEncoding("utf8").on("data", hear);
    const watch = setInterval(() => peakMiB = Math.max(peakMiB, residentMiB(child.pid!)), 500);
    child.once("error", reject);
    child.once("close", (code, signal) => {
      clearInterval(watch);
      running.delete(child);
      const ending = code === 0 ? null : signal === null ? `exit code ${code}` : String(signal);
      resolve(conclude({ ending, output, seconds: (performance.now() - startedAt) / 1000, peakMiB }));
    });
  });
}

function residentMiB(pid: number): number {
  try {
    return Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

function judge(batch: Batch, { ending, output, seconds, peakMiB }: Ended): Outcome {
  const said = READERS[batch.runtime](output);
  const { passed, failed, skipped } = said ?? { passed: 0, failed: 0, skipped: [] };
  const problem = said === null
    ? `the process did not say what it ran, and ended with ${ending ?? "exit code 0"}`
    : ending !== null && failed === 0
    ? `the process ended with ${ending}`
    : null;
  return { batch, passed, failed, skipped, problem, output, seconds, peakMiB };
}

type Said = Pick<Outcome, "passed" | "failed" | "skipped">;

/** Each reads what a runtime's runner says; null if the end is missing. */
const READERS: Readonly<Record<Runtime, (output: string) => Said | null>> = {
  deno: readDeno,
  bun: readBun,
  node: readNode,
};

/**
 * Reads `ok | 12 passed (3 steps) | 0 failed | 2 ignored (10s)`, and lines of tests. Tests may
 * print such lines too, so the last one counts.
 */
function readDeno(output: string): Said | null {
  const line = [...output.matchAll(/^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed/gm)].at(-1);
  if (line === undefined) return null;
  const skipped = [...output.matchAll(/^(.*) \.\.\. ignored \(.*\)$/gm)].map(([, name = ""]) => name);
  return { passed: Number(line[1]), failed: Number(line[2]), skipped };
}

/**
 * Reads ` 12 pass`, ` 2 skip`, ` 0 fail`, each on its line, and lines of tests. A long run repeats
 * some lines of tests.
 */
function readBun(output: string): Said | null {
  const last = (word: string) => [...output.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].at(-1)?.[1];
  const failed = last("fail");
  if (failed === undefined) return null;
  const skipped = [...output.matchAll(/^\(skip\) (.*)$/gm)].map(([, name = ""]) => name);
  return {
    passed: Number(last("pass") ?? 0),
    failed: Number(failed),
    skipped: skipped.slice(0, Number(last("skip") ?? 0)),
  };
}

/**
 * Reads `ℹ pass 12`, `ℹ fail 1`, `ℹ cancelled 0`, `ℹ skipped 2`, each on its line, and lines of
 * tests. Cancelled tests are those that did not end.
 */
function readNode(output: string): Said | null {
  const last = (word: string) => [...output.matchAll(new RegExp(`^ℹ ${word} (\\d+)$`, "gm"))].at(-1)?.[1];
  const failed = last("fail");
  if (failed === undefined) return null;
  const skipped = [...output.matchAll(/^﹣ (.*) \([\d.]+ms\)/gm)].map(([, name = ""]) => name);
  return {
    passed: Number(last("pass") ?? 0),
    failed: Number(failed) + Number(last("cancelled") ?? 0),
    skipped: skipped.slice(0, Number(last("skipped") ?? 0)),
  };
}
