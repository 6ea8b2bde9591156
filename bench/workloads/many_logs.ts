// Several logs in one process. Each has one writer that waits until its record is durable.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Measurements } from "../measure.ts";
import { memory } from "../memory.ts";
import { openLog, WALPeer } from "../peers/wal.ts";
import type { CellRequest } from "./workload.ts";

export async function manyLogs(request: CellRequest): Promise<Measurements> {
  const before = memory().residentBytes;
  const peers: WALPeer[] = [];
  for (let i = 0; i < request.parameter; i++) {
    const directory = join(request.directory, String(i));
    mkdirSync(directory);
    peers.push(
      new WALPeer(await openLog(directory, { flush: request.system === "wal-offload" ? "offload" : "inline" })),
    );
  }
  const opened = memory().residentBytes;
  const end = performance.now() + 1e3 * request.seconds;
  const start = performance.now();
  const written = await Promise.all(peers.map((peer) => writeUntil(peer, end)));
  const opsPerSecond = written.reduce((sum, count) => sum + count, 0) / ((performance.now() - start) / 1e3);
  await Promise.all(peers.map((peer) => peer.close()));
  return { opsPerSecond, residentMiBPerLog: (opened - before) / 2 ** 20 / peers.length };
}

async function writeUntil(peer: WALPeer, end: number): Promise<number> {
  let n = 0;
  while (performance.now() < end) await peer.put(n++);
  return n;
}
