// The processes of tests/faults/ship_kill_test.ts: a writer that ships its log, and followers.

import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { createHash } from "node:crypto";
import process from "node:process";
import { consume, WAL } from "../../mod.ts";
import { followFrom, shipTo } from "../../src/ship/jetstream.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import { STREAM, SUBJECT } from "./nats.ts";

/** Records in a batch of the writer. */
export const BATCH = 8;
/** The key of the record that ends the log. */
export const END = 9n;

/** What a child is told. */
export interface Orders {
  readonly role: "write" | "follow";
  readonly port: number;
  /** The log, or the store; null for a store in memory. */
  readonly path: string | null;
  /** The log ends after so many records. */
  readonly records: number;
  /** Differs from life to life, so that an LSN with two contents shows. */
  readonly life: number;
}

/** What all stores must have in common. */
export function digestOf(store: { entries(): Iterable<readonly bigint[]> }): string {
  const hash = createHash("sha256");
  for (const entry of [...store.entries()].map(String).sort()) hash.update(`${entry}\n`);
  return hash.digest("hex");
}

async function run({ role, port, path, records, life }: Orders): Promise<void> {
  const connection = await connect({
    servers: `127.0.0.1:${port}`,
    maxReconnectAttempts: -1,
    waitOnFirstConnect: true,
    reconnectTimeWait: 50,
  });
  const target = { connection, jetstream: jetstream(connection), stream: STREAM, subject: SUBJECT };
  const onError = () => "retry" as const;
  if (role === "write") {
    const wal = WAL.open(path, { size: 1 << 22 });
    const shipping = consume(wal, shipTo(target, { timeoutMs: 1000 }), { onError });
    shipping.done.catch((error) => {
      console.error(error);
      process.exit(3);
    });
    while (wal.head <= records) {
      const first = wal.head;
      await wal.batchInsert(Array.from({ length: BATCH }, (_, index) => [1, first + index, life, first]));
      console.log(`a ${first}`);
    }
    await wal.logInsert(END, END, life, 0);
    await wal.whenApplied();
    await shipping.stop();
    console.log("done");
  } else {
    const store = path === null ? new MemoryStore() : new SQLiteStore(path);
    const following = followFrom(target, store, { onError, timeoutMs: 1000 });
    while (!store.has(END, END)) {
      await Promise.race([following.done, new Promise((resolve) => setTimeout(resolve, 20))]);
    }
    await following.stop();
    console.log(`done ${digestOf(store)}`);
  }
  process.exit(0);
}

const [orders] = process.argv.slice(2);
if (orders?.startsWith("{")) await run(JSON.parse(orders));
