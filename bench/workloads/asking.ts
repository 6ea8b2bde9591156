// Starts the process that asks a server in this one.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Measurements } from "../measure.ts";
import { runtimeCommand } from "../runner.ts";

/** Runs a module of this directory in another process, and returns the figures that it prints. */
export function askFrom(module: string, parameters: readonly number[]): Promise<Measurements> {
  const [command, ...start] = runtimeCommand(fileURLToPath(new URL(module, import.meta.url)));
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...start, ...parameters.map(String)], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(JSON.parse(output) as Measurements);
      else reject(new Error(`the process that asks ended with code ${code}`));
    });
  });
}
