// What a command is, and what `--help` says of it.

import type { Given, Options } from "./arguments.ts";
import { UsageError } from "./exit_codes.ts";
import type { Exit } from "./exit_codes.ts";

/** A command of `cidwal`. */
export interface Command {
  readonly name: string;
  /** What it does, in a line. */
  readonly summary: string;
  /** The operands, as in `FILE NEW`. */
  readonly operands: readonly string[];
  readonly options: Options;
  /** What else `--help` says, a line each. */
  readonly notes: readonly string[];
  /** Does it. */
  readonly run: (given: Given) => Exit | Promise<Exit>;
}

/** The options that every command has. */
export const COMMON: Options = {
  help: { help: "this text" },
};

/** An operand that must be there. */
export function operand(given: Given, index: number, name: string): string {
  const text = given.operands[index];
  if (text === undefined) throw new UsageError(`${name} is missing`);
  if (text === "" || text.includes("\0")) throw new UsageError(`${JSON.stringify(text)} is no path`);
  return text;
}

/** JSON lines, CSV, or text for people. */
export function kindOf(given: Given): "json" | "csv" | "text" {
  if (given.has("json") && given.has("csv")) throw new UsageError("--json and --csv exclude each other");
  return given.has("json") ? "json" : given.has("csv") ? "csv" : "text";
}
