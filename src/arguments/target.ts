// The arrays that callers hand in to have a key or a value copied into them.

import { ID_BYTES } from "../format/big_endian.ts";
import { isBytes } from "./bytes.ts";
import { checkInteger, show } from "./numbers.ts";

/**
 * Checks that 16 bytes can be stored.
 *
 * @param at index of the first byte.
 * @throws {TypeError} if it is no `Uint8Array`, or one whose buffer was detached, or if `at` is no
 * number.
 * @throws {RangeError} if there are not 16 bytes from `at` on.
 */
export function checkTarget(into: Uint8Array, at: number): void {
  if (isBytes(into) && Number.isInteger(at) && at >= 0 && at <= into.length - ID_BYTES) return;
  refuse(into, at);
}

function refuse(into: Uint8Array, at: number): void {
  if (!isBytes(into)) {
    throw new TypeError(`Cannot copy ${ID_BYTES} bytes into ${show(into)}: it must be a Uint8Array`);
  }
  if ("detached" in into.buffer && into.buffer.detached) {
    throw new TypeError(`Cannot copy ${ID_BYTES} bytes into an array: its buffer is detached`);
  }
  if (into.length < ID_BYTES) {
    throw new RangeError(`Cannot copy ${ID_BYTES} bytes into an array of ${into.length}`);
  }
  checkInteger(at, "at", 0, into.length - ID_BYTES);
}
