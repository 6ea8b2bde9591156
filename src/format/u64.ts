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

/** Reads a safe integer. For a greater number, the result is greater than any safe integer. */
export function getSafeU64(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * TWO_TO_32 + view.getUint32(offset, true);
}
