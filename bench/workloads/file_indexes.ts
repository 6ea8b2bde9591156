// The file indexes that W11 serves. Each takes the id of a file's content and a place where that
// content lies, and answers with one place of an id.

import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import { WAL } from "../../mod.ts";
import { LOG_BYTES } from "../sizes.ts";

/** An id or a place: 32 hexadecimal digits. */
export type Hex = string;

/** What a server does for its clients. */
export interface FileIndex {
  /** Resolves when the client may be answered. */
  put(id: Hex, place: Hex): Promise<void> | void;
  get(id: Hex): Hex | undefined;
  /** How many puts shared a sync on average; NaN if nothing is synced. */
  readonly putsPerSync: number;
  close(): Promise<void> | void;
}

/** Makes each index, by the system's name in W11. */
export const FILE_INDEXES: Readonly<Record<string, (directory: string) => FileIndex>> = {
  "http": () => new NoIndex(),
  "sqlite-full-turn": (directory) => new SQLiteIndex(join(directory, "index.sqlite")),
  "wal-applied": (directory) => new LoggedIndex(directory, true),
  "wal-durable": (directory) => new LoggedIndex(directory, false),
};

/** Keeps nothing, and answers at once. */
class NoIndex implements FileIndex {
  readonly putsPerSync = NaN;

  put(): void {}

  get(id: Hex): Hex {
    return id;
  }

  close(): void {}
}

/** This library with its defaults, and `SQLiteStore`. */
class LoggedIndex implements FileIndex {
  readonly #log: WAL;
  readonly #store: SQLiteStore;
  readonly #consuming: Promise<void>;
  readonly #waitsForStore: boolean;

  /** @param waitsForStore true to answer a put when the store has it, false when it is durable. */
  constructor(directory: string, waitsForStore: boolean) {
    this.#log = WAL.open(join(directory, "index.wal"), { size: LOG_BYTES });
    this.#store = new SQLiteStore(join(directory, "index.sqlite"));
    this.#consuming = this.#log.consumeAsync(this.#store);
    this.#waitsForStore = waitsForStore;
  }

  async put(id: Hex, place: Hex): Promise<void> {
    const [idHigh, idLow] = halvesOf(id);
    const [placeHigh, placeLow] = halvesOf(place);
    const durable = this.#log.logInsert(idHigh, idLow, placeHigh, placeLow);
    const lsn = this.#log.head - 1;
    await durable;
    if (this.#waitsForStore) await this.#log.whenApplied(lsn);
  }

  get(id: Hex): Hex | undefined {
    const [idHigh, idLow] = halvesOf(id);
    const place = this.#store.values(idHigh, idLow)[0];
    return place && hexOf(place[0]) + hexOf(place[1]);
  }

  get putsPerSync(): number {
    return this.#log.stats().recordsPerSync;
  }

  async close(): Promise<void> {
    await this.#log.close();
    await this.#consuming;
    this.#store.close();
  }
}

function halvesOf(hex: Hex): [bigint, bigint] {
  return [BigInt(`0x${hex.slice(0, 16)}`), BigInt(`0x${hex.slice(16)}`)];
}

function hexOf(half: bigint): string {
  return half.toString(16).padStart(16, "0");
}

/**
 * The tables of `SQLiteStore`, synchronous=FULL, and group commit as one writes it by hand: all
 * puts of one turn of the event loop in one transaction.
 */
class SQLiteIndex implements FileIndex {
  readonly #database: DatabaseSync;
  readonly #begin;
  readonly #commit;
  readonly #insert;
  readonly #select;
  #group: PromiseWithResolvers<void> | undefined;
  #puts = 0;
  #commits = 0;

  constructor(path: string) {
    const database = this.#database = new DatabaseSync(path);
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;
      CREATE TABLE pair (key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (key, value)) STRICT, WITHOUT ROWID`);
    this.#begin = database.prepare("BEGIN");
    this.#commit = database.prepare("COMMIT");
    this.#insert = database.prepare("INSERT OR IGNORE INTO pair VALUES (?, ?)");
    this.#select = database.prepare("SELECT value FROM pair WHERE key = ?");
  }

  put(id: Hex, place: Hex): Promise<void> {
    if (this.#group === undefined) {
      this.#group = Promise.withResolvers();
      this.#begin.run();
      setImmediate(() => this.#commitGroup());
    }
    this.#insert.run(Buffer.from(id, "hex"), Buffer.from(place, "hex"));
    this.#puts++;
    return this.#group.promise;
  }

  #commitGroup(): void {
    const group = this.#group!;
    this.#group = undefined;
    this.#commit.run();
    this.#commits++;
    group.resolve();
  }

  get(id: Hex): Hex | undefined {
    const row = this.#select.get(Buffer.from(id, "hex"));
    return row && Buffer.from(row["value"] as Uint8Array).toString("hex");
  }

  get putsPerSync(): number {
    return this.#puts / this.#commits;
  }

  close(): void {
    this.#database.close();
  }
}
