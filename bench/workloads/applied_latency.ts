// W8: the time from an append until the store of the same process has the record.

import type { Store } from "../../mod.ts";
import { type Measurements, Samples, summarize } from "../measure.ts";
import { makeValues } from "../peers/values.ts";
import { openLog } from "../peers/wal.ts";
import type { CellRequest } from "./workload.ts";

const VALUES = makeValues(1027);

/** Tells those who wait that a record has come. */
class WakingStore implements Store {
  wake: () => void = () => {};

  insert(): void {
    this.wake();
  }

  delete(): void {}

  deleteValue(): void {}
}

export async function appliedLatency(request: CellRequest): Promise<Measurements> {
  const log = await openLog(request.directory);
  const store = new WakingStore();
  const stop = new AbortController();
  const consumer = log.consumeAsync(store, { signal: stop.signal });
  const samples = new Samples();
  const start = performance.now();
  const warm = start + request.warmSeconds * 1e3;
  const end = warm + request.seconds * 1e3;
  for (let before = start, n = 0; before < end; n++) {
    const applied = new Promise<void>((resolve) => store.wake = resolve);
    const i = n & 1023;
    const durable = log.logInsert(VALUES[i]!, VALUES[i + 1]!, VALUES[i + 2]!, VALUES[i + 3]!);
    await applied;
    const after = performance.now();
    await durable;
    if (before >= warm) samples.add((after - before) * 1e3);
    before = performance.now();
  }
  stop.abort();
  await consumer;
  await log.close();
  return summarize(samples.values);
}
