// The registered consumers: each holds the records that its store does not have durably, also while
// it does not run. The header has a table of them.

import { assert } from "../assert.ts";
import type { ConsumerEntry } from "../format/consumer_table.ts";
import { MOST_CONSUMERS } from "../format/layout.ts";
import type { LSN } from "../types.ts";

/** How far behind a consumer may be, and what it keeps. */
export type Bounds = Pick<ConsumerEntry, "maxLagRecords" | "keepRecords">;

/** One registered consumer. */
export class Hold {
  /** `""` for the unnamed consumer. */
  readonly name: string;
  /** The newest record that is in its store. */
  applied: LSN;
  /** The newest record that its store has durably. */
  confirmed: LSN;
  bounds: Bounds;
  /** True if the log has given the consumer up. */
  isLost = false;
  /** True from a start further behind than the limit until the store is within the limit. */
  isCatchingUp = false;

  constructor(name: string, applied: LSN, bounds: Bounds) {
    this.name = name;
    this.applied = this.confirmed = applied;
    this.bounds = bounds;
  }

  /** The newest record that may be released as far as this consumer is concerned. */
  get releasable(): LSN {
    return this.confirmed - this.bounds.keepRecords;
  }
}

/** The registered consumers of one open log. */
export class Holds {
  /** In the order of their registration. */
  readonly #all = new Map<string, Hold>();

  constructor(entries: readonly ConsumerEntry[]) {
    for (const { name, lsn, isLost, maxLagRecords, keepRecords } of entries) {
      const hold = new Hold(name, Math.trunc(lsn), { maxLagRecords, keepRecords });
      hold.isLost = isLost;
      this.#all.set(name, hold);
    }
  }

  /** All registered consumers, also the lost ones. */
  get all(): readonly Hold[] {
    return [...this.#all.values()];
  }

  /** Those that hold records. */
  get holding(): readonly Hold[] {
    return this.all.filter(({ isLost }) => !isLost);
  }

  /** What the header says of them. */
  get entries(): ConsumerEntry[] {
    return this.all.map(({ name, isLost, confirmed, bounds }) => ({ name, isLost, lsn: confirmed, ...bounds }));
  }

  get(name: string): Hold | undefined {
    return this.#all.get(name);
  }

  /**
   * Registers a consumer, or moves a registered one to another position.
   *
   * @throws {RangeError} if the table is full.
   */
  set(name: string, applied: LSN, bounds: Bounds): Hold {
    if (!this.#all.has(name) && this.#all.size === MOST_CONSUMERS) {
      throw new RangeError(`Cannot register ${consumerName(name)}: the log has ${MOST_CONSUMERS} consumers already`);
    }
    const hold = this.#all.get(name) ?? new Hold(name, applied, bounds);
    hold.applied = hold.confirmed = applied;
    hold.bounds = bounds;
    hold.isLost = false;
    this.#all.set(name, hold);
    assert(this.#all.size <= MOST_CONSUMERS, "each consumer has an entry in the header");
    return hold;
  }

  /** @returns false if there is none. */
  delete(name: string): boolean {
    return this.#all.delete(name);
  }

  /** What all stores have, and what all have durably; null if no consumer holds records. */
  least(): { readonly applied: LSN; readonly confirmed: LSN } | null {
    let applied = Infinity;
    let confirmed = Infinity;
    for (const hold of this.#all.values()) {
      if (hold.isLost) continue;
      if (hold.applied < applied) applied = hold.applied;
      if (hold.confirmed < confirmed) confirmed = hold.confirmed;
    }
    return applied === Infinity ? null : { applied, confirmed };
  }

  /** The newest record that may be released; `Infinity` if no consumer holds any. */
  get releasable(): LSN {
    return Math.min(Infinity, ...this.holding.map(({ releasable }) => releasable));
  }

  /** Those without which records up to an LSN could be released, the furthest behind first. */
  blockers(through: LSN): readonly Hold[] {
    return this.holding.filter(({ releasable }) => releasable < through).sort((a, b) => a.releasable - b.releasable);
  }
}

/** A consumer as a part of a sentence. */
export function consumerName(name: string): string {
  return name === "" ? "the unnamed consumer" : `consumer ${JSON.stringify(name)}`;
}
