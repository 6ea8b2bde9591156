// The codec a second time, plainly: byte by byte and field by field.

import type { Run } from "../../src/format/codec.ts";
import { HEADER_LOG_ID_AT, LOG_ID_BYTES } from "../../src/format/layout.ts";
import { shiftCrc } from "./reference.ts";

/** For each byte, the state after it, from state 0. */
const BYTES = Int32Array.from({ length: 256 }, (_, byte) => shiftCrc(Uint8Array.of(byte), 0));

/** Continues a CRC-32C byte by byte. `shiftCrc()` does so bit by bit, eight times slower. */
export function byteCrc(state: number, bytes: Uint8Array, from: number, to: number): number {
  for (let at = from; at < to; at++) state = (state >>> 8) ^ BYTES[(state ^ bytes[at]!) & 0xff]!;
  return state;
}

/** The checksum of the record at `at`, as a signed number. */
export function recordCrc(seed: number, bytes: Uint8Array, at: number): number {
  return ~byteCrc(seed, bytes, at + 4, at + 64);
}

/** Writes the checksums of records. */
export function referenceSeal(seed: number, bytes: Uint8Array, at: number, count: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (const end = at + count * 64; at < end; at += 64) view.setInt32(at, recordCrc(seed, bytes, at), true);
}

/** Seals the record at an offset of a log's file, whatever it says. */
export function sealInFile(file: Uint8Array, at: number): void {
  referenceSeal(shiftCrc(file.subarray(HEADER_LOG_ID_AT, HEADER_LOG_ID_AT + LOG_ID_BYTES)), file, at, 1);
}

/** What the first records of a run are. */
export function referenceVerify(seed: number, bytes: Uint8Array, at: number, count: number, lsn: number): Run {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  let good = 0;
  let whole = 0;
  let hasCheckpoint = false;
  for (; good < count; good++, at += 64) {
    if (view.getInt32(at, true) !== recordCrc(seed, bytes, at)) break;
    const version = bytes[at + 4]! >> 6;
    const opcode = bytes[at + 4]! & 63;
    const flags = bytes[at + 5]!;
    const lsnLow = view.getUint32(at + 8, true);
    const lsnHigh = view.getUint32(at + 12, true);
    const isKnown = version === 1 && ((opcode >= 1 && opcode <= 5) || opcode >= 32) && flags <= 1;
    if (!isKnown || lsnHigh * 2 ** 32 + lsnLow !== lsn + good) break;
    if (flags === 0) whole = good + 1;
    if (opcode === 4) hasCheckpoint = true;
  }
  return { good, whole, hasCheckpoint };
}
