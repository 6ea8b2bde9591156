// A store that can crash, in three kinds: one that saves the LSN with its data, one that is called record by record and saves
// none, and none at all. It notes which record came to it when.

import { OpType, type Store, type WAL, type WALRecord } from "../../mod.ts";
import type { Random } from "../../testing.ts";
import { BrokenPromise, type HistoryModel } from "./history_model.ts";

/** `exact`: `applyBatch()`, `appliedLsn()`, `sync()`. `plain`: the three methods and `sync()`. */
export type StoreKind = "exact" | "plain";

/** What a failing store throws. */
export class StoreFailure extends Error {
  override name = "StoreFailure";
}

export class HistoryStore {
  readonly kind: StoreKind;
  readonly #model: HistoryModel;
  readonly #random: Random;
  /** The number of each record applied, by its LSN, in the order of their coming. */
  #applied: [lsn: number, id: number][] = [];
  #synced = 0;
  /** Calls until one fails; −1: none does. */
  failsIn = -1;
  /** The log that is open. */
  wal: WAL | null = null;

  constructor(kind: StoreKind, model: HistoryModel, random: Random) {
    this.kind = kind;
    this.#model = model;
    this.#random = random;
  }

  /** The store as a consumer gets it. */
  get store(): Store {
    const sync = async () => {
      await this.#work();
      this.#synced = this.#applied.length;
      this.#model.release(this.appliedLsn);
    };
    const one = async (record: WALRecord) => {
      await this.#work();
      this.#take(record);
    };
    const each: Store = {
      insert: (_kh, _kl, _vh, _vl, record) => one(record),
      delete: (_kh, _kl, record) => one(record),
      deleteValue: (_kh, _kl, _vh, _vl, record) => one(record),
      sync,
    };
    if (this.kind === "plain") return each;
    const applyBatch = async (records: readonly WALRecord[]) => {
      await this.#work();
      for (const record of records) this.#take(record);
    };
    return { ...each, applyBatch, appliedLsn: () => this.appliedLsn };
  }

  /** The highest LSN applied. */
  get appliedLsn(): number {
    return this.#applied.reduce((highest, [lsn]) => Math.max(highest, lsn), 0);
  }

  async #work(): Promise<void> {
    const turns = this.#random.below(4);
    for (let i = 0; i < turns; i++) await null;
    if (this.failsIn >= 0 && this.failsIn-- === 0) throw new StoreFailure("The store fails");
  }

  #take(record: WALRecord): void {
    const { wal } = this;
    if (wal !== null && record.lsn > wal.durable) {
      throw new BrokenPromise(`G11: the store got LSN ${record.lsn}, durable is ${wal.durable}`);
    }
    if (this.kind === "exact" && record.lsn <= this.appliedLsn) {
      throw new BrokenPromise(`G11: the store got LSN ${record.lsn} again, it said it had ${this.appliedLsn}`);
    }
    this.#model.place(record);
    this.#applied.push([record.lsn, Number(record.opType === OpType.Delete ? record.keyLow : record.valueLow)]);
  }

  /** Power loss: what came after the last sync is there in part. */
  losePower(): void {
    this.#applied.length = this.#random.between(this.#synced, this.#applied.length);
    this.#synced = this.#applied.length;
  }

  /** After a recovery: the log has what the store has, the store what the log let go of. */
  check(wal: WAL): void {
    const applied = this.appliedLsn;
    if (applied > wal.head - 1) {
      throw new BrokenPromise(`G11: the store has LSN ${applied}, the log ends at ${wal.head - 1}`);
    }
    const mine = new Map(this.#applied);
    // An exact store has every record up to its LSN; a plain one at least those that the log gave up.
    for (const [lsn, id] of this.#model.recordsThrough(this.kind === "exact" ? applied : wal.tail - 1)) {
      if (mine.get(lsn) !== id) {
        throw new BrokenPromise(`G11: LSN ${lsn} (record ${id}) is not in the store; the tail is ${wal.tail}`);
      }
    }
    this.#model.release(applied);
  }
}
