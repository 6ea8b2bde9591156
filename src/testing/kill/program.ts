// A program that runs until it is killed: what it prints, and how it ended.

import { type ChildProcess, spawn } from "node:child_process";
import { textOf } from "../broken_promise.ts";
import type { KillCommand } from "./options.ts";

/** How much of what a program prints to its standard error is kept, in characters. */
const MOST_ERROR_TEXT = 4000;

/** How a program has ended. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A running program. */
export class Program {
  readonly lines: LineQueue = new LineQueue();
  /** Resolves when the program has ended. @throws {TypeError} if it cannot be started. */
  readonly ended: Promise<ProgramEnd>;
  /** Resolves when the program has ended and all that it printed is read. */
  readonly closed: Promise<void>;
  readonly #process: ChildProcess;
  #errorText = "";
  #end: ProgramEnd | null = null;
  #couldNotStart = false;

  constructor({ command, args = [], cwd, env }: KillCommand) {
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], cwd, ...(env === undefined ? {} : { env }) });
    this.#process = child;
    this.ended = new Promise((resolve, reject) => {
      child.once("exit", (code, signal) => {
        this.#end = { code, signal };
        resolve(this.#end);
      });
      child.once("error", (cause) => {
        this.#couldNotStart = true;
        reject(new TypeError(`Cannot start ${JSON.stringify(command)}: ${textOf(cause)}`, { cause }));
      });
    });
    this.ended.catch(() => this.lines.end());
    this.closed = new Promise((resolve) => {
      child.once("close", () => {
        this.lines.end();
        resolve();
      });
    });
    // Whoever writes to a program that has ended finds out by its end.
    child.stdin?.on("error", () => {});
    child.stdout?.setEncoding("utf8").on("data", (text: string) => this.lines.add(text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errorText = (this.#errorText + text).slice(-MOST_ERROR_TEXT);
    });
  }

  /** How it has ended; null if it runs. */
  get end(): ProgramEnd | null {
    return this.#end;
  }

  get couldNotStart(): boolean {
    return this.#couldNotStart;
  }

  /** The end of what it has printed to its standard error. */
  get errorText(): string {
    return this.#errorText;
  }

  write(text: string): void {
    if (this.#process.stdin?.writable) this.#process.stdin.write(text);
  }

  /** Kills it as the kernel does when memory is short. It cannot notice. */
  kill(): void {
    this.#process.kill("SIGKILL");
  }

  /** Ends it, and stops listening to what may still hold its output open. */
  async dispose(): Promise<void> {
    if (this.#end === null && !this.#couldNotStart) this.kill();
    await this.ended.catch(() => {});
    for (const stream of [this.#process.stdin, this.#process.stdout, this.#process.stderr]) stream?.destroy();
  }
}

/** Lines in the order in which they come. The end of a text that no line end follows is no line. */
export class LineQueue implements AsyncIterable<string> {
  readonly #lines: string[] = [];
  #rest = "";
  #hasEnded = false;
  #wake = () => {};

  add(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    this.#lines.push(...lines);
    this.#wake();
  }

  end(): void {
    this.#hasEnded = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<string, void> {
    for (;;) {
      while (this.#lines.length > 0) yield this.#lines.shift()!;
      if (this.#hasEnded) return;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}
