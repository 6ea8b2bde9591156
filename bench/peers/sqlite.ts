// node:sqlite with one transaction for each put or batch: what people write first.

import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Peer, PeerOptions } from "./peer.ts";

const RECORD = new Uint8Array(64).fill(0xa5);
/**
 * Commits until the -wal file has its full length. Before that, each commit also extends the file,
 * which costs a journal commit.
 */
const GROWING_COMMITS = 1200;

/** Opens a database whose -wal file has been grown, so that commits overwrite it. */
export function openDatabase(path: string, synchronous: "FULL" | "NORMAL"): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS log (n INTEGER PRIMARY KEY, record BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS growing (n INTEGER PRIMARY KEY, record BLOB)`);
  const grow = database.prepare("INSERT OR REPLACE INTO growing VALUES (1, zeroblob(64))");
  for (let i = 0; i < GROWING_COMMITS; i++) grow.run();
  database.exec(`PRAGMA synchronous = ${synchronous}`);
  return database;
}

/** The database with its statements. */
export class SQLitePeer implements Peer {
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;

  constructor(options: PeerOptions) {
    this.#database = openDatabase(join(options.directory, "peer.sqlite"), options.durable ? "FULL" : "NORMAL");
    this.#insert = this.#database.prepare("INSERT OR REPLACE INTO log VALUES (?, ?)");
    this.#begin = this.#database.prepare("BEGIN");
    this.#commit = this.#database.prepare("COMMIT");
  }

  put(n: number): void {
    this.#insert.run(n, RECORD);
  }

  putBatch(first: number, count: number): void {
    this.#begin.run();
    for (let n = first; n < first + count; n++) this.#insert.run(n, RECORD);
    this.#commit.run();
  }

  append(n: number): void {
    this.#insert.run(n, RECORD);
  }

  replay(): readonly unknown[] {
    return this.#database.prepare("SELECT n, record FROM log ORDER BY n").all();
  }

  close(): Promise<void> {
    this.#database.close();
    return Promise.resolve();
  }
}

export function open(options: PeerOptions): Promise<Peer> {
  return Promise.resolve(new SQLitePeer(options));
}
