/**
 * Several logs in one directory, as one: each key has its shard, and each shard its log. So records
 * of one key stay in order, and those of different shards do not wait for each other.
 *
 * @example Log to four shards, and feed a store for each
 * ```ts
 * import { openShards } from "@cidstore/wal/shards";
 * import { MemoryStore } from "@cidstore/wal/stores/memory";
 *
 * // A directory, or null for memory.
 * await using shards = openShards(null, { shards: 4, size: 65536 });
 * await Promise.all([1n, 2n, 3n].map((n) => shards.logInsert(0xfeedn, n, 0xcafen, n)));
 *
 * const stores = Array.from({ length: 4 }, () => new MemoryStore());
 * await using consumers = shards.consume((shard) => stores[shard]!);
 * await shards.whenApplied();
 * console.log(stores[shards.shardOf(0xfeedn, 2n)]!.has(0xfeedn, 2n)); // true
 * ```
 *
 * @module
 */

import { checkBytes } from "./arguments/bytes.ts";
import { type Batch, readDeletes, readInserts, readItems, releaseBatch } from "./arguments/items.ts";
import { checkInteger, isU64 } from "./arguments/numbers.ts";
import { type ShardsOptions, type TakenShards, takeShards } from "./arguments/shards.ts";
import { ID_BYTES } from "./format/big_endian.ts";
import { MIXED_BYTES, OPCODE_BYTES } from "./format/packed_items.ts";
import type {
  ApplicableStore,
  ApplicationOpType,
  BatchItem,
  ConsumeOptions,
  DeleteItem,
  HybridTimeInput,
  InsertBytes,
  InsertItem,
  LSN,
  U64,
} from "./types.ts";
import { logBatch, logBatchSync, type WAL } from "./wal.ts";
import { consumeShards, type ShardsConsumption } from "./shards/consumption.ts";
import { recoverInWorkers } from "./shards/recovery_workers.ts";
import { openShardFiles, type OpenShards, type Recovered } from "./shards/shard_files.ts";
import { shardAt, shardOf, shardOfBytes, shardOfHalves } from "./shards/shard_key.ts";
import { type ShardsStats, statisticsOfShards } from "./shards/statistics.ts";

export { WALShardsError } from "./errors.ts";
export type { ShardsOptions } from "./arguments/shards.ts";
export type {
  ApplicableStore,
  ApplicationOpType,
  BatchItem,
  ConsumeOptions,
  DeleteItem,
  HybridTimeInput,
  InsertBytes,
  InsertItem,
  LSN,
  U64,
  WALOptions,
  WALShardsFault,
  WALStats,
} from "./types.ts";
export type { WAL } from "./wal.ts";
export type { ShardsConsumption } from "./shards/consumption.ts";
export { shardOf } from "./shards/shard_key.ts";
export type { ShardsStats } from "./shards/statistics.ts";

/** A key: two halves of 64 bits, or 16 bytes, big-endian. */
export type KeyArguments = [keyHigh: U64, keyLow: U64] | [key: Uint8Array];

/** A key, and the hybrid time of the record, as the methods of `WAL` take them. */
export type DeleteArguments =
  | [keyHigh: U64, keyLow: U64, time?: HybridTimeInput]
  | [key: Uint8Array, time?: HybridTimeInput];

/** A key, a value and the hybrid time of the record, as the methods of `WAL` take them. */
export type PairArguments =
  | [keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput]
  | [key: Uint8Array, value: Uint8Array, time?: HybridTimeInput];

/** The first form of each, because a method of `WAL` takes both forms but not their union. */
type DeleteHalves = [keyHigh: U64, keyLow: U64, time?: HybridTimeInput];
type PairHalves = [keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput];

/**
 * Opens the shards of a directory, and makes them if there are none. They are recovered one after
 * another; {@linkcode openShardsAsync} recovers them side by side.
 *
 * A crash while shards are made leaves a set that the next opening finishes. The directory itself
 * is not made.
 *
 * @param directory the directory, which holds nothing else; `null` for memory. The files in it are
 * named `shard-0000.wal` and so on.
 * @throws {WALShardsError} if the directory has another number of shards, lacks a shard that was
 * used, or has a file that is not the shard that belongs there. No shard stays open, and none is
 * made.
 * @throws as {@linkcode WAL.open}. Then no shard stays open.
 * @throws {TypeError} or {RangeError} if an argument cannot be used.
 *
 * @example
 * ```ts
 * import { openShards } from "@cidstore/wal/shards";
 *
 * using shards = openShards(null, { shards: 4, size: 65536 });
 * shards.logInsertSync(1, 2, 3, 4);
 * shards.flush();
 * console.log(shards.stats().appended); // 1
 * ```
 */
export function openShards(directory: string | URL | null, options: ShardsOptions = {}): Shards {
  return open(takeShards(directory, options));
}

/**
 * As {@linkcode openShards}, but large shards that were not closed are recovered side by side
 * before, each in a worker, at most one for each processor. The event loop goes on meanwhile.
 *
 * Workers only save time. Where they cannot help, shards are recovered as in `openShards()`: in a
 * bundle, without the right to start workers, with the option `now` or `storage`, and below
 * 512 MiB of shards to recover, where workers save less than their start takes. A shard that the
 * option `verify` or `recovery` has verified whole counts as one to recover.
 *
 * @returns a promise that rejects with what `openShards()` throws.
 *
 * @example
 * ```ts
 * import { openShardsAsync } from "@cidstore/wal/shards";
 *
 * await using shards = await openShardsAsync(null, { shards: 4, size: 65536 });
 * await shards.logInsert(1, 2, 3, 4);
 * console.log(shards.logs.every((log) => log.recovery.created)); // true
 * ```
 */
export async function openShardsAsync(directory: string | URL | null, options: ShardsOptions = {}): Promise<Shards> {
  const given = takeShards(directory, options);
  return open(given, await recoverInWorkers(given));
}

function open(given: TakenShards, recovered?: Recovered): Shards {
  const { shards, logs } = openShardFiles(given, recovered);
  return new Shards(given.directory, shards, logs);
}

/**
 * The logs of a directory that are open here. Each append goes to the log of its key. LSNs are
 * those of that log, and say nothing about the order of records in different shards.
 *
 * @example Log to the shard of each key, and look at one of the logs
 * ```ts
 * import { openShards } from "@cidstore/wal/shards";
 *
 * await using shards = openShards(null, { shards: 2, size: 65536 });
 * await shards.logInsert(1, 2, 3, 4);
 * const log = shards.log(shards.shardOf(1, 2));
 * console.log(log.replay().length, log.durable); // 1 1
 * ```
 */
export class Shards implements Disposable, AsyncDisposable {
  /** The directory's absolute path; null for memory. */
  readonly directory: string | null;
  /** How many shards the set has, open here or not. */
  readonly shards: number;
  readonly #logs: OpenShards;
  /** The log of each shard, for appends: V8 takes 80 ns to find it in a map. */
  readonly #ofShard: readonly (WAL | undefined)[];
  /** The copy of an earlier append's key; null while an append uses it. */
  #spareKey: Uint8Array | null = null;
  /** The logs that are open here, in the order of the shards. */
  readonly logs: readonly WAL[];

  /** Made by `openShards()`. */
  constructor(directory: string | null, shards: number, logs: ReadonlyMap<number, WAL>) {
    this.directory = directory;
    this.shards = shards;
    this.#logs = logs;
    this.#ofShard = Array.from({ length: shards }, (_, shard) => logs.get(shard));
    this.logs = [...logs.values()];
  }

  /**
   * The log of a shard, for all that is done to one log: read, back up, resize, follow. Append to
   * it only what belongs there: the log does not check keys.
   *
   * @throws {RangeError} if the shard is not open here.
   * @throws {TypeError} if it is no number.
   */
  log(shard: number): WAL {
    checkInteger(shard, "shard", 0, this.shards - 1);
    return this.#opened(shard, "");
  }

  /** The shard of a key. @throws as {@linkcode shardOf}. */
  shardOf(...key: KeyArguments): number {
    const [first, second] = key;
    return key.length === 1 && !isU64(first)
      ? shardOf(first as Uint8Array, this.shards)
      : shardOf(first as U64, second as U64, this.shards);
  }

  /**
   * As {@linkcode WAL.logInsert}, in the log of the key. The same for all methods that append.
   *
   * @throws {RangeError} also if the key's shard is not open here.
   */
  logInsert(...given: PairArguments): Promise<void> {
    return this.#later(given, (wal, [a, b, c, d, time]: PairHalves) => wal.logInsert(a, b, c, d, time));
  }

  /** As {@linkcode WAL.logDelete}. */
  logDelete(...given: DeleteArguments): Promise<void> {
    return this.#later(given, (wal, [a, b, time]: DeleteHalves) => wal.logDelete(a, b, time));
  }

  /** As {@linkcode WAL.logDeleteValue}. */
  logDeleteValue(...given: PairArguments): Promise<void> {
    return this.#later(given, (wal, [a, b, c, d, time]: PairHalves) => wal.logDeleteValue(a, b, c, d, time));
  }

  /** As {@linkcode WAL.logReplace}. */
  logReplace(...given: PairArguments): Promise<void> {
    return this.#later(given, (wal, [a, b, c, d, time]: PairHalves) => wal.logReplace(a, b, c, d, time));
  }

  /** As {@linkcode WAL.logOperation}. */
  logOperation(code: ApplicationOpType, ...given: PairArguments): Promise<void> {
    return this.#later(given, (wal, [a, b, c, d, time]: PairHalves) => wal.logOperation(code, a, b, c, d, time));
  }

  /** As {@linkcode WAL.logInsertSync}. @returns the record's LSN in the log of its shard. */
  logInsertSync(...given: PairArguments): LSN {
    return this.#now(given, (wal, [a, b, c, d, time]: PairHalves) => wal.logInsertSync(a, b, c, d, time));
  }

  /** As {@linkcode WAL.logDeleteSync}. */
  logDeleteSync(...given: DeleteArguments): LSN {
    return this.#now(given, (wal, [a, b, time]: DeleteHalves) => wal.logDeleteSync(a, b, time));
  }

  /** As {@linkcode WAL.logDeleteValueSync}. */
  logDeleteValueSync(...given: PairArguments): LSN {
    return this.#now(given, (wal, [a, b, c, d, time]: PairHalves) => wal.logDeleteValueSync(a, b, c, d, time));
  }

  /** As {@linkcode WAL.logReplaceSync}. */
  logReplaceSync(...given: PairArguments): LSN {
    return this.#now(given, (wal, [a, b, c, d, time]: PairHalves) => wal.logReplaceSync(a, b, c, d, time));
  }

  /** As {@linkcode WAL.logOperationSync}. */
  logOperationSync(code: ApplicationOpType, ...given: PairArguments): LSN {
    return this.#now(given, (wal, [a, b, c, d, time]: PairHalves) => wal.logOperationSync(code, a, b, c, d, time));
  }

  /**
   * As {@linkcode WAL.batchInsert}, for items of one shard. A batch is all or nothing in one log,
   * so a batch that spans shards is refused. Give each shard a batch of its own.
   *
   * @returns the LSN of the last item in the log of its shard; 0 for an empty batch.
   * @throws {RangeError} also if the keys belong to different shards, or their shard is not open
   * here.
   */
  batchInsert(items: Iterable<InsertItem | InsertBytes> | Uint8Array): Promise<LSN> {
    return this.#batch(() => readInserts(items));
  }

  /** As {@linkcode WAL.batchDelete}, and {@linkcode Shards.batchInsert}. */
  batchDelete(items: Iterable<DeleteItem | Uint8Array> | Uint8Array): Promise<LSN> {
    return this.#batch(() => readDeletes(items));
  }

  /** As {@linkcode WAL.batch}, and {@linkcode Shards.batchInsert}. */
  batch(items: Iterable<BatchItem>, time?: HybridTimeInput): Promise<LSN> {
    return this.#batch(() => readItems(items), time);
  }

  /** As {@linkcode WAL.batchInsertSync}, and {@linkcode Shards.batchInsert}. */
  batchInsertSync(items: Iterable<InsertItem | InsertBytes> | Uint8Array): LSN {
    return this.#batchSync(readInserts(items));
  }

  /** As {@linkcode WAL.batchDeleteSync}, and {@linkcode Shards.batchInsert}. */
  batchDeleteSync(items: Iterable<DeleteItem | Uint8Array> | Uint8Array): LSN {
    return this.#batchSync(readDeletes(items));
  }

  /** As {@linkcode WAL.batchSync}, and {@linkcode Shards.batchInsert}. */
  batchSync(items: Iterable<BatchItem>, time?: HybridTimeInput): LSN {
    return this.#batchSync(readItems(items), time);
  }

  /**
   * Makes everything appended durable before it returns, one log after the other. All logs are
   * tried, and then the first error is thrown.
   *
   * @throws as {@linkcode WAL.flush}.
   */
  flush(): void {
    this.#each((wal) => wal.flush());
  }

  /** Resolves when everything appended before the call is durable. The logs sync side by side. */
  flushAsync(): Promise<void> {
    return this.#all((wal) => wal.flushAsync());
  }

  /** As `flushAsync()`. For one record, ask the log of its shard: `log(shard).whenDurable(lsn)`. */
  whenDurable(): Promise<void> {
    return this.#all((wal) => wal.whenDurable());
  }

  /**
   * Resolves when the consumers that run have applied all records. As {@linkcode WAL.whenApplied}.
   */
  whenApplied(): Promise<void> {
    return this.#all((wal) => wal.whenApplied());
  }

  /**
   * Starts a consumer for each log that is open here, as `consume()` does for one.
   *
   * @param storeOf gives the store of a shard. Each shard needs its own, because a store belongs to
   * one log.
   * @param options for each of the consumers.
   * @throws {TypeError} if `storeOf` is no function, or what it throws. Then no consumer has
   * started.
   */
  consume(storeOf: (shard: number) => ApplicableStore, options: ConsumeOptions | number = {}): ShardsConsumption {
    return consumeShards(this.#logs, storeOf, options);
  }

  /**
   * The figures of all logs that are open here, and their sums.
   *
   * @throws {WALClosedError} if a log is closed.
   */
  stats(): ShardsStats {
    return statisticsOfShards(this.directory, this.shards, this.#logs);
  }

  /** Closes all logs, as {@linkcode WAL.close}. All are tried, then the first error is thrown. */
  close(): void {
    this.#each((wal) => wal.close());
  }

  /** As `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** As {@linkcode WAL}'s, for all logs side by side. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#all((wal) => wal[Symbol.asyncDispose]());
  }

  #later<Given extends unknown[]>(given: unknown[], append: (wal: WAL, given: Given) => Promise<void>): Promise<void> {
    try {
      return this.#now(given, append);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Appends to the log of a key. Any log refuses what is no key. */
  #now<Given extends unknown[], T>(given: unknown[], append: (wal: WAL, given: Given) => T): T {
    const [first, second] = given;
    if (isU64(first) && isU64(second)) {
      return append(this.#opened(shardOfHalves(first, second, this.shards)), given as Given);
    }
    if (isU64(first) || !isKey(first)) return append(this.logs[0]!, given as Given);
    return this.#withCopy(first, (key) => {
      given[0] = key;
      return append(this.#opened(shardOfBytes(key, this.shards)), given as Given);
    });
  }

  /**
   * Appends with a copy of a key: reading a time or a clock may run code of the caller, and a key
   * that this code changes would get into the log of another shard. A log that waits for room makes
   * a copy of its own.
   */
  #withCopy<T>(given: Uint8Array, append: (key: Uint8Array) => T): T {
    const key = this.#spareKey ?? new Uint8Array(ID_BYTES);
    this.#spareKey = null; // that code may append to these shards, too
    for (let i = 0; i < ID_BYTES; i++) key[i] = given[i]!;
    try {
      return append(key);
    } finally {
      this.#spareKey = key;
    }
  }

  #opened(shard: number, what = "the key is of "): WAL {
    const wal = this.#ofShard[shard];
    if (wal !== undefined) return wal;
    throw new RangeError(`Cannot use the log of shard ${shard}: ${what}shard ${shard}, which is not open here`);
  }

  #batch(read: () => Batch, time?: HybridTimeInput): Promise<LSN> {
    try {
      const batch = read();
      const wal = this.#logOfBatch(batch);
      return wal === null ? Promise.resolve(0) : logBatch(wal, batch, time);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #batchSync(batch: Batch, time?: HybridTimeInput): LSN {
    const wal = this.#logOfBatch(batch);
    return wal === null ? 0 : logBatchSync(wal, batch, time);
  }

  /** The log of all keys of a batch; null if it is empty. */
  #logOfBatch(batch: Batch): WAL | null {
    const { view, count, itemBytes } = batch;
    if (count === 0) {
      releaseBatch(batch);
      return null;
    }
    const keyAt = itemBytes === MIXED_BYTES ? OPCODE_BYTES : 0;
    const shard = shardAt(view, keyAt, this.shards);
    for (let item = 1; item < count; item++) {
      const other = shardAt(view, keyAt + item * itemBytes, this.shards);
      if (other === shard) continue;
      releaseBatch(batch);
      throw new RangeError(
        `Cannot append a batch: item 0 is of shard ${shard}, and item ${item} of shard ${other}; ` +
          "a batch is all or nothing in one shard, so give each shard its own",
      );
    }
    return this.#opened(shard);
  }

  #each(act: (wal: WAL) => void): void {
    const errors: unknown[] = [];
    for (const wal of this.logs) {
      try {
        act(wal);
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  async #all(act: (wal: WAL) => Promise<void>): Promise<void> {
    const outcomes = await Promise.allSettled(this.logs.map(act));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }
}

function isKey(value: unknown): value is Uint8Array {
  try {
    checkBytes(value, "key");
    return true;
  } catch {
    return false;
  }
}
