// One connection to a store's database: its transactions, its syncs, and how it fails.

import process from "node:process";
import type { DatabaseSync } from "node:sqlite";
import { show } from "../arguments/numbers.ts";
import { WALError, WALPlatformError } from "../errors.ts";
import { SQLiteStoreError } from "./sqlite_error.ts";
import { JoinedTransaction, type Transactions } from "./sqlite_joined.ts";
import { makeTables, SQLiteTables } from "./sqlite_tables.ts";

/** How the database is set up for each connection. `sync()` says why a commit does not sync. */
const SETTINGS = `
  PRAGMA synchronous = NORMAL;
  PRAGMA fullfsync = ON;
  PRAGMA checkpoint_fullfsync = ON;
  PRAGMA cache_size = -65536;
  PRAGMA wal_autocheckpoint = 0;`;
/**
 * Pages of 4 KiB after which SQLite moves its write-ahead log into the database. SQLite itself
 * would do so every 1000 pages, which with random keys is every 1000 inserts, and would say nothing
 * if a sync failed.
 */
const PAGES_PER_CHECKPOINT = 16_384;

/** A connection. Each error of SQLite becomes a `SQLiteStoreError`. A `WALError` stays as it is. */
export class SQLiteConnection implements Transactions {
  readonly tables: SQLiteTables;
  /** A consumer's transaction. It ends before anything else is changed or synced. */
  readonly joined: JoinedTransaction = new JoinedTransaction(this);
  readonly #path: string;
  readonly #database: DatabaseSync;
  #isOpen = true;
  /** Pages written since SQLite last moved its write-ahead log into the database, about. */
  #pages = 0;
  /**
   * True if commits may not be durable. True at first, because a commit of an earlier process may
   * still be in the page cache only.
   */
  #isSyncDue = true;
  /**
   * The error of a failed sync. It is final, because a later sync may succeed without lost data.
   */
  #failure: WALError | null = null;

  /** Opens a database, and makes the tables in an empty one. */
  constructor(path: string, busyTimeoutMs: number) {
    this.#path = path;
    const Database = databaseClass();
    try {
      this.#database = new Database(path);
    } catch (cause) {
      throw this.#wrap("open the store", cause);
    }
    try {
      this.#setUp(busyTimeoutMs);
      this.tables = new SQLiteTables(this.#database);
    } catch (cause) {
      this.#database.close();
      throw this.#wrap("open the store", cause);
    }
  }

  #setUp(busyTimeoutMs: number): void {
    const database = this.#database;
    database.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
    const mode = database.prepare("PRAGMA journal_mode = WAL").get()!["journal_mode"];
    if (mode !== "wal" && mode !== "memory") {
      throw new Error(
        `its journal mode is ${String(mode)}; the file system or another user does not allow "wal"`,
      );
    }
    database.exec(SETTINGS);
    this.transact("open the store", () => {
      makeTables(database);
      return 0;
    });
  }

  /**
   * Runs a function in a transaction, which is rolled back if it throws.
   *
   * @param body returns how many changes it made.
   */
  transact(action: string, body: () => number): void {
    this.joined.end();
    this.mustBeGood(action);
    this.begin(action);
    this.commit(action, this.run(action, body));
  }

  run(action: string, body: () => number): number {
    try {
      return body();
    } catch (cause) {
      this.#rollBack();
      throw this.#wrap(action, cause);
    }
  }

  commit(action: string, changes: number): void {
    this.run(action, () => {
      this.#database.exec("COMMIT");
      return 0;
    });
    this.#isSyncDue = true;
    // With random keys, a change writes about one page. No transaction writes a page twice.
    if (changes > 0) this.#pages += Math.min(changes, this.tables.pageCount);
    if (this.#pages >= PAGES_PER_CHECKPOINT) this.#checkpoint();
  }

  /** Runs a function that changes nothing. */
  read<T>(query: (tables: SQLiteTables) => T): T {
    if (!this.#isOpen) throw this.#closedError("read the store");
    try {
      return query(this.tables);
    } catch (cause) {
      throw this.#wrap("read the store", cause);
    }
  }

  /**
   * Makes all commits durable.
   *
   * A commit with `synchronous = NORMAL` does not sync. Power loss takes back the last ones, the
   * data together with the saved LSN, and the log hands their records out again. So a sync for each
   * commit would buy nothing.
   *
   * One commit with `synchronous = FULL` makes all commits before it durable, because they lie
   * before it in the same file. It has to change something, or SQLite writes and syncs nothing.
   */
  sync(): void {
    this.joined.end();
    this.mustBeGood("sync the store");
    if (!this.#isSyncDue) return;
    this.#database.exec("PRAGMA synchronous = FULL");
    try {
      this.begin("sync the store");
      try {
        this.tables.countSync();
        this.#database.exec("COMMIT");
      } catch (cause) {
        this.#rollBack();
        throw this.#fail("sync the store", cause);
      }
      this.#isSyncDue = false;
    } finally {
      this.#database.exec("PRAGMA synchronous = NORMAL");
    }
  }

  /** Makes everything durable and closes the database. No-op if it is closed. */
  close(): void {
    if (!this.#isOpen) return;
    try {
      if (this.#failure === null) this.sync();
    } finally {
      this.#isOpen = false;
      this.joined.forget();
      this.#database.close();
    }
  }

  begin(action: string): void {
    try {
      this.#database.exec("BEGIN IMMEDIATE");
    } catch (cause) {
      throw this.#wrap(action, cause);
    }
  }

  #rollBack(): void {
    try {
      this.#database.exec("ROLLBACK");
    } catch {
      // SQLite has rolled back already.
    }
  }

  /** Moves the part of SQLite's write-ahead log that no reader needs into the database. */
  #checkpoint(): void {
    try {
      this.#database.exec("PRAGMA wal_checkpoint(PASSIVE)");
      this.#pages = 0;
    } catch (cause) {
      throw this.#fail("sync the store", cause);
    }
  }

  mustBeGood(action: string): void {
    if (!this.#isOpen) throw this.#closedError(action);
    if (this.#failure !== null) throw this.#failure;
  }

  #closedError(action: string): SQLiteStoreError {
    return new SQLiteStoreError(this.#path, `Cannot ${action}: ${show(this.#path)} is closed`);
  }

  #fail(action: string, cause: unknown): WALError {
    return this.#failure = this.#wrap(action, cause);
  }

  #wrap(action: string, cause: unknown): WALError {
    if (cause instanceof WALError) return cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    return new SQLiteStoreError(this.#path, `Cannot ${action}, ${show(this.#path)}: ${why}`, { cause });
  }
}

/**
 * The SQLite of this runtime. It is not imported, so that the module loads on an older Node, where
 * the error is this one.
 */
function databaseClass(): typeof DatabaseSync {
  const sqlite = process.getBuiltinModule?.("node:sqlite") as typeof import("node:sqlite") | undefined;
  if (sqlite === undefined) {
    const message = "Cannot open the store: this runtime has no node:sqlite, as Deno, Bun, and Node 26.9 or later have";
    throw new WALPlatformError(message);
  }
  return sqlite.DatabaseSync;
}
