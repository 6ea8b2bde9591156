// What commands write: to standard output, or to a new file that is there whole or not at all.

import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers";
import { CommandError, errnoOf, Exit, exitFor } from "./exit_codes.ts";
import { STANDARD, type Streams, streams, useStreams } from "./streams.ts";

/** Bytes that are written at once. */
const PIECE_BYTES = 64 * 1024;
/** Milliseconds to wait for a reader whose pipe is full, where writing does not wait by itself. */
const RETRY_MS = 5;

const encoder = new TextEncoder();

/** Where a command's records go. */
export interface Output {
  /** Adds text; it is written when there is enough of it. */
  text(text: string): void;
  /** Adds bytes. */
  bytes(bytes: Uint8Array): void;
  /** Writes what was added. */
  flush(): void;
  /** True if a piece was written since the last call: a good moment to let signals in. */
  tookPiece(): boolean;
  /** Writes the rest. A file gets its name now. */
  end(): void;
  /** Drops a file that has not ended. */
  [Symbol.dispose](): void;
}

class DescriptorOutput implements Output {
  readonly #descriptor: number;
  readonly #name: string;
  #pending = "";
  #tookPiece = false;

  constructor(descriptor: number, name: string) {
    this.#descriptor = descriptor;
    this.#name = name;
  }

  text(text: string): void {
    this.#pending += text;
    if (this.#pending.length >= PIECE_BYTES) this.flush();
  }

  bytes(bytes: Uint8Array): void {
    this.flush();
    this.#write(bytes);
  }

  flush(): void {
    if (this.#pending === "") return;
    const bytes = encoder.encode(this.#pending);
    this.#pending = "";
    this.#write(bytes);
  }

  tookPiece(): boolean {
    const tookPiece = this.#tookPiece;
    this.#tookPiece = false;
    return tookPiece;
  }

  end(): void {
    this.flush();
  }

  [Symbol.dispose](): void {}

  #write(bytes: Uint8Array): void {
    this.#tookPiece = true;
    try {
      for (let at = 0; at < bytes.length;) at += writeSome(this.#descriptor, bytes, at);
    } catch (error) {
      throw writeError(this.#name, error);
    }
  }
}

/** Writes, and waits where a pipe that does not block is full. */
function writeSome(descriptor: number, bytes: Uint8Array, at: number): number {
  try {
    return fs.writeSync(descriptor, bytes, at);
  } catch (error) {
    if (errnoOf(error) !== "EAGAIN") throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    return 0;
  }
}

/** The error for a failed write. A reader that has gone is nothing to speak of. */
function writeError(name: string, error: unknown): CommandError {
  const errno = errnoOf(error);
  if (errno === "EPIPE") return new CommandError(Exit.BrokenPipe, "", { cause: error });
  const why = errno === "ENOSPC" || errno === "EDQUOT" ? "no space is left" : (error as Error).message;
  const exit = errno === "ENOSPC" || errno === "EDQUOT" ? Exit.IO : exitFor(error);
  return new CommandError(exit, `Cannot write ${name}: ${why}`, { cause: error });
}

/** Standard output of the command that runs. */
export let stdout: Output = outputTo(STANDARD);

/** The next command writes and reads there. */
export function begin(streams: Streams): void {
  useStreams(streams);
  stdout = outputTo(streams);
}

function outputTo({ stdout }: Streams): Output {
  return new DescriptorOutput(stdout.descriptor, "to standard output");
}

/**
 * A new file. It is written under a hidden name, and gets its own when it is whole and durable.
 *
 * @throws {CommandError} if there is a file already.
 */
export function newFile(path: string, mode = 0o666): Output {
  if (fs.existsSync(path)) throw exists(path);
  // A name of its own: of a known length, and never one that a killed process has left.
  const hidden = join(dirname(path), `.cidwal-${crypto.randomUUID()}`);
  const name = JSON.stringify(path);
  let descriptor: number;
  try {
    descriptor = fs.openSync(hidden, "wx", mode);
  } catch (error) {
    throw writeError(name, error);
  }
  const output = new DescriptorOutput(descriptor, name);
  let isOpen = true;
  const drop = () => {
    if (!isOpen) return;
    isOpen = false;
    fs.closeSync(descriptor);
    fs.rmSync(hidden, { force: true });
  };
  return {
    text: (text) => output.text(text),
    bytes: (bytes) => output.bytes(bytes),
    flush: () => output.flush(),
    tookPiece: () => output.tookPiece(),
    end() {
      output.end();
      try {
        fs.fsyncSync(descriptor);
        publish(hidden, path);
      } catch (error) {
        throw error instanceof CommandError ? error : writeError(name, error);
      } finally {
        drop();
      }
    },
    [Symbol.dispose]: drop,
  };
}

/** Gives a file its name, if no other file has it. */
function publish(hidden: string, path: string): void {
  try {
    fs.linkSync(hidden, path);
  } catch (error) {
    // A file system without hard links has no way to do both at once.
    if (errnoOf(error) === "EEXIST" || fs.existsSync(path)) throw exists(path);
    fs.renameSync(hidden, path);
  }
  const directory = fs.openSync(dirname(path), "r");
  try {
    fs.fsyncSync(directory);
  } finally {
    fs.closeSync(directory);
  }
}

function exists(path: string): CommandError {
  return new CommandError(Exit.Exists, `Cannot write ${JSON.stringify(path)}: there is such a file already`);
}

/** A line on standard error. A reader that has gone does not matter. */
export function say(line: string): void {
  sayPart(`${line}\n`);
}

/** A question on standard error, or a part of a line. */
export function sayPart(text: string): void {
  try {
    fs.writeSync(streams.stderr.descriptor, text);
  } catch { /* nobody listens */ }
}

/** Lets signals in. A timer, because an immediate alone does not let Deno look for them. */
export function letSignalsIn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
