// Fills a peer for the workloads that read one.

import type { Measurements } from "../measure.ts";
import { type CellRequest, openPeer } from "./workload.ts";

const BATCH = 1000;

export async function fillPeer(request: CellRequest): Promise<Measurements> {
  const peer = await openPeer(request);
  for (let first = 0; first < request.parameter; first += BATCH) await peer.putBatch?.(first, BATCH);
  await peer.close();
  return {};
}
