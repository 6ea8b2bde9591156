// What a log must hold, over all its crashes. The model is told which records were asked for, and
// is shown the log.
//
// Calls take effect in their order. So each record in a log can be traced to the call that asked
// for it, also if the log chose its LSN: after a wait for room, or between two checkpoints.

import { type LSN, OpType, type WALRecord } from "../types.ts";
import type { WAL } from "../wal.ts";
import { type AskedRecord, AskedRecords, checkCalls, type RecordContent } from "./asked_records.ts";
import { BrokenPromiseError } from "./broken_promise.ts";
import { recordText } from "./store_model.ts";

/** What is known of an LSN. */
interface Placed {
  /** Null for a checkpoint that the log wrote by itself. */
  readonly asked: AskedRecord | null;
  /** Null until the model has seen the record. */
  readonly record: WALRecord | null;
}

/** All records that one log was asked for, and their LSNs. */
export class LogModel {
  readonly asked: AskedRecords;
  /** Index LSN − 1. A hole is a checkpoint that was released before the model saw it. */
  #placed: (Placed | undefined)[] = [];
  /** The highest LSN that the log or a flush reported as durable. */
  #durable: LSN = 0;
  /** The highest LSN that the store was called with, so it was durable. */
  #offered: LSN = 0;
  /** The tail may be moved past the records up to here. */
  #released: LSN = 0;
  #tail: LSN = 1;

  constructor(asked: AskedRecords = new AskedRecords()) {
    this.asked = asked;
  }

  /** The newest LSN that is known. */
  get last(): LSN {
    return this.#placed.length;
  }

  get released(): LSN {
    return this.#released;
  }

  // What the workload does.

  /** Notes that a call has appended these records with the next LSNs. */
  append(contents: readonly RecordContent[]): readonly AskedRecord[] {
    const asked = this.asked.ask(contents);
    for (const record of asked) this.#placed.push({ asked: record, record: null });
    return asked;
  }

  /**
   * Takes the new records of a log as asked for, when the calls themselves are not known.
   *
   * @param first the records from this LSN on belong to one call. Each earlier one belongs to a
   * call of its own.
   */
  adopt(wal: WAL, first: LSN = wal.head): void {
    if (!wal.isOpen) return;
    const records = this.#unseen(wal);
    const alone = records.filter(({ lsn }) => lsn < first).map((record) => [record]);
    for (const call of [...alone, records.slice(alone.length)]) {
      const asked = this.asked.number(call, true);
      for (const [i, record] of call.entries()) {
        this.#placed[record.lsn - 1] = { asked: record.opType === OpType.Checkpoint ? null : asked[i]!, record };
      }
    }
    this.noteDurable(wal.durable);
  }

  noteDurable(lsn: LSN): void {
    this.#durable = Math.max(this.#durable, lsn);
  }

  noteOffered(lsn: LSN): void {
    this.#offered = Math.max(this.#offered, lsn);
  }

  release(lsn: LSN): void {
    this.#released = Math.max(this.#released, lsn);
  }

  // What is known.

  /** True if the record is a checkpoint, which stores do not get. A hole was a checkpoint too. */
  isCheckpoint(lsn: LSN): boolean {
    if (lsn > this.last) return false;
    const placed = this.#placed[lsn - 1];
    const { opType } = placed?.record ?? placed?.asked?.content ?? { opType: OpType.Checkpoint };
    return opType === OpType.Checkpoint;
  }

  /** The last record up to an LSN that stores are given; 0 if there is none. */
  lastData(through: LSN = this.last): LSN {
    let lsn = through;
    while (lsn > 0 && this.isCheckpoint(lsn)) lsn--;
    return lsn;
  }

  /** The records up to an LSN that stores are given. All of them must have been seen. */
  data(through: LSN = this.last): WALRecord[] {
    const found: WALRecord[] = [];
    for (let lsn = 1; lsn <= Math.min(through, this.last); lsn++) {
      if (!this.isCheckpoint(lsn)) found.push(this.#placed[lsn - 1]!.record!);
    }
    return found;
  }

  /** The records of the call that appended this one, as far as they were seen. */
  batchOf(lsn: LSN): WALRecord[] {
    const asked = this.#placed[lsn - 1]?.asked;
    if (asked === undefined || asked === null) return [];
    const batch = this.#placed.slice(lsn - 1 - asked.before, lsn + asked.after);
    return batch.flatMap((placed) => placed?.record ?? []);
  }

  /** True if a run that ends with this record ends within a batch. */
  partsBatch(lsn: LSN): boolean {
    return (this.#placed[lsn - 1]?.asked?.after ?? 0) > 0;
  }

  /** A copy, for a history that goes on in another way. */
  clone(): LogModel {
    const copy = new LogModel(this.asked.clone());
    copy.#placed = [...this.#placed];
    copy.#durable = this.#durable;
    copy.#offered = this.#offered;
    copy.#released = this.#released;
    copy.#tail = this.#tail;
    return copy;
  }

  // What the log shows. Each of these methods throws a BrokenPromiseError.

  /** Sees all new records of an open log. */
  observe(wal: WAL): void {
    for (const record of this.#unseen(wal)) this.see(record);
    this.noteDurable(wal.durable);
  }

  #unseen(wal: WAL): WALRecord[] {
    const from = Math.max(this.last + 1, wal.tail);
    return from < wal.head ? [...wal.records({ from })] : [];
  }

  /** Checks and notes a record that is in the log, or was handed to the store. */
  see(record: WALRecord): void {
    const { lsn } = record;
    const known = this.#placed[lsn - 1];
    if (known === undefined) {
      this.#placed[lsn - 1] = { asked: this.asked.trace(record), record };
      return;
    }
    const wanted = known.record ?? known.asked!.content;
    if (!isSame(record, wanted)) {
      throw new BrokenPromiseError(
        "G2",
        `${recordText(record)} was ${recordText({ ...fieldsOf(wanted), lsn })} before`,
      );
    }
    if (known.record === null) this.#placed[lsn - 1] = { asked: known.asked, record };
    else if (compareTimes(record, known.record) !== 0) {
      throw new BrokenPromiseError("G2", `${recordText(record)} had another time before`);
    }
  }

  /** Compares with a log that has just been opened, and takes over what it recovered. */
  checkRecovered(wal: WAL): void {
    const last = wal.head - 1;
    if (last < this.#durable) {
      throw new BrokenPromiseError("G1", `LSN ${this.#durable} was durable, the log ends at LSN ${last} now`);
    }
    if (last < this.#offered) {
      throw new BrokenPromiseError("G11", `the store has had LSN ${this.#offered}, the log ends at LSN ${last} now`);
    }
    this.checkPrefix(wal);
    const { tail } = wal;
    if (tail < this.#tail) {
      throw new BrokenPromiseError("G4", `LSN ${tail} is back, the log had released up to LSN ${this.#tail - 1}`);
    }
    // The log's own checkpoints are released with the records before them.
    for (let lsn = this.#released + 1; lsn < tail; lsn++) {
      if ((this.#placed[lsn - 1]?.asked ?? null) === null) continue;
      throw new BrokenPromiseError("G11", `the tail is ${tail}, and only LSN ${this.#released} may be released`);
    }
    // Discarded records do not count any more, and their LSNs are used again.
    this.#placed.length = last;
    this.asked.settle(new Set(this.#placed.flatMap((placed) => placed?.asked ?? [])));
    this.#durable = last;
    this.#tail = wal.tail;
  }

  /** Checks that a log holds a prefix of the appended records, in whole batches. */
  checkPrefix(wal: WAL): void {
    const { tail, head } = wal;
    const records = wal.replay();
    if (records.length !== head - tail) {
      throw new BrokenPromiseError("G2", `the log has ${records.length} records from LSN ${tail} to ${head - 1}`);
    }
    for (const [i, record] of records.entries()) {
      if (record.lsn !== tail + i) {
        throw new BrokenPromiseError("G2", `the log has LSN ${record.lsn} in the place of LSN ${tail + i}`);
      }
      this.see(record);
    }
    const asked = records.map(({ lsn }) => this.#placed[lsn - 1]!.asked);
    checkCalls(asked, tail);
    for (let i = 1; i < records.length; i++) {
      const order = compareTimes(records[i]!, records[i - 1]!);
      if (order > 0 || (order === 0 && asked[i]?.mayRepeatTime)) continue;
      throw new BrokenPromiseError("G10", `the time of LSN ${tail + i} is not after that of the record before`);
    }
  }
}

function fieldsOf({ opType, keyHigh, keyLow, valueHigh, valueLow }: RecordContent): RecordContent {
  return { opType, keyHigh, keyLow, valueHigh, valueLow };
}

function isSame(one: RecordContent, other: RecordContent): boolean {
  return one.opType === other.opType && one.keyHigh === other.keyHigh && one.keyLow === other.keyLow &&
    one.valueHigh === other.valueHigh && one.valueLow === other.valueLow;
}

/** Above 0 if the first is later. */
function compareTimes({ time: [nanos, seq] }: WALRecord, { time: [otherNanos, otherSeq] }: WALRecord): number {
  return nanos === otherNanos ? seq - otherSeq : nanos > otherNanos ? 1 : -1;
}
