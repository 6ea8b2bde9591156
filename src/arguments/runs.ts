// What callers hand to the codec of runs. Everything is read once.

import { OPCODE_MASK, RECORD_VERSION } from "../format/layout.ts";
import { isOpcode } from "../format/operations.ts";
import type { AppliedRun, HybridTime, LSN, OpType, WALRecordFields } from "../types.ts";
import { isDetached, lengthOf } from "./bytes.ts";
import { checkInteger, checkU64, MAX_U16, MAX_U32, show, typeOf } from "./numbers.ts";
import { checkObject } from "./objects.ts";

/** @throws {TypeError} or {RangeError} if it is no log's id. */
export function checkRunLogId(logId: unknown): asserts logId is string {
  if (typeof logId !== "string") throw new TypeError(`Cannot use ${show(logId)} as logId: it must be a string`);
  if (!/^[0-9a-f]{32}$/.test(logId)) {
    throw new RangeError(`Cannot use ${show(logId)} as logId: it must be 32 lowercase hex digits`);
  }
}

/** Reads the log's id that a run must have. @throws {TypeError} or {RangeError} */
export function takeLogId(options: { readonly logId: string }): string {
  checkObject(options, "options");
  const { logId } = options;
  checkRunLogId(logId);
  return logId;
}

/** Reads what a run is to be. @throws {TypeError} or {RangeError} */
export function takeRun(run: AppliedRun): AppliedRun {
  checkObject(run, "run");
  const { logId, firstLsn, lastLsn } = run;
  checkRunLogId(logId);
  checkInteger(firstLsn, "firstLsn", 1, Number.MAX_SAFE_INTEGER);
  checkInteger(lastLsn, "lastLsn", firstLsn, Math.min(Number.MAX_SAFE_INTEGER, firstLsn + MAX_U32 - 1));
  return { logId, firstLsn, lastLsn };
}

/**
 * Reads a record's fields, and checks all that can be said of each by itself.
 *
 * @throws {TypeError} or {RangeError}
 */
export function takeRecord(record: WALRecordFields): WALRecordFields {
  checkObject(record, "record");
  const { lsn, opType, version, time, keyHigh, keyLow, valueHigh, valueLow } = record;
  checkInteger(lsn, "lsn", 1, Number.MAX_SAFE_INTEGER);
  checkInteger(opType, "opType", 0, OPCODE_MASK);
  checkInteger(version, "version", RECORD_VERSION, RECORD_VERSION);
  checkHalf(keyHigh, "keyHigh");
  checkHalf(keyLow, "keyLow");
  checkHalf(valueHigh, "valueHigh");
  checkHalf(valueLow, "valueLow");
  return { lsn, opType, version, time: takeRecordTime(time), keyHigh, keyLow, valueHigh, valueLow };
}

/** Checks a record's place in a run, and that its type is known. @throws {RangeError} */
export function checkPlace(lsn: LSN, opType: OpType, least: LSN, lastLsn: LSN): void {
  if (!(lsn >= least && lsn <= lastLsn)) {
    throw new RangeError(`Cannot encode LSN ${lsn}: it must be from ${least} to ${lastLsn}, in LSN order`);
  }
  if (!isOpcode(opType)) throw new RangeError(`Cannot encode LSN ${lsn}: its type ${opType} is unknown`);
}

function takeRecordTime(time: HybridTime): HybridTime {
  if (!Array.isArray(time)) throw new TypeError(`Cannot use ${show(time)} as time: it must be [nanos, seq, shard]`);
  const [nanos, seq, shard] = [time[0], time[1], time[2]] as HybridTime;
  checkHalf(nanos, "time[0] (nanos)");
  checkInteger(seq, "time[1] (seq)", 0, MAX_U32);
  checkInteger(shard, "time[2] (shard)", 0, MAX_U16);
  return [nanos, seq, shard];
}

function checkHalf(value: bigint, name: string): void {
  if (typeof value !== "bigint") throw new TypeError(`Cannot use ${show(value)} as ${name}: it must be a bigint`);
  checkU64(value, name);
}

/**
 * A copy of bytes, which nobody changes while they are verified.
 *
 * @throws {TypeError} if it is no `Uint8Array`, or if its memory is detached.
 */
export function copyBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  if (typeOf(bytes) !== "Uint8Array") throw new TypeError(`Cannot decode ${show(bytes)}: it must be a Uint8Array`);
  const length = lengthOf(bytes);
  if (length === 0 && isDetached(bytes)) throw new TypeError("Cannot decode the bytes: their memory is detached");
  const copy = new Uint8Array(length);
  copy.set(bytes);
  return copy;
}
