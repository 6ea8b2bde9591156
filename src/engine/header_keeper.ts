// When a header is due, and what it says. A slot is reused only after both headers name a later
// tail.

import process from "node:process";
import type { Region } from "../../ffi/region.ts";
import { LONGEST_TIMER_MS } from "../arguments/numbers.ts";
import { assert } from "../assert.ts";
import { closedPositions, type Header, type HeaderPositions, type LogState, openPositions } from "../format/header.ts";
import type { Lineage } from "../format/lineage.ts";
import type { LSN } from "../types.ts";
import type { HybridClock } from "./hybrid_clock.ts";
import type { HeaderWriter } from "./header_writer.ts";
import type { Health } from "./health.ts";
import type { Holds } from "./holds.ts";
import type { Positions } from "./positions.ts";
import { QuietTimer } from "./quiet_timer.ts";
import type { RingMemory } from "./ring_memory.ts";

/**
 * A header is due when this part of the ring has been released since the last header. It is due
 * earlier if less than that is free.
 */
const HEADER_PART = 8;

/** The headers of one open log. */
export class HeaderKeeper {
  readonly #writer: HeaderWriter;
  readonly #memory: RingMemory;
  readonly #positions: Positions;
  readonly #holds: Holds;
  readonly #health: Health;
  readonly #clock: HybridClock;
  readonly #idleDelayMs: number;
  readonly #schedule: () => void;
  readonly #idleTimer = new QuietTimer();
  #isRequested = false;

  /**
   * @param idleDelayMs after this time without a sync a header is due.
   * @param schedule makes a commit run soon, which writes the header that is due.
   */
  constructor(
    writer: HeaderWriter,
    memory: RingMemory,
    positions: Positions,
    holds: Holds,
    health: Health,
    clock: HybridClock,
    idleDelayMs: number,
    schedule: () => void,
  ) {
    assert(writer.settledTail === positions.settledTail, "an opening starts with the tail that both headers know");
    writer.positions = positions;
    this.#writer = writer;
    this.#memory = memory;
    this.#positions = positions;
    this.#holds = holds;
    this.#health = health;
    this.#clock = clock;
    this.#idleDelayMs = idleDelayMs;
    this.#schedule = schedule;
  }

  /** The header as it was last written. */
  get latest(): Header {
    return this.#writer.latest;
  }

  /** The state that the next header has, and the header of a backup. */
  get state(): LogState {
    const { tail, head, checkpointed: checkpoint } = this.#positions;
    const { nanos: timeNanos, seq: timeSeq } = this.#clock;
    return { tail, head, checkpoint, timeNanos, timeSeq, consumers: this.#holds.entries };
  }

  /** The header of a new file for this log, in which everything appended is durable. */
  withCapacity(capacity: number): Header {
    const { erasing: _, ...latest } = this.latest;
    const positions = openPositions(this.state, this.#positions.last, process.pid);
    return { ...latest, ...positions, capacity, writeCounter: latest.writeCounter + 2 };
  }

  /** Goes on in a new file, both of whose copies have this header. */
  moveTo(region: Region, header: Header): void {
    this.#isRequested = false;
    this.#writer.moveTo(region, header);
  }

  get lineage(): Lineage {
    return this.#writer.latest.lineage;
  }

  /** Header syncs so far. */
  get syncs(): number {
    return this.#writer.syncs;
  }

  /** @param isWaitedFor true while appends wait for room. */
  isDue(isWaitedFor: boolean): boolean {
    const { tail, settledTail, head, capacity } = this.#positions;
    const unwritten = tail - this.#writer.latest.tail;
    const unsettled = tail - settledTail;
    const free = settledTail + capacity - head;
    assert(unwritten >= 0, "no header names a tail that is still to come");
    return this.#isRequested || unwritten >= capacity / HEADER_PART ||
      (unsettled > 0 && (isWaitedFor || unsettled >= free));
  }

  /** Writes the header and makes it durable before it returns. */
  write(change: Partial<HeaderPositions> = {}): void {
    this.#isRequested = false;
    const startMs = this.#health.events.headerStarts();
    try {
      this.#writer.write({ ...this.#positionsNow(), ...change });
      this.#memory.file.check();
    } catch (error) {
      throw this.#health.fail(error);
    }
    assert(this.#writer.latest.tail === this.#positions.tail, "the newest header names the tail");
    this.#health.events.headerEnds(startMs, this.#writer.latest);
    this.#positions.assertConsistent();
  }

  /** As `write()`, off the JavaScript thread. */
  async writeAsync(): Promise<void> {
    this.#isRequested = false;
    const startMs = this.#health.events.headerStarts();
    await this.#writer.writeAsync(this.#positionsNow());
    this.#health.events.headerEnds(startMs, this.#writer.latest);
  }

  /** Marks the log clean, as the last write of the opening. */
  writeClean(): void {
    const { head, durable } = this.#positions;
    const startMs = this.#health.events.headerStarts();
    try {
      assert(durable === head - 1, "a log is marked clean when all of it is durable");
      this.#writer.write(closedPositions(this.state, process.pid));
      this.#memory.region.verify();
    } catch (error) {
      throw this.#health.fail(error);
    }
    this.#health.events.headerEnds(startMs, this.#writer.latest);
  }

  /**
   * Frees the slots for new records up to `end`, if their old records are released. That takes one
   * header write or two.
   */
  settleTail(end: LSN): void {
    const positions = this.#positions;
    const { capacity } = positions;
    while (end > positions.settledTail + capacity && positions.settledTail < positions.tail) this.write();
    const isSettled = positions.settledTail === positions.tail || end <= positions.settledTail + capacity;
    assert(isSettled, "both headers name the tail before its slots are reused");
  }

  /**
   * Makes a header with the durable LSN due when the log is idle. Otherwise nothing in the file
   * would prove that the last group was acknowledged.
   */
  noteWhenIdle(): void {
    const { durable } = this.#positions;
    if (durable <= this.#writer.latest.durable) return;
    if (this.#idleTimer.isSet || this.#idleDelayMs > LONGEST_TIMER_MS) return;
    this.#idleTimer.set(this.#idleDelayMs, () => {
      if (!this.#health.isGood) return;
      if (this.#positions.durable !== durable) return this.noteWhenIdle();
      assert(this.#positions.tail - 1 <= durable, "an idle log has released only durable records");
      this.#isRequested = true;
      this.#schedule();
    });
  }

  /** Ends the opening: no header is due any more. */
  end(): void {
    this.#idleTimer.clear();
    assert(!this.#idleTimer.isSet, "no timer outlives its log");
  }

  #positionsNow(): HeaderPositions {
    assert(this.#health.isGood, "a log that has failed writes no header");
    return openPositions(this.state, this.#positions.durable, process.pid);
  }
}

/** Writes both copies, so that whichever is lost, the other one says the same. */
export function writeBoth(header: HeaderKeeper, change: Partial<HeaderPositions> = {}): void {
  header.write(change);
  header.write();
}
