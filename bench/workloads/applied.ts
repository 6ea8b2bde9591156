// W6: records that are written durably in batches and applied to a store, against the store alone.

import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { InsertItem, Store } from "../../mod.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import type { Measurements } from "../measure.ts";
import { openLog } from "../peers/wal.ts";
import type { CellRequest } from "./workload.ts";

const BATCH = 1000;

/**
 * Distinct keys in no order, like content identifiers. Every system makes them anew for each batch.
 */
function* makeBatches(records: number): Generator<BigUint64Array<ArrayBuffer>> {
  const words = new BigUint64Array(4 * BATCH);
  const halves = new Uint32Array(words.buffer);
  let state = 0x9e3779b9;
  for (let first = 0; first < records; first += BATCH) {
    for (let i = 0; i < halves.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      halves[i] = state;
    }
    yield words;
  }
}

function items(words: BigUint64Array): readonly InsertItem[] {
  return Array.from({ length: BATCH }, (_, i): InsertItem => {
    const at = 4 * i;
    return [words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!];
  });
}

/** A caller who has hashes has their bytes. */
function packed(words: BigUint64Array<ArrayBuffer>): Uint8Array {
  return new Uint8Array(words.buffer).slice();
}

/** Into memory: this library and `MemoryStore`, `MemoryStore` alone, or a bare `Map`. */
export async function appliedToMemory(request: CellRequest): Promise<Measurements> {
  if (request.system === "map") return timeSync(request.parameter, insertIntoMap());
  const store = new MemoryStore();
  return await writeAndApply(request, store);
}

/**
 * Into SQLite: this library and `SQLiteStore`, or SQLite with the same batches as its transactions.
 */
export async function appliedToSQLite(request: CellRequest): Promise<Measurements> {
  const path = join(request.directory, "store.sqlite");
  if (request.system === "sqlite-full") return timeSync(request.parameter, insertIntoSQLite(path));
  if (request.system === "sqlite-full-packed") return timeSync(request.parameter, insertPackedIntoSQLite(path));
  const store = new SQLiteStore(path);
  const result = await writeAndApply(request, store);
  await store.close();
  return result;
}

async function writeAndApply(request: CellRequest, store: Store): Promise<Measurements> {
  const log = await openLog(request.directory);
  const stop = new AbortController();
  const consumer = log.consumeAsync(store, { signal: stop.signal });
  const start = performance.now();
  if (request.system === "wal-packed") {
    for (const words of makeBatches(request.parameter)) await log.batchInsert(packed(words));
  } else {
    for (const words of makeBatches(request.parameter)) await log.batchInsert(items(words));
  }
  const last = log.durable;
  while (log.stats().applied < last) await new Promise((resolve) => setTimeout(resolve, 0));
  const elapsedMs = performance.now() - start;
  stop.abort();
  await consumer;
  await log.close();
  return { opsPerSecond: request.parameter / (elapsedMs / 1e3) };
}

type InsertBatch = (words: BigUint64Array<ArrayBuffer>) => void;

function timeSync(records: number, insert: InsertBatch): Measurements {
  const start = performance.now();
  for (const words of makeBatches(records)) insert(words);
  return { opsPerSecond: records / ((performance.now() - start) / 1e3) };
}

/** What one would write instead of a log and a store: 128-bit keys in one Map. */
function insertIntoMap(): InsertBatch {
  const map = new Map<bigint, InsertItem>();
  return (words) => {
    for (const item of items(words)) map.set(BigInt(item[1]), item);
  };
}

/** The table of `SQLiteStore`, synchronous=FULL, with one transaction for each batch. */
class SQLiteTable {
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #insert: StatementSync;

  constructor(path: string) {
    const database = new DatabaseSync(path);
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;
      CREATE TABLE entries (key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (key, value)) WITHOUT ROWID`);
    this.#begin = database.prepare("BEGIN");
    this.#commit = database.prepare("COMMIT");
    this.#insert = database.prepare("INSERT OR IGNORE INTO entries VALUES (?, ?)");
  }

  begin(): void {
    this.#begin.run();
  }

  insert(key: Uint8Array, value: Uint8Array): void {
    this.#insert.run(key, value);
  }

  commit(): void {
    this.#commit.run();
  }
}

function insertIntoSQLite(path: string): InsertBatch {
  const table = new SQLiteTable(path);
  const key = new Uint8Array(16);
  const value = new Uint8Array(16);
  const keyView = new DataView(key.buffer);
  const valueView = new DataView(value.buffer);
  return (words) => {
    table.begin();
    for (const [keyHigh, keyLow, valueHigh, valueLow] of items(words)) {
      keyView.setBigUint64(0, BigInt(keyHigh));
      keyView.setBigUint64(8, BigInt(keyLow));
      valueView.setBigUint64(0, BigInt(valueHigh));
      valueView.setBigUint64(8, BigInt(valueLow));
      table.insert(key, value);
    }
    table.commit();
  };
}

function insertPackedIntoSQLite(path: string): InsertBatch {
  const table = new SQLiteTable(path);
  return (words) => {
    const bytes = packed(words);
    table.begin();
    for (let at = 0; at < bytes.length; at += 32) {
      table.insert(bytes.subarray(at, at + 16), bytes.subarray(at + 16, at + 32));
    }
    table.commit();
  };
}
