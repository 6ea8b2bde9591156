// The items of a batch, as callers hand them in: taken once, checked whole before anything is written.

import { checkU64, isU64, show } from "./numbers.ts";
import type { DeleteItem, InsertItem, U64 } from "./types.ts";

/** An array of the items, all checked. */
export function takeItems<Item>(
  items: Iterable<Item>,
  checkItem: (item: Item, index: number) => void,
): readonly Item[] {
  if (items === null || items === undefined || typeof items[Symbol.iterator] !== "function") {
    throw new TypeError(`Cannot append a batch: ${show(items)} is not iterable`);
  }
  const taken = Array.isArray(items) ? items as readonly Item[] : Array.from(items);
  for (let i = 0; i < taken.length; i++) checkItem(taken[i]!, i);
  return taken;
}

/** @throws {TypeError} or {RangeError} that names the half which cannot be used. */
export function checkKey(keyHigh: U64, keyLow: U64): void {
  checkU64(keyHigh, "keyHigh");
  checkU64(keyLow, "keyLow");
}

/** As `checkKey()`, for a key and a value. */
export function checkPair(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64): void {
  checkKey(keyHigh, keyLow);
  checkU64(valueHigh, "valueHigh");
  checkU64(valueLow, "valueLow");
}

/** @throws {TypeError} or {RangeError} if it is no item of `batchInsert()`. */
export function checkInsertItem(item: InsertItem, index: number): void {
  if (!Array.isArray(item) || item.length !== 4) {
    throw new TypeError(`Cannot append a batch: item ${index} is not [keyHigh, keyLow, valueHigh, valueLow]`);
  }
  const keyHigh = item[0];
  const keyLow = item[1];
  const valueHigh = item[2];
  const valueLow = item[3];
  // Here and not in checkPair(), which JavaScriptCore does not inline: batches took a fifth longer.
  if (isU64(keyHigh) && isU64(keyLow) && isU64(valueHigh) && isU64(valueLow)) return;
  checkPair(keyHigh, keyLow, valueHigh, valueLow);
}

/** @throws {TypeError} or {RangeError} if it is no item of `batchDelete()`. */
export function checkDeleteItem(item: DeleteItem, index: number): void {
  if (!Array.isArray(item) || item.length !== 2) {
    throw new TypeError(`Cannot append a batch: item ${index} is not [keyHigh, keyLow]`);
  }
  checkKey(item[0], item[1]);
}
