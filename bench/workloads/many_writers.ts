// W2: many writers at once. Each waits until its record is durable before it writes the next.

import type { Measurements } from "../measure.ts";
import type { Peer } from "../peers/peer.ts";
import { type CellRequest, openPeer } from "./workload.ts";

export async function manyWriters(request: CellRequest): Promise<Measurements> {
  const peer = await openPeer(request);
  const opsPerSecond = await measureWriters(peer, request.parameter, request);
  await peer.close();
  return { opsPerSecond };
}

/** Records per second of `writers` loops, after a warm-up. */
export async function measureWriters(
  peer: Peer,
  writers: number,
  { warmSeconds, seconds }: { warmSeconds: number; seconds: number },
): Promise<number> {
  const start = performance.now();
  const warm = start + warmSeconds * 1e3;
  const end = warm + seconds * 1e3;
  let next = 0;
  let done = 0;
  let untilReading = writers;
  let from: { readonly done: number; readonly at: number } | undefined;
  let opsPerSecond = 0;
  let running = true;

  // The clock is read once for each round of all writers, so that reading it costs nothing beside a
  // group commit.
  const readClock = (): void => {
    untilReading = writers;
    const now = performance.now();
    if (from === undefined) {
      if (now >= warm) from = { done, at: now };
    } else if (now >= end) {
      if (running) opsPerSecond = (done - from.done) / ((now - from.at) / 1e3);
      running = false;
    }
  };
  const writer = async (): Promise<void> => {
    while (running) {
      await peer.put(next++);
      done++;
      if (--untilReading === 0) readClock();
    }
  };
  await Promise.all(Array.from({ length: writers }, writer));
  return opsPerSecond;
}
