// The two header copies: write the older one, read the newest valid one.

import { assert } from "../assert.ts";
import { INITIAL_STATE, updateCrc32c } from "./codec.ts";
import { type ConsumerEntry, fitPositions, readConsumers, writeConsumers } from "./consumer_table.ts";
import {
  FORMAT_VERSION,
  HEADER_AT,
  HEADER_BYTES,
  HEADER_CAPACITY_AT,
  HEADER_CHECKPOINT_AT,
  HEADER_CLEAN_HEAD_AT,
  HEADER_CRC_AT,
  HEADER_CREATED_AT,
  HEADER_DURABLE_AT,
  HEADER_FORK_ID_AT,
  HEADER_FORK_LSN_AT,
  HEADER_LOG_ID_AT,
  HEADER_OPENER_PID_AT,
  HEADER_ORIGIN_ID_AT,
  HEADER_ORIGIN_LSN_AT,
  HEADER_PUBLIC_ID_AT,
  HEADER_RECORD_BYTES_AT,
  HEADER_SET_ID_AT,
  HEADER_SHARD_AT,
  HEADER_SHARDS_AT,
  HEADER_STATE_AT,
  HEADER_TAIL_AT,
  HEADER_TIME_NANOS_AT,
  HEADER_TIME_SEQ_AT,
  HEADER_VERSION_AT,
  HEADER_WRITE_COUNTER_AT,
  LOG_ID_BYTES,
  MAGIC,
  MAX_CAPACITY,
  NANOS_PER_MS,
  RECORD_BYTES,
  SET_ID_BYTES,
  STATE_CLEAN,
  STATE_ERASING,
} from "./layout.ts";
import { type Lineage, logIdBytes, logIdText } from "./lineage.ts";
import { getSafeU64, setU64 } from "./u64.ts";
import type { LogOrigin, LSN } from "../types.ts";

/** Which of a set of shards a log is. */
export interface SetPlace {
  /** Random, the same for all shards of a set. */
  readonly setId: Uint8Array;
  /** How many shards the set has, 1 or more. */
  readonly shards: number;
  /** From 0. */
  readonly shard: number;
}

/** What a header copy says. */
export interface Header {
  readonly capacity: number;
  readonly logId: Uint8Array;
  readonly writeCounter: number;
  /** The oldest record kept. */
  readonly tail: LSN;
  /** A watermark: this was durable when the header was written. */
  readonly durable: LSN;
  /** Everything up to here is in the store. */
  readonly checkpoint: LSN;
  readonly timeNanos: bigint;
  readonly timeSeq: number;
  /** The next LSN at a clean close; 0 while the log is open or after a crash. */
  readonly cleanHead: LSN;
  /** Nanoseconds since 1970; 0 if nobody knows. */
  readonly created: bigint;
  readonly openerPid: number;
  readonly lineage: Lineage;
  /** The registered consumers. */
  readonly consumers: readonly ConsumerEntry[];
  /** Present if the log is one of a set of shards. */
  readonly place?: SetPlace;
  /** Present while recovery erases what is after the end. */
  readonly erasing?: true;
}

/** When the log was made, in milliseconds since 1970; null if the header does not say. */
export function createdMsOf({ created }: Header): number | null {
  return created === 0n ? null : Number(created / NANOS_PER_MS);
}

/** The fields that header writes do not change, except the lineage at a fork. */
export type FixedFields = Pick<Header, "capacity" | "logId" | "created" | "lineage" | "place">;

/** The fields that header writes change. The lineage changes at most once. */
export type HeaderPositions =
  & Omit<Header, keyof FixedFields | "writeCounter">
  & Partial<Pick<Header, "lineage">>;

/** The state of a log, from which the positions in a header are made. */
export interface LogState extends Pick<Header, "tail" | "checkpoint" | "timeNanos" | "timeSeq" | "consumers"> {
  /** The next LSN to write. */
  readonly head: LSN;
}

/** A log to which nothing was appended yet. */
export const EMPTY_LOG: LogState = { tail: 1, head: 1, checkpoint: 0, timeNanos: 0n, timeSeq: 0, consumers: [] };

/** The header of an open log whose records up to `durable` are durable. */
export function openPositions(
  { tail, checkpoint, timeNanos, timeSeq, consumers }: LogState,
  durable: LSN,
  openerPid: number,
): HeaderPositions {
  assert(tail - 1 <= durable, "a header names a tail that is durable");
  assert(fitPositions(consumers, tail, durable), "a consumer that is not lost holds the tail");
  const positions = { tail, durable, checkpoint: Math.min(checkpoint, durable), timeNanos, timeSeq };
  return { ...positions, cleanHead: 0, openerPid, consumers };
}

/** The header of a log that was closed cleanly: all its records are durable. */
export function closedPositions(state: LogState, openerPid: number): HeaderPositions {
  return { ...openPositions(state, state.head - 1, openerPid), cleanHead: state.head };
}

/** Which copy: 0 is A, 1 is B. */
export type CopyIndex = 0 | 1;

/** Why a copy cannot be used; in the order in which it is checked. */
export type HeaderFault = "magic" | "version" | "sizes" | "checksum" | "fields";

/** Writes a whole copy, padding too, into memory that starts with the file's first byte. */
export function writeHeader(bytes: Uint8Array, copy: CopyIndex, header: Header): void {
  const view = viewOf(bytes, copy);
  const block = bytes.subarray(HEADER_AT[copy], HEADER_AT[copy] + HEADER_BYTES);
  block.fill(0);
  block.set(MAGIC, 0);
  view.setUint32(HEADER_VERSION_AT, FORMAT_VERSION, true);
  view.setUint32(HEADER_RECORD_BYTES_AT, RECORD_BYTES, true);
  setU64(view, HEADER_CAPACITY_AT, header.capacity);
  block.set(header.logId, HEADER_LOG_ID_AT);
  setU64(view, HEADER_WRITE_COUNTER_AT, header.writeCounter);
  setU64(view, HEADER_TAIL_AT, header.tail);
  setU64(view, HEADER_DURABLE_AT, header.durable);
  setU64(view, HEADER_CHECKPOINT_AT, header.checkpoint);
  setU64(view, HEADER_TIME_NANOS_AT, header.timeNanos);
  view.setUint32(HEADER_TIME_SEQ_AT, header.timeSeq, true);
  view.setUint32(HEADER_STATE_AT, stateOf(header), true);
  setU64(view, HEADER_CLEAN_HEAD_AT, header.cleanHead);
  setU64(view, HEADER_CREATED_AT, header.created);
  view.setUint32(HEADER_OPENER_PID_AT, header.openerPid, true);
  writeLineage(block, view, header.lineage);
  if (header.place !== undefined) writePlace(block, view, header.place);
  writeConsumers(block, view, header.consumers);
  view.setInt32(HEADER_CRC_AT, checksum(bytes, copy), true);
}

function writeLineage(bytes: Uint8Array, view: DataView, { logId, origin, fork }: Lineage): void {
  if (origin !== null) {
    bytes.set(logIdBytes(origin.logId), HEADER_ORIGIN_ID_AT);
    setU64(view, HEADER_ORIGIN_LSN_AT, origin.lastLsn);
  }
  if (fork === null) return;
  bytes.set(logIdBytes(logId), HEADER_PUBLIC_ID_AT);
  bytes.set(logIdBytes(fork.logId), HEADER_FORK_ID_AT);
  setU64(view, HEADER_FORK_LSN_AT, fork.lastLsn);
}

function writePlace(bytes: Uint8Array, view: DataView, { setId, shards, shard }: SetPlace): void {
  bytes.set(setId, HEADER_SET_ID_AT);
  view.setUint16(HEADER_SHARDS_AT, shards, true);
  view.setUint16(HEADER_SHARD_AT, shard, true);
}

function stateOf(header: Header): number {
  return (header.cleanHead === 0 ? 0 : STATE_CLEAN) | (header.erasing ? STATE_ERASING : 0);
}

/** Reads a copy, or says why it cannot be used. */
export function readHeader(bytes: Uint8Array, copy: CopyIndex): Header | HeaderFault {
  const view = viewOf(bytes, copy);
  for (let i = 0; i < MAGIC.length; i++) {
    if (view.getUint8(i) !== MAGIC[i]) return "magic";
  }
  if (view.getUint32(HEADER_VERSION_AT, true) !== FORMAT_VERSION) return "version";
  const capacity = getSafeU64(view, HEADER_CAPACITY_AT);
  if (view.getUint32(HEADER_RECORD_BYTES_AT, true) !== RECORD_BYTES || capacity === 0) return "sizes";
  if (!hasChecksum(bytes, copy)) return "checksum";
  const logId = idAt(view, HEADER_LOG_ID_AT);
  const consumers = readConsumers(view);
  if (consumers === null) return "fields";
  const shards = view.getUint16(HEADER_SHARDS_AT, true);
  const shard = view.getUint16(HEADER_SHARD_AT, true);
  const header = {
    capacity,
    logId,
    writeCounter: getSafeU64(view, HEADER_WRITE_COUNTER_AT),
    tail: getSafeU64(view, HEADER_TAIL_AT),
    durable: getSafeU64(view, HEADER_DURABLE_AT),
    checkpoint: getSafeU64(view, HEADER_CHECKPOINT_AT),
    timeNanos: view.getBigUint64(HEADER_TIME_NANOS_AT, true),
    timeSeq: view.getUint32(HEADER_TIME_SEQ_AT, true),
    cleanHead: (view.getUint32(HEADER_STATE_AT, true) & STATE_CLEAN) === 0 ? 0 : getSafeU64(view, HEADER_CLEAN_HEAD_AT),
    created: view.getBigUint64(HEADER_CREATED_AT, true),
    openerPid: view.getUint32(HEADER_OPENER_PID_AT, true),
    lineage: readLineage(view, logId),
    consumers,
    ...shards === 0 ? {} : { place: { setId: bytesAt(view, HEADER_SET_ID_AT, SET_ID_BYTES), shards, shard } },
    ...(view.getUint32(HEADER_STATE_AT, true) & STATE_ERASING) === 0 ? {} : { erasing: true as const },
  };
  return isConsistent(header) ? header : "fields";
}

function readLineage(view: DataView, logId: Uint8Array): Lineage {
  const originId = idAt(view, HEADER_ORIGIN_ID_AT);
  const publicId = idAt(view, HEADER_PUBLIC_ID_AT);
  const forkId = idAt(view, HEADER_FORK_ID_AT);
  const hasForked = !isZeros(publicId);
  return {
    logId: logIdText(hasForked ? publicId : logId),
    origin: isZeros(originId) ? null : { logId: logIdText(originId), lastLsn: getSafeU64(view, HEADER_ORIGIN_LSN_AT) },
    fork: hasForked ? { logId: logIdText(forkId), lastLsn: getSafeU64(view, HEADER_FORK_LSN_AT) } : null,
  };
}

/** Zeros stand for no id. */
function isZeros(id: Uint8Array): boolean {
  return id.every((byte) => byte === 0);
}

function idAt(view: DataView, offset: number): Uint8Array {
  return bytesAt(view, offset, LOG_ID_BYTES);
}

function bytesAt(view: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, length).slice();
}

/**
 * True if the positions fit each other. A checksum shows damage, but not what a faulty or hostile
 * program wrote with a good checksum.
 */
function isConsistent(header: Header): boolean {
  const { capacity, writeCounter, tail, durable, checkpoint, cleanHead, lineage, consumers, place } = header;
  const end = tail + capacity;
  return capacity <= MAX_CAPACITY && Number.isSafeInteger(writeCounter) && tail >= 1 && Number.isSafeInteger(end) &&
    durable < end && checkpoint < end && (cleanHead === 0 || (cleanHead >= tail && cleanHead <= end)) &&
    isSafe(lineage.origin) && isSafe(lineage.fork) && fitPositions(consumers, tail, durable) &&
    (place === undefined || place.shard < place.shards);
}

function isSafe(shared: LogOrigin | null): boolean {
  return shared === null || Number.isSafeInteger(shared.lastLsn);
}

/** The checksum that is stored in a copy. */
export function storedChecksum(bytes: Uint8Array, copy: CopyIndex): number {
  return viewOf(bytes, copy).getInt32(HEADER_CRC_AT, true);
}

/** The format version that a copy claims, valid or not. */
export function claimedVersion(bytes: Uint8Array, copy: CopyIndex): number {
  return viewOf(bytes, copy).getUint32(HEADER_VERSION_AT, true);
}

/** True if a copy's checksum is right, whatever its version. */
export function hasChecksum(bytes: Uint8Array, copy: CopyIndex): boolean {
  return storedChecksum(bytes, copy) === checksum(bytes, copy);
}

/** The two copies, and the one that counts. */
export interface HeaderPair {
  readonly copies: readonly [Header | HeaderFault, Header | HeaderFault];
  /** The valid copy with the higher write counter; null if neither is valid. */
  readonly newest: Header | null;
  readonly newestCopy: CopyIndex;
}

/** Reads both copies. */
export function readHeaders(bytes: Uint8Array): HeaderPair {
  const copies = [readHeader(bytes, 0), readHeader(bytes, 1)] as const;
  const [a, b] = copies;
  if (typeof a === "string") return { copies, newest: typeof b === "string" ? null : b, newestCopy: 1 };
  if (typeof b === "string" || a.writeCounter >= b.writeCounter) return { copies, newest: a, newestCopy: 0 };
  return { copies, newest: b, newestCopy: 1 };
}

function checksum(bytes: Uint8Array, copy: CopyIndex): number {
  return ~updateCrc32c(INITIAL_STATE, bytes.subarray(HEADER_AT[copy], HEADER_AT[copy] + HEADER_CRC_AT));
}

function viewOf(bytes: Uint8Array, copy: CopyIndex): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + HEADER_AT[copy], HEADER_BYTES);
}
