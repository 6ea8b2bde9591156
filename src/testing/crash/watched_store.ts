// The user's store as the log's consumer sees it. Every call is checked, and is a step at which the
// machine may crash.

import { APPLYING_METHODS } from "../../format/operations.ts";
import type { LSN, Store, WALRecord } from "../../types.ts";
import { BrokenPromiseError } from "../broken_promise.ts";
import type { LifeSteps } from "./life_steps.ts";
import { Delivery } from "./delivery.ts";
import type { LogModel } from "../log_model.ts";
import type { StoreAccount } from "../store_account.ts";
import type { FoundContents } from "../contents.ts";
import { recordText } from "../store_model.ts";
import type { Random } from "../random.ts";
import type { StoreSubject } from "./options.ts";
import type { FileOrder, TornCall } from "../file_order.ts";
import { type Home, SimulatedFailure } from "../store_home.ts";

/** The chance that the test asks for `appliedLsn()` after a call: who asks may crash at once. */
const ASK_CHANCE = 0.1;
/** How often a write that fails for the test's sake is tried again. */
const ATTEMPTS = 100;

/** What watches a store. */
export interface StoreWatch {
  /** What a call to the store begins with in the history. */
  readonly name: string;
  readonly steps: LifeSteps;
  readonly model: LogModel;
  readonly account: StoreAccount;
  readonly home: Home;
  readonly random: Random;
  /** The log's id, now. */
  readonly logId: () => string;
  /** The highest durable LSN of the log, now. */
  readonly durable: () => LSN;
  /** Notes that the log may release what all stores have durably. */
  readonly release: () => void;
  /** Reports a broken promise, which ends the history. */
  readonly fail: (error: BrokenPromiseError) => void;
  /** True if power loss takes what the store did since an earlier moment. */
  readonly losesWrites: boolean;
  /** The call that crashes between two files; null if none does. */
  readonly torn: TornCall | null;
  /** Watches which files each call changes; null if nobody does. */
  readonly files: FileOrder | null;
  /** Everything in the store, if there is a way to read it. */
  readonly read: () => Promise<FoundContents | null>;
  /** The chance that the consumer is stopped after a call, and a new one goes on. */
  readonly stopChance: number;
  /** Stops the consumer. */
  readonly stop: () => void;
}

/** A store between a consumer and the user's store. */
export class WatchedStore {
  /** What the consumer is given: the methods that the user's store has. */
  readonly store: Store;
  readonly #inner: Store;
  readonly #watch: StoreWatch;
  readonly #delivery: Delivery;
  /** The last answer of the store's `appliedLsn()`. */
  #saidLsn: LSN = 0;
  #callsSinceImage = 0;
  /** Calls to the store. They are more alike from one history to the next than steps are. */
  #calls = 0;
  #pending: Promise<unknown> = Promise.resolve();
  /** The call that has not returned yet; null if there is none. */
  unanswered: string | null = null;

  constructor(inner: Store, watch: StoreWatch) {
    this.#inner = inner;
    this.#watch = watch;
    const { account, model, durable } = watch;
    this.#delivery = new Delivery({
      model,
      durable,
      applied: () => account.applied,
      said: () => inner.appliedLsn === undefined ? 0 : account.durable,
      takesRuns: inner.applyBatch !== undefined,
    });
    this.store = this.#makeStore();
    this.#becomesDurable();
  }

  /** Settles when the call that runs has ended. */
  get idle(): Promise<unknown> {
    return this.#pending;
  }

  /** A consumer starts: it may begin with records that an earlier one has applied. */
  begin(): void {
    this.#delivery.begin();
  }

  #makeStore(): Store {
    const inner = this.#inner;
    const store: Store = {};
    for (const name of APPLYING_METHODS) {
      if (inner[name] === undefined) continue;
      store[name] = (...given: unknown[]) => {
        const record = given.at(-1) as WALRecord;
        const apply = () => Reflect.apply(inner[name]!, inner, given);
        return this.#apply([record], `${this.#watch.name} gets ${recordText(record)}`, apply);
      };
    }
    if (inner.applyBatch !== undefined) {
      store.applyBatch = (records, run) =>
        this.#apply(
          records,
          `${this.#watch.name}.applyBatch() gets ${rangeText(records)}`,
          () => inner.applyBatch!(records, run),
        );
    }
    if (inner.appliedLsn !== undefined) {
      store.appliedLsn = () => this.#askAppliedLsn();
      if (inner.appliedLog !== undefined) store.appliedLog = () => this.#askAppliedLog();
    }
    if (inner.sync !== undefined) store.sync = () => this.#sync();
    return store;
  }

  async #apply(records: readonly WALRecord[], what: string, apply: () => void | Promise<void>): Promise<void> {
    const { account, steps, random } = this.#watch;
    steps.check();
    this.#judged(() => this.#delivery.check(records));
    account.offer(records, this.#watch.logId());
    await this.#call(what, apply, () => this.#checkNothingApplied(records));
    account.noteApplied(records);
    if (this.#inner.sync === undefined) {
      account.noteDurable();
      this.#becomesDurable();
    } else {
      this.#imageMaybe();
    }
    // Where the store has records of two logs, its LSN and its log must be asked for together.
    const asks = random.chance(ASK_CHANCE) || account.mixesLogs;
    if (asks && this.#inner.appliedLsn !== undefined) await this.#askPosition();
    if (random.chance(this.#watch.stopChance)) this.#watch.stop();
  }

  /** A run that failed has left the store as it was. */
  async #checkNothingApplied(records: readonly WALRecord[]): Promise<void> {
    // Without appliedLsn(), records that come again may be there already.
    if (this.#inner.applyBatch === undefined || this.#inner.appliedLsn === undefined) return;
    if (this.#inner.appliedLog !== undefined) await this.#askPosition();
    const found = await this.#watch.read();
    const difference = found?.differenceAfter(this.#watch.model.data(this.#watch.account.applied)) ?? null;
    if (difference !== null) this.#fail("G3", `applyBatch() of ${rangeText(records)} failed, and ${difference}`);
  }

  /** Asks the store for its `appliedLsn()` and believes it. */
  async #askAppliedLsn(): Promise<LSN> {
    const lsn = await this.#call(`${this.#watch.name}.appliedLsn()`, () => this.#inner.appliedLsn!());
    this.#watch.steps.note(`        it is ${lsn}`);
    this.#saidLsn = lsn;
    const fault = this.#watch.account.faultOfLsn(lsn);
    // The consumer refuses what is no LSN.
    if (!Number.isSafeInteger(lsn)) return lsn;
    if (fault !== null) this.#fail("G11", fault);
    this.#becomesDurable();
    return lsn;
  }

  async #askPosition(): Promise<void> {
    await this.#askAppliedLsn();
    if (this.#inner.appliedLog !== undefined) await this.#askAppliedLog();
  }

  /** Asks the store for the log that its LSN comes from. */
  async #askAppliedLog(): Promise<string | null> {
    const said = await this.#call(`${this.#watch.name}.appliedLog()`, () => this.#inner.appliedLog!());
    this.#watch.steps.note(`        it is ${said}`);
    const fault = this.#watch.account.faultOfLog(this.#inner, this.#saidLsn, said);
    if (fault !== null) this.#fail("G11", fault);
    return said;
  }

  async #sync(): Promise<void> {
    const { applied } = this.#watch.account;
    await this.#call(`${this.#watch.name}.sync()`, () => this.#inner.sync!());
    this.#watch.account.noteDurable(applied);
    this.#becomesDurable();
  }

  /** Has the store filled with all records up to an LSN, because the log has given it up. */
  async reseed(fill: NonNullable<StoreSubject["reseed"]>, through: LSN): Promise<void> {
    const { account, model, logId, read, name } = this.#watch;
    const records = model.data(through);
    const [first, last] = [records[0]!.lsn, records.at(-1)!.lsn];
    const run = { logId: logId(), firstLsn: first, lastLsn: last };
    await this.#call(`${name} is filled again through LSN ${last}`, () => fill(this.#inner, records, run));
    if (this.#inner.sync !== undefined) await this.#call(`${name}.sync()`, () => this.#inner.sync!());
    account.reseed(records, run.logId);
    this.#becomesDurable();
    await this.#askPosition();
    const difference = (await read())?.differenceAfter(records) ?? null;
    if (difference !== null) this.#fail("G11", `it was filled again through LSN ${last}, and ${difference}`);
  }

  /** Calls the store. The machine may crash before, meanwhile and after. Repeats failed writes. */
  async #call<T>(what: string, call: () => T | Promise<T>, failed?: () => Promise<void>): Promise<T> {
    const { steps, random, files, home, torn } = this.#watch;
    for (let attempt = 1;; attempt++) {
      const number = ++this.#calls;
      const isTorn = number === torn?.call;
      const when = steps.step(what) ?? (isTorn ? "after" : null);
      if (when === "before") throw steps.crash();
      if (isTorn) home.tear(torn!.old);
      const before = steps.count;
      files?.begin(number);
      try {
        const running = call();
        if (!isPromise(running)) {
          steps.check();
          if (when !== null) throw steps.crash();
          files?.end(number, nameOf(what), steps.count > before);
          return running;
        }
        this.#pending = running.catch(() => {});
        this.unanswered = what;
        if (when === "during") {
          await Promise.race([running, turns(random.below(12))]);
          throw steps.crash();
        }
        const result = await running;
        this.unanswered = null;
        steps.check();
        if (when !== null) throw steps.crash();
        // Meanwhile, others may have had their steps too.
        files?.end(number, nameOf(what), steps.count > before);
        return result;
      } catch (error) {
        steps.check();
        if (when !== null) throw steps.crash();
        if (!(error instanceof SimulatedFailure) || attempt === ATTEMPTS) throw error;
        steps.note(`        it throws: ${error.message}`);
        await failed?.();
        this.#imageMaybe();
      }
    }
  }

  /** Ends the life where a promise is broken. */
  #judged(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#watch.fail(error as BrokenPromiseError);
      throw error;
    }
  }

  #fail(promise: "G3" | "G11", finding: string): never {
    const error = new BrokenPromiseError(promise, finding);
    this.#watch.fail(error);
    throw error;
  }

  /** Notes that all that the store has is durable now, so the log may release it. */
  #becomesDurable(): void {
    if (this.#watch.steps.hasCrashed) return;
    this.#watch.release();
    if (!this.#watch.losesWrites) return;
    this.#watch.home.keepImage();
    this.#callsSinceImage = 0;
  }

  /** Power loss may leave the store as it is now, or as after any call since it was durable. */
  #imageMaybe(): void {
    if (!this.#watch.losesWrites) return;
    this.#callsSinceImage++;
    if (this.#watch.random.below(this.#callsSinceImage + 1) === 0) this.#watch.home.keepImage();
  }
}

/** The call without its records. */
function nameOf(what: string): string {
  return what.split(" gets ")[0]!;
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

/** Resolves after `count` turns of the microtask queue. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await null;
}
