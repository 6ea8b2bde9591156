// Logs in a kilobyte each, for the cases of tests/cases: all that recovery looks at, without keys,
// values and checksums. A new case is what `packLog()` makes of its file, and the answer that
// docs/format.md gives.

import { Buffer } from "node:buffer";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { shiftCrc, slowCrc } from "./reference.ts";

/** A log, packed. */
export interface PackedLog {
  readonly bytes: number;
  /** The fields of both header copies, and whether the checksum is right. */
  readonly headers: readonly { readonly fields: string; readonly sealed: boolean }[];
  /** Words 1 to 7 and 14 to 15 of each slot, and whether its checksum is right. */
  readonly slots: string;
}

type Bytes = Uint8Array<ArrayBuffer>;

const HEADER_FIELDS = 176;
const RING_AT = 16384;
const WORDS = [1, 2, 3, 4, 5, 6, 7, 14, 15];

/** Packs a log. What a reader must not look at is lost. */
export function packLog(file: Bytes): PackedLog {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < RING_AT) return { bytes: file.length, headers: [], slots: "" };
  const headers = [0, 4096].map((at) => ({
    fields: Buffer.from(file.subarray(at, at + HEADER_FIELDS)).toString("base64"),
    sealed: slowCrc(file.subarray(at, at + 4092)) === view.getUint32(at + 4092, true),
  }));
  const seed = shiftCrc(file.subarray(24, 40));
  const count = Math.floor((file.length - RING_AT) / 64);
  const table = new Uint32Array(count * (WORDS.length + 1));
  for (let slot = 0; slot < count; slot++) {
    const at = RING_AT + slot * 64;
    const sealed = slowCrc(file.subarray(at + 4, at + 64), seed) === view.getUint32(at, true);
    table[slot] = sealed ? 1 : 0;
    const isCheckpoint = sealed && (file[at + 4]! & 63) === 4;
    WORDS.forEach((word, column) => {
      if (sealed ? word < 14 || isCheckpoint : word === 2 || word === 3) {
        table[(column + 1) * count + slot] = view.getUint32(at + word * 4, true);
      }
    });
  }
  for (let i = table.length - 1; i > 0; i--) table[i]! -= table[i - 1]!;
  return { bytes: file.length, headers, slots: deflateRawSync(table, { level: 9 }).toString("base64") };
}

/** Unpacks a log. */
export function unpackLog({ bytes, headers, slots }: PackedLog): Bytes {
  const file = new Uint8Array(bytes);
  const view = new DataView(file.buffer);
  headers.forEach(({ fields, sealed }, copy) => {
    const at = copy * 4096;
    file.set(Buffer.from(fields, "base64"), at);
    view.setUint32(at + 4092, slowCrc(file.subarray(at, at + 4092)) ^ (sealed ? 0 : 1), true);
  });
  if (slots === "") return file;
  const table = new Uint32Array(Uint8Array.from(inflateRawSync(Buffer.from(slots, "base64"))).buffer);
  for (let i = 1; i < table.length; i++) table[i]! += table[i - 1]!;
  const count = table.length / (WORDS.length + 1);
  const seed = shiftCrc(file.subarray(24, 40));
  for (let slot = 0; slot < count; slot++) {
    const at = RING_AT + slot * 64;
    WORDS.forEach((word, column) => view.setUint32(at + word * 4, table[(column + 1) * count + slot]!, true));
    const body = file.subarray(at + 4, at + 64);
    const isUnwritten = body.every((byte) => byte === 0);
    if (!isUnwritten) view.setUint32(at, slowCrc(body, seed) ^ (table[slot] === 1 ? 0 : 1), true);
  }
  return file;
}
