// What happened in one opening of a log, counted.

import { WALCorruptError, WALError, type WALErrorCode } from "../errors.ts";
import { operationOf } from "../format/operations.ts";
import { MIXED, type PackedItems } from "../format/packed_items.ts";
import { type LSN, type OperationName, OpType } from "../types.ts";
import { Histogram } from "./histogram.ts";

/** Opcodes have six bits. */
const OPCODES = 64;

const NO_ERRORS: Readonly<Record<WALErrorCode, number>> = {
  CLOSED: 0,
  CONSUMING: 0,
  CONSUMER_LOST: 0,
  CORRUPT: 0,
  FILE_SYSTEM: 0,
  FORMAT: 0,
  FULL: 0,
  GONE: 0,
  IO: 0,
  LAGGED: 0,
  LOCKED: 0,
  NO_SPACE: 0,
  NOT_FOUND: 0,
  OPERATION: 0,
  PERMISSION: 0,
  PLATFORM: 0,
  REWOUND: 0,
  RUN: 0,
  SHARDS: 0,
  SHIP: 0,
  SQLITE: 0,
  STORE: 0,
  SYNC: 0,
  TOO_SMALL: 0,
  TRUNCATED: 0,
};

/** The counts of one open log. They only grow. */
export class Counts {
  /** How often damage was met. */
  checksumFailures: number;
  /** How often the tail has moved. */
  truncations = 0;
  /** Calls that read records. */
  replays = 0;
  /** How long appends waited for room. */
  readonly waits: Histogram = new Histogram();
  readonly #errors: Record<WALErrorCode, number> = { ...NO_ERRORS };
  readonly #counted = new WeakSet<WALError>();
  /** The opcode of the newest records, from `#from` on. Runs are counted, not records. */
  opType: OpType | typeof MIXED = OpType.Insert;
  #from: LSN;
  /** Records of each opcode before `#from`. */
  readonly #records: number[] = new Array<number>(OPCODES).fill(0);

  /**
   * @param damage how much damage the opening has met.
   * @param firstLsn the first LSN that the opening writes.
   */
  constructor(damage: number, firstLsn: LSN) {
    this.checksumFailures = damage;
    this.#from = firstLsn;
  }

  /** How many errors of each code were counted. */
  get errors(): Readonly<Record<WALErrorCode, number>> {
    return { ...this.#errors };
  }

  /**
   * Counts an error that a caller gets, if it is one of the log's. Many calls may get the same
   * error, which is counted once.
   */
  error<Thrown>(error: Thrown): Thrown {
    if (!(error instanceof WALError) || this.#counted.has(error)) return error;
    this.#counted.add(error);
    this.#errors[error.code]++;
    if (error instanceof WALCorruptError) this.checksumFailures++;
    return error;
  }

  /** A record has another opcode than the one before it. */
  begin(opType: OpType | typeof MIXED, lsn: LSN): void {
    this.#records[this.opType]! += lsn - this.#from;
    this.opType = opType;
    this.#from = lsn;
  }

  /** Counts a batch that begins with this LSN. */
  batch({ opType, bytes, itemBytes }: PackedItems, count: number, lsn: LSN): void {
    if (opType !== this.opType) this.begin(opType, lsn);
    if (opType !== MIXED) return;
    for (let at = 0; at < count * itemBytes; at += itemBytes) this.#records[bytes[at]!]!++;
  }

  /** The records of each operation. @param head the next LSN to write. */
  records(head: LSN): Readonly<Record<OperationName, number>> {
    this.begin(this.opType, head);
    const records = { insert: 0, delete: 0, deleteValue: 0, replace: 0, checkpoint: 0, operation: 0 };
    // The items of mixed batches were counted by their own opcodes, so `MIXED` counts for nothing.
    for (const [opcode, count] of this.#records.entries()) {
      const operation = operationOf(opcode);
      if (operation !== undefined) records[operation.name] += count;
    }
    return records;
  }
}
