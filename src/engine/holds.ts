// The registered consumers: each holds the records that its store does not have durably, also while
// it does not run. The header has a table of them. A new consumer, or a lost one, holds all records
// from its start on; it gets into the header when it begins.

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
  /** True if its store will not pass `confirmed` until more is appended than is applied. */
  hasSkippedRest = false;

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
  /** What consumers without a hold of their own hold from their start until they begin. */
  readonly #beginning = new Map<string, Hold>();

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

  /** What consumers hold that have not begun yet. */
  get beginning(): readonly Hold[] {
    return [...this.#beginning.values()].filter(({ isLost }) => !isLost);
  }

  /** True if the log has given up all consumers that there are. */
  get areLost(): boolean {
    return this.#all.size > 0 && this.holding.length === 0 && this.beginning.length === 0;
  }

  /** What the header says of them. */
  get entries(): ConsumerEntry[] {
    return this.all.map(({ name, isLost, confirmed, bounds }) => ({ name, isLost, lsn: confirmed, ...bounds }));
  }

  get(name: string): Hold | undefined {
    return this.#all.get(name);
  }

  /** Holds the records after an LSN until a consumer begins, if it holds none yet. */
  expect(name: string, after: LSN, bounds: Bounds): void {
    if (this.#all.get(name)?.isLost !== false) {
      this.#beginning.set(name, new Hold(name, after, { ...bounds, keepRecords: 0 }));
    }
  }

  /** Holds no more for a consumer that has ended. @returns false if it has begun. */
  expectNoMore(name: string): boolean {
    return this.#beginning.delete(name);
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
    hold.isLost = hold.hasSkippedRest = false;
    this.#all.set(name, hold);
    this.#beginning.delete(name);
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

  /**
   * The newest record that may be released.
   *
   * @param otherwise the same if no registered consumer holds any.
   * @param dropped a registered consumer that does not count any more.
   */
  releasable(otherwise: LSN = 0, dropped?: Hold): LSN {
    const holding = this.holding.filter((hold) => hold !== dropped);
    const registered = holding.length === 0 ? otherwise : Infinity;
    return Math.min(registered, ...[...holding, ...this.beginning].map(({ releasable }) => releasable));
  }

  /** Those without which records up to an LSN could be released, the furthest behind first. */
  blockers(through: LSN): readonly Hold[] {
    const blockers = [...this.beginning, ...this.holding].filter(({ releasable }) => releasable < through);
    return blockers.sort((a, b) => a.releasable - b.releasable);
  }

  /** The same, but without those that have a limit if others block: they are given up last. */
  inTheWay(through: LSN): readonly Hold[] {
    const blockers = this.blockers(through);
    const others = blockers.filter(({ bounds }) => bounds.maxLagRecords === 0);
    return others.length > 0 ? others : blockers;
  }
}

/** A consumer as a part of a sentence. */
export function consumerName(name: string): string {
  return name === "" ? "the unnamed consumer" : `consumer ${JSON.stringify(name)}`;
}
