// Keys and values that callers hand in as bytes. A check runs code of the caller only before it
// looks at a length, so that nothing can change between the check and the reading after it.
//
// Shared memory is refused, because another thread may change a key while it is read. Resizable
// memory is refused, because it may be smaller at the next call.

import { ID_BYTES } from "../format/big_endian.ts";
import type { HalfOrBytes } from "../types.ts";
import { BOTH_HINT, ofItem, show, typedArrayGetter, typeOf } from "./numbers.ts";

const { isView } = ArrayBuffer;

/** How many elements a typed array has: 0 if its memory was detached, or is too small by now. */
export const lengthOf = typedArrayGetter("length") as (bytes: ArrayBufferView) => number;
/** An element of a typed array; throws if its memory is gone. */
const elementOf: (bytes: ArrayBufferView, index: number) => unknown = Function.prototype.call.bind(
  Uint8Array.prototype.at,
);

const bufferOf = typedArrayGetter("buffer") as (bytes: ArrayBufferView) => ArrayBufferLike;
/** Whether a buffer of any realm can change its size; throws for shared memory. */
const resizableOf: (buffer: unknown) => unknown = Function.prototype.call.bind(
  Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, "resizable")!.get!,
);

/** True for what is perhaps meant as bytes. All other values are taken for halves of 64 bits. */
export function isObject(value: HalfOrBytes): value is Uint8Array {
  return typeof value === "object" && value !== null;
}

/** True for a `Uint8Array` and all that inherits from it. */
export function isBytes(value: unknown): value is Uint8Array {
  // A Proxy is no view. The name of the type is asked for last, because Bun takes 20 ns for it.
  return isView(value) && (value instanceof Uint8Array || typeOf(value) === "Uint8Array");
}

/**
 * True if bytes are as long as a key. Their elements say so, which no code of the caller does. They
 * are also faster to ask than the getter of the length. Bigints are refused, because a store of
 * them would throw.
 */
function isOfLength(bytes: Uint8Array): boolean {
  return typeof bytes[ID_BYTES - 1] === "number" && bytes[ID_BYTES] === undefined;
}

/**
 * True if the memory of bytes is neither shared nor resizable. A subclass may answer for its buffer
 * what it likes, because each byte is read once in any case.
 */
function isFixed(bytes: Uint8Array): boolean {
  const { buffer } = bytes;
  return (buffer instanceof ArrayBuffer && !buffer.resizable) || ownsFixed(bytes);
}

/** As `isFixed()`, for bytes of any realm and any prototype. */
function ownsFixed(bytes: ArrayBufferView): boolean {
  try {
    return !resizableOf(bufferOf(bytes));
  } catch {
    return false;
  }
}

/**
 * @param item index of the batch's item that has the bytes.
 * @throws {TypeError} or {RangeError} if it is no `Uint8Array` of 16 bytes.
 */
export function checkBytes(value: unknown, name: string, item?: number): asserts value is Uint8Array {
  if (!isBytes(value) || !isFixed(value) || !isOfLength(value)) refuse(value, name, item);
}

/** As `checkBytes()`, for a key and a value. */
export function checkPairBytes(key: unknown, value: unknown, item?: number): asserts value is Uint8Array {
  // The lengths come last: a prototype that is a Proxy may detach the memory of the other one.
  if (!isBytes(key) || !isFixed(key)) refuse(key, "key", item);
  if (!isBytes(value) || !isFixed(value)) refuse(value, "value", item);
  if (!isOfLength(key)) refuse(key, "key", item);
  if (!isOfLength(value)) refuse(value, "value", item);
}

/**
 * The length of a packed batch.
 *
 * @throws {TypeError} or {RangeError} if it is no `Uint8Array` of whole items.
 */
export function packedLength(packed: ArrayBufferView, itemBytes: number): number {
  if (typeOf(packed) !== "Uint8Array") {
    throw new TypeError(`Cannot append a batch: ${show(packed)} is no packed batch, which must be a Uint8Array`);
  }
  const length = lengthOf(packed);
  if (length === 0 && isDetached(packed)) {
    throw new RangeError("Cannot append a batch: the memory of the packed batch is detached");
  }
  if (length % itemBytes !== 0) {
    throw new RangeError(
      `Cannot append a batch: a packed batch of ${length} bytes is no multiple of ${itemBytes} bytes an item`,
    );
  }
  if (!ownsFixed(packed)) throw new TypeError(`Cannot append a batch: a packed batch ${IN_OTHER_MEMORY}`);
  return length;
}

const IN_OTHER_MEMORY = "must not be in shared or resizable memory; give a copy, as slice() makes one";

/** True if the memory of a typed array is gone, or too small for it by now. */
export function isDetached(bytes: ArrayBufferView): boolean {
  try {
    elementOf(bytes, 0);
    return false;
  } catch {
    return true;
  }
}

/** A copy of 16 bytes, which no caller can change. */
export function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(ID_BYTES);
  copy.set(bytes);
  return copy;
}

function refuse(given: unknown, name: string, item?: number): never {
  const as = `as ${name}${ofItem(item)}`;
  if (typeOf(given) === "Uint8Array") {
    const length = lengthOf(given as Uint8Array);
    if (length === ID_BYTES) throw new TypeError(`Cannot use the bytes given ${as}: they ${IN_OTHER_MEMORY}`);
    const detached = length === 0 ? "; a detached one has none" : "";
    throw new RangeError(`Cannot use ${length} bytes ${as}: it must have ${ID_BYTES} bytes${detached}`);
  }
  const hint = typeof given === "bigint" || typeof given === "number" ? BOTH_HINT : "";
  throw new TypeError(`Cannot use ${show(given)} ${as}: it must be a Uint8Array of ${ID_BYTES} bytes${hint}`);
}
