/**
 * Runs: consecutive records of a log in whole batches, as bytes for another machine or a file. No
 * log is opened here, so this module needs no permissions.
 *
 * @example A store that sends what it is given, and a store on another machine
 * ```ts
 * import { type BatchStore, consume, WAL } from "@cidstore/wal";
 * import { decodeRun, encodeRun } from "@cidstore/wal/runs";
 * import { MemoryStore } from "@cidstore/wal/stores/memory";
 *
 * await using wal = WAL.open(null);
 * const { logId } = wal;
 * const follower = new MemoryStore();
 * const receive = (bytes: Uint8Array) => {
 *   const { records, ...run } = decodeRun(bytes, { logId }); // verified, or a WALRunError
 *   follower.applyBatch(records, run);
 * };
 *
 * let sent = follower.appliedLsn();
 * const sender: BatchStore = {
 *   applyBatch(records, run) {
 *     // Runs without a gap between them: the follower can tell if one is missing.
 *     receive(encodeRun(records, { ...run, firstLsn: sent + 1 }).bytes);
 *     sent = run.lastLsn;
 *   },
 *   // Without it, a consumer would not notice that the log has released what the follower lacks.
 *   appliedLsn: () => sent,
 *   appliedLog: () => follower.appliedLog(),
 * };
 * const consumption = consume(wal, sender);
 * await wal.batchInsert([[1, 2, 3, 4], [5, 6, 7, 8]]);
 * await wal.whenApplied();
 * await consumption.stop();
 * console.log(follower.size); // 2
 * ```
 *
 * @module
 */

import { FileMemory } from "../ffi/file_memory.ts";
import { checkPlace, copyBytes, takeLogId, takeRecord, takeRun } from "./arguments/runs.ts";
import { WALRunError } from "./errors.ts";
import { FLAG_BATCH_GOES_ON, RECORD_BYTES, RUN_HEADER_BYTES, RUN_LOG_ID_AT } from "./format/layout.ts";
import { logIdBytes } from "./format/lineage.ts";
import { checksumSeed, Slots, type TimeWords } from "./format/record.ts";
import { readRunHeader, writeRunHeader } from "./format/run_header.ts";
import { readRecords, recordOf, StoredRecord, storeRecord } from "./read/stored_record.ts";
import {
  type AppliedRun,
  type EncodedRun,
  type HybridTime,
  OpType,
  type WALRecord,
  type WALRecordFields,
  type WALRunFault,
} from "./types.ts";

export { WALRunError } from "./errors.ts";
export type { AppliedRun, EncodedRun, WALRecord, WALRecordFields, WALRunFault } from "./types.ts";

/** A run that was read and verified. */
export interface DecodedRun extends AppliedRun {
  /**
   * All records from `firstLsn` to `lastLsn`, in LSN order, as whole batches. Checkpoints are among
   * them, which no consumer gives to a store.
   */
  readonly records: WALRecord[];
}

/**
 * Encodes the records that `applyBatch()` was given. `WAL.encodeRun()` does so for a range of a
 * log, faster, and with the records' own checksums.
 *
 * An LSN of the run without a record is taken for a checkpoint's, because stores are given no
 * checkpoints. So leave out no other record, and give the store an `appliedLsn()`: a consumer then
 * refuses the store if the log has released records that it lacks. Records do not tell where their
 * batches end, so the run is encoded as one batch.
 *
 * @param records in LSN order. `applyBatch()` and `records()` give them whole batches at a time.
 * @param run as `applyBatch()` was given it. With a `firstLsn` of one more than the `lastLsn` of
 * the run before, runs follow each other without a gap.
 * @throws {TypeError} or {RangeError} if an argument cannot be used: also if there is no record, or
 * if the LSNs do not ascend from `firstLsn` to `lastLsn`.
 *
 * @example In `applyBatch()` of a store that sends
 * ```ts
 * import { type AppliedRun, WAL, type WALRecord } from "@cidstore/wal";
 * import { encodeRun } from "@cidstore/wal/runs";
 *
 * const sent: Uint8Array[] = [];
 * const applyBatch = (records: readonly WALRecord[], run: AppliedRun) => {
 *   sent.push(encodeRun(records, run).bytes);
 * };
 *
 * using wal = WAL.open(null);
 * wal.batchInsertSync([[1, 2, 3, 4], [5, 6, 7, 8]]);
 * applyBatch(wal.replay(), { logId: wal.logId, firstLsn: 1, lastLsn: 2 });
 * console.log(sent.length); // 1
 * ```
 */
export function encodeRun(records: readonly WALRecordFields[], run: AppliedRun): EncodedRun {
  const { logId, firstLsn, lastLsn } = takeRun(run);
  const count = lastLsn - firstLsn + 1;
  const bytes = new Uint8Array(RUN_HEADER_BYTES + count * RECORD_BYTES);
  const slots = new Slots(new FileMemory(bytes.buffer), RUN_HEADER_BYTES, count, seedOf(logId));
  const flagsOf = (slot: number) => slot === count - 1 ? 0 : FLAG_BATCH_GOES_ON;
  let next = 0;
  const putCheckpoints = (end: number, time: HybridTime) => {
    const words = timeWordsOf(time);
    for (; next < end; next++) {
      slots.write(next, OpType.Checkpoint, flagsOf(next), firstLsn + next, next + 1, words, 0, 0, 0, 0, 0);
    }
  };
  let before: StoredRecord | null = null;
  for (const given of records) {
    const record = given instanceof StoredRecord ? given : recordOf(takeRecord(given));
    const { lsn, opType } = record;
    checkPlace(lsn, opType, firstLsn + next, lastLsn);
    const slot = lsn - firstLsn;
    if (slot > next) putCheckpoints(slot, (before ?? record).time);
    storeRecord(record, flagsOf(slot), slot + 1, slots.words, slots.wordOf(slot));
    next = slot + 1;
    before = record;
  }
  if (before === null) throw new RangeError(`Cannot encode LSN ${firstLsn} to ${lastLsn}: there is no record`);
  putCheckpoints(count, before.time);
  slots.seal(0, count);
  const encoded = { logId, firstLsn, lastLsn };
  writeRunHeader(bytes, encoded);
  return { ...encoded, bytes };
}

/**
 * Decodes and verifies a run: each record's checksum, its place and its LSN. The result is all of
 * the run, or an error.
 *
 * A run shows that it ends with a batch, but not that it begins with one. It does if its `firstLsn`
 * follows the `lastLsn` of the run before.
 *
 * @param bytes they are copied first, so a later change of them changes nothing.
 * @param options `logId` is the log that the run must be of, as in `AppliedRun`.
 * @throws {WALRunError} if the bytes are no run, or a damaged one, or another log's.
 * @throws {TypeError} or {RangeError} if an argument cannot be used.
 *
 * @example A byte that was changed on the way
 * ```ts
 * import { WAL } from "@cidstore/wal";
 * import { decodeRun, WALRunError } from "@cidstore/wal/runs";
 *
 * await using wal = WAL.open(null);
 * await wal.logInsert(1, 2, 3, 4);
 * const { bytes, logId } = wal.encodeRun();
 * console.log(decodeRun(bytes, { logId }).records[0]?.keyLow); // 2n
 * bytes[bytes.length - 1]! ^= 1;
 * try {
 *   decodeRun(bytes, { logId });
 * } catch (error) {
 *   if (error instanceof WALRunError) console.log(error.fault, error.lsn); // record 1
 * }
 * ```
 */
export function decodeRun(bytes: Uint8Array, options: { readonly logId: string }): DecodedRun {
  const logId = takeLogId(options);
  const copy = copyBytes(bytes);
  const run = readRunHeader(copy);
  if ("fault" in run) throw refusal(run.fault, run.offset, null, HEADER_FAULTS[run.fault] ?? "");
  const { firstLsn, lastLsn } = run;
  if (run.logId !== logId) {
    throw refusal("log", RUN_LOG_ID_AT, run.logId, `it is of log ${run.logId}, not of log ${logId}`);
  }
  const count = lastLsn - firstLsn + 1;
  const end = RUN_HEADER_BYTES + count * RECORD_BYTES;
  if (copy.length !== end) {
    const [fault, offset] = copy.length < end ? ["short", copy.length] as const : ["long", end] as const;
    throw refusal(fault, offset, logId, `it has ${copy.length} bytes, and ${count} records need ${end}`);
  }
  const slots = new Slots(new FileMemory(copy.buffer), RUN_HEADER_BYTES, count, seedOf(logId));
  const { good, whole } = slots.verifyRun(0, firstLsn, count);
  if (good < count) throw recordRefusal(slots, good, run);
  if (whole < count) {
    const offset = offsetOf(whole);
    throw refusal("batch", offset, logId, `the batch that begins at byte ${offset} is not complete`, firstLsn + whole);
  }
  const records = new Array<WALRecord>(count);
  readRecords(slots.words, slots.wordOf(0), count, records, 0);
  return { ...run, records };
}

/** The messages for what is wrong with a header. */
const HEADER_FAULTS: Partial<Record<WALRunFault, string>> = {
  short: "it is shorter than its header",
  magic: "it does not begin as a run",
  header: "its header is damaged",
  version: "a later version wrote it",
};

function refusal(fault: WALRunFault, offset: number, logId: string | null, why: string, lsn = 0): WALRunError {
  return new WALRunError({ fault, offset, lsn, logId }, why);
}

/** The error for a record that does not verify. */
function recordRefusal(slots: Slots, slot: number, { logId, firstLsn }: AppliedRun): WALRunError {
  const [lsn, offset] = [firstLsn + slot, offsetOf(slot)];
  const refuse = (fault: WALRunFault, why: string) => refusal(fault, offset, logId, why, lsn);
  if (!slots.checksumMatches(slot)) return refuse("record", `LSN ${lsn} at byte ${offset} is damaged`);
  if (!slots.hasLsn(slot, lsn)) {
    return refuse("gap", `LSN ${lsn} is missing: at byte ${offset} there is LSN ${slots.lsnAt(slot)}`);
  }
  return refuse("version", `a later version wrote LSN ${lsn} at byte ${offset}`);
}

/** Byte offset of a record. */
function offsetOf(slot: number): number {
  return RUN_HEADER_BYTES + slot * RECORD_BYTES;
}

function seedOf(logId: string): number {
  return checksumSeed(logIdBytes(logId));
}

function timeWordsOf([nanos, seq]: HybridTime): TimeWords {
  return { nanosLow: Number(BigInt.asIntN(32, nanos)), nanosHigh: Number(BigInt.asIntN(32, nanos >> 32n)), seq };
}
