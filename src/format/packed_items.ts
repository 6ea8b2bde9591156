// Items of a batch in memory, packed: 16 bytes of key, and 16 of value for an insert. Both are
// big-endian, as a hash or a UUID is written, so that callers can hand in packed items as they are.

import { ID_BYTES } from "./big_endian.ts";
import { KEY_HIGH_AT, RECORD_BYTES } from "./layout.ts";

/** Bytes of an item of `batchInsert()`: a key, and a value. */
export const INSERT_BYTES: number = 2 * ID_BYTES;
/** Bytes of an item of `batchDelete()`: a key. */
export const DELETE_BYTES: number = ID_BYTES;

const WORDS = RECORD_BYTES / 4;
const KEY_WORD = KEY_HIGH_AT / 4;

/** Items that lie one after another. */
export interface PackedItems {
  readonly bytes: Uint8Array;
  /** `INSERT_BYTES` or `DELETE_BYTES`. */
  readonly itemBytes: number;
}

/**
 * Stores the keys and values of items at their places in consecutive records.
 *
 * @param from index of the first item.
 * @param word index of the first record's first word.
 */
export function expandItems(items: PackedItems, from: number, count: number, words: Int32Array, word: number): void {
  const { bytes, itemBytes } = items;
  const hasValue = itemBytes === INSERT_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset + from * itemBytes, count * itemBytes);
  for (let i = 0, at = 0, to = word + KEY_WORD; i < count; i++, at += itemBytes, to += WORDS) {
    words[to] = view.getInt32(at + 4);
    words[to + 1] = view.getInt32(at);
    words[to + 2] = view.getInt32(at + 12);
    words[to + 3] = view.getInt32(at + 8);
    words[to + 4] = hasValue ? view.getInt32(at + 20) : 0;
    words[to + 5] = hasValue ? view.getInt32(at + 16) : 0;
    words[to + 6] = hasValue ? view.getInt32(at + 28) : 0;
    words[to + 7] = hasValue ? view.getInt32(at + 24) : 0;
  }
}
