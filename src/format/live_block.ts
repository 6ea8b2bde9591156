// The live file: what a writer tells its followers. It says which header it belongs to, so that a
// file that was left behind tells nothing.

import { INITIAL_STATE, updateCrc32c } from "./codec.ts";
import { type Header, storedChecksum } from "./header.ts";
import {
  HEADER_AT,
  HEADER_WRITE_COUNTER_AT,
  LIVE_BYTES,
  LIVE_CRC_AT,
  LIVE_DURABLE_AT,
  LIVE_HEAD_AT,
  LIVE_HEADER_CRC_AT,
  LIVE_LOG_ID_AT,
  LIVE_MAGIC,
  LIVE_WRITE_COUNTER_AT,
  LOG_ID_BYTES,
} from "./layout.ts";
import { getSafeU64, setU64 } from "./u64.ts";
import type { LSN } from "../types.ts";

/** Which header is the newest one. */
export interface HeaderMark {
  readonly writeCounter: number;
  /** The checksum of the header, as a signed number. */
  readonly headerCrc: number;
}

/** The mark of a header that is in one of the two copies. */
export function markOf(bytes: Uint8Array, { writeCounter }: Pick<Header, "writeCounter">): HeaderMark {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const isInA = getSafeU64(view, HEADER_AT[0] + HEADER_WRITE_COUNTER_AT) === writeCounter;
  return { writeCounter, headerCrc: storedChecksum(bytes, isInA ? 0 : 1) };
}

/** What a live file says. */
export interface LiveBlock extends HeaderMark {
  /** The id that seeds the checksum of every record: a view of the bytes that were read. */
  readonly logId: Uint8Array;
  readonly head: LSN;
  readonly durable: LSN;
}

/** The first bytes of each live file. @param logId as bytes. */
export function newLiveBlock(logId: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(LIVE_BYTES);
  bytes.set(LIVE_MAGIC);
  bytes.set(logId, LIVE_LOG_ID_AT);
  return bytes;
}

/** Stores what changes in a block. */
export function writeLiveBlock(
  bytes: Uint8Array,
  { writeCounter, headerCrc }: HeaderMark,
  head: LSN,
  durable: LSN,
): void {
  const view = viewOf(bytes);
  setU64(view, LIVE_WRITE_COUNTER_AT, writeCounter);
  view.setInt32(LIVE_HEADER_CRC_AT, headerCrc, true);
  setU64(view, LIVE_HEAD_AT, head);
  setU64(view, LIVE_DURABLE_AT, durable);
  view.setInt32(LIVE_CRC_AT, checksum(bytes), true);
}

/** Reads a block; null if it is none, or damaged. */
export function readLiveBlock(bytes: Uint8Array): LiveBlock | null {
  const view = viewOf(bytes);
  if (!isLiveFile(bytes) || view.getInt32(LIVE_CRC_AT, true) !== checksum(bytes)) return null;
  return {
    logId: bytes.subarray(LIVE_LOG_ID_AT, LIVE_LOG_ID_AT + LOG_ID_BYTES),
    writeCounter: getSafeU64(view, LIVE_WRITE_COUNTER_AT),
    headerCrc: view.getInt32(LIVE_HEADER_CRC_AT, true),
    head: getSafeU64(view, LIVE_HEAD_AT),
    durable: getSafeU64(view, LIVE_DURABLE_AT),
  };
}

/** True if a file begins as live files do. */
export function isLiveFile(bytes: Uint8Array): boolean {
  return LIVE_MAGIC.every((byte, index) => bytes[index] === byte);
}

function checksum(bytes: Uint8Array): number {
  return ~updateCrc32c(INITIAL_STATE, bytes.subarray(0, LIVE_CRC_AT));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, LIVE_BYTES);
}
