// The program: which command is meant, what `--help` says, and how errors end.

import { readArguments } from "./arguments.ts";
import { type Command, COMMON } from "./command.ts";
import { backup } from "./commands/backup.ts";
import { dump } from "./commands/dump.ts";
import { exportRecords } from "./commands/export.ts";
import { follow } from "./commands/follow.ts";
import { importRecords } from "./commands/import.ts";
import { salvage } from "./commands/salvage.ts";
import { stat } from "./commands/stat.ts";
import { verify } from "./commands/verify.ts";
import { Exit, exitFor, UsageError } from "./exit_codes.ts";
import { begin, say, stdout } from "./output.ts";
import { STANDARD, type Streams } from "./streams.ts";
import { atLeft, lookOf, wrapped } from "./terminal.ts";
import { VERSION } from "./version.ts";

/** The commands, in the order in which `--help` lists them. */
const COMMANDS: readonly Command[] = [stat, dump, verify, follow, exportRecords, importRecords, backup, salvage];

const HELP_COLUMNS = 79;

/** Runs a command line: one at a time. @returns the exit code. */
export async function runProgram(args: readonly string[], streams: Streams = STANDARD): Promise<Exit> {
  begin(streams);
  const [name, ...rest] = args;
  const command = COMMANDS.find((command) => command.name === name);
  const title = command === undefined ? "cidwal" : `cidwal ${command.name}`;
  try {
    if (command !== undefined) return await runCommand(command, rest);
    return runWithoutCommand(args);
  } catch (error) {
    const exit = exitFor(error);
    const message = messageOf(error, exit);
    const hint = error instanceof UsageError ? `; see ${title} --help` : "";
    if (message !== "") say(`${title}: ${message}${hint}`);
    return exit;
  }
}

async function runCommand(command: Command, args: readonly string[]): Promise<Exit> {
  const given = readArguments(args, { ...command.options, ...COMMON }, command.operands.length);
  if (!given.has("help")) return await command.run(given);
  stdout.text(helpOf(command));
  stdout.end();
  return Exit.Done;
}

/** `--help`, `--version`, or no command that there is. */
function runWithoutCommand(args: readonly string[]): Exit {
  const [name] = args;
  if (name !== undefined && !name.startsWith("-") && name !== "help") {
    throw new UsageError(`there is no command ${JSON.stringify(name)}`);
  }
  const given = readArguments(args, { ...COMMON, version: { help: "" } }, name === "help" ? 2 : 0);
  if (given.has("version")) {
    stdout.text(`cidwal ${VERSION}\n`);
  } else if (given.has("help") || name === "help") {
    const asked = COMMANDS.find((command) => command.name === args[1]);
    stdout.text(asked === undefined ? help() : helpOf(asked));
  } else {
    throw new UsageError("a command is missing");
  }
  stdout.end();
  return Exit.Done;
}

/** One line, unless it is a bug of this program. */
function messageOf(error: unknown, exit: Exit): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "NotCapable") return error.message.split("\n")[0]!;
  if (exit === Exit.Bug) return `this is a bug: ${error.stack ?? error.message}`;
  return error.message.replaceAll(/\s*\n\s*/g, " ");
}

/** How wide help is. */
function helpColumns(): number {
  return Math.min(HELP_COLUMNS, lookOf("stdout", true).columns);
}

/** Sentences that begin a line each. */
function paragraphs(texts: readonly string[], columns: number): string {
  return texts.flatMap((text) => wrapped(text, columns)).map((line) => `${line}\n`).join("");
}

/** Names, and beside them what they mean. */
function listOf(items: readonly { readonly name: string; readonly text: string }[], columns: number): string {
  const left = Math.max(...items.map(({ name }) => name.length)) + 2;
  return items.flatMap(({ name, text }) =>
    wrapped(text, Math.max(16, columns - left)).map((line, index) =>
      `${atLeft(index === 0 ? name : "", left)}${line}\n`
    )
  ).join("");
}

function help(): string {
  const columns = helpColumns();
  const list = COMMANDS.map(({ name, summary }) => ({ name: `  ${name}`, text: summary }));
  const about = paragraphs(
    ["Looks at write-ahead logs of @cidstore/wal, also while a program writes them."],
    columns,
  );
  const notes = paragraphs([
    "cidwal COMMAND --help says more, cidwal --version which version this is.",
    "Exit codes: 0 done, 64 wrong command line, 65 damaged or wrong data, 66 no such file, 69 not on this platform, " +
    "73 the file to be made exists, 74 reading or writing fails, 75 locked or full, 77 access denied, 130 Ctrl-C, " +
    "141 broken pipe. verify: 0 to 3.",
  ], columns);
  return `Usage: cidwal COMMAND [OPTIONS] FILE\n\n${about}\n${listOf(list, columns)}\n${notes}`;
}

function helpOf({ name, summary, operands, options, notes }: Command): string {
  const columns = helpColumns();
  const list = Object.entries({ ...options, ...COMMON }).map(([name, { value, help }]) => ({
    name: `  --${name}${value === undefined ? "" : ` ${value}`}`,
    text: help,
  }));
  const about = paragraphs([`${summary[0]!.toUpperCase()}${summary.slice(1)}.`], columns);
  const usage = paragraphs([`Usage: cidwal ${name} [OPTIONS] ${operands.join(" ")}`], columns);
  return `${usage}\n${about}\n${listOf(list, columns)}\n${paragraphs(notes, columns)}`;
}
