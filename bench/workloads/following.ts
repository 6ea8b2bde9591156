// W13 and W14: a follower in this process. It reads a log that is there, and waits for what another
// process writes.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Follower, WAL, type WALRecord } from "../../mod.ts";
import { findBinary, NOT_FOUND, plainEnvironment, runArguments, type Runtime } from "../../scripts/tools.ts";
import { type Measurements, Samples, summarize } from "../measure.ts";
import { epochMs } from "./epoch.ts";
import { fillLog } from "./fill_log.ts";
import type { CellRequest } from "./workload.ts";

const WRITER = fileURLToPath(new URL("./doorbell_writer.ts", import.meta.url));

/** The ways to read a backlog. Each returns how many records it has read. */
const READERS: Readonly<Record<string, (follower: Follower) => number | Promise<number>>> = {
  cursor(follower) {
    let count = 0;
    for (const cursor = follower.cursor(); cursor.next();) count++;
    return count;
  },
  records(follower) {
    let count = 0;
    for (const _ of follower.records()) count++;
    return count;
  },
  async consumeAsync(follower) {
    let count = 0;
    const { lag } = follower.stats();
    const store = {
      applyBatch(records: readonly WALRecord[]) {
        count += records.length;
        if (count === lag) follower.close();
      },
    };
    await follower.consumeAsync(store);
    return count;
  },
};

/** W13: the parameter is how many records the log has, and the system is the way to read them. */
export async function followBacklog(request: CellRequest): Promise<Measurements> {
  await fillLog(request);
  const read = READERS[request.system]!;
  const path = join(request.directory, "peer.wal");
  // The first pass has the engine compile the code.
  using first = WAL.follow(path);
  await read(first);
  using follower = WAL.follow(path);
  const start = performance.now();
  const count = await read(follower);
  const elapsed = performance.now() - start;
  if (count !== request.parameter) throw new Error(`${count} of ${request.parameter} records were read`);
  return { opsPerSecond: count / (elapsed / 1e3) };
}

/**
 * W14: the time from the acknowledgement of a record in the writer, which runs on the runtime that
 * the system names, until an iteration in this process has the record.
 */
export async function doorbell(request: CellRequest): Promise<Measurements> {
  const runtime = request.system as Runtime;
  const binary = findBinary(runtime);
  if (binary === null) throw new Error(NOT_FOUND[runtime]);
  const path = join(request.directory, "peer.wal");
  const parameters = [path, 1e3 * request.warmSeconds, 1e3 * request.seconds].map(String);
  const writer = spawn(binary, [...runArguments(runtime), WRITER, ...parameters], {
    env: plainEnvironment(),
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  const ended = new Promise((resolve) => writer.on("close", resolve));
  await new Promise<void>((resolve) => {
    writer.on("close", () => resolve());
    writer.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.startsWith("open\n")) resolve();
    });
  });
  using follower = WAL.follow(path);
  const given: number[] = [];
  for await (const { valueLow } of follower) {
    given.push(epochMs());
    if (valueLow === 0n) break; // the last one
  }
  await ended;
  const acknowledged = JSON.parse(output.slice(output.indexOf("["))) as readonly (number | null)[];
  const samples = new Samples();
  // Records of the warm-up have no time.
  acknowledged.forEach((ms, index) => ms !== null && samples.add((given[index]! - ms) * 1e3));
  return summarize(samples.values);
}
