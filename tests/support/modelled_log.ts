// A log and its model, written to at the same time: what crash tests append with.

import { type BatchItem, OpType, type WAL } from "../../mod.ts";
import type { RecordContent } from "../../src/testing/asked_records.ts";
import type { LogModel } from "../../src/testing/log_model.ts";
import { BATCH_OPCODES, batchItem } from "./logs.ts";

/** A log and its model, written to at the same time. */
export class ModelledLog {
  readonly wal: WAL;
  readonly model: LogModel;

  constructor(wal: WAL, model: LogModel) {
    this.wal = wal;
    this.model = model;
  }

  /** Records that no other one repeats: a stale or foreign record cannot pass for the right one. */
  #contents(opType: OpType, count: number): RecordContent[] {
    const first = this.model.asked.count + 1;
    return Array.from({ length: count }, (_, i): RecordContent => {
      const number = BigInt(first + i);
      return opType === OpType.Delete
        ? { opType, keyHigh: 8n, keyLow: number, valueHigh: 0n, valueLow: 0n }
        : { opType, keyHigh: 7n, keyLow: number % 50n, valueHigh: 1n << 63n, valueLow: number };
    });
  }

  /** As `#contents()`, of all operations in turn. */
  #mixedContents(count: number): RecordContent[] {
    const contents = BATCH_OPCODES.map((opType) => this.#contents(opType, count));
    return Array.from({ length: count }, (_, i) => contents[i % contents.length]![i]!);
  }

  /** Notes what a call appended, if it did; its promise acknowledges. */
  #appended(contents: readonly RecordContent[], call: () => Promise<unknown>): Promise<void> {
    const before = this.wal.head;
    const durable = call();
    const asked = this.wal.head === before ? [] : this.model.append(contents);
    return durable.then(() => this.model.asked.acknowledge(asked));
  }

  #one(opType: OpType, log: (content: RecordContent) => Promise<void>): Promise<void> {
    const contents = this.#contents(opType, 1);
    return this.#appended(contents, () => log(contents[0]!));
  }

  insert(): Promise<void> {
    return this.#one(OpType.Insert, (record) => this.wal.logInsert(...toItem(record)));
  }

  /** Several inserts at once, which share commits. */
  async inserts(count: number): Promise<void> {
    await all(Array.from({ length: count }, () => this.insert()));
  }

  delete(): Promise<void> {
    return this.#one(OpType.Delete, ({ keyHigh, keyLow }) => this.wal.logDelete(keyHigh, keyLow));
  }

  deleteValue(): Promise<void> {
    return this.#one(OpType.DeleteValue, (record) => this.wal.logDeleteValue(...toItem(record)));
  }

  replace(): Promise<void> {
    return this.#one(OpType.Replace, (record) => this.wal.logReplace(...toItem(record)));
  }

  operation(): Promise<void> {
    return this.#one(36, (record) => this.wal.logOperation(36, ...toItem(record)));
  }

  batchInsert(count: number): Promise<void> {
    const contents = this.#contents(OpType.Insert, count);
    return this.#appended(contents, () => this.wal.batchInsert(contents.map(toItem)));
  }

  batchDelete(count: number): Promise<void> {
    const contents = this.#contents(OpType.Delete, count);
    return this.#appended(
      contents,
      () => this.wal.batchDelete(contents.map(({ keyHigh, keyLow }) => [keyHigh, keyLow])),
    );
  }

  /** A batch of all operations in turn. */
  batch(count: number): Promise<void> {
    const contents = this.#mixedContents(count);
    return this.#appended(contents, () => this.wal.batch(contents.map(toBatchItem)));
  }

  batchSync(count: number): void {
    const contents = this.#mixedContents(count);
    this.wal.batchSync(contents.map(toBatchItem));
    this.model.append(contents);
  }

  insertSync(): void {
    const contents = this.#contents(OpType.Insert, 1);
    this.wal.logInsertSync(...toItem(contents[0]!));
    this.model.append(contents);
  }

  batchInsertSync(count: number): void {
    const contents = this.#contents(OpType.Insert, count);
    this.wal.batchInsertSync(contents.map(toItem));
    this.model.append(contents);
  }

  flush(): void {
    this.wal.flush();
    this.model.noteDurable(this.model.last);
  }

  async flushAsync(): Promise<void> {
    const { last } = this.model;
    await this.wal.flushAsync();
    this.model.noteDurable(last);
  }

  truncate(through: number): void {
    this.model.release(through);
    this.wal.truncate(through);
  }

  checkpoint(through: number): void {
    // A checkpoint releases a full ring. What was appended is made durable first.
    this.model.release(through);
    const before = this.wal.head;
    try {
      this.wal.checkpoint(through);
    } finally {
      if (this.wal.head > before) {
        const confirmed = this.model.lastData(through);
        const fields = { keyHigh: 0n, keyLow: 0n, valueHigh: 0n, valueLow: BigInt(confirmed) };
        this.model.append([{ opType: OpType.Checkpoint, ...fields }]);
      }
    }
    this.model.noteDurable(this.model.last);
  }

  close(): void {
    this.wal.close();
    this.model.noteDurable(this.model.last);
  }
}

function toItem({ keyHigh, keyLow, valueHigh, valueLow }: RecordContent): [bigint, bigint, bigint, bigint] {
  return [keyHigh, keyLow, valueHigh, valueLow];
}

function toBatchItem(content: RecordContent, i: number): BatchItem {
  return batchItem(content.opType, toItem(content), i % 2 === 0);
}

/** Waits for all of them, then throws what the first that failed did. */
async function all(promises: readonly Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(promises)) if (outcome.status === "rejected") throw outcome.reason;
}
