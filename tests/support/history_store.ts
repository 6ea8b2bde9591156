// A store that can crash, in two kinds: one saves the LSN with its data, one is called record by
// record and saves none. It may refuse some records, which its consumer then skips.

import type { LSN, Store, WAL, WALRecord } from "../../mod.ts";
import { Delivery } from "../../src/testing/crash/delivery.ts";
import type { LogModel } from "../../src/testing/log_model.ts";
import { recordText } from "../../src/testing/store_model.ts";
import type { Random } from "../../testing.ts";

/** `exact`: `applyBatch()`, `appliedLsn()`, `sync()`. `plain`: a method an operation, `sync()`. */
export type StoreKind = "exact" | "plain";

/** Of so many records, a store that refuses some refuses one. */
const REFUSED_OF = 40;

/** What a failing store throws. */
export class StoreFailure extends Error {
  override name = "StoreFailure";
  /** True if the store would refuse the record again. */
  readonly isFinal: boolean;

  constructor(message: string, isFinal: boolean) {
    super(message);
    this.isFinal = isFinal;
  }
}

export class HistoryStore {
  readonly kind: StoreKind;
  readonly #refuses: boolean;
  readonly #forgets: boolean;
  readonly #model: LogModel;
  readonly #random: Random;
  /** The records that were applied since the last sync, in the order of their coming. */
  #unsynced: WALRecord[] = [];
  readonly #synced = new Map<LSN, WALRecord>();
  /** It has all records up to here durably, but for those that it skips. */
  #complete: LSN = 0;
  readonly #delivery: Delivery;
  /** The highest LSN applied. */
  appliedLsn: LSN = 0;
  /** Calls until one fails; −1: none does. */
  failsIn = -1;
  /** The same for `sync()` alone. */
  syncFailsIn = -1;
  /** The log that is open. */
  wal: WAL | null = null;

  /**
   * @param refuses true if some records cannot be applied.
   * @param forgets true if a failed sync loses what it was to keep.
   */
  constructor(kind: StoreKind, refuses: boolean, forgets: boolean, model: LogModel, random: Random) {
    this.kind = kind;
    this.#refuses = refuses;
    this.#forgets = forgets;
    this.#model = model;
    this.#random = random;
    this.#delivery = new Delivery({
      model,
      durable: () => this.wal?.durable ?? 0,
      applied: () => this.appliedLsn,
      said: () => kind === "exact" ? this.appliedLsn : 0,
      takesRuns: kind === "exact",
      skips: (lsn) => this.skips(lsn),
    });
  }

  /** The store as a new consumer gets it. @param begun called before it is given a record. */
  open(begun: () => void): Store {
    this.#delivery.begin();
    const sync = async () => {
      try {
        await this.#work();
        if (this.syncFailsIn >= 0 && this.syncFailsIn-- === 0) throw new StoreFailure("The store does not sync", false);
      } catch (error) {
        if (this.#forgets) this.#lose(0);
        this.#delivery.begin();
        throw error;
      }
      this.keep();
    };
    const take = async (records: readonly WALRecord[]) => {
      begun();
      await this.#work();
      for (const record of records) this.#model.see(record);
      const refused = records.find((record) => this.#isRefused(record));
      if (refused !== undefined) throw new StoreFailure(`The store refuses ${recordText(refused)}`, true);
      this.#delivery.check(records);
      this.#unsynced.push(...records);
      this.appliedLsn = Math.max(this.appliedLsn, records.at(-1)!.lsn);
    };
    const one = (record: WALRecord) => take([record]);
    const each: Store = {
      insert: (_kh, _kl, _vh, _vl, record) => one(record),
      delete: (_kh, _kl, record) => one(record),
      deleteValue: (_kh, _kl, _vh, _vl, record) => one(record),
      replace: (_kh, _kl, _vh, _vl, record) => one(record),
      apply: one,
      sync,
    };
    if (this.kind === "plain") return each;
    const appliedLsn = () => {
      this.keep();
      return this.appliedLsn;
    };
    const slowly = async () => {
      await this.#work();
      return appliedLsn();
    };
    return { ...each, applyBatch: take, appliedLsn: this.#forgets ? slowly : appliedLsn };
  }

  async #work(): Promise<void> {
    const turns = this.#random.below(4);
    for (let i = 0; i < turns; i++) await null;
    if (this.failsIn >= 0 && this.failsIn-- === 0) throw new StoreFailure("The store fails", false);
  }

  #isRefused({ keyLow }: WALRecord): boolean {
    return this.#refuses && Number(keyLow) % REFUSED_OF === 7;
  }

  /**
   * True for a record that is left out: one that is refused, and all of its batch if it is a run.
   */
  skips(lsn: LSN): boolean {
    if (!this.#refuses) return false;
    const batch = this.#model.batchOf(lsn);
    return batch.some((record) => (this.kind === "exact" || record.lsn === lsn) && this.#isRefused(record));
  }

  /** Gets all records up to an LSN from elsewhere, durably. */
  fill(through: LSN): void {
    this.keep();
    for (const record of this.#model.data(through)) if (!this.#synced.has(record.lsn)) this.#unsynced.push(record);
    this.keep();
    this.appliedLsn = Math.max(this.appliedLsn, this.#model.lastData(through));
  }

  /** A new store. */
  empty(): void {
    this.#unsynced = [];
    this.#synced.clear();
    this.#complete = this.appliedLsn = 0;
  }

  /** What was applied is durable: after a sync, and when the process alone dies. */
  keep(): void {
    for (const record of this.#unsynced) this.#synced.set(record.lsn, record);
    this.#unsynced = [];
  }

  /** Power loss: what came after the last sync is there in part. */
  losePower(): void {
    this.#lose(this.#random.between(0, this.#unsynced.length));
  }

  /** Loses what came after the last sync, but for the first records. */
  #lose(kept: number): void {
    this.#unsynced.length = kept;
    this.keep();
    this.appliedLsn = Math.max(0, ...this.#synced.keys());
  }

  /** The first record up to an LSN that it should have, and does not have durably. */
  lacked(through: LSN): WALRecord | null {
    for (let lsn = this.#complete + 1; lsn <= Math.min(through, this.#model.last); lsn++) {
      if (!this.#model.isCheckpoint(lsn) && !this.skips(lsn)) {
        const wanted = this.#model.batchOf(lsn).find((record) => record.lsn === lsn)!;
        if (!this.#synced.has(lsn)) return wanted;
      }
      this.#complete = lsn;
    }
    return null;
  }
}
