// Keys and values that callers hand in as bytes. A check runs code of the caller only before it
// looks at a length, so that nothing can change between the check and the reading after it.
//
// The memory of such bytes may be shared or resizable, because each byte is read once. To ask for
// that memory would cost more than to read it: Bun makes it then, which takes 160 ns.

import { ID_BYTES } from "../format/packed_items.ts";
import type { HalfOrBytes } from "../types.ts";
import { BOTH_HINT, show, typedArrayGetter, typeOf } from "./numbers.ts";

const { isView } = ArrayBuffer;

/** How many elements a typed array has: 0 if its memory was detached, or is too small by now. */
const lengthOf = typedArrayGetter("length") as (bytes: ArrayBufferView) => number;
/** An element of a typed array; throws if its memory is gone. */
const elementOf: (bytes: ArrayBufferView, index: number) => unknown = Function.prototype.call.bind(
  Uint8Array.prototype.at,
);

/** True for what is perhaps meant as bytes. All other values are taken for halves of 64 bits. */
export function isObject(value: HalfOrBytes): value is Uint8Array {
  return typeof value === "object" && value !== null;
}

/** True for a `Uint8Array` and all that inherits from it. */
function isBytes(value: unknown): value is Uint8Array {
  // A Proxy is no view. The name of the type is asked for last, because Bun takes 20 ns for it.
  return isView(value) && (value instanceof Uint8Array || typeOf(value) === "Uint8Array");
}

/**
 * True if bytes are as long as a key. Their elements say so, which no code of the caller does. They
 * are also faster to ask than the getter of the length.
 */
function isOfLength(bytes: Uint8Array): boolean {
  return bytes[ID_BYTES - 1] !== undefined && bytes[ID_BYTES] === undefined;
}

/** @throws {TypeError} or {RangeError} if it is no `Uint8Array` of 16 bytes. */
export function checkKeyBytes(key: unknown): asserts key is Uint8Array {
  if (!isBytes(key) || !isOfLength(key)) refuse(key, "key");
}

/** As `checkKeyBytes()`, for a key and a value. */
export function checkPairBytes(key: unknown, value: unknown): asserts value is Uint8Array {
  // Both types come first: a prototype that is a Proxy may detach the memory of the other one.
  if (!isBytes(key)) refuse(key, "key");
  if (!isBytes(value)) refuse(value, "value");
  if (!isOfLength(key)) refuse(key, "key");
  if (!isOfLength(value)) refuse(value, "value");
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
  return length;
}

/** True if the memory of a typed array is gone, or too small for it by now. */
function isDetached(bytes: ArrayBufferView): boolean {
  try {
    elementOf(bytes, 0);
    return false;
  } catch {
    return true;
  }
}

/** A copy for an append that waits, because the caller may change the bytes meanwhile. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(ID_BYTES);
  copy.set(bytes);
  return copy;
}

function refuse(given: unknown, name: string): never {
  if (isBytes(given)) {
    const length = lengthOf(given);
    const detached = length === 0 ? "; a detached one has none" : "";
    throw new RangeError(`Cannot use ${length} bytes as ${name}: it must have ${ID_BYTES} bytes${detached}`);
  }
  const hint = typeof given === "bigint" || typeof given === "number" ? BOTH_HINT : "";
  throw new TypeError(`Cannot use ${show(given)} as ${name}: it must be a Uint8Array of ${ID_BYTES} bytes${hint}`);
}
