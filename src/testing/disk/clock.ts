// A wall clock that does what tests want: it stalls, jumps, goes back.

/**
 * A wall clock under a test's control, in milliseconds since 1970. Give `now` to whoever asks for
 * the time.
 *
 * @example A log whose wall clock jumps back
 * ```ts
 * import { WAL } from "@cidstore/wal";
 * import { SimulatedClock } from "@cidstore/wal/testing";
 *
 * const clock = new SimulatedClock(Date.UTC(2026, 0, 1));
 * using wal = WAL.open(null, { now: clock.now });
 * wal.logInsertSync(1, 2, 3, 4);
 * clock.advance(-60_000);
 * wal.logInsertSync(5, 6, 7, 8);
 * const [first, second] = wal.replay();
 * console.log(first!.time[0] <= second!.time[0]); // true: the log's time goes on
 * ```
 */
export class SimulatedClock {
  #timeMs: number;
  #tickMs: number;
  #stalled = false;

  /**
   * A clock that runs.
   *
   * @param startMs its first reading.
   * @param tickMs how far it moves at each reading. @default {1}
   */
  constructor(startMs: number = Date.UTC(2026, 0, 1), tickMs = 1) {
    this.#timeMs = startMs;
    this.#tickMs = tickMs;
  }

  /**
   * Reads the clock, and moves it on by a tick unless it is stalled. Bound: it can be handed out as
   * a function.
   */
  readonly now = (): number => {
    const reading = this.#timeMs;
    if (!this.#stalled) this.#timeMs += this.#tickMs;
    return reading;
  };

  /** What the next reading will be. */
  get timeMs(): number {
    return this.#timeMs;
  }

  /** Moves the clock: a jump, back if negative. */
  advance(ms: number): void {
    this.#timeMs += ms;
  }

  /** Jumps to a time. Any number, `NaN` too: clocks have said stranger things. */
  set(timeMs: number): void {
    this.#timeMs = timeMs;
  }

  /** Stands still: each reading is the same until `resume()`. */
  stall(): void {
    this.#stalled = true;
  }

  /** Ends a stall. */
  resume(): void {
    this.#stalled = false;
  }
}
