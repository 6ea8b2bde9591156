// What a store was given over all its lives, and what it owes. What it says and what it has must
// agree.

import type { LSN, Store, WALRecord } from "../types.ts";
import { BrokenPromiseError } from "./broken_promise.ts";
import { findPrefixes, type StoreEntry, StoreModel } from "./store_model.ts";

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
  /** It was called with no later record since it was opened. */
  #offered: LSN = 0;
  #run: Run | null = null;
  /** `#offered` before the last call. */
  #offeredBefore: LSN = 0;
  /** The log that each record came from. */
  readonly #logs = new Map<LSN, string>();

  /** @param data records that the store may have: up to an LSN, or all, without checkpoints. */
  constructor(data: (through?: LSN) => WALRecord[]) {
    this.#data = data;
  }

  /** Up to here it has every record, in memory at least. */
  get applied(): LSN {
    return this.#applied;
  }

  /** It said, or its `sync()` meant, that it has every record up to here durably. */
  get durable(): LSN {
    return this.#durable;
  }

  /** What it has in memory is from another log than what it has durably. */
  get mixesLogs(): boolean {
    return this.#durable > 0 && this.#logOf(this.#applied) !== this.#logOf(this.#durable);
  }

  /** An account that says the same, for the next life: this one stays with what is dead. */
  clone(): StoreAccount {
    const copy = new StoreAccount(this.#data);
    copy.#applied = this.#applied;
    copy.#durable = this.#durable;
    copy.#offered = this.#offered;
    copy.#run = this.#run;
    copy.#offeredBefore = this.#offeredBefore;
    for (const [lsn, log] of this.#logs) copy.#logs.set(lsn, log);
    return copy;
  }

  /** The store is about to be called with these records of a log. */
  offer(records: readonly WALRecord[], logId: string): void {
    const run = { first: records[0]!.lsn, last: records[records.length - 1]!.lsn };
    // A store passes over records that it has: those are still from the log that gave them first.
    for (const { lsn } of records) if (lsn > this.#applied) this.#logs.set(lsn, logId);
    this.#offeredBefore = this.#offered;
    this.#offered = Math.max(this.#offered, run.last);
    this.#run = run;
  }

  /** The store has returned from a call with these records. */
  noteApplied(records: readonly WALRecord[]): void {
    this.#applied = Math.max(this.#applied, records[records.length - 1]!.lsn);
  }

  /** Its `sync()`, or a call of a store without one, made durable what it had. */
  noteDurable(lsn: LSN = this.#applied): void {
    this.#durable = Math.max(this.#durable, lsn);
  }

  /** The fault of what `appliedLsn()` said, or null. A right LSN is believed. */
  faultOfLsn(lsn: LSN): string | null {
    if (!Number.isSafeInteger(lsn) || lsn < 0) return `appliedLsn() is ${String(lsn)}, which is no LSN`;
    if (lsn > this.#offered) {
      return `appliedLsn() is ${lsn}, but the store was never given a record after LSN ${this.#offered} (H28)`;
    }
    if (lsn < this.#durable) {
      return `appliedLsn() is ${lsn}, though the store has LSN ${this.#durable} durably (H28)`;
    }
    this.#applied = Math.max(this.#applied, lsn);
    this.#durable = lsn;
    return null;
  }

  /** The fault of what `appliedLog()` said at that LSN, or null. */
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
   * @param entries its contents, if there is a way to read them.
   * @throws {BrokenPromiseError}
   */
  async checkOpened(store: Store, entries: readonly StoreEntry[] | null): Promise<void> {
    this.#applied = this.#durable;
    if (store.appliedLsn === undefined) {
      if (entries !== null && store.applyBatch !== undefined) this.#checkRun(entries);
      return;
    }
    const run = store.applyBatch === undefined ? null : this.#run;
    const lsn = await store.appliedLsn();
    this.#checkLsn(lsn);
    if (isWithin(lsn, run)) throw halfRun(lsn, run);
    if (store.appliedLog !== undefined) {
      const fault = this.faultOfLog(store, lsn, await store.appliedLog());
      if (fault !== null) throw new BrokenPromiseError("G11", `when it is opened again, ${fault}`);
    }
    if (entries !== null) this.#checkContents(entries, run, lsn);
    this.#applied = this.#durable = this.#offered = lsn;
    this.#run = null;
  }

  #checkLsn(lsn: LSN): void {
    const said = `appliedLsn() is ${String(lsn)} when it is opened again`;
    if (!Number.isSafeInteger(lsn) || lsn < 0) throw new BrokenPromiseError("G11", `${said}, which is no LSN`);
    if (lsn < this.#durable) {
      throw new BrokenPromiseError(
        "G11",
        `${said}, though the store had LSN ${this.#durable} durably before it (H27)`,
      );
    }
    if (lsn > this.#offered) {
      throw new BrokenPromiseError(
        "G11",
        `${said}, but the store was never given a record after LSN ${this.#offered} (H28)`,
      );
    }
  }

  /** With `appliedLsn()`: the contents are those of that LSN. */
  #checkContents(entries: readonly StoreEntry[], run: Run | null, lsn: LSN): void {
    const difference = StoreModel.after(this.#data(lsn)).difference(entries);
    if (difference === null) return;
    const states = findPrefixes(this.#data(), entries);
    // Several records in a row may leave the contents as they were.
    const found = states.findLast((state) => !isWithin(state, run)) ?? states.at(-1);
    if (isWithin(found, run)) throw halfRun(found, run);
    const what = `appliedLsn() is ${lsn} when it is opened again, but `;
    if (found === undefined) throw new BrokenPromiseError("G11", `${what}${difference} (H28)`);
    throw new BrokenPromiseError(
      "G11",
      found < lsn
        ? `${what}the contents are those of LSN ${found}: what comes after it is lost (H28)`
        : `${what}the contents are those of LSN ${found}: what comes after LSN ${lsn} is applied twice (H28)`,
    );
  }

  /** Without it: records may come again, but none of a run is there without the others. */
  #checkRun(entries: readonly StoreEntry[]): void {
    const states = findPrefixes(this.#data(), entries);
    const found = states.at(-1);
    // A state that an earlier call may have led to says nothing of the last run.
    const isHalf = states.every((state) => state > this.#offeredBefore && isWithin(state, this.#run));
    if (isHalf && isWithin(found, this.#run)) throw halfRun(found, this.#run);
  }
}

/** Some of a run has been applied, and some has not. */
function isWithin(lsn: LSN | undefined, run: Run | null): lsn is LSN {
  return lsn !== undefined && run !== null && lsn >= run.first && lsn < run.last;
}

function halfRun(lsn: LSN, run: Run | null): BrokenPromiseError {
  return new BrokenPromiseError(
    "G3",
    `applyBatch() was given LSN ${run!.first} to ${run!.last}, and when the store is opened again it has LSN ${lsn}`,
  );
}
