// The command-line tool, run as a user runs it or in this process, and small logs for it.

import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { runProgram } from "../../cli/program.ts";
import { type HybridTimeInput, WAL } from "../../mod.ts";
import { type Child, type ChildOptions, type ChildResult, spawnScript } from "./child.ts";
import { tempDir } from "./temp.ts";

const PROGRAM = "cli/main.ts";
/** What commands that only read need of Deno. */
export const READ_ONLY = ["--no-prompt", "--allow-read"];
/** What the others need. */
const WITH_FILES = [...READ_ONLY, "--allow-write", "--allow-ffi"];

/** Starts the tool. */
export function startTool(args: readonly string[], options: ChildOptions = {}): Child {
  return spawnScript(PROGRAM, { denoFlags: WITH_FILES, ...options, args });
}

/** Runs the tool to its end. */
export function runTool(args: readonly string[], options: ChildOptions = {}): Promise<ChildResult> {
  return startTool(args, options).result;
}

/** What a command left behind. */
export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a command in this process has in place of a terminal. */
export interface Given {
  /** What it reads. @default nothing */
  readonly stdin?: string;
  /** Where standard output goes: a path or a descriptor. @default a file, whose text is returned */
  readonly stdout?: string | number;
  /** How wide the terminal is. @default none, so that there is no terminal */
  readonly columns?: number;
}

/**
 * Runs the tool in this process, one command at a time. This takes far less time than `runTool()`,
 * but signals, permissions and exit codes are this process's own.
 */
export async function runHere(
  args: readonly string[],
  { stdin = "", stdout, columns = Infinity }: Given = {},
): Promise<Ran> {
  using directory = tempDir();
  const printed = directory.join("stdout");
  const said = directory.join("stderr");
  const output = typeof stdout === "number" ? stdout : openSync(stdout ?? printed, "w");
  const errors = openSync(said, "w");
  try {
    const target = (descriptor: number) => ({ descriptor, columns });
    const code = await runProgram(args, { stdin: pieces(stdin), stdout: target(output), stderr: target(errors) });
    return {
      code,
      stdout: stdout === undefined ? readFileSync(printed, "utf8") : "",
      stderr: readFileSync(said, "utf8"),
    };
  } finally {
    if (output !== stdout) closeSync(output);
    closeSync(errors);
  }
}

async function* pieces(text: string): AsyncGenerator<string, void, undefined> {
  await Promise.resolve();
  if (text !== "") yield text;
}

/** The objects of JSON lines. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

/**
 * A closed log of 12 records: LSN 1 to 3 are single inserts, 4 to 6 are a batch, 7 is a checkpoint
 * that confirms LSN 2, 8 to 11 are one record of each other operation, and 12 is an insert of the
 * first key. LSN n is logged n seconds after `START_MS`.
 */
export function makeLog(path: string): void {
  using wal = WAL.open(path, { size: 65536, now: () => START_MS + 7000, idleHeaderDelayMs: Infinity });
  const at = (lsn: number): HybridTimeInput => [BigInt(START_MS + lsn * 1000) * 1_000_000n, 0, 0];
  for (let n = 1; n <= 3; n++) wal.logInsertSync(0xa, n, 0xb, n, at(n));
  wal.flush();
  wal.batchSync([
    { type: "delete", keyHigh: 0xa, keyLow: 1 },
    { type: "replace", keyHigh: 0xa, keyLow: 2, valueHigh: 0xc, valueLow: 2 },
    { type: "operation", code: 40, keyHigh: 0xa, keyLow: 3, valueHigh: 0xc, valueLow: 3 },
  ], at(4));
  wal.checkpoint(2);
  wal.logDeleteValueSync(0xa, 3, 0xb, 3, at(8));
  wal.logReplaceSync(0xa, 4, 0xb, 4, at(9));
  wal.logDeleteSync(0xa, 4, at(10));
  wal.logOperationSync(63, 1n << 63n, 2n ** 64n - 1n, 0, 1, at(11));
  wal.logInsertSync(0xa, 1, 0xb, 12, at(12));
}

/** A closed log of 40 commits, with other sizes and times each. */
export function makeBusyLog(path: string): void {
  using wal = WAL.open(path, { size: 65536, now: () => START_MS, idleHeaderDelayMs: Infinity });
  let ms = START_MS;
  for (let commit = 0; commit < 40; commit++) {
    ms += [2, 1, 3, 12, 1, 7, 150, 1][commit % 8]!;
    for (let n = 0; n < [1, 1, 2, 5, 20, 1, 3, 9][commit % 8]!; n++) {
      wal.logInsertSync(commit, n, 1, 2, [BigInt(ms) * 1_000_000n, n, 0]);
    }
    wal.flush();
  }
}

/** When the log of `makeLog()` begins. */
export const START_MS: number = Date.parse("2026-11-29T12:00:00Z");

/** Byte offset of a record's slot in a log that has not gone round. */
export function slotAt(lsn: number): number {
  return 16384 + (lsn - 1) * 64;
}

/** Flips all bits of bytes of a file. */
export function spoil(path: string, ...offsets: readonly number[]): void {
  const bytes = readFileSync(path);
  for (const offset of offsets) bytes[offset]! ^= 0xff;
  writeFileSync(path, bytes);
}

/** Waits until something is so, for a minute and a half. */
export async function waitFor(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 10_000) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
