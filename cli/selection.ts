// Which records a command is to show: a range of LSNs and times, operations, keys, and how many.

import type { FollowOptions, RecordRange } from "../mod.ts";
import { isApplicationOpcode, OPERATIONS } from "../src/format/operations.ts";
import type { Given, Options } from "./arguments.ts";
import { UsageError } from "./exit_codes.ts";
import { hexOf } from "./record_text.ts";

/** Options for ranges. */
export const RANGE: Options = {
  from: { value: "LSN", help: "the first record" },
  to: { value: "LSN", help: "the last record" },
  since: { value: "TIME", help: "records of this time and later: 2026-11-29T21:30:00Z, or 90s, 5m, 2h, 1d ago" },
  until: { value: "TIME", help: "records of this time and earlier" },
};

/** Options that pass over records. */
export const FILTER: Options = {
  op: {
    value: "OP",
    help: "only these operations: insert, delete, deleteValue, replace, checkpoint, or 32 to 63",
    repeats: true,
  },
  key: { value: "HEX", help: "only records of this key: 32 hex digits, or a UUID", repeats: true },
};

/** The option for how many. */
export const LIMIT: Options = {
  limit: { value: "N", help: "at most so many records" },
};

/** The option for records that are not durable yet. */
export const MODE: Options = {
  durable: { help: "only records that are known to be durable, not those that were just appended" },
};

/** How to follow a log. */
export function modeOf(given: Given): FollowOptions {
  return { mode: given.has("durable") ? "durable" : "appended" };
}

/** The options for how records look. */
export const LOOKS: Options = {
  json: { help: "JSON, one line for each record" },
  csv: { help: "CSV, with a heading" },
  "no-color": { help: "no colours; nor are there with NO_COLOR, or where the output is no terminal" },
};

/** What a filter looks at. */
interface Filtered {
  readonly opType: number;
  readonly keyHigh: bigint;
  readonly keyLow: bigint;
}

/** Records that pass. */
export interface Filter {
  /** True if there is nothing to pass over. */
  readonly takesAll: boolean;
  takes(record: Filtered): boolean;
}

/** A range whose times are nanoseconds. */
export interface TimedRange extends RecordRange {
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
}

/** The range that was given. */
export function rangeOf(given: Given): TimedRange {
  const range = {
    from: given.count("from"),
    to: given.count("to"),
    since: given.time("since"),
    until: given.time("until"),
  };
  const { from, to, since, until } = range;
  if (from !== undefined && to !== undefined && to < from) throw new UsageError(`--to ${to} is before --from ${from}`);
  if (since !== undefined && until !== undefined && until < since) throw new UsageError("--until is before --since");
  return range;
}

/** The filter that was given. */
export function filterOf(given: Given): Filter {
  const opcodes = new Set(given.all("op").flatMap((text) => text.split(",")).map(opcodeOf));
  const keys = new Set(given.keys("key"));
  return {
    takesAll: opcodes.size === 0 && keys.size === 0,
    takes: ({ opType, keyHigh, keyLow }) =>
      (opcodes.size === 0 || opcodes.has(opType)) && (keys.size === 0 || keys.has(hexOf(keyHigh, keyLow))),
  };
}

function opcodeOf(text: string): number {
  const named = opcodeNamed(text);
  if (named !== null) return named;
  const names = OPERATIONS.map(({ name }) => name).join(", ");
  throw new UsageError(`--op ${JSON.stringify(text)} is none of ${names}, or a number from 32 to 63`);
}

/** The opcode of an operation by name, or by number if it is the application's; else null. */
export function opcodeNamed(text: string): number | null {
  const own = OPERATIONS.find(({ name }) => name === text);
  if (own !== undefined) return own.opType;
  return /^\d\d$/.test(text) && isApplicationOpcode(Number(text)) ? Number(text) : null;
}
