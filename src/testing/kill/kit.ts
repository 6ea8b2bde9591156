// Kill tests with real processes: a program is started, killed and verified, again and again.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clearTimeout, setTimeout } from "node:timers";
import { setTimeout as pause } from "node:timers/promises";
import { absolutePath } from "../../../ffi/file/working_directory.ts";
import { checkOptionNames } from "../../arguments/objects.ts";
import { BrokenPromiseError, textOf } from "../broken_promise.ts";
import { Random } from "../random.ts";
import type { KillCommand, KillContext, KillRound, KillTestOptions, KillTestResult, KillWorkload } from "./options.ts";
import { Program, type ProgramEnd } from "./program.ts";

const DEFAULT_ROUNDS = 20;
const DEFAULT_MOST = 50;
const DEFAULT_TIMEOUT_MS = 30_000;
const MOST_TIMEOUT_MS = 0x7fffffff;
/** A kill comes up to so long after the acknowledgement that it waits for. */
const MOST_DELAY_MS = 3;
/** A kill before the first acknowledgement comes up to so long after the start. */
const EARLY_MS = 300;
/** A workload that has failed waits so long for the end of its program. */
const AFTERMATH_MS = 200;
/** The chance that the kill comes before the first acknowledgement: while the program recovers. */
const EARLY_CHANCE = 0.15;

const OPTION_NAMES: readonly (keyof KillTestOptions<unknown>)[] = [
  "spawn",
  "workload",
  "verify",
  "rounds",
  "mostAcknowledged",
  "seed",
  "timeoutMs",
  "temporary",
];

/** The options, checked and read once. */
interface Plan<A> {
  readonly spawn: KillTestOptions<A>["spawn"];
  readonly workload: (context: KillContext<A>) => void | Promise<void>;
  readonly verify: KillTestOptions<A>["verify"];
  readonly rounds: number;
  readonly most: number;
  readonly timeoutMs: number;
}

/**
 * Starts a program of yours, kills it with SIGKILL at random moments, many times, and verifies
 * after each kill that everything it acknowledged is there.
 *
 * A killed process loses nothing that it has written, because the kernel still has it. So this test
 * tries your program as a whole: what it acknowledges before it should, what it cannot recover
 * from, and files that do not fit together. Power loss is for {@linkcode crashTest}.
 *
 * Deno needs `--allow-run`, `--allow-read`, `--allow-write` and `--allow-env`.
 *
 * @example A program that prints the LSN of each record when it is durable
 * ```ts ignore
 * import { WAL } from "@cidstore/wal";
 * import { killTest } from "@cidstore/wal/testing";
 *
 * const { kills, acknowledged } = await killTest({
 *   spawn: ({ directory }) => ({ command: process.execPath, args: ["writer.js", directory] }),
 *   verify: (acknowledged, { directory }) => {
 *     using wal = WAL.open(`${directory}/log`);
 *     for (const line of acknowledged) {
 *       if (Number(line) >= wal.head) throw new Error(`LSN ${line} is lost`);
 *     }
 *   },
 * });
 * console.log(`${kills} kills, ${acknowledged} records, none lost`);
 * ```
 *
 * @throws {BrokenPromiseError} if `verify` throws, or if the program ends by itself with a failure
 * after it was killed. Its files are then kept, and the message says where.
 * @throws {TypeError} or {RangeError} if nothing was tried: an option is wrong, the program cannot
 * be started, ends before it is killed, or never acknowledges anything.
 * @throws {Error} if a round or `verify` takes too long, or the workload fails before the kill.
 */
export async function killTest<A = string>(options: KillTestOptions<A> & KillWorkload<A>): Promise<KillTestResult> {
  const plan = planOf<A>(options);
  const { seed = 1, temporary } = options;
  const random = new Random(seed);
  const directory = mkdtempSync(join(temporary === undefined ? tmpdir() : absolutePath(temporary), "wal-kill-"));
  const acknowledged: A[] = [];
  let keepsFiles = false;
  try {
    for (let number = 1; number <= plan.rounds; number++) {
      const round: KillRound = { round: number, directory, random: random.fork(`round ${number}`) };
      try {
        const errorText = await runAndKill(plan, round, acknowledged);
        await verifyAfter(plan, round, acknowledged, errorText);
      } catch (error) {
        keepsFiles = error instanceof BrokenPromiseError;
        throw error;
      }
    }
  } finally {
    if (!keepsFiles) rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  }
  if (acknowledged.length === 0) {
    throw new TypeError(`The program acknowledged nothing in ${plan.rounds} rounds, so nothing was verified`);
  }
  return { kills: plan.rounds, acknowledged: acknowledged.length };
}

function planOf<A>(options: KillTestOptions<A>): Plan<A> {
  checkOptionNames(options, OPTION_NAMES);
  const {
    spawn,
    workload = (context) => acknowledgeLines(context as unknown as KillContext<string>),
    verify,
    rounds = DEFAULT_ROUNDS,
    mostAcknowledged: most = DEFAULT_MOST,
    timeoutMs = DEFAULT_TIMEOUT_MS,
  } = options;
  for (const [name, value] of Object.entries({ spawn, workload, verify })) {
    if (typeof value !== "function") throw new TypeError(`${name} must be a function, and is ${typeof value}`);
  }
  for (const [name, value] of Object.entries({ rounds, mostAcknowledged: most, timeoutMs })) {
    if (!Number.isSafeInteger(value) || value < 1 || value > MOST_TIMEOUT_MS) {
      throw new RangeError(`${name} must be an integer from 1 to ${MOST_TIMEOUT_MS}, and is ${String(value)}`);
    }
  }
  return { spawn, workload, verify, rounds, most, timeoutMs };
}

async function acknowledgeLines({ lines, acknowledge }: KillContext<string>): Promise<void> {
  for await (const line of lines) acknowledge(line);
}

/** One round until all that the program has printed is read. @returns its last words. */
async function runAndKill<A>(plan: Plan<A>, round: KillRound, acknowledged: A[]): Promise<string> {
  const wanted = round.round > 1 && round.random.chance(EARLY_CHANCE) ? 0 : round.random.between(1, plan.most);
  const program = new Program(checkedCommand(await plan.spawn(round)));
  const abort = new AbortController();
  const moment = Promise.withResolvers<void>();
  let count = 0;
  let isVerified = false;
  const work = Promise.resolve<KillContext<A>>({
    ...round,
    lines: program.lines,
    signal: abort.signal,
    write: (text) => program.write(text),
    acknowledge: (value) => {
      if (isVerified) throw new TypeError("This round is over, and has been verified");
      acknowledged.push(value);
      if (++count === wanted) moment.resolve();
    },
  }).then(plan.workload);
  const timer = new Timer(plan.timeoutMs);
  try {
    const early = wanted === 0 ? wait(round.random.below(EARLY_MS), abort.signal) : moment.promise;
    await timer.race(Promise.race([early, work, program.ended]), () => lateError(round, plan, count, wanted, program))
      .catch((error) => failed(error, program, timer.hasExpired));
    // Somewhere in what it does next.
    if (wanted > 0 && program.end === null) await wait(round.random.below(MOST_DELAY_MS), abort.signal);
    if (program.end !== null) throw endedByItself(round, program.end, program);
    program.kill();
    abort.abort();
    const killed = await program.ended;
    if (killed.signal !== "SIGKILL") throw endedByItself(round, killed, program);
    await timer.race(program.closed, () => new TypeError(outlives(program)));
    await timer.race(work.catch(() => {}), () => new Error("The program is dead, and the workload does not end"));
    return said(program);
  } finally {
    isVerified = true;
    abort.abort();
    timer.clear();
    work.catch(() => {});
    await program.dispose();
  }
}

/** A pause, which ends early when the round does. */
async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await pause(ms, undefined, { signal }).catch(() => {});
}

function lateError<A>(
  { round }: KillRound,
  { timeoutMs }: Plan<A>,
  count: number,
  wanted: number,
  program: Program,
): Error {
  if (count === 0) {
    return new TypeError(`The program acknowledged nothing in ${timeoutMs} ms of round ${round}${said(program)}`);
  }
  return new Error(
    `Round ${round} waits for ${wanted} acknowledgements, and has ${count} after ${timeoutMs} ms${said(program)}`,
  );
}

/** A workload often fails because its program has ended. Then that is what must be said. */
async function failed(error: unknown, program: Program, isLate: boolean): Promise<void> {
  if (isLate || program.couldNotStart) throw error;
  await Promise.race([program.ended, pause(AFTERMATH_MS)]);
  if (program.end !== null) return;
  throw new Error(`The workload failed, though the program was not killed: ${textOf(error)}${said(program)}`, {
    cause: error,
  });
}

/** The part of the program's last words that helps. */
function said({ errorText }: Program): string {
  const text = errorText.trim();
  return text === "" ? "" : `\n  The program printed to its standard error:\n${indented(text)}`;
}

function indented(text: string): string {
  return text.split("\n").map((line) => `    ${line}`).join("\n");
}

/** What it means that the program has ended before it was killed. */
function endedByItself({ round, directory }: KillRound, { code, signal }: ProgramEnd, program: Program): Error {
  const how = signal === null ? `with code ${code}` : `by ${signal}`;
  const what = `the program ended by itself ${how} in round ${round}, before it was killed`;
  if (round > 1 && code !== 0) {
    const finding = `${what}: after ${round - 1} kills it cannot go on`;
    return new BrokenPromiseError("G1", finding, `  Its files are in ${directory}${said(program)}`);
  }
  return new TypeError(`Nothing was tried: ${what}. Let it go on until it is killed${said(program)}`);
}

function outlives(program: Program): string {
  return "The program was killed, and its output is still open: a program that it started lives on. Give the command " +
    `of that program itself, not of a shell or a starter${said(program)}`;
}

async function verifyAfter<A>(
  { verify, timeoutMs }: Plan<A>,
  round: KillRound,
  acknowledged: readonly A[],
  lastWords: string,
): Promise<void> {
  const timer = new Timer(timeoutMs);
  const where = `  Its files are in ${round.directory}${lastWords}`;
  try {
    const verified = Promise.resolve().then(() => verify([...acknowledged], round));
    await timer.race(verified, () => new Error(`verify() did not end in ${timeoutMs} ms in round ${round.round}`));
  } catch (cause) {
    if (timer.hasExpired) throw cause;
    const when = `verify() failed after kill ${round.round}, with ${acknowledged.length} acknowledged`;
    const { promise, finding } = cause instanceof BrokenPromiseError
      ? cause
      : { promise: "G1", finding: textOf(cause) } as const;
    throw new BrokenPromiseError(promise, `${when}: ${finding}`, where, { cause });
  } finally {
    timer.clear();
  }
}

function checkedCommand(given: KillCommand): KillCommand {
  const { command, args = [], cwd, env } = Object(given) as KillCommand;
  if (typeof command !== "string" || command === "") {
    throw new TypeError(`spawn() must return a command, and its command is ${show(command)}`);
  }
  const list = Array.from(args);
  for (const argument of list) {
    if (typeof argument !== "string") {
      throw new TypeError(`spawn() must return arguments that are strings, and one is ${show(argument)}`);
    }
  }
  return { command, args: list, cwd, env };
}

function show(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** A limit for several waits in a row. */
class Timer {
  readonly #expired = Promise.withResolvers<void>();
  readonly #timer: ReturnType<typeof setTimeout>;
  #hasExpired = false;

  constructor(limitMs: number) {
    this.#timer = setTimeout(() => {
      this.#hasExpired = true;
      this.#expired.resolve();
    }, limitMs);
  }

  get hasExpired(): boolean {
    return this.#hasExpired;
  }

  /** Waits for something, and throws `late()` if the time is over first. */
  async race<T>(awaited: Promise<T>, late: () => Error): Promise<T> {
    return await Promise.race([awaited, this.#expired.promise.then(() => Promise.reject(late()))]);
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}
