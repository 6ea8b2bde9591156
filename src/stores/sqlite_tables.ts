// The tables of a store in SQLite: their schema, and the statements on them.

import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { type Appliable, applyRecord } from "../format/operations.ts";
import { type LSN, OpType, type WALRecordFields } from "../types.ts";
import type { Entry, Value } from "./pair_array.ts";

// Keys and values are 16 bytes, big-endian, so that SQLite sorts them as numbers, and `hex(key)` is
// readable. Four INTEGER columns, shifted into the signed range, are neither faster nor smaller.
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
/** "CIDs", in the header of a database: marks the database as a store. */
const APPLICATION_ID = 0x43494473;
const SCHEMA_VERSION = 2;

/**
 * Pairs that one statement inserts. There are many, because each call costs as much as an insert.
 */
const PAIRS_AT_ONCE = 64;
const ENTRIES_AT_ONCE = 1024;
const HALF_BYTES = 8;
const BLOB_BYTES = 16;

/**
 * Makes the tables in an empty database, or brings those of an earlier version up to date. Runs
 * inside a transaction.
 *
 * @throws {Error} if the database is not one of a store, or is one of a later version.
 */
export function makeTables(database: DatabaseSync): void {
  const id = numberOf(database, "PRAGMA application_id", "application_id");
  const version = numberOf(database, "PRAGMA user_version", "user_version");
  const tables = numberOf(database, "SELECT count(*) AS count FROM sqlite_schema", "count");
  if (id === APPLICATION_ID) {
    if (version === SCHEMA_VERSION) return;
    if (version !== 1) throw new Error(`it has version ${version}, and this library reads version ${SCHEMA_VERSION}`);
    database.exec(`${FROM_VERSION_1} PRAGMA user_version = ${SCHEMA_VERSION};`);
    return;
  }
  if (id !== 0 || version !== 0 || tables !== 0) throw new Error("it is not the database of a store");
  database.exec(`${SCHEMA} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION};`);
}

/** The statements on the tables. Those that change something run inside a transaction. */
export class SQLiteTables implements Appliable<void> {
  readonly #statements: ReturnType<typeof prepare>;
  readonly #key = new BlobWriter();
  readonly #value = new BlobWriter();
  /** For `PAIRS_AT_ONCE` pairs: key, value, key, value, … */
  readonly #blobs = Array.from({ length: 2 * PAIRS_AT_ONCE }, () => new BlobWriter());
  readonly #blobBytes = this.#blobs.map((blob) => blob.bytes);

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database);
  }

  insert(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): void {
    this.#statements.insert.run(this.#key.set(keyHigh, keyLow), this.#value.set(valueHigh, valueLow));
  }

  delete(keyHigh: bigint, keyLow: bigint): void {
    this.#statements.delete.run(this.#key.set(keyHigh, keyLow));
  }

  deleteValue(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): void {
    this.#statements.deleteValue.run(this.#key.set(keyHigh, keyLow), this.#value.set(valueHigh, valueLow));
  }

  /** Applies the records from index `first` on. */
  apply(records: readonly WALRecordFields[], first: number): void {
    for (let next = first; next < records.length;) {
      const end = endOfInserts(records, next);
      for (; next + PAIRS_AT_ONCE <= end; next += PAIRS_AT_ONCE) this.#insertMany(records, next);
      for (; next < end; next++) applyRecord(this, records[next]!);
      if (next < records.length) applyRecord(this, records[next++]!);
    }
  }

  #insertMany(records: readonly WALRecordFields[], first: number): void {
    for (let i = 0; i < PAIRS_AT_ONCE; i++) {
      const { keyHigh, keyLow, valueHigh, valueLow } = records[first + i]!;
      this.#blobs[2 * i]!.set(keyHigh, keyLow);
      this.#blobs[2 * i + 1]!.set(valueHigh, valueLow);
    }
    this.#statements.insertMany.run(...this.#blobBytes);
  }

  /** The saved LSN. */
  get appliedLsn(): LSN {
    return Number(this.#statements.savedLsn.get()!["lsn"]);
  }

  /** The saved log id. */
  get appliedLog(): string | null {
    return this.#statements.savedLog.get()!["log"] as string | null;
  }

  /** Saves an LSN, and its log's id if that is known. */
  saveApplied(lsn: LSN, logId: string | null): void {
    this.#statements.saveLsn.run(lsn, logId);
  }

  /** Changes a counter, so that a transaction without other changes writes something. */
  countSync(): void {
    this.#statements.countSync.run();
  }

  hasKey(keyHigh: bigint, keyLow: bigint): boolean {
    return this.#statements.hasKey.get(this.#key.set(keyHigh, keyLow)) !== undefined;
  }

  has(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): boolean {
    const { hasPair } = this.#statements;
    return hasPair.get(this.#key.set(keyHigh, keyLow), this.#value.set(valueHigh, valueLow)) !== undefined;
  }

  /** A key's values in ascending order. */
  values(keyHigh: bigint, keyLow: bigint): Value[] {
    const rows = this.#statements.valuesOf.all(this.#key.set(keyHigh, keyLow));
    return rows.map((row) => readBlob(row["value"]!));
  }

  get size(): number {
    return Number(this.#statements.countPairs.get()!["count"]);
  }

  get keyCount(): number {
    return Number(this.#statements.countKeys.get()!["count"]);
  }

  /** Some entries in ascending order: the first ones, or those after an entry. */
  entries(after: Entry | null): Entry[] {
    const { firstEntries, nextEntries } = this.#statements;
    const rows = after === null
      ? firstEntries.all()
      : nextEntries.all(this.#key.set(after[0], after[1]), this.#value.set(after[2], after[3]));
    return rows.map((row): Entry => [...readBlob(row["key"]!), ...readBlob(row["value"]!)]);
  }
}

/**
 * Sixteen bytes for SQLite, big-endian. They are used again for each call, because SQLite copies
 * them.
 */
class BlobWriter {
  readonly bytes: Uint8Array = new Uint8Array(BLOB_BYTES);
  readonly #view = new DataView(this.bytes.buffer);

  set(high: bigint, low: bigint): Uint8Array {
    this.#view.setBigUint64(0, high);
    this.#view.setBigUint64(HALF_BYTES, low);
    return this.bytes;
  }
}

/** @throws {Error} if another program has written a wrong value to the database. */
function readBlob(column: SQLOutputValue): Value {
  if (!(column instanceof Uint8Array) || column.byteLength !== BLOB_BYTES) {
    throw new Error(`a key or value is not ${BLOB_BYTES} bytes`);
  }
  const view = new DataView(column.buffer, column.byteOffset, BLOB_BYTES);
  return [view.getBigUint64(0), view.getBigUint64(HALF_BYTES)];
}

/**
 * The index after consecutive inserts that start at `from`; `from` itself if there is no insert.
 */
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
