// Runs cells, each in a fresh process of this runtime, and contests, round by round.

import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Contest, Entrant } from "./contests.ts";
import { limitArguments, type LimitProgram } from "./limit/build.ts";
import type { Measurements } from "./measure.ts";
import { runtime } from "../ffi/runtime.ts";
import { plainEnvironment } from "../scripts/tools.ts";
import { LOG_BYTES } from "./sizes.ts";
import type { ContestResult, Outcome, Round } from "./results.ts";
import type { CellRequest } from "./workloads/workload.ts";

const CELL = fileURLToPath(new URL("./cell.ts", import.meta.url));
const CELL_TIMEOUT_MS = 300_000;
const NO_HARDWARE = 2;

/** How long and where to measure. */
export interface RunSettings {
  readonly directory: string;
  readonly rounds: number;
  readonly warmSeconds: number;
  readonly seconds: number;
  readonly limit: LimitProgram;
}

/** Runs every round of a contest. Each round begins with another system. */
export async function runContest(
  contest: Contest,
  settings: RunSettings,
  progress: (text: string) => void,
): Promise<ContestResult> {
  const rounds: Round[] = [];
  const directory = join(settings.directory, "contest");
  mkdirSync(directory);
  for (let round = 0; round < settings.rounds; round++) {
    const outcomes: Record<string, Outcome> = {};
    for (let i = 0; i < contest.entrants.length; i++) {
      const entrant = contest.entrants[(i + round) % contest.entrants.length]!;
      progress(`${contest.id}, round ${round + 1} of ${settings.rounds}: ${entrant.label}`);
      outcomes[entrant.label] = await runEntrant(entrant, directory, settings);
    }
    rounds.push(outcomes);
  }
  rmSync(directory, { recursive: true });
  return { id: contest.id, title: contest.title, rounds };
}

async function runEntrant(entrant: Entrant, contestDirectory: string, settings: RunSettings): Promise<Outcome> {
  const directory = join(contestDirectory, "cell");
  mkdirSync(directory);
  try {
    if (entrant.system === "limit") return await runLimit(entrant, directory, settings);
    const { warmSeconds, seconds } = settings;
    const { workload, system, parameter, prepared } = entrant;
    const request = { workload, system, parameter, directory, warmSeconds, seconds };
    if (prepared !== undefined) {
      await runCell({ ...request, workload: preparationFor(entrant), parameter: prepared.records });
    }
    return { measurements: await runCell(request) };
  } catch (error) {
    return { unavailable: error instanceof Error ? error.message : String(error) };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function preparationFor({ system, prepared }: Entrant): string {
  if (!system.startsWith("wal")) return "fillPeer";
  return prepared?.killed === true ? "fillLogAndDie" : "fillLog";
}

async function runLimit(
  entrant: Entrant,
  directory: string,
  { limit, warmSeconds, seconds }: RunSettings,
): Promise<Outcome> {
  if ("missing" in limit) return { unavailable: limit.missing };
  const file = join(directory, "limit.bin");
  const parameters = limitArguments(entrant.workload, file, entrant.parameter, LOG_BYTES, { warmSeconds, seconds });
  const { code, output, errors } = await runProcess(limit.path, parameters);
  if (code === NO_HARDWARE) return { unavailable: "this processor has no CRC-32C instruction" };
  if (code !== 0) return { unavailable: errors.trim() };
  return { measurements: JSON.parse(output) as Measurements };
}

/** The command that runs a module of this directory in a fresh process of this runtime. */
export function runtimeCommand(module: string, ...options: readonly string[]): readonly [string, ...string[]] {
  const flags = {
    deno: ["run", "--allow-all", "--quiet"],
    bun: [],
    node: ["--disable-warning=ExperimentalWarning"],
  };
  return [process.execPath, ...flags[runtime], ...options, module];
}

/** Runs one cell until it ends, or until it says that it is ready and is killed. */
export async function runCell(request: CellRequest): Promise<Measurements> {
  const [command, ...start] = runtimeCommand(CELL);
  const { code, killed, output, errors } = await runProcess(command, [...start, JSON.stringify(request)]);
  if (killed) return {};
  const result = /^RESULT (.*)$/m.exec(output);
  if (result === null) throw new Error(firstLineOf(errors) || `exit code ${code}`);
  return JSON.parse(result[1]!) as Measurements;
}

function firstLineOf(errors: string): string {
  // Bun shows the source around an error first, with line numbers.
  const lines = errors.split("\n").map((line) => line.trim()).filter((line) => line !== "" && !/^\d+ \|/.test(line));
  return lines.find((line) => /error/i.test(line)) ?? lines[0] ?? "";
}

interface ProcessEnd {
  readonly code: number | null;
  readonly killed: boolean;
  readonly output: string;
  readonly errors: string;
}

function runProcess(command: string, parameters: readonly string[]): Promise<ProcessEnd> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, parameters, { env: plainEnvironment(), stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let errors = "";
    let killed = false;
    const timer = setTimeout(() => child.kill("SIGKILL"), CELL_TIMEOUT_MS);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (/^READY$/m.test(output)) killed = child.kill("SIGKILL");
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => errors += text);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve({ code, killed, output, errors });
    });
  });
}
