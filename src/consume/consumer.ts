// The loop: hand durable records to the store, then release them.
//
// The order is: apply, sync the store, write a checkpoint, release. So a crash anywhere repeats
// records and skips none. A store that saves the LSN with its data (`appliedLsn()`) is given no
// record twice.

import type { Turn } from "../../ffi/turn.ts";
import type { StoreMethods, TakenConsumer } from "../arguments/consumer.ts";
import type { EncodedRuns } from "../arguments/encoded_runs.ts";
import type { MarkedRun } from "../engine/encoded_run.ts";
import type { Bounds } from "../engine/holds.ts";
import type { Positions } from "../engine/positions.ts";
import { mannersOf } from "../errors.ts";
import { type Appliable, applyRecord, changesStore } from "../format/operations.ts";
import type { LSN, WALRecord } from "../types.ts";
import type { WakeReason } from "./alarm.ts";
import type { ConsumerWatch } from "./consumer_watch.ts";
import { Dialogue } from "./dialogue.ts";
import { type HandoverParties, type Offer, offerOf } from "./offered.ts";
import { Pace } from "./pace.ts";
import {
  beforeCheckpoints,
  lacksReleased,
  type PositionedLog,
  positionOf,
  refusalOf,
  type StorePosition,
  takePosition,
} from "./position.ts";
import { Skips } from "./skips.ts";
import type { Standing } from "./standing.ts";
import type { StoreAnswers } from "./store_answers.ts";

/** What the consumer asks of the log. */
export interface ConsumableLog extends PositionedLog {
  /** All calls to stores of one log have this in common. */
  readonly calls: object;
  readonly positions: Readonly<Pick<Positions, "tail" | "durable" | "checkpointed" | "capacity">>;
  readonly standing: Readonly<Pick<Standing, "applied" | "confirmed" | "startLsn" | "loss">>;
  /** Keeps the state of the consumer. */
  readonly watch: ConsumerWatch;
  /** Waits for the promises of the store. */
  readonly answers: StoreAnswers;
  /**
   * A clock for durations. On a simulated disk, the caller's clock, so that runs can be repeated.
   */
  nowMs(): number;
  /** Makes a turn, which tells the loop when to give way to others. */
  makeTurn(): Turn;
  /** True while appends wait for room. */
  readonly isRoomWanted: boolean;
  /**
   * Verified copies of about `count` durable records from `first` on, as whole batches: at most
   * `most`, or one batch.
   */
  readRun(first: LSN, count: number, most?: number): WALRecord[];
  /** The same as bytes. Missing if the log's records are no bytes. */
  encodeRun?(first: LSN, count: number, into: EncodedRuns): MarkedRun;
  /**
   * Resolves when `lsn` is durable, an append begins to wait for room, the time is up, the signal
   * aborts, or the log closes. Rejects once a sync has failed.
   */
  whenDurable(lsn: LSN, timeoutMs: number, signal: AbortSignal): Promise<WakeReason>;
  /** Resolves when the time is up, the signal aborts or the log closes. */
  pause(delayMs: number, signal: AbortSignal): Promise<void>;
  /**
   * Gives the log a new id, durably, once in an opening. A store has an LSN that this log never
   * handed out, because the log's file was put back to an earlier state. If the new id cannot be
   * written, the log keeps its id.
   */
  fork(): void;
  /**
   * Starts with a store that has everything up to `applied`, and no more. From here on the log
   * keeps what comes after.
   *
   * @param warning what an operator should know of the store.
   */
  begin(applied: LSN, bounds: Bounds, warning: string | null): void;
  /**
   * Notes that the store has everything up to an LSN.
   *
   * @param durable the newest record that no crash can take from the store any more; 0 if none is.
   */
  noteApplied(lsn: LSN, durable: LSN): void;
  /**
   * Releases records. The store has everything up to `lsn` durably.
   *
   * @param record true to write a checkpoint record first.
   */
  confirm(lsn: LSN, record: boolean): Promise<void>;
}

/** A checkpoint is due when an eighth of the ring has been applied since the last one … */
const CHECKPOINT_PART = 8;
/** … or this many records. */
const CHECKPOINT_RECORDS = 65536;

/** The records that a store is given in one go. */
interface Run {
  readonly data: readonly WALRecord[];
  /** How many records of `data` the store has. */
  done: number;
}

/** One consumer, from its start to its stop. */
export class Consumer {
  readonly #log: ConsumableLog;
  readonly #store: StoreMethods;
  readonly #options: TakenConsumer;
  readonly #signal: AbortSignal;
  /** The next record to apply. */
  #next: LSN = 0;
  /** The LSN up to which the log was told that the store has everything durably. */
  #confirmed: LSN = 0;
  /**
   * The last applied record that is not a checkpoint. If none came since the last checkpoint, no
   * new checkpoint record is written.
   */
  #lastData: LSN = 0;
  #skips = new Skips();
  readonly #dialogue: Dialogue;
  /** How often `sync()` has failed in a row. */
  #syncFailures = 0;
  readonly #pace: Pace;

  /** @param signal stops the consumer. The signal in `options` is the caller's. */
  constructor(log: ConsumableLog, options: TakenConsumer, signal: AbortSignal) {
    this.#log = log;
    this.#store = options.store;
    this.#options = options;
    this.#signal = signal;
    this.#dialogue = new Dialogue(log, options, signal);
    const { batchSize, store } = options;
    this.#pace = new Pace({
      batchSize,
      takesRuns: store.applyBatch !== undefined,
      turn: log.makeTurn(),
      nowMs: () => log.nowMs(),
    });
  }

  /** Resolves when the consumer was stopped. Rejects with what the store threw. */
  async run(): Promise<void> {
    this.#log.watch.begins();
    await this.#log.answers.begin(this.#options.storeItself);
    if (!this.#log.isOpen) return;
    await this.#start();
    while (this.#dialogue.goesOn) {
      if (this.#pace.mustGiveWay()) {
        await this.#pace.giveWay();
        continue;
      }
      if (this.#log.positions.durable < this.#next) {
        await this.#idle();
        continue;
      }
      const offer = this.#skips.records === null ? offerOf(this.#options, this.#log, this.#next) : null;
      if (offer !== null) await this.#dialogue.call(() => this.#applyOffered(offer));
      else {
        const count = this.#skips.records ?? this.#pace.records;
        const run = this.#log.readRun(this.#next, count, this.#options.encodedRuns?.mostRecords);
        await this.#dialogue.call(() => this.#applyRun(run));
      }
      this.#pace.endRun();
      const due = dueCheckpoint(this.#log, this.#options, this.#next - 1, this.#confirmed);
      if (due !== null) await this.#confirm(due);
    }
    if (this.#log.isOpen && this.#log.standing.loss === null) await this.#confirm();
  }

  /** Begins after what the store has. */
  async #start(): Promise<void> {
    const log = this.#log;
    let applied = log.standing.startLsn;
    let warning: string | null = null;
    if (this.#store.appliedLsn === undefined) {
      const { loss } = log.standing;
      if (loss !== null) throw loss;
    } else {
      takePosition(this.#options.storeItself, log);
      let position: StorePosition | undefined;
      for (let attempt = 1; position === undefined; attempt++) {
        try {
          position = await this.#dialogue.call(() => this.#dialogue.answer(positionOf(this.#store)));
          if (!log.isOpen || position === undefined) return;
        } catch (error) {
          const next = log.standing.confirmed + 1;
          if (await this.#dialogue.ask(error, next, next, attempt, false) === null) return;
        }
      }
      if (position.logId === log.lineage.logId && position.lsn > log.reachable) log.fork();
      const { loss } = log.standing;
      // Whoever was given up while the store answered has been told so, and must start again.
      if (loss !== null && (this.#signal.aborted || lacksReleased(position.lsn, log))) throw loss;
      const refusal = refusalOf(position, log);
      if (refusal !== null) throw refusal;
      if (position.logId === null && position.lsn > 0 && this.#store.appliedLog !== undefined) {
        warning =
          `The store does not know which log its LSN ${position.lsn} belongs to, so it is used as an LSN of this log`;
      }
      applied = Math.max(position.lsn, log.positions.tail - 1);
      this.#options.encodedRuns?.begin(beforeCheckpoints(log, applied));
    }
    this.#next = applied + 1;
    this.#lastData = this.#syncFailures = 0;
    this.#skips = new Skips();
    this.#confirmed = log.positions.tail - 1;
    log.begin(applied, this.#options.bounds, warning);
  }

  /** The last record that may be confirmed. */
  get #confirmable(): LSN {
    return this.#store.appliedLsn === undefined ? this.#next - 1 : this.#skips.confirmable(this.#next - 1);
  }

  /** Waits for records. A pause is the time for a checkpoint. */
  async #idle(): Promise<void> {
    if (this.#log.isRoomWanted && this.#confirmable > this.#confirmed) return await this.#confirm();
    const reason = await this.#log.whenDurable(this.#next, this.#options.pollIntervalMs, this.#signal);
    if (reason === "time") await this.#confirm();
  }

  /** @param durable the store has everything durably up to here; `undefined` to sync it first. */
  async #confirm(durable?: LSN): Promise<void> {
    const applied = Math.min(this.#confirmable, durable ?? Infinity);
    if (applied <= this.#confirmed || !this.#log.isOpen) return;
    if ((durable === undefined && !await this.#syncStore(applied)) || !this.#log.isOpen) return;
    const record = this.#lastData > this.#confirmed;
    await this.#log.confirm(applied, record);
    this.#confirmed = applied;
  }

  /**
   * True when everything applied is durable in the store. False if records have to be applied
   * again, or the consumer was stopped.
   */
  async #syncStore(applied: LSN): Promise<boolean> {
    if (this.#store.sync === undefined) return true;
    try {
      await this.#dialogue.call(() => this.#dialogue.answer(this.#store.sync!()));
      this.#syncFailures = 0;
      this.#log.watch.recovers();
      return true;
    } catch (error) {
      const first = this.#log.standing.confirmed + 1;
      const answer = await this.#dialogue.ask(error, first, applied, ++this.#syncFailures, false);
      if (answer !== null && mannersOf(error).hasMoved) {
        await this.#start();
        return false;
      }
    }
    // A second sync, as after a stop, may succeed although data of the first one is lost. So apply
    // the records again. None of them counts as applied or skipped any more.
    const { confirmed } = this.#log.standing;
    this.#next = confirmed + 1;
    this.#lastData = 0;
    this.#skips = new Skips();
    this.#log.noteApplied(confirmed, 0);
    // If it has a limit, it may be in the way of an append now.
    if (this.#log.isRoomWanted) await this.#log.confirm(confirmed, false);
    return false;
  }

  async #applyRun(records: WALRecord[]): Promise<void> {
    const data = records.filter(({ opType }) => changesStore(opType));
    const run = { data, done: 0 };
    for (let attempt = 1; run.done < data.length; attempt++) {
      const before = run.done;
      try {
        if (this.#store.applyBatch !== undefined) {
          const { logId } = this.#log.lineage;
          const about = { logId, firstLsn: data[0]!.lsn, lastLsn: data[data.length - 1]!.lsn };
          const call = () => this.#dialogue.answer(this.#store.applyBatch!(data, about));
          await this.#pace.handOver(data.length, attempt === 1, call);
          run.done = data.length;
        } else {
          await this.#applyEach(run);
          if (!this.#dialogue.goesOn) return;
        }
      } catch (error) {
        if (run.done > before) attempt = 1;
        const answer = await this.#dialogue.ask(error, data[run.done]!.lsn, data[data.length - 1]!.lsn, attempt);
        if (answer === null) return;
        if (mannersOf(error).hasMoved) return await this.#start();
        if (answer === "retry") continue;
        if (this.#store.applyBatch === undefined) {
          const record = data[run.done++]!;
          this.#skip([record], record.lsn);
          attempt = 0;
          continue;
        }
        const { lsn } = records[records.length - 1]!;
        return this.#skips.records === 1 ? this.#skip(data, lsn) : this.#skips.search(this.#next, lsn);
      }
    }
    if (data.length > 0 && this.#store.applyBatch !== undefined) this.#lastData = data[data.length - 1]!.lsn;
    this.#advance(records[records.length - 1]!.lsn);
  }

  /** Hands the store as much as it takes at once in its own way, and again if it fails. */
  async #applyOffered(offer: Offer): Promise<void> {
    const [log, pace] = [this.#log, this.#pace];
    const goesOn = () => this.#dialogue.goesOn;
    const parties: HandoverParties = { log, pace, goesOn, checkpointRecords: checkpointRecords(log) };
    for (let attempt = 1;; attempt++) {
      const handover = offer(parties, this.#next);
      try {
        await handover.apply();
        if (!log.isOpen) return;
        if (handover.lastData > 0) this.#lastData = handover.lastData;
        return this.#advance(handover.last);
      } catch (error) {
        if (!log.isOpen) return;
        const answer = await this.#dialogue.ask(error, this.#next, handover.last, attempt);
        if (answer === null) return;
        if (mannersOf(error).hasMoved) return await this.#start();
        if (answer === "skip") return this.#skips.search(this.#next, handover.last);
        while (pace.mustGiveWay()) await pace.giveWay();
        if (!this.#dialogue.goesOn) return;
      }
    }
  }

  /**
   * Hands the store the records of a run that it does not have yet, and gives way to others now and
   * then.
   */
  async #applyEach(run: Run): Promise<void> {
    while (run.done < run.data.length) {
      const from = run.done;
      const pending = this.#applySome(run, Math.min(run.data.length, from + this.#pace.untilReading));
      if (pending !== undefined) {
        await this.#dialogue.answer(pending);
        this.#took(run);
      }
      if (!this.#dialogue.goesOn) return;
      if (!this.#pace.mustGiveWayAfter(run.done - from)) continue;
      await this.#pace.giveWay();
      if (!this.#dialogue.goesOn) return;
    }
  }

  /**
   * Hands the store records up to an index. It awaits nothing, because an `await` costs more
   * than a synchronous store's own work.
   *
   * @returns the store's promise, if there is one. The record counts as applied when it resolves.
   */
  #applySome(run: Run, end: number): void | Promise<void> {
    const store = this.#store as Appliable<void | Promise<void>, WALRecord>;
    while (run.done < end) {
      const pending = applyRecord(store, run.data[run.done]!);
      if (pending !== undefined) return pending;
      this.#took(run);
      if (!this.#dialogue.goesOn) return;
    }
  }

  /** Notes that the store has the next record of the run. */
  #took(run: Run): void {
    this.#lastData = run.data[run.done++]!.lsn;
    this.#advance(this.#lastData);
  }

  /**
   * Leaves out records that the store cannot apply: one record, or one batch for a store with
   * `applyBatch()`.
   */
  #skip(records: readonly WALRecord[], through: LSN): void {
    this.#log.watch.skips(records.map(({ lsn }) => lsn));
    this.#skips.skip(records[0]!.lsn);
    this.#next = through + 1;
    this.#log.noteApplied(through, 0);
  }

  #advance(applied: LSN): void {
    this.#next = applied + 1;
    this.#skips.reached(applied, this.#lastData);
    // While sync() fails, applying records again is no success.
    if (this.#syncFailures === 0) this.#log.watch.recovers();
    // A store without sync() has everything durably when it returns.
    const isDurable = this.#store.sync === undefined && this.#confirmable === applied;
    // A new consumer may be behind what is checkpointed. Once the tail had passed a checkpoint
    // there, a store that has all before it would count as one that lacks a released record,
    // because no store has the LSN of a checkpoint.
    const given = applied < this.#log.positions.checkpointed ? Math.min(applied, this.#lastData) : applied;
    this.#log.noteApplied(applied, isDurable ? given : 0);
  }
}

/** Records after which a checkpoint is due. */
function checkpointRecords({ positions }: ConsumableLog): number {
  return Math.min(CHECKPOINT_RECORDS, positions.capacity / CHECKPOINT_PART);
}

function isCheckpointDue(log: ConsumableLog, unconfirmed: number): boolean {
  return unconfirmed > 0 && (log.isRoomWanted || unconfirmed >= checkpointRecords(log));
}

/**
 * Up to where a checkpoint is due: `undefined` for everything applied, null for nothing. A store
 * that tells what it has durably is not asked to sync, so that runs can be on their way meanwhile.
 */
function dueCheckpoint(
  log: ConsumableLog,
  { encodedRuns }: TakenConsumer,
  applied: LSN,
  confirmed: LSN,
): LSN | undefined | null {
  const durable = encodedRuns?.durableLsn;
  if (durable !== undefined && isCheckpointDue(log, durable - confirmed)) return durable;
  const mustSync = durable === undefined || log.isRoomWanted;
  return mustSync && isCheckpointDue(log, applied - confirmed) ? undefined : null;
}
