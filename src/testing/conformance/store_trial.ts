// A store on trial: given records, crashed, opened again, and compared with what it was given.

import { LOG_ID_BYTES } from "../../format/layout.ts";
import { logIdText } from "../../format/lineage.ts";
import { type Appliable, applyRecord } from "../../format/operations.ts";
import type { AppliedRun, LSN, Store, WALRecord } from "../../types.ts";
import { BrokenPromiseError, type PromiseNumber, textOf } from "../broken_promise.ts";
import { closeStore } from "../crash/life.ts";
import { SimulatedCrash } from "../disk/fault_plan.ts";
import { StoreAccount } from "../store_account.ts";
import { findPrefixes, type ReadContents, recordText, type StoreEntry, StoreModel } from "../store_model.ts";
import { Home, SimulatedFailure, type StoreHome } from "./store_home.ts";

/** How stores are made and read. */
export interface StoreMaker<S extends Store> {
  readonly make: (home: StoreHome) => S | Promise<S>;
  readonly contents: ReadContents<S> | undefined;
  readonly temporary: string | undefined;
}

/** What `home.step()` does at a later call: a crash, or a failed write. */
export interface StepFault {
  /** Which call, from 1. */
  readonly nth: number;
  readonly kind: "crash" | "failure";
}

/** A new store, until it is disposed. */
export class Trial<S extends Store> implements AsyncDisposable {
  readonly #maker: StoreMaker<S>;
  readonly #home: Home;
  #store!: S;
  /** Everything it was given. */
  readonly #records: WALRecord[] = [];
  readonly #account = new StoreAccount((through) => this.data(through));
  #fault: StepFault | null = null;
  #steps = 0;
  /** Counts the lives of the store: what a dead one still does is of no interest. */
  #life = 0;
  /** The log that records come from, now. */
  #logId = newId();
  readonly #lines: string[] = [];

  private constructor(maker: StoreMaker<S>) {
    this.#maker = maker;
    this.#home = new Home(maker.temporary);
  }

  /** Opens a new store. */
  static async start<S extends Store>(maker: StoreMaker<S>): Promise<Trial<S>> {
    const trial = new Trial(maker);
    await trial.#open();
    return trial;
  }

  get store(): S {
    return this.#store;
  }

  get last(): LSN {
    return this.#records.at(-1)?.lsn ?? 0;
  }

  /** How often the store has called `home.step()` since the last `arm()`. */
  get steps(): number {
    return this.#steps;
  }

  /** Whether a crash leaves the store as it is. */
  get isOutside(): boolean {
    return this.#home.isOutside(this.#store);
  }

  /** Lets a step to come crash or fail; null: none. */
  arm(fault: StepFault | null): void {
    this.#fault = fault;
    this.#steps = 0;
  }

  /** Gives records to the store as a consumer does. What the store throws is thrown. */
  async give(records: readonly WALRecord[]): Promise<void> {
    this.offer(records);
    const store = this.#store;
    const life = this.#life;
    if (store.applyBatch !== undefined) {
      this.#note(`applyBatch() of LSN ${records[0]!.lsn} to ${records.at(-1)!.lsn}`);
      await store.applyBatch(records, this.runOf(records));
    } else {
      for (const record of records) await this.#giveOne(record);
    }
    if (life !== this.#life) return;
    this.#account.noteApplied(records);
    this.noteDurable(false);
  }

  /** Whether the store says which log its LSN belongs to, and is told. */
  get savesLog(): boolean {
    const { appliedLog, appliedLsn, applyBatch } = this.#store;
    return appliedLog !== undefined && appliedLsn !== undefined && applyBatch !== undefined;
  }

  /** Records come from another log from now on, as after a restoration. */
  changeLog(): void {
    this.#logId = newId();
    this.#note(`The log is another one: ${this.#logId}`);
  }

  /** What a consumer says of a run. */
  runOf(records: readonly WALRecord[]): AppliedRun {
    return { logId: this.#logId, firstLsn: records[0]!.lsn, lastLsn: records.at(-1)!.lsn };
  }

  /** Notes what the store is going to be called with. */
  offer(records: readonly WALRecord[]): void {
    for (const record of records) if (record.lsn > this.last) this.#records.push(record);
    this.#account.offer(records, this.#logId);
  }

  async #giveOne(record: WALRecord): Promise<void> {
    this.#note(recordText(record));
    await applyRecord(this.#store as Appliable<void | Promise<void>, WALRecord>, record);
  }

  /** A call has ended: what it did is durable if the store has no `sync()`, or if this was one. */
  noteDurable(wasSync: boolean): void {
    if (!wasSync && this.#store.sync !== undefined) return;
    this.#account.noteDurable();
    this.#home.keepImage();
  }

  async sync(): Promise<void> {
    this.#note("sync()");
    await this.#store.sync?.();
    this.noteDurable(true);
  }

  /** What the store says it has durably; null if it cannot say. */
  async applied(): Promise<LSN | null> {
    if (this.#store.appliedLsn === undefined) return null;
    const lsn = await this.#store.appliedLsn();
    this.#note(`appliedLsn() is ${lsn}`);
    const fault = this.#account.faultOfLsn(lsn);
    if (fault !== null) this.fail("G11", fault);
    await this.#checkLog(lsn);
    this.#home.keepImage();
    return lsn;
  }

  async #checkLog(lsn: LSN): Promise<void> {
    if (this.#store.appliedLog === undefined) return;
    const said = await this.#store.appliedLog();
    this.#note(`appliedLog() is ${said}`);
    const fault = this.#account.faultOfLog(this.#store, lsn, said);
    if (fault !== null) this.fail("G11", fault);
  }

  /** Crashes the store's machine and opens it again: it must have what it owes and say so. Returns what it says. */
  async crash(mode: "power" | "kill"): Promise<LSN | null> {
    this.#note(mode === "power" ? "Power is lost, and with it what was not synced." : "The process is killed.");
    const dead = this.#store;
    this.#home.crash(mode === "power" ? "image" : "now");
    this.#life++;
    try {
      await closeStore(dead, this.#home);
    } catch { /* it is dead */ }
    await this.#open();
    try {
      await this.#account.checkOpened(this.#store, await this.read());
    } catch (error) {
      if (error instanceof BrokenPromiseError) this.fail(error.promise, error.finding);
      throw error;
    }
    if (this.#store.appliedLsn === undefined) return null;
    return this.#account.durable;
  }

  async #open(): Promise<void> {
    this.arm(null);
    const life = this.#life;
    try {
      this.#store = await this.#maker.make(this.#home.open(() => this.#step(life)));
    } catch (error) {
      this.fail("G11", `the store cannot be opened: ${textOf(error)}`, error);
    }
    this.#home.keepImage();
  }

  #step(life: number): void {
    if (life !== this.#life) throw new SimulatedCrash("This process is dead");
    this.#steps++;
    if (this.#fault === null || this.#fault.nth !== this.#steps) return;
    this.#note(`step ${this.#steps} within the store: ${this.#fault.kind}`);
    if (this.#fault.kind === "failure") throw new SimulatedFailure("A write of the store failed (simulated)");
    throw new SimulatedCrash("Simulated crash within the store");
  }

  /** Records up to an LSN, or all. */
  data(through: LSN = Infinity): WALRecord[] {
    return this.#records.filter(({ lsn }) => lsn <= through);
  }

  async read(): Promise<StoreEntry[] | null> {
    return this.#maker.contents === undefined ? null : [...await this.#maker.contents(this.#store)];
  }

  /** The store must contain what the records up to an LSN make of an empty one. */
  async expect(promise: PromiseNumber, through: LSN, when: string): Promise<void> {
    const entries = await this.read();
    const difference = entries === null ? null : StoreModel.after(this.data(through)).difference(entries);
    if (difference === null) return;
    const found = findPrefixes(this.data(), entries!).at(-1);
    const state = found === undefined ? "" : `; its contents are those of LSN ${found}`;
    this.fail(promise, `${when}, ${difference}${state}`);
  }

  fail(promise: PromiseNumber, finding: string, cause?: unknown): never {
    const lines = this.#lines.slice(-40).map((line) => `    ${line}`);
    throw new BrokenPromiseError(promise, finding, ["  What happened to the store:", ...lines].join("\n"), { cause });
  }

  #note(line: string): void {
    this.#lines.push(line);
  }

  /** Closes the store and removes what it kept. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#store !== undefined) await closeStore(this.#store, this.#home);
    } catch { /* what it does wrong was found before */ }
    this.#home[Symbol.dispose]();
  }
}

/** A log id like any other. */
function newId(): string {
  return logIdText(crypto.getRandomValues(new Uint8Array(LOG_ID_BYTES)));
}
