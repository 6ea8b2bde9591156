// What only a bug in this library can break: one condition, worded as the truth it protects, left
// on in production.

/** Thrown where the library contradicts itself. Please report it. */
export class WALAssertionError extends Error {
  /** The class's name. */
  override name = "WALAssertionError";
}

/** Throws unless the condition holds. */
export function assert(condition: boolean, truth: string): asserts condition {
  if (!condition) throw new WALAssertionError(`Assertion failed: ${truth}`);
}
