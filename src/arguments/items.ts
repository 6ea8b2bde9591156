// The items of a batch, as callers hand them in: each value is read once, checked, and copied into
// memory of the log's own.
//
// Reading an item may run code of the caller: a getter, an iterator, a Proxy. That code may append
// to any log, also to this one. So an append is prepared only after all items have been read, and
// two batches share nothing here.

import { KEY_HIGH_AT, KEY_LOW_AT, RECORD_BYTES, VALUE_HIGH_AT, VALUE_LOW_AT } from "../format/layout.ts";
import { setU64 } from "../format/u64.ts";
import type { DeleteItem, InsertItem } from "../types.ts";
import { checkKey, checkPair, isU64, show } from "./numbers.ts";

/** The least items for which the memory of a batch has room. */
const LEAST_ROOM = 1024;
/**
 * The most items for which memory is made at once, in 64 MiB. An array may report a wrong length.
 * For more items, the memory is doubled.
 */
const MOST_FIRST_ROOM = 1 << 20;
/**
 * Memory with room for at most this many items, 1 MiB, is kept for the next batch. Larger memory is
 * kept only until the next garbage collection.
 */
const MOST_KEPT_ROOM = 16384;

/**
 * Memory for the keys and values of items, each at its place in a record. All other bytes have no
 * meaning.
 */
interface Room {
  readonly view: DataView;
  readonly words: Int32Array;
}

/** Items that have been read. */
export interface Batch extends Room {
  readonly count: number;
}

/** The iterator that arrays have, unless a program replaces it. */
const arrayIterator: unknown = Array.prototype[Symbol.iterator];

/** The memory of an earlier batch, for the next one; null while a batch uses it. */
let spare: Room | null = null;
/**
 * Memory of an earlier large batch. New memory for each would make a batch take half as long again.
 */
let largeSpare: WeakRef<Room> | null = null;

/** Reads a batch of `batchInsert()`. */
export function readInserts(items: Iterable<InsertItem>): Batch {
  const listed = listOf(items);
  if (listed.list === null) return readEach(listed.iterable, storeInsert);
  const { list, length } = listed;
  let { view, words } = takeRoom(length);
  for (let i = 0; i < length; i++) {
    if (i * RECORD_BYTES === view.byteLength) ({ view, words } = twiceThe(words));
    storeInsert(view, i * RECORD_BYTES, list[i]!, i);
  }
  return { view, words, count: length };
}

/** Reads a batch of `batchDelete()`. */
export function readDeletes(items: Iterable<DeleteItem>): Batch {
  const listed = listOf(items);
  if (listed.list === null) return readEach(listed.iterable, storeDelete);
  const { list, length } = listed;
  let { view, words } = takeRoom(length);
  for (let i = 0; i < length; i++) {
    if (i * RECORD_BYTES === view.byteLength) ({ view, words } = twiceThe(words));
    storeDelete(view, i * RECORD_BYTES, list[i]!, i);
  }
  return { view, words, count: length };
}

/** Keeps the memory of a batch for the next one. The batch must not be used any more. */
export function releaseBatch(batch: Batch): void {
  if (batch.words.length <= MOST_KEPT_ROOM * (RECORD_BYTES / 4)) spare = batch;
  else largeSpare = new WeakRef(batch);
}

/** Copies a batch that waits into memory of its own, which is as small as possible. */
export function keepBatch({ count, view }: Batch): Batch {
  return { ...roomIn(view.buffer.slice(0, count * RECORD_BYTES) as ArrayBuffer), count };
}

function takeRoom(items: number): Room {
  const room = Math.min(items, MOST_FIRST_ROOM);
  const isLarge = room > MOST_KEPT_ROOM;
  const taken = isLarge ? largeSpare?.deref() : spare;
  if (isLarge) largeSpare = null;
  else spare = null;
  if (taken && taken.words.length >= room * (RECORD_BYTES / 4)) return taken;
  return roomIn(new ArrayBuffer(Math.max(LEAST_ROOM, room) * RECORD_BYTES));
}

function twiceThe(words: Int32Array): Room {
  const room = roomIn(new ArrayBuffer(2 * words.byteLength));
  room.words.set(words);
  return room;
}

function roomIn(buffer: ArrayBuffer): Room {
  return { view: new DataView(buffer), words: new Int32Array(buffer) };
}

/** How the items are to be read. */
type Listed<Item> =
  | { readonly list: readonly Item[]; readonly length: number }
  | { readonly list: null; readonly iterable: Iterable<Item> };

/** An array with the usual iterator is read by index. Of all others, the iterator is read once. */
function listOf<Item>(items: Iterable<Item>): Listed<Item> {
  const iterator: unknown = items === null || items === undefined ? undefined : items[Symbol.iterator];
  if (typeof iterator !== "function") throw new TypeError(`Cannot append a batch: ${show(items)} is not iterable`);
  if (Array.isArray(items) && iterator === arrayIterator) return { list: items, length: lengthOf(items) };
  return { list: null, iterable: { [Symbol.iterator]: () => iterator.call(items) as Iterator<Item> } };
}

/** The length as the array's iterator takes it, an integer ≥ 0. A Proxy may report any value. */
function lengthOf(items: readonly unknown[]): number {
  return Math.max(0, Math.trunc(Number(items.length)) || 0);
}

/** Reads each item before the iterator is asked for the next, which may be the same array. */
function readEach<Item>(
  items: Iterable<Item>,
  store: (view: DataView, at: number, item: Item, index: number) => void,
): Batch {
  let { view, words } = takeRoom(0);
  let count = 0;
  for (const item of items) {
    if (count * RECORD_BYTES === view.byteLength) ({ view, words } = twiceThe(words));
    store(view, count * RECORD_BYTES, item, count);
    count++;
  }
  return { view, words, count };
}

/** @throws {TypeError} or {RangeError} if it is no item of `batchInsert()`. */
function storeInsert(view: DataView, at: number, item: InsertItem, index: number): void {
  if (!Array.isArray(item) || item.length !== 4) {
    throw new TypeError(`Cannot append a batch: item ${index} is not [keyHigh, keyLow, valueHigh, valueLow]`);
  }
  const keyHigh = item[0];
  const keyLow = item[1];
  const valueHigh = item[2];
  const valueLow = item[3];
  // Checked here first, because JavaScriptCore does not inline checkPair(), which costs a fifth.
  if (!isU64(keyHigh) || !isU64(keyLow) || !isU64(valueHigh) || !isU64(valueLow)) {
    checkPair(keyHigh, keyLow, valueHigh, valueLow);
  }
  setU64(view, at + KEY_HIGH_AT, keyHigh);
  setU64(view, at + KEY_LOW_AT, keyLow);
  setU64(view, at + VALUE_HIGH_AT, valueHigh);
  setU64(view, at + VALUE_LOW_AT, valueLow);
}

/** @throws {TypeError} or {RangeError} if it is no item of `batchDelete()`. */
function storeDelete(view: DataView, at: number, item: DeleteItem, index: number): void {
  if (!Array.isArray(item) || item.length !== 2) {
    throw new TypeError(`Cannot append a batch: item ${index} is not [keyHigh, keyLow]`);
  }
  const keyHigh = item[0];
  const keyLow = item[1];
  checkKey(keyHigh, keyLow);
  setU64(view, at + KEY_HIGH_AT, keyHigh);
  setU64(view, at + KEY_LOW_AT, keyLow);
  view.setFloat64(at + VALUE_HIGH_AT, 0);
  view.setFloat64(at + VALUE_LOW_AT, 0);
}
