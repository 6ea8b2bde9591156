// Numbers of 64 bits as bytes.

import type { U64 } from "../types.ts";

const TWO_TO_32 = 0x1_0000_0000;

/** Stores a checked 64-bit number. A bigint is never split, because that allocates. */
export function setU64(view: DataView, offset: number, value: U64): void {
  if (typeof value === "bigint") {
    view.setBigUint64(offset, value, true);
  } else {
    view.setUint32(offset, value % TWO_TO_32, true);
    view.setUint32(offset + 4, value / TWO_TO_32, true);
  }
}

/** Stores a checked half of a key or value, big-endian. */
export function setHalf(view: DataView, offset: number, value: U64): void {
  if (typeof value === "bigint") {
    view.setBigUint64(offset, value);
  } else {
    view.setUint32(offset, value / TWO_TO_32);
    view.setUint32(offset + 4, value % TWO_TO_32);
  }
}

/** Stores a key or a value of 16 bytes as it is. */
export function setId(view: DataView, offset: number, id: Uint8Array): void {
  view.setInt32(offset, (id[0]! << 24) | (id[1]! << 16) | (id[2]! << 8) | id[3]!);
  view.setInt32(offset + 4, (id[4]! << 24) | (id[5]! << 16) | (id[6]! << 8) | id[7]!);
  view.setInt32(offset + 8, (id[8]! << 24) | (id[9]! << 16) | (id[10]! << 8) | id[11]!);
  view.setInt32(offset + 12, (id[12]! << 24) | (id[13]! << 16) | (id[14]! << 8) | id[15]!);
}

/** Reads a safe integer. For a greater number, the result is greater than any safe integer. */
export function getSafeU64(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * TWO_TO_32 + view.getUint32(offset, true);
}
