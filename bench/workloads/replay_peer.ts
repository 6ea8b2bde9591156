// W5 for the peers: reads every record into an array of objects, the opening included.

import type { Measurements } from "../measure.ts";
import { memory } from "../memory.ts";
import { type CellRequest, openPeer } from "./workload.ts";

export async function replayPeer(request: CellRequest): Promise<Measurements> {
  const before = memory().residentBytes;
  const start = performance.now();
  const peer = await openPeer(request);
  const records = await peer.replay?.() ?? [];
  const elapsedMs = performance.now() - start;
  const peakMiB = (memory().peakBytes - before) / 2 ** 20;
  await peer.close();
  return { opsPerSecond: records.length / (elapsedMs / 1e3), peakMiB };
}
