// Shipping beside the client's own publish loop, on one nats-server on loopback. It is no part of
// `npm run bench`, because it needs the server.
//
//   bun bench/ship.ts [records]
//
// It writes bench/results/ship-<runtime>.json.

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { runtime } from "../ffi/runtime.ts";
import type { ShipResult } from "./scale/results.ts";
import { consume, WAL } from "../mod.ts";
import { followFrom, shipTo } from "../src/ship/jetstream.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { NatsServer } from "../tests/support/nats.ts";

const RECORDS = Number(process.argv[2] ?? 400_000);
const RUN = 1024;
/** The message of a run of 1024 records. */
const MESSAGE_BYTES = 64 + 64 + RUN * 64;
const ROUNDS = 5;
const LAG_SAMPLES = 400;

const onError = () => "retry" as const;
const perSecond = (startMs: number) => RECORDS / ((performance.now() - startMs) / 1000);
const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;

/** Publishes as many bytes in as many messages, each after the one before it. */
async function publishLoop(client: ReturnType<typeof jetstream>, subject: string, inFlight: number): Promise<number> {
  const payload = new Uint8Array(MESSAGE_BYTES);
  const startMs = performance.now();
  const pending: Promise<unknown>[] = [];
  for (let sent = 0; sent * RUN < RECORDS; sent++) {
    if (pending.length >= inFlight) await pending.shift();
    pending.push(client.publish(subject, payload, { expect: { lastSequence: sent } }));
  }
  await Promise.all(pending);
  return perSecond(startMs);
}

async function main(): Promise<void> {
  await using server = await NatsServer.start();
  const connection = await server.connect();
  const manager = await jetstreamManager(connection);
  const client = jetstream(connection);
  const results: ShipResult["inFlight"][number][] = [];
  for (const inFlight of [1, 32]) {
    const ratios: number[] = [];
    const [shipped, followed]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      const [raw, log] = [`RAW${inFlight}_${round}`, `LOG${inFlight}_${round}`];
      await manager.streams.add({ name: raw, subjects: [raw] });
      await manager.streams.add({ name: log, subjects: [`${log}.*`] });
      const target = { connection, jetstream: client, stream: log, subject: log };
      await using wal = WAL.open(null, { size: 1 << 26 });
      for (let i = 0; i < RECORDS; i++) wal.logInsertSync(1, i, 2, 3);
      wal.flush();
      const published = await publishLoop(client, raw, inFlight);
      let startMs = performance.now();
      const shipping = consume(wal, shipTo(target, { inFlight }), { onError });
      await wal.whenApplied();
      await shipping.stop();
      shipped.push(perSecond(startMs));
      ratios.push(shipped.at(-1)! / published);
      startMs = performance.now();
      const store = new MemoryStore();
      await using following = followFrom(target, store, { onError });
      while (following.applied < RECORDS) await new Promise((resolve) => setTimeout(resolve, 1));
      followed.push(perSecond(startMs));
      await following.stop();
      await manager.streams.delete(raw);
      await manager.streams.delete(log);
    }
    results.push({
      inFlight,
      shipped: Math.round(median(shipped)),
      ratio: Number(median(ratios).toFixed(2)),
      followed: Math.round(median(followed)),
    });
    console.log(
      `${inFlight} in flight: ${Math.round(median(shipped))} records/s shipped, ` +
        `${median(ratios).toFixed(2)} of the publish loop; ${Math.round(median(followed))} records/s followed`,
    );
  }

  // From the acknowledgement of an append to the store of a follower.
  await manager.streams.add({ name: "LAG", subjects: ["lag.*"] });
  const target = { connection, jetstream: client, stream: "LAG", subject: "lag" };
  await using wal = WAL.open(null);
  await using _shipping = consume(wal, shipTo(target), { onError });
  const lags: number[] = [];
  let acknowledgedMs = 0;
  let applied = Promise.withResolvers<void>();
  const store = new MemoryStore();
  await using _following = followFrom(target, {
    applyBatch: (records, run) => {
      store.applyBatch(records, run);
      lags.push(performance.now() - acknowledgedMs);
      applied.resolve();
    },
    appliedLsn: () => store.appliedLsn(),
  }, { onError });
  for (let i = 0; i < LAG_SAMPLES; i++) {
    applied = Promise.withResolvers();
    await wal.logInsert(1, i, 2, 3);
    acknowledgedMs = performance.now();
    await applied.promise;
  }
  lags.splice(0, 50);
  lags.sort((a, b) => a - b);
  const at = (part: number) => lags[Math.floor(lags.length * part)]!;
  console.log(`lag from acknowledgement to applied: p50 ${at(0.5).toFixed(2)} ms, p99 ${at(0.99).toFixed(2)} ms`);
  const result: ShipResult = {
    runtime,
    cores: availableParallelism(),
    records: RECORDS,
    inFlight: results,
    lagP50Ms: Number(at(0.5).toFixed(2)),
    lagP99Ms: Number(at(0.99).toFixed(2)),
  };
  const path = new URL(`./results/ship-${runtime}.json`, import.meta.url);
  writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
  console.log(`peak memory: ${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB`);
  await _following.stop();
  await _shipping.stop();
}

await main();
process.exit(0);
