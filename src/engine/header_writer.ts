// Writes the two header copies in turn, each durable before the other may be touched.

import type { Region } from "../../ffi/region.ts";
import { assert } from "../assert.ts";
import { type CopyIndex, type Header, type HeaderPositions, writeHeader } from "../format/header.ts";
import { HEADER_AT, HEADER_BYTES } from "../format/layout.ts";
import type { LSN } from "../types.ts";
import type { Positions } from "./positions.ts";

/** The header of one open log. */
export class HeaderWriter {
  readonly #region: Region;
  #latest: Header;
  /** The copy that `#latest` is in; the next write goes to the other one. */
  #latestCopy: CopyIndex;
  /** A write that is not known to be durable: the other copy is the only good one until it is. */
  #pending = false;
  /** Where `settledTail` is kept: whichever copy is lost, the other one names no slot before it. */
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

  /**
   * The lower one of the tails in the two copies, both durable: whichever copy is lost, the other one names no slot that comes before
   * it, so those slots may be used again. Before the first `write()` the other copy may be older than the latest, or damaged.
   */
  get settledTail(): LSN {
    return this.positions.settledTail;
  }

  /** The header as it was last written. */
  get latest(): Header {
    return this.#latest;
  }

  /**
   * Makes the newest copy durable, which was read from memory: the write that stored it may have
   * failed. Its page becomes dirty by a store of what is there. Written anew, the copy would be torn
   * for a moment, and a kill in that moment would bring the older copy's tail back.
   *
   * @throws {RegionError} `SYNC`.
   */
  makeDurable(): void {
    assert(!this.#pending, "the newest copy is made durable before the other one is written");
    const offset = HEADER_AT[this.#latestCopy];
    this.#region.pageIn(offset, HEADER_BYTES, "store");
    const words = new Int32Array(this.#region.buffer, offset, 1);
    // Atomic, so that no compiler may drop a store of what is there already.
    Atomics.store(words, 0, Atomics.load(words, 0));
    this.#sync();
  }

  /**
   * Writes the older copy and makes it durable. While a `writeAsync()` is pending, that write is made durable first.
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
    this.syncs++;
    await this.#region.syncAsync(offset, HEADER_BYTES);
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
    writeHeader(this.#region.buffer, copy, this.#latest);
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
