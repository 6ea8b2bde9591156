// Whether a log is open, and the first failure after which it promises nothing more.

import { assert } from "../assert.ts";
import { toWALError, WALClosedError, WALError, WALIOError } from "../errors.ts";
import type { Counts } from "./counts.ts";
import type { Events } from "./events.ts";
import type { Positions } from "./positions.ts";

/** The health of one opening of a log. */
export class Health {
  readonly counts: Counts;
  readonly events: Events;
  readonly #path: string | null;
  readonly #positions: Positions;
  readonly #listeners: ((poison: WALError) => void)[] = [];
  #isOpen = true;
  #poison: WALError | null = null;

  constructor(path: string | null, positions: Positions, counts: Counts, events: Events) {
    this.counts = counts;
    this.events = events;
    this.#path = path;
    this.#positions = positions;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Why nothing more is promised until the log is reopened; null while all is well. */
  get poison(): WALError | null {
    return this.#poison;
  }

  /** True while the log is open and has not failed. */
  get isGood(): boolean {
    return this.#isOpen && this.#poison === null;
  }

  /** Tells a part of the log when the log fails. Parts are told in the order of these calls. */
  onFailure(listener: (poison: WALError) => void): void {
    assert(this.isGood, "every part is told of a failure");
    this.#listeners.push(listener);
  }

  /** @throws {WALClosedError} if the log is closed. */
  mustBeOpen(action: string): void {
    if (!this.#isOpen) throw new WALClosedError(action);
  }

  /** @throws {WALClosedError} if the log is closed, and the first failure if there was one. */
  mustBeGood(action: string): void {
    this.mustBeOpen(action);
    if (this.#poison !== null) throw this.#poison;
  }

  /** The error that callers catch for a failure that may leave the log good. */
  translate(error: unknown): unknown {
    return this.counts.error(toWALError(error, this.#path, this.#positions.durable));
  }

  /** Poisons the log. @returns the first failure, because only the first one counts. */
  fail(error: unknown): WALError {
    if (this.#poison !== null) return this.#poison;
    const translated = this.translate(error);
    const poison = translated instanceof WALError
      ? translated
      : new WALIOError(this.#path, null, `Cannot go on with the log: ${String(error)}`, { cause: error });
    this.#poison = this.counts.error(poison);
    this.#positions.closeGate();
    this.events.poisoned(poison, this.#positions.durable);
    for (const listener of this.#listeners) listener(poison);
    return poison;
  }

  /** Ends the opening. */
  end(): void {
    assert(this.#isOpen, "a log is closed once");
    this.#isOpen = false;
    this.#positions.closeGate();
  }
}
