// Packed runs in a file or a stream, one after another: how long one is follows from its header.

import { Buffer } from "node:buffer";
import { FileMemory, OpType } from "../mod.ts";
import { FLAG_BATCH_GOES_ON, FLAGS_AT, RECORD_BYTES, RUN_HEADER_BYTES } from "../src/format/layout.ts";
import { logIdBytes } from "../src/format/lineage.ts";
import { checksumSeed, Slots } from "../src/format/record.ts";
import { readRunHeader, writeRunHeader } from "../src/format/run_header.ts";
import { decodeRun, WALRunError } from "../src/runs.ts";
import { type ImportedRecord, ImportError, itemOf } from "./record_lines.ts";
import type { Shown } from "./record_text.ts";

/** The most records that a run has, unless its one batch is longer. */
const RUN_RECORDS = 4096;

/** Packs consecutive records into runs of whole batches, each with its times and its batches. */
export class RunPacker {
  readonly #logId: string;
  readonly #write: (bytes: Uint8Array) => void;
  #slots: Slots;
  #count = 0;
  /** Records of whole batches. */
  #whole = 0;
  #firstLsn = 0;

  constructor(logId: string, write: (bytes: Uint8Array) => void) {
    this.#logId = logId;
    this.#write = write;
    this.#slots = this.#makeSlots(RUN_RECORDS);
  }

  /** Adds the next record. After a gap, a new run begins. */
  add(record: Shown): void {
    if (this.#count > 0 && record.lsn !== this.#firstLsn + this.#count) this.end();
    if (this.#count === this.#slots.count) this.#makeRoom();
    if (this.#count === 0) this.#firstLsn = record.lsn;
    const { opType, timeNanos, timeSeq, timeShard, keyHigh, keyLow, valueHigh, valueLow, batchGoesOn } = record;
    const time = {
      nanosLow: Number(BigInt.asIntN(32, timeNanos)),
      nanosHigh: Number(BigInt.asIntN(32, timeNanos >> 32n)),
      seq: timeSeq,
    };
    const flags = batchGoesOn ? FLAG_BATCH_GOES_ON : 0;
    const [slot, type] = [this.#count, opType as OpType];
    this.#slots.write(slot, type, flags, record.lsn, slot + 1, time, timeShard, keyHigh, keyLow, valueHigh, valueLow);
    this.#count++;
    if (!batchGoesOn) this.#whole = this.#count;
    if (this.#whole >= RUN_RECORDS) this.end();
  }

  /** Writes what there is. A batch without its end is left out. */
  end(): void {
    const count = this.#whole;
    if (count > 0) {
      this.#slots.seal(0, count);
      const bytes = this.#slots.memory.bytes(0, RUN_HEADER_BYTES + count * RECORD_BYTES).slice();
      writeRunHeader(bytes, { logId: this.#logId, firstLsn: this.#firstLsn, lastLsn: this.#firstLsn + count - 1 });
      this.#write(bytes);
    }
    this.#count = 0;
    this.#whole = 0;
    this.#slots = this.#makeSlots(RUN_RECORDS);
  }

  #makeSlots(count: number): Slots {
    const memory = new FileMemory(new ArrayBuffer(RUN_HEADER_BYTES + count * RECORD_BYTES));
    return new Slots(memory, RUN_HEADER_BYTES, count, checksumSeed(logIdBytes(this.#logId)));
  }

  /** Twice the room, for a long batch. */
  #makeRoom(): void {
    const larger = this.#makeSlots(2 * this.#slots.count);
    larger.memory.bytes().set(this.#slots.memory.bytes());
    this.#slots = larger;
  }
}

/** Reads runs out of bytes that come piece by piece. */
export class RunReader {
  /** The bytes of the run that is not complete, joined only once it is: a run may be long. */
  #pieces: Uint8Array[] = [];
  #pending = 0;
  /** How many bytes complete it, as far as is known. */
  #wanted = RUN_HEADER_BYTES;
  #offset = 0;
  #records = 0;

  /** Takes the next bytes, and returns the records of the runs that they complete. */
  *take(bytes: Uint8Array): Generator<ImportedRecord, void, undefined> {
    this.#pieces.push(bytes);
    this.#pending += bytes.length;
    while (this.#pending >= this.#wanted) {
      const joined = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
      const header = readRunHeader(joined);
      if ("fault" in header) {
        throw this.#refusal(`the run at byte ${this.#offset} cannot be read: ${FAULTS[header.fault] ?? header.fault}`);
      }
      const length = RUN_HEADER_BYTES + (header.lastLsn - header.firstLsn + 1) * RECORD_BYTES;
      this.#pieces = [joined];
      this.#wanted = length;
      if (joined.length < length) return;
      yield* this.#recordsOf(joined.subarray(0, length), header.logId);
      this.#offset += length;
      this.#pieces = [joined.subarray(length)];
      this.#pending -= length;
      this.#wanted = RUN_HEADER_BYTES;
    }
  }

  /** @throws {ImportError} if a run is not complete. */
  end(): void {
    if (this.#pending > 0) throw this.#refusal(`the run at byte ${this.#offset} is not complete`);
  }

  *#recordsOf(bytes: Uint8Array, logId: string): Generator<ImportedRecord, void, undefined> {
    let records;
    try {
      records = decodeRun(bytes, { logId }).records;
    } catch (error) {
      if (!(error instanceof WALRunError)) throw error;
      throw this.#refusal(`${error.message} (in the run at byte ${this.#offset})`, error);
    }
    for (const [index, { opType, key, value, time }] of records.entries()) {
      const flags = bytes[RUN_HEADER_BYTES + index * RECORD_BYTES + FLAGS_AT]!;
      this.#records++;
      const item = opType === OpType.Checkpoint ? null : itemOf(opType, key, value);
      yield { item, time, batchGoesOn: (flags & FLAG_BATCH_GOES_ON) !== 0 };
    }
  }

  #refusal(why: string, cause?: unknown): ImportError {
    return new ImportError("record", this.#records + 1, why, { cause });
  }
}

const FAULTS: Readonly<Record<string, string>> = {
  magic: "it does not begin as a run",
  header: "its header is damaged",
  version: "a later version wrote it",
};
