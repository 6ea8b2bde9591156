// A transaction of a store's database that stays open from one run of a consumer to the next.

import type { WALError } from "../errors.ts";

/** The transactions of a connection. Each method throws an error that is ready for the caller. */
export interface Transactions {
  mustBeGood(action: string): void;
  begin(action: string): void;
  /** Runs the body of the open transaction, which is rolled back if it throws. */
  run(action: string, body: () => number): number;
  /** Commits the open transaction, which made so many changes. */
  commit(action: string, changes: number): void;
}

const ACTION = "apply records";
const NONE_OPEN = -1;

/** The transaction of a consumer. */
export class JoinedTransaction {
  readonly #transactions: Transactions;
  /** Changes in the open transaction, or `NONE_OPEN`. */
  #changes = NONE_OPEN;
  /** Why runs were taken back while their consumer was not there. */
  #failure: WALError | null = null;

  constructor(transactions: Transactions) {
    this.#transactions = transactions;
  }

  /** A consumer begins anew. */
  begin(): void {
    this.end();
    this.#failure = null;
  }

  /**
   * Applies a run. If it throws, all runs since `begin()` are taken back, but for those that
   * `end()` has committed.
   */
  apply(body: () => number): void {
    this.#mustBeWhole();
    if (this.#changes === NONE_OPEN) {
      this.#transactions.begin(ACTION);
      this.#changes = 0;
    }
    const changes = this.#changes;
    this.#changes = NONE_OPEN;
    this.#changes = changes + this.#transactions.run(ACTION, body);
  }

  /** Commits all runs since `begin()`. */
  commit(): void {
    this.#mustBeWhole();
    this.end();
  }

  /** Commits the runs so far, for others that change or sync something. No-op if none is open. */
  end(): void {
    const changes = this.#changes;
    if (changes === NONE_OPEN) return;
    this.#changes = NONE_OPEN;
    try {
      this.#transactions.commit(ACTION, changes);
    } catch (error) {
      this.#failure = error as WALError;
      throw error;
    }
  }

  /** The database is closed, which rolls back what is open. */
  forget(): void {
    this.#changes = NONE_OPEN;
  }

  /** A consumer must not go on after runs that were taken back. */
  #mustBeWhole(): void {
    this.#transactions.mustBeGood(ACTION);
    if (this.#failure !== null) throw this.#failure;
  }
}
