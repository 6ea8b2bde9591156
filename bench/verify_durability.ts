// Watches the system calls of each peer, so that no peer looks fast because it does not wait for
// the medium.

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PEER_NAMES } from "./peers/registry.ts";
import { runtimeCommand } from "./runner.ts";

const MARKED = fileURLToPath(new URL("./marked_puts.ts", import.meta.url));
const TRACED = "write,msync,fsync,fdatasync";
const PUTS = 200;
/** A sync as strace prints it: in one line, or in two if another thread's line came between. */
const WHOLE = /^(\d+) +(?:msync|fsync|fdatasync)\(.*= 0$/;
const BEGUN = /^(\d+) +(?:msync|fsync|fdatasync)\(.*<unfinished/;
const ENDED = /^(\d+) +<\.\.\. (?:msync|fsync|fdatasync) resumed>.*= 0$/;
const MARK = /\bwrite\(\d+, "PUT \d+ (BEGINS|DONE)/;

/** A line for each peer: how many awaited puts had a completed sync before they were done. */
export function verifyDurability(directory: string): string {
  if (spawnSync("strace", ["-V"]).error !== undefined) return "Not checked: strace is not installed";
  const lines = PEER_NAMES.map((peer) => `  ${peer.padEnd(18)}${checkPeer(peer, directory)}`);
  return `Awaited puts of one writer, with strace: syncs that began and completed while each was awaited\n${
    lines.join("\n")
  }`;
}

function checkPeer(peer: string, parent: string): string {
  const directory = join(parent, "strace");
  mkdirSync(directory);
  const trace = join(directory, "trace");
  const parameters = ["-f", "-o", trace, `--trace=${TRACED}`, ...runtimeCommand(MARKED), peer, directory, String(PUTS)];
  const { status, stderr } = spawnSync("strace", parameters, { encoding: "utf8" });
  const text = status === 0 ? readFileSync(trace, "utf8") : "";
  rmSync(directory, { recursive: true });
  if (status !== 0) return `not checked: ${stderr.trim().split("\n")[0]}`;
  const syncs = syncsInPuts(text);
  const durable = syncs.filter((count) => count > 0).length;
  const total = syncs.reduce((sum, count) => sum + count, 0);
  const verdict = syncs.length === PUTS && durable === PUTS ? "durable" : "NOT DURABLE";
  return `${durable} of ${PUTS} puts, ${(total / PUTS).toFixed(2)} syncs each: ${verdict}`;
}

/**
 * For each put, the syncs that began and completed while it was awaited. A sync that began earlier
 * may not cover it.
 */
function syncsInPuts(trace: string): readonly number[] {
  const counts: number[] = [];
  let begun = new Set<string>();
  let inPut = false;
  for (const line of trace.split("\n")) {
    const mark = MARK.exec(line)?.[1];
    if (mark !== undefined) {
      inPut = mark === "BEGINS";
      begun = new Set();
      if (inPut) counts.push(0);
    }
    if (!inPut) continue;
    const thread = BEGUN.exec(line)?.[1];
    if (thread !== undefined) begun.add(thread);
    const ended = ENDED.exec(line)?.[1];
    if (WHOLE.test(line) || (ended !== undefined && begun.delete(ended))) counts[counts.length - 1]!++;
  }
  return counts;
}
