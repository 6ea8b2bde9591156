// Where long batches end. Appends to a full ring ask for that, each at the record in its way.

import type { LSN } from "../types.ts";
import { endOfBatch, type RingMemory } from "./ring_memory.ts";

/** The ends of batches in one ring. Each record is read once, however often somebody asks. */
export class BatchEnds {
  readonly #memory: RingMemory;
  /** In their order: the records that were read of each batch. */
  #known: { first: LSN; readonly end: LSN }[] = [];

  constructor(memory: RingMemory) {
    this.#memory = memory;
  }

  /** The record that ends the batch of a record. Reads records, which may throw. */
  of(lsn: LSN, last: LSN): LSN {
    const at = this.#known.findIndex(({ end }) => end >= lsn);
    const next = this.#known[at];
    if (next !== undefined && next.first <= lsn) return next.end;
    const end = endOfBatch(this.#memory, lsn, next?.first ?? last);
    if (next !== undefined && end === next.first) {
      next.first = lsn;
      return next.end;
    }
    const { tail } = this.#memory;
    const known = [...this.#known, { first: lsn, end }].filter((batch) => batch.end >= tail);
    this.#known = known.sort((a, b) => a.end - b.end);
    return end;
  }
}
