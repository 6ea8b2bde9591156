// How long syncs take, and so whether the next one runs on the JavaScript thread or off it.

import type { FlushOption } from "../arguments/options.ts";
import { Histogram } from "./histogram.ts";

/** In adaptive mode, syncs that take longer than this on average go off the thread … */
const SLOW_SYNC_MS = 1;
/** … and come back when they take less than this off the thread, with the wait for the thread. */
const FAST_SYNC_MS = 0.5;
/** Weight of the newest sync in the moving average. */
const AVERAGE_WEIGHT = 0.125;

/** The syncs of one open log. */
export class SyncPace {
  readonly #option: FlushOption;
  /** Starts at 0, so that one slow sync at the start does not change the mode. */
  #averageMs = 0;
  #mode: "inline" | "offload";
  #syncs = 0;
  #records = 0;
  readonly latency: Histogram = new Histogram();

  constructor(option: FlushOption) {
    this.#option = option;
    this.#mode = option === "offload" ? "offload" : "inline";
  }

  /** Where the next commit waits. */
  get mode(): "inline" | "offload" {
    return this.#mode;
  }

  /** How long a sync takes: a moving average. */
  get averageMs(): number {
    return this.#averageMs;
  }

  /** Data syncs so far. */
  get syncs(): number {
    return this.#syncs;
  }

  /** The records that these syncs made durable. */
  get records(): number {
    return this.#records;
  }

  /** Notes a sync. */
  note(ms: number, records: number, where: "inline" | "offload"): void {
    this.#syncs++;
    this.#records += records;
    this.latency.add(ms);
    // The sync of a cut group's half also took the time in which callers of the other half ran.
    if (where === "offload" && this.#mode === "inline") return;
    this.#averageMs += (ms - this.#averageMs) * AVERAGE_WEIGHT;
    if (this.#option !== "adaptive") return;
    const limitMs = this.#mode === "offload" ? FAST_SYNC_MS : SLOW_SYNC_MS;
    this.#mode = this.#averageMs > limitMs ? "offload" : "inline";
  }
}
