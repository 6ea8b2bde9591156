/**
 * A store in memory: a multi-value map from 128-bit keys to sets of 128-bit values. The
 * store is lost with its process, so it is for tests, for caches, and for data that can be made
 * again.
 *
 * @example
 * ```ts
 * import { WAL } from "@cidstore/wal";
 * import { MemoryStore } from "@cidstore/wal/stores/memory";
 *
 * const store = new MemoryStore();
 * await using wal = WAL.open(null); // a path, or null for memory
 * const consuming = wal.consumeAsync(store);
 * await wal.logInsert(1, 2, 3, 4);
 * await wal.whenApplied();
 * console.log(store.values(1n, 2n)); // [[3n, 4n]]
 * ```
 *
 * @module
 */

import { checkLsn } from "../arguments/numbers.ts";
import { checkLogId, checkRun, checkRunLog, checkStoreKey, checkStorePair, firstMissing } from "../arguments/stores.ts";
import {
  type ApplicationOpType,
  type AppliedRun,
  type LSN,
  OpType,
  type RecordStore,
  type WALRecordFields,
} from "../types.ts";
import { type Entry, Pair, type Value } from "./pair.ts";
import { PairTable } from "./pair_table.ts";

export type { Entry, Value } from "./pair.ts";

/**
 * A multi-value map in memory.
 *
 * It skips records at or below `appliedLsn()`, so it may go from one consumer of a log to the next.
 * A new store has LSN 0, so it gets everything that its log retains. A log that has released
 * records refuses a new store, because the store would lack them.
 *
 * @example
 * ```ts
 * import { consume, WAL } from "@cidstore/wal";
 * import { MemoryStore } from "@cidstore/wal/stores/memory";
 *
 * await using wal = WAL.open(null);
 * const store = new MemoryStore();
 * await using consumer = consume(wal, store);
 * await wal.batchInsert([[1, 2, 3, 4], [1, 2, 5, 6]]);
 * await wal.whenApplied();
 * console.log(store.values(1n, 2n), consumer.applied); // [[3n, 4n], [5n, 6n]] 2
 * ```
 */
export class MemoryStore implements RecordStore {
  #pairs = new PairTable();
  /** The pair that a call is about. */
  readonly #pair = new Pair();
  #applied: LSN;
  #appliedLog: string | null;

  /**
   * An empty store.
   *
   * @param appliedLsn the highest LSN that counts as applied already. It is the LSN of a snapshot
   * that fills the store, or `wal.tail - 1` for a cache that can do without released records.
   * @param appliedLog the id of the log that this LSN belongs to, as `wal.logId` gives it; null if
   * it is not known.
   * @throws {TypeError} or {RangeError} if an argument cannot be used.
   */
  constructor(appliedLsn: LSN = 0, appliedLog: string | null = null) {
    checkLsn(appliedLsn, "appliedLsn");
    checkLogId(appliedLog, "appliedLog");
    this.#applied = appliedLsn;
    this.#appliedLog = appliedLog;
  }

  /** How many pairs of a key and a value there are. */
  get size(): number {
    return this.#pairs.size;
  }

  /** How many keys have a value. */
  get keyCount(): number {
    return this.#pairs.keyCount;
  }

  /** The highest LSN applied. */
  appliedLsn(): LSN {
    return this.#applied;
  }

  /**
   * The id of the log that `appliedLsn()` belongs to; null for a store that no consumer has filled.
   */
  appliedLog(): string | null {
    return this.#appliedLog;
  }

  /**
   * Adds a value to a key's values.
   *
   * @param record the record that the value comes from. If its LSN is at or below `appliedLsn()`,
   * nothing is changed.
   * @throws {TypeError} or {RangeError} if a half is not a bigint from 0 to 2^64 − 1.
   */
  insert(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record?: WALRecordFields): void {
    checkStorePair(keyHigh, keyLow, valueHigh, valueLow);
    if (!this.#lacks(record)) return;
    this.#pairs.reserve(this.#pairs.size + 1);
    this.#pairs.insert(this.#pair.set(keyHigh, keyLow, valueHigh, valueLow));
    this.#noteApplied(record);
  }

  /** Removes a key with all its values. As {@linkcode MemoryStore.insert}. */
  delete(keyHigh: bigint, keyLow: bigint, record?: WALRecordFields): void {
    checkStoreKey(keyHigh, keyLow);
    if (!this.#lacks(record)) return;
    this.#pairs.delete(this.#pair.setKey(keyHigh, keyLow));
    this.#noteApplied(record);
  }

  /** Removes one value of a key. As {@linkcode MemoryStore.insert}. */
  deleteValue(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record?: WALRecordFields): void {
    checkStorePair(keyHigh, keyLow, valueHigh, valueLow);
    if (!this.#lacks(record)) return;
    this.#pairs.deleteValue(this.#pair.set(keyHigh, keyLow, valueHigh, valueLow));
    this.#noteApplied(record);
  }

  /** Makes a value the only one of a key. As {@linkcode MemoryStore.insert}. */
  replace(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint, record?: WALRecordFields): void {
    checkStorePair(keyHigh, keyLow, valueHigh, valueLow);
    if (!this.#lacks(record)) return;
    this.#pairs.reserve(this.#pairs.size + 1);
    this.#pairs.delete(this.#pair.set(keyHigh, keyLow, valueHigh, valueLow));
    this.#pairs.insert(this.#pair);
    this.#noteApplied(record);
  }

  /**
   * Applies a run of records: all of them or, if it throws, none. It skips those at or below
   * `appliedLsn()`.
   *
   * @param run which log the records come from. If left out, `appliedLog()` does not change.
   * @throws {RangeError} if a record's type is unknown, or if the LSNs do not ascend. Also if the
   * run is of another log than `appliedLog()`, and starts at or below `appliedLsn()`.
   * @throws {WALOperationError} if a record is one of the application.
   */
  applyBatch(records: readonly WALRecordFields[], run?: AppliedRun): void {
    checkRun(records);
    checkRunLog(records, run, this.#applied, this.#appliedLog);
    const first = firstMissing(records, this.#applied);
    if (first === records.length) return;
    const pairs = this.#pairs;
    const pair = this.#pair;
    // Memory may run out here, before the first change.
    pairs.reserve(pairs.size + records.length - first);
    // Not applyRecord(), because that takes a twentieth longer on Deno.
    for (let i = first; i < records.length; i++) {
      const record = records[i]!;
      const { opType } = record;
      if (opType === OpType.Insert) pairs.insert(pair.take(record));
      else if (opType === OpType.Delete) pairs.delete(pair.take(record));
      else if (opType === OpType.DeleteValue) pairs.deleteValue(pair.take(record));
      else if (opType === OpType.Replace) {
        pairs.delete(pair.take(record));
        pairs.insert(pair);
      } else opType satisfies typeof OpType.Checkpoint | ApplicationOpType; // the compiler asks for each new operation
    }
    this.#applied = records[records.length - 1]!.lsn;
    if (run !== undefined) this.#appliedLog = run.logId;
  }

  /**
   * Whether a key has any value.
   *
   * @throws {TypeError} or {RangeError} if a half is not a bigint from 0 to 2^64 − 1.
   */
  has(keyHigh: bigint, keyLow: bigint): boolean;
  /** Whether a key has this value. As for a key alone. */
  has(keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint): boolean;
  has(keyHigh: bigint, keyLow: bigint, valueHigh?: bigint, valueLow?: bigint): boolean {
    if (valueHigh === undefined || valueLow === undefined) {
      checkStoreKey(keyHigh, keyLow);
      return this.#pairs.hasKey(this.#pair.setKey(keyHigh, keyLow));
    }
    checkStorePair(keyHigh, keyLow, valueHigh, valueLow);
    return this.#pairs.has(this.#pair.set(keyHigh, keyLow, valueHigh, valueLow));
  }

  /**
   * A key's values, in no order; none if there is no such key.
   *
   * @throws {TypeError} or {RangeError} as {@linkcode MemoryStore.has}.
   */
  values(keyHigh: bigint, keyLow: bigint): Value[] {
    checkStoreKey(keyHigh, keyLow);
    return this.#pairs.values(this.#pair.setKey(keyHigh, keyLow));
  }

  /**
   * Every key with each of its values, in no order. Pairs that are added or removed meanwhile may
   * be among them or not.
   */
  entries(): IterableIterator<Entry> {
    return this.#pairs.entries();
  }

  /** As {@linkcode MemoryStore.entries}. */
  [Symbol.iterator](): IterableIterator<Entry> {
    return this.entries();
  }

  /**
   * Removes everything and forgets what was applied, as in a new store. A running consumer goes on
   * from where it is.
   */
  clear(): void {
    this.#pairs = new PairTable();
    this.#applied = 0;
    this.#appliedLog = null;
  }

  #lacks(record: WALRecordFields | undefined): boolean {
    return record === undefined || record.lsn > this.#applied;
  }

  #noteApplied(record: WALRecordFields | undefined): void {
    if (record !== undefined) this.#applied = record.lsn;
  }
}
