// One opening of a log: its positions, and what moves them. The only file that wires the others together.

import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { REFRESH_BYTES, type Region } from "../ffi/region.ts";
import { assert } from "./assert.ts";
import type { HybridClock } from "./engine/clock.ts";
import {
  type ConsumableLog,
  Consumer,
  isInStoreCall,
  type TakenConsumer,
  type WakeReason,
} from "./consume/consumer.ts";
import { ConsumerWatch } from "./consume/consumer_watch.ts";
import { copyRecords, copyVerified, damage, type ReadSource } from "./read/cursor.ts";
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
import { type CommitTarget, GroupCommit } from "./engine/group_commit.ts";
import type { HeaderPositions, HeaderWriter } from "./engine/header_writer.ts";
import { imagePieces, newLogId } from "./recovery/image.ts";
import type { Batch } from "./arguments/items.ts";
import { forked, type Lineage } from "./format/lineage.ts";
import { Milestones } from "./consume/milestones.ts";
import { checkInteger, checkLsn, LONGEST_TIMER_MS } from "./arguments/numbers.ts";
import type { OpenedLog } from "./recovery/open.ts";
import type { CheckedOptions } from "./arguments/options.ts";
import { QuietTimer } from "./engine/quiet_timer.ts";
import { type Slots, SlotState } from "./format/record.ts";
import { type Range, rangesOf, slotOf } from "./format/ring.ts";
import { RUN_RECORDS } from "./format/run_codec.ts";
import {
  type HybridTime,
  type LatencyHistogram,
  type LSN,
  OpType,
  type RecordRange,
  type RecoveryReport,
  type U64,
  type WALRecord,
  type WALStats,
} from "./types.ts";
import { WaitingRoom } from "./engine/waiting_room.ts";

/** Records whose pages are faulted in at once, ahead of the head: 64 KiB. A fault for each page would cost ten times as much. */
const PREFAULT_RECORDS = 1024;
/**
 * A group of more records than this is cut: appending so many takes as long as a sync, and longer than it takes to hear of one that ran
 * off the thread. A small ring's groups are cut before they fill it.
 */
const CUT_RECORDS = 1536;
/** After so long without a look at the file, an append looks before it stores: a store into a file that was cut kills the process. */
const LOOK_EVERY_MS = 5;
/** Records before and behind one that is looked at in place that are read with it. */
const READABLE_RECORDS = 64;
/** A header with the new tail is written when this part of the ring has been released since the last, or as much as is free. */
const HEADER_PART = 8;
/** Syncs that take less than this on average, over so many, are faster than any medium that keeps data without power. */
const SUSPECT_SYNC_MS = 0.005;
const SUSPECT_SYNCS = 32;
/** A log whose time is ahead of the clock by more than this says so: no clock that is kept right is set back so far. */
const LEAST_AHEAD_MS = 60_000;

/**
 * Up to where a caller confirms, and the last record up to there that stores are given, 0 if none
 * is known.
 */
interface Confirmation {
  readonly through: LSN;
  readonly given: LSN;
}

/** A log as it is copied. */
export interface LogCopy {
  readonly pieces: Iterable<Uint8Array>;
  readonly first: LSN;
  readonly last: LSN;
  /** Says that nothing more is read. */
  readonly end: () => void;
}

/** Always `tail - 1 <= applied <= durable < head` and `head - tail <= capacity`. */
export class Log implements CommitTarget, ConsumableLog, ReadSource {
  readonly path: string | null;
  readonly recovery: RecoveryReport;
  readonly commit: GroupCommit;
  readonly watch: ConsumerWatch;
  readonly #region: Region;
  readonly #openWarnings: readonly string[];
  readonly #slots: Slots;
  readonly #writer: HeaderWriter;
  readonly #options: CheckedOptions;
  readonly #clock: HybridClock;
  readonly #room = new WaitingRoom();
  /** Callers of `whenApplied()`. */
  readonly #milestones = new Milestones();
  readonly #firstLsn: LSN;
  /** Below this LSN, the pages of a log that was there before have not been refreshed since it was opened. */
  readonly #staleBefore: LSN;
  /** Records of an earlier opening whose pages were made sure to be readable last. */
  #readableFrom: LSN = 0;
  #readableEnd: LSN = 0;
  /** The piece of the file that was refreshed last. */
  #freshChunk = -1;

  #isOpen = true;
  /** Why nothing more is promised until the log is reopened. */
  #poison: WALError | null = null;

  /** The next LSN to write. */
  #head: LSN;
  /** Its slot. */
  #slot: number;
  /** The oldest record kept. */
  #tail: LSN;
  #applied: LSN;
  /** What the store is known to have durably. */
  #confirmed: LSN;
  #checkpointed: LSN;
  /** Records up to here were handed out to a consumer of this opening. */
  #handedOut: LSN = 0;
  /** A store has shown in this opening that the file had gone back in time. */
  #hasForked = false;
  /** What an operator should know of the store that a consumer began with last; null for nothing. */
  #storeWarning: string | null = null;
  /** The last released record that stores are given, 0 if this opening has released none. */
  #releasedGiven: LSN = 0;
  /** The oldest record that each running backup has still to read: its slot is not used again, though it be released. */
  readonly #unread = new Set<{ readonly lsn: LSN }>();
  #oldestUnread: LSN = Infinity;
  /** Pages are there to be stored into for records below this LSN. */
  #prefaulted: LSN;
  /** An append at or past this LSN has to look at things first; 0 while appending is not possible at all. */
  #stop: LSN = 0;
  /**
   * The first append of each turn of the event loop looks at the file now and then; the wall clock
   * is read before.
   */
  #turnIsOpen = false;
  /** When the file was last looked at. */
  #lookedMs = 0;
  #headerRequested = false;
  readonly #idleTimer = new QuietTimer();

  #consuming: Promise<void> | null = null;
  #consumerStop = new AbortController();
  /** Ends the consumer's wait. */
  #wake: ((reason: WakeReason) => void) | null = null;

  readonly #closeTurn = () => {
    this.#turnIsOpen = false;
    this.#clock.refresh();
  };

  /** @param clock goes on from the log's highest time. */
  constructor(opened: OpenedLog, options: CheckedOptions, clock: HybridClock) {
    const { region, slots, writer, verdict, report, warnings } = opened;
    this.path = region.path;
    this.recovery = report;
    this.#openWarnings = warnings;
    this.#region = region;
    this.#slots = slots;
    this.#writer = writer;
    this.#options = options;
    this.watch = new ConsumerWatch(() => this.nowMs());
    this.#clock = clock;
    this.#head = this.#prefaulted = this.#firstLsn = verdict.head;
    this.#slot = slotOf(verdict.head, slots.count);
    this.#tail = verdict.tail;
    this.#checkpointed = verdict.checkpoint;
    this.#applied = this.#confirmed = Math.min(Math.max(verdict.checkpoint, verdict.tail - 1), verdict.head - 1);
    this.#staleBefore = region.created ? 0 : verdict.head + slots.count;
    clock.observe(verdict.timeNanos, verdict.timeSeq);
    clock.refresh();
    const cutRecords = region.syncsRangeAside ? Math.min(CUT_RECORDS, Math.ceil(slots.count / 8)) : Infinity;
    this.commit = new GroupCommit(this, options.flush, verdict.head - 1, cutRecords);
    this.#setStop();
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  get lineage(): Lineage {
    return this.#writer.latest.lineage;
  }

  get reachable(): LSN {
    return Math.max(this.#firstLsn - 1, this.#handedOut, this.#checkpointed, this.#tail - 1);
  }

  get head(): LSN {
    return this.#head;
  }

  get tail(): LSN {
    return this.#tail;
  }

  get durable(): LSN {
    return this.commit.durable;
  }

  get applied(): LSN {
    return this.#applied;
  }

  get confirmed(): LSN {
    return this.#confirmed;
  }

  get checkpointed(): LSN {
    return this.#checkpointed;
  }

  get capacity(): number {
    return this.#slots.count;
  }

  get sizeBytes(): number {
    return this.#region.buffer.byteLength;
  }

  nowMs(): number {
    const { monotonic } = this.#options;
    return monotonic === null ? this.#clock.wallMs : monotonic();
  }

  get isWanted(): boolean {
    return this.#room.length > 0;
  }

  slots(): Slots {
    if (!this.#isOpen) throw new WALClosedError("read");
    return this.#slots;
  }

  check(first: LSN, last: LSN): void {
    if (!this.#isOpen) throw new WALClosedError("read");
    this.#look();
    try {
      // What was stored a moment ago, too: the kernel may have written it and let go of it.
      for (const { offset, length } of rangesOf(first, last, this.#slots.count)) {
        this.#region.pageIn(offset, length, "load");
      }
    } catch (error) {
      // What cannot be read is no reason to stop appending.
      const translated = toWALError(error, this.path, this.commit.durable);
      throw translated instanceof WALIOError ? translated : this.#fail(error);
    }
  }

  forget(offset: number, length: number): void {
    this.#region.release(offset, length, "process");
  }

  /** Gives up the file, after everything is durable and the header says so, or after a failure. No-op if it is closed. */
  close(): void {
    if (!this.#isOpen) return;
    const closed = new WALClosedError("append");
    this.#room.rejectAll(() => closed); // first, lest one of them get in behind the last sync
    try {
      if (this.#poison === null) this.#closeCleanly();
      if (this.#poison !== null && this.#head - 1 > this.commit.durable) throw this.#poison;
    } finally {
      this.commit.stop(closed);
      this.#milestones.rejectAll(new WALClosedError("wait for the consumer"));
      this.#idleTimer.clear();
      this.#isOpen = false;
      this.#stop = 0;
      this.#wakeConsumer("stopped");
      this.watch.isOver();
      this.#region.close();
    }
  }

  #closeCleanly(): void {
    try {
      this.commit.flush();
      assert(this.commit.durable === this.#head - 1, "a log is marked clean when all of it is durable");
      this.#writer.write({ ...this.#positions(), cleanHead: this.#head });
      this.#region.verify();
    } catch (error) {
      this.#fail(error);
    }
  }

  // Appending. What callers give has been read and checked, and the wall clock has been read: from
  // here on none of their code runs.

  /** Appends one record. @returns its LSN. */
  append(opType: OpType, keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTime): LSN {
    if (time !== undefined) this.#checkTime(time);
    if (this.#head >= this.#stop || !this.#turnIsOpen) this.#prepare(1);
    const clock = this.#clock;
    let shard = this.#options.shard;
    if (time === undefined) {
      clock.tick();
    } else {
      clock.observe(time[0], time[1]);
      shard = time[2];
    }
    const lsn = this.#head;
    const slot = this.#slot;
    const distance = lsn - this.commit.durable;
    this.#slots.write(slot, opType, 0, lsn, distance, clock, shard, keyHigh, keyLow, valueHigh, valueLow);
    this.#head = lsn + 1;
    this.#slot = slot + 1 === this.#slots.count ? 0 : slot + 1;
    return lsn;
  }

  /** Appends a batch. @returns the LSN of the last one, of the newest record for an empty batch. */
  appendBatch(opType: OpType, { count, words }: Batch): LSN {
    this.#mustBeGood("append");
    if (count === 0) return this.#head - 1;
    this.#prepare(count);
    const clock = this.#clock;
    const slots = this.#slots;
    const capacity = slots.count;
    const durable = this.commit.durable;
    const shard = this.#options.shard;
    const end = this.#head + count;
    let lsn = this.#head;
    let slot = this.#slot;
    clock.tick();
    for (let done = 0; lsn < end;) {
      if (done > 0) clock.next();
      const run = Math.min(end - lsn, RUN_RECORDS, capacity - slot, 1 + clock.timesLeft);
      const part = { opType, words, from: done, count: run, endsBatch: lsn + run === end };
      slots.writeRun(slot, part, lsn, lsn - durable, clock, shard);
      lsn += run;
      done += run;
      slot = slot + run === capacity ? 0 : slot + run;
    }
    this.#head = end;
    this.#slot = slot;
    return this.#head - 1;
  }

  /** Everything that need not be looked at for each append. */
  #prepare(count: number): void {
    this.#mustBeGood("append");
    if (!this.#turnIsOpen) this.#openTurn();
    if (count > this.#slots.count) {
      throw new RangeError(`Cannot append a batch of ${count} records: the ring holds ${this.#slots.count}`);
    }
    if (this.#room.length > 0 && !this.#isAdmitting) throw this.#fullError(count, ", and others wait for room");
    const end = this.#head + count;
    if (end > this.#freeBefore + this.#slots.count) {
      if (end > this.#tail + this.#slots.count) throw this.#fullError(count, "");
      this.#settleTail(end);
      if (end > this.#freeBefore + this.#slots.count) {
        throw this.#fullError(count, ", and a backup has still to read the oldest records");
      }
    }
    this.#prefaultTo(end);
    this.#setStop();
  }

  /** True while those who waited are let in. */
  #isAdmitting = false;

  #openTurn(): void {
    this.#turnIsOpen = true;
    queueMicrotask(this.#closeTurn);
    this.#lookNowAndThen();
    // Somebody waits for these records, though perhaps not their caller.
    if (this.#consuming !== null) this.commit.schedule();
  }

  #prefaultTo(end: LSN): void {
    while (this.#prefaulted < end) this.#prefault();
  }

  /** Faults in the pages of the next records, as far as the next multiple of the step or the end of the ring. */
  #prefault(): void {
    const slot = slotOf(this.#prefaulted, this.#slots.count);
    const step = Math.min(PREFAULT_RECORDS - (slot % PREFAULT_RECORDS), this.#slots.count - slot);
    const last = this.#prefaulted + step - 1;
    const region = this.#region;
    const [{ offset, length }] = rangesOf(this.#prefaulted, last, this.#slots.count) as [Range];
    try {
      if (last < this.#staleBefore) this.#refresh(region, offset);
      region.pageIn(offset, length, "store");
    } catch (error) {
      // Without space nothing was stored and nothing is lost: only this append fails.
      const translated = toWALError(error, region.path, this.commit.durable);
      throw translated instanceof WALSpaceError ? translated : this.#fail(error);
    }
    this.#prefaulted = last + 1;
  }

  /** In the first lap after opening, the file's pages may be held in pieces that would be written whole. */
  #refresh(region: Region, offset: number): void {
    const chunk = Math.floor(offset / REFRESH_BYTES);
    if (chunk === this.#freshChunk) return;
    this.#freshChunk = chunk;
    const start = chunk * REFRESH_BYTES;
    region.release(start, Math.min(REFRESH_BYTES, region.buffer.byteLength - start), "kernel");
  }

  #setStop(): void {
    this.#stop = Math.min(this.#freeBefore + this.#slots.count, this.#prefaulted);
    const mustLook = this.#poison !== null || !this.#isOpen || (this.#room.length > 0 && !this.#isAdmitting);
    if (mustLook) this.#stop = 0;
  }

  /** The slots of records before this LSN may be used again. */
  get #freeBefore(): LSN {
    return Math.min(this.#writer.settledTail, this.#oldestUnread);
  }

  #hasRoom(count: number): boolean {
    return this.#head + count <= this.#freeBefore + this.#slots.count;
  }

  /** What becomes of an async append that could not be done: it waits for room if there can be some, or rejects. */
  later(error: unknown, count: number, retry: () => Promise<void>): Promise<void> {
    const isBackedUp = this.#unread.size > 0;
    const canWait = this.#consuming !== null || isBackedUp;
    if (!(error instanceof WALFullError) || !canWait || count > this.#slots.count) return Promise.reject(error);
    const isReleased = this.#room.length === 0 && this.#head + count <= this.#tail + this.#slots.count;
    if (isInStoreCall(this) && !(isBackedUp && isReleased)) {
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
    this.commit.schedule();
    this.#wakeConsumer("durable");
    return waiting;
  }

  #admit(): void {
    if (this.#room.length > 0) this.#aheadOfOthers(() => this.#room.admit((count) => this.#hasRoom(count)));
  }

  /** Appends though others wait for room. */
  #aheadOfOthers<T>(append: () => T): T {
    this.#isAdmitting = true;
    try {
      return append();
    } finally {
      this.#isAdmitting = false;
      this.#setStop();
    }
  }

  #fullError(count: number, why: string): WALFullError {
    const { why: blame, cause } = this.watch.blame();
    return new WALFullError(this.#slots.count, this.#tail, this.#head, count, why + blame, cause);
  }

  /** A given time's place among other times. */
  #checkTime([nanos, seq, shard]: HybridTime): void {
    const clock = this.#clock;
    const isLater = nanos > clock.nanos || (nanos === clock.nanos && seq >= clock.seq);
    if (!isLater) {
      throw new RangeError(
        `Cannot use [${nanos}, ${seq}, ${shard}] as time: the log is at [${clock.nanos}, ${clock.seq}] already`,
      );
    }
    const { maxClockDriftMs } = this.#options;
    if (maxClockDriftMs === Infinity) return;
    const aheadMs = Number(nanos - clock.wallNanos) / 1e6;
    if (aheadMs > maxClockDriftMs) {
      throw new RangeError(
        `Cannot use [${nanos}, ${seq}, ${shard}] as time: it is ${aheadMs} ms ahead of the clock, ` +
          `${maxClockDriftMs} ms are allowed`,
      );
    }
  }

  // Syncing.

  advanced(): void {
    this.#setStop();
    this.#admit();
    if (this.commit.durable > this.#writer.latest.durable) this.#armIdleTimer();
    this.#wakeConsumer("durable");
  }

  headerWanted(): boolean {
    const unwritten = this.#tail - this.#writer.latest.tail;
    const unsettled = this.#tail - this.#writer.settledTail;
    const free = this.#writer.settledTail + this.#slots.count - this.#head;
    return this.#headerRequested || unwritten >= this.#slots.count / HEADER_PART ||
      (unsettled > 0 && (this.#room.length > 0 || unsettled >= free));
  }

  #positions(): HeaderPositions {
    return {
      tail: this.#tail,
      durable: this.commit.durable,
      checkpoint: Math.min(this.#checkpointed, this.commit.durable),
      timeNanos: this.#clock.nanos,
      timeSeq: this.#clock.seq,
      cleanHead: 0,
      openerPid: process.pid,
    };
  }

  syncRecords(first: LSN, last: LSN): void {
    for (const { offset, length } of rangesOf(first, last, this.#slots.count)) this.#region.sync(offset, length);
    this.#look();
  }

  async syncRecordsAsync(first: LSN, last: LSN): Promise<void> {
    for (const { offset, length } of rangesOf(first, last, this.#slots.count)) {
      await this.#region.syncAsync(offset, length);
    }
    if (this.#isOpen) this.#look();
  }

  syncHeader(): void {
    this.#writeHeader();
  }

  async syncHeaderAsync(): Promise<void> {
    this.#headerRequested = false;
    await this.#writer.writeAsync(this.#positions());
  }

  failed(error: unknown): void {
    this.#fail(error);
  }

  /** Makes room for the records before an LSN, as far as slots are released: one header write or two. */
  #settleTail(end: LSN): void {
    while (end > this.#writer.settledTail + this.#slots.count && this.#writer.settledTail < this.#tail) {
      this.#writeHeader();
    }
  }

  /** Writes the header and makes it durable before it returns. After a second one the tail's slots may be used again. */
  #writeHeader(change: Partial<HeaderPositions> = {}): void {
    this.#headerRequested = false;
    try {
      this.#writer.write({ ...this.#positions(), ...change });
      this.#look();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** Once the log is idle, the header notes what is durable, so that the last group has a witness too. */
  #armIdleTimer(): void {
    const { idleHeaderDelayMs } = this.#options;
    if (this.#idleTimer.isSet || idleHeaderDelayMs > LONGEST_TIMER_MS) return;
    const { durable } = this.commit;
    this.#idleTimer.set(idleHeaderDelayMs, () => {
      if (!this.isOpen || this.#poison !== null) return;
      if (this.commit.durable !== durable) return this.#armIdleTimer();
      this.#headerRequested = true;
      this.commit.schedule();
    });
  }

  /** Looks at the file if that was not done a moment ago: before memory is touched that may be past the end of a file that was cut. */
  #lookNowAndThen(): void {
    if (Math.abs(this.nowMs() - this.#lookedMs) > LOOK_EVERY_MS) this.#look();
  }

  /** Looks whether the file is still there. */
  #look(): void {
    this.#lookedMs = this.nowMs();
    try {
      this.#region.verify();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** Poisons the log; the first failure is the one that counts. */
  #fail(error: unknown): WALError {
    if (this.#poison !== null) return this.#poison;
    const path = this.path;
    const translated = toWALError(error, path, this.commit.durable);
    this.#poison = translated instanceof WALError
      ? translated
      : new WALIOError(path, null, `Cannot go on with the log: ${String(error)}`, { cause: error });
    this.#stop = 0;
    this.commit.stop(this.#poison);
    this.#room.rejectAll(() => this.#poison);
    this.#milestones.rejectAll(this.#poison);
    this.#wakeConsumer("durable");
    return this.#poison;
  }

  #mustBeGood(action: string): void {
    if (!this.#isOpen) throw new WALClosedError(action);
    if (this.#poison !== null) throw this.#poison;
  }

  // Releasing and reading.

  #checkConfirmable(lsn: LSN, limit: LSN, what: string): void {
    if (lsn > limit) {
      throw new RangeError(`Cannot confirm LSN ${lsn}: records are ${what} up to LSN ${limit}`);
    }
    if (this.#consuming !== null && lsn > this.#confirmed) {
      throw new RangeError(
        `Cannot confirm LSN ${lsn}: the running consumer's store has records up to LSN ${this.#confirmed} durably`,
      );
    }
  }

  /** The slot of a retained record whose page can be read, seen from the oldest on or from the newest. */
  #readable(lsn: LSN): number {
    const isKnown = lsn >= this.#firstLsn || (lsn >= this.#readableFrom && lsn < this.#readableEnd);
    if (!isKnown) {
      // Of what was there before, this opening may have read only the ends.
      const first = Math.max(this.#tail, lsn - READABLE_RECORDS);
      const end = Math.min(this.#head, lsn + READABLE_RECORDS);
      this.check(first, end - 1);
      this.#readableFrom = first;
      this.#readableEnd = end;
    }
    return slotOf(lsn, this.#slots.count);
  }

  /** The same of a record that is looked at in place, which is damaged if it does not verify. */
  #verified(lsn: LSN): number {
    const slot = this.#readable(lsn);
    if (this.#slots.look(slot, lsn) !== SlotState.Record) throw damage(this, lsn);
    return slot;
  }

  /**
   * The last record up to an LSN that stores are given; of released ones, the last of all, since they are confirmed. Checkpoints are the log's own: no store's `appliedLsn()`
   * ever reaches one, so a checkpoint that named one would have every store refused.
   */
  #lastGiven(through: LSN): LSN {
    if (through < this.#tail) return this.#releasedGiven;
    this.#lookNowAndThen();
    let lsn = through;
    while (lsn >= this.#tail && this.#slots.opTypeAt(this.#verified(lsn)) === OpType.Checkpoint) lsn--;
    return lsn < this.#tail ? this.#releasedGiven : lsn;
  }

  /** What confirming an LSN comes to. Reads records, which may throw, and changes nothing. */
  #confirmation(through: LSN): Confirmation {
    return { through, given: this.#lastGiven(through) };
  }

  /**
   * The end of the last whole batch up to an LSN, to be released. Reads records, which may throw,
   * and changes nothing.
   */
  #releasable(through: LSN): Confirmation {
    this.#lookNowAndThen();
    let last = Math.min(through, this.#head - 1);
    while (last >= this.#tail && this.#slots.batchGoesOn(this.#verified(last))) last--;
    return this.#confirmation(last);
  }

  /** The store has everything up to here durably, says who should know. */
  #note({ through, given }: Confirmation): void {
    this.#checkpointed = Math.max(this.#checkpointed, given);
    if (through > this.#confirmed) this.#confirmed = through;
    if (through > this.#applied) this.#applied = through;
  }

  /** Moves the tail. */
  #release({ through, given }: Confirmation): void {
    if (through < this.#tail) return;
    this.#releasedGiven = Math.max(this.#releasedGiven, given);
    this.#tail = through + 1;
    assert(this.#tail <= this.commit.durable + 1, "only durable records are released");
  }

  // Consuming.

  readRun(first: LSN, count: number): WALRecord[] {
    this.#mustBeGood("consume");
    const { durable } = this.commit;
    const capacity = this.#slots.count;
    let last = Math.min(durable, first + count - 1);
    while (last < durable && this.#slots.batchGoesOn(this.#readable(last))) last++;
    // Looked at in place: a flag that was damaged shows in the copy's checksum.
    const records = copyRecords(this, first, last);
    if (this.#slots.look(slotOf(last, capacity), last) !== SlotState.Record) throw damage(this, last);
    this.#handedOut = Math.max(this.#handedOut, last);
    return records;
  }

  async whenDurable(lsn: LSN, timeoutMs: number, signal: AbortSignal): Promise<WakeReason> {
    if (this.#poison !== null) throw this.#poison;
    if (!this.isOpen || signal.aborted) return "stopped";
    if (this.commit.durable >= lsn) return "durable";
    if (this.commit.durable < this.#head - 1) this.commit.schedule();
    const reason = await this.#sleep(timeoutMs, signal, true);
    if (this.#poison !== null) throw this.#poison;
    return reason;
  }

  /** @param endsWithRecords also when records become durable. */
  #sleep(timeoutMs: number, signal: AbortSignal, endsWithRecords: boolean): Promise<WakeReason> {
    const { promise, resolve } = Promise.withResolvers<WakeReason>();
    const wake = (reason: WakeReason) => {
      if (reason === "durable" && !endsWithRecords) return;
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

  async confirm(lsn: LSN, record: boolean): Promise<void> {
    this.#clock.read();
    if (!this.#isOpen) return;
    this.#mustBeGood("write a checkpoint");
    this.#note(this.#confirmation(lsn));
    // In a full ring the header alone has to do: it holds the same LSN.
    if (record && this.#room.length === 0 && this.#hasRoom(1)) {
      this.append(OpType.Checkpoint, 0, 0, 0, this.#checkpointed, undefined);
      await this.commit.wait();
      if (!this.isOpen) return;
    }
    this.#release(this.#releasable(lsn));
    if (this.headerWanted()) this.commit.schedule();
  }

  fork(): void {
    // Whoever has an LSN from after this opening's fork says what cannot be; to fork again would lose track of the first.
    if (this.#hasForked || this.#poison !== null) return;
    this.#hasForked = true;
    const lineage = forked(this.lineage, newLogId(), this.reachable);
    try {
      // Into both copies: whichever is lost later, the store stays refused.
      this.#writeHeader({ lineage });
      this.#writeHeader();
    } catch { /* the log is poisoned and says so; the store is refused all the same */ }
  }

  begin(applied: LSN, warning: string | null): void {
    if (!this.#isOpen) return;
    this.#storeWarning = warning;
    // Perhaps less than the one before had: what it lacks is not released.
    this.#applied = this.#confirmed = applied;
    this.#milestones.reached(applied);
  }

  noteApplied(lsn: LSN, durably: boolean): void {
    if (!this.#isOpen) return;
    this.#applied = lsn;
    if (durably && lsn > this.#confirmed) this.#confirmed = lsn;
    this.#milestones.reached(lsn);
  }

  async pause(delayMs: number, signal: AbortSignal): Promise<void> {
    await this.#sleep(delayMs, signal, false);
  }

  flush(): void {
    this.#mustBeGood("flush");
    try {
      this.commit.flush();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  flushAsync(): Promise<void> {
    try {
      this.#mustBeGood("flush");
    } catch (error) {
      return Promise.reject(error);
    }
    return this.commit.durable === this.#head - 1 ? Promise.resolve() : this.commit.wait();
  }

  checkpoint(appliedThrough: LSN = this.#confirmed): LSN {
    this.#mustBeGood("write a checkpoint");
    checkLsn(appliedThrough, "appliedThrough");
    this.#checkConfirmable(appliedThrough, this.#head - 1, "appended");
    const through = Math.max(appliedThrough, this.#checkpointed);
    this.flush();
    const confirmation = this.#confirmation(through);
    const isFull = this.#head - this.#writer.settledTail === this.#slots.count;
    const release = isFull ? this.#releasable(through) : null;
    if (release !== null && Math.max(this.#tail, release.through + 1) === this.#writer.settledTail) {
      throw this.#fullError(1, "");
    }
    this.#prefaultTo(this.#head + 1);
    // Whatever can fail and leave the log as it was has been done.
    this.#note(confirmation);
    if (release !== null) this.#release(release);
    this.#settleTail(this.#head + 1);
    // Ahead of those who wait for room: it is what makes room for them.
    const lsn = this.#aheadOfOthers(() => this.append(OpType.Checkpoint, 0, 0, 0, this.#checkpointed, undefined));
    this.flush();
    this.#admit();
    return lsn;
  }

  truncate(confirmedThroughPos: LSN): void {
    this.#mustBeGood("truncate");
    checkLsn(confirmedThroughPos, "confirmedThroughPos");
    this.#checkConfirmable(confirmedThroughPos, this.commit.durable, "durable");
    if (confirmedThroughPos >= this.#tail) {
      const confirmation = this.#confirmation(confirmedThroughPos);
      const release = this.#releasable(confirmedThroughPos);
      this.#note(confirmation);
      this.#release(release);
    }
    if (this.headerWanted()) this.commit.schedule();
  }

  /** @param range has been read. */
  checkRange({ from = this.#tail, to = this.#head - 1 }: RecordRange): [first: LSN, last: LSN] {
    this.slots();
    checkInteger(from, "from", 1, Number.MAX_SAFE_INTEGER);
    checkLsn(to, "to");
    if (from < this.#tail) throw new WALTruncatedError(from, this.#tail);
    return [from, Math.min(to, this.#head - 1)];
  }

  /** @param given has been read and checked. */
  consume(given: TakenConsumer): Promise<void> {
    try {
      this.#mustBeGood("consume");
      if (this.#consuming !== null) throw new WALConsumingError();
    } catch (error) {
      return this.refuseConsumer(error);
    }
    this.#consuming = Promise.resolve(); // there is one from now on, also to what it calls first
    const consuming = this.#consume(given);
    // It is over already if the caller's signal throws.
    if (this.#consuming !== null) this.#consuming = consuming;
    return consuming;
  }

  /** A consumer does not begin, because of this error. */
  refuseConsumer(error: unknown): Promise<never> {
    if (this.#consuming === null) this.watch.dies(error);
    return Promise.reject(error);
  }

  async #consume(given: TakenConsumer): Promise<void> {
    const stop = this.#consumerStop = new AbortController();
    const abort = () => stop.abort();
    let ending: unknown = new WALClosedError("wait for the consumer", "it was stopped");
    try {
      if (given.signal?.aborted) stop.abort();
      given.signal?.addEventListener("abort", abort);
      await new Consumer(this, given, stop.signal).run();
      this.watch.stops();
    } catch (error) {
      ending = error;
      this.watch.dies(error);
      // Whoever waits for the store is told. That is one report, and the promise of consume() would be a second one.
      if (!this.#milestones.isEmpty) this.#consuming?.catch(() => {});
      throw error;
    } finally {
      this.#milestones.rejectAll(ending);
      this.#consuming = null;
      if (this.#isOpen) this.#room.rejectAll((records) => this.#fullError(records, ""));
      given.signal?.removeEventListener("abort", abort);
    }
  }

  whenApplied(lsn: LSN = this.#head - 1): Promise<void> {
    try {
      this.#mustBeGood("wait for the consumer");
      checkLsn(lsn, "lsn");
      if (lsn >= this.#head) {
        throw new RangeError(`Cannot wait for LSN ${lsn}: records are appended up to LSN ${this.#head - 1}`);
      }
      if (lsn <= this.#applied) return Promise.resolve();
      if (isInStoreCall(this)) throw new WALClosedError("wait for the consumer", "its store would wait for itself");
      if (this.#consuming === null) throw this.watch.absence();
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#milestones.wait(lsn);
  }

  stats(): WALStats {
    if (!this.#isOpen) throw new WALClosedError("take statistics");
    const isThere = this.#lookForFigures();
    const region = this.#region;
    const commit = this.commit;
    const syncLatency = commit.latency.snapshot();
    return {
      path: region.path,
      fileSystem: region.fileSystem.name,
      durableMedium: region.fileSystem.durable,
      warnings: this.#warnings(region, syncLatency),
      sizeBytes: region.buffer.byteLength,
      capacity: this.#slots.count,
      length: this.#head - this.#tail,
      fillRatio: (this.#head - this.#tail) / this.#slots.count,
      head: this.#head,
      tail: this.#tail,
      durable: commit.durable,
      applied: this.#applied,
      appended: this.#head - this.#firstLsn,
      syncs: commit.syncs,
      headerSyncs: this.#writer.syncs,
      recordsPerSync: commit.syncs === 0 ? 0 : commit.synced / commit.syncs,
      syncLatency,
      flushMode: commit.mode,
      waiting: this.#room.length,
      oldestUnconsumedAgeMs: isThere ? this.#oldestUnconsumedAgeMs() : 0,
      consuming: this.#consuming !== null,
      consumer: this.watch.stats(),
      poisoned: this.#poison !== null,
    };
  }

  #warnings(region: Region, { count, totalMs }: LatencyHistogram): readonly string[] {
    const warnings = [
      ...region.warnings,
      ...this.#openWarnings,
      ...this.watch.warnings(this.#head - 1 - this.#applied),
    ];
    const isSuspect = region.fileSystem.durable && count >= SUSPECT_SYNCS && totalMs / count < SUSPECT_SYNC_MS;
    if (isSuspect) {
      const us = Math.round(totalMs / count * 1000);
      warnings.push(`A sync takes ${us} µs on average: the medium may confirm what it has not written`);
    }
    if (this.#storeWarning !== null) warnings.push(this.#storeWarning);
    return [...warnings, ...this.#clockWarnings()];
  }

  /** What is wrong between the log's time and the wall clock, which has just been read. */
  #clockWarnings(): readonly string[] {
    const { nanos, wallMs, wallNanos, unconfirmedMs } = this.#clock;
    const logMs = Number(nanos / 1_000_000n);
    const aheadMs = Math.floor(Number(nanos - wallNanos) / 1e6);
    const warnings = [];
    if (wallMs > 0 && aheadMs > LEAST_AHEAD_MS) {
      warnings.push(
        `The log's time, ${new Date(logMs).toISOString()}, is ${aheadMs} ms ahead of the clock: ` +
          "new records take this time and are told apart by its sequence number until the clock gets there",
      );
    }
    if (unconfirmedMs > 0) {
      warnings.push(
        `The clock has jumped ahead by ${Math.round(unconfirmedMs)} ms, which no other clock confirms: ` +
          "the log's time stands still until the clock is back, or the log is closed and opened again",
      );
    }
    return warnings;
  }

  /** False if the file is gone. Figures are no place to fail: whoever appends or reads next is told. */
  #lookForFigures(): boolean {
    try {
      this.#look();
      return true;
    } catch {
      return false;
    }
  }

  #oldestUnconsumedAgeMs(): number {
    const oldest = Math.max(this.#applied + 1, this.#tail);
    if (oldest >= this.#head) return 0;
    let slot: number;
    try {
      slot = this.#verified(oldest);
    } catch {
      return 0; // as above: no place to fail
    }
    const nanos = this.#slots.timeNanosAt(slot);
    return Math.max(0, Number(this.#clock.wallNanos - nanos) / 1e6);
  }

  /** Stops the consumer and waits for it, up to `closeTimeoutMs`; its own caller sees its error. */
  async stopConsumer(): Promise<void> {
    this.#consumerStop.abort();
    // From within its store, it ends when the store returns.
    if (this.#consuming === null || isInStoreCall(this)) return;
    const ended = this.#consuming.catch(() => {});
    const { closeTimeoutMs } = this.#options;
    if (closeTimeoutMs > LONGEST_TIMER_MS) return await ended;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, closeTimeoutMs);
    await Promise.race([ended, late]);
    clearTimeout(timer);
  }

  /** A cleanly closed log with the durable records of this one, read as its pieces are asked for. To be ended, whatever comes. */
  copy(): LogCopy {
    this.#mustBeGood("back up");
    const first = this.#tail;
    const last = this.commit.durable;
    const unread = { lsn: first };
    this.#unread.add(unread);
    this.#moveUnread();
    const pieces = imagePieces({
      capacity: this.#slots.count,
      tail: first,
      head: last + 1,
      checkpoint: Math.min(this.#checkpointed, last),
      timeNanos: this.#clock.nanos,
      timeSeq: this.#clock.seq,
      createdNanos: this.#writer.latest.created,
      originId: this.lineage.logId,
      read: (from, to, seed) => {
        const copy = copyVerified(this, from, to).reseal(seed);
        if (from === unread.lsn) {
          unread.lsn = to + 1;
          this.#moveUnread();
        }
        return copy;
      },
    });
    const end = () => {
      if (this.#unread.delete(unread)) this.#moveUnread();
    };
    return { pieces: this.#whileGood(pieces, end), first, last, end };
  }

  /** The log may be closed, or fail, between two pieces. */
  *#whileGood(pieces: Iterable<Uint8Array>, end: () => void): Generator<Uint8Array, void, undefined> {
    for (const piece of pieces) {
      yield piece;
      this.#mustBeGood("back up");
    }
    end();
  }

  /** Lets in those who waited for a backup to read on. After the last one, none waits whom only a consumer could make room for. */
  #moveUnread(): void {
    this.#oldestUnread = Math.min(Infinity, ...Array.from(this.#unread, ({ lsn }) => lsn));
    this.#setStop();
    if (this.#room.length === 0 || this.#poison !== null) return;
    if (this.#unread.size === 0) this.#settleTail(this.#tail + this.#slots.count);
    this.#admit();
    if (this.#unread.size === 0 && this.#consuming === null) {
      this.#room.rejectAll((records) => this.#fullError(records, ""));
    }
  }
}
