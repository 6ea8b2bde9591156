// Fills a log for the workloads that open one. It closes the log, or leaves it as a killed process
// does.

import process from "node:process";
import type { Measurements } from "../measure.ts";
import { openLog, WALPeer } from "../peers/wal.ts";
import { logBytes } from "../sizes.ts";
import type { CellRequest } from "./workload.ts";

const FLUSH_EVERY = 2 ** 18;

/** Fills a log and closes it. */
export async function fillLog(request: CellRequest): Promise<Measurements> {
  const log = await fill(request);
  await log.close();
  return {};
}

/** Fills a log, then waits to be killed with all of it acknowledged. */
export async function fillLogAndDie(request: CellRequest): Promise<Measurements> {
  await fill(request);
  process.stdout.write("READY\n");
  // The parent kills this process when it reads the line. The timer keeps the process alive until
  // then.
  await new Promise((resolve) => setTimeout(resolve, 60_000));
  return process.exit(1);
}

async function fill(request: CellRequest): ReturnType<typeof openLog> {
  const records = request.parameter;
  const log = await openLog(request.directory, { size: logBytes(records) });
  const peer = new WALPeer(log);
  for (let n = 1; n <= records; n++) {
    peer.append(n);
    if (n % FLUSH_EVERY === 0) log.flush();
  }
  log.flush();
  return log;
}
