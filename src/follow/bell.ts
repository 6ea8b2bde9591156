// How a follower waits: for the writer's doorbell, which is a write to the live file, and for a
// timer. The timer is short after a record or a ring, and longer the longer neither comes.
//
// The doorbell alone is not enough. Of two writes that are about a millisecond apart, Bun tells
// only of the first one.

import { clearTimeout, setTimeout } from "node:timers";
import type { ReadableFile, ReadingSystem } from "../../ffi/readable_file.ts";
import type { LiveView } from "./live_view.ts";

/** The delay of the first look after a record or a ring. */
const LEAST_MS = 1;
/**
 * With a doorbell, the delays up to this one are followed by the longest. Until then another live
 * file is noticed too.
 */
const MOST_AFTER_RING_MS = 32;

/** The waiting of one reader. */
export class Bell {
  readonly #reading: ReadingSystem;
  readonly #view: LiveView;
  readonly #longestMs: number;
  readonly #signal: AbortSignal;
  #delayMs = LEAST_MS;
  /** The live file that is watched. */
  #watched: ReadableFile | null = null;
  #unwatch: (() => void) | null = null;
  #hasRung = false;
  #wake: (() => void) | null = null;

  /**
   * @param longestMs no wait is longer.
   * @param signal ends the waits.
   */
  constructor(reading: ReadingSystem, view: LiveView, longestMs: number, signal: AbortSignal) {
    this.#reading = reading;
    this.#view = view;
    this.#longestMs = longestMs;
    this.#signal = signal;
    signal.addEventListener("abort", this.#ring);
  }

  /** Notes that a look has found records, so that more may come soon. */
  found(): void {
    this.#delayMs = LEAST_MS;
  }

  /** Resolves when it is time to look at the log, or the signal aborts. */
  async wait(limitMs = Infinity): Promise<void> {
    if (this.#hasRung || this.#signal.aborted) {
      this.#hasRung = false;
      return;
    }
    const isQuiet = this.#unwatch !== null && this.#delayMs > MOST_AFTER_RING_MS;
    const delayMs = Math.min(limitMs, isQuiet ? this.#longestMs : this.#delayMs);
    this.#delayMs = Math.min(2 * this.#delayMs, this.#longestMs);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, delayMs);
    await promise;
    clearTimeout(timer);
    this.#wake = null;
    this.#hasRung = false;
    if (!this.#signal.aborted) this.#attach();
  }

  /** Ends the waiting. */
  close(): void {
    this.#signal.removeEventListener("abort", this.#ring);
    this.#detach();
    this.#ring();
  }

  readonly #ring = () => {
    this.#hasRung = true;
    this.#delayMs = LEAST_MS;
    this.#wake?.();
  };

  #detach(): void {
    this.#unwatch?.();
    this.#unwatch = this.#watched = null;
  }

  /**
   * Watches the live file that is there now, before a look, because earlier writes were not told.
   *
   * Deno does not watch a path anew in the turn in which another watch of it ended. So a wait is
   * between the two.
   */
  #attach(): void {
    this.#view.find();
    if (this.#view.file === this.#watched) return;
    this.#delayMs = LEAST_MS;
    if (this.#watched !== null) return this.#detach();
    this.#watched = this.#view.file;
    this.#unwatch = this.#reading.watch(this.#view.path, this.#ring);
  }
}
