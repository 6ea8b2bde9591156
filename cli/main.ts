#!/usr/bin/env node
/**
 * `cidwal`, the command-line tool: it looks at logs, also while a program writes them. Importing
 * this module does nothing.
 *
 * ```sh
 * npx cidwal stat my.wal
 * bunx cidwal dump --since 5m my.wal
 * deno run --allow-read npm:@cidstore/wal/cidwal verify my.wal
 * ```
 *
 * @module
 */

import { realpathSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The oldest Node that has what the program itself needs; the log needs a later one. */
const LEAST_NODE = 20;

if (isProgram()) {
  if (Number.parseInt(process.versions.node) < LEAST_NODE) {
    process.stderr.write(`cidwal: Node ${process.versions.node} is too old: it needs Node ${LEAST_NODE} or later\n`);
    process.exit(69);
  }
  const { catchSignals } = await import("./interrupt.ts");
  const { runProgram } = await import("./program.ts");
  catchSignals();
  hideExperimentalWarnings();
  process.exit(await runProgram(process.argv.slice(2)));
}

/** Node says of `node:ffi` that it is experimental, which is no news to who runs a command. */
function hideExperimentalWarnings(): void {
  process.removeAllListeners("warning");
  process.on("warning", ({ name, message }) => {
    if (name !== "ExperimentalWarning") process.stderr.write(`${name}: ${message}\n`);
  });
}

/** True if this module is what was started. Older versions of Node do not tell. */
function isProgram(): boolean {
  const meta: { readonly main?: boolean; readonly url: string } = import.meta;
  if (meta.main !== undefined) return meta.main;
  try {
    return realpathSync(process.argv[1] ?? "") === fileURLToPath(meta.url);
  } catch {
    return false;
  }
}
