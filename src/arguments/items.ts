// The items of a batch, as callers hand them in, one by one or packed: each value is read once,
// checked, and packed into memory of the log's own.
//
// Reading an item may run code of the caller: a getter, an iterator, a Proxy. That code may append
// to any log, also to this one. So an append is prepared only after all items have been read, and
// two batches share nothing here.

import { ID_BYTES, setHalf, setId } from "../format/big_endian.ts";
import { APPLICATION_OPERATION, BATCH_OPERATIONS, isApplicationOpcode, operationNamed } from "../format/operations.ts";
import {
  DELETE_BYTES,
  INSERT_BYTES,
  MIXED,
  MIXED_BYTES,
  OPCODE_BYTES,
  type PackedItems,
} from "../format/packed_items.ts";
import {
  type ApplicationOpType,
  type BatchItem,
  type DeleteItem,
  type InsertBytes,
  type InsertItem,
  OpType,
  type U64,
} from "../types.ts";
import { checkBytes, checkPairBytes, packedLength } from "./bytes.ts";
import { checkCode, checkKey, checkPair, isU64, show } from "./numbers.ts";

/** The memory of a batch has at least this size. */
const LEAST_ROOM = 1024 * INSERT_BYTES;
/**
 * The most memory that is made at once, 32 MiB. An array may report a wrong length. For more items,
 * the memory is doubled.
 */
const MOST_FIRST_ROOM = (1 << 20) * INSERT_BYTES;
/**
 * Memory of at most 512 KiB is kept for the next batch. Larger memory is kept only until the next
 * garbage collection.
 */
const MOST_KEPT_ROOM = 16384 * INSERT_BYTES;

/** Memory for packed items. */
interface Room {
  readonly view: DataView;
  readonly bytes: Uint8Array;
}

/** Items that have been read. The memory after them has no meaning. */
export interface Batch extends Room, PackedItems {
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

/** What the items of a batch have in common. */
type Kind = Pick<PackedItems, "opType" | "itemBytes">;

const INSERTS: Kind = { opType: OpType.Insert, itemBytes: INSERT_BYTES };
const DELETES: Kind = { opType: OpType.Delete, itemBytes: DELETE_BYTES };
const OF_ANY_KIND: Kind = { opType: MIXED, itemBytes: MIXED_BYTES };

// Each of the three has the loop over an array itself. With one loop for all, Bun takes a fifth
// longer for deletes, and 3 % for inserts.

/** Reads a batch of `batchInsert()`. */
export function readInserts(items: Iterable<InsertItem | InsertBytes> | Uint8Array): Batch {
  if (ArrayBuffer.isView(items)) return readPacked(items, INSERTS);
  const listed = listOf(items);
  if (listed.list === null) return readEach(listed.iterable, INSERTS, storeInsert);
  const { list, length } = listed;
  let { view, bytes } = takeRoom(length * INSERT_BYTES);
  for (let i = 0; i < length; i++) {
    if ((i + 1) * INSERT_BYTES > view.byteLength) ({ view, bytes } = twiceThe(bytes));
    storeInsert(view, i * INSERT_BYTES, list[i]!, i);
  }
  return { view, bytes, ...INSERTS, count: length };
}

/** Reads a batch of `batchDelete()`. */
export function readDeletes(items: Iterable<DeleteItem | Uint8Array> | Uint8Array): Batch {
  if (ArrayBuffer.isView(items)) return readPacked(items, DELETES);
  const listed = listOf(items);
  if (listed.list === null) return readEach(listed.iterable, DELETES, storeDelete);
  const { list, length } = listed;
  let { view, bytes } = takeRoom(length * DELETE_BYTES);
  for (let i = 0; i < length; i++) {
    if ((i + 1) * DELETE_BYTES > view.byteLength) ({ view, bytes } = twiceThe(bytes));
    storeDelete(view, i * DELETE_BYTES, list[i]!, i);
  }
  return { view, bytes, ...DELETES, count: length };
}

/** Reads a batch of `batch()`. */
export function readItems(items: Iterable<BatchItem>): Batch {
  const listed = listOf(items);
  if (listed.list === null) return readEach(listed.iterable, OF_ANY_KIND, storeItem);
  const { list, length } = listed;
  let { view, bytes } = takeRoom(length * MIXED_BYTES);
  for (let i = 0; i < length; i++) {
    if ((i + 1) * MIXED_BYTES > view.byteLength) ({ view, bytes } = twiceThe(bytes));
    storeItem(view, i * MIXED_BYTES, list[i]!, i);
  }
  return { view, bytes, ...OF_ANY_KIND, count: length };
}

/** Copies a packed batch, because the wall clock is read after it and may change the caller's. */
function readPacked(given: Uint8Array, kind: Kind): Batch {
  const length = packedLength(given, kind.itemBytes);
  const room = takeRoom(length, Infinity);
  room.bytes.set(given);
  return { ...room, ...kind, count: length / kind.itemBytes };
}

/** Keeps the memory of a batch for the next one. The batch must not be used any more. */
export function releaseBatch(batch: Batch): void {
  if (batch.bytes.length <= MOST_KEPT_ROOM) spare = batch;
  else largeSpare = new WeakRef(batch);
}

/** Copies a batch that waits into memory of its own, which is as small as possible. */
export function keepBatch(batch: Batch): Batch {
  const { bytes, itemBytes, count } = batch;
  return { ...batch, ...roomIn(bytes.slice(0, count * itemBytes).buffer as ArrayBuffer) };
}

function takeRoom(wanted: number, most = MOST_FIRST_ROOM): Room {
  const room = Math.min(wanted, most);
  const isLarge = room > MOST_KEPT_ROOM;
  const taken = isLarge ? largeSpare?.deref() : spare;
  if (isLarge) largeSpare = null;
  else spare = null;
  if (taken && taken.bytes.length >= room) return taken;
  return roomIn(new ArrayBuffer(Math.max(LEAST_ROOM, room)));
}

function twiceThe(bytes: Uint8Array): Room {
  const room = roomIn(new ArrayBuffer(2 * bytes.length));
  room.bytes.set(bytes);
  return room;
}

function roomIn(buffer: ArrayBuffer): Room {
  return { view: new DataView(buffer), bytes: new Uint8Array(buffer) };
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
  kind: Kind,
  store: (view: DataView, at: number, item: Item, index: number) => void,
): Batch {
  const { itemBytes } = kind;
  let { view, bytes } = takeRoom(0);
  let count = 0;
  for (const item of items) {
    if ((count + 1) * itemBytes > view.byteLength) ({ view, bytes } = twiceThe(bytes));
    store(view, count * itemBytes, item, count);
    count++;
  }
  return { view, bytes, ...kind, count };
}

/** @throws {TypeError} or {RangeError} if it is no item of `batchInsert()`. */
function storeInsert(view: DataView, at: number, item: InsertItem | InsertBytes, index: number): void {
  const length = Array.isArray(item) ? item.length as number : 0;
  if (length === 2) {
    const key = item[0] as Uint8Array;
    const value = item[1] as Uint8Array;
    checkPairBytes(key, value, index);
    setId(view, at, key);
    setId(view, at + ID_BYTES, value);
    return;
  }
  if (length !== 4) {
    throw new TypeError(
      `Cannot append a batch: item ${index} is not [keyHigh, keyLow, valueHigh, valueLow] or [key, value]`,
    );
  }
  const keyHigh = item[0] as U64;
  const keyLow = item[1] as U64;
  const valueHigh = item[2] as U64;
  const valueLow = item[3] as U64;
  // Checked here first, because JavaScriptCore does not inline checkPair(), which costs a fifth.
  if (!isU64(keyHigh) || !isU64(keyLow) || !isU64(valueHigh) || !isU64(valueLow)) {
    checkPair(keyHigh, keyLow, valueHigh, valueLow, index);
  }
  setHalf(view, at, keyHigh);
  setHalf(view, at + 8, keyLow);
  setHalf(view, at + 16, valueHigh);
  setHalf(view, at + 24, valueLow);
}

/** @throws {TypeError} or {RangeError} if it is no item of `batchDelete()`. */
function storeDelete(view: DataView, at: number, item: DeleteItem | Uint8Array, index: number): void {
  if (ArrayBuffer.isView(item)) {
    checkBytes(item, "key", index);
    setId(view, at, item);
    return;
  }
  if (!Array.isArray(item) || item.length !== 2) {
    throw new TypeError(`Cannot append a batch: item ${index} is not [keyHigh, keyLow] or a Uint8Array`);
  }
  const keyHigh = item[0];
  const keyLow = item[1];
  checkKey(keyHigh, keyLow, index);
  setHalf(view, at, keyHigh);
  setHalf(view, at + 8, keyLow);
}

/** All fields that an item of `batch()` may have. */
interface ItemFields {
  readonly type?: unknown;
  readonly code?: ApplicationOpType;
  readonly key?: unknown;
  readonly value?: unknown;
  readonly keyHigh: U64;
  readonly keyLow: U64;
  readonly valueHigh?: U64;
  readonly valueLow?: U64;
}

/** @throws {TypeError} or {RangeError} if it is no item of `batch()`. */
function storeItem(view: DataView, at: number, item: BatchItem, index: number): void {
  if (typeof item !== "object" || item === null) refuseItem(index, `is ${show(item)}, and no object`);
  // All fields are read before one is checked, because reading may run code of the caller.
  const { type, code, key, value, keyHigh, keyLow, valueHigh, valueLow } = item as ItemFields;
  const operation = operationNamed(type);
  if (operation === null) refuseItem(index, `has ${show(type)} as its type, not one of ${typeNames()}`);
  const { hasValue } = operation;
  const opcode = "opType" in operation ? operation.opType : code as ApplicationOpType;
  if (operation === APPLICATION_OPERATION && !isApplicationOpcode(opcode)) {
    checkCode(opcode as ApplicationOpType, index);
  }
  const keyAt = at + OPCODE_BYTES;
  const valueAt = keyAt + ID_BYTES;
  view.setUint8(at, opcode);
  if (!hasValue && (value !== undefined || valueHigh !== undefined || valueLow !== undefined)) {
    // Whoever means one value would lose all values of the key.
    refuseItem(index, `has a value, which a record of type ${show(type)} has not`);
  }
  const isInBytes = key !== undefined || value !== undefined;
  if (
    isInBytes &&
    (keyHigh !== undefined || keyLow !== undefined || valueHigh !== undefined || valueLow !== undefined)
  ) {
    // Nobody knows which of them is meant.
    refuseItem(index, "is in bytes and in halves: its key and value must both be in one of these forms");
  }
  if (!hasValue) {
    // The memory may be that of an earlier batch.
    view.setFloat64(valueAt, 0);
    view.setFloat64(valueAt + 8, 0);
    if (isInBytes) {
      checkBytes(key, "key", index);
      setId(view, keyAt, key);
      return;
    }
    checkKey(keyHigh, keyLow, index);
  } else if (isInBytes) {
    checkPairBytes(key, value, index);
    setId(view, keyAt, key as Uint8Array);
    setId(view, valueAt, value);
    return;
  } else {
    const [high, low] = [valueHigh as U64, valueLow as U64];
    if (!isU64(keyHigh) || !isU64(keyLow) || !isU64(high) || !isU64(low)) checkPair(keyHigh, keyLow, high, low, index);
    setHalf(view, valueAt, high);
    setHalf(view, valueAt + 8, low);
  }
  setHalf(view, keyAt, keyHigh);
  setHalf(view, keyAt + 8, keyLow);
}

function typeNames(): string {
  return BATCH_OPERATIONS.map(({ name }) => JSON.stringify(name)).join(", ");
}

function refuseItem(index: number, why: string): never {
  throw new TypeError(`Cannot append a batch: item ${index} ${why}`);
}
