// The items of a batch, as callers hand them in: taken once, checked whole before anything is written.

import { checkU64, show } from "./numbers.ts";
import type { DeleteItem, InsertItem } from "./types.ts";

/** An array of the items, all checked. */
export function takeItems<Item>(
  items: Iterable<Item>,
  checkItem: (item: Item, index: number) => void,
): readonly Item[] {
  if (items === null || items === undefined || typeof items[Symbol.iterator] !== "function") {
    throw new TypeError(`Cannot append a batch: ${show(items)} is not iterable`);
  }
  const taken = Array.isArray(items) ? items as readonly Item[] : Array.from(items);
  for (let i = 0; i < taken.length; i++) checkItem(taken[i], i);
  return taken;
}

/** @throws {TypeError} or {RangeError} if it is no item of `batchInsert()`. */
export function checkInsertItem(item: InsertItem, index: number): void {
  if (!Array.isArray(item) || item.length !== 4) {
    throw new TypeError(`Cannot append a batch: item ${index} is not [keyHigh, keyLow, valueHigh, valueLow]`);
  }
  checkU64(item[0], "keyHigh");
  checkU64(item[1], "keyLow");
  checkU64(item[2], "valueHigh");
  checkU64(item[3], "valueLow");
}

/** @throws {TypeError} or {RangeError} if it is no item of `batchDelete()`. */
export function checkDeleteItem(item: DeleteItem, index: number): void {
  if (!Array.isArray(item) || item.length !== 2) {
    throw new TypeError(`Cannot append a batch: item ${index} is not [keyHigh, keyLow]`);
  }
  checkU64(item[0], "keyHigh");
  checkU64(item[1], "keyLow");
}
