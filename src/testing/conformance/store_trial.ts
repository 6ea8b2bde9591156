// A store on trial: given records, crashed, opened again, and compared with what it was given.

import { LOG_ID_BYTES } from "../../format/layout.ts";
import { logIdText } from "../../format/lineage.ts";
import { type Appliable, applyRecord } from "../../format/operations.ts";
import type { AppliedRun, LSN, Store, WALRecord } from "../../types.ts";
import { BrokenPromiseError, type PromiseNumber } from "../broken_promise.ts";
import { StoreAccount } from "../store_account.ts";
import { recordText } from "../store_model.ts";
import { MortalStore, type StoreMaker } from "./mortal_store.ts";

/** How many lines of the store's history a failure shows, the last ones. */
const LINES_SHOWN = 40;

/** A new store, until it is disposed. */
export class Trial<S extends Store> implements AsyncDisposable {
  /** The store, and its crashes. */
  readonly mortal: MortalStore<S>;
  /** Everything it was given. */
  readonly #records: WALRecord[] = [];
  readonly #account = new StoreAccount((through) => this.data(through));
  /** The log that records come from, now. */
  #logId = newId();
  readonly #lines: string[] = [];

  private constructor(maker: StoreMaker<S>) {
    this.mortal = new MortalStore(maker, (line) => this.#note(line));
  }

  /** Opens a new store. */
  static async start<S extends Store>(maker: StoreMaker<S>): Promise<Trial<S>> {
    const trial = new Trial(maker);
    await trial.#open();
    return trial;
  }

  get store(): S {
    return this.mortal.store;
  }

  get last(): LSN {
    return this.#records.at(-1)?.lsn ?? 0;
  }

  /** Gives records to the store as a consumer does. What the store throws is thrown. */
  async give(records: readonly WALRecord[]): Promise<void> {
    this.offer(records);
    const { life } = this.mortal;
    await this.#apply(records);
    if (life !== this.mortal.life) return;
    this.#account.noteApplied(records);
    // Without a sync(), each call is durable.
    if (this.store.sync !== undefined) return;
    this.#account.noteDurable();
    this.mortal.becomesDurable();
  }

  /** Gives records, and syncs, in a process that dies before it learns of the answers. */
  async giveUnanswered(records: readonly WALRecord[]): Promise<void> {
    this.offer(records);
    await this.#apply(records);
    await this.store.sync?.();
  }

  async #apply(records: readonly WALRecord[]): Promise<void> {
    const { store } = this;
    if (store.applyBatch !== undefined) {
      this.#note(`applyBatch() of LSN ${records[0]!.lsn} to ${records.at(-1)!.lsn}`);
      await store.applyBatch(records, this.runOf(records));
    } else {
      for (const record of records) {
        this.#note(recordText(record));
        await applyRecord(store as Appliable<void | Promise<void>, WALRecord>, record);
      }
    }
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

  async sync(): Promise<void> {
    this.#note("sync()");
    await this.store.sync?.();
    this.#account.noteDurable();
    this.mortal.becomesDurable();
  }

  /** What the store says it has durably; null if it cannot say. */
  async applied(): Promise<LSN | null> {
    const { store } = this;
    if (store.appliedLsn === undefined) return null;
    const lsn = await store.appliedLsn();
    this.#note(`appliedLsn() is ${lsn}`);
    const fault = this.#account.faultOfLsn(lsn) ?? await this.#faultOfLog(lsn);
    if (fault !== null) this.fail("G11", fault);
    this.mortal.becomesDurable();
    return lsn;
  }

  async #faultOfLog(lsn: LSN): Promise<string | null> {
    const { store } = this;
    if (store.appliedLog === undefined) return null;
    const said = await store.appliedLog();
    this.#note(`appliedLog() is ${said}`);
    return this.#account.faultOfLog(store, lsn, said);
  }

  /** Crashes and opens the store, and checks what it still has. @returns its `appliedLsn()`. */
  async crash(mode: "power" | "kill"): Promise<LSN | null> {
    await this.mortal.crash(mode);
    await this.#open();
    try {
      await this.#account.checkOpened(this.store, await this.mortal.read());
    } catch (error) {
      if (error instanceof BrokenPromiseError) this.fail(error.promise, error.finding);
      throw error;
    }
    return this.store.appliedLsn === undefined ? null : this.#account.durable;
  }

  async #open(): Promise<void> {
    try {
      await this.mortal.open();
    } catch (error) {
      this.fail("G11", (error as Error).message, (error as Error).cause);
    }
  }

  /** Records up to an LSN, or all. */
  data(through: LSN = Infinity): WALRecord[] {
    return this.#records.filter(({ lsn }) => lsn <= through);
  }

  /** Checks that the store contains the same as an empty one after the records up to an LSN. */
  async expect(promise: PromiseNumber, through: LSN, when: string): Promise<void> {
    const found = await this.mortal.read();
    const difference = found?.differenceAfter(this.data(through)) ?? null;
    if (difference === null) return;
    const last = found!.prefixesOf(this.data()).at(-1);
    const state = last === undefined ? "" : `; its contents are those of LSN ${last}`;
    this.fail(promise, `${when}, ${difference}${state}`);
  }

  fail(promise: PromiseNumber, finding: string, cause?: unknown): never {
    const lines = this.#lines.slice(-LINES_SHOWN).map((line) => `    ${line}`);
    throw new BrokenPromiseError(promise, finding, ["  What happened to the store:", ...lines].join("\n"), { cause });
  }

  #note(line: string): void {
    this.#lines.push(line);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mortal[Symbol.asyncDispose]();
  }
}

/** A log id like any other. */
function newId(): string {
  return logIdText(crypto.getRandomValues(new Uint8Array(LOG_ID_BYTES)));
}
