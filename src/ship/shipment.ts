// A shipment: one run, with a header that says who shipped it. A claim is the header alone: with it
// a shipper takes over. Targets store both, and know nothing of what is in them.
//
//   offset  type  field    meaning
//        0  u8×8  magic    89 43 49 44 53 48 50 0a
//        8  u32   version  1
//       12  u32   –        zero
//       16  u8×16 shipper  random, new for each start of a shipper
//       32  u8×28 –        zero
//       60  u32   crc      CRC-32C of bytes 0 to 59
//       64  …     run      as `encodeRun()` of `./runs` makes it; nothing in a claim

import { assert } from "../assert.ts";
import { WALRunError, WALShipError } from "../errors.ts";
import { INITIAL_STATE, updateCrc32c } from "../format/codec.ts";
import { RECORD_BYTES, RUN_HEADER_BYTES } from "../format/layout.ts";
import { logIdBytes, logIdText } from "../format/lineage.ts";
import { readRunHeader } from "../format/run_header.ts";
import { decodeRun } from "../runs.ts";
import type { AppliedRun, WALRecord } from "../types.ts";
import type { StoredMessage } from "./ports.ts";

const MAGIC: readonly number[] = [0x89, 0x43, 0x49, 0x44, 0x53, 0x48, 0x50, 0x0a];
const VERSION = 1;
const VERSION_AT = 8;
const SHIPPER_AT = 16;
const SHIPPER_BYTES = 16;
const CRC_AT = 60;
/** Bytes before the run. */
export const SHIPMENT_HEADER_BYTES = 64;

/** A claim. */
export interface Claim {
  /** Where the target stores it. */
  readonly place: number;
  /** Who shipped it: 32 lowercase hex digits. */
  readonly shipper: string;
  readonly run: null;
}

/** A shipment whose headers were read. Its records are not verified. */
export interface Shipment extends AppliedRun, Omit<Claim, "run"> {
  /** What the target stores. */
  readonly bytes: Uint8Array;
  /** The encoded run. */
  readonly run: Uint8Array;
}

/** A name that no other shipper has. */
export function newShipperId(): string {
  return logIdText(crypto.getRandomValues(new Uint8Array(SHIPPER_BYTES)));
}

/** The size of a shipment of so many LSNs. */
export function shipmentBytes(count: number): number {
  return SHIPMENT_HEADER_BYTES + RUN_HEADER_BYTES + count * RECORD_BYTES;
}

/** The most LSNs in a shipment of at most so many bytes. */
export function mostRecords(bytes: number): number {
  return Math.max(0, Math.floor((bytes - shipmentBytes(0)) / RECORD_BYTES));
}

/** Puts the header before a run; the header alone is a claim. */
export function writeShipment(run: Uint8Array | null, shipper: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SHIPMENT_HEADER_BYTES + (run?.length ?? 0));
  if (run !== null) bytes.set(run, SHIPMENT_HEADER_BYTES);
  return sealShipment(bytes, shipper);
}

/** Writes the header into the first bytes of a shipment, which are zeros. @returns the shipment. */
export function sealShipment<Bytes extends Uint8Array>(bytes: Bytes, shipper: string): Bytes {
  bytes.set(MAGIC, 0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, SHIPMENT_HEADER_BYTES);
  view.setUint32(VERSION_AT, VERSION, true);
  bytes.set(logIdBytes(shipper), SHIPPER_AT);
  view.setInt32(CRC_AT, checksum(bytes), true);
  return bytes;
}

/**
 * Reads the headers of a stored message.
 *
 * @throws {WALShipError} if no shipper wrote it, or if the headers are damaged.
 */
export function readShipment({ place, bytes }: StoredMessage): Shipment | Claim {
  const refuse = (fault: "foreign" | "damaged" | "version", why: string) =>
    new WALShipError(fault, `Cannot use message ${place} of the target: ${why}`);
  if (bytes.length < SHIPMENT_HEADER_BYTES || MAGIC.some((byte, index) => bytes[index] !== byte)) {
    throw refuse("foreign", "no shipper wrote it; remove it, and give each log a target of its own");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, SHIPMENT_HEADER_BYTES);
  if (view.getInt32(CRC_AT, true) !== checksum(bytes)) throw refuse("damaged", "its header is damaged");
  if (view.getUint32(VERSION_AT, true) !== VERSION) {
    throw refuse("version", "a later version of this library wrote it; update this one");
  }
  const shipper = logIdText(bytes.subarray(SHIPPER_AT, SHIPPER_AT + SHIPPER_BYTES));
  if (bytes.length === SHIPMENT_HEADER_BYTES) return { place, shipper, run: null };
  const run = bytes.subarray(SHIPMENT_HEADER_BYTES);
  const about = readRunHeader(run);
  if ("fault" in about) {
    if (about.fault === "version") throw refuse("version", "a later version of this library wrote it; update this one");
    throw refuse("damaged", `the header of its run is damaged (${about.fault})`);
  }
  assert(about.firstLsn <= about.lastLsn, "a run has a record");
  return { ...about, place, shipper, bytes, run };
}

/**
 * The records of a shipment, each verified.
 *
 * @throws {WALShipError} if one is damaged.
 */
export function readRecords({ place, run, logId }: Shipment): WALRecord[] {
  try {
    return decodeRun(run, { logId }).records;
  } catch (cause) {
    if (!(cause instanceof WALRunError)) throw cause;
    const fault = cause.fault === "version" ? "version" : "damaged";
    throw new WALShipError(fault, `Cannot use message ${place} of the target: ${cause.message}`, { cause });
  }
}

function checksum(bytes: Uint8Array): number {
  return ~updateCrc32c(INITIAL_STATE, bytes.subarray(0, CRC_AT));
}
