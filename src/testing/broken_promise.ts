// What a test of a store or a workload throws: which promise is broken, and how to replay it.

/** The number of a promise. */
export type PromiseNumber = "G1" | "G2" | "G3" | "G4" | "G5" | "G6" | "G10" | "G11";

/** The promises that a test can find broken. Their numbers are those of the documentation. */
const PROMISES: Readonly<Record<PromiseNumber, string>> = {
  G1: "what was acknowledged survives a crash",
  G2: "recovery returns a gapless prefix of what was appended",
  G3: "a batch is there whole or not at all",
  G4: "what a recovery discarded does not come back",
  G5: "damage is told apart from a crash, and the file stays as it is",
  G6: "a failed sync is final, and a reopening makes durable what it accepts",
  G10: "time never goes back",
  G11: "the store gets every durable record in order, has each once, and the log keeps a record until the store has it",
};

/** A promise was broken. The message says which, where, and how to replay it. */
export class BrokenPromiseError extends Error {
  /** Always `BrokenPromiseError`. */
  override name = "BrokenPromiseError";
  /** Which promise. */
  readonly promise: PromiseNumber;
  /** How it was broken: the first line of the message without the promise. */
  readonly finding: string;

  /**
   * Made by the tests in this module.
   *
   * @param where further lines: the seed, the history.
   */
  constructor(promise: PromiseNumber, finding: string, where = "", options?: ErrorOptions) {
    super(`${promise} is broken (${PROMISES[promise]}): ${finding}${where && `\n${where}`}`, options);
    this.promise = promise;
    this.finding = finding;
  }
}

/** An error as one line for a finding. */
export function textOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
