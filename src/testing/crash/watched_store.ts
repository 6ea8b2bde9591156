// The user's store as the log's consumer sees it: every call is checked, and is a step at which the machine may crash.

import type { LSN, Store, WALRecord } from "../../types.ts";
import { BrokenPromiseError } from "../broken_promise.ts";
import type { CrashClock } from "./crash_points.ts";
import type { LogHistory } from "./log_history.ts";
import { faultOfAppliedLog } from "./opened_store.ts";
import { recordText, type StoreEntry, StoreModel } from "../store_model.ts";
import type { Random } from "../random.ts";
import { type Home, SimulatedFailure } from "../conformance/store_home.ts";

/** The chance that the test asks for `appliedLsn()` after a call: who asks may crash at once. */
const ASK_CHANCE = 0.1;
/** How often a write that fails for the test's sake is tried again. */
const ATTEMPTS = 100;

/** What watches a store. */
export interface StoreWatch {
  readonly clock: CrashClock;
  readonly history: LogHistory;
  readonly home: Home;
  readonly random: Random;
  /** The log's id, now. */
  readonly logId: () => string;
  /** The highest durable LSN of the log, now. */
  readonly durable: () => LSN;
  /** A promise is broken; the life is of no further interest. */
  readonly fail: (error: BrokenPromiseError) => void;
  /** Power loss is to take what the store did since an earlier moment. */
  readonly losesWrites: boolean;
  /** Everything in the store, if there is a way to read it. */
  readonly read: () => Promise<StoreEntry[] | null>;
  /** The chance that the consumer is stopped after a call, and a new one goes on. */
  readonly stopChance: number;
  /** Stops the consumer. */
  readonly stop: () => void;
}

/** What a store owes after a crash. */
export interface StoreDebt {
  /** It said, or its `sync()` meant, that it has the records up to here durably. */
  readonly durable: LSN;
  /** It was called with records up to here, and with no later one. */
  readonly offered: LSN;
  /** The last run that it was called with. */
  readonly run: { readonly first: LSN; readonly last: LSN } | null;
}

/** A store between a consumer and the user's store. */
export class WatchedStore {
  /** What the consumer is given: the methods that the user's store has. */
  readonly store: Store;
  readonly #inner: Store;
  readonly #watch: StoreWatch;
  /** The next record must be this one or, in a new consumer, one before; 0 if any is right. */
  #expected: LSN = 0;
  /** Records up to here have been applied, in this life. */
  #applied: LSN;
  /** A later consumer may not start after this LSN. */
  #durable: LSN;
  #offered: LSN;
  /** What its `appliedLsn()` was last. */
  #saidLsn: LSN = 0;
  #run: StoreDebt["run"];
  #callsSinceImage = 0;
  #pending: Promise<unknown> = Promise.resolve();

  /** @param debt what it owed when it was opened. */
  constructor(inner: Store, watch: StoreWatch, debt: StoreDebt) {
    this.#inner = inner;
    this.#watch = watch;
    this.#applied = this.#durable = debt.durable;
    this.#offered = debt.offered;
    this.#run = debt.run;
    this.store = this.#makeStore();
    this.#imageNow();
  }

  get debt(): StoreDebt {
    return { durable: this.#durable, offered: this.#offered, run: this.#run };
  }

  /** Settles when the call that runs has ended. */
  get idle(): Promise<unknown> {
    return this.#pending;
  }

  /** A consumer starts: it may begin with records that an earlier one has applied. */
  begin(): void {
    this.#expected = 0;
  }

  #makeStore(): Store {
    const inner = this.#inner;
    const one = (record: WALRecord, apply: () => void | Promise<void>) =>
      this.#apply([record], `store gets ${recordText(record)}`, apply);
    const store: Store = {
      insert: (keyHigh, keyLow, valueHigh, valueLow, record) =>
        one(record, () => inner.insert!(keyHigh, keyLow, valueHigh, valueLow, record)),
      delete: (keyHigh, keyLow, record) => one(record, () => inner.delete!(keyHigh, keyLow, record)),
      deleteValue: (keyHigh, keyLow, valueHigh, valueLow, record) =>
        one(record, () => inner.deleteValue!(keyHigh, keyLow, valueHigh, valueLow, record)),
    };
    if (inner.applyBatch !== undefined) {
      store.applyBatch = (records, run) =>
        this.#apply(records, `store.applyBatch() gets ${rangeText(records)}`, () => inner.applyBatch!(records, run));
    }
    if (inner.appliedLsn !== undefined) {
      store.appliedLsn = () => this.#askAppliedLsn();
      if (inner.appliedLog !== undefined) store.appliedLog = () => this.#askAppliedLog();
    }
    if (inner.sync !== undefined) store.sync = () => this.#sync();
    return store;
  }

  async #apply(records: readonly WALRecord[], what: string, apply: () => void | Promise<void>): Promise<void> {
    this.#check(records);
    const last = records[records.length - 1]!.lsn;
    this.#offered = Math.max(this.#offered, last);
    this.#watch.history.noteOffered(records, this.#watch.logId());
    this.#run = { first: records[0]!.lsn, last };
    await this.#call(what, apply, () => this.#checkNothingApplied(records));
    this.#applied = Math.max(this.#applied, last);
    this.#expected = last + 1;
    if (this.#inner.sync === undefined) {
      this.#durable = Math.max(this.#durable, last);
      this.#imageNow();
    } else {
      this.#imageMaybe();
    }
    if (this.#inner.appliedLsn !== undefined && this.#watch.random.chance(ASK_CHANCE)) {
      await this.#askPosition();
    }
    if (this.#watch.random.chance(this.#watch.stopChance)) this.#watch.stop();
  }

  /** A run that failed has left the store as it was. */
  async #checkNothingApplied(records: readonly WALRecord[]): Promise<void> {
    // Without appliedLsn(), records that come again may be there already.
    if (this.#inner.applyBatch === undefined || this.#inner.appliedLsn === undefined) return;
    if (this.#inner.appliedLog !== undefined) await this.#askPosition();
    const entries = await this.#watch.read();
    if (entries === null) return;
    const difference = StoreModel.after(this.#watch.history.data(this.#applied)).difference(entries);
    if (difference !== null) this.#fail("G3", `applyBatch() of ${rangeText(records)} failed, and ${difference}`);
  }

  /** Asks the store for its `appliedLsn()` and believes it. */
  async #askAppliedLsn(): Promise<LSN> {
    const lsn = await this.#call("store.appliedLsn()", () => this.#inner.appliedLsn!());
    this.#watch.clock.note(`        it is ${lsn}`);
    this.#saidLsn = lsn;
    if (Number.isSafeInteger(lsn)) {
      if (lsn > this.#offered) {
        this.#fail(
          "G11",
          `appliedLsn() is ${lsn}, but the store was never given a record after LSN ${this.#offered} (H28)`,
        );
      }
      if (lsn < this.#durable) {
        this.#fail("G11", `appliedLsn() is ${lsn}, though the store had LSN ${this.#durable} durably before (H28)`);
      }
      this.#applied = Math.max(this.#applied, lsn);
      this.#durable = Math.max(this.#durable, lsn);
      this.#imageNow();
    }
    return lsn;
  }

  async #askPosition(): Promise<void> {
    await this.#askAppliedLsn();
    if (this.#inner.appliedLog !== undefined) await this.#askAppliedLog();
  }

  /** Asks the store which log it has that LSN from. */
  async #askAppliedLog(): Promise<string | null> {
    const said = await this.#call("store.appliedLog()", () => this.#inner.appliedLog!());
    this.#watch.clock.note(`        it is ${said}`);
    const fault = faultOfAppliedLog(this.#inner, this.#saidLsn, said, this.#watch.history);
    if (fault !== null) this.#fail("G11", fault);
    return said;
  }

  async #sync(): Promise<void> {
    const applied = this.#applied;
    await this.#call("store.sync()", () => this.#inner.sync!());
    this.#durable = Math.max(this.#durable, applied);
    this.#imageNow();
  }

  /** Calls the store, with room for a crash before, while it waits, and after. A write that failed is done again. */
  async #call<T>(what: string, call: () => T | Promise<T>, failed?: () => Promise<void>): Promise<T> {
    const { clock, random } = this.#watch;
    for (let attempt = 1;; attempt++) {
      const when = clock.step(what);
      if (when === "before") throw clock.crash();
      try {
        const running = call();
        if (!isPromise(running)) {
          clock.check();
          if (when !== null) throw clock.crash();
          return running;
        }
        this.#pending = running.catch(() => {});
        if (when === "during") {
          await Promise.race([running, turns(random.below(12))]);
          throw clock.crash();
        }
        const result = await running;
        clock.check();
        if (when !== null) throw clock.crash();
        return result;
      } catch (error) {
        clock.check();
        if (when !== null) throw clock.crash();
        if (!(error instanceof SimulatedFailure) || attempt === ATTEMPTS) throw error;
        clock.note(`        it throws: ${error.message}`);
        await failed?.();
        this.#imageMaybe();
      }
    }
  }

  /** The consumer's side: durable records, in order, none left out, whole batches. */
  #check(records: readonly WALRecord[]): void {
    const { history } = this.#watch;
    for (const record of records) {
      const { lsn } = record;
      const wanted = history.at(lsn);
      if (wanted === undefined || recordText(wanted) !== recordText(record)) {
        this.#fail("G2", `the store gets ${recordText(record)}, which was never appended`);
      }
      if (lsn > this.#watch.durable()) {
        this.#fail("G11", `the store gets LSN ${lsn}, and only LSN ${this.#watch.durable()} is durable (H26)`);
      }
      if (this.#expected !== 0 && lsn !== this.#nextData(this.#expected)) {
        this.#fail("G11", `the store gets LSN ${lsn} in the place of LSN ${this.#nextData(this.#expected)}`);
      }
      if (this.#expected === 0 && this.#nextData(this.#applied + 1) < lsn) {
        this.#fail("G11", `the store gets LSN ${lsn}, but has not had LSN ${this.#nextData(this.#applied + 1)} (H27)`);
      }
      if (this.#inner.appliedLsn !== undefined && lsn <= this.#durable) {
        this.#fail("G11", `the store gets LSN ${lsn}, which it had durably already`);
      }
      this.#expected = lsn + 1;
    }
    const last = records[records.length - 1]!.lsn;
    if (this.#inner.applyBatch !== undefined && history.partsBatch(last)) {
      this.#fail("G3", `the store gets a run that ends at LSN ${last}, within a batch`);
    }
  }

  /** The next record that a store gets: checkpoints are for the log only. */
  #nextData(lsn: LSN): LSN {
    const { history } = this.#watch;
    while (history.isCheckpoint(lsn)) lsn++;
    return lsn;
  }

  #fail(promise: "G2" | "G3" | "G11", finding: string): never {
    const error = new BrokenPromiseError(promise, finding);
    this.#watch.fail(error);
    throw error;
  }

  /** What the store has now is durable. */
  #imageNow(): void {
    if (!this.#watch.losesWrites) return;
    this.#watch.home.keepImage();
    this.#callsSinceImage = 0;
  }

  /** What the store has now may be what power loss leaves, as may every state since the last that was durable. */
  #imageMaybe(): void {
    if (!this.#watch.losesWrites) return;
    this.#callsSinceImage++;
    if (this.#watch.random.below(this.#callsSinceImage + 1) === 0) this.#watch.home.keepImage();
  }
}

function rangeText(records: readonly WALRecord[]): string {
  return records.length === 1
    ? recordText(records[0]!)
    : `LSN ${records[0]!.lsn} to ${records[records.length - 1]!.lsn}, ${records.length} records`;
}

/** True for anything that `await` would wait for. */
export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

/** Resolves after so many turns of the microtask queue. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await null;
}
