// Why a log is not opened.

import type { Region } from "../../ffi/region.ts";
import { WALCorruptError, type WALError, WALFormatError } from "../errors.ts";
import { claimedVersion, type CopyIndex, hasChecksum, type Header, type HeaderPair } from "../format/header.ts";
import { FORMAT_VERSION } from "../format/layout.ts";
import type { Slots } from "../format/record.ts";
import { fileBytesOf, lossOf, offsetOf, slotOf } from "../format/ring.ts";
import type { Verdict } from "./recovery.ts";

/** The error for a file without a valid header copy. */
export function noHeader(path: string | null, pair: HeaderPair, bytes: Uint8Array): WALError {
  const where = JSON.stringify(path);
  if (pair.copies.every((copy) => copy === "magic")) {
    return new WALFormatError(path, 0, `Cannot open ${where}: it is not a log of this library`);
  }
  const other = copyOfOtherVersion(pair, bytes);
  if (other !== null) {
    const version = claimedVersion(bytes, other);
    const versions = `its format version is ${version}, this library reads version ${FORMAT_VERSION}`;
    return new WALFormatError(path, 0, `Cannot open ${where}: ${versions}`);
  }
  const damage = pair.copies.map(String).join(", ");
  return new WALCorruptError(path, [], `Cannot open ${where}: both header copies are damaged (${damage})`);
}

/**
 * The header copy that another version wrote, if any. One wrong version field alone may be damage,
 * unless the copy's checksum is right.
 */
function copyOfOtherVersion({ copies }: HeaderPair, bytes: Uint8Array): CopyIndex | null {
  if (copies[0] === "version" && (copies[1] === "version" || hasChecksum(bytes, 0))) return 0;
  return copies[1] === "version" && hasChecksum(bytes, 1) ? 1 : null;
}

/** The error for a file that is shorter than its header says. */
export function cutFile(path: string | null, sizeBytes: number, { capacity }: Header): WALCorruptError {
  const state = `the file was cut to ${sizeBytes} bytes, its header says ${fileBytesOf(capacity)}`;
  return new WALCorruptError(path, [], `Cannot open ${JSON.stringify(path)}: ${state}`);
}

/** The error for acknowledged records that are damaged. */
export function corruption(region: Region, slots: Slots, verdict: Verdict): WALCorruptError {
  const losses = verdict.damaged.map(({ first, last }) => lossOf(first, last, slots.count));
  const { firstLsn, lastLsn, offset } = losses[0]!;
  const where = JSON.stringify(region.path);
  const others = losses.length > 1 || lastLsn > firstLsn ? ", as are others" : "";
  const message = `Cannot open ${where}: LSN ${firstLsn} at byte ${offset} was acknowledged and is damaged${others}`;
  return new WALCorruptError(region.path, losses, message);
}

/** The error for a record that a later version of this library wrote. */
export function unsupportedRecord(region: Region, slots: Slots, verdict: Verdict): WALFormatError {
  const { unsupported: lsn } = verdict;
  const offset = offsetOf(slotOf(lsn, slots.count));
  const where = JSON.stringify(region.path);
  const message = `Cannot open ${where}: LSN ${lsn} at byte ${offset} was written by a later version`;
  return new WALFormatError(region.path, offset, message);
}
