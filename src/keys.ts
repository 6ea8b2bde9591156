/**
 * Keys and values of 128 bits in other forms: hex digits, a UUID, one bigint, two halves. Each form
 * is converted from and to 16 bytes, big-endian, as the log takes and gives them.
 *
 * @example Log a record whose key is a UUID, and whose value is the start of a hash
 * ```ts
 * import { WAL } from "@cidstore/wal";
 * import { bytesToUUID, uuidToBytes } from "@cidstore/wal/keys";
 *
 * using wal = WAL.open(null);
 * const content = new TextEncoder().encode("content");
 * const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
 * wal.logInsertSync(uuidToBytes("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), hash.subarray(0, 16));
 * for (const { key } of wal.records()) console.log(bytesToUUID(key)); // the UUID
 * ```
 *
 * @module
 */

import { checkBytes, copyOf } from "./arguments/bytes.ts";
import { checkU64, show } from "./arguments/numbers.ts";
import { ID_BYTES, setHalf } from "./format/big_endian.ts";
import type { U64 } from "./types.ts";

const BITS_64 = 64n;
const LAST_BIGINT = (1n << 128n) - 1n;
const HEX_DIGITS = 2 * ID_BYTES;
/** Where a UUID's text has its hyphens. */
const HYPHENS: readonly number[] = [8, 13, 18, 23];
const UUID_LENGTH = HEX_DIGITS + HYPHENS.length;

/**
 * 32 hex digits as bytes, with capital or small letters.
 *
 * @throws {TypeError} if it is no string.
 * @throws {RangeError} if it has another length, or a character that is no hex digit.
 *
 * @example
 * ```ts
 * import { hexToBytes } from "@cidstore/wal/keys";
 *
 * console.log(hexToBytes("000102030405060708090a0b0c0d0e0f")[15]); // 15
 * ```
 */
export function hexToBytes(hex: string): Uint8Array<ArrayBuffer> {
  checkText(hex, "hex", HEX_DIGITS, "it must have 32 hex digits");
  const bytes = new Uint8Array(ID_BYTES);
  for (let i = 0; i < ID_BYTES; i++) bytes[i] = byteAt(hex, "hex", 2 * i);
  return bytes;
}

/**
 * Bytes as 32 hex digits with small letters.
 *
 * @throws {TypeError} or {RangeError} if it is no `Uint8Array` of 16 bytes.
 *
 * @example
 * ```ts
 * import { bytesToHex } from "@cidstore/wal/keys";
 *
 * console.log(bytesToHex(new Uint8Array(16).fill(0xab)).length); // 32
 * ```
 */
export function bytesToHex(bytes: Uint8Array): string {
  checkBytes(bytes, "bytes");
  let hex = "";
  for (let i = 0; i < ID_BYTES; i++) hex += bytes[i]!.toString(16).padStart(2, "0");
  return hex;
}

/**
 * The text of a UUID as bytes: five groups of 8, 4, 4, 4 and 12 hex digits with hyphens between
 * them. Any version and variant will do, as well as other text of this form.
 *
 * @throws {TypeError} if it is no string.
 * @throws {RangeError} if it has another length, or another character at one of its places.
 *
 * @example
 * ```ts
 * import { uuidToBytes } from "@cidstore/wal/keys";
 *
 * console.log(uuidToBytes("6ba7b810-9dad-11d1-80b4-00c04fd430c8")[0] === 0x6b); // true
 * ```
 */
export function uuidToBytes(uuid: string): Uint8Array<ArrayBuffer> {
  checkText(uuid, "uuid", UUID_LENGTH, "it must have 36 characters, 8-4-4-4-12 hex digits");
  const bytes = new Uint8Array(ID_BYTES);
  let at = 0;
  for (let i = 0; i < ID_BYTES; i++, at += 2) {
    if (HYPHENS.includes(at)) {
      if (uuid[at] !== "-") throw new RangeError(`Cannot use ${show(uuid)} as uuid: no hyphen is at index ${at}`);
      at++;
    }
    bytes[i] = byteAt(uuid, "uuid", at);
  }
  return bytes;
}

/**
 * Bytes as the text of a UUID, with small letters.
 *
 * @throws {TypeError} or {RangeError} if it is no `Uint8Array` of 16 bytes.
 *
 * @example
 * ```ts
 * import { bytesToUUID, uuidToBytes } from "@cidstore/wal/keys";
 *
 * const bytes = uuidToBytes("6BA7B810-9DAD-11D1-80B4-00C04FD430C8");
 * console.log(bytesToUUID(bytes)); // 6ba7b810-9dad-11d1-80b4-00c04fd430c8
 * ```
 */
export function bytesToUUID(bytes: Uint8Array): string {
  const hex = bytesToHex(bytes);
  const groups = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
  return groups.join("-");
}

/**
 * One bigint of 128 bits as bytes.
 *
 * @throws {TypeError} if it is no bigint.
 * @throws {RangeError} if it is not from 0 to 2^128 − 1.
 *
 * @example
 * ```ts
 * import { bigintToBytes } from "@cidstore/wal/keys";
 *
 * console.log(bigintToBytes(0x1234n)[14] === 0x12); // true
 * ```
 */
export function bigintToBytes(bigint: bigint): Uint8Array<ArrayBuffer> {
  if (typeof bigint !== "bigint") throw new TypeError(`Cannot use ${show(bigint)} as bigint: it must be a bigint`);
  if (bigint < 0n || bigint > LAST_BIGINT) {
    throw new RangeError(`Cannot use ${bigint}n as bigint: it must be from 0 to 2^128 - 1`);
  }
  return halvesToBytes(bigint >> BITS_64, BigInt.asUintN(64, bigint));
}

/**
 * Bytes as one bigint of 128 bits.
 *
 * @throws {TypeError} or {RangeError} if it is no `Uint8Array` of 16 bytes.
 *
 * @example
 * ```ts
 * import { bytesToBigInt } from "@cidstore/wal/keys";
 *
 * console.log(bytesToBigInt(new Uint8Array(16).fill(255)) === 2n ** 128n - 1n); // true
 * ```
 */
export function bytesToBigInt(bytes: Uint8Array): bigint {
  const [high, low] = bytesToHalves(bytes);
  return (high << BITS_64) | low;
}

/**
 * Two halves of 64 bits as bytes.
 *
 * @param high upper 64 bits: a bigint from 0 to 2^64 − 1, or a number that is a safe integer ≥ 0.
 * @param low lower 64 bits.
 * @throws {TypeError} if a half is neither a bigint nor a number.
 * @throws {RangeError} if a half is out of range.
 *
 * @example
 * ```ts
 * import { halvesToBytes } from "@cidstore/wal/keys";
 *
 * console.log(halvesToBytes(1n, 2n)[7], halvesToBytes(1n, 2n)[15]); // 1 2
 * ```
 */
export function halvesToBytes(high: U64, low: U64): Uint8Array<ArrayBuffer> {
  checkU64(high, "high");
  checkU64(low, "low");
  const bytes = new Uint8Array(ID_BYTES);
  const view = new DataView(bytes.buffer);
  setHalf(view, 0, high);
  setHalf(view, 8, low);
  return bytes;
}

/**
 * Bytes as two halves of 64 bits.
 *
 * @throws {TypeError} or {RangeError} if it is no `Uint8Array` of 16 bytes.
 *
 * @example
 * ```ts
 * import { bytesToHalves } from "@cidstore/wal/keys";
 *
 * console.log(bytesToHalves(new Uint8Array(16).fill(1, 15))); // [0n, 1n]
 * ```
 */
export function bytesToHalves(bytes: Uint8Array): [high: bigint, low: bigint] {
  checkBytes(bytes, "bytes");
  const view = new DataView(copyOf(bytes).buffer);
  return [view.getBigUint64(0), view.getBigUint64(8)];
}

function checkText(text: string, name: string, length: number, wanted: string): void {
  if (typeof text !== "string") throw new TypeError(`Cannot use ${show(text)} as ${name}: it must be a string`);
  if (text.length === length) return;
  throw new RangeError(`Cannot use ${show(text)} as ${name}: it has ${text.length} characters, ${wanted}`);
}

/** The byte that two hex digits are. */
function byteAt(text: string, name: string, index: number): number {
  return digitAt(text, name, index) * 16 + digitAt(text, name, index + 1);
}

function digitAt(text: string, name: string, index: number): number {
  const code = text.charCodeAt(index);
  if (code >= 0x30 && code <= 0x39) return code - 0x30; // 0 to 9
  const letter = code | 0x20; // small
  if (letter >= 0x61 && letter <= 0x66) return letter - 0x61 + 10; // a to f
  throw new RangeError(`Cannot use ${show(text)} as ${name}: ${show(text[index])} at index ${index} is no hex digit`);
}
