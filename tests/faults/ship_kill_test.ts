// Fault: the server, the processes that write and ship, and the followers are killed at any
//   instant, again and again, or cut off for a moment (H68, H70).
// Promise: each follower ends with the store of the writer's machine, byte for byte, and each
//   acknowledged record is in it once (G1, G20).
// Method: over JetStream and over PostgreSQL, SIGKILL one of six processes whenever another part of
//   the log is written, start it again, and compare all stores in the end. Where network namespaces
//   can be made, each process has one.
//   KILLS, CUTS and RECORDS in the environment set how much there is of it, SEED the victims.
//   SHIPPER=inside lets the writer ship its log itself.

import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import process from "node:process";
import { type LSN, WAL } from "../../mod.ts";
import { tableSql } from "../../src/ship/postgres.ts";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import { Random } from "../../testing.ts";
import { type Child, spawnScript } from "../support/child.ts";
import { NatsServer, noNats } from "../support/nats.ts";
import { type Host, Network } from "../support/network.ts";
import { Database, noPostgres, PostgresServer, TABLE } from "../support/postgres.ts";
import type { Orders, Server } from "../support/ship_processes.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const KILLS = Number(process.env["KILLS"] ?? 5);
const CUTS = Number(process.env["CUTS"] ?? 0);
const RECORDS = Number(process.env["RECORDS"] ?? 3000);
const SEED = Number(process.env["SEED"] ?? 14);
const IS_INSIDE = process.env["SHIPPER"] === "inside";
const MOST_CUT_MS = 2000;

type Batch = readonly [first: LSN, count: number];

/** A process that is started again whenever it is killed. */
class Immortal {
  child: Child;
  /** The batches that it called durable. */
  readonly acknowledged: Batch[] = [];
  lives = 0;
  readonly #orders: Omit<Orders, "life">;
  readonly #host: Host;

  constructor(orders: Omit<Orders, "life">, host: Host) {
    this.#orders = orders;
    this.#host = host;
    this.child = this.#start();
  }

  #start(): Child {
    const args = [JSON.stringify({ ...this.#orders, life: ++this.lives })];
    return spawnScript("tests/support/ship_processes.ts", { args, wrapper: this.#host.wrapper, timeoutMs: 3_600_000 });
  }

  /** Kills it, unless it is done. */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    const { signal, code, stdout, stderr } = await this.child.result;
    assert(signal === "SIGKILL" || code === 0, `${signal} ${code}\n${stderr}`);
    this.#hear(stdout);
    this.child = this.#start();
  }

  /** Waits until it has done its work. @returns the digest of its store. */
  async done(): Promise<string> {
    const { code, stdout, stderr } = await this.child.result;
    assertEquals(code, 0, stderr);
    this.#hear(stdout);
    return stdout.match(/^done (.*)$/m)![1]!;
  }

  #hear(stdout: string): void {
    for (const [, first, count] of stdout.matchAll(/^a (\d+) (\d+)$/gm)) {
      this.acknowledged.push([Number(first), Number(count)]);
    }
  }
}

/** A server that can be killed, with a place for a log. */
interface Killable extends AsyncDisposable {
  readonly orders: Server;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

async function startNats(host: Host): Promise<Killable> {
  const server = await NatsServer.start("", undefined, host);
  await server.target();
  return Object.assign(server, { orders: { engine: "JetStream", address: server.address } as const });
}

async function startPostgres(host: Host): Promise<Killable> {
  const server = await PostgresServer.start({ host });
  await using database = new Database(server);
  await database.client.query(tableSql({ table: TABLE }));
  return Object.assign(server, { orders: { engine: "PostgreSQL", config: server.config } as const });
}

/** Waits until a log has so many records, or its writer has ended. */
async function isWritten(path: string, records: LSN, writer: Child): Promise<void> {
  let hasEnded = false;
  const end = () => hasEnded = true;
  writer.result.then(end, end);
  while (!hasEnded && (!existsSync(path) || WAL.inspect(path).durable < records)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function killEverything(startServer: (host: Host) => Promise<Killable>): Promise<void> {
  const random = new Random(SEED);
  using network = new Network(6);
  const [home, ...hosts] = network.hosts as [Host, ...Host[]];
  await using server = await startServer(home);
  using directory = tempDir();
  const start = (orders: Pick<Orders, "role" | "path" | "store">, host: number) =>
    new Immortal({ ...orders, server: server.orders, records: RECORDS }, hosts[host]!);
  const path = directory.join("log");
  const writer = start({ role: IS_INSIDE ? "write and ship" : "write", path, store: "SQLite" }, 0);
  const shippers = IS_INSIDE ? [] : [start({ role: "ship", path, store: "SQLite" }, 1)];
  const followers = (["SQLite", "memory", "own"] as const).map((store, index) =>
    start({ role: "follow", path: directory.join(store), store }, 2 + index)
  );
  // Each kind of process at least once, if there are enough kills.
  const victims = [null, ...shippers, writer, ...followers];
  const cuts: Promise<void>[] = [];
  const cut = async (host: number) => {
    network.link(host, "down");
    await new Promise((resolve) => setTimeout(resolve, random.below(MOST_CUT_MS)));
    network.link(host, "up");
  };
  for (let kill = 1; kill <= KILLS; kill++) {
    await isWritten(path, Math.floor(kill * RECORDS / (KILLS + 1)), writer.child);
    if (kill % Math.ceil(KILLS / (CUTS + 1)) === 0 && CUTS > 0) cuts.push(cut(random.below(network.hosts.length)));
    await new Promise((resolve) => setTimeout(resolve, random.below(20)));
    const victim = kill <= victims.length ? victims[kill - 1]! : random.pick(victims);
    if (victim !== null) await victim.kill();
    else {
      await server.kill();
      await server.restart();
    }
  }
  await Promise.all(cuts);
  const expected = await writer.done();
  for (const follower of followers) assertEquals(await follower.done(), expected);
  for (const shipper of shippers) await shipper.child[Symbol.asyncDispose]();

  using store = new SQLiteStore(directory.join("SQLite"));
  let acknowledged = 0;
  for (const [first, count] of writer.acknowledged) {
    acknowledged += count;
    for (let lsn = first; lsn < first + count; lsn++) {
      const values = store.values(1n, BigInt(lsn));
      assertEquals(values.length, 1, `LSN ${lsn} is there once`);
      assertEquals(values[0]![1], BigInt(first));
    }
  }
  assert(acknowledged > RECORDS / 2, `${acknowledged} records were acknowledged`);
  // Nothing comes twice, acknowledged or not: each such key is an LSN, and has one content.
  for (const [keyHigh, keyLow] of store.entries()) {
    if (keyHigh === 1n) assertEquals(store.values(1n, keyLow).length, 1);
  }
  const lives = [writer, ...shippers, ...followers].map(({ lives }) => lives);
  if (KILLS > 20) console.log(`${expected}; ${KILLS} kills, ${CUTS} cuts, lives of each process: ${lives.join(", ")}`);
}

const ENGINES = { JetStream: [startNats, noNats], PostgreSQL: [startPostgres, noPostgres] } as const;
for (const [engine, [startServer, skip]] of Object.entries(ENGINES)) {
  test(
    `shipTo() and followFrom() over ${engine} give each follower the writer's store, though everything is killed`,
    () => killEverything(startServer),
    { skip, sanitize: false, timeoutMs: 3_600_000 },
  );
}
