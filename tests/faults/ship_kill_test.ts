// Fault: the server, the process that writes and ships, and the followers are killed at any
//   instant, again and again (H68, H70).
// Promise: each follower has each acknowledged record once, and all have the same (G1, G20).
// Method: SIGKILL one of five processes whenever another part of the log is written, start it
//   again, and compare all stores in the end. KILLS and RECORDS in the environment set how much
//   there is of it, SEED the victims.

import { assert, assertEquals } from "@std/assert";
import { existsSync } from "node:fs";
import process from "node:process";
import { type LSN, WAL } from "../../mod.ts";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import { Random } from "../../testing.ts";
import { type Child, spawnScript } from "../support/child.ts";
import { NatsServer, noNats } from "../support/nats.ts";
import { BATCH, digestOf, type Orders } from "../support/ship_processes.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const KILLS = Number(process.env["KILLS"] ?? 4);
const RECORDS = Number(process.env["RECORDS"] ?? 2000);
const SEED = Number(process.env["SEED"] ?? 14);

/** A process that is started again whenever it is killed. */
class Immortal {
  child: Child;
  readonly acknowledged: number[] = [];
  readonly #orders: Omit<Orders, "life">;
  #life = 0;

  constructor(orders: Omit<Orders, "life">) {
    this.#orders = orders;
    this.child = this.#start();
  }

  #start(): Child {
    const args = [JSON.stringify({ ...this.#orders, life: ++this.#life })];
    return spawnScript("tests/support/ship_processes.ts", { args, timeoutMs: 3_600_000 });
  }

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
    return stdout.match(/^done ?(.*)$/m)![1]!;
  }

  #hear(stdout: string): void {
    for (const [, lsn] of stdout.matchAll(/^a (\d+)$/gm)) this.acknowledged.push(Number(lsn));
  }
}

/** Waits until a log has so many records. */
async function isWritten(path: string, records: LSN): Promise<void> {
  while (!existsSync(path) || WAL.inspect(path).durable < records) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("shipTo() and followFrom() bring each record to each store once, though everything is killed", async () => {
  const random = new Random(SEED);
  await using server = await NatsServer.start();
  using directory = tempDir();
  await server.target();
  const common = { port: server.port, records: RECORDS };
  const writer = new Immortal({ ...common, role: "write", path: directory.join("log") });
  const followers = [directory.join("a"), directory.join("b"), null].map((path) =>
    new Immortal({ ...common, role: "follow", path })
  );
  const victims = [null, writer, followers[0]!, followers[2]!];
  for (let kill = 1; kill <= KILLS; kill++) {
    await isWritten(directory.join("log"), Math.floor(kill * RECORDS / (KILLS + 1)));
    await new Promise((resolve) => setTimeout(resolve, random.below(20)));
    const victim = victims.shift() ?? random.pick([null, writer, writer, ...followers]);
    if (victim !== null) await victim.kill();
    else {
      await server.kill();
      await server.restart();
    }
  }
  await writer.done();
  const digests = await Promise.all(followers.map((follower) => follower.done()));
  assertEquals(new Set(digests).size, 1, "all stores are alike");
  using store = new SQLiteStore(directory.join("a"));
  assertEquals(digestOf(store), digests[0]);
  for (const first of writer.acknowledged) {
    for (let lsn = first; lsn < first + BATCH; lsn++) {
      const values = store.values(1n, BigInt(lsn));
      assertEquals(values.length, 1, `LSN ${lsn} is there once`);
      assertEquals(values[0]![1], BigInt(first));
    }
  }
  assert(writer.acknowledged.length * BATCH > RECORDS / 2);
  // Nothing comes twice, acknowledged or not: each key is an LSN, and has one content.
  for (const [keyHigh, keyLow] of store.entries()) {
    if (keyHigh === 1n) assertEquals(store.values(1n, keyLow).length, 1);
  }
}, { skip: noNats, sanitize: false, timeoutMs: 3_600_000 });
