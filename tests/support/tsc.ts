// TypeScript's own compiler, which the development dependencies bring.

import { existsSync } from "node:fs";
import { PROJECT_URL, runScript } from "./child.ts";

const TSC: URL = new URL("node_modules/typescript/bin/tsc", PROJECT_URL);

/** Why tests of types are skipped here; false if they run. */
export const skipWithoutTsc: string | false = !existsSync(TSC) && "TypeScript is not installed";

/** Compiles the project in a directory; returns the errors, each with what explains it. */
export async function typeErrors(directory: string): Promise<string[]> {
  const args = ["--pretty", "false", "--project", directory];
  const result = await runScript(TSC, { args, cwd: directory });
  const errors = `${result.stdout}${result.stderr}`.split(/\n(?=\S)/).filter((text) => text.trim() !== "");
  if ((result.code === 0) !== (errors.length === 0)) throw new Error(`tsc ended with ${result.code}`);
  return errors;
}
