// What is in the stores, and what is released: whole batches, after all stores have them.

import { assert } from "../assert.ts";
import type { Slots } from "../format/record.ts";
import { type LSN, OpType } from "../types.ts";
import type { Health } from "./health.ts";
import type { Holds } from "./holds.ts";
import type { Positions } from "./positions.ts";
import { lastWhole, type RingMemory } from "./ring_memory.ts";

/** The part of the ring that is released at once if an append needs room that nobody makes. */
const RELEASED_PART = 8;

/** What releases need of their log. */
export interface ReleaseParts {
  readonly positions: Positions;
  readonly health: Health;
  readonly memory: RingMemory;
  readonly holds: Holds;
}

/** What the stores have. */
export interface Confirmation {
  /** All stores have everything up to this record. */
  readonly through: LSN;
  /** The last record up to `through` that stores are given; 0 if none is known. */
  readonly given: LSN;
}

/** The one writer of `tail`, `applied`, `confirmed` and `checkpointed`. */
export class Releases {
  readonly #parts: ReleaseParts;
  readonly #positions: Positions;
  readonly #slots: Slots;
  /** The last released record that stores are given; 0 if this opening has released none. */
  #releasedGiven: LSN = 0;

  constructor(parts: ReleaseParts, slots: Slots) {
    this.#parts = parts;
    this.#positions = parts.positions;
    this.#slots = slots;
    assert(slots.count === parts.positions.capacity, "the ring has a slot for each record that it can hold");
    this.followHolds();
  }

  /**
   * The last record up to an LSN that stores are given. No store is given a checkpoint, so no
   * store's `appliedLsn()` is the LSN of one. If a checkpoint named another checkpoint, every store
   * would be refused.
   */
  #lastGiven(through: LSN): LSN {
    const { tail } = this.#positions;
    if (through < tail) return this.#releasedGiven;
    const { memory } = this.#parts;
    memory.file.checkNowAndThen();
    let lsn = through;
    while (lsn >= tail && this.#slots.opTypeAt(memory.verified(lsn)) === OpType.Checkpoint) lsn--;
    assert(lsn <= through, "no later record is taken for one that is confirmed");
    return lsn < tail ? this.#releasedGiven : lsn;
  }

  /** The confirmation of an LSN. Reads records, which may throw, and changes nothing. */
  confirmation(through: LSN): Confirmation {
    const given = this.#lastGiven(through);
    assert(given <= Math.max(through, this.#releasedGiven), "only what is confirmed or released is checkpointed");
    return { through, given };
  }

  /** The last whole batch up to an LSN. Reads records, which may throw, and changes nothing. */
  releasable(through: LSN): Confirmation {
    const last = lastWhole(this.#parts.memory, Math.min(through, this.#positions.last));
    assert(last <= through, "only confirmed records are released");
    return this.confirmation(last);
  }

  /** Takes note of what all stores have durably. */
  note({ through, given }: Confirmation): void {
    const positions = this.#positions;
    positions.checkpointed = Math.max(positions.checkpointed, given);
    for (const hold of this.#parts.holds.holding) {
      if (through > hold.confirmed) hold.confirmed = through;
      if (through > hold.applied) hold.applied = through;
    }
    if (through > positions.confirmed) positions.confirmed = through;
    if (through > positions.applied) positions.applied = through;
    this.followHolds();
  }

  /** Takes the positions from the consumers. Without consumers that hold records, they stay. */
  followHolds(): void {
    const positions = this.#positions;
    const least = this.#parts.holds.least();
    if (least !== null) {
      positions.applied = least.applied;
      positions.confirmed = least.confirmed;
    }
    positions.assertConsistent();
  }

  /** Releases what no consumer holds. */
  releaseHeld(confirmation: Confirmation = this.releasable(this.#parts.holds.releasable())): void {
    this.note(confirmation); // so that a store that lacks a released record is refused
    this.release(confirmation);
  }

  /**
   * Releases records up to the end of a batch, and some more whole batches, so that not every
   * append needs a header.
   */
  releaseAtLeast(end: LSN, limit: LSN): void {
    const { tail, capacity } = this.#positions;
    const wanted = Math.max(end, tail - 1 + Math.floor(capacity / RELEASED_PART));
    const through = lastWhole(this.#parts.memory, Math.min(limit, wanted));
    if (through < end) return; // a record of the batch cannot be read
    const confirmation = this.confirmation(through);
    this.note(confirmation);
    this.release(confirmation);
  }

  /** Moves the tail past what is confirmed. */
  release({ through, given }: Confirmation): void {
    const positions = this.#positions;
    assert(through <= positions.confirmed, "only confirmed records are released");
    if (through < positions.tail) return;
    this.#releasedGiven = Math.max(this.#releasedGiven, given);
    positions.tail = through + 1;
    this.#parts.health.counts.truncations++;
    positions.assertConsistent();
  }
}
