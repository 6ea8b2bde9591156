// The values that callers log: 64-bit halves of content identifiers.

/**
 * Makes 64-bit values in no order. A peer makes its values beforehand, because making a bigint is
 * not a log's work.
 */
export function makeValues(count: number): readonly bigint[] {
  const words = new BigUint64Array(count);
  let state = 0x9e3779b97f4a7c15n;
  return Array.from(words, () => state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n));
}
