// Items of a batch in memory, packed: 16 bytes of key, and 16 of value for an insert. Both are
// big-endian, as a hash or a UUID is written, so that callers can hand in packed items as they are.

import { ID_BYTES } from "./big_endian.ts";

/** Bytes of an item of `batchInsert()`: a key, and a value. */
export const INSERT_BYTES: number = 2 * ID_BYTES;
/** Bytes of an item of `batchDelete()`: a key. */
export const DELETE_BYTES: number = ID_BYTES;

/** Items that lie one after another. */
export interface PackedItems {
  readonly bytes: Uint8Array;
  /** `INSERT_BYTES` or `DELETE_BYTES`. */
  readonly itemBytes: number;
}
