// W15: what `followers: true` alone costs a writer. Two logs in this process, one without it, take
// turns that are too short for the machine to change between two of them.

import { join } from "node:path";
import { WAL } from "../../mod.ts";
import { type Measurements, quantile } from "../measure.ts";
import { WALPeer } from "../peers/wal.ts";
import { measureWriters } from "./many_writers.ts";
import type { CellRequest } from "./workload.ts";

const TURN_SECONDS = 0.06;

/** The parameter is how many writers. `share` is the median of turn by turn, and its quartiles. */
export async function liveFile({ directory, parameter, warmSeconds, seconds }: CellRequest): Promise<Measurements> {
  const open = (name: string, followers: boolean) => new WALPeer(WAL.open(join(directory, name), { followers }));
  const plain = open("plain.wal", false);
  const live = open("live.wal", true);
  const start = performance.now();
  const warm = start + warmSeconds * 1e3;
  const end = warm + seconds * 1e3;
  const shares: number[] = [];
  for (let round = 0; performance.now() < end; round++) {
    // Each is the first one as often as the other.
    const turns = round % 2 === 0 ? [plain, live] : [live, plain];
    const rates = new Map<WALPeer, number>();
    for (const peer of turns) {
      rates.set(peer, await measureWriters(peer, parameter, { warmSeconds: 0, seconds: TURN_SECONDS }));
      peer.flush();
    }
    if (performance.now() >= warm) shares.push(rates.get(live)! / rates.get(plain)!);
  }
  await plain.close();
  await live.close();
  const sorted = Float64Array.from(shares).sort();
  return { share: quantile(sorted, 0.5), shareQ1: quantile(sorted, 0.25), shareQ3: quantile(sorted, 0.75) };
}
