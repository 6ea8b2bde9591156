// WAL: what callers hold; it checks their arguments, and opens the log as often as they like.

import process from "node:process";
import { diskStorage } from "../ffi/storage.ts";
import { HybridClock } from "./engine/clock.ts";
import { takeConsumer, type TakenConsumer } from "./consume/consumer.ts";
import { copyRecords, type Cursor, iterateRecords, RingCursor } from "./read/cursor.ts";
import { WALClosedError, WALLockedError } from "./errors.ts";
import {
  type Batch,
  checkKey,
  checkPair,
  keepBatch,
  readDeletes,
  readInserts,
  releaseBatch,
} from "./arguments/items.ts";
import { Log } from "./log.ts";
import { NO_ROOM } from "./engine/appender.ts";
import { checkRange } from "./read/range.ts";
import { statisticsOf } from "./statistics.ts";
import { isU64, takeTime } from "./arguments/numbers.ts";
import { type LogRequest, type OpenedLog, openLog } from "./recovery/open.ts";
import { forgetOpen, rememberOpen, takeOver } from "./open_logs.ts";
import { type CheckedOptions, checkOptions, checkPath } from "./arguments/options.ts";
import {
  type ApplicableStore,
  type ConsumeOptions,
  type DeleteItem,
  type HybridTime,
  type HybridTimeInput,
  type InsertItem,
  type LSN,
  OpType,
  type RecordRange,
  type RecoveryReport,
  type U64,
  type WALOptions,
  type WALRecord,
  type WALStats,
} from "./types.ts";

/**
 * A write-ahead log in a preallocated, memory-mapped ring file.
 *
 * One instance, in one process, has a log at a time. Everything it returns in LSN order is in the order of appending. Always
 * `tail - 1 <= applied <= durable < head` and `head - tail <= capacity`.
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
  readonly #path: string | null;
  readonly #options: CheckedOptions;
  readonly #clock: HybridClock;
  /** Where the first opening found or made the log: symbolic links that are turned later lead no other opening elsewhere. */
  #realPath: string | null = null;
  /** The last opening, open or closed; null before the first one. */
  #log: Log | null = null;

  /**
   * A log that is not open yet; nothing is touched.
   *
   * @param path the log's file; `null` for anonymous memory, which lasts until `close()`. A relative path is one from the working
   * directory of now, whatever that is at `open()`.
   * @throws {TypeError} or {RangeError} if an argument cannot be used.
   * @throws {WALNotFoundError} if the path is relative and the working directory was deleted.
   * @throws {WALPermissionError} if the path is relative and the working directory may not be asked for.
   */
  constructor(path: string | URL | null = null, options: WALOptions = {}) {
    // A variable that is not set must not turn a file into memory.
    if (arguments.length > 0 && arguments[0] === undefined) throw noPath();
    this.#path = checkPath(path);
    this.#options = checkOptions(options);
    const { now, monotonic, maxClockDriftMs } = this.#options;
    this.#clock = new HybridClock(now, monotonic ?? undefined, maxClockDriftMs);
  }

  /**
   * Constructs and opens.
   *
   * @throws what the constructor and `open()` throw.
   */
  static open(path: string | URL | null, options?: WALOptions): WAL;
  // `deno doc` leaves out methods that share a name, static or not, unless each has a signature without a body.
  static open(path: string | URL | null, options: WALOptions = {}): WAL {
    if (path === undefined) throw noPath();
    const wal = new WAL(path, options);
    wal.open();
    return wal;
  }

  /**
   * Opens the log, and makes it if there is none; recovers it after a crash (see `recovery`). No-op if it is open. A log that was
   * closed is opened again where the first opening found it; `stats().warnings` says so if another log is there by now.
   *
   * A reload that evaluates this module again in the same thread, from the same URL, takes over the log that the evaluation before had
   * open and did not close (`bun --hot`): that one is closed. Where the runtime dispatches `unload` (Deno, not in workers), a log that is
   * open then is closed.
   *
   * @throws {WALLockedError} if another opener has it.
   * @throws {WALFormatError} if the file is not a log, or one of a later version.
   * @throws {WALCorruptError} if acknowledged data is damaged; the file is left as it is.
   * @throws {WALNotFoundError} if a directory is missing, or the file and `create` is false.
   * @throws {WALPermissionError} if the runtime or the system denies access.
   * @throws {WALSpaceError} if there is no space for it.
   * @throws {WALFileSystemError} if its file system cannot be trusted with a shared mapping.
   * @throws {WALPlatformError} if the platform is not supported.
   * @throws {WALSyncError} if what was recovered cannot be made durable.
   */
  open(): void;
  open(): void {
    if (this.isOpen) return;
    this.#clock.restart();
    this.#clock.read();
    if (this.isOpen) return; // the wall clock opened it
    const options = this.#options;
    const request: LogRequest = {
      path: this.#realPath ?? this.#path,
      lastId: this.#log?.header.lineage.logId ?? null,
      storage: options.storage,
      sizeBytes: options.size,
      sizeIsGiven: options.sizeIsGiven,
      create: options.create,
      salvage: options.recovery === "salvage",
      verify: options.verify,
      barrierOnly: options.durability === "barrier",
      allowUnsafeFileSystem: options.allowUnsafeFileSystem,
      nowNanos: this.#clock.wallNanos,
      pid: process.pid,
    };
    this.#log = new Log(openOrTakeOver(request), options, this.#clock);
    this.#realPath = this.#log.path;
    if (options.storage === diskStorage && this.#realPath !== null) rememberOpen(this.#log);
  }

  /**
   * Makes everything appended durable, marks the log clean, gives up its file and its lock. A consumer ends at once: a call to its
   * store that is still running is not waited for. No-op if it is closed.
   *
   * @throws {WALSyncError} or {WALFileGoneError} if appended records are not durable; the log is closed all the same.
   */
  close(): void {
    if (this.#log !== null) closeLog(this.#log);
  }

  /** As `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Stops the consumer and waits for it, waits for what is appended without holding the event loop, then closes. A call to the store
   * that does not return is waited for up to `closeTimeoutMs`.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const log = this.#log;
    if (log === null) return;
    await log.consumers.stop(this.#options.closeTimeoutMs);
    // close() reports what cannot be made durable.
    if (log.health.isOpen) await log.commit.flushAsync().catch(() => {});
    closeLog(log);
  }

  /**
   * Logs an insert and resolves when it is durable: neither a crash nor power loss can take it then. Waiting calls share one
   * sync and resolve in LSN order.
   *
   * @param keyHigh upper 64 bits of the key: a bigint from 0 to 2^64 − 1, or a number that is a safe integer ≥ 0.
   * @param keyLow lower 64 bits of the key.
   * @param valueHigh upper 64 bits of the value.
   * @param valueLow lower 64 bits of the value.
   * @param time hybrid logical time, not before the log's last one; left out, the log's own clock gives one. An append that had
   * to wait for room is checked when it gets in.
   * @throws {RangeError} or {TypeError} if an argument cannot be used; nothing is written.
   * @throws {WALFullError} if no slot is free and no consumer runs, or none became free in time. `cause` is what the consumer or
   * its store failed with.
   * @throws {WALSyncError} if this sync or an earlier one failed; only reopening helps.
   * @throws {WALFileGoneError} if the file was deleted, replaced or cut.
   * @throws {WALClosedError} if the log is closed.
   */
  logInsert(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): Promise<void> {
    let taken: HybridTime | undefined;
    try {
      taken = this.#takePair(keyHigh, keyLow, valueHigh, valueLow, time);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#append(OpType.Insert, keyHigh, keyLow, valueHigh, valueLow, taken);
  }

  /** Logs the removal of a key with all its values. As {@linkcode WAL.logInsert}. */
  logDelete(keyHigh: U64, keyLow: U64, time?: HybridTimeInput): Promise<void> {
    let taken: HybridTime | undefined;
    try {
      taken = this.#takeKey(keyHigh, keyLow, time);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#append(OpType.Delete, keyHigh, keyLow, 0, 0, taken);
  }

  /** Logs the removal of one value of a key. As {@linkcode WAL.logInsert}. */
  logDeleteValue(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): Promise<void> {
    let taken: HybridTime | undefined;
    try {
      taken = this.#takePair(keyHigh, keyLow, valueHigh, valueLow, time);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#append(OpType.DeleteValue, keyHigh, keyLow, valueHigh, valueLow, taken);
  }

  /**
   * Logs inserts as one batch: after a crash all of them are there or none. As {@linkcode WAL.logInsert}.
   *
   * @param items iterated once, and each number read once, before anything is written. What an item
   * or an iterator appends when it is read comes before the batch. An empty batch resolves and
   * writes nothing.
   * @throws {RangeError} also if the batch is larger than the ring.
   */
  batchInsert(items: Iterable<InsertItem>): Promise<void> {
    return this.#batch(OpType.Insert, () => readInserts(items));
  }

  /** Logs deletes as one batch. As {@linkcode WAL.batchInsert}. */
  batchDelete(items: Iterable<DeleteItem>): Promise<void> {
    return this.#batch(OpType.Delete, () => readDeletes(items));
  }

  /**
   * Appends an insert without waiting for the medium: it outlives this process at once, and power loss after the next `flush()`.
   *
   * @returns its LSN.
   * @throws as {@linkcode WAL.logInsert} rejects; {@linkcode WALFullError} at once if no slot is free.
   */
  logInsertSync(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): LSN {
    const taken = this.#takePair(keyHigh, keyLow, valueHigh, valueLow, time);
    return this.#lsnOf(
      1,
      this.#opened("append").appender.tryAppend(OpType.Insert, keyHigh, keyLow, valueHigh, valueLow, taken),
    );
  }

  /** Appends a delete without waiting for the medium. As {@linkcode WAL.logInsertSync}. */
  logDeleteSync(keyHigh: U64, keyLow: U64, time?: HybridTimeInput): LSN {
    const taken = this.#takeKey(keyHigh, keyLow, time);
    return this.#lsnOf(1, this.#opened("append").appender.tryAppend(OpType.Delete, keyHigh, keyLow, 0, 0, taken));
  }

  /** Appends a delete of one value without waiting for the medium. As {@linkcode WAL.logInsertSync}. */
  logDeleteValueSync(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): LSN {
    const taken = this.#takePair(keyHigh, keyLow, valueHigh, valueLow, time);
    return this.#lsnOf(
      1,
      this.#opened("append").appender.tryAppend(OpType.DeleteValue, keyHigh, keyLow, valueHigh, valueLow, taken),
    );
  }

  /**
   * Appends inserts as one batch without waiting for the medium.
   *
   * @returns the LSN of the last one; for an empty batch, of the newest record in the log, 0 if there never was one.
   */
  batchInsertSync(items: Iterable<InsertItem>): LSN {
    return this.#batchSync(OpType.Insert, readInserts(items));
  }

  /** Appends deletes as one batch. As {@linkcode WAL.batchInsertSync}. */
  batchDeleteSync(items: Iterable<DeleteItem>): LSN {
    return this.#batchSync(OpType.Delete, readDeletes(items));
  }

  /**
   * Makes everything appended durable before it returns; holds the event loop for one sync.
   *
   * @throws {WALSyncError} {@linkcode WALFileGoneError} {@linkcode WALClosedError}
   */
  flush(): void {
    this.#good("flush").commit.flush();
  }

  /** Resolves when everything appended before the call is durable. As {@linkcode WAL.flush}, without holding the event loop. */
  flushAsync(): Promise<void> {
    try {
      return this.#good("flush").commit.flushAsync();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Writes a checkpoint record and makes it, with everything before it, durable: everything up to `appliedThrough` is in the
   * store, durably, and may be released. It releases nothing by itself unless the ring is full.
   *
   * @param appliedThrough defaults to what a consumer's store is known to have durably; one below an earlier checkpoint is taken
   * as that. It has no log id: the caller answers for it that it is an LSN of this log.
   * @returns the LSN of the checkpoint record.
   * @throws {RangeError} if `appliedThrough` was not appended yet, or is past what a running consumer's store has durably.
   * @throws {WALFullError} if no slot is free, and none can be freed.
   * @throws {WALCorruptError} {@linkcode WALIOError} {@linkcode WALFormatError} if the record at
   * `appliedThrough`, or one that decides what may be released, is damaged, cannot be read, or is
   * of a later version. Nothing is confirmed then.
   */
  checkpoint(appliedThrough?: LSN): LSN {
    this.#clock.read();
    return this.#opened("write a checkpoint").retention.checkpoint(appliedThrough);
  }

  /**
   * Lets go of every record up to an LSN; its slot may be used again. Part of a batch is kept until all of it is confirmed. What
   * was released before is no error. The file learns of it with a later header write, so after a crash released records may
   * be there again.
   *
   * @param confirmedThroughPos has no log id: the caller answers for it that it is an LSN of this log.
   * @throws {RangeError} if records up to there are not durable yet, or, while a consumer runs, not durable in its store; or if
   * it is no integer.
   * @throws {WALCorruptError} {@linkcode WALIOError} {@linkcode WALFormatError} if the record at
   * `confirmedThroughPos`, or one before it that decides where its batch begins, is damaged, cannot
   * be read, or is of a later version. Nothing is confirmed then.
   */
  truncate(confirmedThroughPos: LSN): void {
    this.#opened("truncate").retention.truncate(confirmedThroughPos);
  }

  /**
   * All records from tail to head in LSN order, verified. Each takes 110 to 200 bytes of memory: for a big log
   * see {@linkcode WAL.records} and {@linkcode WAL.cursor}.
   *
   * @throws {WALCorruptError} if one of them is damaged.
   */
  replay(): WALRecord[] {
    const { memory, positions } = this.#opened("read");
    return copyRecords(memory, positions.tail, positions.last);
  }

  /**
   * Records in LSN order, read a piece at a time as the iteration goes on. A generator: it has `map()`, `filter()`, `take()` and the
   * other methods of iterators.
   *
   * @throws {RangeError} if an end of the range is no LSN.
   * @throws {WALTruncatedError} if the range starts before the tail, or the log lets go of it before it is read.
   * @throws {WALCorruptError} if a record is damaged.
   */
  // As in IterableIterator, so that next().value is no more to narrow than it was.
  // deno-lint-ignore no-explicit-any
  records(range: RecordRange = {}): Generator<WALRecord, any, undefined> {
    const { from, to } = range;
    const { memory, positions } = this.#opened("read");
    const [first, last] = checkRange(memory, positions.head, { from, to });
    return iterateRecords(memory, first, last);
  }

  /** The same through one reused object that reads in place and allocates nothing: see {@linkcode Cursor}. */
  cursor(range: RecordRange = {}): Cursor {
    const { from, to } = range;
    const { memory, positions } = this.#opened("read");
    const [first, last] = checkRange(memory, positions.head, { from, to });
    return new RingCursor(memory, first, last);
  }

  /**
   * Applies durable records to a store, in LSN order, whole batches, and then lets the log go of them; goes on until it is stopped.
   * Resolves when the signal aborts and the running call to the store has returned, or when the log is closed. One consumer at a
   * time. While it fails, `stats().consumer` and `stats().warnings` say so.
   *
   * Handle the promise: if the store fails and nobody waits in `whenApplied()`, its rejection ends the process.
   *
   * @param options a number is the poll interval in seconds, 0 to 60; `{ pollIntervalMs }` takes milliseconds.
   * @throws {RangeError} or {TypeError} if the store or an option cannot be used.
   * @throws whatever the store throws, unless `onError` asks for a retry; nothing is lost or skipped then.
   * @throws {WALConsumingError} if a consumer runs.
   * @throws {WALStoreError} if the store's `appliedLsn()` does not belong to this log, lacks what the log has released, or is being
   * moved on by a consumer of another log.
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
   * Resolves when a consumer has applied everything up to an LSN, whoever started it; at once if it has.
   *
   * @param lsn the newest record if left out.
   * @throws {RangeError} if the record was not appended yet.
   * @throws {WALClosedError} if no consumer runs, or it stops before. If it fails, or if the last consumer failed or was refused,
   * whatever `consumeAsync()` rejected with, until another consumer starts or the log is opened again.
   */
  whenApplied(lsn?: LSN): Promise<void> {
    const log = this.#log;
    return log === null ? Promise.reject(new WALClosedError("wait for the consumer")) : log.consumers.whenApplied(lsn);
  }

  /**
   * Writes a copy of everything durable into a new log, which is cleanly closed and has the same LSNs. A file copied while the log
   * is written would mix old and new blocks.
   *
   * It holds the event loop until the copy is durable, for a log of 64 MiB a quarter of a second: see {@linkcode WAL.backupAsync}.
   *
   * @param path where to; there must be no file. A log in memory can be backed up too.
   * @returns the first and last LSN of the copy; `last < first` if it is empty.
   * @throws {WALIOError} if there is a file already, and as `open()` throws.
   * @throws {WALCorruptError} if a record is damaged; no file is left.
   */
  backup(path: string | URL): { first: LSN; last: LSN } {
    const to = checkBackupPath(path);
    return this.#opened("back up").backups.write(to, this.#options.storage);
  }

  /**
   * As {@linkcode WAL.backup}, 256 KiB at a time, without holding the event loop in between. The copy holds what is retained and
   * durable at the call, whatever is appended, consumed and released meanwhile.
   *
   * A slot whose record was released is not used again before the copy has it. An append that needs one finds the ring full: an async
   * one waits, as it does for a consumer, and one that ends in `Sync` throws `WALFullError`.
   *
   * @returns when the copy is durable: its first and last LSN; `last < first` if it is empty.
   * @throws as `backup()`.
   * @throws {WALClosedError} if the log is closed before all of it is read; no file is left.
   */
  async backupAsync(path: string | URL): Promise<{ first: LSN; last: LSN }> {
    const to = checkBackupPath(path);
    return await this.#opened("back up").backups.writeAsync(to, this.#options.storage);
  }

  /**
   * The file's absolute path, or null for anonymous memory: a relative one was resolved when it was given, symbolic links are as
   * given. `stats().path` has none.
   */
  get path(): string | null {
    return this.#path;
  }

  /**
   * The log's id: 32 lowercase hex digits; `""` before the first `open()`; after `close()`, what it was last.
   *
   * An LSN means nothing in another log, so a store saves this id beside its LSN. A copy that `backup()` or salvage makes has
   * an id of its own.
   */
  get logId(): string {
    return this.#log?.header.lineage.logId ?? "";
  }

  /** File size in bytes; 0 while the log is closed. */
  get size(): number {
    return this.isOpen ? this.#log!.memory.region.buffer.byteLength : 0;
  }

  /** How many records the ring can hold; 0 while the log is closed. */
  get capacity(): number {
    return this.isOpen ? this.#log!.positions.capacity : 0;
  }

  /** The next LSN to write; after `close()`, what it was last. */
  get head(): LSN {
    return this.#log?.positions.head ?? 1;
  }

  /** The oldest LSN kept; equal to `head` if nothing is. */
  get tail(): LSN {
    return this.#log?.positions.tail ?? 1;
  }

  /** The highest LSN that power loss cannot take. */
  get durable(): LSN {
    return this.#log?.positions.durable ?? 0;
  }

  /** The highest LSN that is in the store, by what a consumer, a checkpoint or `truncate()` said. */
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
   * The moment's figures.
   *
   * @throws {WALClosedError} if the log is closed.
   */
  stats(): WALStats {
    this.#clock.read();
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

  /** The LSN of what was appended. @throws {WALFullError} if there was no room. */
  #lsnOf(count: number, lsn: LSN): LSN {
    if (lsn === NO_ROOM) throw this.#log!.room.fullError(count);
    return lsn;
  }

  /**
   * Reads all that an append needs of the caller's; after this none of their code runs before it is
   * done.
   *
   * @returns the given time.
   */
  #takePair(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): HybridTime | undefined {
    if (!isU64(keyHigh) || !isU64(keyLow) || !isU64(valueHigh) || !isU64(valueLow)) {
      checkPair(keyHigh, keyLow, valueHigh, valueLow);
    }
    return this.#takeTime(time);
  }

  /** As `#takePair()`, for a delete. */
  #takeKey(keyHigh: U64, keyLow: U64, time?: HybridTimeInput): HybridTime | undefined {
    checkKey(keyHigh, keyLow);
    return this.#takeTime(time);
  }

  /** Reads a given time and the wall clock. */
  #takeTime(time?: HybridTimeInput): HybridTime | undefined {
    if (time === undefined) {
      this.#clock.readIfDue();
      return undefined;
    }
    const taken = takeTime(time);
    this.#clock.read();
    return taken;
  }

  /**
   * Appends what has been read and checked, at once or when there is room for it, and waits until
   * it is durable.
   */
  #append(
    opType: OpType,
    keyHigh: U64,
    keyLow: U64,
    valueHigh: U64,
    valueLow: U64,
    time: HybridTime | undefined,
  ): Promise<void> {
    let lsn: LSN;
    try {
      lsn = this.#opened("append").appender.tryAppend(opType, keyHigh, keyLow, valueHigh, valueLow, time);
    } catch (error) {
      return Promise.reject(error);
    }
    if (lsn === NO_ROOM) return this.#appendLater(opType, keyHigh, keyLow, valueHigh, valueLow, time);
    return this.#log!.commit.wait();
  }

  /** Apart, so that its closure costs nothing where there is room. */
  #appendLater(
    opType: OpType,
    keyHigh: U64,
    keyLow: U64,
    valueHigh: U64,
    valueLow: U64,
    time: HybridTime | undefined,
  ): Promise<void> {
    return this.#log!.room.wait(1, () => this.#append(opType, keyHigh, keyLow, valueHigh, valueLow, time));
  }

  #batchSync(opType: OpType, batch: Batch): LSN {
    if (batch.count > 0) this.#clock.readIfDue();
    const lsn = this.#lsnOf(batch.count, this.#opened("append").appender.tryAppendBatch(opType, batch));
    releaseBatch(batch);
    return lsn;
  }

  #batch(opType: OpType, read: () => Batch): Promise<void> {
    let batch: Batch;
    try {
      batch = read();
      if (batch.count > 0) this.#clock.readIfDue();
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#appendBatch(opType, batch);
  }

  #appendBatch(opType: OpType, batch: Batch): Promise<void> {
    let lsn: LSN;
    try {
      lsn = this.#opened("append").appender.tryAppendBatch(opType, batch);
    } catch (error) {
      releaseBatch(batch);
      return Promise.reject(error);
    }
    if (lsn === NO_ROOM) {
      const kept = keepBatch(batch);
      releaseBatch(batch);
      return this.#log!.room.wait(kept.count, () => this.#appendBatch(opType, kept));
    }
    releaseBatch(batch);
    return batch.count === 0 ? Promise.resolve() : this.#log!.commit.wait();
  }
}

function closeLog(log: Log): void {
  try {
    log.close();
  } finally {
    forgetOpen(log);
  }
}

function checkBackupPath(path: string | URL): string {
  const to = checkPath(path);
  if (to === null) throw new TypeError("Cannot back up the log: the path is null");
  return to;
}

function noPath(): TypeError {
  return new TypeError("Cannot use undefined as path: it must be a string, a URL, or null for a log in memory");
}

/** Opens; where the program was loaded anew into the same thread, closes the log that it had open before. */
function openOrTakeOver(request: LogRequest): OpenedLog {
  try {
    return openLog(request);
  } catch (error) {
    const isLocked = error instanceof WALLockedError && request.storage === diskStorage;
    if (!isLocked || !takeOver(request.path!)) throw error;
    return openLog(request);
  }
}
