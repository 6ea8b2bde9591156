// Child processes of the runtime that runs: started, listened to, killed.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { nodeFlags as nodeProjectFlags, plainEnvironment } from "../../scripts/tools.ts";
import { runtime } from "./runtime.ts";

/** The project's directory, as a URL that ends with a slash. */
export const PROJECT_URL: URL = new URL("../../", import.meta.url);

/** The URL of a file of the project: how a snippet imports it. */
export function projectUrl(path: string): string {
  return new URL(path, PROJECT_URL).href;
}

/** The path of the runtime's binary. A wrapper would take the signals meant for the runtime. */
export function runtimeBinary(): string {
  return runtime === "deno"
    ? (globalThis as unknown as { Deno: { execPath(): string } }).Deno
      .execPath()
    : process.execPath;
}

/** How to start a child. */
export interface ChildOptions {
  /** Arguments for the script. */
  args?: readonly string[];
  /** Flags for Deno. @default {["--allow-all"]} */
  denoFlags?: readonly string[];
  /** Flags for Bun. @default {[]} */
  bunFlags?: readonly string[];
  /** Flags for Node. @default {[]} */
  nodeFlags?: readonly string[];
  /** A command to run the runtime under, as in `["strace", "-f", "-o", path]`. */
  wrapper?: readonly string[];
  /** Added to this process's environment; undefined removes a variable. */
  env?: Readonly<Record<string, string | undefined>>;
  /** The working directory. @default this process's */
  cwd?: string;
  /** What the child reads from its standard input. @default nothing */
  stdin?: string;
  /**
   * Milliseconds after which the child is killed and `result` rejects: a limit for children that
   * hang, as in `TestOptions`.
   *
   * @default {300000}
   */
  timeoutMs?: number;
}

/**
 * Options for a child that collects garbage by `globalThis.gc()`, or on Bun by `Bun.gc(true)`.
 */
export const WITH_COLLECTOR: ChildOptions = {
  denoFlags: ["--allow-all", "--v8-flags=--expose-gc"],
  nodeFlags: ["--expose-gc"],
};

/** What a child left behind. Either `code` or `signal` is null. */
export interface ChildResult {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running child. Disposing it kills it and waits until it is gone. */
export class Child implements AsyncDisposable {
  readonly pid: number;
  /** Settles when the child has ended; rejects if it could not start or ran out of time. */
  readonly result: Promise<ChildResult>;
  readonly #process: ChildProcess;
  readonly #waiting = new Set<() => void>();
  #stdout = "";
  #stderr = "";
  #ended = false;

  constructor(
    command: readonly string[],
    options: ChildOptions,
    cleanUp: () => void = () => {},
  ) {
    const { cwd, stdin, timeoutMs = 300_000 } = options;
    this.#process = spawn(command[0]!, command.slice(1), {
      cwd,
      env: childEnvironment(options.env),
      stdio: [stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    this.pid = this.#process.pid ?? -1;
    this.#process.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
      this.#wake();
    });
    this.#process.stderr!.setEncoding("utf8").on(
      "data",
      (text: string) => this.#stderr += text,
    );
    if (stdin !== undefined) this.#process.stdin!.end(stdin);
    this.result = this.#collect(command, timeoutMs).finally(() => {
      this.#ended = true;
      this.#wake();
      cleanUp();
    });
    // Whoever only kills the child need not look at how it ended.
    this.result.catch(() => {});
  }

  /** Standard output up to now. */
  get stdout(): string {
    return this.#stdout;
  }

  /** Standard error up to now. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Sends a signal; no error if the child has ended. */
  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    if (!this.#ended) this.#process.kill(signal);
  }

  /**
   * Waits for a line on standard output that matches, which may have been printed already.
   *
   * @throws {Error} if the child ends without it.
   */
  async line(pattern: RegExp): Promise<string> {
    while (true) {
      const complete = this.#stdout.slice(0, this.#stdout.lastIndexOf("\n") + 1)
        .split("\n");
      const found = complete.find((line) => pattern.test(line));
      if (found !== undefined) return found;
      if (this.#ended) {
        throw new Error(
          `The child ended without a line like ${pattern}\n${this.#stdout}\n${this.#stderr}`,
        );
      }
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.result.catch(() => {});
  }

  #collect(
    command: readonly string[],
    timeoutMs: number,
  ): Promise<ChildResult> {
    return new Promise((resolve, reject) => {
      let timedOut = false;
      const timer = setTimeout(() => {
        timedOut = true;
        this.kill();
      }, timeoutMs);
      this.#process.once("error", (error) => {
        clearTimeout(timer);
        reject(error);
      });
      this.#process.once("close", (code, signal) => {
        clearTimeout(timer);
        if (timedOut) {
          const output = `${this.#stdout}\n${this.#stderr}`;
          reject(
            new Error(
              `${command.join(" ")} did not end within ${timeoutMs} ms\n${output}`,
            ),
          );
        } else {
          resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr });
        }
      });
    });
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}

/** Starts a TypeScript file in a child: a path from the project's directory, or a URL. */
export function spawnScript(
  script: string | URL,
  options: ChildOptions = {},
): Child {
  return new Child(
    commandLine(fileURLToPath(new URL(script, PROJECT_URL)), options),
    options,
  );
}

/** Runs a TypeScript file to its end. */
export function runScript(
  script: string | URL,
  options: ChildOptions = {},
): Promise<ChildResult> {
  return spawnScript(script, options).result;
}

/**
 * Starts TypeScript source in a child. It imports the project by `projectUrl()`: it lies in a
 * temporary directory, where no other name resolves.
 */
export function spawnSnippet(
  source: string,
  options: ChildOptions = {},
): Child {
  const directory = mkdtempSync(join(tmpdir(), "wal-snippet-"));
  const path = join(directory, "snippet.ts");
  writeFileSync(path, source);
  return new Child(
    commandLine(path, options),
    options,
    () => rmSync(directory, { recursive: true, force: true }),
  );
}

/** Runs TypeScript source to its end. */
export function runSnippet(
  source: string,
  options: ChildOptions = {},
): Promise<ChildResult> {
  return spawnSnippet(source, options).result;
}

/** Runs any command to its end. */
export function runCommand(
  command: readonly string[],
  options: ChildOptions = {},
): Promise<ChildResult> {
  return new Child(command, options).result;
}

function commandLine(script: string, options: ChildOptions): string[] {
  const {
    wrapper = [],
    args = [],
    denoFlags = ["--allow-all"],
    bunFlags = [],
    nodeFlags = [],
  } = options;
  const config = `--config=${fileURLToPath(new URL("deno.json", PROJECT_URL))}`;
  const flags = {
    deno: ["run", "--quiet", "--no-prompt", "--no-lock", config, ...denoFlags],
    bun: ["run", ...bunFlags],
    node: [...nodeProjectFlags, ...nodeFlags],
  };
  return [...wrapper, runtimeBinary(), ...flags[runtime], script, ...args];
}

function childEnvironment(
  changes: ChildOptions["env"] = {},
): Record<string, string> {
  const environment: Record<string, string | undefined> = {
    ...plainEnvironment(),
    DENO_NO_UPDATE_CHECK: "1",
    ...changes,
  };
  return Object.fromEntries(
    Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
