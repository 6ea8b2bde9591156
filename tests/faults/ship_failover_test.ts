// Fault: the primary of a PostgreSQL server is killed, and a standby takes its place. An
//   asynchronous one may lack rows that were confirmed (H77).
// Promise: what the log still has is shipped again, and each store gets each record once. If the
//   log has released it, a typed error says so (G1, G20).
// Method: a primary and its standby by streaming replication on loopback. The standby is down while
//   the last rows are written, so it lacks them for certain.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { consume, type ConsumeOptions, WAL, WALStoreError } from "../../mod.ts";
import { followFrom, type PostgresClient, shipTo, tableSql, WALShipError } from "../../src/ship/postgres.ts";
import { PostgresTarget } from "../../src/ship/postgres_target.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import type { WALShipFault } from "../../src/types.ts";
import { Database, noPostgres, PostgresServer, TABLE } from "../support/postgres.ts";
import { appending, caughtUp, eventually, fill, hasShipped, RETRY } from "../support/shipping.ts";
import { test, type TestOptions } from "../support/test.ts";

/** Sockets outlive a test by a moment, and Deno would call that a leak. */
const OPTIONS: TestOptions = { skip: noPostgres, sanitize: false };

/** A primary and a standby, and a client that is pointed at one of them. */
class Pair implements AsyncDisposable {
  readonly primary: Database;
  readonly standby: Database;
  readonly client: PostgresClient;
  #current: Database;

  private constructor(primary: Database, standby: Database) {
    this.primary = primary;
    this.standby = standby;
    this.#current = primary;
    this.client = { query: (text, values) => this.#current.client.query(text, values) };
  }

  static async start(): Promise<Pair> {
    const primary = await PostgresServer.start();
    const pair = new Pair(new Database(primary), new Database(await primary.standby()));
    await pair.primary.client.query(tableSql({ table: TABLE }));
    return pair;
  }

  /** Both servers, as targets. */
  get targets() {
    const { client, primary, standby } = this;
    return {
      target: { client, table: TABLE },
      onPrimary: { client: primary.client, table: TABLE },
      onStandby: { client: standby.client, table: TABLE },
    };
  }

  /** Waits until the primary counts on its standby, or does no longer. */
  async isStreaming(wanted: boolean): Promise<void> {
    await eventually(async () => {
      const { rows } = await this.primary.client.query("SELECT FROM pg_stat_replication WHERE state = 'streaming'");
      return rows.length === Number(wanted);
    }, "the replication");
  }

  /** Kills the primary, and lets the standby take its place. */
  async failOver(): Promise<void> {
    await this.primary.server.kill();
    await this.standby.server.restart();
    await this.standby.server.promote();
    this.#current = this.standby;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const database of [this.primary, this.standby]) {
      await database[Symbol.asyncDispose]();
      await database.server[Symbol.asyncDispose]();
    }
  }
}

/** Retries, and keeps what it is told. */
function retrying(): { readonly faults: Set<WALShipFault>; readonly onError: ConsumeOptions["onError"] } {
  const faults = new Set<WALShipFault>();
  const onError = (error: unknown) => {
    assert(error instanceof WALShipError, String(error));
    faults.add(error.fault);
    return "retry" as const;
  };
  return { faults, onError };
}

test("shipTo() ships again what an asynchronous standby lacks, and followFrom() goes on", async () => {
  await using pair = await Pair.start();
  const { target, onPrimary, onStandby } = pair.targets;
  await pair.isStreaming(true);
  await using wal = WAL.open(null, { size: 1 << 20 });
  const { faults, onError } = retrying();
  const shipping = consume(wal, shipTo(target), { name: "ship", keepRecords: 300, pollIntervalMs: 10, onError });
  // One follows wherever the writer goes, and one reads from the standby.
  const [ahead, behind] = [new MemoryStore(), new MemoryStore()];
  await using following = followFrom(target, ahead, RETRY);
  await using other = followFrom(onStandby, behind, RETRY);
  await fill(wal, 100);
  await caughtUp(ahead, wal);
  await caughtUp(behind, wal);
  const both = wal.durable;
  await pair.standby.server.kill();
  await pair.isStreaming(false);
  await fill(wal, 20, 100);
  await caughtUp(ahead, wal);
  await hasShipped(new PostgresTarget(onPrimary, 60_000), wal);
  assert(behind.appliedLsn() <= both && ahead.appliedLsn() > both, "the standby lacks rows");
  await pair.failOver();
  await fill(wal, 20, 120);
  for (const store of [ahead, behind]) await appending(wal, store);
  for (const store of [ahead, behind]) await caughtUp(store, wal);
  assert(faults.has("moved"), [...faults].join());
  const late = new MemoryStore();
  await using _late = followFrom(onStandby, late, RETRY);
  await caughtUp(late, wal);
  await following.stop();
  await other.stop();
  await shipping.stop();
}, OPTIONS);

test("shipTo() is refused if the log has released what an asynchronous standby lacks", async () => {
  await using pair = await Pair.start();
  const { target, onPrimary, onStandby } = pair.targets;
  await pair.isStreaming(true);
  await using wal = WAL.open(null, { size: 1 << 20 });
  const shipping = consume(wal, shipTo(target), { pollIntervalMs: 10, ...RETRY });
  await fill(wal, 10);
  await hasShipped(new PostgresTarget(onStandby, 60_000), wal);
  await pair.standby.server.kill();
  const before = wal.durable;
  for (const from of [10, 20]) {
    await fill(wal, 10, from);
    await hasShipped(new PostgresTarget(onPrimary, 60_000), wal);
  }
  await eventually(() => wal.tail > before + 1, "the release");
  await pair.failOver();
  await fill(wal, 1, 30);
  await assertRejects(() => shipping.done, WALStoreError, "released");
}, OPTIONS);

test("shipTo() does not call durable what a synchronous standby lacks, and loses nothing", async () => {
  await using pair = await Pair.start();
  const { target } = pair.targets;
  await pair.isStreaming(true);
  await pair.primary.client.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
  await pair.primary.client.query("SELECT pg_reload_conf()");
  await eventually(async () => {
    const { rows } = await pair.primary.client.query("SELECT FROM pg_stat_replication WHERE sync_state = 'sync'");
    return rows.length === 1;
  }, "a synchronous standby");
  await using wal = WAL.open(null, { size: 1 << 20 });
  const { faults, onError } = retrying();
  // It keeps no record that the target has confirmed.
  const shipping = consume(wal, shipTo(target, { timeoutMs: 500 }), { pollIntervalMs: 10, onError });
  const store = new MemoryStore();
  await using following = followFrom(target, store, RETRY);
  await fill(wal, 100);
  await caughtUp(store, wal);
  await pair.standby.server.kill();
  const before = wal.durable;
  await fill(wal, 20, 100);
  await eventually(() => faults.has("unreachable"), "a commit that waits");
  assert(wal.tail <= before + 1, "the log keeps what the standby lacks");
  assert(store.appliedLsn() <= before, "nobody sees what the standby lacks");
  await pair.failOver();
  await fill(wal, 20, 120);
  await appending(wal, store);
  await caughtUp(store, wal);
  assertEquals([...faults], ["unreachable"]);
  await following.stop();
  await shipping.stop();
}, OPTIONS);
