// What the job shows on the screen.

import process from "node:process";
import type { Life, Supervisor } from "./supervisor.ts";
import type { Tree } from "./tree.ts";

const BAR_WIDTH = 40;
const PROBLEMS_SHOWN = 20;

/** A number with its noun. */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** Draws a progress bar, on a terminal only. */
export function drawBar(done: number, all: number, life: number): void {
  if (!process.stderr.isTTY) return;
  const filled = Math.floor(BAR_WIDTH * done / all);
  const bar = "█".repeat(filled) + "░".repeat(BAR_WIDTH - filled);
  process.stderr.write(`\r${bar} ${done}/${all} files durable, child ${life} `);
}

/** Clears the line of the bar. */
export function clearBar(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[2K");
}

/**
 * Prints what recovery found in each life, and the figures of all lives.
 *
 * @param leastMs how long the job was made to last.
 */
export function printReport(tree: Tree, lives: readonly Life[], supervisor: Supervisor, leastMs: number): void {
  console.log("\nEach child, and what it found in the log:");
  console.table(lives.map((life, i) => {
    const { opened } = life;
    return {
      child: i + 1,
      "records found": opened?.recovery.records ?? "-",
      torn: opened?.recovery.tornRecords ?? "-",
      phantoms: opened?.recovery.phantomsErased ?? "-",
      clean: opened === null ? "-" : opened.recovery.created ? "new" : opened.recovery.clean ? "yes" : "no",
      "recovery ms": opened?.recovery.durationMs.toFixed(1) ?? "-",
      "store at LSN": opened?.storeLsn ?? "-",
      "files found": opened?.found ?? "-",
      "files logged": life.acknowledged,
      end: life.wasKilled ? "SIGKILL" : life.isDone ? "done" : "failed",
    };
  }));
  console.log("In all:");
  const loggingMs = lives.reduce((sum, life) => sum + life.loggingMs, 0);
  console.table(figures(tree, lives, supervisor, loggingMs));
  if (loggingMs < 1.1 * leastMs) {
    console.log(
      "Slowed down to last a second, so that the kills come before the end: this does not show the log's speed.",
    );
  }
  for (const { path, reason } of tree.unreadable) console.log(`left out, unreadable (${reason}): ${path}`);
  for (const index of supervisor.changed) {
    console.log(`changed meanwhile, kept as first read: ${tree.files[index]!.path}`);
  }
}

/** Prints the verdict. @returns true if there is no problem. */
export function printVerdict(problems: readonly string[], files: number, kills: number): boolean {
  for (const problem of problems.slice(0, PROBLEMS_SHOWN)) console.log(`PROBLEM: ${problem}`);
  if (problems.length > PROBLEMS_SHOWN) console.log(`… and ${problems.length - PROBLEMS_SHOWN} more`);
  console.log(
    problems.length === 0
      ? `${files === 1 ? "The one file is" : `All ${files} files are`} in the store, once and right, after ${
        count(kills, "SIGKILL")
      }.`
      : `FAILED: ${count(problems.length, "problem")}`,
  );
  return problems.length === 0;
}

function figures(
  tree: Tree,
  lives: readonly Life[],
  supervisor: Supervisor,
  loggingMs: number,
): Record<string, string> {
  const bytes = tree.files.reduce((sum, file) => sum + file.bytes, 0);
  const records = lives.reduce((sum, { statistics }) => sum + (statistics?.appended ?? 0), 0);
  const syncs = lives.reduce((sum, { statistics }) => sum + (statistics?.syncs ?? 0), 0);
  const latencies = supervisor.latenciesMicros.toSorted((a, b) => a - b);
  const opened = lives.find((life) => life.opened !== null)?.opened;
  return {
    files: String(tree.files.length),
    bytes: bytes < 1e5 ? String(bytes) : `${(bytes / 1e6).toFixed(1)} MB`,
    "records (with checkpoints)": String(lives.at(-1)?.statistics?.lastLsn ?? 0),
    "time logging": `${(loggingMs / 1000).toFixed(2)} s`,
    "acknowledgements per second": latencies.length < 2 ? "-" : (latencies.length / (loggingMs / 1000)).toFixed(0),
    "acknowledgement p50": percentile(latencies, 0.5),
    "acknowledgement p99": percentile(latencies, 0.99),
    "records per sync": syncs === 0 ? "-" : (records / syncs).toFixed(1),
    "file system": opened === null || opened === undefined
      ? "-"
      : `${opened.fileSystem}${opened.durableMedium ? "" : " (does not outlive power loss)"}`,
  };
}

function percentile(sorted: readonly number[], part: number): string {
  if (sorted.length === 0) return "-";
  return `${sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]} µs`;
}
