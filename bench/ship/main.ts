// Shipping beside the loops that a user of the same client would write, on one real server on
// loopback: throughput, lag, and memory over many records. It is no part of `npm run bench`,
// because it needs the servers.
//
//   bun bench/ship/main.ts jetstream
//   bun bench/ship/main.ts postgres --dir /mnt/disk
//   bun bench/ship/main.ts jetstream --quick
//   bun bench/ship/main.ts jetstream --as jetstream-2.15
//
// It writes what it has found of the engine into bench/results/ship-<runtime>.json, under the name
// of the engine or another one, but not with --quick. The server is the one that PATH leads to.
// `bench/ship/plots.ts` draws it, and `bench/document.ts` puts it into docs/shipping.md.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { consume, WAL } from "../../mod.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import { machineFacts } from "../machine.ts";
import { median, quantile, QUANTILES, Samples } from "../measure.ts";
import { makeWorkDirectory } from "../work_directory.ts";
import { type Engine, RETRY } from "./engine.ts";
import { type EngineName, type EngineResult, ENGINES, type Throughput } from "./results.ts";

/** Records in a message. */
const RUN = 1024;
/** The message of such a run. */
const MESSAGE_BYTES = 64 + 64 + RUN * 64;
const IN_FLIGHT = [1, 32];
const MEMORY_SAMPLES = 20;
/** The first appends, of which the lag does not count. */
const WARM_APPENDS = 50;

/** How much is measured. */
interface Amounts {
  readonly records: number;
  readonly rounds: number;
  readonly appends: number;
  readonly memoryRecords: number;
}

const shortly = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

/** Records a second of a call that ships or applies so many. */
async function rateOf(records: number, call: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await call();
  return records / ((performance.now() - startMs) / 1000);
}

/** Each round ships, follows and runs the client's loops, one after the other. */
async function measureThroughput(engine: Engine, inFlight: number, amounts: Amounts): Promise<Throughput> {
  const { records, rounds } = amounts;
  const payload = new Uint8Array(MESSAGE_BYTES);
  const measured: { shipped: number; followed: number; loops: Record<string, number> }[] = [];
  for (let round = 0; round < rounds; round++) {
    const loops: Record<string, number> = {};
    for (const [name, make] of Object.entries(engine.loops)) {
      const loop = await make();
      loops[name] = await rateOf(records, () => loop.run(payload, Math.ceil(records / RUN), inFlight));
      await loop.remove();
    }
    const target = await engine.makeTarget();
    await using wal = WAL.open(null, { size: 1 << 27 });
    for (let i = 0; i < records; i++) wal.logInsertSync(1, i, 2, 3);
    wal.flush();
    const shipped = await rateOf(records, async () => {
      const shipping = consume(wal, target.shipTo({ inFlight }), RETRY);
      await wal.whenApplied();
      await shipping.stop();
    });
    const followed = await rateOf(records, async () => {
      await using following = target.followFrom(new MemoryStore());
      while (following.applied < records) await shortly();
    });
    await target.remove();
    measured.push({ shipped, followed, loops });
  }
  const byLoop = (of: (round: typeof measured[number], name: string) => number, digits: number) =>
    Object.fromEntries(
      Object.keys(engine.loops).map((name) => [
        name,
        Number(median(measured.map((round) => of(round, name))).toFixed(digits)),
      ]),
    );
  return {
    inFlight,
    shipped: Math.round(median(measured.map(({ shipped }) => shipped))),
    loops: byLoop(({ loops }, name) => loops[name]!, 0),
    ratios: byLoop(({ shipped, loops }, name) => shipped / loops[name]!, 2),
    followed: Math.round(median(measured.map(({ followed }) => followed))),
  };
}

/** From the acknowledgement of an append to the store of a follower, in ms. */
async function measureLag(engine: Engine, appends: number): Promise<Float64Array> {
  const target = await engine.makeTarget();
  await using wal = WAL.open(null);
  const shipping = consume(wal, target.shipTo(), RETRY);
  const store = new MemoryStore();
  let applied = Promise.withResolvers<number>();
  const following = target.followFrom({
    applyBatch: (records, run) => {
      store.applyBatch(records, run);
      applied.resolve(performance.now());
    },
    appliedLsn: () => store.appliedLsn(),
  });
  const lags = new Samples();
  for (let i = 0; i < WARM_APPENDS + appends; i++) {
    applied = Promise.withResolvers();
    await wal.logInsert(1, i, 2, 3);
    const acknowledgedMs = performance.now();
    const lag = await applied.promise - acknowledgedMs;
    // A follower may be faster than the answer to the append.
    if (i >= WARM_APPENDS) lags.add(Math.max(0, lag));
  }
  await following.stop();
  await shipping.stop();
  await target.remove();
  return lags.values.slice().sort();
}

/** Ships and follows many records in this process. @returns its memory at even steps, in MiB. */
async function measureMemory(engine: Engine, count: number): Promise<number[]> {
  const target = await engine.makeTarget();
  await using wal = WAL.open(null, { size: 1 << 24 });
  const shipping = consume(wal, target.shipTo(), RETRY);
  let applied = 0;
  // A store that keeps nothing, so that the memory is that of shipping and following.
  const store = { applyBatch: (records: readonly unknown[]) => void (applied += records.length), appliedLsn: () => 0 };
  const following = target.followFrom(store);
  const megabytes: number[] = [];
  const items = Array.from({ length: RUN }, (_, index) => [1, index, 2, 3] as const);
  for (let sample = 1; sample <= MEMORY_SAMPLES; sample++) {
    const until = sample * count / MEMORY_SAMPLES;
    while (wal.head <= until) await wal.batchInsert(items);
    while (following.applied < until) await shortly();
    megabytes.push(Math.round(process.memoryUsage().rss / 2 ** 20));
  }
  if (applied < count) throw new Error(`${applied} of ${count} records were applied`);
  await following.stop();
  await shipping.stop();
  await target.remove();
  return megabytes;
}

async function measure(engine: Engine, amounts: Amounts): Promise<Omit<EngineResult, "machine">> {
  const throughput: Throughput[] = [];
  for (const inFlight of IN_FLIGHT) {
    const found = await measureThroughput(engine, inFlight, amounts);
    console.log(JSON.stringify(found));
    throughput.push(found);
  }
  const lags = await measureLag(engine, amounts.appends);
  const lagMs = QUANTILES.map((q) => Number(quantile(lags, q).toFixed(3)));
  console.log(`lag in ms: p50 ${lagMs[QUANTILES.indexOf(0.5)]}, p99 ${lagMs[QUANTILES.indexOf(0.99)]}`);
  const memoryMiB = await measureMemory(engine, amounts.memoryRecords);
  console.log(`memory in MiB, over ${amounts.memoryRecords} records shipped and followed: ${memoryMiB.join(" ")}`);
  const { records, rounds, memoryRecords } = amounts;
  return { server: engine.server, records, rounds, throughput, lagMs, memoryRecords, memoryMiB };
}

async function start(name: EngineName, directory: string): Promise<Engine> {
  if (name === "jetstream") return await (await import("./jetstream.ts")).startJetStream(directory);
  return await (await import("./postgres.ts")).startPostgres(directory);
}

async function main(): Promise<void> {
  const { values, positionals: [name] } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: { quick: { type: "boolean", default: false }, dir: { type: "string" }, as: { type: "string" } },
  });
  if (!isEngine(name)) throw new TypeError(`Name one of ${Object.keys(ENGINES).join(", ")}`);
  using work = makeWorkDirectory(values.dir);
  const machine = machineFacts(work.path, values.quick ? 0.5 : 2);
  await using engine = await start(name, work.path);
  const { records, memoryRecords } = engine;
  const amounts = values.quick
    ? { records: 20_480, rounds: 1, appends: 100, memoryRecords: 40_960 }
    : { records, rounds: 5, appends: 2000, memoryRecords };
  const found: EngineResult = { machine, ...await measure(engine, amounts) };
  if (values.quick) return;
  const path = new URL(`../results/ship-${machine.runtime}.json`, import.meta.url);
  const others = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
  writeFileSync(path, `${JSON.stringify({ ...others, [values.as ?? name]: found }, null, 2)}\n`);
}

function isEngine(name: string | undefined): name is EngineName {
  return name !== undefined && Object.hasOwn(ENGINES, name);
}

await main();
process.exit(0);
