// Fault: the server that leads a stream of three replicas is killed, again and again (H68).
// Promise: shipping goes on with the next leader, and each store gets each record once (G20).
// Method: three servers on loopback, of which the leader is killed while a log is written. It takes
//   ten seconds and more, most of it elections, so it runs if CLUSTER is set in the environment.

import { assertEquals } from "@std/assert";
import { jetstream, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import process from "node:process";
import { consume, WAL } from "../../mod.ts";
import { followFrom, shipTo } from "../../src/ship/jetstream.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import { freePort } from "../../examples/ingest/free_port.ts";
import { NatsServer, noNats, STREAM, SUBJECT } from "../support/nats.ts";
import { test } from "../support/test.ts";

const SERVERS = 3;
const KILLS = Number(process.env["KILLS"] ?? 3);
const skip = noNats !== false ? noNats : process.env["CLUSTER"] === undefined && "CLUSTER is not set";

/** Tries until a cluster that has no leader yet has one. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function leaderOf(manager: JetStreamManager): Promise<number> {
  const { leader } = (await manager.streams.info(STREAM)).cluster!;
  return Number(leader!.slice(1));
}

test("shipTo() and followFrom() go on when the leader of a replicated stream was killed", async () => {
  const ports: number[] = [];
  while (ports.length < SERVERS) ports.push(await freePort());
  const routes = ports.map((port) => `"nats://127.0.0.1:${port}"`).join(", ");
  await using servers = new AsyncDisposableStack();
  const cluster: NatsServer[] = [];
  for (const [index, port] of ports.entries()) {
    const config = `server_name: s${index}\ncluster { name: c, listen: "127.0.0.1:${port}", routes: [${routes}] }`;
    cluster.push(servers.use(await NatsServer.start(config)));
  }
  const connection = await cluster[0]!.connect({ servers: cluster.map(({ address }) => address) });
  const manager = await eventually(() => jetstreamManager(connection));
  await eventually(() => manager.streams.add({ name: STREAM, subjects: [`${SUBJECT}.*`], num_replicas: SERVERS }));

  const target = { connection, jetstream: jetstream(connection), stream: STREAM, subject: SUBJECT };
  const options = { onError: () => "retry" as const };
  await using wal = WAL.open(null, { size: 1 << 22 });
  const store = new MemoryStore();
  const shipper = shipTo(target, { timeoutMs: 1000 });
  const shipping = consume(wal, shipper, options);
  const following = followFrom(target, store, { ...options, timeoutMs: 1000 });
  let next = 0;
  const fill = async () => {
    for (let i = 0; i < 200; i++, next++) await wal.batchInsert([[1, next, 2, 3], [2, next, 2, 3]]);
  };
  for (let kill = 0; kill < KILLS; kill++) {
    await fill();
    const leader = await eventually(() => leaderOf(manager));
    await cluster[leader]!.kill();
    await fill();
    await wal.whenApplied();
    await cluster[leader]!.restart();
  }
  await fill();
  while (store.appliedLsn() < wal.durable && store.size < 2 * next) {
    await Promise.race([following.done, shipping.done, new Promise((resolve) => setTimeout(resolve, 20))]);
  }
  assertEquals(store.size, 2 * next);
  for (let i = 0; i < next; i++) {
    assertEquals([store.has(1n, BigInt(i), 2n, 3n), store.has(2n, BigInt(i), 2n, 3n)], [true, true]);
  }
  assertEquals(shipper.warnings.filter((warning) => warning.includes("sync")), []);
  await following.stop();
  await shipping.stop();
}, { skip, sanitize: false });
