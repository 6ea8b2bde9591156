// The processes of tests/faults/ship_kill_test.ts: one that writes a log, one that ships it, and
// followers.

import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import process from "node:process";
import pg from "pg";
import { JSONFileStore } from "../../examples/own_store.ts";
import { consume, type Consumption, type Store, WAL } from "../../mod.ts";
import { bytesToHex, halvesToBytes } from "../../src/keys.ts";
import type { Following } from "../../src/ship/following.ts";
import * as jetStream from "../../src/ship/jetstream.ts";
import * as postgres from "../../src/ship/postgres.ts";
import type { Shipper } from "../../src/ship/shipper.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import { Random } from "../../testing.ts";
import { STREAM, SUBJECT } from "./nats.ts";
import { TABLE } from "./postgres.ts";

/** Most records in a batch. */
const MOST_IN_BATCH = 48;
/** Appends that wait for the medium at once. */
const AT_ONCE = 8;
/** Keys that are written again and again. */
const HOT_KEYS = 500;
const RETRY = { onError: () => "retry" as const };
/** The key of the record that ends the log. */
const END = 9n;

/** A server, and how it is reached. */
export type Server =
  | { readonly engine: "JetStream"; readonly address: string }
  | { readonly engine: "PostgreSQL"; readonly config: pg.PoolConfig };

/** What a child is told. */
export interface Orders {
  /** A writer may ship its log itself, or leave that to another process. */
  readonly role: "write" | "write and ship" | "ship" | "follow";
  /** Where the server is. */
  readonly server: Server;
  /** The log, or a follower's store. */
  readonly path: string;
  readonly store: "SQLite" | "memory" | "own";
  /** The log ends after so many records. */
  readonly records: number;
  /** Differs from life to life, so that an LSN with two contents shows. */
  readonly life: number;
}

/** A store of any kind, as this test sees it. */
interface Seen {
  readonly store: Store;
  /** Each pair as text. */
  pairs(): Iterable<string>;
  hasEnded(): boolean;
}

function openStore({ store, path }: Pick<Orders, "store" | "path">): Seen {
  if (store === "own") {
    const own = new JSONFileStore(path);
    const pairs = function* () {
      for (const [key, values] of own.keys) for (const value of values) yield key + value;
    };
    return { store: own, pairs, hasEnded: () => own.keys.has(bytesToHex(halvesToBytes(END, END))) };
  }
  const given = store === "memory" ? new MemoryStore() : new SQLiteStore(path);
  const pairs = function* () {
    for (const [kh, kl, vh, vl] of given.entries()) {
      yield bytesToHex(halvesToBytes(kh, kl)) + bytesToHex(halvesToBytes(vh, vl));
    }
  };
  return { store: given, pairs, hasEnded: () => given.has(END, END) };
}

/** What all stores must have in common: a hash of all pairs, byte for byte. */
function digestOf({ pairs }: Seen): string {
  const sorted = [...pairs()].sort();
  const hash = createHash("sha256");
  for (const pair of sorted) hash.update(pair);
  return `${sorted.length} pairs, SHA-256 ${hash.digest("hex")}`;
}

/** Writes batches of many lengths, keys that come once, and keys that come again and again. */
async function write({ path, records, life, role }: Orders, ship: (wal: WAL) => Consumption): Promise<string> {
  // A log that another process ships does not wait for it, so all of it has room.
  const size = role === "write" ? 2 ** Math.ceil(Math.log2(80 * records + 2 ** 20)) : 1 << 22;
  const wal = WAL.open(path, { size, followers: role === "write" });
  const random = new Random(life);
  const local = openStore({ store: "SQLite", path: `${path}.db` });
  const consumptions = [consume(wal, local.store, { name: "local" })];
  if (role === "write and ship") consumptions.push(ship(wal));
  const failed = Promise.race(consumptions.map(({ done }) => done));
  const append = async () => {
    while (wal.head <= records) {
      const first = wal.head;
      const length = random.between(1, MOST_IN_BATCH);
      await wal.batchInsert(Array.from({ length }, (_, index) => [1, first + index, life, first]));
      console.log(`a ${first} ${length}`);
      const hot = random.below(HOT_KEYS);
      if (length % 4 === 0) await wal.logDelete(2, hot);
      else if (length % 2 === 0) await wal.logInsert(2, hot, life, first);
      else await wal.logReplace(2, hot, life, first);
    }
  };
  await Promise.race([failed, Promise.all(Array.from({ length: AT_ONCE }, append))]);
  await wal.logInsert(END, END, END, END);
  for (const name of wal.stats().consumers.map(({ name }) => name)) await wal.whenApplied(undefined, { name });
  for (const consumption of consumptions) await consumption.stop();
  wal.close();
  return digestOf(local);
}

/** Both ends of shipping over a server. */
async function connectTo(server: Server): Promise<{ shipTo(): Shipper; followFrom(store: Store): Following }> {
  const options = { timeoutMs: 1000 };
  if (server.engine === "PostgreSQL") {
    const client = new pg.Pool({ ...server.config, query_timeout: 2000, connectionTimeoutMillis: 1000 });
    client.on("error", () => {});
    const target = { client, table: TABLE };
    return {
      shipTo: () => postgres.shipTo(target, options),
      followFrom: (store) => postgres.followFrom(target, store, { ...RETRY, ...options }),
    };
  }
  const connection = await connect({
    servers: server.address,
    maxReconnectAttempts: -1,
    waitOnFirstConnect: true,
    reconnectTimeWait: 50,
  });
  const target = { connection, jetstream: jetstream(connection), stream: STREAM, subject: SUBJECT };
  return {
    shipTo: () => jetStream.shipTo(target, options),
    followFrom: (store) => jetStream.followFrom(target, store, { ...RETRY, ...options }),
  };
}

async function run(orders: Orders): Promise<void> {
  const { role, path } = orders;
  const { shipTo, followFrom } = await connectTo(orders.server);
  if (role === "follow") {
    const seen = openStore(orders);
    const following = followFrom(seen.store);
    while (!seen.hasEnded()) {
      await Promise.race([following.done, new Promise((resolve) => setTimeout(resolve, 20))]);
    }
    await following.stop();
    console.log(`done ${digestOf(seen)}`);
  } else if (role === "ship") {
    while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 10));
    await WAL.follow(path).consumeAsync(shipTo(), RETRY);
  } else {
    const ship = (wal: WAL) => consume(wal, shipTo(), { name: "ship", ...RETRY });
    console.log(`done ${await write(orders, ship)}`);
  }
  process.exit(0);
}

const [orders] = process.argv.slice(2);
if (orders?.startsWith("{")) await run(JSON.parse(orders));
