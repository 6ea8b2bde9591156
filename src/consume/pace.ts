// When a consumer gives way to others, and how much it takes on until then.

import { clearImmediate, setImmediate } from "node:timers";
import { type Turn, TURN_BUDGET_MS } from "../../ffi/turn.ts";
import { isPromise } from "./promises.ts";
import { RunSize } from "./run_size.ts";

/** Records that are read at once for a store that is given them one by one. */
const MOST_READ = 1024;
/** Records that such a store is given at most between two looks at the clock. */
const MOST_STRIDE = 64;

/** What the pace is told of the consumer. */
export interface Paced {
  readonly batchSize: number;
  /** The store takes runs whole. */
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
  /** Milliseconds from the reading of the last run to its end. */
  #runMs = 0;
  #startMs = 0;
  #stride = 1;
  #untilLook = 1;
  #lookedMs = 0;

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

  /** Records until the next look at the clock. */
  get untilLook(): number {
    return this.#untilLook;
  }

  /** Lets others run. */
  giveWay(): Promise<void> {
    return this.#turn.end();
  }

  /**
   * True if others are to run before the next run: a turn ends there rather than within a run, because what was read of the
   * log would grow old meanwhile.
   */
  begins(): boolean {
    this.#startMs = this.#nowMs();
    return this.#turn.isOver(this.#startMs, this.#runMs);
  }

  /** A run has ended. */
  ends(): void {
    this.#runMs = this.#nowMs() - this.#startMs;
  }

  /** So many records were applied. @returns true if others are to run now. */
  goesOn(records: number): boolean {
    this.#untilLook -= records;
    return this.#untilLook <= 0 && this.#look();
  }

  /** Looks at the clock; more often if the store is slow. */
  #look(): boolean {
    const nowMs = this.#nowMs();
    const strideMs = nowMs - this.#lookedMs;
    if (strideMs > TURN_BUDGET_MS / 4) this.#stride = Math.max(1, this.#stride >> 1);
    else if (strideMs < TURN_BUDGET_MS / 16) this.#stride = Math.min(MOST_STRIDE, 2 * this.#stride);
    this.#untilLook = this.#stride;
    this.#lookedMs = nowMs;
    return this.#turn.isOver(nowMs);
  }

  /**
   * Hands a run to the store by a call, and lets the next one's length follow from how long that has held the event loop.
   *
   * @param isFirst the run was read just before, which counts too.
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
        // A store that lets the event loop go on while it waits holds it no longer than its call took.
        if (!hasTurned) heldMs = this.#nowMs() - startMs;
      }
      this.#size?.note(records, heldMs);
    } finally {
      clearImmediate(turned);
    }
  }
}
