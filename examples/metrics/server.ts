// A service whose log a Prometheus server watches, with some load to look at: inserts, deletes, a
// consumer that is quick, and one that is slow. `dashboard.json` shows the figures in Grafana.
//   deno run --allow-ffi --allow-net=127.0.0.1 --allow-read=. --allow-write=. \
//     examples/metrics/server.ts 9464
//   bun examples/metrics/server.ts 9464
//   node examples/metrics/server.ts 9464

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { consume, WAL } from "@cidstore/wal";
import { PROMETHEUS_CONTENT_TYPE, prometheusText } from "@cidstore/wal/prometheus";

const wal = WAL.open("metrics.wal", { size: 2 ** 20 });
const stopping = new AbortController();
const { signal } = stopping;

/** Consumers whose stores only take time. */
const consumers = [
  consume(wal, { applyBatch: () => {} }, { name: "database", signal }),
  consume(wal, { applyBatch: () => setTimeout(200) }, { name: "search", signal, maxLagRecords: 10_000 }),
];

const server = createServer((request, response) => {
  if (request.url !== "/metrics") return void response.writeHead(404).end();
  response.setHeader("content-type", PROMETHEUS_CONTENT_TYPE);
  response.end(prometheusText(wal));
});
server.listen(Number(process.argv[2] ?? 9464), "127.0.0.1", () => {
  console.log(`ready on ${(server.address() as AddressInfo).port}`);
});

for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stopping.abort());
for (let key = 0; !signal.aborted; key++) {
  const inserts = Array.from({ length: 1 + key % 50 }, (_, i) => wal.logInsert(key, i, key, i));
  await Promise.all([...inserts, wal.logDelete(key, 0)]);
  await setTimeout(20);
}

server.close();
server.closeAllConnections();
await Promise.all(consumers.map(({ done }) => done));
wal.close();
