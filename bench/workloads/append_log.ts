// W4 for this library: nearly the whole ring, first in a fresh mapping and again after a flush.

import { WAL } from "../../mod.ts";
import type { Measurements } from "../measure.ts";
import { openLog, WALPeer } from "../peers/wal.ts";
import { LOG_BYTES } from "../sizes.ts";
import type { CellRequest } from "./workload.ts";

const LAP = LOG_BYTES / 64 - 1024;

export async function appendLog(request: CellRequest): Promise<Measurements> {
  await compile();
  const log = await openLog(request.directory);
  const peer = new WALPeer(log);
  const freshOpsPerSecond = appendLap(peer);
  log.flush();
  log.truncate(log.durable);
  const warmOpsPerSecond = appendLap(peer);
  await peer.close();
  return { freshOpsPerSecond, warmOpsPerSecond };
}

/**
 * Lets the runtime compile the append on plain memory, so that the first lap in the file measures
 * the mapping.
 */
async function compile(): Promise<void> {
  const log = new WAL(null, { size: LOG_BYTES });
  await log.open();
  appendLap(new WALPeer(log));
  await log.close();
}

function appendLap(peer: WALPeer): number {
  const start = performance.now();
  for (let n = 0; n < LAP; n++) peer.append(n);
  return LAP / ((performance.now() - start) / 1e3);
}
