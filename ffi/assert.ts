// Assertions: conditions that only a bug in this library can break. They stay on in production.

/** Thrown when the library contradicts itself. Please report it. */
export class WALAssertionError extends Error {
  /** The class's name. */
  override name = "WALAssertionError";
}

/** Throws unless the condition holds. `truth` says what the condition protects. */
export function assert(condition: boolean, truth: string): asserts condition {
  if (!condition) throw new WALAssertionError(`Assertion failed: ${truth}`);
}
