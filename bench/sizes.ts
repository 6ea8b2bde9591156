// File sizes of the logs that are measured.

/** Bytes before the first slot. */
const HEAD_BYTES = 16384;
const RECORD_BYTES = 64;

/** The log of most workloads: a ring of a million records. */
export const LOG_BYTES = 64 * 2 ** 20;

/** File size of a log for this many records. */
export function logBytes(records: number): number {
  return Math.ceil((records * RECORD_BYTES + HEAD_BYTES) / HEAD_BYTES) * HEAD_BYTES;
}

/** Records that a log of this many bytes can hold. */
export function logRecords(bytes: number): number {
  return Math.floor((bytes - HEAD_BYTES) / RECORD_BYTES);
}
