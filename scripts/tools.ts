// How the scripts find and start the runtimes: on Deno, on Bun, with or without npm's node_modules.

import { spawn, type SpawnOptions, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The project's directory. */
export const PROJECT: string = fileURLToPath(new URL("..", import.meta.url));

/** Whether the development dependencies are installed, by npm, Bun or Deno. */
export const hasNodeModules: boolean = existsSync(new URL("../node_modules/deno-std", import.meta.url));

export type Runtime = "deno" | "bun";

/** A runtime's command: that of this process, of the development dependencies, or on the path. */
export function findRuntime(name: Runtime): string | null {
  const candidates = [`${PROJECT}/node_modules/.bin/${name}`, name];
  if (name === ("Deno" in globalThis ? "deno" : "bun")) candidates.unshift(process.execPath);
  // Bun's command exists even if its postinstall script did not run. Then it only says so.
  return candidates.find((command) => spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0) ?? null;
}

/**
 * The binary of a runtime. npm's command for Deno is a script that starts the binary, and would
 * take the signals meant for it.
 */
export function findBinary(name: Runtime): string | null {
  const command = findRuntime(name);
  if (name === "bun" || command === null) return command;
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

/** The environment of every process that the scripts start. */
function environment(): NodeJS.ProcessEnv {
  return hasNodeModules ? { ...process.env } : { ...process.env, DENO_NO_PACKAGE_JSON: "1" };
}

/**
 * The environment of a process whose output is read. Deno colors its output in a pipe too unless
 * NO_COLOR is set, and FORCE_COLOR overrides NO_COLOR on both runtimes.
 */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...environment(), NO_COLOR: "1" };
  delete env["FORCE_COLOR"];
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
