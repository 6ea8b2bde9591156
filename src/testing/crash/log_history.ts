// Everything that was ever appended to one log, and what of it a crash may take.

import type { LSN, WALRecord } from "../../types.ts";
import { OpType } from "../../types.ts";
import type { WAL } from "../../wal.ts";
import { BrokenPromiseError } from "../broken_promise.ts";
import { recordText } from "../store_model.ts";

/** The records of a log over all its crashes. */
export class LogHistory {
  /** The record of an LSN is at index LSN − 1. */
  readonly #records: WALRecord[] = [];
  /** Of each record in a batch: the last LSN of that batch. */
  readonly #batchEnds = new Map<LSN, LSN>();
  /** No crash may take the records up to here. */
  acknowledged: LSN = 0;
  /** The store was called with records up to here: they must not vanish from the log. */
  offered: LSN = 0;
  readonly #offeredBy = new Map<LSN, readonly string[]>();
  #tail: LSN = 1;

  /** The newest LSN. */
  get last(): LSN {
    return this.#records.length;
  }

  /** Takes over what has been appended since the last look. */
  observe(wal: WAL): void {
    if (!wal.isOpen) return;
    const from = this.last + 1;
    if (wal.head > from) {
      for (const record of wal.records({ from: Math.max(from, wal.tail) })) this.#records.push(record);
    }
    this.acknowledge(wal.durable);
  }

  acknowledge(lsn: LSN): void {
    if (lsn > this.acknowledged) this.acknowledged = lsn;
  }

  noteBatch(first: LSN, last: LSN): void {
    for (let lsn = first; lsn <= last; lsn++) this.#batchEnds.set(lsn, last);
  }

  /** True if a run that ends with this record, or a log that does, holds only a part of a batch. */
  partsBatch(lsn: LSN): boolean {
    return (this.#batchEnds.get(lsn) ?? lsn) > lsn;
  }

  /** A store is called with these records of that log. */
  noteOffered(records: readonly WALRecord[], logId: string): void {
    for (const { lsn } of records) {
      const logs = this.#offeredBy.get(lsn) ?? [];
      if (!logs.includes(logId)) this.#offeredBy.set(lsn, [...logs, logId]);
    }
    this.offered = Math.max(this.offered, records[records.length - 1]!.lsn);
  }

  /** The logs that the store was given a record by; for a checkpoint, the last record before it. */
  logsOf(lsn: LSN): readonly string[] {
    while (lsn > 0 && !this.#offeredBy.has(lsn)) lsn--;
    return this.#offeredBy.get(lsn) ?? [];
  }

  /** Records up to an LSN without checkpoints: what a store must have. */
  data(through: LSN = this.last): WALRecord[] {
    return this.#records.slice(0, through).filter(({ opType }) => opType !== OpType.Checkpoint);
  }

  /** The record of an LSN; undefined if it was never appended. */
  at(lsn: LSN): WALRecord | undefined {
    return this.#records[lsn - 1];
  }

  isCheckpoint(lsn: LSN): boolean {
    return this.at(lsn)?.opType === OpType.Checkpoint;
  }

  /**
   * Compares with a log that has just been opened and takes over what it recovered.
   *
   * @throws {BrokenPromiseError}
   */
  checkRecovered(wal: WAL): void {
    const last = wal.head - 1;
    if (last < this.acknowledged) {
      throw new BrokenPromiseError("G1", `LSN ${this.acknowledged} was acknowledged, the log ends at LSN ${last} now`);
    }
    if (last < this.offered) {
      throw new BrokenPromiseError("G11", `the store has had LSN ${this.offered}, the log ends at LSN ${last} now`);
    }
    if (wal.tail < this.#tail) {
      throw new BrokenPromiseError("G4", `LSN ${wal.tail} is back, the log had released up to LSN ${this.#tail - 1}`);
    }
    if (this.partsBatch(last)) throw new BrokenPromiseError("G3", `the log ends at LSN ${last}, within a batch`);
    for (const record of wal.replay()) this.#checkRecord(record);
    // What recovery discarded never was; its LSNs are used again.
    this.#records.length = last;
    for (const lsn of this.#batchEnds.keys()) if (lsn > last) this.#batchEnds.delete(lsn);
    this.acknowledged = last;
    this.#tail = wal.tail;
  }

  /** A record that the log hands out must be the one that was appended. */
  #checkRecord(record: WALRecord): void {
    const wanted = this.at(record.lsn);
    if (wanted === undefined) {
      // The consumer's own checkpoints are appended unseen.
      if (record.lsn === this.last + 1 && record.opType === OpType.Checkpoint) this.#records.push(record);
      else throw new BrokenPromiseError("G2", `the log has ${recordText(record)}, which was never appended`);
    } else if (recordText(record) !== recordText(wanted)) {
      throw new BrokenPromiseError("G2", `the log has ${recordText(record)}, appended was ${recordText(wanted)}`);
    }
  }
}
