// The ring as memory. No other file above `Region` knows of page faults, folios and SIGBUS:
//
//   - A load or a store past the end of a file that was cut kills the process (SIGBUS), and so does
//     a load that the medium cannot serve. So the file is checked and pages are paged in first.
//   - A page fault for each page of the ring costs ten times as much as one call for many pages.
//   - A kernel may hold the pages of an older log in large pieces (folios), and a store makes it
//     write the whole piece. So the kernel releases each piece once, before the first lap stores
//     into it.

import { REFRESH_BYTES, type Region } from "../../ffi/region.ts";
import { assert } from "../assert.ts";
import { WALIOError, WALSpaceError } from "../errors.ts";
import { type Slots, SlotState } from "../format/record.ts";
import { type ByteRange, rangesOf, slotOf } from "../format/ring.ts";
import { damage, type ReadSource } from "../read/source.ts";
import type { LSN } from "../types.ts";
import type { FileCheck } from "./file_check.ts";
import type { Health } from "./health.ts";
import type { Positions } from "./positions.ts";

/** How many records are paged in by one call, ahead of the head: 64 KiB. */
const PAGE_IN_RECORDS = 1024;
/** How many records before and after a record that is read are paged in with it. */
const READABLE_RECORDS = 64;

/** The large pieces in which the kernel may hold the pages of a file that was there before. */
class OldFolios {
  readonly #end: LSN;
  /** The piece of the file that the kernel released last. */
  #releasedPiece = -1;

  /** @param end records before this LSN may lie in such pieces; 0 for a file of our own making. */
  constructor(end: LSN) {
    this.#end = end;
  }

  /** Releases the piece at `offset`, into which records up to `last` are stored next. */
  release(region: Region, offset: number, last: LSN): void {
    const piece = Math.floor(offset / REFRESH_BYTES);
    if (last >= this.#end || piece === this.#releasedPiece) return;
    this.#releasedPiece = piece;
    const start = piece * REFRESH_BYTES;
    region.release(start, Math.min(REFRESH_BYTES, region.memory.sizeBytes - start), "kernel");
  }
}

/** The memory of one open log. */
export class RingMemory implements ReadSource {
  readonly path: string | null;
  region: Region;
  readonly file: FileCheck;
  readonly #slots: Slots;
  readonly #positions: Positions;
  readonly #health: Health;
  readonly #seal: () => void;
  #folios: OldFolios;
  /** Records from this LSN on were stored into this mapping. Their pages are there. */
  #ownFrom: LSN;
  /** Records before this LSN can be stored, because their pages are paged in. */
  storableEnd: LSN;
  /** The older records that were paged in last: from this LSN … */
  #readableFrom: LSN = 0;
  /** … to the one before this LSN. */
  #readableEnd: LSN = 0;

  /** @param seal writes the checksums that are missing. */
  constructor(
    region: Region,
    slots: Slots,
    positions: Positions,
    health: Health,
    file: FileCheck,
    seal: () => void,
  ) {
    this.path = region.path;
    this.region = region;
    this.file = file;
    this.#slots = slots;
    this.#positions = positions;
    this.#health = health;
    this.#seal = seal;
    this.#ownFrom = this.storableEnd = positions.firstLsn;
    this.#folios = new OldFolios(region.created ? 0 : positions.firstLsn + slots.count);
  }

  get tail(): LSN {
    return this.#positions.tail;
  }

  /**
   * Goes on in the region of a new file, in which all records are durable. An error leaves the old
   * region in use.
   */
  moveTo(region: Region, capacity: number): void {
    this.#slots.moveTo(region.memory, capacity);
    this.region = this.file.region = region;
    this.#ownFrom = this.storableEnd = this.#positions.head;
    this.#folios = new OldFolios(0);
    this.#readableFrom = this.#readableEnd = 0;
  }

  slots(): Slots {
    this.#health.mustBeOpen("read");
    return this.#slots;
  }

  counted<Thrown>(error: Thrown): Thrown {
    return this.#health.counts.error(error);
  }

  // Storing.

  /** Pages in the slots of records before `end`, to be stored into. */
  pageInTo(end: LSN): void {
    while (this.storableEnd < end) this.#pageInNext();
    assert(this.storableEnd >= end, "a record is stored into a page that is there");
  }

  /** Pages in the next records, as far as the next multiple of the step or the end of the ring. */
  #pageInNext(): void {
    const slot = slotOf(this.storableEnd, this.#slots.count);
    const step = Math.min(PAGE_IN_RECORDS - (slot % PAGE_IN_RECORDS), this.#slots.count - slot);
    const last = this.storableEnd + step - 1;
    const ranges = rangesOf(this.storableEnd, last, this.#slots.count);
    assert(ranges.length === 1, "a step does not cross the end of the ring");
    const [{ offset, length }] = ranges as [ByteRange];
    try {
      this.#folios.release(this.region, offset, last);
      this.region.pageIn(offset, length, "store");
    } catch (error) {
      // Without space nothing was stored and nothing is lost, so only this append fails.
      const translated = this.#health.translate(error);
      throw translated instanceof WALSpaceError ? translated : this.#health.fail(error);
    }
    this.storableEnd = last + 1;
  }

  // Reading.

  makeReadable(first: LSN, last: LSN): void {
    this.#health.mustBeOpen("read");
    this.file.check();
    this.#seal();
    try {
      // Recent records too, because the kernel may have written and evicted their pages.
      for (const { offset, length } of rangesOf(first, last, this.#slots.count)) {
        this.region.pageIn(offset, length, "load");
      }
    } catch (error) {
      // A record that cannot be read is no reason to stop appending.
      const translated = this.#health.translate(error);
      throw translated instanceof WALIOError ? translated : this.#health.fail(error);
    }
  }

  release(offset: number, length: number): void {
    this.region.release(offset, length, "process");
  }

  /** The slot of a retained record, paged in. Callers read records in LSN order, up or down. */
  readable(lsn: LSN): number {
    const { tail, head } = this.#positions;
    assert(lsn >= tail && lsn < head, "only retained records are read");
    this.#seal();
    const isKnown = lsn >= this.#ownFrom || (lsn >= this.#readableFrom && lsn < this.#readableEnd);
    if (!isKnown) {
      const first = Math.max(tail, lsn - READABLE_RECORDS);
      const end = Math.min(head, lsn + READABLE_RECORDS);
      this.makeReadable(first, end - 1);
      this.#readableFrom = first;
      this.#readableEnd = end;
    }
    return slotOf(lsn, this.#slots.count);
  }

  /** The slot of a retained record, paged in and verified. */
  verified(lsn: LSN): number {
    const slot = this.readable(lsn);
    if (this.#slots.verify(slot, lsn) !== SlotState.Record) throw damage(this, lsn);
    return slot;
  }

  // Syncing.

  /**
   * Makes records durable before it returns, and checks that their file is still the log's.
   *
   * @returns when the sync ended.
   */
  sync(first: LSN, last: LSN): number {
    this.#seal();
    try {
      for (const { offset, length } of rangesOf(first, last, this.#slots.count)) this.region.sync(offset, length);
    } catch (error) {
      throw this.#health.fail(error);
    }
    return this.file.check();
  }

  /** As `sync()`, off the JavaScript thread. */
  async syncAsync(first: LSN, last: LSN): Promise<void> {
    this.#seal();
    const { region } = this;
    try {
      for (const { offset, length } of rangesOf(first, last, this.#slots.count)) {
        await region.syncAsync(offset, length);
        if (this.region !== region) return; // the records are durable in a new file
      }
    } catch (error) {
      if (this.region === region) throw error;
    }
    if (this.#health.isOpen) this.file.check();
  }
}

/**
 * The last record up to an LSN that ends its batch; an LSN before the tail if there is none. The
 * records that are passed over are verified.
 */
export function lastWhole(memory: RingMemory, through: LSN): LSN {
  memory.file.checkNowAndThen();
  const slots = memory.slots();
  const { tail } = memory;
  let last = through;
  while (last >= tail && slots.batchGoesOn(memory.verified(last))) last--;
  return last;
}

/** The record up to `last` that ends the batch of a record. None of them is verified. */
export function endOfBatch(memory: RingMemory, lsn: LSN, last: LSN): LSN {
  const slots = memory.slots();
  while (lsn < last && slots.batchGoesOn(memory.readable(lsn))) lsn++;
  return lsn;
}
