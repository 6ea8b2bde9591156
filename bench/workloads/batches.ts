// W3: one writer of batches, each durable before the next.

import type { Measurements } from "../measure.ts";
import { type CellRequest, openPeer } from "./workload.ts";

export async function batches(request: CellRequest): Promise<Measurements> {
  const peer = await openPeer(request);
  const count = request.parameter;
  let first = 0;
  const write = async (seconds: number): Promise<number> => {
    const start = performance.now();
    let now = start;
    const before = first;
    for (; now < start + seconds * 1e3; now = performance.now()) {
      await peer.putBatch?.(first, count);
      first += count;
    }
    return (first - before) / ((now - start) / 1e3);
  };
  await write(request.warmSeconds);
  const opsPerSecond = await write(request.seconds);
  await peer.close();
  return { opsPerSecond };
}
