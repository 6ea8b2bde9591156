// What commands read: a file or standard input, piece by piece, and answers to questions.

import * as fs from "node:fs";
import { CommandError, errnoOf, exitFor } from "./exit_codes.ts";
import { breathe, rest, whenStopped } from "./interrupt.ts";
import { sayPart } from "./output.ts";
import { streams } from "./streams.ts";

/** A line that is longer is none of a record. */
const MOST_LINE = 1 << 20;
/** Bytes that are read at once. */
const PIECE_BYTES = 256 * 1024;
/** Milliseconds between two looks into a pipe. */
const BETWEEN_READS_MS = 20;

/** Opens a file to read it. A pipe is not waited for. @throws {CommandError} if that fails. */
export function openToRead(path: string): number {
  try {
    return fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  } catch (error) {
    throw readError(path, error);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "there is no such file",
  EISDIR: "it is a directory",
  EACCES: "the system denies access",
  EPERM: "the system denies access",
};

function readError(path: string, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === null) return error;
  const why = REASONS[errno] ?? (error as Error).message;
  return new CommandError(exitFor(error), `Cannot read ${JSON.stringify(path)}: ${why}`, { cause: error });
}

/** The bytes of a file, or of standard input where there is no path or `-`. */
export function readInput(path: string | undefined): AsyncGenerator<Uint8Array, void, undefined> {
  return path === undefined || path === "-" ? readStandardInput() : readFile(path);
}

async function* readStandardInput(): AsyncGenerator<Uint8Array, void, undefined> {
  const pieces = streams.stdin[Symbol.asyncIterator]();
  const stopped = whenStopped();
  for (;;) {
    const { done, value } = await Promise.race([pieces.next(), stopped]);
    if (done === true) return;
    yield typeof value === "string" ? new TextEncoder().encode(value) : value;
  }
}

/**
 * Reads a file without a thread that waits for it, because Node does not exit while one waits for a
 * pipe.
 */
async function* readFile(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const descriptor = openToRead(path);
  try {
    // A named pipe is empty until its writer comes.
    let mayBeginLater = fs.lstatSync(path).isFIFO();
    for (;;) {
      const piece = new Uint8Array(PIECE_BYTES);
      const count = readSome(path, descriptor, piece);
      if (count > 0) {
        mayBeginLater = false;
        yield piece.subarray(0, count);
        await breathe();
      } else if (count === 0 && !mayBeginLater) return;
      else await rest(BETWEEN_READS_MS);
    }
  } finally {
    fs.closeSync(descriptor);
  }
}

/** Reads what there is. @returns 0 at the end, and −1 if a pipe has nothing yet. */
function readSome(path: string, descriptor: number, into: Uint8Array): number {
  try {
    return fs.readSync(descriptor, into, 0, into.length, null);
  } catch (error) {
    if (errnoOf(error) === "EAGAIN") return -1;
    throw readError(path, error);
  }
}

/**
 * Puts pieces of UTF-8 together to lines, without their line breaks. Bytes that are none become
 * U+FFFD.
 */
export class Lines {
  readonly #decoder = new TextDecoder();
  #rest = "";

  /** The lines that a piece completes. */
  take(piece: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.decode(piece, { stream: true })).split("\n");
    this.#rest = lines.pop()!;
    return lines.map(withoutReturn);
  }

  /** True if the line that is not complete is none of a record. */
  get isTooLong(): boolean {
    return this.#rest.length > MOST_LINE;
  }

  /** The last line, if it has no line break. */
  end(): string[] {
    const last = this.#rest + this.#decoder.decode();
    return last === "" ? [] : [withoutReturn(last)];
  }
}

function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}

/** Asks a question on the terminal. The answer is no unless it is `y` or `yes`. */
export async function confirmed(question: string): Promise<boolean> {
  sayPart(`${question} [y/N] `);
  const lines = new Lines();
  for await (const piece of readInput("-")) {
    const [answer] = lines.take(piece);
    if (answer !== undefined || lines.isTooLong) return /^y(es)?$/i.test(answer?.trim() ?? "");
  }
  return /^y(es)?$/i.test(lines.end()[0]?.trim() ?? "");
}
