// Items of a batch in memory, packed: 16 bytes of key, and 16 of value for an insert. Both are
// big-endian, as a hash or a UUID is written, so that callers can hand in packed items as they are.
// In a batch of several operations, each item begins with its opcode and has a value, if only of
// zeros.

import type { OpType } from "../types.ts";
import { ID_BYTES } from "./big_endian.ts";

/** Bytes of an item of `batchInsert()`: a key, and a value. */
export const INSERT_BYTES: number = 2 * ID_BYTES;
/** Bytes of an item of `batchDelete()`: a key. */
export const DELETE_BYTES: number = ID_BYTES;
/** Bytes of an opcode and of what fills it up to a whole word. */
export const OPCODE_BYTES = 8;
/** Bytes of an item of `batch()`: its opcode, a key and a value. */
export const MIXED_BYTES: number = OPCODE_BYTES + 2 * ID_BYTES;
/** Stands for the opcode of items that each begin with their own. */
export const MIXED = 0;

/** Items that lie one after another. */
export interface PackedItems {
  /** The opcode of all items, or `MIXED`. */
  readonly opType: OpType | typeof MIXED;
  readonly bytes: Uint8Array;
  /** `INSERT_BYTES`, `DELETE_BYTES` or `MIXED_BYTES`. */
  readonly itemBytes: number;
}
