// What a log and its store must hold in a random history: a plain array, told what was asked for and shown what came of it.
//
// A record bears the number of the call that asked for it, in `valueLow` (deletes: in `keyLow`), and calls take effect in
// order. So whatever turns up can be traced to its call, also where the log chose the place: after a wait for room, or between
// two checkpoints of a consumer.

import { OpType, type WAL, type WALRecord } from "../../mod.ts";

/** A record that was asked for. Numbers of one batch are consecutive. */
interface Asked {
  readonly id: number;
  readonly opType: OpType;
  readonly batchFirst: number;
  readonly batchLast: number;
}

/** What is known of an LSN: the record, or a checkpoint (id 0), with its time. */
interface Placed {
  readonly id: number;
  readonly nanos: bigint;
  readonly seq: number;
}

/** A promise that was broken; the message begins with its number. */
export class BrokenPromise extends Error {
  override name = "BrokenPromise";
}

export class HistoryModel {
  readonly #asked = new Map<number, Asked>();
  /** By LSN − 1. A hole is a record that nobody has looked at. */
  readonly #placed: (Placed | undefined)[] = [];
  #nextId = 1;
  /** What was asked for before the last recovery and was not recovered by it may never come back. */
  #deadBelow = 1;
  readonly #acknowledged = new Set<number>();
  /** Known to be durable, by the log's own word or a flush. */
  #durable = 0;
  /** The tail may be moved up to here. */
  #released = 0;
  #tail = 1;

  /** Notes what is about to be asked for; returns the first number. */
  ask(opType: OpType, count = 1): number {
    const first = this.#nextId;
    this.#nextId += count;
    for (let id = first; id < this.#nextId; id++) {
      this.#asked.set(id, { id, opType, batchFirst: first, batchLast: first + count - 1 });
    }
    return first;
  }

  acknowledge(id: number): void {
    this.#acknowledged.add(id);
  }

  release(lsn: number): void {
    this.#released = Math.max(this.#released, lsn);
  }

  get released(): number {
    return this.#released;
  }

  /** Looks at everything new in a log that is open. */
  observe(wal: WAL): void {
    const from = Math.max(this.#placed.length + 1, wal.tail);
    if (from < wal.head) { for (const record of wal.records({ from })) this.place(record); }
    this.noteDurable(wal.durable);
  }

  noteDurable(lsn: number): void {
    this.#durable = Math.max(this.#durable, lsn);
  }

  /** A record has been seen in the log, or was handed to the store. */
  place(record: WALRecord): void {
    const { lsn } = record;
    const id = record.opType === OpType.Checkpoint ? 0 : this.#identify(record);
    const known = this.#placed[lsn - 1];
    const [nanos, seq] = record.time;
    if (known === undefined) {
      if (id !== 0 && id < this.#deadBelow) {
        throw new BrokenPromise(`G4: LSN ${lsn} is record ${id}, which an earlier recovery had discarded`);
      }
      this.#placed[lsn - 1] = { id, nanos, seq };
    } else if (known.id !== id || known.nanos !== nanos || known.seq !== seq) {
      throw new BrokenPromise(`G2: LSN ${lsn} is record ${id} now, and was record ${known.id}`);
    }
  }

  #identify(record: WALRecord): number {
    const { lsn, opType, keyHigh, keyLow, valueHigh, valueLow } = record;
    const id = Number(opType === OpType.Delete ? keyLow : valueLow);
    const asked = this.#asked.get(id);
    const right = asked !== undefined && asked.opType === opType && keyHigh === BigInt(opType) &&
      keyLow === BigInt(id) && valueHigh === (opType === OpType.Delete ? 0n : (1n << 63n) | BigInt(id));
    if (!right) {
      throw new BrokenPromise(
        `G2: LSN ${lsn} was never asked for: ${opType}(${keyHigh}, ${keyLow}, ${valueHigh}, ${valueLow})`,
      );
    }
    return id;
  }

  /** Compares with a log that has just been opened, and takes over what it recovered. */
  checkRecovered(wal: WAL): void {
    const last = wal.head - 1;
    if (last < this.#durable) throw new BrokenPromise(`G1: LSN ${this.#durable} was durable, recovery ends at ${last}`);
    this.checkPrefix(wal);
    if (wal.tail < this.#tail) throw new BrokenPromise(`G4: the tail is ${wal.tail}, it was ${this.#tail} already`);
    // The log's own checkpoints are let go of with the records before them.
    for (let lsn = this.#released + 1; lsn < wal.tail; lsn++) {
      if ((this.#placed[lsn - 1]?.id ?? 0) === 0) continue;
      throw new BrokenPromise(`G11: the tail is ${wal.tail}, released was up to LSN ${this.#released} only`);
    }
    this.#placed.length = last;
    const recovered = new Set(this.#placed.map((placed) => placed?.id));
    for (const id of this.#acknowledged) {
      if (!recovered.has(id)) throw new BrokenPromise(`G1: record ${id} was acknowledged, and is lost`);
    }
    this.#durable = last;
    this.#tail = wal.tail;
    this.#deadBelow = this.#nextId;
  }

  /** What a log holds is a prefix of what was appended: nothing torn, stale, foreign, moved or in part. */
  checkPrefix(wal: WAL): void {
    const records = wal.replay();
    if (records.length !== wal.length) {
      throw new BrokenPromise(`G2: ${records.length} records from ${wal.tail} to ${wal.head - 1}`);
    }
    for (const [i, record] of records.entries()) {
      if (record.lsn !== wal.tail + i) throw new BrokenPromise(`G2: LSN ${record.lsn} in the place of ${wal.tail + i}`);
      this.place(record);
    }
    this.#checkOrder(wal.tail, wal.head - 1);
  }

  /** Numbers and times ascend, and batches are whole. */
  #checkOrder(first: number, last: number): void {
    let before: Placed | null = null;
    let id = 0;
    for (let lsn = first; lsn <= last; lsn++) {
      const placed = this.#placed[lsn - 1]!;
      if (
        before !== null && (placed.nanos < before.nanos || (placed.nanos === before.nanos && placed.seq <= before.seq))
      ) {
        throw new BrokenPromise(`G10: the time of LSN ${lsn} is not after that of the record before`);
      }
      before = placed;
      const open = id !== 0 && this.#asked.get(id)!.batchLast !== id;
      if (open && placed.id !== id + 1) {
        throw new BrokenPromise(`G3: the batch of record ${id} breaks off before LSN ${lsn}`);
      }
      if (placed.id === 0) continue;
      const begins = this.#asked.get(placed.id)!.batchFirst === placed.id;
      if (!open && !begins) throw new BrokenPromise(`G3: LSN ${lsn} is within a batch whose beginning is missing`);
      if (placed.id <= id) throw new BrokenPromise(`G2: LSN ${lsn} is record ${placed.id}, behind record ${id}`);
      id = placed.id;
    }
    if (id !== 0 && this.#asked.get(id)!.batchLast !== id) {
      throw new BrokenPromise(`G3: the log ends at LSN ${last}, within a batch`);
    }
  }

  /** The numbers of the records up to an LSN, by LSN, checkpoints left out. What nobody has seen was a checkpoint. */
  recordsThrough(lsn: number): [lsn: number, id: number][] {
    const found: [number, number][] = [];
    for (let i = 0; i < Math.min(lsn, this.#placed.length); i++) {
      const placed = this.#placed[i];
      if (placed !== undefined && placed.id !== 0) found.push([i + 1, placed.id]);
    }
    return found;
  }
}
