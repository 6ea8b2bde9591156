// A consumer of a random history: its store, whether it runs, and what the log holds for it.

import {
  type ConsumeOptions,
  type LSN,
  type RegisteredConsumerStats,
  type WAL,
  WALConsumerLostError,
  WALStoreError,
} from "../../mod.ts";
import type { LogModel } from "../../src/testing/log_model.ts";
import { recordText } from "../../src/testing/store_model.ts";
import { BrokenPromiseError, type Random } from "../../testing.ts";
import { HistoryStore, StoreFailure, type StoreKind } from "./history_store.ts";
import type { Tally } from "./history_tally.ts";

/** A consumer of a history. */
export interface ConsumerPlan {
  /** `""` for the unnamed one. */
  readonly name: string;
  readonly kind: StoreKind;
  readonly maxLagRecords: number;
  readonly keepRecords: number;
  /** The store refuses some records, and `onError` answers `"skip"`. */
  readonly skips: boolean;
  /** `onError` answers `"retry"` if the store may do better the next time. */
  readonly retries: boolean;
}

/** The most that one call appends, and some checkpoints. */
const MOST_AT_ONCE = 128;
/** An append that needs the room of kept records may release an eighth of the smallest ring. */
const MOST_KEPT = 768 - 96 - MOST_AT_ONCE;

/** One consumer, over all lives of its machine. */
export class HistoryConsumer {
  readonly plan: ConsumerPlan;
  readonly store: HistoryStore;
  readonly #tally: Tally;
  /** True if the log knows it. */
  #isRegistered = false;
  /** True while nobody knows whether a call has dropped it. */
  #isUnsure = false;
  #isLost = false;
  /** The tail when it was registered. */
  #floor: LSN = 1;
  /** The highest position it had. A store that begins again does not know of checkpoints. */
  #furthest: LSN = 0;
  #stop: AbortController | null = null;
  /** Resolves when it has ended. */
  ended: Promise<void> = Promise.resolve();

  constructor(plan: ConsumerPlan, model: LogModel, random: Random, tally: Tally) {
    this.plan = plan;
    this.store = new HistoryStore(plan.kind, plan.skips, plan.retries, model, random);
    this.#tally = tally;
  }

  get isRunning(): boolean {
    return this.#stop !== null;
  }

  /** True if the log keeps what the store lacks. */
  get holds(): boolean {
    return this.#isRegistered && !this.#isLost;
  }

  #stats(wal: WAL): RegisteredConsumerStats | undefined {
    return wal.stats().consumers.find(({ name }) => name === this.plan.name);
  }

  /**
   * Starts it.
   *
   * @param fills true if a store that may lack released records is filled from elsewhere first.
   * @param isExpected true for errors that the log may fail with, as things are.
   * @param fail is told of other errors.
   */
  start(
    wal: WAL,
    fills: boolean,
    options: Pick<ConsumeOptions, "batchSize" | "pollIntervalMs">,
    isExpected: (error: unknown) => boolean,
    fail: (error: unknown) => void,
  ): void {
    if (this.isRunning) return;
    if (this.holds && wal.isOpen && this.#stats(wal)?.lost === true) this.look(wal, true); // since the last look
    const { name, maxLagRecords, keepRecords, skips, retries } = this.plan;
    const stop = this.#stop = new AbortController();
    if (fills && !this.holds && this.store.kind === "exact") this.store.fill(wal.tail - 1);
    this.#tally.met("H26");
    let isBegun = false;
    // If the released records are checkpoints only, the log knows that from their slots alone.
    const lacks = this.store.appliedLsn < wal.tail - 1;
    const store = this.store.open(() => {
      if (!isBegun && wal.isOpen && !wal.stats().poisoned) this.look(wal, true);
      isBegun = true;
    });
    this.ended = wal.consumeAsync(store, {
      ...options,
      name,
      maxLagRecords,
      keepRecords,
      signal: stop.signal,
      onError: (error) => {
        if (!(error instanceof StoreFailure)) return "stop";
        if (!error.isFinal) return retries ? "retry" : "stop";
        if (!skips) return "stop";
        this.#tally.met("H80");
        return "skip";
      },
    }).then(() => {
      if (stop.signal.aborted || !wal.isOpen) return;
      throw new BrokenPromiseError("G11", `${this.#name} has ended, and nobody is told why`);
    }).catch((error) => {
      // One with a limit may be given up before it begins, while its store answers.
      const mayLack = lacks || (maxLagRecords < Infinity && this.store.appliedLsn < wal.tail - 1);
      if (error instanceof WALStoreError && mayLack && !this.#isRegistered) return;
      if (!this.#mayEndWith(error, wal) && !isExpected(error)) fail(error);
    }).finally(() => {
      if (this.#stop === stop) this.#stop = null;
    });
  }

  #mayEndWith(error: unknown, wal: WAL): boolean {
    if (error instanceof StoreFailure) this.#tally.met("H27");
    else if (!wal.isOpen) return false;
    else if (error instanceof WALConsumerLostError) return this.#stats(wal)?.lost === true;
    else return false;
    return true;
  }

  /** Stops it, and waits for its end. */
  async stop(): Promise<void> {
    this.#stop?.abort();
    await this.ended;
    this.#stop = null;
  }

  /** A caller says that the store has all records up to an LSN, and so it has them. */
  standFor(through: LSN): void {
    this.store.fill(through);
    this.#floor = Math.max(this.#floor, through + 1); // also of those that it keeps
  }

  /** Has the log forget it. @param empties true if its store begins anew. */
  drop(wal: WAL, empties: boolean): void {
    this.#isUnsure = true;
    const isForgotten = wal.dropConsumer(this.plan.name);
    // It may have been registered since the last look.
    if (this.#isRegistered && !isForgotten) {
      throw new BrokenPromiseError("G11", `dropConsumer() does not know ${this.#name} (H59)`);
    }
    this.#isRegistered = this.#isLost = this.#isUnsure = false;
    this.#furthest = 0;
    if (empties) this.store.empty();
  }

  /** The log is open again. */
  recovered(wal: WAL): void {
    const stats = this.#stats(wal);
    if (stats === undefined && this.#isUnsure) this.#isRegistered = this.#isLost = false;
    this.#isUnsure = false;
    if (stats !== undefined && !stats.lost && !this.isRunning) this.#tally.met("H59");
    this.store.keep(); // a process that ends leaves what it wrote
    const lacked = this.store.kind === "exact" ? this.store.lacked(this.store.appliedLsn) : null;
    if (lacked !== null) {
      throw new BrokenPromiseError("G11", `${this.#name} has later records than ${recordText(lacked)}`);
    }
    this.look(wal, false);
  }

  /**
   * Compares the log with what the store has.
   *
   * @param isLive true if the log has not been opened anew since the last look.
   */
  look(wal: WAL, isLive: boolean): void {
    if (this.#isUnsure) return;
    const stats = this.#stats(wal);
    if (stats === undefined) {
      if (this.#isRegistered) throw new BrokenPromiseError("G11", `${this.#name} is forgotten (H59)`);
      return;
    }
    if (!this.holds && !stats.lost) this.#floor = wal.tail;
    // What a log gives to a new store that saves no LSN begins at its tail.
    if (!this.#isRegistered && this.store.kind === "plain") this.store.fill(stats.position);
    this.#isRegistered = true;
    if (stats.lost) this.#checkLoss(wal, stats, isLive);
    else this.#checkHold(wal, stats);
    this.#isLost = stats.lost;
  }

  #checkLoss(wal: WAL, { position }: RegisteredConsumerStats, isLive: boolean): void {
    this.#tally.met("H60");
    if (this.#isLost) return;
    const limit = Math.min(this.plan.maxLagRecords, wal.capacity);
    const lag = wal.head - 1 - position;
    if (this.plan.maxLagRecords === Infinity || (isLive && lag + MOST_AT_ONCE <= limit)) {
      throw new BrokenPromiseError("G11", `${this.#name} is lost at LSN ${position}, ${lag} records behind`);
    }
    const { name } = this.plan;
    if (wal.stats().warnings.some((text) => text.startsWith("The log has given up") && text.includes(name))) return;
    throw new BrokenPromiseError("G11", `${this.#name} is lost, and no warning says so`);
  }

  #checkHold(wal: WAL, { position }: RegisteredConsumerStats): void {
    const lacked = this.store.lacked(position);
    if (lacked !== null) {
      throw new BrokenPromiseError(
        "G11",
        `${this.#name} is at LSN ${position}, and its store lacks ${recordText(lacked)}`,
      );
    }
    this.#furthest = Math.max(this.#furthest, position);
    const { keepRecords, maxLagRecords, skips } = this.plan;
    // One with a limit, or that has skipped the newest records, lets go of all that it keeps, if an
    // append needs it.
    const letsGo = skips || maxLagRecords !== Infinity;
    const kept = this.#furthest - (letsGo ? 0 : Math.min(keepRecords, MOST_KEPT));
    if (wal.tail - 1 <= Math.max(kept, this.#floor - 1)) return;
    throw new BrokenPromiseError("G11", `the tail is ${wal.tail}, ${this.#name} is at LSN ${position}`);
  }

  get #name(): string {
    return `consumer ${JSON.stringify(this.plan.name)}`;
  }
}
