// The process of one cell: it runs the workload that its argument names, and prints the figures.

import process from "node:process";
import type { CellRequest, Workload } from "./workloads/workload.ts";

/** Workloads are loaded only where they run, so that a process holds only what it measures. */
const WORKLOADS: Readonly<Record<string, () => Promise<Workload>>> = {
  allShards: async () => (await import("./workloads/shards.ts")).allShards,
  append: async () => (await import("./workloads/append.ts")).append,
  appendLog: async () => (await import("./workloads/append_log.ts")).appendLog,
  appliedLatency: async () => (await import("./workloads/applied_latency.ts")).appliedLatency,
  appliedToMemory: async () => (await import("./workloads/applied.ts")).appliedToMemory,
  appliedToSQLite: async () => (await import("./workloads/applied.ts")).appliedToSQLite,
  backup: async () => (await import("./workloads/backup.ts")).backup,
  backupAsync: async () => (await import("./workloads/backup.ts")).backupAsync,
  batches: async () => (await import("./workloads/batches.ts")).batches,
  doorbell: async () => (await import("./workloads/following.ts")).doorbell,
  eventLoopDelay: async () => (await import("./workloads/event_loop.ts")).eventLoopDelay,
  fillLog: async () => (await import("./workloads/fill_log.ts")).fillLog,
  fillLogAndDie: async () => (await import("./workloads/fill_log.ts")).fillLogAndDie,
  fillShardsAndDie: async () => (await import("./workloads/shards.ts")).fillShardsAndDie,
  fillPeer: async () => (await import("./workloads/fill_peer.ts")).fillPeer,
  followBacklog: async () => (await import("./workloads/following.ts")).followBacklog,
  liveFile: async () => (await import("./workloads/live_file.ts")).liveFile,
  manyLogs: async () => (await import("./workloads/many_logs.ts")).manyLogs,
  manyWriters: async () => (await import("./workloads/many_writers.ts")).manyWriters,
  oneShard: async () => (await import("./workloads/shards.ts")).oneShard,
  opening: async () => (await import("./workloads/opening.ts")).opening,
  openingVerified: async () => (await import("./workloads/opening.ts")).openingVerified,
  plainCopy: async () => (await import("./workloads/backup.ts")).plainCopy,
  replayLog: async () => (await import("./workloads/recovery.ts")).replayLog,
  replayPeer: async () => (await import("./workloads/replay_peer.ts")).replayPeer,
  recoverShard: async () => (await import("./workloads/shards.ts")).recoverShard,
  recoverShards: async () => (await import("./workloads/shards.ts")).recoverShards,
  recoverShardsAside: async () => (await import("./workloads/shards.ts")).recoverShardsAside,
  salvage: async () => (await import("./workloads/backup.ts")).salvage,
  requestsBesideConsumer: async () => (await import("./workloads/requests.ts")).requestsBesideConsumer,
  requestsBesideWriters: async () => (await import("./workloads/requests.ts")).requestsBesideWriters,
  scan: async () => (await import("./workloads/scan.ts")).scan,
  service: async () => (await import("./workloads/service.ts")).service,
  singleWriter: async () => (await import("./workloads/single_writer.ts")).singleWriter,
  stats: async () => (await import("./workloads/backup.ts")).stats,
  verify: async () => (await import("./workloads/recovery.ts")).verify,
  wrap: async () => (await import("./workloads/wrap.ts")).wrap,
};

const request = JSON.parse(process.argv[2]!) as CellRequest;
const workload = await WORKLOADS[request.workload]!();
const measurements = await workload(request);
// Some addons keep the process alive after they are closed.
process.stdout.write(`RESULT ${JSON.stringify(measurements)}\n`, () => process.exit(0));
