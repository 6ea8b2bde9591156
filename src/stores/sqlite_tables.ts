// The tables of a store in SQLite: their schema, and the statements on them.

import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { type ApplicationOpType, type LSN, OpType, type WALRecordFields } from "../types.ts";
import { checkOperation } from "../arguments/stores.ts";
import { ID_BYTES } from "../format/big_endian.ts";
import { type Entry, halvesAt, Pair, type Value } from "./pair.ts";

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
export class SQLiteTables {
  readonly #statements: ReturnType<typeof prepare>;
  /** Pairs that are used again for each statement, because SQLite copies them. */
  readonly #pairs = Array.from({ length: PAIRS_AT_ONCE }, () => new Pair());
  /** Their bytes: key, value, key, value, … */
  readonly #blobs = this.#pairs.flatMap(({ key, value }) => [key, value]);

  constructor(database: DatabaseSync) {
    this.#statements = prepare(database);
  }

  insert({ key, value }: Pair): void {
    this.#statements.insert.run(key, value);
  }

  delete({ key }: Pair): void {
    this.#statements.delete.run(key);
  }

  deleteValue({ key, value }: Pair): void {
    this.#statements.deleteValue.run(key, value);
  }

  replace({ key, value }: Pair): void {
    this.#statements.deleteOthers.run(key, value);
    this.#statements.insert.run(key, value);
  }

  /** Applies the records from index `first` on. */
  apply(records: readonly WALRecordFields[], first: number): void {
    for (let next = first; next < records.length;) {
      const end = endOfInserts(records, next);
      for (; next + PAIRS_AT_ONCE <= end; next += PAIRS_AT_ONCE) this.#insertMany(records, next);
      for (; next < end; next++) this.#applyOne(records[next]!);
      if (next < records.length) this.#applyOne(records[next++]!);
    }
  }

  #applyOne(record: WALRecordFields): void {
    const { lsn, opType } = record;
    const pair = this.#pairs[0]!;
    if (opType === OpType.Insert) this.insert(pair.take(record));
    else if (opType === OpType.Delete) this.delete(pair.take(record));
    else if (opType === OpType.DeleteValue) this.deleteValue(pair.take(record));
    else if (opType === OpType.Replace) this.replace(pair.take(record));
    // The compiler asks for each new operation.
    else checkOperation(lsn, opType satisfies typeof OpType.Checkpoint | ApplicationOpType);
  }

  #insertMany(records: readonly WALRecordFields[], first: number): void {
    for (let i = 0; i < PAIRS_AT_ONCE; i++) this.#pairs[i]!.take(records[first + i]!);
    this.#statements.insertMany.run(...this.#blobs);
  }

  /** The saved LSN. */
  get appliedLsn(): LSN {
    return Number(this.#statements.savedLsn.get()!["lsn"]);
  }

  /** The saved log id. */
  get appliedLog(): string | null {
    return this.#statements.savedLog.get()!["log"] as string | null;
  }

  /** Pages of the database. */
  get pageCount(): number {
    return Number(this.#statements.pageCount.get()!["page_count"]);
  }

  /** Saves an LSN, and its log's id if that is known. */
  saveApplied(lsn: LSN, logId: string | null): void {
    this.#statements.saveLsn.run(lsn, logId);
  }

  /** Changes a counter, so that a transaction without other changes writes something. */
  countSync(): void {
    this.#statements.countSync.run();
  }

  hasKey({ key }: Pair): boolean {
    return this.#statements.hasKey.get(key) !== undefined;
  }

  has({ key, value }: Pair): boolean {
    return this.#statements.hasPair.get(key, value) !== undefined;
  }

  /** The values of a pair's key, in ascending order. */
  values({ key }: Pair): Value[] {
    const rows = this.#statements.valuesOf.all(key);
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
    const { key, value } = after === null ? this.#pairs[0]! : this.#pairs[0]!.set(...after);
    const rows = after === null ? firstEntries.all() : nextEntries.all(key, value);
    return rows.map((row): Entry => [...readBlob(row["key"]!), ...readBlob(row["value"]!)]);
  }
}

/** @throws {Error} if another program has written a wrong value to the database. */
function readBlob(column: SQLOutputValue): Value {
  if (!(column instanceof Uint8Array) || column.byteLength !== ID_BYTES) {
    throw new Error(`a key or value is not ${ID_BYTES} bytes`);
  }
  return halvesAt(new DataView(column.buffer, column.byteOffset, ID_BYTES), 0);
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
    deleteOthers: database.prepare("DELETE FROM pair WHERE key = ? AND value <> ?"),
    savedLsn: database.prepare("SELECT lsn FROM applied"),
    savedLog: database.prepare("SELECT log FROM applied"),
    saveLsn: database.prepare("UPDATE applied SET lsn = ?, log = coalesce(?, log)"),
    pageCount: database.prepare("PRAGMA page_count"),
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
