// A store that can crash, in two kinds: one saves the LSN with its data, one is called record by
// record and saves none.

import type { LSN, Store, WAL, WALRecord } from "../../mod.ts";
import { Delivery } from "../../src/testing/crash/delivery.ts";
import type { LogModel } from "../../src/testing/log_model.ts";
import { recordText } from "../../src/testing/store_model.ts";
import { BrokenPromiseError, type Random } from "../../testing.ts";

/** `exact`: `applyBatch()`, `appliedLsn()`, `sync()`. `plain`: a method an operation, `sync()`. */
export type StoreKind = "exact" | "plain";

/** What a failing store throws. */
export class StoreFailure extends Error {
  override name = "StoreFailure";
}

export class HistoryStore {
  readonly kind: StoreKind;
  readonly #model: LogModel;
  readonly #random: Random;
  /** The records that were applied, in the order of their coming. */
  readonly #applied: WALRecord[] = [];
  readonly #delivery: Delivery;
  #synced = 0;
  /** Calls until one fails; −1: none does. */
  failsIn = -1;
  /** The log that is open. */
  wal: WAL | null = null;

  constructor(kind: StoreKind, model: LogModel, random: Random) {
    this.kind = kind;
    this.#model = model;
    this.#random = random;
    this.#delivery = new Delivery({
      model,
      durable: () => this.wal?.durable ?? 0,
      applied: () => this.appliedLsn,
      said: () => kind === "exact" ? this.appliedLsn : 0,
      takesRuns: kind === "exact",
    });
  }

  /** The store as a new consumer gets it. */
  get store(): Store {
    this.#delivery.begin();
    const sync = async () => {
      await this.#work();
      this.#synced = this.#applied.length;
      this.#model.release(this.appliedLsn);
    };
    const one = async (record: WALRecord) => {
      await this.#work();
      this.#take([record]);
    };
    const each: Store = {
      insert: (_kh, _kl, _vh, _vl, record) => one(record),
      delete: (_kh, _kl, record) => one(record),
      deleteValue: (_kh, _kl, _vh, _vl, record) => one(record),
      replace: (_kh, _kl, _vh, _vl, record) => one(record),
      apply: one,
      sync,
    };
    if (this.kind === "plain") return each;
    const applyBatch = async (records: readonly WALRecord[]) => {
      await this.#work();
      this.#take(records);
    };
    return { ...each, applyBatch, appliedLsn: () => this.appliedLsn };
  }

  /** The highest LSN applied. */
  get appliedLsn(): number {
    return this.#applied.reduce((highest, { lsn }) => Math.max(highest, lsn), 0);
  }

  async #work(): Promise<void> {
    const turns = this.#random.below(4);
    for (let i = 0; i < turns; i++) await null;
    if (this.failsIn >= 0 && this.failsIn-- === 0) throw new StoreFailure("The store fails");
  }

  #take(records: readonly WALRecord[]): void {
    this.#delivery.check(records);
    this.#applied.push(...records);
  }

  /** Power loss: what came after the last sync is there in part. */
  losePower(): void {
    this.#applied.length = this.#random.between(this.#synced, this.#applied.length);
    this.#synced = this.#applied.length;
  }

  /** After a recovery: the store has what the log released. */
  check(wal: WAL): void {
    const applied = this.appliedLsn;
    const mine = new Map(this.#applied.map((record): [LSN, WALRecord] => [record.lsn, record]));
    // An exact store has every record up to its LSN, a plain one those that the log released.
    for (const record of this.#model.data(this.kind === "exact" ? applied : wal.tail - 1)) {
      const found = mine.get(record.lsn);
      if (found !== undefined && recordText(found) === recordText(record)) continue;
      throw new BrokenPromiseError("G11", `${recordText(record)} is not in the store; the tail is ${wal.tail}`);
    }
    this.#model.release(applied);
  }
}
