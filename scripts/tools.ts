// How the scripts find and start the runtimes; on Deno, on Bun, with or without npm's node_modules.

import { spawn, type SpawnOptions, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The project's directory. */
export const PROJECT: string = fileURLToPath(new URL("..", import.meta.url));

/** Whether the development dependencies are installed, be it by npm, by Bun or by Deno. */
export const hasNodeModules: boolean = existsSync(new URL("../node_modules/deno-std", import.meta.url));

export type Runtime = "deno" | "bun";

/** A runtime's command: this process's own, else what the development dependencies bring, else the one on the path. */
export function findRuntime(name: Runtime): string | null {
  const candidates = [`${PROJECT}/node_modules/.bin/${name}`, name];
  if (name === ("Deno" in globalThis ? "deno" : "bun")) candidates.unshift(process.execPath);
  // Installed without its postinstall script, Bun's command is there and only says so.
  return candidates.find((command) => spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0) ?? null;
}

/** The binary of a runtime: npm's command for Deno is a script that starts it, and would take the signals meant for it. */
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
 * Flags for `deno run`, `test` and `check` to find the development dependencies: in node_modules if that is there, otherwise
 * the few that the tests import come into Deno's own cache.
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

/** Runs a command in the project's directory, its output shown, and resolves with its exit code. */
export function run(command: string, args: readonly string[], options: SpawnOptions = {}): Promise<number> {
  const env: NodeJS.ProcessEnv = { ...environment(), ...options.env };
  return new Promise((resolve, reject) => {
    spawn(command, args, { cwd: PROJECT, stdio: ["ignore", "inherit", "inherit"], ...options, env })
      .once("error", reject)
      .once("close", (code) => resolve(code ?? 1));
  });
}
