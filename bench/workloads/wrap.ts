// Appends where the ring starts over: opens a full log, releases half of it, and writes durable
// batches across the ring's end.

import type { Measurements } from "../measure.ts";
import { memory } from "../memory.ts";
import { openLog, WALPeer } from "../peers/wal.ts";
import type { CellRequest } from "./workload.ts";

const BATCH = 1000;

export async function wrap(request: CellRequest): Promise<Measurements> {
  const log = await openLog(request.directory, { verify: false });
  const peer = new WALPeer(log);
  log.truncate(log.tail + Math.floor(log.length / 2));
  const room = log.capacity - log.length - BATCH;
  const end = performance.now() + 1e3 * request.seconds;
  const start = performance.now();
  let written = 0;
  for (; written + BATCH <= room && performance.now() < end; written += BATCH) await log.batchInsert(peer.items(BATCH));
  const opsPerSecond = written / ((performance.now() - start) / 1e3);
  const { residentBytes } = memory();
  await peer.close();
  return { opsPerSecond, residentMiB: residentBytes / 2 ** 20 };
}
