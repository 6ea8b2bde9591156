// What a log must hold after a crash, by a plain array: the model that crash tests compare a recovered log with.

import { OpType, type WAL, type WALRecord } from "../../mod.ts";

/** A record as it was appended. Records of one batch have the same batch number. */
export interface ModelRecord {
  readonly opType: OpType;
  readonly keyHigh: bigint;
  readonly keyLow: bigint;
  readonly valueHigh: bigint;
  readonly valueLow: bigint;
  readonly batch: number;
}

/** Everything appended to one log, over all its crashes. */
export class LogModel {
  /** The record of an LSN is at index LSN − 1. */
  readonly #records: ModelRecord[] = [];
  #batches = 0;
  #counter = 0;
  /** Every record up to here was acknowledged: no crash may take it. */
  acknowledged = 0;
  /** Records up to here may have been let go of. */
  released = 0;
  /** Records below this LSN are gone for good. */
  tail = 1;
  /** The store has had these records: they must be durable. */
  applied = 0;

  /** The newest LSN. */
  get last(): number {
    return this.#records.length;
  }

  /** A number that no other record has, so that a stale or foreign record cannot pass for the right one. */
  unique(): bigint {
    return BigInt(++this.#counter);
  }

  /** Notes one batch that was appended; returns the LSN of its last record. */
  append(records: readonly Omit<ModelRecord, "batch">[]): number {
    const batch = ++this.#batches;
    for (const record of records) this.#records.push({ ...record, batch });
    return this.last;
  }

  acknowledge(lsn: number): void {
    if (lsn > this.acknowledged) this.acknowledged = lsn;
  }

  /** The last record up to an LSN that is no checkpoint: what a checkpoint can confirm, as stores are given no others. */
  lastGiven(through: number): number {
    let lsn = through;
    while (lsn > 0 && this.#records[lsn - 1]!.opType === OpType.Checkpoint) lsn--;
    return lsn;
  }

  release(lsn: number): void {
    if (lsn > this.released) this.released = lsn;
  }

  clone(): LogModel {
    const copy = new LogModel();
    copy.#records.push(...this.#records);
    copy.#batches = this.#batches;
    copy.#counter = this.#counter;
    copy.acknowledged = this.acknowledged;
    copy.released = this.released;
    copy.tail = this.tail;
    copy.applied = this.applied;
    return copy;
  }

  /**
   * Compares with a log that has just been opened, and takes over what it recovered: from now on all of that is acknowledged,
   * and what it discarded must never come back.
   *
   * @throws {Error} that says which promise is broken.
   */
  checkRecovered(wal: WAL): void {
    const last = wal.head - 1;
    this.#checkEnds(wal.tail, last);
    this.#checkRecords(wal.tail, last, wal.replay());
    this.#records.length = last;
    this.acknowledged = last;
    this.tail = wal.tail;
  }

  #checkEnds(tail: number, last: number): void {
    if (last < this.acknowledged) {
      throw new Error(`G1: LSN ${this.acknowledged} was acknowledged, recovery ends at ${last}`);
    }
    if (last > this.last) throw new Error(`G2: recovery ends at LSN ${last}, but only ${this.last} were appended`);
    if (last < this.applied) throw new Error(`G11: the store has LSN ${this.applied}, recovery ends at ${last}`);
    if (tail < this.tail) throw new Error(`G4: LSN ${tail} is back, the tail was ${this.tail} already`);
    if (tail > this.released + 1) {
      throw new Error(`G11: the tail is ${tail}, but only LSN ${this.released} were confirmed`);
    }
    // Recovery keeps whole batches at both ends.
    if (last < this.last && last > 0 && this.#records[last - 1]!.batch === this.#records[last]!.batch) {
      throw new Error(`G3: recovery ends at LSN ${last}, within a batch`);
    }
    if (tail > 1 && tail <= last && this.#records[tail - 1]!.batch === this.#records[tail - 2]!.batch) {
      throw new Error(`G3: the tail is ${tail}, within a batch`);
    }
  }

  #checkRecords(tail: number, last: number, found: readonly WALRecord[]): void {
    if (found.length !== last - tail + 1) {
      throw new Error(`G2: ${found.length} records from ${tail} to ${last}`);
    }
    let before: WALRecord | null = null;
    for (const [index, record] of found.entries()) {
      const lsn = tail + index;
      if (record.lsn !== lsn) throw new Error(`G2: LSN ${record.lsn} in the place of ${lsn}`);
      const wanted = this.#records[lsn - 1]!;
      if (!isSame(record, wanted)) {
        throw new Error(`G2: LSN ${lsn} is ${show(record)}, appended was ${show(wanted)}`);
      }
      if (before !== null && !isLater(record, before)) {
        throw new Error(`G10: the time of LSN ${lsn} is not after that of the record before`);
      }
      before = record;
    }
  }
}

function isSame(record: WALRecord, wanted: ModelRecord): boolean {
  return record.opType === wanted.opType && record.keyHigh === wanted.keyHigh && record.keyLow === wanted.keyLow &&
    record.valueHigh === wanted.valueHigh && record.valueLow === wanted.valueLow;
}

function isLater({ time: [nanos, seq] }: WALRecord, { time: [nanosBefore, seqBefore] }: WALRecord): boolean {
  return nanos > nanosBefore || (nanos === nanosBefore && seq > seqBefore);
}

function show({ opType, keyHigh, keyLow, valueHigh, valueLow }: Omit<ModelRecord, "batch">): string {
  return `${opType}(${[keyHigh, keyLow, valueHigh, valueLow].join(", ")})`;
}

/** A log and its model, written to at the same time. */
export class ModelledLog {
  readonly wal: WAL;
  readonly model: LogModel;

  constructor(wal: WAL, model: LogModel) {
    this.wal = wal;
    this.model = model;
  }

  #insert(): Omit<ModelRecord, "batch"> {
    const number = this.model.unique();
    return { opType: OpType.Insert, keyHigh: 7n, keyLow: number % 50n, valueHigh: 1n << 63n, valueLow: number };
  }

  #delete(): Omit<ModelRecord, "batch"> {
    return { opType: OpType.Delete, keyHigh: 8n, keyLow: this.model.unique(), valueHigh: 0n, valueLow: 0n };
  }

  /** Notes what a call appended, if it did; its promise acknowledges. */
  #appended(records: readonly Omit<ModelRecord, "batch">[], call: () => Promise<void>): Promise<void> {
    const before = this.wal.head;
    const durable = call();
    if (this.wal.head === before) return durable;
    const lsn = this.model.append(records);
    return durable.then(() => this.model.acknowledge(lsn));
  }

  insert(): Promise<void> {
    const record = this.#insert();
    const { keyHigh, keyLow, valueHigh, valueLow } = record;
    return this.#appended([record], () => this.wal.logInsert(keyHigh, keyLow, valueHigh, valueLow));
  }

  /** Several inserts at once, which share commits. */
  async inserts(count: number): Promise<void> {
    await all(Array.from({ length: count }, () => this.insert()));
  }

  delete(): Promise<void> {
    const record = this.#delete();
    return this.#appended([record], () => this.wal.logDelete(record.keyHigh, record.keyLow));
  }

  deleteValue(): Promise<void> {
    const record = { ...this.#insert(), opType: OpType.DeleteValue };
    const { keyHigh, keyLow, valueHigh, valueLow } = record;
    return this.#appended([record], () => this.wal.logDeleteValue(keyHigh, keyLow, valueHigh, valueLow));
  }

  batchInsert(count: number): Promise<void> {
    const records = Array.from({ length: count }, () => this.#insert());
    return this.#appended(records, () => this.wal.batchInsert(records.map(toItem)));
  }

  batchDelete(count: number): Promise<void> {
    const records = Array.from({ length: count }, () => this.#delete());
    return this.#appended(records, () => this.wal.batchDelete(records.map(({ keyHigh, keyLow }) => [keyHigh, keyLow])));
  }

  insertSync(): void {
    const record = this.#insert();
    const { keyHigh, keyLow, valueHigh, valueLow } = record;
    this.wal.logInsertSync(keyHigh, keyLow, valueHigh, valueLow);
    this.model.append([record]);
  }

  batchInsertSync(count: number): void {
    const records = Array.from({ length: count }, () => this.#insert());
    this.wal.batchInsertSync(records.map(toItem));
    this.model.append(records);
  }

  flush(): void {
    this.wal.flush();
    this.model.acknowledge(this.model.last);
  }

  async flushAsync(): Promise<void> {
    const { last } = this.model;
    await this.wal.flushAsync();
    this.model.acknowledge(last);
  }

  truncate(through: number): void {
    this.model.release(through);
    this.wal.truncate(through);
  }

  checkpoint(through: number): void {
    // A full ring is let go of by it, and what was appended is made durable first.
    this.model.release(through);
    const before = this.wal.head;
    try {
      this.wal.checkpoint(through);
    } finally {
      if (this.wal.head > before) {
        const confirmed = this.model.lastGiven(through);
        const fields = { keyHigh: 0n, keyLow: 0n, valueHigh: 0n, valueLow: BigInt(confirmed) };
        this.model.append([{ opType: OpType.Checkpoint, ...fields }]);
      }
    }
    this.model.acknowledge(this.model.last);
  }

  close(): void {
    this.wal.close();
    this.model.acknowledge(this.model.last);
  }
}

function toItem(
  { keyHigh, keyLow, valueHigh, valueLow }: Omit<ModelRecord, "batch">,
): [bigint, bigint, bigint, bigint] {
  return [keyHigh, keyLow, valueHigh, valueLow];
}

/** Waits for all of them, and then throws what the first that failed did: none is left behind unhandled. */
async function all(promises: readonly Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(promises)) if (outcome.status === "rejected") throw outcome.reason;
}
