// Writes the two header copies in turn. A copy is written only while the other one is durable.

import type { Region } from "../../ffi/region.ts";
import { assert } from "../assert.ts";
import { type CopyIndex, type Header, type HeaderPositions, writeHeader } from "../format/header.ts";
import { HEADER_AT, HEADER_BYTES } from "../format/layout.ts";
import type { LSN } from "../types.ts";
import type { Positions } from "./positions.ts";

/** The header of one open log. */
export class HeaderWriter {
  #region: Region;
  #latest: Header;
  /** The copy that `#latest` is in; the next write goes to the other one. */
  #latestCopy: CopyIndex;
  /** True from a write until it is durable. Until then only the other copy is known to be good. */
  #pending = false;
  /** Where `settledTail` is kept. */
  positions: Pick<Positions, "settledTail">;
  /** The tail that is settled once the write in progress is durable. */
  #nextSettledTail: LSN;
  /** Header syncs so far. */
  syncs = 0;

  constructor(region: Region, latest: Header, latestCopy: CopyIndex) {
    this.#region = region;
    this.#latest = latest;
    this.#latestCopy = latestCopy;
    this.positions = { settledTail: latest.tail };
    this.#nextSettledTail = latest.tail;
  }

  /** Goes on in a new file. Both copies of its header are durable, and copy B is the newer one. */
  moveTo(region: Region, latest: Header): void {
    assert(latest.writeCounter > this.#latest.writeCounter, "a write that is pending in the old file counts no more");
    this.#region = region;
    this.#latest = latest;
    this.#latestCopy = 1;
    this.#nextSettledTail = latest.tail;
    this.#written();
  }

  /**
   * The lower tail of the two durable copies. Whichever copy is lost, the other one names no slot
   * before this tail, so these slots can be reused. Before the first `write()` only the latest copy
   * counts, because the other one may be older or damaged.
   */
  get settledTail(): LSN {
    return this.positions.settledTail;
  }

  /** The header as it was last written. */
  get latest(): Header {
    return this.#latest;
  }

  /**
   * Makes the newest copy durable. It was read from the page cache, and the write that stored it
   * may have failed. A store of what is already there makes its page dirty. A new write would tear
   * the copy for a moment, and a kill in that moment would bring the older copy's tail back.
   *
   * @throws {RegionError} `SYNC`.
   */
  makeDurable(): void {
    assert(!this.#pending, "the newest copy is made durable before the other one is written");
    const offset = HEADER_AT[this.#latestCopy];
    const { memory } = this.#region;
    this.#region.pageIn(offset, HEADER_BYTES, "store");
    const words = new Int32Array(memory.buffer, memory.at + offset, 1);
    // Atomic, because a compiler may drop a plain store of what is already there.
    Atomics.store(words, 0, Atomics.load(words, 0));
    this.#sync();
  }

  /**
   * Writes the older copy and makes it durable. A pending `writeAsync()` is made durable first.
   *
   * @throws {RegionError} `SYNC`.
   */
  write(positions: HeaderPositions): void {
    if (this.#pending) this.#sync();
    this.#store(positions);
    this.#sync();
    assert(!this.#pending, "a header that was written is durable");
  }

  /** As `write()`, off the JavaScript thread. One at a time. */
  async writeAsync(positions: HeaderPositions): Promise<void> {
    const offset = this.#store(positions);
    const counter = this.#latest.writeCounter;
    const region = this.#region;
    this.syncs++;
    try {
      await region.syncAsync(offset, HEADER_BYTES);
    } catch (error) {
      if (this.#region === region) throw error; // otherwise the header is durable in a new file
    }
    assert(this.#latest.writeCounter >= counter, "the write counter only goes up");
    if (this.#latest.writeCounter === counter) this.#written();
  }

  #store(positions: HeaderPositions): number {
    assert(!this.#pending, "a header copy is written only while the other one is durable");
    assert(positions.tail >= this.#latest.tail, "no header names an older tail than the one before");
    const copy = this.#latestCopy === 0 ? 1 : 0;
    this.#region.pageIn(HEADER_AT[copy], HEADER_BYTES, "store");
    const { erasing: _, ...latest } = this.#latest;
    this.#nextSettledTail = latest.tail;
    this.#latest = { ...latest, ...positions, writeCounter: this.#latest.writeCounter + 1 };
    this.#latestCopy = copy;
    this.#pending = true;
    writeHeader(this.#region.memory.bytes(), copy, this.#latest);
    return HEADER_AT[copy];
  }

  #sync(): void {
    this.syncs++;
    this.#region.sync(HEADER_AT[this.#latestCopy], HEADER_BYTES);
    this.#written();
  }

  #written(): void {
    this.#pending = false;
    assert(this.#nextSettledTail >= this.positions.settledTail, "the settled tail does not go back");
    assert(this.#nextSettledTail <= this.#latest.tail, "no header names a tail before the settled one");
    this.positions.settledTail = this.#nextSettledTail;
  }
}
