// The header of a run: which records of which log follow it.

import { INITIAL_STATE, updateCrc32c } from "./codec.ts";
import {
  LOG_ID_BYTES,
  RECORD_BYTES,
  RUN_COUNT_AT,
  RUN_CRC_AT,
  RUN_FIRST_LSN_AT,
  RUN_HEADER_BYTES,
  RUN_LOG_ID_AT,
  RUN_MAGIC,
  RUN_RECORD_BYTES_AT,
  RUN_VERSION,
  RUN_VERSION_AT,
} from "./layout.ts";
import { logIdBytes, logIdText } from "./lineage.ts";
import { getSafeU64, setU64 } from "./u64.ts";
import type { AppliedRun, WALRunFault } from "../types.ts";

/** Writes the header into the first bytes of a run, which are zeros. */
export function writeRunHeader(bytes: Uint8Array, { logId, firstLsn, lastLsn }: AppliedRun): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, RUN_HEADER_BYTES);
  bytes.set(RUN_MAGIC, 0);
  view.setUint32(RUN_VERSION_AT, RUN_VERSION, true);
  view.setUint32(RUN_RECORD_BYTES_AT, RECORD_BYTES, true);
  bytes.set(logIdBytes(logId), RUN_LOG_ID_AT);
  setU64(view, RUN_FIRST_LSN_AT, firstLsn);
  view.setUint32(RUN_COUNT_AT, lastLsn - firstLsn + 1, true);
  view.setInt32(RUN_CRC_AT, checksum(bytes), true);
}

/** What is wrong with a header, and with which of its bytes. */
export interface RunHeaderFault {
  readonly fault: WALRunFault;
  readonly offset: number;
}

/** Reads the header of a run, or says why it cannot be used. */
export function readRunHeader(bytes: Uint8Array): AppliedRun | RunHeaderFault {
  if (bytes.length < RUN_HEADER_BYTES) return { fault: "short", offset: bytes.length };
  const view = new DataView(bytes.buffer, bytes.byteOffset, RUN_HEADER_BYTES);
  const wrongAt = RUN_MAGIC.findIndex((byte, index) => bytes[index] !== byte);
  if (wrongAt >= 0) return { fault: "magic", offset: wrongAt };
  // The checksum comes before the version, because it has its place in every version: a version
  // that was damaged is no later one.
  if (view.getInt32(RUN_CRC_AT, true) !== checksum(bytes)) return { fault: "header", offset: RUN_CRC_AT };
  if (view.getUint32(RUN_VERSION_AT, true) !== RUN_VERSION) return { fault: "version", offset: RUN_VERSION_AT };
  if (view.getUint32(RUN_RECORD_BYTES_AT, true) !== RECORD_BYTES) {
    return { fault: "header", offset: RUN_RECORD_BYTES_AT };
  }
  const firstLsn = getSafeU64(view, RUN_FIRST_LSN_AT);
  const count = view.getUint32(RUN_COUNT_AT, true);
  // In this order, because the sum of both may be no safe integer, and be rounded down.
  const lastLsn = firstLsn + (count - 1);
  if (firstLsn < 1 || !Number.isSafeInteger(lastLsn)) return { fault: "header", offset: RUN_FIRST_LSN_AT };
  if (count < 1) return { fault: "header", offset: RUN_COUNT_AT };
  const logId = logIdText(bytes.subarray(RUN_LOG_ID_AT, RUN_LOG_ID_AT + LOG_ID_BYTES));
  return { logId, firstLsn, lastLsn };
}

function checksum(bytes: Uint8Array): number {
  return ~updateCrc32c(INITIAL_STATE, bytes.subarray(0, RUN_CRC_AT));
}
