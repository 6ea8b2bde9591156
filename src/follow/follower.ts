// Follower: what callers hold. It reads a log that another process may be writing.

import type { ReadingSystem } from "../../ffi/readable_file.ts";
import type { Storage } from "../../ffi/region.ts";
import { LoopTurn } from "../../ffi/turn.ts";
import type { TakenFollowing } from "../arguments/follow.ts";
import { checkFilePath } from "../arguments/paths.ts";
import { checkRange, takeRange, takeThrough } from "../arguments/range.ts";
import { toWALError, WALTruncatedError } from "../errors.ts";
import { fileBytesOf, roundFileBytes } from "../format/ring.ts";
import { narrowed } from "../read/by_time.ts";
import { copyVerified, iterateRecords, reusedBytes } from "../read/copies.ts";
import { type Cursor, RingCursor } from "../read/cursor.ts";
import { imagePieces } from "../recovery/image.ts";
import { takeConsumer } from "../arguments/consumer.ts";
import { Consumer } from "../consume/consumer.ts";
import { givePositionBack } from "../consume/position.ts";
import { FollowFeed } from "./follow_feed.ts";
import type {
  ApplicableStore,
  BackupOptions,
  FollowerConsumeOptions,
  FollowerStats,
  LSN,
  RecordRange,
  WALRecord,
} from "../types.ts";
import { Bell } from "./bell.ts";
import { FollowedLog } from "./followed_log.ts";
import { RunReader } from "./run_reader.ts";
import { Window } from "./window.ts";

/** What a follower needs of the system. */
export interface FollowerParts {
  readonly reading: ReadingSystem;
  /** Where backups are written. */
  readonly storage: () => Storage;
}

/**
 * Reads a log while another process, worker or runtime writes it.
 * {@linkcode WAL.follow} makes one.
 *
 * A follower takes no lock, maps nothing and writes nothing. So it also reads logs on a read-only
 * medium, and in a snapshot. The writer does not know of it: it waits for no follower, and a
 * follower that dies leaves nothing behind.
 *
 * It shows whole batches only, and only records that are durable, unless `mode` says otherwise. Of
 * the newest durable records it learns a little late: at the next record, or when the idle writer
 * notes them in the header, `idleHeaderDelayMs` after the last commit. A writer that was opened
 * with `followers: true` tells at once.
 *
 * @example
 * ```ts
 * import { WAL } from "@cidstore/wal";
 *
 * const path = "follow-example.wal";
 * using wal = WAL.open(path); // usually in another process
 * await wal.batchInsert([[1, 2, 3, 4], [5, 6, 7, 8]]);
 *
 * using follower = WAL.follow(path, { mode: "appended" });
 * for (const { lsn, keyHigh } of follower.records()) console.log(lsn, keyHigh); // 1 1n, then 2 5n
 * ```
 */
export class Follower implements Disposable {
  readonly #log: FollowedLog;
  readonly #parts: FollowerParts;
  readonly #options: TakenFollowing;
  /** Aborts with `close()`. */
  readonly #closing = new AbortController();
  readonly #abort = () => this.close();

  /** Made by {@linkcode WAL.follow}. */
  constructor(path: string, options: TakenFollowing, parts: FollowerParts) {
    this.#parts = parts;
    this.#options = options;
    this.#log = new FollowedLog(path, parts.reading, options.includesAppended);
    options.signal?.addEventListener("abort", this.#abort);
    if (options.signal?.aborted) this.close();
  }

  /** The log's absolute path, without symbolic links. */
  get path(): string {
    return this.#log.path;
  }

  /**
   * The log's id, as {@linkcode WAL.logId}. It changes if the log forks, or is put back from a
   * copy.
   */
  get logId(): string {
    return this.#log.header.lineage.logId;
  }

  /** One more than the newest record that the last look found, durable or not. */
  get head(): LSN {
    return this.#log.ends.head;
  }

  /** The oldest LSN that the log keeps, as the header said at the last look. */
  get tail(): LSN {
    return this.#log.header.tail;
  }

  /** The highest LSN that was known to be durable at the last look. */
  get durable(): LSN {
    return this.#log.ends.durable;
  }

  /** False after `close()`. */
  get isOpen(): boolean {
    return this.#log.isOpen;
  }

  /**
   * Records in LSN order, as {@linkcode WAL.records}. The range ends with the newest record that
   * may be read at the call.
   *
   * Records before the tail are read too, for as long as the writer has not used their slots again.
   *
   * @throws {WALLaggedError} if a record is released and overwritten.
   * @throws {WALRewoundError} if the log went back, and lacks a record that was read before.
   * @throws {WALCorruptError} if a record is damaged.
   * @throws {WALFileGoneError} if the file was deleted, cut, or replaced by another log.
   * @throws {RangeError} or {TypeError} if an end of the range is no LSN, or no time.
   * @throws {WALClosedError} if the follower is closed.
   */
  // `any` as in WAL.records().
  // deno-lint-ignore no-explicit-any
  records(range: RecordRange = {}): Generator<WALRecord, any, undefined> {
    const { window, first, last } = this.#readable(range, true);
    return iterateRecords(window, first, last);
  }

  /**
   * The records of {@linkcode Follower.records} through one reused object: see {@linkcode Cursor}.
   * It shows a copy, so what it shows stays valid until the next `next()`.
   */
  cursor(range: RecordRange = {}): Cursor {
    const { window, first, last } = this.#readable(range, true);
    return new RingCursor(window, first, last);
  }

  /**
   * All records from `from` on, for ever: it waits for new ones. It ends when the follower is
   * closed, and it gives way to others as it reads.
   *
   * @throws as {@linkcode Follower.records}, except for what concerns a range.
   *
   * @example
   * ```ts
   * import { WAL } from "@cidstore/wal";
   *
   * const path = "iterate-example.wal";
   * await using wal = WAL.open(path, { followers: true }); // usually in another process
   * await wal.logInsert(1, 2, 3, 4);
   *
   * using follower = WAL.follow(path);
   * for await (const { lsn, valueLow } of follower) {
   *   console.log(lsn, valueLow); // 1 4n
   *   break;
   * }
   * ```
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<WALRecord, undefined, undefined> {
    const log = this.#log;
    log.mustBeOpen("read");
    const { from, pollIntervalMs } = this.#options;
    const bell = new Bell(this.#parts.reading, log.live, pollIntervalMs, this.#closing.signal);
    const reader = new RunReader(log);
    const turn = new LoopTurn();
    let next = from === 0 ? log.header.tail : from;
    try {
      while (log.isOpen) {
        log.lookForMore();
        if (next > log.last) await bell.wait();
        while (log.isOpen && next <= log.last) {
          bell.found();
          for (const record of reader.readWhole(next, RECORDS_AT_ONCE)) {
            yield record;
            next = record.lsn + 1;
            if (!log.isOpen) return;
          }
          if (turn.isOver(performance.now())) await turn.end();
        }
      }
    } finally {
      bell.close();
    }
  }

  /**
   * Applies records to a store as they come, as {@linkcode WAL.consumeAsync} does: the same store,
   * exactly once with `appliedLsn()`, the same `onError`. Nothing is confirmed to the log, which
   * releases records when its own consumers have them.
   *
   * A store without `appliedLsn()` begins with `from`. Another one goes on after its own LSN. If
   * that record is gone, the consumer ends with `WALLaggedError` and skips nothing.
   *
   * @param options as of `consumeAsync()`, without what concerns named consumers. `pollIntervalMs`
   * is how long no record comes before `sync()` is called.
   * @returns when the follower is closed, or the signal aborts.
   * @throws {WALStoreError} if the store belongs to another log, or is ahead of this one.
   * @throws {WALConsumingError} if the store has an LSN, and another consumer of the log in this
   * process is filling it.
   * @throws as {@linkcode Follower.records}, or what the store throws.
   */
  async consumeAsync(store: ApplicableStore, options: FollowerConsumeOptions = {}): Promise<void> {
    const given = takeConsumer(store, options);
    const { name, bounds: { maxLagRecords, keepRecords }, storeItself, signal } = given;
    if (name !== "" || maxLagRecords !== 0 || keepRecords !== 0) {
      throw new TypeError("Cannot consume the log: a follower has no name, and holds no records back");
    }
    const log = this.#log;
    log.mustBeOpen("consume");
    const stop = new AbortController();
    const feed = new FollowFeed(log, this.#parts.reading, this.#options, stop.signal);
    const abort = () => stop.abort();
    const close = () => {
      feed.close();
      stop.abort();
    };
    this.#closing.signal.addEventListener("abort", close);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) stop.abort();
    try {
      await new Consumer(feed, given, stop.signal).run();
    } finally {
      feed.close();
      givePositionBack(storeItself, feed);
      this.#closing.signal.removeEventListener("abort", close);
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Reads records and verifies each of them.
   *
   * @returns the first and the last one; `last < first` if there is none.
   * @throws as {@linkcode Follower.records}.
   */
  verify(range: RecordRange = {}): { first: LSN; last: LSN } {
    const { window, first, last } = this.#readable(range, false);
    for (let lsn = first; lsn <= last; lsn += VERIFIED_AT_ONCE) {
      window.makeReadable(lsn, Math.min(last, lsn + VERIFIED_AT_ONCE - 1));
    }
    return { first, last };
  }

  /**
   * Writes a copy of the records from the tail on, as {@linkcode WAL.backup}. The copy ends with
   * the newest record that may be read. It needs what opening a log needs.
   *
   * @throws {WALTruncatedError} if the record that is to be the last was released.
   * @throws {WALLaggedError} if the writer overwrites a record before it is copied. Then no file is
   * left.
   * @throws as {@linkcode WAL.backup} and {@linkcode Follower.records}.
   */
  backup(path: string | URL, options: BackupOptions = {}): { first: LSN; last: LSN } {
    const to = checkFilePath(path);
    const through = takeThrough(options);
    const log = this.#log;
    log.look();
    const { header } = log;
    const { tail } = header;
    // As in a backup of the writer: before LSN 1 there was nothing that could have been released.
    if (through < Math.min(tail, log.last) && tail > 1) throw new WALTruncatedError(through, tail);
    const last = through >= log.last ? log.last : log.reader.lastWhole(tail, through);
    const { timeNanos, timeSeq } = last < tail ? header : log.reader.timeOf(last);
    const checkpoint = Math.min(header.checkpoint, last);
    const state = { tail, head: last + 1, checkpoint, timeNanos, timeSeq, consumers: [] };
    const window = new Window(log, last - tail + 1, false);
    const bytes = reusedBytes();
    const pieces = imagePieces({
      header,
      state,
      read: (from, to, seed) => copyVerified(window, from, to, 0, bytes).reseal(seed),
    });
    try {
      this.#parts.storage().write(to, pieces, roundFileBytes(fileBytesOf(header.capacity)));
    } catch (error) {
      throw toWALError(error, to, last);
    }
    return { first: tail, last };
  }

  /**
   * Looks at the file, and says what is in it now.
   *
   * @throws as {@linkcode Follower.records}.
   */
  stats(): FollowerStats {
    const log = this.#log;
    log.look();
    const { path, ends: { head, durable }, given, file: { header: { lineage, tail }, warnings } } = log;
    return {
      path,
      logId: lineage.logId,
      head,
      tail,
      durable,
      read: given,
      lag: Math.max(0, log.last - given),
      warnings,
    };
  }

  /** Gives up the file, and ends the iterations. A second call does nothing. */
  close(): void {
    this.#options.signal?.removeEventListener("abort", this.#abort);
    this.#log.close();
    this.#closing.abort();
  }

  /** As `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #readable(asked: RecordRange, gives: boolean): { window: Window; first: LSN; last: LSN } {
    const { from, ...rest } = takeRange(asked);
    const log = this.#log;
    log.look();
    const retained = { tail: 1, head: log.last + 1 };
    const range = checkRange({ from: from ?? log.header.tail, ...rest }, retained);
    const window = new Window(log, range.last - range.first + 1, gives);
    const [first, last] = narrowed(window, range);
    return { window, first, last };
  }
}

/** Records that are verified at once. */
const VERIFIED_AT_ONCE = 1024;
/** Records that an iteration reads at once. */
const RECORDS_AT_ONCE = 512;
