// Appends records at the head. None of the caller's code runs here, because the arguments and the
// wall clock have been read before.

import type { Batch } from "../arguments/items.ts";
import { assert } from "../assert.ts";
import type { Slots } from "../format/record.ts";
import { slotOf } from "../format/ring.ts";
import type { HalfOrBytes, HybridTime, LSN, OpType, U64 } from "../types.ts";
import type { Counts } from "./counts.ts";
import type { HybridClock } from "./hybrid_clock.ts";
import type { HeaderKeeper } from "./header_keeper.ts";
import type { Health } from "./health.ts";
import type { Positions } from "./positions.ts";
import type { Retention } from "./retention.ts";
import type { RingMemory } from "./ring_memory.ts";
import type { WaitingRoom } from "./waiting_room.ts";
import type { WallClock } from "./wall_clock.ts";

/** Records of a batch that are made at once. They fit into the processor's first cache. */
const RUN_RECORDS = 256;

/** Returned in place of an LSN if the ring is full, or if others wait for room. */
export const NO_ROOM = -1;

/** What appending needs of its log. */
export interface AppenderParts {
  readonly positions: Positions;
  readonly health: Health;
  readonly memory: RingMemory;
  readonly header: HeaderKeeper;
  readonly room: WaitingRoom;
  readonly retention: Retention;
  readonly clock: HybridClock;
  readonly wall: WallClock;
}

/** Which records an appender writes. */
export interface AppenderOptions {
  /** The shard of each time that the log's clock gives. */
  readonly shard: number;
  /** How far a given time may be ahead of the clock. */
  readonly maxClockDriftMs: number;
}

/** The one writer of `head` and `sealed`. */
export class Appender {
  readonly #parts: AppenderParts;
  readonly #positions: Positions;
  readonly #slots: Slots;
  readonly #clock: HybridClock;
  readonly #counts: Counts;
  readonly #options: AppenderOptions;
  readonly #onBurst: () => void;
  /** Slot of the head. */
  #slot: number;
  /** The first append of each burst prepares. */
  #burstIsOpen = false;

  readonly #closeBurst = () => {
    assert(this.#burstIsOpen, "a burst is closed once");
    this.#burstIsOpen = false;
    this.#positions.closeGate();
    this.#parts.wall.refresh();
    const { health } = this.#parts;
    if (!health.isGood) return; // the file may be gone
    try {
      this.seal();
    } catch (error) {
      health.fail(error);
    }
  };

  /** @param onBurst called before the first append of each burst. */
  constructor(parts: AppenderParts, slots: Slots, options: AppenderOptions, onBurst: () => void) {
    this.#parts = parts;
    this.#positions = parts.positions;
    this.#slots = slots;
    this.#clock = parts.clock;
    this.#counts = parts.health.counts;
    this.#options = options;
    this.#onBurst = onBurst;
    this.#slot = slotOf(parts.positions.head, slots.count);
    assert(slots.count === parts.positions.capacity, "the head moves through all slots");
  }

  /**
   * Appends one record. Its fields are stored. `seal()` writes its checksum at the end of the
   * burst, or earlier if somebody syncs or reads. Key and value are given as `Slots.write()` takes
   * them.
   *
   * @param survives true if the record, and all before it, survive the process from now on.
   * @returns its LSN, or `NO_ROOM`.
   */
  tryAppend(
    opType: OpType,
    keyHigh: HalfOrBytes,
    keyLow: U64 | undefined,
    valueHigh: HalfOrBytes,
    valueLow: U64 | undefined,
    time?: HybridTime,
    survives: boolean = false,
  ): LSN {
    if (time !== undefined) this.#checkTime(time);
    const positions = this.#positions;
    if (positions.head >= positions.gate && !this.#prepare(1)) return NO_ROOM;
    const clock = this.#clock;
    let shard = this.#options.shard;
    if (time === undefined) {
      clock.tick();
    } else {
      clock.observe(time[0], time[1]);
      shard = time[2];
    }
    const slots = this.#slots;
    const lsn = positions.head;
    const slot = this.#slot;
    const distance = lsn - positions.durable;
    slots.write(slot, opType, 0, lsn, distance, clock, shard, keyHigh, keyLow, valueHigh, valueLow);
    positions.head = lsn + 1;
    this.#slot = slot + 1 === slots.count ? 0 : slot + 1;
    if (opType !== this.#counts.opType) this.#counts.begin(opType, lsn);
    if (survives) this.#sealThrough(lsn, slot);
    return lsn;
  }

  /** Seals the newest record, and all before it. Apart from `seal()`, because this is faster. */
  #sealThrough(lsn: LSN, slot: number): void {
    if (this.#positions.sealed < lsn - 1) return this.seal();
    this.#slots.seal(slot, 1);
    this.#positions.sealed = lsn;
  }

  /**
   * Writes the checksums that are missing, the oldest first: no sealed record follows one that is
   * not. From then on the records survive the process.
   */
  seal(): void {
    const positions = this.#positions;
    const slots = this.#slots;
    const count = positions.head - 1 - positions.sealed;
    if (count === 0) return;
    const slot = this.#slot - count;
    if (slot >= 0) {
      slots.seal(slot, count);
    } else {
      slots.seal(slot + slots.count, -slot);
      slots.seal(0, this.#slot);
    }
    positions.sealed = positions.head - 1;
  }

  /**
   * Appends a batch, sealed.
   *
   * @param time the first record's time; the times of the others follow it one by one.
   * @returns the LSN of its last record, or `NO_ROOM`. For an empty batch, the newest record's LSN.
   */
  tryAppendBatch(items: Batch, time?: HybridTime): LSN {
    this.#parts.health.mustBeGood("append");
    const positions = this.#positions;
    const { count } = items;
    if (count === 0) return positions.head - 1;
    if (time !== undefined) this.#checkTime(time);
    if (!this.#prepare(count)) return NO_ROOM;
    const clock = this.#clock;
    const slots = this.#slots;
    const capacity = slots.count;
    const { durable } = positions;
    const shard = time === undefined ? this.#options.shard : time[2];
    const end = positions.head + count;
    let lsn = positions.head;
    let slot = this.#slot;
    this.seal();
    if (time === undefined) clock.tick();
    else clock.observe(time[0], time[1]);
    for (let done = 0; lsn < end;) {
      if (done > 0) clock.next();
      const run = Math.min(end - lsn, RUN_RECORDS, capacity - slot, 1 + clock.timesLeft);
      const part = { items, from: done, count: run, endsBatch: lsn + run === end };
      slots.writeRun(slot, part, lsn, lsn - durable, clock, shard);
      lsn += run;
      done += run;
      slot = slot + run === capacity ? 0 : slot + run;
    }
    assert(slot === slotOf(end, capacity), "a batch ends where the next record begins");
    assert(end <= positions.gate, "a batch ends before the gate");
    this.#counts.batch(items, count, positions.head);
    positions.head = end;
    positions.sealed = end - 1;
    this.#slot = slot;
    positions.assertConsistent();
    return end - 1;
  }

  /** The ring has another capacity now, and its records other slots. */
  ringChanged(): void {
    this.#slot = slotOf(this.#positions.head, this.#slots.count);
    this.#positions.closeGate();
  }

  /** Checks what need not be checked for each append. @returns false if there is no room. */
  #prepare(count: number): boolean {
    const positions = this.#positions;
    const { health, memory, header, room, retention } = this.#parts;
    health.mustBeGood("append");
    if (!this.#burstIsOpen) this.#openBurst();
    if (count > positions.capacity) {
      throw new RangeError(`Cannot append a batch of ${count} records: the ring holds ${positions.capacity}`);
    }
    if (room.mustQueue) return false;
    const end = positions.head + count;
    if (!positions.hasRoom(count)) {
      if (end > positions.tail + positions.capacity && !retention.registry.makeRoom(count)) return false;
      header.settleTail(end);
      if (!positions.hasRoom(count)) return false;
    }
    assert(this.#slot === slotOf(positions.head, positions.capacity), "the next record is stored into the head's slot");
    memory.pageInTo(end);
    positions.gate = Math.min(positions.freeBefore + positions.capacity, memory.storableEnd);
    assert(end <= positions.gate, "an append stores into free slots that are paged in");
    return true;
  }

  #openBurst(): void {
    assert(this.#positions.gate === 0, "the gate is closed between two bursts");
    this.#burstIsOpen = true;
    queueMicrotask(this.#closeBurst);
    this.#parts.memory.file.checkNowAndThen();
    this.#onBurst();
  }

  /** Checks a given time against the log's last one and against the wall clock. */
  #checkTime([nanos, seq, shard]: HybridTime): void {
    const clock = this.#clock;
    const isLater = nanos > clock.nanos || (nanos === clock.nanos && seq >= clock.seq);
    if (!isLater) {
      throw new RangeError(
        `Cannot use [${nanos}, ${seq}, ${shard}] as time: the log is at [${clock.nanos}, ${clock.seq}] already`,
      );
    }
    const { maxClockDriftMs } = this.#options;
    if (maxClockDriftMs === Infinity) return;
    const aheadMs = Number(nanos - this.#parts.wall.nanos) / 1e6;
    if (aheadMs > maxClockDriftMs) {
      throw new RangeError(
        `Cannot use [${nanos}, ${seq}, ${shard}] as time: it is ${aheadMs} ms ahead of the clock, ` +
          `${maxClockDriftMs} ms are allowed`,
      );
    }
  }
}
