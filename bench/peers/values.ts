// The values that callers log: 64-bit halves of content identifiers.

/**
 * Makes 64-bit values in no order. A peer makes its values beforehand, because making a bigint is
 * not a log's work.
 */
export function makeValues(count: number, seed = 0n): readonly bigint[] {
  const words = new BigUint64Array(count);
  let state = 0x9e3779b97f4a7c15n + seed;
  return Array.from(words, () => state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n));
}

/** Values one after another, big-endian, as a hash is written. */
export function bytesOf(values: readonly bigint[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 * values.length));
  values.forEach((value, i) => view.setBigUint64(8 * i, value));
  return new Uint8Array(view.buffer);
}
