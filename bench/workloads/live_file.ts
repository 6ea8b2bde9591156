// W15: what `followers: true` alone costs a writer. Two logs in this process, one without it, take
// turns that are too short for the machine to change between two of them.

import { join } from "node:path";
import { WAL } from "../../mod.ts";
import { type Measurements, quantile } from "../measure.ts";
import type { CellRequest } from "./workload.ts";

const TURN_MS = 60;

/** The parameter is how many writers. `share` is the median of turn by turn, and its quartiles. */
export async function liveFile({ directory, parameter, warmSeconds, seconds }: CellRequest): Promise<Measurements> {
  const open = (name: string, followers: boolean) => WAL.open(join(directory, name), { followers });
  await using plain = await open("plain.wal", false);
  await using live = await open("live.wal", true);
  const start = performance.now();
  const warm = start + warmSeconds * 1e3;
  const end = warm + seconds * 1e3;
  const shares: number[] = [];
  for (let round = 0; performance.now() < end; round++) {
    // Each is the first one as often as the other.
    const turns = round % 2 === 0 ? [plain, live] : [live, plain];
    const rates = new Map<WAL, number>();
    for (const wal of turns) rates.set(wal, await turn(wal, parameter));
    if (performance.now() >= warm) shares.push(rates.get(live)! / rates.get(plain)!);
  }
  const sorted = Float64Array.from(shares).sort();
  return { share: quantile(sorted, 0.5), shareQ1: quantile(sorted, 0.25), shareQ3: quantile(sorted, 0.75) };
}

/** Records per second of so many writers, each of which waits until its record is durable. */
async function turn(wal: WAL, writers: number): Promise<number> {
  const start = performance.now();
  let now = start;
  let done = 0;
  let untilReading = writers;
  const writer = async (): Promise<void> => {
    while (now < start + TURN_MS) {
      await wal.logInsert(1, done++, 2, 3);
      if (--untilReading > 0) continue;
      untilReading = writers;
      now = performance.now();
    }
  };
  await Promise.all(Array.from({ length: writers }, writer));
  const rate = done / (performance.now() - start);
  wal.truncate(wal.durable);
  return rate * 1e3;
}
