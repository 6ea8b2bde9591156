// WAL: its states and positions, and the only file that wires the others together.

import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import type { Region } from "../ffi/region.ts";
import { assert } from "./assert.ts";
import { HybridClock } from "./clock.ts";
import { checkConsumeOptions, type ConsumableLog, Consumer, storeCalls, type WakeReason } from "./consumer.ts";
import { copyRecords, type Cursor, damage, iterateRecords, type ReadSource, RingCursor } from "./cursor.ts";
import {
  toWALError,
  WALClosedError,
  WALConsumingError,
  WALError,
  WALFullError,
  WALIOError,
  WALSpaceError,
  WALTruncatedError,
} from "./errors.ts";
import { GroupCommit } from "./group_commit.ts";
import type { HeaderPositions, HeaderWriter } from "./header_writer.ts";
import { logImage } from "./image.ts";
import { FLAG_BATCH_GOES_ON } from "./layout.ts";
import { Milestones } from "./milestones.ts";
import { checkInteger, checkLsn, checkTime, checkU64, LONGEST_TIMER_MS } from "./numbers.ts";
import { checkDeleteItem, checkInsertItem, takeItems } from "./items.ts";
import { openLog } from "./open.ts";
import { type CheckedOptions, checkOptions, checkPath } from "./options.ts";
import { type Slots, SlotState } from "./record.ts";
import { rangesOf, roundFileBytes, slotOf } from "./ring.ts";
import { WaitingRoom } from "./waiting_room.ts";
import {
  type ConsumeOptions,
  type DeleteItem,
  type HybridTimeInput,
  type InsertItem,
  type LSN,
  OpType,
  type RecoveryReport,
  type Store,
  type U64,
  type WALOptions,
  type WALRecord,
  type WALStats,
} from "./types.ts";

/** Records whose pages are faulted in at once, ahead of the head: 64 KiB. A fault for each page would cost ten times as much. */
const PREFAULT_RECORDS = 1024;
/** After so long without a look at the file, an append looks before it stores: a store into a file that was cut kills the process. */
const LOOK_EVERY_MS = 5;
/** A header with the new tail is written when this part of the ring could be used again by it, or no more than this is free. */
const HEADER_PART = 8;
/** Syncs that take less than this on average, over so many, are faster than any medium that keeps data without power. */
const SUSPECT_SYNC_MS = 0.005;
const SUSPECT_SYNCS = 32;

/** From where to where `records()` and `cursor()` read. Both ends are included. */
export interface RecordRange {
  /**
   * The first record.
   *
   * @default {the tail}
   */
  from?: LSN;
  /**
   * The last record; what is appended later is not read.
   *
   * @default {the newest record}
   */
  to?: LSN;
}

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
 * console.log(wal.replay()[0].keyHigh); // 4660n
 * ```
 */
export class WAL implements Disposable, AsyncDisposable {
  readonly #path: string | null;
  readonly #options: CheckedOptions;
  readonly #clock: HybridClock;
  readonly #room = new WaitingRoom();
  /** Callers of `whenApplied()`. */
  readonly #milestones = new Milestones();

  #region: Region | null = null;
  #slots!: Slots;
  #writer!: HeaderWriter;
  #commit!: GroupCommit;
  #recovery: RecoveryReport | null = null;
  /** Why nothing more is promised until the log is reopened. */
  #poison: WALError | null = null;

  /** The next LSN to write. */
  #head: LSN = 1;
  /** Its slot. */
  #slot = 0;
  /** The oldest record kept. */
  #tail: LSN = 1;
  /** The tail in the newest durable header: slots before it may be used again. */
  #durableTail: LSN = 1;
  #applied: LSN = 0;
  #checkpointed: LSN = 0;
  /** Pages are there to be stored into for records below this LSN. */
  #prefaulted: LSN = 1;
  /** Below this LSN, the pages of a log that was there before may not have been read since it was opened. */
  #unreadBefore: LSN = 0;
  /** An append at or past this LSN has to look at things first; 0 while appending is not possible at all. */
  #stop: LSN = 0;
  /** The first append of each turn of the event loop looks at the clock, and now and then at the file. */
  #turnIsOpen = false;
  #lookedMs = 0;
  #headerRequested = false;
  #idleTimer: ReturnType<typeof setTimeout> | null = null;
  #firstLsn: LSN = 1;

  #consuming: Promise<void> | null = null;
  #consumerStop = new AbortController();
  /** Ends the consumer's wait. */
  #wake: ((reason: WakeReason) => void) | null = null;

  readonly #closeTurn = () => {
    this.#turnIsOpen = false;
  };

  /**
   * A log that is not open yet; nothing is touched.
   *
   * @param path the log's file; `null` for anonymous memory, which lasts until `close()`.
   * @throws {TypeError} or {RangeError} if an argument cannot be used.
   */
  constructor(path: string | URL | null = null, options: WALOptions = {}) {
    this.#path = checkPath(path);
    this.#options = checkOptions(options);
    this.#clock = new HybridClock(this.#options.now);
  }

  /**
   * Constructs and opens.
   *
   * @throws what the constructor and `open()` throw.
   */
  static open(path: string | URL | null = null, options: WALOptions = {}): WAL {
    const wal = new WAL(path, options);
    wal.open();
    return wal;
  }

  /**
   * Opens the log, and makes it if there is none; recovers it after a crash (see `recovery`). No-op if it is open.
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
  open(): void {
    if (this.#region !== null) return;
    const options = this.#options;
    const { region, slots, writer, verdict, report } = openLog({
      path: this.#path,
      storage: options.storage,
      sizeBytes: options.size,
      create: options.create,
      salvage: options.recovery === "salvage",
      verify: options.verify,
      barrierOnly: options.durability === "barrier",
      allowUnsafeFileSystem: options.allowUnsafeFileSystem,
      nowNanos: this.#clock.wallNanos(),
      pid: process.pid,
    });
    this.#region = region;
    this.#slots = slots;
    this.#writer = writer;
    this.#recovery = report;
    this.#poison = null;
    this.#head = verdict.head;
    this.#slot = slotOf(verdict.head, slots.count);
    this.#tail = this.#durableTail = verdict.tail;
    this.#checkpointed = verdict.checkpoint;
    this.#applied = Math.min(Math.max(verdict.checkpoint, verdict.tail - 1), verdict.head - 1);
    this.#prefaulted = verdict.head;
    this.#unreadBefore = region.created ? 0 : verdict.head + slots.count;
    this.#firstLsn = verdict.head;
    this.#clock.observe(verdict.timeNanos, verdict.timeSeq);
    this.#lookedMs = performance.now();
    this.#headerRequested = false;
    this.#turnIsOpen = false;
    this.#consumerStop = new AbortController();
    this.#commit = new GroupCommit(this.#commitTarget(), options.flush, verdict.head - 1);
    this.#setStop();
  }

  /**
   * Makes everything appended durable, marks the log clean, gives up its file and its lock. A consumer ends. No-op if it is closed.
   *
   * @throws {WALSyncError} or {WALFileGoneError} if appended records are not durable; the log is closed all the same.
   */
  close(): void {
    const region = this.#region;
    if (region === null) return;
    try {
      if (this.#poison === null) this.#closeCleanly();
      if (this.#poison !== null && this.#head - 1 > this.#commit.durable) throw this.#poison;
    } finally {
      const closed = new WALClosedError("append");
      this.#commit.stop(closed);
      this.#room.rejectAll(() => closed);
      this.#milestones.rejectAll(closed);
      if (this.#idleTimer !== null) clearTimeout(this.#idleTimer);
      this.#idleTimer = null;
      this.#region = null;
      this.#stop = 0;
      this.#wakeConsumer("stopped");
      region.close();
    }
  }

  #closeCleanly(): void {
    try {
      this.#commit.flush();
      this.#writer.write({ ...this.#positions(), cleanHead: this.#head });
      this.#region!.verify();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** As `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Stops the consumer and waits for it, waits for what is appended without holding the event loop, then closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#consumerStop.abort();
    await this.#consuming?.catch(() => {}); // its own caller sees the error
    // What cannot be made durable is reported by close().
    if (this.#region !== null) await this.flushAsync().catch(() => {});
    this.close();
  }

  /** Logs an insert and resolves when it is durable: neither a crash nor power loss can take it then. Waiting calls share one
   * sync and resolve in LSN order.
   *
   * @param keyHigh upper 64 bits of the key: a bigint from 0 to 2^64 − 1, or a number that is a safe integer ≥ 0.
   * @param keyLow lower 64 bits of the key.
   * @param valueHigh upper 64 bits of the value.
   * @param valueLow lower 64 bits of the value.
   * @param time hybrid logical time, not before the log's last one; left out, the log's own clock gives one.
   * @throws {RangeError} or {TypeError} if an argument cannot be used; nothing is written.
   * @throws {WALFullError} if no slot is free and no consumer runs, or none became free in time.
   * @throws {WALSyncError} if this sync or an earlier one failed; only reopening helps.
   * @throws {WALFileGoneError} if the file was deleted, replaced or cut.
   * @throws {WALClosedError} if the log is closed.
   */
  logInsert(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): Promise<void> {
    try {
      this.logInsertSync(keyHigh, keyLow, valueHigh, valueLow, time);
    } catch (error) {
      return this.#insertLater(error, keyHigh, keyLow, valueHigh, valueLow, time);
    }
    return this.#commit.wait();
  }

  /** Apart, so that its closure costs nothing where there is room. */
  #insertLater(error: unknown, keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput) {
    return this.#later(error, 1, () => this.logInsert(keyHigh, keyLow, valueHigh, valueLow, time));
  }

  /** Logs the removal of a key with all its values. As {@linkcode WAL.logInsert}. */
  logDelete(keyHigh: U64, keyLow: U64, time?: HybridTimeInput): Promise<void> {
    try {
      this.logDeleteSync(keyHigh, keyLow, time);
    } catch (error) {
      return this.#later(error, 1, () => this.logDelete(keyHigh, keyLow, time));
    }
    return this.#commit.wait();
  }

  /** Logs the removal of one value of a key. As {@linkcode WAL.logInsert}. */
  logDeleteValue(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): Promise<void> {
    try {
      this.logDeleteValueSync(keyHigh, keyLow, valueHigh, valueLow, time);
    } catch (error) {
      return this.#later(error, 1, () => this.logDeleteValue(keyHigh, keyLow, valueHigh, valueLow, time));
    }
    return this.#commit.wait();
  }

  /**
   * Logs inserts as one batch: after a crash all of them are there or none. As {@linkcode WAL.logInsert}.
   *
   * @param items read once, before anything is written; an empty batch resolves and writes nothing.
   * @throws {RangeError} also if the batch is larger than the ring.
   */
  batchInsert(items: Iterable<InsertItem>): Promise<void> {
    return this.#batch(OpType.Insert, items, checkInsertItem);
  }

  /** Logs deletes as one batch. As {@linkcode WAL.batchInsert}. */
  batchDelete(items: Iterable<DeleteItem>): Promise<void> {
    return this.#batch(OpType.Delete, items, checkDeleteItem);
  }

  /**
   * Appends an insert without waiting for the medium: it outlives this process at once, and power loss after the next `flush()`.
   *
   * @returns its LSN.
   * @throws as {@linkcode WAL.logInsert} rejects; {@linkcode WALFullError} at once if no slot is free.
   */
  logInsertSync(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): LSN {
    checkU64(keyHigh, "keyHigh");
    checkU64(keyLow, "keyLow");
    checkU64(valueHigh, "valueHigh");
    checkU64(valueLow, "valueLow");
    return this.#append(OpType.Insert, keyHigh, keyLow, valueHigh, valueLow, time);
  }

  /** Appends a delete without waiting for the medium. As {@linkcode WAL.logInsertSync}. */
  logDeleteSync(keyHigh: U64, keyLow: U64, time?: HybridTimeInput): LSN {
    checkU64(keyHigh, "keyHigh");
    checkU64(keyLow, "keyLow");
    return this.#append(OpType.Delete, keyHigh, keyLow, 0, 0, time);
  }

  /** Appends a delete of one value without waiting for the medium. As {@linkcode WAL.logInsertSync}. */
  logDeleteValueSync(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): LSN {
    checkU64(keyHigh, "keyHigh");
    checkU64(keyLow, "keyLow");
    checkU64(valueHigh, "valueHigh");
    checkU64(valueLow, "valueLow");
    return this.#append(OpType.DeleteValue, keyHigh, keyLow, valueHigh, valueLow, time);
  }

  /**
   * Appends inserts as one batch without waiting for the medium.
   *
   * @returns the LSN of the last one; for an empty batch, of the newest record in the log, 0 if there never was one.
   */
  batchInsertSync(items: Iterable<InsertItem>): LSN {
    return this.#appendBatch(OpType.Insert, takeItems(items, checkInsertItem));
  }

  /** Appends deletes as one batch. As {@linkcode WAL.batchInsertSync}. */
  batchDeleteSync(items: Iterable<DeleteItem>): LSN {
    return this.#appendBatch(OpType.Delete, takeItems(items, checkDeleteItem));
  }

  /**
   * Makes everything appended durable before it returns; holds the event loop for one sync.
   *
   * @throws {WALSyncError} {@linkcode WALFileGoneError} {@linkcode WALClosedError}
   */
  flush(): void {
    this.#mustBeGood("flush");
    try {
      this.#commit.flush();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** Resolves when everything appended before the call is durable. As {@linkcode WAL.flush}, without holding the event loop. */
  flushAsync(): Promise<void> {
    try {
      this.#mustBeGood("flush");
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#commit.durable === this.#head - 1 ? Promise.resolve() : this.#commit.wait();
  }

  /**
   * Writes a checkpoint record and makes it, with everything before it, durable: everything up to `appliedThrough` is in the
   * store, durably, and may be released. It releases nothing by itself unless the ring is full.
   *
   * @param appliedThrough defaults to what a consumer has applied; one below an earlier checkpoint is taken as that.
   * @returns the LSN of the checkpoint record.
   * @throws {RangeError} if `appliedThrough` was not appended yet, or is past what a running consumer has applied.
   * @throws {WALFullError} if no slot is free, and none can be freed.
   */
  checkpoint(appliedThrough: LSN = this.#applied): LSN {
    this.#mustBeGood("write a checkpoint");
    checkLsn(appliedThrough, "appliedThrough");
    this.#checkConfirmable(appliedThrough, this.#head - 1, "appended");
    const through = Math.max(appliedThrough, this.#checkpointed);
    this.flush();
    this.#checkpointed = Math.max(this.#checkpointed, this.#lastGiven(appliedThrough));
    if (through > this.#applied) this.#applied = through;
    if (this.#head - this.#durableTail === this.#slots.count) {
      this.#release(through);
      if (this.#tail > this.#durableTail) this.#writeHeader();
    }
    const lsn = this.#append(OpType.Checkpoint, 0, 0, 0, this.#checkpointed, undefined);
    this.flush();
    return lsn;
  }

  /**
   * Lets go of every record up to an LSN; its slot may be used again. Part of a batch is kept until all of it is confirmed. What
   * was released before is no error.
   *
   * @throws {RangeError} if records up to there are not durable yet, or, while a consumer runs, not applied; or if it is no
   * integer.
   */
  truncate(confirmedThroughPos: LSN): void {
    this.#mustBeGood("truncate");
    checkLsn(confirmedThroughPos, "confirmedThroughPos");
    this.#checkConfirmable(confirmedThroughPos, this.#commit.durable, "durable");
    this.#release(confirmedThroughPos);
    if (this.#isHeaderWanted()) this.#commit.schedule();
  }

  /**
   * All records from tail to head in LSN order, verified, over one private copy. 64 bytes and a small object each: for a big log
   * see {@linkcode WAL.records} and {@linkcode WAL.cursor}.
   *
   * @throws {WALCorruptError} if one of them is damaged.
   */
  replay(): WALRecord[] {
    const source = this.#readSource();
    source.check();
    return this.#head === this.#tail ? [] : copyRecords(source, this.#tail, this.#head - 1);
  }

  /**
   * Records in LSN order, read a piece at a time as the iteration goes on.
   *
   * @throws {RangeError} if an end of the range is no LSN.
   * @throws {WALTruncatedError} if the range starts before the tail, or the log lets go of it before it is read.
   * @throws {WALCorruptError} if a record is damaged.
   */
  records(range: RecordRange = {}): IterableIterator<WALRecord> {
    const [first, last] = this.#checkRange(range);
    return iterateRecords(this.#readSource(), first, last);
  }

  /** The same through one reused object that reads in place and allocates nothing: see {@linkcode Cursor}. */
  cursor(range: RecordRange = {}): Cursor {
    const [first, last] = this.#checkRange(range);
    return new RingCursor(this.#readSource(), first, last);
  }

  /**
   * Applies durable records to a store, in LSN order, whole batches, and then lets the log go of them; goes on until it is stopped.
   * Resolves when the signal aborts or the log is closed. One consumer at a time.
   *
   * @param options a number is the poll interval in seconds.
   * @throws whatever the store throws, unless `onError` asks for a retry; nothing is lost or skipped then.
   * @throws {WALConsumingError} if a consumer runs.
   * @throws {WALStoreError} if the store's `appliedLsn()` does not belong to this log.
   * @throws {WALCorruptError} if a record is damaged.
   */
  consumeAsync(store: Store, options: ConsumeOptions | number = {}): Promise<void> {
    let given: ReturnType<typeof checkConsumeOptions>;
    try {
      given = checkConsumeOptions(store, options);
      this.#mustBeGood("consume");
      if (this.#consuming !== null) throw new WALConsumingError();
    } catch (error) {
      return Promise.reject(error);
    }
    this.#consuming = this.#consume(store, given);
    return this.#consuming;
  }

  /**
   * Resolves when a consumer has applied everything up to an LSN, whoever started it; at once if it has.
   *
   * @param lsn the newest record if left out.
   * @throws {RangeError} if the record was not appended yet.
   * @throws {WALClosedError} if no consumer runs, or it stops before; what it rejects with, if it fails.
   */
  whenApplied(lsn: LSN = this.#head - 1): Promise<void> {
    try {
      this.#mustBeGood("wait for the consumer");
      checkLsn(lsn, "lsn");
      if (lsn >= this.#head) {
        throw new RangeError(`Cannot wait for LSN ${lsn}: records are appended up to LSN ${this.#head - 1}`);
      }
      if (lsn <= this.#applied) return Promise.resolve();
      if (this.#consuming === null) throw new WALClosedError("wait for the consumer", "no consumer runs");
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#milestones.wait(lsn);
  }

  async #consume(store: Store, given: ReturnType<typeof checkConsumeOptions>): Promise<void> {
    const stop = this.#consumerStop = new AbortController();
    const region = this.#region;
    const abort = () => stop.abort();
    if (given.signal?.aborted) stop.abort();
    given.signal?.addEventListener("abort", abort);
    let ending: unknown = new WALClosedError("wait for the consumer", "it was stopped");
    try {
      await new Consumer(this.#consumableLog(), store, { ...given, signal: stop.signal }).run();
    } catch (error) {
      ending = error;
      throw error;
    } finally {
      this.#milestones.rejectAll(ending);
      given.signal?.removeEventListener("abort", abort);
      this.#consuming = null;
      if (this.#region === region) {
        this.#room.rejectAll((records) => this.#fullError(records, ", and the consumer ended"));
      }
    }
  }

  /**
   * Writes a copy of everything durable into a new log, which is cleanly closed and has the same LSNs. A file copied while the log
   * is written would mix old and new blocks.
   *
   * @param path where to; there must be no file. A log in memory can be backed up too.
   * @returns the first and last LSN of the copy; `last < first` if it is empty.
   * @throws {WALIOError} if there is a file already, and as `open()` throws.
   */
  backup(path: string | URL): { first: LSN; last: LSN } {
    this.#mustBeGood("back up");
    const to = checkPath(path);
    if (to === null) throw new TypeError("Cannot back up the log: the path is null");
    const source = this.#readSource();
    const first = this.#tail;
    const last = this.#commit.durable;
    const { created } = this.#writer.latest;
    const image = logImage({
      capacity: this.#slots.count,
      tail: first,
      head: last + 1,
      checkpoint: Math.min(this.#checkpointed, last),
      timeNanos: this.#clock.nanos,
      timeSeq: this.#clock.seq,
      createdNanos: created,
      recordAt: (lsn) => ({
        record: copyRecords(source, lsn, lsn)[0],
        batchGoesOn: this.#slots.batchGoesOn(slotOf(lsn, this.#slots.count)),
      }),
    });
    try {
      this.#options.storage().write(to, [image], roundFileBytes(image.byteLength));
    } catch (error) {
      throw toWALError(error, to, last);
    }
    return { first, last };
  }

  /** The path as it was given, or null for anonymous memory. */
  get path(): string | null {
    return this.#path;
  }

  /** File size in bytes; 0 while the log is closed. */
  get size(): number {
    return this.#region === null ? 0 : this.#region.buffer.byteLength;
  }

  /** How many records the ring can hold; 0 while the log is closed. */
  get capacity(): number {
    return this.#region === null ? 0 : this.#slots.count;
  }

  /** The next LSN to write. */
  get head(): LSN {
    return this.#head;
  }

  /** The oldest LSN kept; equal to `head` if nothing is. */
  get tail(): LSN {
    return this.#tail;
  }

  /** The highest LSN that power loss cannot take. */
  get durable(): LSN {
    return this.#recovery === null ? 0 : this.#commit.durable;
  }

  /** The highest LSN that is in the store, by what a consumer, a checkpoint or `truncate()` said. */
  get applied(): LSN {
    return this.#applied;
  }

  /** Records kept: `head - tail`. */
  get length(): number {
    return this.#head - this.#tail;
  }

  /** True between `open()` and `close()`. */
  get isOpen(): boolean {
    return this.#region !== null;
  }

  /**
   * What the last `open()` found.
   *
   * @throws {WALClosedError} if the log has never been open.
   */
  get recovery(): RecoveryReport {
    if (this.#recovery === null) throw new WALClosedError("report on recovery");
    return this.#recovery;
  }

  /**
   * The moment's figures.
   *
   * @throws {WALClosedError} if the log is closed.
   */
  stats(): WALStats {
    const region = this.#openRegion("take statistics");
    const commit = this.#commit;
    return {
      path: region.path,
      fileSystem: region.fileSystem.name,
      durableMedium: region.fileSystem.durable,
      warnings: this.#warnings(region),
      sizeBytes: region.buffer.byteLength,
      capacity: this.#slots.count,
      length: this.length,
      fillRatio: this.length / this.#slots.count,
      head: this.#head,
      tail: this.#tail,
      durable: commit.durable,
      applied: this.#applied,
      appended: this.#head - this.#firstLsn,
      syncs: commit.syncs,
      headerSyncs: this.#writer.syncs,
      recordsPerSync: commit.syncs === 0 ? 0 : commit.synced / commit.syncs,
      syncLatency: commit.latency.snapshot(),
      flushMode: commit.mode,
      waiting: this.#room.length,
      oldestUnconsumedAgeMs: this.#oldestUnconsumedAgeMs(),
      consuming: this.#consuming !== null,
      poisoned: this.#poison !== null,
    };
  }

  #warnings(region: Region): readonly string[] {
    const { count, totalMs } = this.#commit.latency.snapshot();
    const isSuspect = region.fileSystem.durable && count >= SUSPECT_SYNCS && totalMs / count < SUSPECT_SYNC_MS;
    if (!isSuspect) return region.warnings;
    const us = Math.round(totalMs / count * 1000);
    return [...region.warnings, `A sync takes ${us} µs on average: the medium may confirm what it has not written`];
  }

  #oldestUnconsumedAgeMs(): number {
    const oldest = Math.max(this.#applied + 1, this.#tail);
    if (oldest >= this.#head) return 0;
    const nanos = this.#slots.timeNanosAt(slotOf(oldest, this.#slots.count));
    return Math.max(0, Number(this.#clock.wallNanos() - nanos) / 1e6);
  }

  // Appending.

  #append(opType: OpType, keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTimeInput): LSN {
    if (time !== undefined) this.#checkTime(time);
    if (this.#head >= this.#stop || !this.#turnIsOpen) this.#prepare(1);
    const clock = this.#clock;
    let shard = this.#options.shard;
    if (time === undefined) {
      clock.tick();
    } else {
      clock.observe(BigInt(time[0]), time[1]);
      shard = time[2];
    }
    const lsn = this.#head;
    const slot = this.#slot;
    const distance = lsn - this.#commit.durable;
    this.#slots.write(slot, opType, 0, lsn, distance, clock, shard, keyHigh, keyLow, valueHigh, valueLow);
    this.#head = lsn + 1;
    this.#slot = slot + 1 === this.#slots.count ? 0 : slot + 1;
    return lsn;
  }

  #appendBatch(opType: OpType, items: readonly (InsertItem | DeleteItem)[]): LSN {
    const count = items.length;
    this.#mustBeGood("append");
    if (count === 0) return this.#head - 1;
    if (count > this.#slots.count) {
      throw new RangeError(`Cannot append a batch of ${count} records: the ring holds ${this.#slots.count}`);
    }
    this.#prepare(count);
    const clock = this.#clock;
    const slots = this.#slots;
    const capacity = slots.count;
    const durable = this.#commit.durable;
    const shard = this.#options.shard;
    let lsn = this.#head;
    let slot = this.#slot;
    try {
      for (let i = 0; i < count; i++) {
        const item = items[i];
        clock.tick();
        const flags = i === count - 1 ? 0 : FLAG_BATCH_GOES_ON;
        const valueHigh = opType === OpType.Insert ? (item as InsertItem)[2] : 0;
        const valueLow = opType === OpType.Insert ? (item as InsertItem)[3] : 0;
        slots.write(slot, opType, flags, lsn, lsn - durable, clock, shard, item[0], item[1], valueHigh, valueLow);
        lsn++;
        if (++slot === capacity) slot = 0;
      }
    } catch (error) {
      // A clock or an item of the caller's that throws in the middle: no intact record may stay behind the head.
      for (let written = this.#head; written < lsn; written++) slots.erase(slotOf(written, capacity));
      throw error;
    }
    this.#head = lsn;
    this.#slot = slot;
    return lsn - 1;
  }

  #batch<Item extends InsertItem | DeleteItem>(
    opType: OpType,
    items: Iterable<Item>,
    checkItem: (item: Item, index: number) => void,
  ): Promise<void> {
    let taken: readonly Item[];
    try {
      taken = takeItems(items, checkItem);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#batchTaken(opType, taken);
  }

  #batchTaken(opType: OpType, items: readonly (InsertItem | DeleteItem)[]): Promise<void> {
    try {
      this.#appendBatch(opType, items);
    } catch (error) {
      // The caller's array may change before there is room for it.
      const copy = items.map((item) => [...item] as unknown as InsertItem | DeleteItem);
      return this.#later(error, items.length, () => this.#batchTaken(opType, copy));
    }
    return items.length === 0 ? Promise.resolve() : this.#commit.wait();
  }

  /** Everything that need not be looked at for each append. */
  #prepare(count: number): void {
    this.#mustBeGood("append");
    if (!this.#turnIsOpen) this.#openTurn();
    if (this.#room.length > 0 && !this.#isAdmitting) throw this.#fullError(count, ", and others wait for room");
    const end = this.#head + count;
    if (end > this.#durableTail + this.#slots.count) {
      if (end > this.#tail + this.#slots.count) throw this.#fullError(count, "");
      this.#writeHeader();
    }
    while (this.#prefaulted < end) this.#prefault();
    this.#setStop();
  }

  /** True while those who waited are let in. */
  #isAdmitting = false;

  #openTurn(): void {
    this.#turnIsOpen = true;
    queueMicrotask(this.#closeTurn);
    this.#clock.refresh();
    if (performance.now() - this.#lookedMs > LOOK_EVERY_MS) this.#look();
    // Somebody waits for these records, though perhaps not their caller.
    if (this.#consuming !== null) this.#commit.schedule();
  }

  /** Faults in the pages of the next records, as far as the next multiple of the step or the end of the ring. */
  #prefault(): void {
    const slot = slotOf(this.#prefaulted, this.#slots.count);
    const step = Math.min(PREFAULT_RECORDS - (slot % PREFAULT_RECORDS), this.#slots.count - slot);
    const last = this.#prefaulted + step - 1;
    const region = this.#region!;
    const [{ offset, length }] = rangesOf(this.#prefaulted, last, this.#slots.count);
    try {
      if (last < this.#unreadBefore) this.#readAhead(region, offset, length);
      region.prefault(offset, length);
    } catch (error) {
      // Without space nothing was stored and nothing is lost: only this append fails.
      const translated = toWALError(error, region.path, this.#commit.durable);
      throw translated instanceof WALSpaceError ? translated : this.#fail(error);
    }
    this.#prefaulted = last + 1;
  }

  /** In the first lap after opening, pages may have to come from the medium: they are asked for one step early. */
  #readAhead(region: Region, offset: number, length: number): void {
    const end = Math.min(region.buffer.byteLength, offset + 2 * length);
    region.readAhead(offset, end - offset);
  }

  #setStop(): void {
    this.#stop = Math.min(this.#durableTail + this.#slots.count, this.#prefaulted);
    if (this.#room.length > 0 && !this.#isAdmitting) this.#stop = 0;
  }

  #hasRoom(count: number): boolean {
    return this.#head + count <= this.#durableTail + this.#slots.count;
  }

  /** What becomes of an async append that could not be done: it waits for room if there can be some, or rejects. */
  #later(error: unknown, count: number, retry: () => Promise<void>): Promise<void> {
    if (!(error instanceof WALFullError) || this.#consuming === null || count > this.#slots.count) {
      return Promise.reject(error);
    }
    if (storeCalls.getStore() === this.#consumed) {
      return Promise.reject(this.#fullError(count, ", and only the store that this is called from can make room"));
    }
    const waiting = this.#room.enter(
      count,
      retry,
      this.#options.fullTimeoutMs,
      () => {
        queueMicrotask(() => this.#admit()); // the next in line may fit
        return this.#fullError(count, ` after ${this.#options.fullTimeoutMs} ms`);
      },
    );
    this.#stop = 0;
    this.#commit.schedule();
    this.#wakeConsumer("durable");
    return waiting;
  }

  #admit(): void {
    if (this.#room.length === 0) return;
    this.#isAdmitting = true;
    try {
      this.#room.admit((count) => this.#hasRoom(count));
    } finally {
      this.#isAdmitting = false;
      this.#setStop();
    }
  }

  #fullError(count: number, why: string): WALFullError {
    return new WALFullError(this.#slots.count, this.#tail, this.#head, count, why);
  }

  #checkTime(time: HybridTimeInput): void {
    checkTime(time);
    const nanos = BigInt(time[0]);
    const clock = this.#clock;
    const isLater = nanos > clock.nanos || (nanos === clock.nanos && time[1] >= clock.seq);
    if (!isLater) {
      throw new RangeError(
        `Cannot use [${nanos}, ${time[1]}, ${time[2]}] as time: the log is at [${clock.nanos}, ${clock.seq}] already`,
      );
    }
    const { maxClockDriftMs } = this.#options;
    if (maxClockDriftMs === Infinity) return;
    const aheadMs = Number(nanos - clock.wallNanos()) / 1e6;
    if (aheadMs > maxClockDriftMs) {
      throw new RangeError(
        `Cannot use [${nanos}, ${time[1]}, ${time[2]}] as time: it is ${aheadMs} ms ahead of the clock, ` +
          `${maxClockDriftMs} ms are allowed`,
      );
    }
  }

  // Syncing.

  #commitTarget() {
    // deno-lint-ignore no-this-alias
    const wal = this;
    return {
      get head(): LSN {
        return wal.#head;
      },
      syncRecords(first: LSN, last: LSN): void {
        const region = wal.#region!;
        for (const { offset, length } of rangesOf(first, last, wal.#slots.count)) region.sync(offset, length);
        wal.#look();
      },
      async syncRecordsAsync(first: LSN, last: LSN): Promise<void> {
        const region = wal.#region!;
        for (const { offset, length } of rangesOf(first, last, wal.#slots.count)) {
          await region.syncAsync(offset, length);
        }
        if (wal.#region === region) wal.#look();
      },
      headerWanted: () => wal.#isHeaderWanted(),
      syncHeader: () => wal.#writeHeader(),
      async syncHeaderAsync(): Promise<void> {
        const region = wal.#region;
        wal.#headerRequested = false;
        const positions = wal.#positions();
        await wal.#writer.writeAsync(positions);
        if (wal.#region === region) wal.#durableTail = Math.max(wal.#durableTail, positions.tail);
      },
      advanced: () => wal.#advanced(),
      failed: (error: unknown) => {
        wal.#fail(error);
      },
    };
  }

  #advanced(): void {
    this.#setStop();
    this.#admit();
    if (this.#commit.durable > this.#writer.latest.durable) this.#armIdleTimer();
    this.#wakeConsumer("durable");
  }

  #isHeaderWanted(): boolean {
    const gain = this.#tail - this.#durableTail;
    const part = this.#slots.count / HEADER_PART;
    const free = this.#durableTail + this.#slots.count - this.#head;
    return this.#headerRequested || (gain > 0 && (this.#room.length > 0 || gain >= part || free < part));
  }

  #positions(): HeaderPositions {
    return {
      tail: this.#tail,
      durable: this.#commit.durable,
      checkpoint: Math.min(this.#checkpointed, this.#commit.durable),
      timeNanos: this.#clock.nanos,
      timeSeq: this.#clock.seq,
      cleanHead: 0,
      openerPid: process.pid,
    };
  }

  /** Writes the header and makes it durable before it returns: its tail's slots may be used again. */
  #writeHeader(): void {
    this.#headerRequested = false;
    const positions = this.#positions();
    try {
      this.#writer.write(positions);
      this.#look();
    } catch (error) {
      throw this.#fail(error);
    }
    this.#durableTail = positions.tail;
  }

  /** Once the log is idle, the header notes what is durable, so that the last group has a witness too. */
  #armIdleTimer(): void {
    const { idleHeaderDelayMs } = this.#options;
    if (this.#idleTimer !== null || idleHeaderDelayMs > LONGEST_TIMER_MS) return;
    const { durable } = this.#commit;
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = null;
      if (this.#region === null || this.#poison !== null) return;
      if (this.#commit.durable !== durable) return this.#armIdleTimer();
      this.#headerRequested = true;
      this.#commit.schedule();
    }, idleHeaderDelayMs);
    this.#idleTimer.unref();
  }

  /** Looks whether the file is still there. */
  #look(): void {
    this.#lookedMs = performance.now();
    try {
      this.#region!.verify();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** Poisons the log; the first failure is the one that counts. */
  #fail(error: unknown): WALError {
    if (this.#poison !== null) return this.#poison;
    const path = this.#region?.path ?? this.#path;
    const translated = toWALError(error, path, this.#commit.durable);
    this.#poison = translated instanceof WALError
      ? translated
      : new WALIOError(path, null, `Cannot go on with the log: ${String(error)}`, { cause: error });
    this.#stop = 0;
    this.#commit.stop(this.#poison);
    this.#room.rejectAll(() => this.#poison);
    this.#milestones.rejectAll(this.#poison);
    this.#wakeConsumer("durable");
    return this.#poison;
  }

  #openRegion(action: string): Region {
    if (this.#region === null) throw new WALClosedError(action);
    return this.#region;
  }

  #mustBeGood(action: string): void {
    this.#openRegion(action);
    if (this.#poison !== null) throw this.#poison;
  }

  // Releasing and reading.

  #checkConfirmable(lsn: LSN, limit: LSN, what: string): void {
    if (lsn > limit) {
      throw new RangeError(`Cannot confirm LSN ${lsn}: records are ${what} up to LSN ${limit}`);
    }
    if (this.#consuming !== null && lsn > this.#applied) {
      throw new RangeError(
        `Cannot confirm LSN ${lsn}: the running consumer has applied records up to LSN ${this.#applied}`,
      );
    }
  }

  /**
   * The last record up to an LSN that stores are given; 0 if none is retained. Checkpoints are the log's own: no store's `appliedLsn()`
   * ever reaches one, so a checkpoint that named one would have every store refused.
   */
  #lastGiven(through: LSN): LSN {
    let lsn = through;
    while (lsn >= this.#tail && this.#slots.opTypeAt(slotOf(lsn, this.#slots.count)) === OpType.Checkpoint) lsn--;
    return lsn < this.#tail ? 0 : lsn;
  }

  /** Moves the tail behind the last whole batch up to an LSN. */
  #release(through: LSN): void {
    let last = Math.min(through, this.#head - 1);
    while (last >= this.#tail && this.#slots.batchGoesOn(slotOf(last, this.#slots.count))) last--;
    if (last < this.#tail) return;
    this.#tail = last + 1;
    if (last > this.#applied) this.#applied = last;
    assert(this.#tail <= this.#commit.durable + 1, "only durable records are released");
  }

  #checkRange(range: RecordRange): [first: LSN, last: LSN] {
    this.#openRegion("read");
    const { from = this.#tail, to = this.#head - 1 } = range;
    checkInteger(from, "from", 1, Number.MAX_SAFE_INTEGER);
    checkLsn(to, "to");
    if (from < this.#tail) throw new WALTruncatedError(from, this.#tail);
    return [from, Math.min(to, this.#head - 1)];
  }

  #readSource(): ReadSource {
    const region = this.#openRegion("read");
    // deno-lint-ignore no-this-alias
    const wal = this;
    return {
      path: region.path,
      get tail(): LSN {
        return wal.#tail;
      },
      slots(): Slots {
        if (wal.#region !== region) throw new WALClosedError("read");
        return wal.#slots;
      },
      check(): void {
        if (wal.#region !== region) throw new WALClosedError("read");
        wal.#look();
      },
    };
  }

  // Consuming.

  /** The log as its consumer sees it, while there is one. */
  #consumed: ConsumableLog | null = null;

  #consumableLog(): ConsumableLog {
    // deno-lint-ignore no-this-alias
    const wal = this;
    const region = this.#region;
    const log: ConsumableLog = {
      get tail() {
        return wal.#tail;
      },
      get durable() {
        return wal.#commit.durable;
      },
      get applied() {
        return wal.#applied;
      },
      get checkpointed() {
        return wal.#checkpointed;
      },
      get capacity() {
        return wal.#slots.count;
      },
      get isOpen() {
        return wal.#region === region;
      },
      get isWanted() {
        return wal.#room.length > 0;
      },
      readRun: (first, count) => wal.#readRun(first, count),
      whenDurable: (lsn, timeoutMs, signal) => wal.#whenDurable(lsn, timeoutMs, signal),
      pause: (delayMs, signal) => wal.#pause(delayMs, signal).then(() => {}),
      noteApplied: (lsn) => {
        if (wal.#region !== region || lsn <= wal.#applied) return;
        wal.#applied = lsn;
        wal.#milestones.reached(lsn);
      },
      confirm: (lsn, record) => wal.#confirm(lsn, record),
    };
    this.#consumed = log;
    return log;
  }

  #readRun(first: LSN, count: number): WALRecord[] {
    this.#mustBeGood("consume");
    const { durable } = this.#commit;
    const capacity = this.#slots.count;
    let last = Math.min(durable, first + count - 1);
    while (last < durable && this.#slots.batchGoesOn(slotOf(last, capacity))) last++;
    // Looked at in place: a flag that was damaged shows in the copy's checksum.
    const records = copyRecords(this.#readSource(), first, last);
    if (this.#slots.look(slotOf(last, capacity), last) !== SlotState.Record) throw damage(this.#readSource(), last);
    return records;
  }

  async #whenDurable(lsn: LSN, timeoutMs: number, signal: AbortSignal): Promise<WakeReason> {
    if (this.#poison !== null) throw this.#poison;
    if (this.#region === null || signal.aborted) return "stopped";
    if (this.#commit.durable >= lsn) return "durable";
    if (this.#commit.durable < this.#head - 1) this.#commit.schedule();
    const reason = await this.#pause(timeoutMs, signal);
    if (this.#poison !== null) throw this.#poison;
    return reason;
  }

  #pause(timeoutMs: number, signal: AbortSignal): Promise<WakeReason> {
    const { promise, resolve } = Promise.withResolvers<WakeReason>();
    const wake = (reason: WakeReason) => {
      if (this.#wake === wake) this.#wake = null;
      if (timer !== null) clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      resolve(reason);
    };
    const abort = () => wake("stopped");
    const timer = timeoutMs > LONGEST_TIMER_MS ? null : setTimeout(() => wake("time"), timeoutMs);
    signal.addEventListener("abort", abort);
    this.#wake = wake;
    return promise;
  }

  #wakeConsumer(reason: WakeReason): void {
    this.#wake?.(reason);
  }

  async #confirm(lsn: LSN, record: boolean): Promise<void> {
    this.#mustBeGood("write a checkpoint");
    this.#checkpointed = Math.max(this.#checkpointed, this.#lastGiven(lsn));
    // In a full ring the header alone has to do: it holds the same LSN.
    if (record && this.#room.length === 0 && this.#hasRoom(1)) {
      this.#append(OpType.Checkpoint, 0, 0, 0, this.#checkpointed, undefined);
      await this.#commit.wait();
      if (this.#region === null) return;
    }
    this.#release(lsn);
    if (this.#isHeaderWanted()) this.#commit.schedule();
  }
}
