// W4 for rings in memory: nearly the whole ring, first in a fresh mapping and again after a flush.

import type { Measurements } from "../measure.ts";
import type { RingPeer } from "../peers/peer.ts";
import { loadRingPeer, type RingPeerName } from "../peers/registry.ts";
import { LOG_BYTES } from "../sizes.ts";
import type { CellRequest } from "./workload.ts";

const LAP = LOG_BYTES / 64 - 1024;

export async function appendLog(request: CellRequest): Promise<Measurements> {
  const { open, openInMemory } = await loadRingPeer(request.system as RingPeerName);
  // On plain memory first, so that the runtime compiles the append, and the first lap in the file
  // measures the mapping.
  await appendLaps(await openInMemory());
  return await appendLaps(await open({ directory: request.directory, durable: true }));
}

async function appendLaps(peer: RingPeer): Promise<Measurements> {
  const freshOpsPerSecond = appendLap(peer);
  peer.flush();
  const warmOpsPerSecond = appendLap(peer);
  await peer.close();
  return { freshOpsPerSecond, warmOpsPerSecond };
}

function appendLap(peer: RingPeer): number {
  const { recordsPerAppend } = peer;
  const start = performance.now();
  for (let n = 0; n < LAP; n += recordsPerAppend) peer.append(n);
  return LAP / ((performance.now() - start) / 1e3);
}
