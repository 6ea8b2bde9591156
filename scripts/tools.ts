// How the scripts find and start the runtimes, with or without npm's node_modules.

import { spawn, type SpawnOptions, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Runtime, runtime } from "../tests/support/runtime.ts";

export type { Runtime };

/** The project's directory. */
export const PROJECT: string = fileURLToPath(new URL("..", import.meta.url));

/** Whether the development dependencies are installed, by npm, Bun or Deno. */
export const hasNodeModules: boolean = existsSync(new URL("../node_modules/deno-std", import.meta.url));

/** All runtimes, in the order in which they are named. */
export const RUNTIMES: readonly Runtime[] = ["deno", "bun", "node"];

/** The first version of Node that has what the log needs without a flag. */
const LEAST_NODE = [26, 9] as const;

/** What is said of a runtime that is not there. */
export const NOT_FOUND: Readonly<Record<Runtime, string>> = {
  deno: "no deno was found (npm ci installs one)",
  bun: "no bun was found (npm ci installs one)",
  node: `no Node ≥ ${LEAST_NODE.join(".")} was found (the node on the path is taken)`,
};

/** A runtime's command: that of this process, of the development dependencies, or on the path. */
export function findRuntime(name: Runtime): string | null {
  const candidates = [`${PROJECT}/node_modules/.bin/${name}`, name];
  if (name === runtime) candidates.unshift(process.execPath);
  return candidates.find((command) => canRun(name, command)) ?? null;
}

function canRun(name: Runtime, command: string): boolean {
  const { status, stdout } = spawnSync(command, ["--version"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  // Bun's command exists even if its postinstall script did not run. Then it only says so.
  if (status !== 0) return false;
  return name !== "node" || isRecentNode(stdout);
}

/** Whether the log can run on a Node that says this of its version. */
export function isRecentNode(version: string): boolean {
  const [, major, minor] = (/^v(\d+)\.(\d+)\./.exec(version) ?? []).map(Number);
  if (major === undefined || minor === undefined) return false;
  return major > LEAST_NODE[0] || (major === LEAST_NODE[0] && minor >= LEAST_NODE[1]);
}

/**
 * The binary of a runtime. npm's command for Deno is a script that starts the binary, and would
 * take the signals meant for it.
 */
export function findBinary(name: Runtime): string | null {
  const command = findRuntime(name);
  if (name !== "deno" || command === null) return command;
  const { stdout } = spawnSync(command, ["eval", "--print", "Deno.execPath()"], {
    encoding: "utf8",
    env: plainEnvironment(),
  });
  return stdout.trim() || command;
}

/**
 * Flags for `deno run`, `test` and `check` to find the development dependencies. They are in
 * node_modules if that exists. Otherwise Deno loads the few that the tests import into its own
 * cache.
 */
export const denoFlags: readonly string[] = hasNodeModules ? [] : ["--node-modules-dir=none"];

/**
 * Flags for Node to run the project's modules: the hook that finds what tests import. Warnings are
 * left out that say only what is known: `node:ffi` and `node:sqlite` are experimental, and a file
 * outside of the project has no package.json.
 */
export const nodeFlags: readonly string[] = [
  "--disable-warning=ExperimentalWarning",
  "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON",
  `--import=${new URL("../tests/support/node_imports.ts", import.meta.url).href}`,
];

/** The arguments with which a runtime runs a module of the project. */
export function runArguments(name: Runtime): readonly string[] {
  if (name === "deno") return ["run", "--quiet", ...denoFlags, "--allow-all"];
  return name === "bun" ? ["run"] : nodeFlags;
}

/** The environment of every process that the scripts start. */
function environment(): NodeJS.ProcessEnv {
  return hasNodeModules ? { ...process.env } : { ...process.env, DENO_NO_PACKAGE_JSON: "1" };
}

/**
 * The environment of a process whose output is read. Deno colors its output in a pipe too unless
 * NO_COLOR is set, and FORCE_COLOR overrides NO_COLOR on every runtime. Node's test runner would
 * run no tests in what it takes for one of its own processes. Without a cache each process on Node
 * takes the types out of every module again, which is four fifths of its start.
 */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...environment(), NO_COLOR: "1" };
  delete env["FORCE_COLOR"];
  delete env["NODE_TEST_CONTEXT"];
  env["NODE_COMPILE_CACHE"] ??= join(tmpdir(), "node-compile-cache");
  return env;
}

/**
 * Runs a command in the project's directory, with its output shown. Resolves with its exit code.
 */
export function run(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<number> {
  const env: NodeJS.ProcessEnv = { ...environment(), ...options.env };
  return new Promise((resolve, reject) => {
    spawn(command, args, { cwd: PROJECT, stdio: ["ignore", "inherit", "inherit"], ...options, env })
      .once("error", reject)
      .once("close", (code) => resolve(code ?? 1));
  });
}
