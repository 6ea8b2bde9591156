// W1: one writer that waits until each record is durable.

import { type Measurements, Samples, summarize } from "../measure.ts";
import type { Peer } from "../peers/peer.ts";
import { type CellRequest, openPeer } from "./workload.ts";

export async function singleWriter(request: CellRequest): Promise<Measurements> {
  const peer = await openPeer(request);
  const written = await write(peer, 0, request.warmSeconds, new Samples());
  const samples = new Samples();
  const start = performance.now();
  const end = await write(peer, written, request.seconds, samples);
  const elapsed = performance.now() - start;
  await peer.close();
  return { opsPerSecond: (end - written) / (elapsed / 1e3), ...summarize(samples.values) };
}

/** Writes records from `first` on for some seconds. Returns the number after the last. */
async function write(peer: Peer, first: number, seconds: number, samples: Samples): Promise<number> {
  let before = performance.now();
  const end = before + seconds * 1e3;
  let n = first;
  while (before < end) {
    await peer.put(n++);
    const after = performance.now();
    samples.add((after - before) * 1e3);
    before = after;
  }
  return n;
}
