// W4 for the peers: appends that do not wait for the medium, so that a record survives a crash of
// the process.

import type { Measurements } from "../measure.ts";
import type { Peer } from "../peers/peer.ts";
import { type CellRequest, openPeer } from "./workload.ts";

/** Bounds the queue of an asynchronous peer. */
const MOST_RECORDS = 200_000;

export async function append(request: CellRequest): Promise<Measurements> {
  const peer = await openPeer(request, false);
  await appendTimed(peer, 0, MOST_RECORDS / 10, request.warmSeconds);
  const freshOpsPerSecond = await appendTimed(peer, MOST_RECORDS, MOST_RECORDS, request.seconds);
  await peer.close();
  return { freshOpsPerSecond };
}

async function appendTimed(peer: Peer, first: number, most: number, seconds: number): Promise<number> {
  const start = performance.now();
  const end = start + seconds * 1e3;
  let n = first;
  while (n < first + most) {
    peer.append?.(n++);
    if ((n & 63) === 0 && performance.now() > end) break;
  }
  await peer.settle?.();
  return (n - first) / ((performance.now() - start) / 1e3);
}
