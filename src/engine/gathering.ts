// When a group has gathered enough callers: after a few microtasks, or earlier if it is large.

import { assert } from "../assert.ts";
import type { LSN } from "../types.ts";
import type { Positions } from "./positions.ts";

/**
 * The least number of microtasks for which a group gathers. Callers that one sync wakes need them
 * to come through their own awaits into the next group.
 */
const LEAST_HOPS = 3;
/** The most microtasks for which a group gathers, while each of them still adds records. */
const MOST_HOPS = 16;

/**
 * A group of more records is cut. Appending so many records takes as long as a sync, so one part is
 * synced on another thread while the next part is appended.
 */
const CUT_RECORDS = 1536;
/** In a small ring, a group is cut before it fills more than this part of the ring. */
const CUT_PART = 8;

/** @param syncsRangeAside as `Region.syncsRangeAside`. */
export function cutRecordsOf(syncsRangeAside: boolean): number {
  return syncsRangeAside ? CUT_RECORDS : Infinity;
}

/** The group that gathers callers. */
export class Gathering {
  readonly #positions: Positions;
  readonly #mostRecords: number;
  readonly #gathered: () => void;
  #isOn = false;
  #hops = 0;
  #headAtHop: LSN = 0;
  /** The group is cut when the head is past this LSN; `Infinity` while it cannot be. */
  #cutAt: LSN = Infinity;
  readonly #hop = () => this.#gather();

  /**
   * @param cutRecords a group of more records is cut in two; `Infinity` to cut none.
   * @param gathered called when the group has gathered its callers.
   */
  constructor(positions: Positions, cutRecords: number, gathered: () => void) {
    assert(cutRecords > 0, "a group of one record is not cut");
    this.#positions = positions;
    this.#mostRecords = cutRecords;
    this.#gathered = gathered;
  }

  /** True from `start()` to `end()`. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /** True if the group is large enough to be cut now. */
  get isCut(): boolean {
    return this.#positions.head > this.#cutAt;
  }

  /** True if a group that begins with this record is large enough to be cut. */
  isLarge(first: LSN): boolean {
    return this.#positions.head - first > this.#cutRecords;
  }

  /** A group of more records is cut in two. */
  get #cutRecords(): number {
    const most = this.#mostRecords;
    return most === Infinity ? most : Math.min(most, Math.ceil(this.#positions.capacity / CUT_PART));
  }

  /** Starts to gather. */
  start(): void {
    assert(!this.#isOn, "one group gathers at a time");
    this.#isOn = true;
    this.#hops = 0;
    this.#cutAt = this.#positions.durable + 1 + this.#cutRecords;
    this.#headAtHop = this.#positions.head;
    queueMicrotask(this.#hop);
  }

  /** Cuts the group no more, because a sync of all its records has started. */
  syncStarted(): void {
    this.#cutAt = Infinity;
  }

  /** Ends gathering, because the group's commit begins. */
  end(): void {
    assert(this.#isOn, "a commit ends what was gathered for it");
    this.#isOn = false;
  }

  #gather(): void {
    assert(this.#isOn, "a group gathers until its commit");
    const head = this.#positions.head;
    const hops = ++this.#hops;
    const grew = head !== this.#headAtHop;
    this.#headAtHop = head;
    if (hops < LEAST_HOPS || (grew && hops < MOST_HOPS)) queueMicrotask(this.#hop);
    else this.#gathered();
  }
}
