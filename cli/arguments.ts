// The command line: options and operands, each checked, each mistake one line.

import { parseArgs } from "node:util";
import { MINIMUM_FILE_BYTES } from "../src/format/layout.ts";
import { hexToBytes, uuidToBytes } from "../src/keys.ts";
import { UsageError } from "./exit_codes.ts";
import { nanosOfText } from "./times.ts";

/** An option of a command. */
export interface Option {
  /** What `--help` calls its value; an option without it is given or not. */
  readonly value?: string;
  /** What it does, for `--help`. */
  readonly help: string;
  /** True if it may be given more than once. */
  readonly repeats?: true;
}

/** The options of a command, by name. */
export type Options = Readonly<Record<string, Option>>;

/** What was given on the command line. */
export class Given {
  readonly operands: readonly string[];
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(operands: readonly string[], values: ReadonlyMap<string, readonly string[]>) {
    this.operands = operands;
    this.#values = values;
  }

  /** True if the option was given. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** All values of an option. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /** The last value of an option. */
  text(name: string): string | undefined {
    return this.all(name).at(-1);
  }

  /** An integer of at least 1, as an LSN is. */
  count(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const count = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(count) && count >= 1) return count;
    throw bad(name, text, "an integer of at least 1");
  }

  /** A time, as nanoseconds since 1970. */
  time(name: string): bigint | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const nanos = nanosOfText(text, Date.now());
    if (nanos !== null) return nanos;
    throw bad(name, text, "a time such as 2026-11-29T21:30:00Z, or an age such as 90s, 5m, 2h, 1d");
  }

  /** An LSN or a time. */
  lsnOrTime(name: string): { readonly lsn: number } | { readonly nanos: bigint } | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (/^\d{1,16}$/.test(text)) return { lsn: this.count(name)! };
    return { nanos: this.time(name)! };
  }

  /** Keys of 16 bytes, as hex digits. */
  keys(name: string): string[] {
    return this.all(name).map((text) => {
      const hex = keyHex(text);
      if (hex !== null) return hex;
      throw bad(name, text, "a key of 32 hex digits, or a UUID");
    });
  }

  /** A size in bytes, of a log's file. */
  bytes(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const [, digits = "", unit = ""] = /^(\d+)(KiB|MiB|GiB)?$/.exec(text) ?? [];
    const bytes = Number(digits) * UNITS[unit]!;
    if (digits !== "" && Number.isSafeInteger(bytes) && bytes >= MINIMUM_FILE_BYTES) return bytes;
    throw bad(name, text, "a number of bytes from 64KiB on, such as 1048576, 64MiB or 1GiB");
  }
}

const UNITS: Readonly<Record<string, number>> = { "": 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** A key as 32 lowercase hex digits; null if the text is none. */
export function keyHex(text: string): string | null {
  try {
    const bytes = text.includes("-") ? uuidToBytes(text) : hexToBytes(text);
    return bytes.length === 16 ? text.replaceAll("-", "").toLowerCase() : null;
  } catch {
    return null;
  }
}

function bad(name: string, text: string, wanted: string): UsageError {
  return new UsageError(`--${name} ${JSON.stringify(text)} is not ${wanted}`);
}

/**
 * Reads a command's part of the command line.
 *
 * @param most how many operands there may be, beside the options.
 * @throws {UsageError} if it has an option that there is not, or a value that cannot be.
 */
export function readArguments(args: readonly string[], options: Options, most: number): Given {
  let parsed;
  try {
    const known = Object.entries(options).map(([name, { value }]) => {
      const short = SHORT[name];
      return [name, { type: value === undefined ? "boolean" : "string", ...(short === undefined ? {} : { short }) }];
    });
    parsed = parseArgs({ args: [...args], options: Object.fromEntries(known), allowPositionals: true, tokens: true });
  } catch (error) {
    throw new UsageError(plainMessage(error as Error));
  }
  const values = new Map<string, string[]>();
  for (const token of parsed.tokens) {
    if (token.kind !== "option") continue;
    const before = values.get(token.name);
    if (before !== undefined && token.value !== undefined && options[token.name]!.repeats === undefined) {
      throw new UsageError(`--${token.name} is given twice`);
    }
    values.set(token.name, [...before ?? [], token.value ?? ""]);
  }
  const { positionals } = parsed;
  if (positionals.length > most) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[most])}`);
  return new Given(positionals, values);
}

const SHORT: Readonly<Record<string, string>> = { help: "h", quiet: "q" };

/** What `parseArgs()` says, in one line. */
function plainMessage({ message }: Error): string {
  const name = /'(--?[^\s'=]*)/.exec(message)?.[1] ?? "";
  if (message.startsWith("Unknown option")) return `unknown option ${name}`;
  if (message.includes("does not take an argument")) return `${longName(message)} takes no value`;
  if (message.includes("ambiguous")) {
    return `${longName(message)} needs a value; one with a dash as ${longName(message)}=-1`;
  }
  if (message.includes("argument missing")) return `${longName(message)} needs a value`;
  return message.split("\n")[0]!;
}

/** The option that a message of `parseArgs()` names, as in `'-h, --help'`. */
function longName(message: string): string {
  return /--[^\s'=<]+/.exec(message)?.[0] ?? "the option";
}
