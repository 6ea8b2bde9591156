/**
 * A store in an SQLite database: a multi-value map from 128-bit keys to sets of 128-bit values. It
 * saves the LSN of a record in the transaction that applies the record. So each record is applied
 * exactly once, whatever crashes.
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

import { checkInteger } from "../arguments/numbers.ts";
import { offerJoinedRuns } from "../arguments/joined_runs.ts";
import { checkDatabasePath } from "../arguments/paths.ts";
import { checkRun, checkRunLog, checkStoreKey, checkStorePair, firstMissing } from "../arguments/stores.ts";
import type { AppliedRun, LSN, RecordStore, WALRecordFields } from "../types.ts";
import { type Entry, Pair, type Value } from "./pair.ts";
import { SQLiteConnection } from "./sqlite_connection.ts";

export type { Entry, Value } from "./pair.ts";
export { SQLiteStoreError } from "./sqlite_error.ts";

const DEFAULT_BUSY_TIMEOUT_MS = 5000;
/** SQLite stores the timeout in 31 bits. */
const MOST_BUSY_TIMEOUT_MS = 0x7fffffff;

/** How to open a store. */
export interface SQLiteStoreOptions {
  /**
   * How long a call waits for another connection to the database to end its transaction, in
   * milliseconds. Then the call throws.
   *
   * @default {5000}
   */
  busyTimeoutMs?: number | undefined;
}

/**
 * A multi-value map in an SQLite database.
 *
 * A store is for one log, whose id it saves with the LSN. A consumer of another log refuses the
 * store with `WALStoreError`. A backup or a salvaged copy of its log takes the store, if the copy
 * has every record that the store has. Start any other log with an empty store.
 *
 * A consumer applies a backlog in transactions of up to 16,384 records or 100 ms. Others have their
 * turns while one is open. Then this store shows the runs that are applied so far, and other
 * connections show them after the commit. Any change or `sync()` by hand commits them first.
 *
 * @example A store that a process finds again
 * ```ts
 * import { consume, WAL } from "@cidstore/wal";
 * import { SQLiteStore } from "@cidstore/wal/stores/sqlite";
 *
 * await using wal = WAL.open(null); // a path in a service
 * using store = new SQLiteStore(":memory:"); // a path, too
 * await using consumer = consume(wal, store);
 * await wal.logReplace(1, 2, 3, 4);
 * await wal.whenApplied();
 * console.log(store.keyCount, store.appliedLsn() <= consumer.applied); // 1 true
 * ```
 */
export class SQLiteStore implements RecordStore, Disposable {
  readonly #connection: SQLiteConnection;
  /** The pair that a call is about. */
  readonly #pair = new Pair();

  /**
   * Opens a database and makes it if there is none. Deno needs permission to read and to write it.
   *
   * @param path a path or file URL; `":memory:"` for a database that lasts until `close()`.
   * @throws {SQLiteStoreError} if the database cannot be opened, or is not one of a store.
   * @throws {WALPlatformError} if the runtime has no SQLite.
   * @throws {TypeError} or {RangeError} if an argument cannot be used.
   */
  constructor(path: string | URL, options: SQLiteStoreOptions = {}) {
    const checked = checkDatabasePath(path);
    const { busyTimeoutMs = DEFAULT_BUSY_TIMEOUT_MS } = options;
    checkInteger(busyTimeoutMs, "busyTimeoutMs", 0, MOST_BUSY_TIMEOUT_MS);
    this.#connection = new SQLiteConnection(checked, busyTimeoutMs);
    const { joined } = this.#connection;
    offerJoinedRuns(this, SQLiteStore.prototype.applyBatch, {
      begin: () => joined.begin(),
      apply: (records, run) => joined.apply(() => this.#applyRun(records, run)),
      commit: () => joined.commit(),
    });
  }

  /**
   * Adds a value to a key's values, in a transaction of its own.
   *
   * @param record the record that the value comes from. If its LSN is at or below the saved LSN,
   * nothing is changed. Otherwise its LSN is saved.
   * @throws {SQLiteStoreError} if SQLite fails or the store is closed.
   * @throws {TypeError} or {RangeError} if a half is not a bigint from 0 to 2^64 − 1.
   */
  insert(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record?: WALRecordFields): void {
    checkStorePair(keyHigh, keyLow, valueHigh, valueLow);
    this.#change(record, () => this.#connection.tables.insert(this.#pair.set(keyHigh, keyLow, valueHigh, valueLow)));
  }

  /** Removes a key with all its values. As {@linkcode SQLiteStore.insert}. */
  delete(keyHigh: bigint, keyLow: bigint, record?: WALRecordFields): void {
    checkStoreKey(keyHigh, keyLow);
    this.#change(record, () => this.#connection.tables.delete(this.#pair.setKey(keyHigh, keyLow)));
  }

  /** Removes one value of a key. As {@linkcode SQLiteStore.insert}. */
  deleteValue(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record?: WALRecordFields): void {
    checkStorePair(keyHigh, keyLow, valueHigh, valueLow);
    this.#change(
      record,
      () => this.#connection.tables.deleteValue(this.#pair.set(keyHigh, keyLow, valueHigh, valueLow)),
    );
  }

  /** Makes a value the only one of a key. As {@linkcode SQLiteStore.insert}. */
  replace(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record?: WALRecordFields): void {
    checkStorePair(keyHigh, keyLow, valueHigh, valueLow);
    this.#change(record, () => this.#connection.tables.replace(this.#pair.set(keyHigh, keyLow, valueHigh, valueLow)));
  }

  /**
   * Applies a run of records, and saves the last LSN with the log's id, in one transaction. If it
   * throws, nothing is applied. It skips records at or below the saved LSN.
   *
   * @param run which log the records come from. If left out, the saved id does not change.
   * @throws {SQLiteStoreError} if SQLite fails or the store is closed. Also if the run is of
   * another log than `appliedLog()`, and starts at or below the saved LSN.
   * @throws {RangeError} if a record's type is unknown, or if the LSNs do not ascend.
   * @throws {WALOperationError} if a record is one of the application.
   */
  applyBatch(records: readonly WALRecordFields[], run?: AppliedRun): void {
    checkRun(records);
    this.#connection.transact("apply records", () => this.#applyRun(records, run));
  }

  /** @returns how many records the store lacked. */
  #applyRun(records: readonly WALRecordFields[], run: AppliedRun | undefined): number {
    const { tables } = this.#connection;
    const saved = tables.appliedLsn;
    // Checked for each run, because another connection may have moved the LSN since the start.
    checkRunLog(records, run, saved, tables.appliedLog);
    const first = firstMissing(records, saved);
    if (first === records.length) return 0;
    tables.apply(records, first);
    tables.saveApplied(records[records.length - 1]!.lsn, run?.logId ?? null);
    return records.length - first;
  }

  /**
   * The highest LSN applied. It is made durable first, so that power loss takes no record up to it.
   *
   * @throws {SQLiteStoreError} if SQLite fails or the store is closed.
   */
  appliedLsn(): LSN {
    const savedLsn = () => this.#connection.read((tables) => tables.appliedLsn);
    if (savedLsn() > 0) this.sync();
    return savedLsn();
  }

  /**
   * The id of the log that `appliedLsn()` belongs to; null for a new store. Also null for a store
   * that version 0.1.0 of this library made, until a consumer writes to it.
   *
   * @throws {SQLiteStoreError} if SQLite fails or the store is closed.
   */
  appliedLog(): string | null {
    return this.#connection.read((tables) => tables.appliedLog);
  }

  /**
   * Makes everything applied durable. A commit alone need not be durable, because until this call
   * returns the log keeps the records and can hand them out again.
   *
   * @throws {SQLiteStoreError} if SQLite fails or the store is closed. A failed sync is final: only
   * reopening helps.
   */
  sync(): void {
    this.#connection.sync();
  }

  /**
   * Whether a key has any value.
   *
   * @throws {TypeError} or {RangeError} if a half is not a bigint from 0 to 2^64 − 1.
   * @throws {SQLiteStoreError} if SQLite fails or the store is closed.
   */
  has(keyHigh: bigint, keyLow: bigint): boolean;
  /** Whether a key has this value. As for a key alone. */
  has(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): boolean;
  has(keyHigh: bigint, keyLow: bigint, valueHigh?: bigint, valueLow?: bigint): boolean {
    if (valueHigh === undefined || valueLow === undefined) {
      checkStoreKey(keyHigh, keyLow);
      return this.#connection.read((tables) => tables.hasKey(this.#pair.setKey(keyHigh, keyLow)));
    }
    checkStorePair(keyHigh, keyLow, valueHigh, valueLow);
    return this.#connection.read((tables) => tables.has(this.#pair.set(keyHigh, keyLow, valueHigh, valueLow)));
  }

  /**
   * A key's values in ascending order; none if there is no such key.
   *
   * @throws as {@linkcode SQLiteStore.has}.
   */
  values(keyHigh: bigint, keyLow: bigint): Value[] {
    checkStoreKey(keyHigh, keyLow);
    return this.#connection.read((tables) => tables.values(this.#pair.setKey(keyHigh, keyLow)));
  }

  /**
   * How many pairs of a key and a value there are. SQLite counts them one by one.
   *
   * @throws {SQLiteStoreError} if SQLite fails or the store is closed.
   */
  get size(): number {
    return this.#connection.read((tables) => tables.size);
  }

  /**
   * How many keys have a value. SQLite counts them one by one.
   *
   * @throws {SQLiteStoreError} if SQLite fails or the store is closed.
   */
  get keyCount(): number {
    return this.#connection.read((tables) => tables.keyCount);
  }

  /**
   * Every key with each of its values, in ascending order. They are read a piece at a time, so
   * later changes may be among them.
   *
   * @throws {SQLiteStoreError} while it is read, if SQLite fails or the store is closed.
   */
  *entries(): IterableIterator<Entry> {
    const entriesAfter = (last: Entry | null) => this.#connection.read((tables) => tables.entries(last));
    for (let some = entriesAfter(null); some.length > 0; some = entriesAfter(some[some.length - 1]!)) yield* some;
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
    this.#connection.close();
  }

  /** As `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Makes one change in a transaction, and saves the record's LSN with it. */
  #change(record: WALRecordFields | undefined, change: () => void): void {
    const { tables } = this.#connection;
    this.#connection.transact("apply a change", () => {
      if (record !== undefined && record.lsn <= tables.appliedLsn) return 0;
      change();
      if (record !== undefined) tables.saveApplied(record.lsn, null);
      return 1;
    });
  }
}
