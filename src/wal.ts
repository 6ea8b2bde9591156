// WAL: what callers hold. A WAL checks their arguments, and can be opened and closed many times.

import process from "node:process";
import { diskReading, diskStorage } from "../ffi/storage.ts";
import { encodedRun } from "./engine/encoded_run.ts";
import { publishOpening } from "./engine/events.ts";
import { HybridClock } from "./engine/hybrid_clock.ts";
import { WallClock } from "./engine/wall_clock.ts";
import { takeFollowing } from "./arguments/follow.ts";
import { Follower } from "./follow/follower.ts";
import { inspectLog } from "./follow/inspection.ts";
import { checkConsumerName, takeConsumer, takeConsumerName, type TakenConsumer } from "./arguments/consumer.ts";
import { narrowed, newestAt } from "./read/by_time.ts";
import { copyRecords, iterateRecords } from "./read/copies.ts";
import { type Cursor, RingCursor } from "./read/cursor.ts";
import { WALClosedError } from "./errors.ts";
import { type Batch, keepBatch, readDeletes, readInserts, readItems, releaseBatch } from "./arguments/items.ts";
import { Log } from "./log.ts";
import { NO_ROOM } from "./engine/appender.ts";
import type { RingMemory } from "./engine/ring_memory.ts";
import { checkRange, nanosOf, takeRange, takeThrough } from "./arguments/range.ts";
import { statisticsOf } from "./statistics.ts";
import { checkBytes, checkPairBytes, copyOf, isObject } from "./arguments/bytes.ts";
import { checkCode, checkKey, checkPair, isU64, takeTime } from "./arguments/numbers.ts";
import type { Header, SetPlace } from "./format/header.ts";
import { type LogRequest, openLog, peekAt } from "./recovery/open.ts";
import { resize } from "./recovery/resizing.ts";
import { closeOfEarlierEvaluation, forgetOpen, rememberOpen } from "./open_logs.ts";
import { type CheckedOptions, checkOptions, checkSize } from "./arguments/options.ts";
import { checkFilePath, checkPath } from "./arguments/paths.ts";
import {
  type ApplicableStore,
  type ApplicationOpType,
  type BackupOptions,
  type BatchItem,
  type ConsumeOptions,
  type DeleteItem,
  type EncodedRun,
  type FollowOptions,
  type HalfOrBytes,
  type HybridTime,
  type HybridTimeInput,
  type InsertBytes,
  type InsertItem,
  type LogInspection,
  type LSN,
  OpType,
  type RecordRange,
  type RecoveryReport,
  type U64,
  type WALOptions,
  type WALRecord,
  type WALStats,
  type WhenAppliedOptions,
} from "./types.ts";

/** The highest LSN that is in the store of a consumer, as its handle tells. */
export let appliedBy: (wal: WAL, name: string) => LSN;
/**
 * A log that is not open yet, and that each opening refuses by throwing from `admit`. With the
 * report of a worker that has just recovered the log, the first opening reports that.
 */
export let refusableLog: (
  path: string,
  options: WALOptions,
  admit: LogRequest["admit"],
  recovered?: RecoveryReport,
) => WAL;
/**
 * The newest header of a log that is not opened. With a place, the log is made if there is none.
 */
export let peek: (wal: WAL, place?: SetPlace) => Header;
/** Appends items that were read already, as `batch()`. */
export let logBatch: (wal: WAL, batch: Batch, time?: HybridTimeInput) => Promise<LSN>;
/** Appends items that were read already, as `batchSync()`. */
export let logBatchSync: (wal: WAL, batch: Batch, time?: HybridTimeInput) => LSN;

/**
 * A write-ahead log in a preallocated, memory-mapped ring file.
 *
 * Only one instance, in one process, has a log open at a time. LSN order is the order of appending.
 * Always `tail - 1 <= applied <= durable < head` and `head - tail <= capacity`.
 *
 * @example Log, and wait until it is durable
 * ```ts
 * import { WAL } from "@cidstore/wal";
 *
 * await using wal = WAL.open(null); // a path, or null for memory
 * await wal.logInsert(0x1234n, 1, 0xabcdn, 2);
 * for (const { keyHigh } of wal.replay()) console.log(keyHigh); // 4660n
 * ```
 */
export class WAL implements Disposable, AsyncDisposable {
  static {
    appliedBy = (wal, name) => {
      const log = wal.#log;
      return log === null ? 0 : log.consumers.runner(name).feed.standing.applied;
    };
    refusableLog = (path, options, admit, recovered) => {
      const wal = new WAL(path, options);
      wal.#admit = admit;
      wal.#recovered = recovered;
      return wal;
    };
    peek = (wal, place) => {
      wal.#wall.read();
      return peekAt({ ...wal.#request(), create: place !== undefined, place });
    };
    logBatch = (wal, batch, time) => wal.#batch(() => batch, time);
    logBatchSync = (wal, batch, time) => wal.#batchSync(batch, time);
  }

  readonly #path: string | null;
  readonly #options: CheckedOptions;
  readonly #wall: WallClock;
  /**
   * Where the first opening found or made the log. Later openings use this path, so they do not
   * follow symbolic links that were changed meanwhile.
   */
  #realPath: string | null = null;
  /** Refuses a log by its header. */
  #admit: LogRequest["admit"];
  /** What a worker found before the first opening. */
  #recovered: RecoveryReport | undefined;
  /** The last opening, open or closed; null before the first one. */
  #log: Log | null = null;

  /**
   * A log that is not open yet. No file is touched.
   *
   * @param path the log's file; `null` for anonymous memory, which lasts until `close()`. A
   * relative path starts at the working directory of this call, not of `open()`.
   * @throws {TypeError} or {RangeError} if an argument cannot be used.
   * @throws {WALNotFoundError} if the path is relative and the working directory was deleted.
   * @throws {WALPermissionError} if the path is relative and the runtime does not tell the working
   * directory.
   */
  constructor(path: string | URL | null = null, options: WALOptions = {}) {
    // An `undefined` that is given is refused, because it may be a path that was not set.
    this.#path = checkPath(arguments.length > 0 ? arguments[0] : path);
    this.#options = checkOptions(options);
    const { now, monotonic, maxClockDriftMs } = this.#options;
    this.#wall = new WallClock(new HybridClock(), now, monotonic ?? undefined, maxClockDriftMs);
  }

  /**
   * Constructs and opens.
   *
   * @throws what the constructor and `open()` throw.
   */
  static open(path: string | URL | null, options?: WALOptions): WAL;
  // `deno doc` omits a method whose name a static method also has, unless both have a signature
  // without a body.
  static open(path: string | URL | null, options: WALOptions = {}): WAL {
    const wal = new WAL(path, options);
    wal.open();
    return wal;
  }

  /**
   * Reads a log that is open elsewhere, or that cannot be written: see {@linkcode Follower}. It is
   * the read-only way to open a log. It takes no lock, and needs permission to read the file only.
   *
   * @param path the log's file. A symbolic link is followed once, at this call.
   * @throws {WALNotFoundError} if there is no such file.
   * @throws {WALFormatError} if the file is not a log, or a log of a later version.
   * @throws {WALCorruptError} if both header copies are damaged, or the file was cut.
   * @throws {WALPermissionError} if the runtime or the system denies reading.
   * @throws {WALIOError} if the system reports something else.
   * @throws {TypeError} or {RangeError} if an argument cannot be used.
   */
  static follow(path: string | URL, options: FollowOptions = {}): Follower {
    const at = checkFilePath(path);
    return new Follower(at, takeFollowing(options), { reading: diskReading(), storage: diskStorage });
  }

  /**
   * Figures of a log's file, without opening the log: positions, fill, times, warnings. It reads a
   * few pages, takes no lock, and works while the log is open elsewhere.
   *
   * @throws as {@linkcode WAL.follow}.
   *
   * @example
   * ```ts
   * import { WAL } from "@cidstore/wal";
   *
   * const path = "inspect-example.wal";
   * WAL.open(path).close();
   * const { clean, capacity, warnings } = WAL.inspect(path);
   * console.log(clean, capacity, warnings); // true 1048320 []
   * ```
   */
  static inspect(path: string | URL): LogInspection {
    return inspectLog(checkFilePath(path), diskReading());
  }

  /**
   * Opens the log, and makes it if there is none. After a crash it recovers the log (see
   * `recovery`). No-op if the log is open. A log that was closed is opened again where the first
   * opening found it. `stats().warnings` says if another log is there by now.
   *
   * A reload may evaluate this module again in the same thread, from the same URL (`bun --hot`).
   * Then `open()` closes the log that the earlier evaluation left open, and takes its place. Deno,
   * except in workers, dispatches `unload` before a reload and at the end, which closes open logs.
   *
   * @throws {WALLockedError} if another opener holds the log's lock.
   * @throws {WALFormatError} if the file is not a log, or a log of a later version.
   * @throws {WALCorruptError} if acknowledged data is damaged; the file is left as it is.
   * @throws {WALNotFoundError} if a directory is missing, or if the file is missing and `create` is
   * false.
   * @throws {WALPermissionError} if the runtime or the system denies access.
   * @throws {WALSpaceError} if there is no space for the log.
   * @throws {WALFileSystemError} if the file system cannot be trusted with a shared mapping.
   * @throws {WALPlatformError} if the platform is not supported.
   * @throws {WALSyncError} if what was recovered cannot be made durable.
   */
  open(): void;
  open(): void {
    if (this.isOpen) return;
    this.#wall.restart();
    this.#wall.read();
    if (this.isOpen) return; // the caller's clock opened the log
    const options = this.#options;
    const request = this.#request();
    const { path } = request;
    const isOnDisk = path !== null && options.storage === diskStorage;
    if (isOnDisk) closeOfEarlierEvaluation(path);
    const startMs = performance.now();
    const tell = (error: unknown) =>
      publishOpening(() => ({
        path,
        logId: this.logId,
        recovery: error === null ? this.recovery : null,
        error,
        durationMs: performance.now() - startMs,
      }));
    try {
      this.#log = new Log(openLog(request), options, this.#wall);
    } catch (error) {
      tell(error);
      throw error;
    }
    this.#realPath = this.#log.path;
    tell(null);
    if (isOnDisk) rememberOpen(this.#log);
  }

  #request(): LogRequest {
    const options = this.#options;
    const path = this.#realPath ?? this.#path;
    return {
      path,
      lastId: this.#log?.header.lineage.logId ?? null,
      storage: options.storage,
      sizeBytes: options.size,
      sizeIsGiven: options.sizeIsGiven,
      create: options.create,
      salvage: options.recovery === "salvage",
      verify: options.verify,
      barrierOnly: options.durability === "barrier",
      allowUnsafeFileSystem: options.allowUnsafeFileSystem,
      nowNanos: this.#wall.nanos,
      pid: process.pid,
      admit: this.#admit,
      recovered: this.#log === null ? this.#recovered : undefined,
    };
  }

  /**
   * Makes everything appended durable, marks the log clean, and releases its file and its lock. A
   * consumer ends at once, without waiting for a running call to its store. No-op if the log is
   * closed.
   *
   * @throws {WALSyncError} or {WALFileGoneError} if appended records are not durable; the log is
   * closed all the same.
   */
  close(): void {
    if (this.#log !== null) closeLog(this.#log);
  }

  /** As `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Stops the consumer and waits until it has ended: for up to `closeTimeoutMs`, if a call to its
   * store does not return. Then it makes everything appended durable without holding the event
   * loop, and closes.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const log = this.#log;
    if (log === null) return;
    await log.consumers.stop(this.#options.closeTimeoutMs);
    // close() reports what cannot be made durable.
    if (log.health.isOpen) await log.commit.whenDurable().catch(() => {});
    closeLog(log);
  }

  /**
   * Logs an insert and resolves when the record is durable: neither a crash nor power loss can take
   * it then. Waiting calls share one sync and resolve in LSN order.
   *
   * @param keyHigh upper 64 bits of the key: a bigint from 0 to 2^64 − 1, or a number that is a
   * safe integer ≥ 0.
   * @param keyLow lower 64 bits of the key.
   * @param valueHigh upper 64 bits of the value.
   * @param valueLow lower 64 bits of the value.
   * @param time hybrid logical time, not before the log's last one. By default the log's own clock
   * gives the time. If the append waits for room, `time` is checked after the wait.
   * @throws {RangeError} or {TypeError} if an argument cannot be used; nothing is written.
   * @throws {WALFullError} if no slot is free and no consumer runs, or if no slot became free in
   * time. If the consumer failed, `cause` is the error of the consumer or of its store.
   * @throws {WALSyncError} if this sync or an earlier one failed; only reopening helps.
   * @throws {WALFileGoneError} if the file was deleted, replaced or cut.
   * @throws {WALClosedError} if the log is closed.
   */
  logInsert(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): Promise<void>;
  /**
   * As above, with a key and a value in bytes. No bigint is made of them.
   *
   * The bytes are read once, at the call, and a later change of them changes nothing.
   *
   * @param key 16 bytes, big-endian: the order in which a hash or a UUID is written. So `keyHigh`
   * is bytes 0 to 7.
   * @param value 16 bytes, big-endian.
   * @throws {TypeError} if key or value is no `Uint8Array`, or is in shared or resizable memory;
   * nothing is written.
   * @throws {RangeError} if key or value is not 16 bytes long; nothing is written.
   */
  logInsert(key: Uint8Array, value: Uint8Array, time?: HybridTimeInput): Promise<void>;
  logInsert(
    key: HalfOrBytes,
    second: HalfOrBytes,
    third?: U64 | HybridTimeInput,
    valueLow?: U64,
    time?: HybridTimeInput,
  ): Promise<void> {
    if (!isU64(key) || !isU64(second) || !isU64(third) || !isU64(valueLow)) {
      return this.#logBytes(OpType.Insert, key, second, third, valueLow);
    }
    return this.#append(OpType.Insert, key, second, third, valueLow, time);
  }

  /** Logs the removal of a key with all its values. As {@linkcode WAL.logInsert}. */
  logDelete(keyHigh: U64, keyLow: U64, time?: HybridTimeInput): Promise<void>;
  /** As above, with a key of 16 bytes, big-endian. */
  logDelete(key: Uint8Array, time?: HybridTimeInput): Promise<void>;
  logDelete(key: HalfOrBytes, second?: U64 | HybridTimeInput, time?: HybridTimeInput): Promise<void> {
    let taken: HybridTime | undefined;
    try {
      taken = this.#takeKey(key, second, time);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#appendTaken(OpType.Delete, key, second as U64, 0, 0, taken);
  }

  /** Logs the removal of one value of a key. As {@linkcode WAL.logInsert}. */
  logDeleteValue(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): Promise<void>;
  /** As above, with a key and a value of 16 bytes, big-endian. */
  logDeleteValue(key: Uint8Array, value: Uint8Array, time?: HybridTimeInput): Promise<void>;
  logDeleteValue(
    key: HalfOrBytes,
    second: HalfOrBytes,
    third?: U64 | HybridTimeInput,
    valueLow?: U64,
    time?: HybridTimeInput,
  ): Promise<void> {
    if (!isU64(key) || !isU64(second) || !isU64(third) || !isU64(valueLow)) {
      return this.#logBytes(OpType.DeleteValue, key, second, third, valueLow);
    }
    return this.#append(OpType.DeleteValue, key, second, third, valueLow, time);
  }

  /**
   * Logs that a value is the only one of a key from now on. It is one record, so no crash leaves
   * the key without a value or with two. As {@linkcode WAL.logInsert}.
   *
   * A consumer's store applies it with `replace()`, or with `applyBatch()`.
   */
  logReplace(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): Promise<void>;
  /** As above, with a key and a value of 16 bytes, big-endian. */
  logReplace(key: Uint8Array, value: Uint8Array, time?: HybridTimeInput): Promise<void>;
  logReplace(
    key: HalfOrBytes,
    second: HalfOrBytes,
    third?: U64 | HybridTimeInput,
    valueLow?: U64,
    time?: HybridTimeInput,
  ): Promise<void> {
    if (!isU64(key) || !isU64(second) || !isU64(third) || !isU64(valueLow)) {
      return this.#logBytes(OpType.Replace, key, second, third, valueLow);
    }
    return this.#append(OpType.Replace, key, second, third, valueLow, time);
  }

  /**
   * Logs a record of the application, such as a split, a merge or a new schema. The log keeps and
   * returns it as any other record. As {@linkcode WAL.logInsert}.
   *
   * A consumer's store applies it with `apply()`, or with `applyBatch()`.
   *
   * @param code the record's opcode, 32 to 63. What it means is up to the application.
   */
  logOperation(
    code: ApplicationOpType,
    keyHigh: U64,
    keyLow: U64,
    valueHigh: U64,
    valueLow: U64,
    time?: HybridTimeInput,
  ): Promise<void>;
  /** As above, with a key and a value of 16 bytes, big-endian. */
  logOperation(code: ApplicationOpType, key: Uint8Array, value: Uint8Array, time?: HybridTimeInput): Promise<void>;
  logOperation(
    code: ApplicationOpType,
    key: HalfOrBytes,
    second: HalfOrBytes,
    third?: U64 | HybridTimeInput,
    valueLow?: U64,
    time?: HybridTimeInput,
  ): Promise<void> {
    try {
      checkCode(code);
    } catch (error) {
      return Promise.reject(error);
    }
    if (!isU64(key) || !isU64(second) || !isU64(third) || !isU64(valueLow)) {
      return this.#logBytes(code, key, second, third, valueLow);
    }
    return this.#append(code, key, second, third, valueLow, time);
  }

  /**
   * Logs inserts as one batch: after a crash all of them are there or none. As
   * {@linkcode WAL.logInsert}.
   *
   * @param items iterated once, before anything is written. Each number and each byte is read once.
   * If reading an item appends a record, that record comes before the batch. An empty batch
   * writes nothing.
   * @returns the LSN of the last insert, when the batch is durable. For an empty batch, the LSN of
   * the newest record at the call, durable or not; 0 if there never was one.
   * @throws {RangeError} also if the batch is larger than the ring.
   */
  batchInsert(items: Iterable<InsertItem | InsertBytes>): Promise<LSN>;
  /**
   * As above, also with a packed batch, which is read at once.
   *
   * @param packed 32 bytes for each insert, one after another: 16 of the key and 16 of the value,
   * each big-endian.
   * @throws {RangeError} also if its length is no multiple of 32, or if its memory is detached.
   * @throws {TypeError} also if its memory is shared or resizable.
   */
  batchInsert(packed: Uint8Array | Iterable<InsertItem | InsertBytes>): Promise<LSN>;
  batchInsert(items: Iterable<InsertItem | InsertBytes> | Uint8Array): Promise<LSN> {
    return this.#batch(() => readInserts(items));
  }

  /** Logs deletes as one batch. As {@linkcode WAL.batchInsert}. */
  batchDelete(items: Iterable<DeleteItem | Uint8Array>): Promise<LSN>;
  /** As above, also with a packed batch: 16 bytes for each key. */
  batchDelete(packed: Uint8Array | Iterable<DeleteItem | Uint8Array>): Promise<LSN>;
  batchDelete(items: Iterable<DeleteItem | Uint8Array> | Uint8Array): Promise<LSN> {
    return this.#batch(() => readDeletes(items));
  }

  /**
   * Logs any operations together as one batch: after a crash all of them are there or none, and a
   * consumer hands them to its store in one run. As {@linkcode WAL.batchInsert}.
   *
   * @param items what each record does, in order. Each field of an item is read once.
   * @param time the first record's hybrid time, as in {@linkcode WAL.logInsert}. The times of the
   * others follow by sequence number.
   * @throws {TypeError} also if an item is no object, if its `type` is none of those of
   * {@linkcode BatchItem}, or if a `"delete"` has a value. Messages name the item's index.
   *
   * @example Move a key: delete the old one, insert the new one
   * ```ts
   * import { WAL } from "@cidstore/wal";
   * import { hexToBytes } from "@cidstore/wal/keys";
   *
   * const oldPath = hexToBytes("00112233445566778899aabbccddeeff");
   * const newPath = hexToBytes("ffeeddccbbaa99887766554433221100");
   * const file = hexToBytes("0123456789abcdef0123456789abcdef");
   *
   * await using wal = WAL.open(null);
   * await wal.batch([
   *   { type: "delete", key: oldPath },
   *   { type: "insert", key: newPath, value: file },
   * ]);
   * ```
   */
  batch(items: Iterable<BatchItem>, time?: HybridTimeInput): Promise<LSN> {
    return this.#batch(() => readItems(items), time);
  }

  /**
   * Appends an insert without waiting for the medium. The record survives a crash of this process
   * at once. It survives power loss after the next `flush()`.
   *
   * @returns the record's LSN.
   * @throws as {@linkcode WAL.logInsert} rejects; {@linkcode WALFullError} at once if no slot is
   * free.
   */
  logInsertSync(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): LSN;
  /** As above, with a key and a value of 16 bytes, big-endian. */
  logInsertSync(key: Uint8Array, value: Uint8Array, time?: HybridTimeInput): LSN;
  logInsertSync(
    key: HalfOrBytes,
    second: HalfOrBytes,
    third?: U64 | HybridTimeInput,
    valueLow?: U64,
    time?: HybridTimeInput,
  ): LSN {
    if (!isU64(key) || !isU64(second) || !isU64(third) || !isU64(valueLow)) {
      return this.#logBytesSync(OpType.Insert, key, second, third, valueLow);
    }
    return this.#appendSync(OpType.Insert, key, second, third, valueLow, time);
  }

  /** Appends a delete without waiting for the medium. As {@linkcode WAL.logInsertSync}. */
  logDeleteSync(keyHigh: U64, keyLow: U64, time?: HybridTimeInput): LSN;
  /** As above, with a key of 16 bytes, big-endian. */
  logDeleteSync(key: Uint8Array, time?: HybridTimeInput): LSN;
  logDeleteSync(key: HalfOrBytes, second?: U64 | HybridTimeInput, time?: HybridTimeInput): LSN {
    const taken = this.#takeKey(key, second, time);
    return this.#appendTakenSync(OpType.Delete, key, second as U64, 0, 0, taken);
  }

  /**
   * Appends a delete of one value without waiting for the medium. As {@linkcode WAL.logInsertSync}.
   */
  logDeleteValueSync(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): LSN;
  /** As above, with a key and a value of 16 bytes, big-endian. */
  logDeleteValueSync(key: Uint8Array, value: Uint8Array, time?: HybridTimeInput): LSN;
  logDeleteValueSync(
    key: HalfOrBytes,
    second: HalfOrBytes,
    third?: U64 | HybridTimeInput,
    valueLow?: U64,
    time?: HybridTimeInput,
  ): LSN {
    if (!isU64(key) || !isU64(second) || !isU64(third) || !isU64(valueLow)) {
      return this.#logBytesSync(OpType.DeleteValue, key, second, third, valueLow);
    }
    return this.#appendSync(OpType.DeleteValue, key, second, third, valueLow, time);
  }

  /** Appends a replace without waiting for the medium. As {@linkcode WAL.logInsertSync}. */
  logReplaceSync(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): LSN;
  /** As above, with a key and a value of 16 bytes, big-endian. */
  logReplaceSync(key: Uint8Array, value: Uint8Array, time?: HybridTimeInput): LSN;
  logReplaceSync(
    key: HalfOrBytes,
    second: HalfOrBytes,
    third?: U64 | HybridTimeInput,
    valueLow?: U64,
    time?: HybridTimeInput,
  ): LSN {
    if (!isU64(key) || !isU64(second) || !isU64(third) || !isU64(valueLow)) {
      return this.#logBytesSync(OpType.Replace, key, second, third, valueLow);
    }
    return this.#appendSync(OpType.Replace, key, second, third, valueLow, time);
  }

  /**
   * Appends a record of the application without waiting for the medium. As
   * {@linkcode WAL.logInsertSync}.
   */
  logOperationSync(
    code: ApplicationOpType,
    keyHigh: U64,
    keyLow: U64,
    valueHigh: U64,
    valueLow: U64,
    time?: HybridTimeInput,
  ): LSN;
  /** As above, with a key and a value of 16 bytes, big-endian. */
  logOperationSync(code: ApplicationOpType, key: Uint8Array, value: Uint8Array, time?: HybridTimeInput): LSN;
  logOperationSync(
    code: ApplicationOpType,
    key: HalfOrBytes,
    second: HalfOrBytes,
    third?: U64 | HybridTimeInput,
    valueLow?: U64,
    time?: HybridTimeInput,
  ): LSN {
    checkCode(code);
    if (!isU64(key) || !isU64(second) || !isU64(third) || !isU64(valueLow)) {
      return this.#logBytesSync(code, key, second, third, valueLow);
    }
    return this.#appendSync(code, key, second, third, valueLow, time);
  }

  /**
   * Appends inserts as one batch without waiting for the medium.
   *
   * @returns the LSN of the last insert. For an empty batch, the LSN of the newest record, or 0 if
   * there never was one.
   */
  batchInsertSync(items: Iterable<InsertItem | InsertBytes>): LSN;
  /** As above, also with a packed batch: 32 bytes for each insert. */
  batchInsertSync(packed: Uint8Array | Iterable<InsertItem | InsertBytes>): LSN;
  batchInsertSync(items: Iterable<InsertItem | InsertBytes> | Uint8Array): LSN {
    return this.#batchSync(readInserts(items));
  }

  /** Appends deletes as one batch. As {@linkcode WAL.batchInsertSync}. */
  batchDeleteSync(items: Iterable<DeleteItem | Uint8Array>): LSN;
  /** As above, also with a packed batch: 16 bytes for each key. */
  batchDeleteSync(packed: Uint8Array | Iterable<DeleteItem | Uint8Array>): LSN;
  batchDeleteSync(items: Iterable<DeleteItem | Uint8Array> | Uint8Array): LSN {
    return this.#batchSync(readDeletes(items));
  }

  /**
   * Appends any operations together as one batch. As {@linkcode WAL.batchInsertSync}, with the
   * items of {@linkcode WAL.batch}.
   */
  batchSync(items: Iterable<BatchItem>, time?: HybridTimeInput): LSN {
    return this.#batchSync(readItems(items), time);
  }

  /**
   * Makes everything appended durable before it returns. It holds the event loop for one sync.
   *
   * @throws {WALSyncError} {@linkcode WALFileGoneError} {@linkcode WALClosedError}
   */
  flush(): void {
    this.#good("flush").commit.flush();
  }

  /**
   * Resolves when everything appended before the call is durable. As {@linkcode WAL.flush}, without
   * holding the event loop.
   */
  flushAsync(): Promise<void> {
    try {
      return this.#good("flush").commit.whenDurable();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Resolves when a record is durable; at once if it already is. If no sync is under way, it starts
   * one, so it makes records durable that a method ending in `Sync` appended. Waiting calls share
   * one sync with all others.
   *
   * Right after the call of an async method, `head - 1` is its last record's LSN, unless the call
   * waits for room in a full ring or was refused.
   *
   * @param lsn the newest record if left out. 0 stands for no record.
   * @throws {RangeError} or {TypeError} if it is no LSN, or if the record was not appended yet.
   * @throws {WALSyncError} {@linkcode WALFileGoneError} {@linkcode WALClosedError}
   *
   * @example Append many records, then wait once
   * ```ts
   * import { WAL } from "@cidstore/wal";
   *
   * await using wal = WAL.open(null);
   * let lsn = 0;
   * for (let key = 0; key < 100; key++) lsn = wal.logInsertSync(key, 0, 0, 0);
   * await wal.whenDurable(lsn);
   * console.log(wal.durable); // 100
   * ```
   */
  whenDurable(lsn?: LSN): Promise<void> {
    try {
      return this.#good("wait until a record is durable").commit.whenDurable(lsn);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Writes a checkpoint record, and makes it durable with everything before it. A checkpoint says
   * that the store has everything up to `appliedThrough` durably, so the log may release it. It
   * releases nothing by itself unless the ring is full.
   *
   * @param appliedThrough defaults to the LSN up to which a consumer's store is known to have
   * everything durably. While no consumer runs, an LSN below that of an earlier checkpoint counts
   * as the earlier one. An LSN has no log id, so the caller must know that it belongs to this log.
   * @returns the LSN of the checkpoint record.
   * @throws {RangeError} if `appliedThrough` was not appended yet, or is above what the store of a
   * running consumer, or of a consumer with a name, has durably.
   * @throws {WALFullError} if no slot is free, and none can be freed.
   * @throws {WALCorruptError} {@linkcode WALIOError} {@linkcode WALFormatError} if the record at
   * `appliedThrough`, or a record that decides what may be released, is damaged, cannot be read, or
   * is of a later version. Then nothing is confirmed.
   */
  checkpoint(appliedThrough?: LSN): LSN {
    this.#wall.read();
    return this.#opened("write a checkpoint").retention.checkpoint(appliedThrough);
  }

  /**
   * Releases all records up to an LSN, so that their slots can be used again. A batch is released
   * as a whole. Releasing twice is allowed. A later header write stores the new tail, so released
   * records can reappear after a crash.
   *
   * @param confirmedThroughPos the LSN. An LSN has no log id, so the caller must know that it
   * belongs to this log.
   * @throws {RangeError} if it is no integer, or if records up to it are not durable yet. Also if a
   * running consumer, one with a name, or one that has not begun yet holds them.
   * @throws {WALCorruptError} {@linkcode WALIOError} {@linkcode WALFormatError} if the record at
   * `confirmedThroughPos`, or a record that decides where its batch begins, is damaged, cannot be
   * read, or is of a later version. Then nothing is released.
   */
  truncate(confirmedThroughPos: LSN): void {
    this.#opened("truncate").retention.truncate(confirmedThroughPos);
  }

  /**
   * All records from tail to head in LSN order, verified. Each takes 110 to 200 bytes of memory.
   * For a big log see {@linkcode WAL.records} and {@linkcode WAL.cursor}.
   *
   * @throws {WALCorruptError} if one of them is damaged.
   */
  replay(): WALRecord[] {
    const { memory, positions, health } = this.#opened("read");
    health.counts.replays++;
    return copyRecords(memory, positions.tail, positions.last);
  }

  /**
   * Records in LSN order, read piece by piece as the iteration goes on. The generator has `map()`,
   * `filter()`, `take()` and the other methods of iterators.
   *
   * A range of times is found at the call, by {@linkcode WAL.lsnAt}.
   *
   * @throws {RangeError} or {TypeError} if an end of the range is no LSN, or no time.
   * @throws {WALTruncatedError} if the range starts before the tail, or the log releases a record
   * before it is read. A range of times does not say whether the log has released earlier records.
   * @throws {WALCorruptError} if a record is damaged.
   */
  // `any` as in IterableIterator, so that callers need not narrow next().value.
  // deno-lint-ignore no-explicit-any
  records(range: RecordRange = {}): Generator<WALRecord, any, undefined> {
    const { memory, first, last } = this.#readable(range);
    return iterateRecords(memory, first, last);
  }

  /**
   * The records of {@linkcode WAL.records} through one reused object, which reads in place and
   * allocates nothing: see {@linkcode Cursor}.
   */
  cursor(range: RecordRange = {}): Cursor {
    const { memory, first, last } = this.#readable(range);
    return new RingCursor(memory, first, last);
  }

  /**
   * The LSN of the newest record whose time is not after `time`, checkpoints included: what the log
   * had at that time. If all records are later, it is `tail - 1`, which is 0 if nothing was ever
   * released. So with a result below `tail`, the log no longer has what it had at that time.
   *
   * Times ascend with the LSNs (G10), so the log reads and verifies few records: 20 of a million.
   * The log's own clock follows the wall clock. If that was wrong, so are the times of records.
   *
   * @param time a `Date`, or nanoseconds since 1970 as a bigint, as a record's `time[0]`. Of all
   * records with the same nanoseconds, the newest counts. All records of a batch have the same,
   * unless its sequence numbers carry into them.
   * @throws {TypeError} if it is neither.
   * @throws {RangeError} if it is an invalid `Date`, or not from 0 to 2^64 − 1 nanoseconds (1970 to
   * 2554).
   * @throws {WALCorruptError} {@linkcode WALIOError} {@linkcode WALFormatError} if a record that
   * decides is damaged, cannot be read, or is of a later version.
   * @throws {WALClosedError} if the log is closed.
   *
   * @example The records of the last minute
   * ```ts
   * import { WAL } from "@cidstore/wal";
   *
   * using wal = WAL.open(null);
   * wal.logInsertSync(1, 2, 3, 4);
   * const aMinuteAgo = new Date(Date.now() - 60_000);
   * console.log(wal.lsnAt(aMinuteAgo)); // 0
   * console.log([...wal.records({ since: aMinuteAgo })].length); // 1
   * ```
   */
  lsnAt(time: Date | bigint): LSN {
    const nanos = nanosOf(time, "time");
    const { memory, positions, health } = this.#opened("read");
    health.mustBeOpen("read");
    return newestAt(memory, positions.tail, positions.last, nanos);
  }

  /**
   * Durable records as bytes, for another machine or a file. They are copied as they lie in the
   * file, each with its checksum, and verified on the way. `decodeRun()` of `./runs` reads them.
   *
   * A run holds whole batches. So a batch that goes on after the end of the range is left out, and
   * `lastLsn` may be less than `to`. The next run begins with `lastLsn + 1`.
   *
   * A store that sends what it is given uses `encodeRun()` of `./runs`. When it gets a run, the log
   * may have released the checkpoints before that run, so this method cannot join it to the run
   * before.
   *
   * @returns the bytes, with the log's id and the LSNs of the first and the last record.
   * @throws {RangeError} if the range holds no whole batch of durable records, or begins inside a
   * batch, or as `records()`.
   * @throws {WALTruncatedError} if the range starts before the tail.
   * @throws {WALCorruptError} if a record is damaged.
   *
   * @example
   * ```ts
   * import { WAL } from "@cidstore/wal";
   * import { decodeRun } from "@cidstore/wal/runs";
   *
   * await using wal = WAL.open(null);
   * await wal.batchInsert([[1, 2, 3, 4], [5, 6, 7, 8]]);
   * const { bytes, logId } = wal.encodeRun({ from: 1 });
   * console.log(decodeRun(bytes, { logId }).records.length); // 2
   * ```
   */
  encodeRun(range: RecordRange = {}): EncodedRun {
    const { memory, first, last } = this.#readable(range);
    const { positions, header } = this.#log!;
    const { logId, firstLsn, lastLsn, bytes } = encodedRun(
      memory,
      header.lineage,
      first,
      Math.min(last, positions.durable),
    );
    return { logId, firstLsn, lastLsn, bytes };
  }

  /**
   * Applies durable records to a store in LSN order, as whole batches, and then releases them. It
   * goes on until it is stopped. The promise resolves when the signal aborts and the running call
   * to the store has returned, or when the log is closed. `stats().consumer` and `stats().warnings`
   * say if it fails.
   *
   * Consumers with different names run at once, and a record is released when all of their stores
   * have it. One that fails or is stopped stops alone, and still holds what its store lacks. A new
   * one has the log keep all records from this call until it begins or ends.
   *
   * Handle the promise: if the store fails and nobody waits in `whenApplied()`, an unhandled
   * rejection ends the process.
   *
   * @param options a number is the poll interval in seconds, 0 to 60; `{ pollIntervalMs }` takes
   * milliseconds.
   * @throws {RangeError} or {TypeError} if the store or an option cannot be used.
   * @throws whatever the store throws, unless `onError` asks for a retry. Nothing is lost or
   * skipped.
   * @throws {RangeError} also if the log has 16 other consumers.
   * @throws {WALConsumingError} if a consumer of this name runs, or another one fills the store.
   * @throws {WALConsumerLostError} if the log has given the consumer up, because it was too far
   * behind. Also if that happens while it runs.
   * @throws {WALStoreError} if the store's `appliedLsn()` does not belong to this log, or lacks
   * what the log has released. Also if a consumer of another log is filling the store.
   * @throws {WALCorruptError} if a record is damaged.
   */
  consumeAsync(store: ApplicableStore, options: ConsumeOptions | number = {}): Promise<void> {
    let given: TakenConsumer;
    try {
      given = takeConsumer(store, options);
    } catch (error) {
      return this.#log === null ? Promise.reject(error) : this.#log.consumers.refuse(error);
    }
    return this.#log === null ? Promise.reject(new WALClosedError("consume")) : this.#log.consumers.consume(given);
  }

  /**
   * Resolves when the consumers that run have applied everything up to an LSN. They need not be the
   * caller's own.
   *
   * @param lsn the newest record if left out.
   * @param options `name` waits for the consumer of this name only.
   * @throws {RangeError} if the record was not appended yet.
   * @throws {WALClosedError} if no such consumer runs, or if one stops first.
   * @throws whatever `consumeAsync()` rejected with, if the consumer fails first. Also if the last
   * consumer failed or was refused, until another one starts or the log is opened again.
   */
  whenApplied(lsn?: LSN, options: WhenAppliedOptions = {}): Promise<void> {
    const log = this.#log;
    if (log === null) return Promise.reject(new WALClosedError("wait for the consumer"));
    let name: string | undefined;
    try {
      name = takeConsumerName(options);
    } catch (error) {
      return Promise.reject(error);
    }
    return log.consumers.whenApplied(lsn, name);
  }

  /**
   * Forgets a consumer, so that the log keeps nothing for it any more. It is forgotten durably when
   * the call returns, which holds the event loop for two syncs. If it starts again, it is a new
   * one.
   *
   * @param name the consumer's name; `""` for the unnamed one.
   * @returns false if no consumer of this name is registered. Then nothing happens.
   * @throws {WALConsumingError} if the consumer runs.
   * @throws {RangeError} or {TypeError} if the name cannot be one.
   * @throws {WALCorruptError} if a record that decides what is released is damaged. Then nothing
   * happens.
   * @throws {WALSyncError} {@linkcode WALFileGoneError} {@linkcode WALClosedError}
   *
   * @example
   * ```ts
   * import { consume, WAL } from "@cidstore/wal";
   * import { MemoryStore } from "@cidstore/wal/stores/memory";
   *
   * await using wal = WAL.open(null);
   * const consumer = consume(wal, new MemoryStore(), { name: "search" });
   * await wal.logInsert(1, 2, 3, 4);
   * await wal.whenApplied();
   * await consumer.stop();
   * await wal.logInsert(5, 6, 7, 8); // kept for "search"
   * console.log(wal.dropConsumer("search"), wal.stats().consumers); // true []
   * ```
   */
  dropConsumer(name: string = ""): boolean {
    checkConsumerName(name);
    return this.#opened("drop a consumer").consumers.drop(name);
  }

  /**
   * Writes a copy of all durable records, or of those up to an LSN, into a new log. The new log is
   * cleanly closed and has the same LSNs. Do not copy the file of an open log, because such a copy
   * mixes old and new blocks.
   *
   * A copy up to {@linkcode WAL.lsnAt} a time is what the log had at that time. It is a history of
   * its own from there on: it refuses a store that has a later LSN of this log.
   *
   * The call holds the event loop until the copy is durable: a quarter of a second for a log of 64
   * MiB. {@linkcode WAL.backupAsync} does not hold it.
   *
   * @param path the new file; there must be none yet. A log in memory can be backed up too.
   * @returns the first and last LSN of the copy; `last < first` if it is empty.
   * @throws {WALIOError} if there is a file already, and as `open()` throws.
   * @throws {WALCorruptError} if a record is damaged; no file is left.
   * @throws {WALTruncatedError} if the log has durable records, but has released the one that is to
   * be the last.
   * @throws {TypeError} or {RangeError} if an argument cannot be used.
   */
  backup(path: string | URL, options: BackupOptions = {}): { first: LSN; last: LSN } {
    const to = checkFilePath(path);
    const through = takeThrough(options);
    return this.#opened("back up").backups.write(to, this.#options.storage, through);
  }

  /**
   * As {@linkcode WAL.backup}, 256 KiB at a time, without holding the event loop in between. The
   * copy has the records that are retained and durable at the call. Appends, consumers and releases
   * go on meanwhile, and do not change the copy.
   *
   * A slot of a released record is not used again before the copy has the record. For an append
   * that needs the slot, the ring is full: an async append waits, as it does for a consumer. A
   * method that ends in `Sync` throws `WALFullError`.
   *
   * @returns the first and last LSN of the copy, when it is durable; `last < first` if it is empty.
   * @throws as `backup()`.
   * @throws {WALClosedError} if the log is closed before all of it is read; no file is left.
   */
  async backupAsync(path: string | URL, options: BackupOptions = {}): Promise<{ first: LSN; last: LSN }> {
    const to = checkFilePath(path);
    const through = takeThrough(options);
    return await this.#opened("back up").backups.writeAsync(to, this.#options.storage, through);
  }

  /**
   * Gives the log another size, larger or smaller. A new file takes the old one's place, whole or
   * not at all, with the same id, LSNs and records. Everything appended is durable when the call
   * returns. After an error the log goes on as before, unless the error is `WALFileGoneError`.
   *
   * Appends that wait for room in a full ring get it at once. Consumers, cursors, `records()`,
   * `backupAsync()` and waiting calls go on. A batch that waits, and is now larger than the ring,
   * rejects with a `RangeError`. No-op if the log has the size already.
   *
   * The call holds the event loop until the new file is durable: a quarter of a second for 64 MiB.
   * Until it returns, the medium holds both files. The new file belongs to this process's user and
   * group, with mode 0600, whatever the old file had. A file system without hard links cannot
   * resize a log.
   *
   * @param bytes the file's size, rounded up to a multiple of 16 KiB: at least 65,536, at most the
   * largest possible mapping (4 GiB on Bun).
   * @throws {RangeError} or {TypeError} if the size cannot be used.
   * @throws {WALTooSmallError} if the kept records do not fit. Its `neededBytes` would do.
   * @throws {WALSpaceError} if there is no space for the new file.
   * @throws {WALPermissionError} if the directory cannot be written.
   * @throws {WALPlatformError} if the file would be larger than this runtime can map.
   * @throws {WALIOError} if the file has another name (a hard link), which would keep the old log
   * under the same id, or if the system reports something else.
   * @throws {WALCorruptError} if a record is damaged.
   * @throws {WALLockedError} if another log is made or resized whose path differs in case only.
   * @throws {WALFileGoneError} if the file was deleted, replaced or cut, or if the old file's name
   * cannot be given back to it durably. Only reopening helps.
   * @throws {WALClosedError} if the log is closed.
   */
  resize(bytes: number): void {
    checkSize(bytes, "bytes");
    resize(this.#opened("resize"), bytes);
  }

  /**
   * The file's absolute path, or null for anonymous memory. A relative path was resolved when it
   * was given. This path may have symbolic links; `stats().path` has none.
   */
  get path(): string | null {
    return this.#path;
  }

  /**
   * The log's id, 32 lowercase hex digits. `""` before the first `open()`; after `close()`, the
   * last id.
   *
   * An LSN means nothing in another log, so a store saves this id beside its LSN. A copy that
   * `backup()` or salvage makes has an id of its own.
   */
  get logId(): string {
    return this.#log?.header.lineage.logId ?? "";
  }

  /** File size in bytes; 0 while the log is closed. */
  get size(): number {
    return this.isOpen ? this.#log!.memory.region.memory.sizeBytes : 0;
  }

  /** How many records the ring can hold; 0 while the log is closed. */
  get capacity(): number {
    return this.isOpen ? this.#log!.positions.capacity : 0;
  }

  /** The next LSN to write. After `close()`, as it was last. */
  get head(): LSN {
    return this.#log?.positions.head ?? 1;
  }

  /** The oldest LSN kept; equal to `head` if no record is kept. */
  get tail(): LSN {
    return this.#log?.positions.tail ?? 1;
  }

  /** The highest LSN that power loss cannot take. */
  get durable(): LSN {
    return this.#log?.positions.durable ?? 0;
  }

  /**
   * The highest LSN that is in the store, as a consumer, a checkpoint or `truncate()` has reported.
   * With several consumers, running or not, it is the highest LSN that all of their stores have.
   */
  get applied(): LSN {
    return this.#log?.positions.applied ?? 0;
  }

  /** Records kept: `head - tail`. */
  get length(): number {
    return this.head - this.tail;
  }

  /** True between `open()` and `close()`. */
  get isOpen(): boolean {
    return this.#log !== null && this.#log.health.isOpen;
  }

  /**
   * What the last `open()` found.
   *
   * @throws {WALClosedError} if the log has never been open.
   */
  get recovery(): RecoveryReport {
    if (this.#log === null) throw new WALClosedError("report on recovery", "the log has not been opened yet");
    return this.#log.recovery;
  }

  /**
   * The figures of the log at this moment.
   *
   * @throws {WALClosedError} if the log is closed.
   */
  stats(): WALStats {
    this.#wall.read();
    return statisticsOf(this.#opened("take statistics"));
  }

  #opened(action: string): Log {
    if (this.#log === null) throw new WALClosedError(action);
    return this.#log;
  }

  #good(action: string): Log {
    const log = this.#opened(action);
    log.health.mustBeGood(action);
    return log;
  }

  /** The records that a caller asks for. The caller's range is read before anything else. */
  #readable(range: RecordRange): { memory: RingMemory; first: LSN; last: LSN } {
    const asked = takeRange(range);
    const { memory, positions, health } = this.#opened("read");
    health.mustBeOpen("read");
    health.counts.replays++;
    try {
      const [first, last] = narrowed(memory, checkRange(asked, positions));
      return { memory, first, last };
    } catch (error) {
      throw health.counts.error(error);
    }
  }

  /**
   * Logs a pair that is not in halves: one in bytes, with a time as the third argument.
   *
   * Each method with a pair checks halves itself, and does not share its code with the others,
   * because both runtimes then take up to a tenth longer, and JavaScriptCore a third where one
   * method is given bytes and the other one bigints.
   *
   * @param second to `valueLow`: what the caller gave. Only the error names them all.
   */
  #logBytes(opType: OpType, key: HalfOrBytes, second: unknown, third: unknown, valueLow: unknown): Promise<void> {
    let taken: HybridTime | undefined;
    try {
      taken = this.#takeBytes(key, second, third, valueLow);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#appendTaken(opType, key, undefined, second as Uint8Array, undefined, taken);
  }

  #logBytesSync(opType: OpType, key: HalfOrBytes, second: unknown, third: unknown, valueLow: unknown): LSN {
    const taken = this.#takeBytes(key, second, third, valueLow);
    return this.#appendTakenSync(opType, key, undefined, second as Uint8Array, undefined, taken);
  }

  /**
   * Reads a pair of bytes and a time. The bytes are checked after time and clock were read, because
   * reading those may run code of the caller. They are also checked before a time, so that the
   * error names what was meant as bytes.
   *
   * @returns the given time.
   * @throws {TypeError} or {RangeError} if it is no such pair. Four halves were refused before.
   */
  #takeBytes(key: HalfOrBytes, second: unknown, third: unknown, valueLow: unknown): HybridTime | undefined {
    if (!isObject(key)) checkPair(key, second as U64, third as U64, valueLow as U64);
    if (third !== undefined) checkPairBytes(key, second);
    const taken = this.#takeTime(third as HybridTimeInput);
    checkPairBytes(key, second);
    return taken;
  }

  /** Reads all that a delete needs from its caller, as `#logBytes()`. @returns the given time. */
  #takeKey(first: HalfOrBytes, second?: U64 | HybridTimeInput, time?: HybridTimeInput): HybridTime | undefined {
    if (!isObject(first)) {
      checkKey(first, second as U64);
      return this.#takeTime(time);
    }
    const taken = this.#takeTime(second as HybridTimeInput);
    checkBytes(first, "key");
    return taken;
  }

  /** Reads a given time and the wall clock. */
  #takeTime(time?: HybridTimeInput): HybridTime | undefined {
    if (time === undefined) {
      this.#wall.readIfDue();
      return undefined;
    }
    const taken = takeTime(time);
    this.#wall.read();
    return taken;
  }

  /** Reads a time, and appends what has been checked. */
  #append(
    opType: OpType,
    keyHigh: U64,
    keyLow: U64,
    valueHigh: U64,
    valueLow: U64,
    time: HybridTimeInput | undefined,
  ): Promise<void> {
    let taken: HybridTime | undefined;
    try {
      taken = this.#takeTime(time);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#appendTaken(opType, keyHigh, keyLow, valueHigh, valueLow, taken);
  }

  #appendSync(
    opType: OpType,
    keyHigh: U64,
    keyLow: U64,
    valueHigh: U64,
    valueLow: U64,
    time: HybridTimeInput | undefined,
  ): LSN {
    return this.#appendTakenSync(opType, keyHigh, keyLow, valueHigh, valueLow, this.#takeTime(time));
  }

  /**
   * Appends what has been read and checked, at once or when there is room, and waits until the
   * record is durable.
   */
  #appendTaken(
    opType: OpType,
    keyHigh: HalfOrBytes,
    keyLow: U64 | undefined,
    valueHigh: HalfOrBytes,
    valueLow: U64 | undefined,
    time: HybridTime | undefined,
  ): Promise<void> {
    let lsn: LSN;
    try {
      lsn = this.#opened("append").appender.tryAppend(opType, keyHigh, keyLow, valueHigh, valueLow, time);
    } catch (error) {
      return Promise.reject(error);
    }
    if (lsn === NO_ROOM) return this.#appendLater(opType, keyHigh, keyLow, valueHigh, valueLow, time);
    return this.#log!.commit.join().shared;
  }

  #appendTakenSync(
    opType: OpType,
    keyHigh: HalfOrBytes,
    keyLow: U64 | undefined,
    valueHigh: HalfOrBytes,
    valueLow: U64 | undefined,
    time: HybridTime | undefined,
  ): LSN {
    const lsn = this.#opened("append").appender.tryAppend(opType, keyHigh, keyLow, valueHigh, valueLow, time, true);
    if (lsn === NO_ROOM) throw this.#log!.room.fullError(1);
    return lsn;
  }

  /** A method of its own, so that no closure is made while there is room. */
  #appendLater(
    opType: OpType,
    keyHigh: HalfOrBytes,
    keyLow: U64 | undefined,
    valueHigh: HalfOrBytes,
    valueLow: U64 | undefined,
    time: HybridTime | undefined,
  ): Promise<void> {
    const key = typeof keyHigh === "object" ? copyOf(keyHigh) : keyHigh;
    const value = typeof valueHigh === "object" ? copyOf(valueHigh) : valueHigh;
    return this.#log!.room.wait(1, () => this.#appendTaken(opType, key, keyLow, value, valueLow, time));
  }

  #batchSync(batch: Batch, time?: HybridTimeInput): LSN {
    const taken = this.#takeBatchTime(batch, time);
    const lsn = this.#opened("append").appender.tryAppendBatch(batch, taken);
    if (lsn === NO_ROOM) throw this.#log!.room.fullError(batch.count);
    releaseBatch(batch);
    return lsn;
  }

  /** As `#takeTime()`, for a batch: an empty one reads no clock. */
  #takeBatchTime(batch: Batch, time?: HybridTimeInput): HybridTime | undefined {
    return time === undefined && batch.count === 0 ? undefined : this.#takeTime(time);
  }

  #batch(read: () => Batch, time?: HybridTimeInput): Promise<LSN> {
    let batch: Batch;
    let taken: HybridTime | undefined;
    try {
      batch = read();
      taken = this.#takeBatchTime(batch, time);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#appendBatch(batch, taken);
  }

  #appendBatch(batch: Batch, time?: HybridTime): Promise<LSN> {
    let lsn: LSN;
    try {
      lsn = this.#opened("append").appender.tryAppendBatch(batch, time);
    } catch (error) {
      releaseBatch(batch);
      return Promise.reject(error);
    }
    if (lsn === NO_ROOM) {
      const kept = keepBatch(batch);
      releaseBatch(batch);
      return this.#log!.room.wait(kept.count, () => this.#appendBatch(kept, time));
    }
    releaseBatch(batch);
    return batch.count === 0 ? Promise.resolve(lsn) : this.#log!.commit.join().promiseOf(lsn);
  }
}

function closeLog(log: Log): void {
  try {
    log.close();
  } finally {
    forgetOpen(log);
  }
}
