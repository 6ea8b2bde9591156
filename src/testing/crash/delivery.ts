// Checks that a consumer hands a store only durable records, in order, without gaps and in whole
// batches.

import type { LSN, WALRecord } from "../../types.ts";
import { BrokenPromiseError } from "../broken_promise.ts";
import type { LogModel } from "../log_model.ts";
import { recordText } from "../store_model.ts";

/** The two sides of a delivery, as they are now. */
export interface DeliveryParties {
  readonly model: LogModel;
  /** The log's highest durable LSN. */
  durable(): LSN;
  /** The LSN up to which the store has every record, at least in memory. */
  applied(): LSN;
  /** The LSN up to which the store has said that it has every record; 0 if it cannot say. */
  said(): LSN;
  readonly takesRuns: boolean;
  /** True for a record that the consumer leaves out, because the store cannot apply it. */
  skips?(lsn: LSN): boolean;
}

/** Checks the records that successive consumers hand to a store. */
export class Delivery {
  readonly #parties: DeliveryParties;
  /** The next record; 0 if a consumer has handed out none. */
  #expected: LSN = 0;

  constructor(parties: DeliveryParties) {
    this.#parties = parties;
  }

  /** A consumer starts: it may begin with records that an earlier one has handed out. */
  begin(): void {
    this.#expected = 0;
  }

  /** @throws {BrokenPromiseError} */
  check(records: readonly WALRecord[]): void {
    const { model, takesRuns } = this.#parties;
    for (const record of records) this.#checkOne(record);
    const last = records[records.length - 1]!.lsn;
    if (takesRuns && model.partsBatch(last)) {
      throw new BrokenPromiseError("G3", `the store gets a run that ends at LSN ${last}, within a batch`);
    }
    model.noteOffered(last);
  }

  #checkOne(record: WALRecord): void {
    const { lsn } = record;
    const { model } = this.#parties;
    model.see(record);
    const gets = `the store gets ${recordText(record)}`;
    const durable = this.#parties.durable();
    if (lsn > durable) throw new BrokenPromiseError("G11", `${gets}, and only LSN ${durable} is durable (H26)`);
    if (this.#expected !== 0 && lsn !== this.#nextData(this.#expected)) {
      throw new BrokenPromiseError("G11", `${gets} in the place of LSN ${this.#nextData(this.#expected)}`);
    }
    const missing = this.#nextData(this.#parties.applied() + 1);
    if (this.#expected === 0 && missing < lsn) {
      throw new BrokenPromiseError("G11", `${gets}, but has not had LSN ${missing} (H27)`);
    }
    if (lsn <= this.#parties.said()) throw new BrokenPromiseError("G11", `${gets}, which it had durably already`);
    this.#expected = lsn + 1;
  }

  /** The next record that a store gets: checkpoints are for the log only. */
  #nextData(lsn: LSN): LSN {
    while (this.#parties.model.isCheckpoint(lsn) || this.#parties.skips?.(lsn)) lsn++;
    return lsn;
  }
}
