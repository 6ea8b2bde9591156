// When a consumer gives way to others, and how many records it handles before that.

import { clearImmediate, setImmediate } from "node:timers";
import { type Turn, TURN_BUDGET_MS } from "../../ffi/turn.ts";
import { isPromise } from "./promises.ts";
import { RunSize } from "./run_size.ts";

/** The most records that are read at once for a store that takes them one by one. */
const MOST_READ = 1024;
/** The most records that such a store gets between two readings of the clock. */
const MOST_STRIDE = 64;

/** What the pace depends on. */
export interface Paced {
  readonly batchSize: number;
  /** True if the store has `applyBatch()`. */
  readonly takesRuns: boolean;
  readonly turn: Turn;
  readonly nowMs: () => number;
}

/** The pace of one consumer. */
export class Pace {
  readonly #turn: Turn;
  readonly #nowMs: () => number;
  readonly #size: RunSize | null;
  readonly #mostRead: number;
  /** How long the last run took, from reading its records to its end. */
  #runMs = 0;
  #startMs = 0;
  /** Records between two readings of the clock. */
  #stride = 1;
  #untilReading = 1;
  #readMs = 0;

  constructor({ batchSize, takesRuns, turn, nowMs }: Paced) {
    this.#turn = turn;
    this.#nowMs = nowMs;
    this.#size = takesRuns ? new RunSize(batchSize) : null;
    this.#mostRead = Math.min(batchSize, MOST_READ);
  }

  /** Records in the next run. */
  get records(): number {
    return this.#size === null ? this.#mostRead : this.#size.records;
  }

  /** Records until the clock is read again. */
  get untilReading(): number {
    return this.#untilReading;
  }

  /** Lets others run. */
  giveWay(): Promise<void> {
    return this.#turn.end();
  }

  /**
   * True if others must run before the next run. A turn ends before a run rather than within it,
   * because records that were read would grow old meanwhile.
   */
  mustGiveWay(): boolean {
    this.#startMs = this.#nowMs();
    return this.#turn.isOver(this.#startMs, this.#runMs);
  }

  /** Notes the end of a run. */
  endRun(): void {
    this.#runMs = this.#nowMs() - this.#startMs;
  }

  /** Counts applied records. @returns true if others must run now. */
  mustGiveWayAfter(records: number): boolean {
    this.#untilReading -= records;
    return this.#untilReading <= 0 && this.#readClock();
  }

  /** Reads the clock. The next reading comes sooner if the store is slow. */
  #readClock(): boolean {
    const nowMs = this.#nowMs();
    const strideMs = nowMs - this.#readMs;
    if (strideMs > TURN_BUDGET_MS / 4) this.#stride = Math.max(1, this.#stride >> 1);
    else if (strideMs < TURN_BUDGET_MS / 16) this.#stride = Math.min(MOST_STRIDE, 2 * this.#stride);
    this.#untilReading = this.#stride;
    this.#readMs = nowMs;
    return this.#turn.isOver(nowMs);
  }

  /**
   * Hands a run to the store. The time for which the call holds the event loop decides the length
   * of the next run.
   *
   * @param isFirst true if the run was read just before. Then the time of reading counts too.
   */
  async handOver(records: number, isFirst: boolean, call: () => unknown): Promise<void> {
    const startMs = isFirst ? this.#startMs : this.#nowMs();
    let hasTurned = false;
    const turned = setImmediate(() => hasTurned = true);
    try {
      const pending = call();
      let heldMs = this.#nowMs() - startMs;
      if (isPromise(pending)) {
        await pending;
        // If the event loop went on while the store waited, only the call itself held it.
        if (!hasTurned) heldMs = this.#nowMs() - startMs;
      }
      this.#size?.note(records, heldMs);
    } finally {
      clearImmediate(turned);
    }
  }
}
