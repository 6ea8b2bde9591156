// W7: how long the event loop is held while many writers run and syncs run on another thread.

import { type Measurements, quantile, Samples } from "../measure.ts";
import { type CellRequest, openPeer } from "./workload.ts";
import { measureWriters } from "./many_writers.ts";

const TICK_MS = 1;

export async function eventLoopDelay(request: CellRequest): Promise<Measurements> {
  const peer = await openPeer(request);
  const idle = watch();
  await new Promise((resolve) => setTimeout(resolve, 1e3 * request.warmSeconds));
  const idleDelay = idle.stop();
  const busy = watch();
  const opsPerSecond = await measureWriters(peer, request.parameter, request);
  const busyDelay = busy.stop();
  await peer.close();
  return {
    opsPerSecond,
    delayP50Ms: quantile(busyDelay, 0.5),
    delayP99Ms: quantile(busyDelay, 0.99),
    delayMaxMs: quantile(busyDelay, 1),
    idleP50Ms: quantile(idleDelay, 0.5),
    idleP99Ms: quantile(idleDelay, 0.99),
  };
}

/** Sets timers of one millisecond, one after the other, and records how late each one runs. */
export function watch(): { stop(): Float64Array } {
  const delays = new Samples();
  let before = performance.now();
  let timer: ReturnType<typeof setTimeout>;
  const tick = (): void => {
    const now = performance.now();
    delays.add(Math.max(0, now - before - TICK_MS));
    before = now;
    timer = setTimeout(tick, TICK_MS);
  };
  timer = setTimeout(tick, TICK_MS);
  return {
    stop: () => {
      clearTimeout(timer);
      // If the loop was held until now, its timer has not run at all.
      delays.add(Math.max(0, performance.now() - before - TICK_MS));
      return delays.values.sort();
    },
  };
}
