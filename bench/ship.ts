// Shipping beside the client's own publish loop, on one nats-server on loopback: throughput, lag,
// and memory over many records. It is no part of `npm run bench`, because it needs the server.
//
//   bun bench/ship.ts [records of a round] [records for the memory]
//   bun bench/ship.ts --quick
//
// It writes bench/results/ship-<runtime>.json, but not with --quick.
//
// The loop publishes as many messages of the same size, one payload again and again. It is run
// twice: with the expectation of the last place alone, and with all that a shipper expects. For the
// latter a server reads its last message again.

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

const isQuick = process.argv[2] === "--quick";
const RECORDS = isQuick ? 50_000 : Number(process.argv[2] ?? 1_000_000);
const MEMORY_RECORDS = isQuick ? 200_000 : Number(process.argv[3] ?? 10_000_000);
const RUN = 1024;
/** The message of a run of 1024 records. */
const MESSAGE_BYTES = 64 + 64 + RUN * 64;
const ROUNDS = isQuick ? 1 : 5;
const LAG_SAMPLES = isQuick ? 100 : 2000;
const MEMORY_SAMPLES = 20;

const onError = () => "retry" as const;
const perSecond = (startMs: number) => RECORDS / ((performance.now() - startMs) / 1000);
const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;

/** Publishes as many bytes in as many messages, each after the one before it. */
async function publishLoop(
  client: ReturnType<typeof jetstream>,
  stream: string,
  inFlight: number,
  isGuarded: boolean,
): Promise<number> {
  const payload = new Uint8Array(MESSAGE_BYTES);
  const startMs = performance.now();
  const pending: Promise<unknown>[] = [];
  for (let sent = 0; sent * RUN < RECORDS; sent++) {
    if (pending.length >= inFlight) await pending.shift();
    const expect = isGuarded
      ? { streamName: stream, lastSequence: sent, lastSubjectSequence: sent }
      : { lastSequence: sent };
    pending.push(client.publish(`${stream}.x`, payload, { expect }));
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
    const [bare, guarded]: [number[], number[]] = [[], []];
    const [shipped, followed]: [number[], number[]] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      const [raw, same, log] = ["RAW", "SAME", "LOG"].map((name) => `${name}${inFlight}_${round}`) as [
        string,
        string,
        string,
      ];
      for (const name of [raw, same, log]) await manager.streams.add({ name, subjects: [`${name}.*`] });
      const target = { connection, jetstream: client, stream: log, subject: log };
      await using wal = WAL.open(null, { size: 1 << 27 });
      for (let i = 0; i < RECORDS; i++) wal.logInsertSync(1, i, 2, 3);
      wal.flush();
      const published = await publishLoop(client, raw, inFlight, false);
      const alike = await publishLoop(client, same, inFlight, true);
      let startMs = performance.now();
      const shipping = consume(wal, shipTo(target, { inFlight }), { onError });
      await wal.whenApplied();
      await shipping.stop();
      shipped.push(perSecond(startMs));
      bare.push(shipped.at(-1)! / published);
      guarded.push(shipped.at(-1)! / alike);
      startMs = performance.now();
      const store = new MemoryStore();
      await using following = followFrom(target, store, { onError });
      while (following.applied < RECORDS) await new Promise((resolve) => setTimeout(resolve, 1));
      followed.push(perSecond(startMs));
      await following.stop();
      for (const name of [raw, same, log]) await manager.streams.delete(name);
    }
    results.push({
      inFlight,
      shipped: Math.round(median(shipped)),
      ratio: Number(median(bare).toFixed(2)),
      guardedRatio: Number(median(guarded).toFixed(2)),
      followed: Math.round(median(followed)),
    });
    console.log(
      `${inFlight} in flight: ${Math.round(median(shipped))} records/s shipped, ` +
        `${median(bare).toFixed(2)} of the publish loop, ${median(guarded).toFixed(2)} of one with the same ` +
        `expectations; ${Math.round(median(followed))} records/s followed`,
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
  await _following.stop();
  await _shipping.stop();
  const memoryMiB = await memory(connection, manager, client);
  const result: ShipResult = {
    runtime,
    cores: availableParallelism(),
    records: RECORDS,
    inFlight: results,
    lagP50Ms: Number(at(0.5).toFixed(2)),
    lagP99Ms: Number(at(0.99).toFixed(2)),
    memoryRecords: MEMORY_RECORDS,
    memoryMiB,
  };
  const path = new URL(`./results/ship-${runtime}.json`, import.meta.url);
  if (!isQuick) writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
}

/** Ships and follows many records in one process, and prints its memory now and then. */
async function memory(
  connection: Awaited<ReturnType<NatsServer["connect"]>>,
  manager: Awaited<ReturnType<typeof jetstreamManager>>,
  client: ReturnType<typeof jetstream>,
): Promise<number[]> {
  await manager.streams.add({ name: "MEMORY", subjects: ["memory.*"] });
  const target = { connection, jetstream: client, stream: "MEMORY", subject: "memory" };
  await using wal = WAL.open(null, { size: 1 << 24 });
  await using shipping = consume(wal, shipTo(target), { onError });
  let applied = 0;
  // A store that keeps nothing, so that the memory is that of shipping and following.
  const store = { applyBatch: (records: readonly unknown[]) => void (applied += records.length), appliedLsn: () => 0 };
  await using following = followFrom(target, store, { onError });
  const megabytes: number[] = [];
  const items = Array.from({ length: RUN }, (_, index) => [1, index, 2, 3] as const);
  for (let sample = 1; sample <= MEMORY_SAMPLES; sample++) {
    const until = sample * MEMORY_RECORDS / MEMORY_SAMPLES;
    while (wal.head <= until) await wal.batchInsert(items);
    while (following.applied < until) await new Promise((resolve) => setTimeout(resolve, 1));
    megabytes.push(Math.round(process.memoryUsage().rss / 2 ** 20));
  }
  await following.stop();
  await shipping.stop();
  console.log(`memory in MiB, over ${applied} records shipped and followed: ${megabytes.join(" ")}`);
  return megabytes;
}

await main();
process.exit(0);
