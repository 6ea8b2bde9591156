// What a store was given over all its lives, which must agree with what the store says and has.

import type { LSN, Store, WALRecord } from "../types.ts";
import { BrokenPromiseError } from "./broken_promise.ts";
import type { FoundContents } from "./contents.ts";

/** Records that a store was called with. */
interface Run {
  readonly first: LSN;
  readonly last: LSN;
}

/** The account of one store. */
export class StoreAccount {
  readonly #data: (through?: LSN) => WALRecord[];
  #applied: LSN = 0;
  #durable: LSN = 0;
  #offered: LSN = 0;
  #run: Run | null = null;
  /** `#offered` before the last call. */
  #offeredBefore: LSN = 0;
  /** True if the log need not keep anything for the store, until the store is filled again. */
  isGivenUp = false;
  /** The log that each record came from. */
  readonly #logs = new Map<LSN, string>();

  /** @param data records that the store may have: up to an LSN, or all, without checkpoints. */
  constructor(data: (through?: LSN) => WALRecord[]) {
    this.#data = data;
  }

  /** The LSN up to which the store has every record, at least in memory. */
  get applied(): LSN {
    return this.#applied;
  }

  /** The LSN up to which the store said, or its `sync()` promised, that it has all durably. */
  get durable(): LSN {
    return this.#durable;
  }

  /** The highest LSN that the store was called with since it was opened. */
  get offered(): LSN {
    return this.#offered;
  }

  /** True if the store's records in memory are from another log than its durable ones. */
  get mixesLogs(): boolean {
    return this.#durable > 0 && this.#logOf(this.#applied) !== this.#logOf(this.#durable);
  }

  /** Notes that the store was filled with these records of a log, durably. */
  reseed(records: readonly WALRecord[], logId: string): void {
    for (const { lsn } of records) this.#logs.set(lsn, logId);
    this.#run = null;
    this.#offered = records.at(-1)!.lsn;
    this.#applied = this.#durable = this.#offeredBefore = this.#offered;
    this.isGivenUp = false;
  }

  /** A copy for the next life. This account belongs to the life that has ended. */
  clone(): StoreAccount {
    const copy = new StoreAccount(this.#data);
    copy.#applied = this.#applied;
    copy.#durable = this.#durable;
    copy.#offered = this.#offered;
    copy.#run = this.#run;
    copy.#offeredBefore = this.#offeredBefore;
    copy.isGivenUp = this.isGivenUp;
    for (const [lsn, log] of this.#logs) copy.#logs.set(lsn, log);
    return copy;
  }

  /** Notes that the store is about to be called with these records of a log. */
  offer(records: readonly WALRecord[], logId: string): void {
    const run = { first: records[0]!.lsn, last: records[records.length - 1]!.lsn };
    // A store skips records that it has, so these still belong to the log that they came from.
    for (const { lsn } of records) if (lsn > this.#applied) this.#logs.set(lsn, logId);
    this.#offeredBefore = this.#offered;
    this.#offered = Math.max(this.#offered, run.last);
    this.#run = run;
  }

  /** Notes that the store has returned from a call with these records. */
  noteApplied(records: readonly WALRecord[]): void {
    this.#applied = Math.max(this.#applied, records[records.length - 1]!.lsn);
  }

  /** Notes that `sync()`, or any call of a store without it, made durable what the store had. */
  noteDurable(lsn: LSN = this.#applied): void {
    this.#durable = Math.max(this.#durable, lsn);
  }

  /** What is wrong with the answer of `appliedLsn()`; null for a possible LSN, which is noted. */
  faultOfLsn(lsn: LSN): string | null {
    const fault = this.#faultOf(lsn, "", `the store has LSN ${this.#durable} durably (H28)`);
    if (fault !== null) return fault;
    this.#applied = Math.max(this.#applied, lsn);
    this.#durable = lsn;
    return null;
  }

  /** @param lost what the store had, if its LSN is lower now. */
  #faultOf(lsn: LSN, when: string, lost: string): string | null {
    const said = `appliedLsn() is ${String(lsn)}${when}`;
    if (!Number.isSafeInteger(lsn) || lsn < 0) return `${said}, which is no LSN`;
    if (lsn > this.#offered) {
      return `${said}, but the store was never given a record after LSN ${this.#offered} (H28)`;
    }
    return lsn < this.#durable ? `${said}, though ${lost}` : null;
  }

  /** What is wrong with the answer of `appliedLog()` at that LSN, or null. */
  faultOfLog(store: Store, lsn: LSN, said: string | null | undefined): string | null {
    if (lsn === 0) return null;
    const log = this.#logOf(lsn);
    if (typeof said === "string" && said === log) return null;
    // A store that applies records one by one is not told its log.
    if (store.applyBatch === undefined && (said ?? "") === "") return null;
    return `appliedLog() is ${String(said)}, though its LSN ${lsn} is one of log ${log} (H38)`;
  }

  /** The log of a record; for a checkpoint, that of the last record before it. */
  #logOf(lsn: LSN): string | undefined {
    while (lsn > 0 && !this.#logs.has(lsn)) lsn--;
    return this.#logs.get(lsn);
  }

  /**
   * Compares a store that was just opened with what it was given before.
   *
   * @param found its contents, if there is a way to read them.
   * @throws {BrokenPromiseError}
   */
  async checkOpened(store: Store, found: FoundContents | null): Promise<void> {
    if (this.isGivenUp) return;
    this.#applied = this.#durable;
    if (store.appliedLsn === undefined) {
      if (found !== null && store.applyBatch !== undefined) this.#checkRun(found);
      return;
    }
    const run = store.applyBatch === undefined ? null : this.#run;
    const lsn = await store.appliedLsn();
    const lost = `the store had LSN ${this.#durable} durably before it (H27)`;
    const wrong = this.#faultOf(lsn, " when it is opened again", lost);
    if (wrong !== null) throw new BrokenPromiseError("G11", wrong);
    if (isWithin(lsn, run)) throw halfRun(lsn, run);
    if (store.appliedLog !== undefined) {
      const fault = this.faultOfLog(store, lsn, await store.appliedLog());
      if (fault !== null) throw new BrokenPromiseError("G11", `when it is opened again, ${fault}`);
    }
    if (found !== null) this.#checkContents(found, run, lsn);
    this.#applied = this.#durable = this.#offered = lsn;
    this.#run = null;
  }

  /** Checks a store with `appliedLsn()`: its contents must be those of that LSN. */
  #checkContents(found: FoundContents, run: Run | null, lsn: LSN): void {
    const difference = found.differenceAfter(this.#data(lsn));
    if (difference === null) return;
    const states = found.prefixesOf(this.#data());
    // Several records in a row may leave the contents as they were.
    const state = states.findLast((state) => !isWithin(state, run)) ?? states.at(-1);
    if (isWithin(state, run)) throw halfRun(state, run);
    const what = `appliedLsn() is ${lsn} when it is opened again, but `;
    if (state === undefined) throw new BrokenPromiseError("G11", `${what}${difference} (H28)`);
    throw new BrokenPromiseError(
      "G11",
      state < lsn
        ? `${what}the contents are those of LSN ${state}: what comes after it is lost (H28)`
        : `${what}the contents are those of LSN ${state}: what comes after LSN ${lsn} is applied twice (H28)`,
    );
  }

  /** Checks a store without `appliedLsn()`: it must have all records of a run, or none. */
  #checkRun(found: FoundContents): void {
    const states = found.prefixesOf(this.#data());
    const last = states.at(-1);
    // A state that an earlier call may have led to says nothing of the last run.
    const isHalf = states.every((state) => state > this.#offeredBefore && isWithin(state, this.#run));
    if (isHalf && isWithin(last, this.#run)) throw halfRun(last, this.#run);
  }
}

/** True if a part of the run has been applied, and the other part has not. */
function isWithin(lsn: LSN | undefined, run: Run | null): lsn is LSN {
  return lsn !== undefined && run !== null && lsn >= run.first && lsn < run.last;
}

function halfRun(lsn: LSN, run: Run | null): BrokenPromiseError {
  return new BrokenPromiseError(
    "G3",
    `applyBatch() was given LSN ${run!.first} to ${run!.last}, and when the store is opened again it has LSN ${lsn}`,
  );
}
