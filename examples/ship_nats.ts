// A log that is shipped by NATS JetStream to a store in another process. Give it the address of a
// server with JetStream, as `nats-server --jetstream` starts one:
//   deno run --allow-all examples/ship_nats.ts 127.0.0.1:4222
//   bun examples/ship_nats.ts 127.0.0.1:4222
//   node examples/ship_nats.ts 127.0.0.1:4222

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { consume, WAL } from "@cidstore/wal";
import { followFrom, shipTo } from "@cidstore/wal/ship/jetstream";
import { SQLiteStore } from "@cidstore/wal/stores/sqlite";

const RECORDS = 5n;
/** A retry outlasts every outage of the server. */
const retry = { onError: () => "retry" as const };

/** The connection, and what is shipped to. Each log has a stream of its own. */
async function open(server: string, stream: string) {
  const connection = await connect({ servers: server, maxReconnectAttempts: -1 });
  return { connection, jetstream: jetstream(connection), stream, subject: stream };
}

/** The process that follows, usually on another machine. */
async function follow(server: string, stream: string, storePath: string): Promise<void> {
  const source = await open(server, stream);
  using store = new SQLiteStore(storePath);
  await using following = followFrom(source, store, retry);
  while (!store.has(RECORDS, 0n)) {
    await Promise.race([
      following.done,
      new Promise((resolve) => setTimeout(resolve, 10)),
    ]);
  }
  for (const [key, , value] of store.entries()) console.log(`${key} is ${value}`);
  await following.stop();
  await source.connection.close();
}

/** The process that writes and ships. */
async function write(server: string): Promise<void> {
  const stream = `example-${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), "wal-ship-"));
  const target = await open(server, stream);
  const { streams } = await jetstreamManager(target.connection);
  try {
    await streams.add({ name: stream, subjects: [`${stream}.*`] });
    await using wal = WAL.open(join(directory, "log"), { size: 65536 });
    const shipper = shipTo(target);
    await using shipping = consume(wal, shipper, { name: "ship", keepRecords: 100, ...retry });
    for (let key = 1n; key <= RECORDS; key++) await wal.logInsert(key, 0n, key * key, 0n); // durable here
    await wal.whenApplied(undefined, { name: "ship" }); // on its way
    for (const warning of shipper.warnings) console.log(warning);
    await startFollower(server, stream, join(directory, "store"));
    await shipping.stop();
  } finally {
    await streams.delete(stream).catch(() => {});
    await target.connection.close();
    rmSync(directory, { recursive: true });
  }
}

function startFollower(...words: string[]): Promise<unknown> {
  const flags = process.versions["deno"] === undefined ? [] : ["run", "--allow-all"];
  const command = [...process.execArgv, ...flags, fileURLToPath(import.meta.url), ...words];
  const follower = spawn(process.execPath, command, { stdio: "inherit" });
  return new Promise((resolve) => follower.once("close", resolve));
}

const [server, stream, storePath] = process.argv.slice(2);
if (server === undefined) console.error("Give the address of a server: examples/ship_nats.ts 127.0.0.1:4222");
else if (stream === undefined) await write(server);
else await follow(server, stream, storePath!);
