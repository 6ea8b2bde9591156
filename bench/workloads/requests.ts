// W7b: how long another process waits for answers of a server in this process, while writers run or
// a consumer has a backlog.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Store } from "../../mod.ts";
import type { Measurements } from "../measure.ts";
import { openLog } from "../peers/wal.ts";
import { askFrom } from "./asking.ts";
import { measureWriters } from "./many_writers.ts";
import { type CellRequest, openPeer } from "./workload.ts";

/**
 * A backlog that lasts longer than the questions: a store that takes 5 µs a record needs five
 * seconds.
 */
const BACKLOG = 1_000_000;

/**
 * The parameter is the number of writers, each of which waits for each of its records. 0 is an idle
 * process.
 */
export async function requestsBesideWriters(request: CellRequest): Promise<Measurements> {
  await using server = await startServer();
  const asked = server.ask(request);
  if (request.parameter === 0) return await asked;
  const peer = await openPeer(request);
  // The writers outlast the questions.
  const seconds = 1.5 * request.seconds + 1;
  const opsPerSecond = await measureWriters(peer, request.parameter, { ...request, seconds });
  await peer.close();
  return { opsPerSecond, ...await asked };
}

/**
 * The parameter is how many microseconds the store takes for a record. The system is the kind of
 * store.
 */
export async function requestsBesideConsumer(request: CellRequest): Promise<Measurements> {
  await using server = await startServer();
  const log = await openLog(request.directory, { size: 2 ** 27 });
  for (let n = 0; n < BACKLOG; n++) log.logInsertSync(1, n, 1, n);
  log.flush();
  const stop = new AbortController();
  const asked = server.ask(request).finally(() => stop.abort());
  const start = performance.now();
  await log.consumeAsync(STORES[request.system]!(request.parameter), { signal: stop.signal });
  const opsPerSecond = log.applied / ((performance.now() - start) / 1e3);
  log.close();
  return { opsPerSecond, ...await asked };
}

function spin(us: number): void {
  const end = performance.now() + us / 1e3;
  while (performance.now() < end);
}

/** Stores that keep nothing and take time. */
const STORES: Readonly<Record<string, (us: number) => Store>> = {
  synchronous(us) {
    const take = () => spin(us);
    return { insert: take, delete: take, deleteValue: take };
  },
  ready(us) {
    const take = () => {
      spin(us);
      return Promise.resolve();
    };
    return { insert: take, delete: take, deleteValue: take };
  },
  runs: (us) => ({ applyBatch: (records) => records.forEach(() => spin(us)) }),
};

interface Server extends AsyncDisposable {
  /** Has another process ask questions during a cell. */
  ask(request: CellRequest): Promise<Measurements>;
}

/** `node:http`, which every runtime has. */
async function startServer(): Promise<Server> {
  const server = createServer((_request, response) => response.end("yes"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const { port } = server.address() as AddressInfo;
  return {
    ask: ({ warmSeconds, seconds }) => askFrom("./asker.ts", [port, 1e3 * warmSeconds, 1e3 * seconds]),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
