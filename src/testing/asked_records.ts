// The records that a log was asked for: each record of each call, in the order of the calls.

import { type LSN, OpType, type WALRecord, type WALRecordFields } from "../types.ts";
import { BrokenPromiseError } from "./broken_promise.ts";
import { recordText } from "./store_model.ts";

/** The fields of a record without its LSN and its time. */
export type RecordContent = Pick<WALRecordFields, "opType" | "keyHigh" | "keyLow" | "valueHigh" | "valueLow">;

/** A record that a call asked for. */
export interface AskedRecord {
  readonly content: RecordContent;
  /** The record's number among all that were asked for, from 1. */
  readonly number: number;
  /** How many records of its call come before this one, and how many after it. */
  readonly before: number;
  readonly after: number;
  /** True if the caller may have given the time, which may equal that of the record before. */
  readonly mayRepeatTime: boolean;
}

/** All records that were asked for, over all crashes of a log. */
export class AskedRecords {
  #count = 0;
  /** The records whose content no other record has, by that content. */
  readonly #byContent = new Map<string, AskedRecord>();
  /** Records with lower numbers that no recovery found are dead, and must never come back. */
  #deadBelow = 1;
  readonly #acknowledged = new Set<AskedRecord>();

  get count(): number {
    return this.#count;
  }

  /** Notes that a call asks for these records. No other record may have their content. */
  ask(contents: readonly RecordContent[]): readonly AskedRecord[] {
    const asked = this.number(contents, false);
    for (const record of asked) this.#byContent.set(keyOf(record.content), record);
    return asked;
  }

  /** As `ask()`, for content that other calls may repeat. No record is traced to these. */
  number(contents: readonly RecordContent[], mayRepeatTime: boolean): readonly AskedRecord[] {
    return contents.map((content, before) => {
      const after = contents.length - before - 1;
      return { content, number: ++this.#count, before, after, mayRepeatTime };
    });
  }

  /** Notes that the promise of a call has resolved. */
  acknowledge(asked: readonly AskedRecord[]): void {
    for (const record of asked) this.#acknowledged.add(record);
  }

  /** Finds what was asked for by the content of a new record; null for a checkpoint of the log. */
  trace(record: WALRecord): AskedRecord | null {
    const asked = this.#byContent.get(keyOf(record));
    if (asked === undefined && record.opType === OpType.Checkpoint) return null;
    if (asked === undefined) {
      throw new BrokenPromiseError("G2", `the log has ${recordText(record)}, which was never appended`);
    }
    if (asked.number < this.#deadBelow) {
      throw new BrokenPromiseError("G4", `the log has ${recordText(record)}, which an earlier recovery had discarded`);
    }
    return asked;
  }

  /** Notes the records that a recovery has found. The others are dead. */
  settle(found: ReadonlySet<AskedRecord>): void {
    for (const asked of this.#acknowledged) {
      if (found.has(asked)) continue;
      throw new BrokenPromiseError("G1", `${contentText(asked)} was acknowledged, and is lost`);
    }
    this.#deadBelow = this.#count + 1;
  }

  clone(): AskedRecords {
    const copy = new AskedRecords();
    copy.#count = this.#count;
    for (const [key, asked] of this.#byContent) copy.#byContent.set(key, asked);
    copy.#deadBelow = this.#deadBelow;
    for (const asked of this.#acknowledged) copy.#acknowledged.add(asked);
    return copy;
  }
}

/** Checks that the records are those of whole calls, in the order of the calls. */
export function checkCalls(records: readonly (AskedRecord | null)[], first: LSN): void {
  let last: AskedRecord | null = null;
  for (const [i, asked] of records.entries()) {
    const lsn = first + i;
    const isOpen: boolean = last !== null && last.after > 0;
    if (isOpen && asked?.number !== last!.number + 1) {
      throw new BrokenPromiseError("G3", `a batch breaks off before LSN ${lsn}`);
    }
    if (asked === null) continue;
    if (asked.before > 0 && !isOpen) {
      throw new BrokenPromiseError("G3", `LSN ${lsn} is within a batch whose beginning is missing`);
    }
    if (last !== null && asked.number <= last.number) {
      throw new BrokenPromiseError("G2", `LSN ${lsn} is record ${asked.number}, after record ${last.number}`);
    }
    last = asked;
  }
  if (last !== null && last.after > 0) {
    throw new BrokenPromiseError("G3", `the log ends at LSN ${first + records.length - 1}, within a batch`);
  }
}

function contentText({ content, number }: AskedRecord): string {
  return `record ${number} (${keyOf(content)})`;
}

function keyOf({ opType, keyHigh, keyLow, valueHigh, valueLow }: RecordContent): string {
  return `${opType}: ${keyHigh}, ${keyLow}, ${valueHigh}, ${valueLow}`;
}
