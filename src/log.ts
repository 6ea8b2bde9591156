// One opening of a log: its positions, and what moves them. The only file that wires the others together.

import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import type { Region } from "../ffi/region.ts";
import { assert } from "./assert.ts";
import { Health } from "./engine/health.ts";
import { Positions } from "./engine/positions.ts";
import { RingMemory } from "./engine/ring_memory.ts";
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
import { WALClosedError, WALConsumingError, WALFullError, WALTruncatedError } from "./errors.ts";
import { type CommitTarget, GroupCommit } from "./engine/group_commit.ts";
import type { HeaderPositions, HeaderWriter } from "./engine/header_writer.ts";
import { imagePieces } from "./recovery/image.ts";
import type { Batch } from "./arguments/items.ts";
import { forked, type Lineage, newLogId } from "./format/lineage.ts";
import { Milestones } from "./consume/milestones.ts";
import { checkInteger, checkLsn, LONGEST_TIMER_MS } from "./arguments/numbers.ts";
import type { OpenedLog } from "./recovery/open.ts";
import type { CheckedOptions } from "./arguments/options.ts";
import { QuietTimer } from "./engine/quiet_timer.ts";
import { type Slots, SlotState } from "./format/record.ts";
import { slotOf } from "./format/ring.ts";
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
import { WaitingLine } from "./engine/waiting_line.ts";

/**
 * A group of more records than this is cut: appending so many takes as long as a sync, and longer than it takes to hear of one that ran
 * off the thread. A small ring's groups are cut before they fill it.
 */
const CUT_RECORDS = 1536;
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
  readonly positions: Positions;
  readonly health: Health;
  readonly memory: RingMemory;
  readonly #openWarnings: readonly string[];
  readonly #slots: Slots;
  readonly #writer: HeaderWriter;
  readonly #options: CheckedOptions;
  readonly #clock: HybridClock;
  readonly #room = new WaitingLine();
  /** Callers of `whenApplied()`. */
  readonly #milestones = new Milestones();
  /** Slot of the head. */
  #slot: number;
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
  /**
   * The first append of each turn of the event loop looks at the file now and then; the wall clock
   * is read before.
   */
  #turnIsOpen = false;
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
    this.positions = new Positions({
      head: verdict.head,
      tail: verdict.tail,
      settledTail: writer.settledTail,
      checkpointed: verdict.checkpoint,
      capacity: slots.count,
    });
    writer.positions = this.positions;
    this.health = new Health(region.path, this.positions);
    this.memory = new RingMemory(region, slots, this.positions, this.health, () => this.nowMs());
    this.#slots = slots;
    this.#writer = writer;
    this.#options = options;
    this.watch = new ConsumerWatch(() => this.nowMs());
    this.#clock = clock;
    this.#slot = slotOf(verdict.head, slots.count);
    clock.observe(verdict.timeNanos, verdict.timeSeq);
    clock.refresh();
    const cutRecords = region.syncsRangeAside ? Math.min(CUT_RECORDS, Math.ceil(slots.count / 8)) : Infinity;
    this.commit = new GroupCommit(this, this.positions, options.flush, cutRecords);
    this.health.onFailure((poison) => {
      this.commit.stop(poison);
      this.#room.rejectAll(() => poison);
      this.#milestones.rejectAll(poison);
      this.#wakeConsumer("durable");
    });
    this.#setStop();
  }

  get isOpen(): boolean {
    return this.health.isOpen;
  }

  get lineage(): Lineage {
    return this.#writer.latest.lineage;
  }

  get reachable(): LSN {
    return Math.max(this.positions.firstLsn - 1, this.#handedOut, this.positions.checkpointed, this.positions.tail - 1);
  }

  get head(): LSN {
    return this.positions.head;
  }

  get tail(): LSN {
    return this.positions.tail;
  }

  get durable(): LSN {
    return this.positions.durable;
  }

  get applied(): LSN {
    return this.positions.applied;
  }

  get confirmed(): LSN {
    return this.positions.confirmed;
  }

  get checkpointed(): LSN {
    return this.positions.checkpointed;
  }

  get capacity(): number {
    return this.#slots.count;
  }

  get sizeBytes(): number {
    return this.memory.region.buffer.byteLength;
  }

  nowMs(): number {
    const { monotonic } = this.#options;
    return monotonic === null ? this.#clock.wallMs : monotonic();
  }

  get isWanted(): boolean {
    return this.#room.length > 0;
  }

  slots(): Slots {
    return this.memory.slots();
  }

  check(first: LSN, last: LSN): void {
    this.memory.check(first, last);
  }

  forget(offset: number, length: number): void {
    this.memory.forget(offset, length);
  }

  /** Gives up the file, after everything is durable and the header says so, or after a failure. No-op if it is closed. */
  close(): void {
    if (!this.health.isOpen) return;
    const closed = new WALClosedError("append");
    this.#room.rejectAll(() => closed); // first, lest one of them get in behind the last sync
    try {
      if (this.health.poison === null) this.#closeCleanly();
      if (this.health.poison !== null && this.positions.head - 1 > this.positions.durable) throw this.health.poison;
    } finally {
      this.commit.stop(closed);
      this.#milestones.rejectAll(new WALClosedError("wait for the consumer"));
      this.#idleTimer.clear();
      this.health.end();
      this.#wakeConsumer("stopped");
      this.watch.isOver();
      this.memory.region.close();
    }
  }

  #closeCleanly(): void {
    try {
      this.commit.flush();
      assert(this.positions.durable === this.positions.head - 1, "a log is marked clean when all of it is durable");
      this.#writer.write({ ...this.#positions(), cleanHead: this.positions.head });
      this.memory.region.verify();
    } catch (error) {
      this.health.fail(error);
    }
  }

  // Appending. What callers give has been read and checked, and the wall clock has been read: from
  // here on none of their code runs.

  /** Appends one record. @returns its LSN. */
  append(opType: OpType, keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, time?: HybridTime): LSN {
    if (time !== undefined) this.#checkTime(time);
    if (this.positions.head >= this.positions.gate || !this.#turnIsOpen) this.#prepare(1);
    const clock = this.#clock;
    let shard = this.#options.shard;
    if (time === undefined) {
      clock.tick();
    } else {
      clock.observe(time[0], time[1]);
      shard = time[2];
    }
    const lsn = this.positions.head;
    const slot = this.#slot;
    const distance = lsn - this.positions.durable;
    this.#slots.write(slot, opType, 0, lsn, distance, clock, shard, keyHigh, keyLow, valueHigh, valueLow);
    this.positions.head = lsn + 1;
    this.#slot = slot + 1 === this.#slots.count ? 0 : slot + 1;
    return lsn;
  }

  /** Appends a batch. @returns the LSN of the last one, of the newest record for an empty batch. */
  appendBatch(opType: OpType, { count, words }: Batch): LSN {
    this.health.mustBeGood("append");
    if (count === 0) return this.positions.head - 1;
    this.#prepare(count);
    const clock = this.#clock;
    const slots = this.#slots;
    const capacity = slots.count;
    const durable = this.positions.durable;
    const shard = this.#options.shard;
    const end = this.positions.head + count;
    let lsn = this.positions.head;
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
    this.positions.head = end;
    this.#slot = slot;
    return this.positions.head - 1;
  }

  /** Everything that need not be looked at for each append. */
  #prepare(count: number): void {
    this.health.mustBeGood("append");
    if (!this.#turnIsOpen) this.#openTurn();
    if (count > this.#slots.count) {
      throw new RangeError(`Cannot append a batch of ${count} records: the ring holds ${this.#slots.count}`);
    }
    if (this.#room.length > 0 && !this.#isAdmitting) throw this.#fullError(count, ", and others wait for room");
    const end = this.positions.head + count;
    if (end > this.positions.freeBefore + this.#slots.count) {
      if (end > this.positions.tail + this.#slots.count) throw this.#fullError(count, "");
      this.#settleTail(end);
      if (end > this.positions.freeBefore + this.#slots.count) {
        throw this.#fullError(count, ", and a backup has still to read the oldest records");
      }
    }
    this.memory.prefaultTo(end);
    this.#setStop();
  }

  /** True while those who waited are let in. */
  #isAdmitting = false;

  #openTurn(): void {
    this.#turnIsOpen = true;
    queueMicrotask(this.#closeTurn);
    this.memory.checkFileNowAndThen();
    // Somebody waits for these records, though perhaps not their caller.
    if (this.#consuming !== null) this.commit.schedule();
  }

  #setStop(): void {
    this.positions.gate = Math.min(this.positions.freeBefore + this.#slots.count, this.memory.storableEnd);
    const mustLook = this.health.poison !== null || !this.health.isOpen ||
      (this.#room.length > 0 && !this.#isAdmitting);
    if (mustLook) this.positions.closeGate();
  }

  /** What becomes of an async append that could not be done: it waits for room if there can be some, or rejects. */
  later(error: unknown, count: number, retry: () => Promise<void>): Promise<void> {
    const isBackedUp = this.#unread.size > 0;
    const canWait = this.#consuming !== null || isBackedUp;
    if (!(error instanceof WALFullError) || !canWait || count > this.#slots.count) return Promise.reject(error);
    const isReleased = this.#room.length === 0 &&
      this.positions.head + count <= this.positions.tail + this.#slots.count;
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
    this.positions.closeGate();
    this.commit.schedule();
    this.#wakeConsumer("durable");
    return waiting;
  }

  #admit(): void {
    if (this.#room.length > 0) this.#aheadOfOthers(() => this.#room.admit((count) => this.positions.hasRoom(count)));
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
    return new WALFullError(this.#slots.count, this.positions.tail, this.positions.head, count, why + blame, cause);
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
    if (this.positions.durable > this.#writer.latest.durable) this.#armIdleTimer();
    this.#wakeConsumer("durable");
  }

  headerWanted(): boolean {
    const unwritten = this.positions.tail - this.#writer.latest.tail;
    const unsettled = this.positions.tail - this.positions.settledTail;
    const free = this.positions.settledTail + this.#slots.count - this.positions.head;
    return this.#headerRequested || unwritten >= this.#slots.count / HEADER_PART ||
      (unsettled > 0 && (this.#room.length > 0 || unsettled >= free));
  }

  #positions(): HeaderPositions {
    return {
      tail: this.positions.tail,
      durable: this.positions.durable,
      checkpoint: Math.min(this.positions.checkpointed, this.positions.durable),
      timeNanos: this.#clock.nanos,
      timeSeq: this.#clock.seq,
      cleanHead: 0,
      openerPid: process.pid,
    };
  }

  syncRecords(first: LSN, last: LSN): void {
    this.memory.sync(first, last);
  }

  syncRecordsAsync(first: LSN, last: LSN): Promise<void> {
    return this.memory.syncAsync(first, last);
  }

  syncHeader(): void {
    this.#writeHeader();
  }

  async syncHeaderAsync(): Promise<void> {
    this.#headerRequested = false;
    await this.#writer.writeAsync(this.#positions());
  }

  failed(error: unknown): void {
    this.health.fail(error);
  }

  /** Makes room for the records before an LSN, as far as slots are released: one header write or two. */
  #settleTail(end: LSN): void {
    while (end > this.positions.settledTail + this.#slots.count && this.positions.settledTail < this.positions.tail) {
      this.#writeHeader();
    }
  }

  /** Writes the header and makes it durable before it returns. After a second one the tail's slots may be used again. */
  #writeHeader(change: Partial<HeaderPositions> = {}): void {
    this.#headerRequested = false;
    try {
      this.#writer.write({ ...this.#positions(), ...change });
      this.memory.checkFile();
    } catch (error) {
      throw this.health.fail(error);
    }
  }

  /** Once the log is idle, the header notes what is durable, so that the last group has a witness too. */
  #armIdleTimer(): void {
    const { idleHeaderDelayMs } = this.#options;
    if (this.#idleTimer.isSet || idleHeaderDelayMs > LONGEST_TIMER_MS) return;
    const { durable } = this.positions;
    this.#idleTimer.set(idleHeaderDelayMs, () => {
      if (!this.isOpen || this.health.poison !== null) return;
      if (this.positions.durable !== durable) return this.#armIdleTimer();
      this.#headerRequested = true;
      this.commit.schedule();
    });
  }

  // Releasing and reading.

  #checkConfirmable(lsn: LSN, limit: LSN, what: string): void {
    if (lsn > limit) {
      throw new RangeError(`Cannot confirm LSN ${lsn}: records are ${what} up to LSN ${limit}`);
    }
    if (this.#consuming !== null && lsn > this.positions.confirmed) {
      throw new RangeError(
        `Cannot confirm LSN ${lsn}: the running consumer's store has records up to LSN ${this.positions.confirmed} durably`,
      );
    }
  }

  /**
   * The last record up to an LSN that stores are given; of released ones, the last of all, since they are confirmed. Checkpoints are the log's own: no store's `appliedLsn()`
   * ever reaches one, so a checkpoint that named one would have every store refused.
   */
  #lastGiven(through: LSN): LSN {
    if (through < this.positions.tail) return this.#releasedGiven;
    this.memory.checkFileNowAndThen();
    let lsn = through;
    while (lsn >= this.positions.tail && this.#slots.opTypeAt(this.memory.verified(lsn)) === OpType.Checkpoint) lsn--;
    return lsn < this.positions.tail ? this.#releasedGiven : lsn;
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
    this.memory.checkFileNowAndThen();
    let last = Math.min(through, this.positions.head - 1);
    while (last >= this.positions.tail && this.#slots.batchGoesOn(this.memory.verified(last))) last--;
    return this.#confirmation(last);
  }

  /** The store has everything up to here durably, says who should know. */
  #note({ through, given }: Confirmation): void {
    this.positions.checkpointed = Math.max(this.positions.checkpointed, given);
    if (through > this.positions.confirmed) this.positions.confirmed = through;
    if (through > this.positions.applied) this.positions.applied = through;
  }

  /** Moves the tail. */
  #release({ through, given }: Confirmation): void {
    if (through < this.positions.tail) return;
    this.#releasedGiven = Math.max(this.#releasedGiven, given);
    this.positions.tail = through + 1;
    assert(this.positions.tail <= this.positions.durable + 1, "only durable records are released");
  }

  // Consuming.

  readRun(first: LSN, count: number): WALRecord[] {
    this.health.mustBeGood("consume");
    const { durable } = this.positions;
    const capacity = this.#slots.count;
    let last = Math.min(durable, first + count - 1);
    while (last < durable && this.#slots.batchGoesOn(this.memory.readable(last))) last++;
    // Looked at in place: a flag that was damaged shows in the copy's checksum.
    const records = copyRecords(this, first, last);
    if (this.#slots.look(slotOf(last, capacity), last) !== SlotState.Record) throw damage(this, last);
    this.#handedOut = Math.max(this.#handedOut, last);
    return records;
  }

  async whenDurable(lsn: LSN, timeoutMs: number, signal: AbortSignal): Promise<WakeReason> {
    if (this.health.poison !== null) throw this.health.poison;
    if (!this.isOpen || signal.aborted) return "stopped";
    if (this.positions.durable >= lsn) return "durable";
    if (this.positions.durable < this.positions.head - 1) this.commit.schedule();
    const reason = await this.#sleep(timeoutMs, signal, true);
    if (this.health.poison !== null) throw this.health.poison;
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
    if (!this.health.isOpen) return;
    this.health.mustBeGood("write a checkpoint");
    this.#note(this.#confirmation(lsn));
    // In a full ring the header alone has to do: it holds the same LSN.
    if (record && this.#room.length === 0 && this.positions.hasRoom(1)) {
      this.append(OpType.Checkpoint, 0, 0, 0, this.positions.checkpointed, undefined);
      await this.commit.wait();
      if (!this.isOpen) return;
    }
    this.#release(this.#releasable(lsn));
    if (this.headerWanted()) this.commit.schedule();
  }

  fork(): void {
    // Whoever has an LSN from after this opening's fork says what cannot be; to fork again would lose track of the first.
    if (this.#hasForked || this.health.poison !== null) return;
    this.#hasForked = true;
    const lineage = forked(this.lineage, newLogId(), this.reachable);
    try {
      // Into both copies: whichever is lost later, the store stays refused.
      this.#writeHeader({ lineage });
      this.#writeHeader();
    } catch { /* the log is poisoned and says so; the store is refused all the same */ }
  }

  begin(applied: LSN, warning: string | null): void {
    if (!this.health.isOpen) return;
    this.#storeWarning = warning;
    // Perhaps less than the one before had: what it lacks is not released.
    this.positions.applied = this.positions.confirmed = applied;
    this.#milestones.reached(applied);
  }

  noteApplied(lsn: LSN, durably: boolean): void {
    if (!this.health.isOpen) return;
    this.positions.applied = lsn;
    if (durably && lsn > this.positions.confirmed) this.positions.confirmed = lsn;
    this.#milestones.reached(lsn);
  }

  async pause(delayMs: number, signal: AbortSignal): Promise<void> {
    await this.#sleep(delayMs, signal, false);
  }

  flush(): void {
    this.health.mustBeGood("flush");
    try {
      this.commit.flush();
    } catch (error) {
      throw this.health.fail(error);
    }
  }

  flushAsync(): Promise<void> {
    try {
      this.health.mustBeGood("flush");
    } catch (error) {
      return Promise.reject(error);
    }
    return this.positions.durable === this.positions.head - 1 ? Promise.resolve() : this.commit.wait();
  }

  checkpoint(appliedThrough: LSN = this.positions.confirmed): LSN {
    this.health.mustBeGood("write a checkpoint");
    checkLsn(appliedThrough, "appliedThrough");
    this.#checkConfirmable(appliedThrough, this.positions.head - 1, "appended");
    const through = Math.max(appliedThrough, this.positions.checkpointed);
    this.flush();
    const confirmation = this.#confirmation(through);
    const isFull = this.positions.head - this.positions.settledTail === this.#slots.count;
    const release = isFull ? this.#releasable(through) : null;
    if (release !== null && Math.max(this.positions.tail, release.through + 1) === this.positions.settledTail) {
      throw this.#fullError(1, "");
    }
    this.memory.prefaultTo(this.positions.head + 1);
    // Whatever can fail and leave the log as it was has been done.
    this.#note(confirmation);
    if (release !== null) this.#release(release);
    this.#settleTail(this.positions.head + 1);
    // Ahead of those who wait for room: it is what makes room for them.
    const lsn = this.#aheadOfOthers(() =>
      this.append(OpType.Checkpoint, 0, 0, 0, this.positions.checkpointed, undefined)
    );
    this.flush();
    this.#admit();
    return lsn;
  }

  truncate(confirmedThroughPos: LSN): void {
    this.health.mustBeGood("truncate");
    checkLsn(confirmedThroughPos, "confirmedThroughPos");
    this.#checkConfirmable(confirmedThroughPos, this.positions.durable, "durable");
    if (confirmedThroughPos >= this.positions.tail) {
      const confirmation = this.#confirmation(confirmedThroughPos);
      const release = this.#releasable(confirmedThroughPos);
      this.#note(confirmation);
      this.#release(release);
    }
    if (this.headerWanted()) this.commit.schedule();
  }

  /** @param range has been read. */
  checkRange({ from = this.positions.tail, to = this.positions.head - 1 }: RecordRange): [first: LSN, last: LSN] {
    this.slots();
    checkInteger(from, "from", 1, Number.MAX_SAFE_INTEGER);
    checkLsn(to, "to");
    if (from < this.positions.tail) throw new WALTruncatedError(from, this.positions.tail);
    return [from, Math.min(to, this.positions.head - 1)];
  }

  /** @param given has been read and checked. */
  consume(given: TakenConsumer): Promise<void> {
    try {
      this.health.mustBeGood("consume");
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
      if (this.health.isOpen) this.#room.rejectAll((records) => this.#fullError(records, ""));
      given.signal?.removeEventListener("abort", abort);
    }
  }

  whenApplied(lsn: LSN = this.positions.head - 1): Promise<void> {
    try {
      this.health.mustBeGood("wait for the consumer");
      checkLsn(lsn, "lsn");
      if (lsn >= this.positions.head) {
        throw new RangeError(`Cannot wait for LSN ${lsn}: records are appended up to LSN ${this.positions.head - 1}`);
      }
      if (lsn <= this.positions.applied) return Promise.resolve();
      if (isInStoreCall(this)) throw new WALClosedError("wait for the consumer", "its store would wait for itself");
      if (this.#consuming === null) throw this.watch.absence();
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#milestones.wait(lsn);
  }

  stats(): WALStats {
    if (!this.health.isOpen) throw new WALClosedError("take statistics");
    const isThere = this.#lookForFigures();
    const { region } = this.memory;
    const commit = this.commit;
    const syncLatency = commit.latency.snapshot();
    return {
      path: region.path,
      fileSystem: region.fileSystem.name,
      durableMedium: region.fileSystem.durable,
      warnings: this.#warnings(region, syncLatency),
      sizeBytes: region.buffer.byteLength,
      capacity: this.#slots.count,
      length: this.positions.head - this.positions.tail,
      fillRatio: (this.positions.head - this.positions.tail) / this.#slots.count,
      head: this.positions.head,
      tail: this.positions.tail,
      durable: this.positions.durable,
      applied: this.positions.applied,
      appended: this.positions.head - this.positions.firstLsn,
      syncs: commit.syncs,
      headerSyncs: this.#writer.syncs,
      recordsPerSync: commit.syncs === 0 ? 0 : commit.synced / commit.syncs,
      syncLatency,
      flushMode: commit.mode,
      waiting: this.#room.length,
      oldestUnconsumedAgeMs: isThere ? this.#oldestUnconsumedAgeMs() : 0,
      consuming: this.#consuming !== null,
      consumer: this.watch.stats(),
      poisoned: this.health.poison !== null,
    };
  }

  #warnings(region: Region, { count, totalMs }: LatencyHistogram): readonly string[] {
    const warnings = [
      ...region.warnings,
      ...this.#openWarnings,
      ...this.watch.warnings(this.positions.head - 1 - this.positions.applied),
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
      this.memory.checkFile();
      return true;
    } catch {
      return false;
    }
  }

  #oldestUnconsumedAgeMs(): number {
    const oldest = Math.max(this.positions.applied + 1, this.positions.tail);
    if (oldest >= this.positions.head) return 0;
    let slot: number;
    try {
      slot = this.memory.verified(oldest);
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
    this.health.mustBeGood("back up");
    const first = this.positions.tail;
    const last = this.positions.durable;
    const unread = { lsn: first };
    this.#unread.add(unread);
    this.#moveUnread();
    const pieces = imagePieces({
      capacity: this.#slots.count,
      tail: first,
      head: last + 1,
      checkpoint: Math.min(this.positions.checkpointed, last),
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
      this.health.mustBeGood("back up");
    }
    end();
  }

  /** Lets in those who waited for a backup to read on. After the last one, none waits whom only a consumer could make room for. */
  #moveUnread(): void {
    this.positions.oldestUnread = Math.min(Infinity, ...Array.from(this.#unread, ({ lsn }) => lsn));
    this.#setStop();
    if (this.#room.length === 0 || this.health.poison !== null) return;
    if (this.#unread.size === 0) this.#settleTail(this.positions.tail + this.#slots.count);
    this.#admit();
    if (this.#unread.size === 0 && this.#consuming === null) {
      this.#room.rejectAll((records) => this.#fullError(records, ""));
    }
  }
}
