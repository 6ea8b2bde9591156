/**
 * A store in an SQLite database: a multi-value map from 128-bit keys to sets of 128-bit values. It saves the LSN it has applied
 * in the transaction that applies it, so each record is applied exactly once, whatever crashes.
 *
 * @example
 * ```ts
 * import { WAL } from "@cidstore/wal";
 * import { SQLiteStore } from "@cidstore/wal/stores/sqlite";
 *
 * using store = new SQLiteStore(":memory:"); // or a path
 * await using wal = WAL.open(null); // a path, or null for memory
 * const consuming = wal.consumeAsync(store);
 * await wal.logInsert(1, 2, 3, 4);
 * await wal.whenApplied();
 * console.log(store.values(1n, 2n)); // [[3n, 4n]]
 * ```
 *
 * @module
 */

import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { absolutePath } from "../../ffi/file/working_directory.ts";
import { toWALError, WALError } from "../errors.ts";
import { show } from "../arguments/numbers.ts";
import { applyRecord } from "../format/operations.ts";
import { type AppliedRun, type LSN, OpType, type Store, type WALRecordFields } from "../types.ts";
import type { Entry, Value } from "./pair_table.ts";
import { checkKey, checkLog, checkPair, checkRun, firstMissing } from "./run.ts";

export type { Entry, Value } from "./pair_table.ts";

// Keys and values are 16 bytes, big-endian, so that they sort by size and `hex(key)` shows them as they are written. Four
// INTEGER columns, shifted into the signed range, are neither faster nor smaller.
const SCHEMA = `
  CREATE TABLE pair (
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (key, value)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE applied (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    lsn INTEGER NOT NULL,
    syncs INTEGER NOT NULL,
    log TEXT
  ) STRICT;
  INSERT INTO applied VALUES (1, 0, 0, NULL);`;
/** A database of version 1 does not know which log its LSN belongs to. */
const FROM_VERSION_1 = "ALTER TABLE applied ADD COLUMN log TEXT;";
/** "CIDs": marks a database as one of ours, in its header. */
const APPLICATION_ID = 0x43494473;
const SCHEMA_VERSION = 2;

/** How the database is set up for each connection: see `sync()` for why a commit does not sync. */
const CONNECTION = `
  PRAGMA synchronous = NORMAL;
  PRAGMA fullfsync = ON;
  PRAGMA checkpoint_fullfsync = ON;
  PRAGMA cache_size = -65536;
  PRAGMA wal_autocheckpoint = 0;`;
/**
 * Changes after which SQLite is told to move its write-ahead log into the database; each makes a page or so of 4 KiB. Left to
 * itself it would do so every 1000 pages, which with random keys is every 1000 inserts, and say nothing if a sync fails.
 */
const CHANGES_PER_CHECKPOINT = 16_384;

/** Pairs that one statement inserts, where so many follow each other: a call to SQLite costs as much as an insert. */
const PAIRS_AT_ONCE = 64;
const ENTRIES_AT_ONCE = 1024;
const HALF_BYTES = 8;
const BLOB_BYTES = 16;

/** SQLite failed, or its database is not a store. Code `SQLITE`. The failed call changed nothing in the store. */
export class SQLiteStoreError extends WALError {
  /** The class's name, as messages show it. */
  override name = "SQLiteStoreError";
  /** The database, as it was given. */
  readonly path: string;

  /** Made by the store. */
  constructor(path: string, message: string, options?: ErrorOptions) {
    super("SQLITE", message, options);
    this.path = path;
  }
}

/** How to open a store. */
export interface SQLiteStoreOptions {
  /**
   * How long a call waits for another connection to the database to end its transaction, in milliseconds; then it throws.
   *
   * @default {5000}
   */
  busyTimeoutMs?: number | undefined;
}

/**
 * A multi-value map in an SQLite database.
 *
 * It is for one log, whose id it saves with the LSN: a consumer of another log refuses it with `WALStoreError`. A backup of its
 * log, or a log that salvage made of it, takes it where the store has no record that the copy lacks. Start any other log with
 * an empty store.
 */
export class SQLiteStore implements Store, Disposable {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #statements: ReturnType<typeof prepare>;
  /** Applies one record, inside a transaction. */
  readonly #appliable = {
    insert: this.#insert.bind(this),
    delete: this.#delete.bind(this),
    deleteValue: this.#deleteValue.bind(this),
  };
  readonly #key = new BlobWriter();
  readonly #value = new BlobWriter();
  /** Of `PAIRS_AT_ONCE` pairs: key, value, key, value, … */
  readonly #blobs = Array.from({ length: 2 * PAIRS_AT_ONCE }, () => new BlobWriter());
  readonly #blobBytes = this.#blobs.map((blob) => blob.bytes);
  #isOpen = true;
  #changes = 0;
  /** What is committed may not be durable. True at first: a commit of an earlier process may still be in the page cache only. */
  #isSyncDue = true;
  /** A sync failed: what it should have made durable may be lost although a later sync succeeds. */
  #failure: SQLiteStoreError | null = null;

  /**
   * Opens a database and makes it if there is none. Deno needs permission to read and to write it.
   *
   * @param path a path or file URL; `":memory:"` for one that lasts until `close()`.
   * @throws {SQLiteStoreError} if it cannot be opened, or is a database of something else.
   * @throws {TypeError} or {RangeError} if an argument cannot be used.
   */
  constructor(path: string | URL, options: SQLiteStoreOptions = {}) {
    this.#path = checkPath(path);
    const { busyTimeoutMs = 5000 } = options;
    if (!Number.isSafeInteger(busyTimeoutMs) || busyTimeoutMs < 0 || busyTimeoutMs > 0x7fffffff) {
      throw new RangeError(
        `Cannot use ${show(busyTimeoutMs)} as busyTimeoutMs: it must be an integer from 0 to 2^31 - 1`,
      );
    }
    try {
      this.#database = new DatabaseSync(this.#path);
    } catch (cause) {
      throw this.#wrap("open the store", cause);
    }
    try {
      this.#setUp(busyTimeoutMs);
      this.#statements = prepare(this.#database);
    } catch (cause) {
      this.#database.close();
      throw this.#wrap("open the store", cause);
    }
  }

  /**
   * Adds a value to a key's values, in a transaction of its own.
   *
   * @param record where it comes from; if given, it is skipped where its LSN is not above the saved one, which it becomes.
   * @throws {SQLiteStoreError} if SQLite fails or the store is closed.
   * @throws {TypeError} or {RangeError} if a half is not a bigint from 0 to 2^64 − 1.
   */
  insert(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record?: WALRecordFields): void {
    checkPair(keyHigh, keyLow, valueHigh, valueLow);
    this.#change(record, () => this.#insert(keyHigh, keyLow, valueHigh, valueLow));
  }

  /** Removes a key with all its values. As {@linkcode SQLiteStore.insert}. */
  delete(keyHigh: bigint, keyLow: bigint, record?: WALRecordFields): void {
    checkKey(keyHigh, keyLow);
    this.#change(record, () => this.#delete(keyHigh, keyLow));
  }

  /** Removes one value of a key. As {@linkcode SQLiteStore.insert}. */
  deleteValue(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record?: WALRecordFields): void {
    checkPair(keyHigh, keyLow, valueHigh, valueLow);
    this.#change(record, () => this.#deleteValue(keyHigh, keyLow, valueHigh, valueLow));
  }

  /**
   * Applies a run of records and saves the last LSN with the log's id, in one transaction: all of it or, if it throws, nothing. It
   * skips records at or below the saved LSN.
   *
   * @param run which log the records come from; left out, the saved id stays as it is.
   * @throws {SQLiteStoreError} if SQLite fails, the store is closed, or the run is of another log than `appliedLog()` and starts
   * at or below the saved LSN.
   * @throws {RangeError} if a record is of no known type, or the LSNs do not ascend.
   */
  applyBatch(records: readonly WALRecordFields[], run?: AppliedRun): void {
    checkRun(records);
    this.#transact("apply records", () => {
      const saved = this.#savedLsn();
      // Here and not where a consumer starts: another connection may have moved the LSN since.
      checkLog(records, run, saved, this.appliedLog());
      let next = firstMissing(records, saved);
      if (next === records.length) return 0;
      const changes = records.length - next;
      while (next < records.length) {
        const end = endOfInserts(records, next);
        for (; next + PAIRS_AT_ONCE <= end; next += PAIRS_AT_ONCE) this.#insertMany(records, next);
        for (; next < end; next++) applyRecord(this.#appliable, records[next]!);
        if (next < records.length) applyRecord(this.#appliable, records[next++]!);
      }
      this.#statements.saveLsn.run(records[records.length - 1]!.lsn, run?.logId ?? null);
      return changes;
    });
  }

  /**
   * The highest LSN applied, made durable first if it is not: no power loss takes the store back behind it.
   *
   * @throws {SQLiteStoreError} if SQLite fails or the store is closed.
   */
  appliedLsn(): LSN {
    if (this.#savedLsn() > 0) this.sync();
    return this.#savedLsn();
  }

  /**
   * The id of the log that `appliedLsn()` belongs to; null for a store that is new, or that version 0.1.0 of this library made and
   * no consumer has written to since.
   *
   * @throws {SQLiteStoreError} if SQLite fails or the store is closed.
   */
  appliedLog(): string | null {
    return this.#read(() => this.#statements.savedLog.get())!["log"] as string | null;
  }

  /**
   * Makes everything applied durable.
   *
   * A commit with `synchronous = NORMAL` is not: power loss takes back the last ones, the data together with the saved LSN, and the
   * log hands out the records again, which it keeps until this was called. So an fsync for each commit would buy nothing. One
   * commit with `synchronous = FULL` makes all commits before it durable too, since they lie before it in the same
   * file; it has to change something, or SQLite writes and syncs nothing.
   *
   * @throws {SQLiteStoreError} if SQLite fails or the store is closed. A failed sync is final: only reopening helps.
   */
  sync(): void {
    this.#mustBeGood("sync the store");
    if (!this.#isSyncDue) return;
    this.#database.exec("PRAGMA synchronous = FULL");
    try {
      this.#begin("sync the store");
      try {
        this.#statements.countSync.run();
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

  /** Whether a key has any value. */
  has(keyHigh: bigint, keyLow: bigint): boolean;
  /** Whether a key has this value. */
  has(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): boolean;
  has(keyHigh: bigint, keyLow: bigint, valueHigh?: bigint, valueLow?: bigint): boolean {
    const { hasKey, hasPair } = this.#statements;
    if (valueHigh === undefined || valueLow === undefined) {
      checkKey(keyHigh, keyLow);
      return this.#read(() => hasKey.get(this.#key.set(keyHigh, keyLow))) !== undefined;
    }
    checkPair(keyHigh, keyLow, valueHigh, valueLow);
    const found = this.#read(() => hasPair.get(this.#key.set(keyHigh, keyLow), this.#value.set(valueHigh, valueLow)));
    return found !== undefined;
  }

  /** A key's values in ascending order; none if there is no such key. */
  values(keyHigh: bigint, keyLow: bigint): Value[] {
    checkKey(keyHigh, keyLow);
    const rows = this.#read(() => this.#statements.valuesOf.all(this.#key.set(keyHigh, keyLow)));
    return rows.map((row) => readBlob(row["value"]!));
  }

  /** How many pairs of a key and a value there are. SQLite counts them one by one. */
  get size(): number {
    return Number(this.#read(() => this.#statements.countPairs.get())!["count"]);
  }

  /** How many keys have a value. SQLite counts them one by one. */
  get keyCount(): number {
    return Number(this.#read(() => this.#statements.countKeys.get())!["count"]);
  }

  /** Every key with each of its values, in ascending order, read a piece at a time: what changes meanwhile may be among them. */
  *entries(): IterableIterator<Entry> {
    const { firstEntries, nextEntries } = this.#statements;
    let rows = this.#read(() => firstEntries.all());
    while (rows.length > 0) {
      for (const row of rows) yield [...readBlob(row["key"]!), ...readBlob(row["value"]!)];
      const last = rows[rows.length - 1]!;
      rows = this.#read(() => nextEntries.all(blobOf(last["key"]!), blobOf(last["value"]!)));
    }
  }

  /** As {@linkcode SQLiteStore.entries}. */
  [Symbol.iterator](): IterableIterator<Entry> {
    return this.entries();
  }

  /**
   * Makes everything durable and closes the database. No-op if it is closed.
   *
   * @throws {SQLiteStoreError} if that fails; the store is closed all the same.
   */
  close(): void {
    if (!this.#isOpen) return;
    try {
      if (this.#failure === null) this.sync();
    } finally {
      this.#isOpen = false;
      this.#database.close();
    }
  }

  /** As `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #setUp(busyTimeoutMs: number): void {
    const database = this.#database;
    database.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
    const mode = database.prepare("PRAGMA journal_mode = WAL").get()!["journal_mode"];
    if (mode !== "wal" && mode !== "memory") {
      throw new Error(
        `its journal mode is ${String(mode)}, and the file system or another user keeps it from being "wal"`,
      );
    }
    database.exec(CONNECTION);
    this.#transact("open the store", () => {
      const id = numberOf(database, "PRAGMA application_id", "application_id");
      const version = numberOf(database, "PRAGMA user_version", "user_version");
      const tables = numberOf(database, "SELECT count(*) AS count FROM sqlite_schema", "count");
      if (id === APPLICATION_ID && version === SCHEMA_VERSION) return 0;
      if (id === APPLICATION_ID && version === 1) {
        database.exec(`${FROM_VERSION_1} PRAGMA user_version = ${SCHEMA_VERSION};`);
        return 0;
      }
      if (id === APPLICATION_ID) {
        throw new Error(`it has version ${version}, and this library reads version ${SCHEMA_VERSION}`);
      }
      if (id !== 0 || version !== 0 || tables !== 0) throw new Error("it is a database of something else");
      database.exec(`${SCHEMA} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION};`);
      return 0;
    });
  }

  // Statements, one change each. They run inside a transaction.

  #insert(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): void {
    this.#statements.insert.run(this.#key.set(keyHigh, keyLow), this.#value.set(valueHigh, valueLow));
  }

  #insertMany(records: readonly WALRecordFields[], first: number): void {
    for (let i = 0; i < PAIRS_AT_ONCE; i++) {
      const { keyHigh, keyLow, valueHigh, valueLow } = records[first + i]!;
      this.#blobs[2 * i]!.set(keyHigh, keyLow);
      this.#blobs[2 * i + 1]!.set(valueHigh, valueLow);
    }
    this.#statements.insertMany.run(...this.#blobBytes);
  }

  #delete(keyHigh: bigint, keyLow: bigint): void {
    this.#statements.delete.run(this.#key.set(keyHigh, keyLow));
  }

  #deleteValue(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): void {
    this.#statements.deleteValue.run(this.#key.set(keyHigh, keyLow), this.#value.set(valueHigh, valueLow));
  }

  #savedLsn(): LSN {
    return Number(this.#read(() => this.#statements.savedLsn.get())!["lsn"]);
  }

  // Transactions and failures.

  /** One change, and the LSN it brings the store to. */
  #change(record: WALRecordFields | undefined, change: () => void): void {
    this.#transact("apply a change", () => {
      if (record !== undefined && record.lsn <= this.#savedLsn()) return 0;
      change();
      if (record !== undefined) this.#statements.saveLsn.run(record.lsn, null);
      return 1;
    });
  }

  /** Runs a function in a transaction, which is rolled back if it throws. @param body returns how many changes it made. */
  #transact(action: string, body: () => number): void {
    this.#mustBeGood(action);
    this.#begin(action);
    let changes: number;
    try {
      changes = body();
      this.#database.exec("COMMIT");
    } catch (cause) {
      this.#rollBack();
      throw this.#wrap(action, cause);
    }
    this.#isSyncDue = true;
    this.#changes += changes;
    if (this.#changes >= CHANGES_PER_CHECKPOINT) this.#checkpoint();
  }

  #begin(action: string): void {
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
      // SQLite has rolled it back itself.
    }
  }

  /** As far as no reader of the database is in the way. */
  #checkpoint(): void {
    try {
      this.#database.exec("PRAGMA wal_checkpoint(PASSIVE)");
      this.#changes = 0;
    } catch (cause) {
      throw this.#fail("sync the store", cause);
    }
  }

  #read<T>(query: () => T): T {
    if (!this.#isOpen) throw this.#closedError("read the store");
    try {
      return query();
    } catch (cause) {
      throw this.#wrap("read the store", cause);
    }
  }

  #mustBeGood(action: string): void {
    if (!this.#isOpen) throw this.#closedError(action);
    if (this.#failure !== null) throw this.#failure;
  }

  #closedError(action: string): SQLiteStoreError {
    return new SQLiteStoreError(this.#path, `Cannot ${action}: ${show(this.#path)} is closed`);
  }

  #fail(action: string, cause: unknown): SQLiteStoreError {
    return this.#failure = this.#wrap(action, cause);
  }

  #wrap(action: string, cause: unknown): SQLiteStoreError {
    if (cause instanceof SQLiteStoreError) return cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    return new SQLiteStoreError(this.#path, `Cannot ${action}, ${show(this.#path)}: ${why}`, { cause });
  }
}

/** Sixteen bytes for SQLite, big-endian; written anew for each call, since SQLite copies what it is given. */
class BlobWriter {
  readonly bytes: Uint8Array = new Uint8Array(BLOB_BYTES);
  readonly #view = new DataView(this.bytes.buffer);

  set(high: bigint, low: bigint): Uint8Array {
    this.#view.setBigUint64(0, high);
    this.#view.setBigUint64(HALF_BYTES, low);
    return this.bytes;
  }
}

function readBlob(column: SQLOutputValue): Value {
  const { buffer, byteOffset } = blobOf(column);
  const view = new DataView(buffer, byteOffset, BLOB_BYTES);
  return [view.getBigUint64(0), view.getBigUint64(HALF_BYTES)];
}

/** @throws {Error} if somebody else has written to the database. */
function blobOf(column: SQLOutputValue): Uint8Array {
  if (column instanceof Uint8Array && column.byteLength === BLOB_BYTES) return column;
  throw new Error(`a key or value is not ${BLOB_BYTES} bytes`);
}

/** The index after the inserts that start at an index; the index itself if none does. */
function endOfInserts(records: readonly WALRecordFields[], from: number): number {
  let end = from;
  while (end < records.length && records[end]!.opType === OpType.Insert) end++;
  return end;
}

function prepare(database: DatabaseSync) {
  const many = Array(PAIRS_AT_ONCE).fill("(?, ?)").join(", ");
  return {
    insert: database.prepare("INSERT OR IGNORE INTO pair VALUES (?, ?)"),
    insertMany: database.prepare(`INSERT OR IGNORE INTO pair VALUES ${many}`),
    delete: database.prepare("DELETE FROM pair WHERE key = ?"),
    deleteValue: database.prepare("DELETE FROM pair WHERE key = ? AND value = ?"),
    savedLsn: database.prepare("SELECT lsn FROM applied"),
    savedLog: database.prepare("SELECT log FROM applied"),
    saveLsn: database.prepare("UPDATE applied SET lsn = ?, log = coalesce(?, log)"),
    countSync: database.prepare("UPDATE applied SET syncs = syncs + 1"),
    hasKey: database.prepare("SELECT 1 FROM pair WHERE key = ? LIMIT 1"),
    hasPair: database.prepare("SELECT 1 FROM pair WHERE key = ? AND value = ?"),
    valuesOf: database.prepare("SELECT value FROM pair WHERE key = ? ORDER BY value"),
    countPairs: database.prepare("SELECT count(*) AS count FROM pair"),
    countKeys: database.prepare("SELECT count(DISTINCT key) AS count FROM pair"),
    firstEntries: database.prepare(`SELECT key, value FROM pair ORDER BY key, value LIMIT ${ENTRIES_AT_ONCE}`),
    nextEntries: database.prepare(
      `SELECT key, value FROM pair WHERE (key, value) > (?, ?) ORDER BY key, value LIMIT ${ENTRIES_AT_ONCE}`,
    ),
  };
}

function numberOf(database: DatabaseSync, query: string, column: string): number {
  return Number(database.prepare(query).get()![column]);
}

function checkPath(path: string | URL): string {
  const text = path instanceof URL ? fileURLToPath(path) : path;
  if (typeof text !== "string") throw new TypeError(`Cannot use ${show(text)} as path: it must be a string or a URL`);
  if (text === "" || text.includes("\0")) throw new TypeError("Cannot use the path: it is empty or has a NUL");
  // SQLite's own names, which are no paths.
  if (text === ":memory:" || text.startsWith("file:")) return text;
  try {
    return absolutePath(text);
  } catch (error) {
    throw toWALError(error, text, 0);
  }
}
