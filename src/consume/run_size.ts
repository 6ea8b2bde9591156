// How many records `applyBatch()` gets at once, so that a run holds the event loop for one turn
// only.
//
// A run cannot be interrupted, so the times of the last runs decide the length of the next one. If
// the store's transaction itself takes long, each record costs more in a shorter run. So now and
// then one run is a trial, with twice as many records. If a record costs less in the trial, runs
// stay longer.

import { TURN_BUDGET_MS } from "../../ffi/turn.ts";

/** Records in the first run, before anything is known of the store. */
const FIRST_RECORDS = 16;
/** A run of twice the length counts as cheaper if a record then costs this part or less. */
const CHEAPER = 0.85;
/**
 * A run of twice the length is cheaper if the transaction costs more than this part of the records.
 */
const DEAR_TRANSACTION = 2 * (1 - CHEAPER) / (2 * CHEAPER - 1);
/**
 * The result of a trial is forgotten when a record costs this many times as much as in the trial.
 */
const COST_CHANGED = 2;
/** Runs between two trials: while runs fit into a turn, and while they do not. */
const RUNS_BETWEEN_TRIALS = 32;
const LONG_RUNS_BETWEEN_TRIALS = 8;

/** The length of the next run. */
export class RunSize {
  readonly #most: number;
  #records: number;
  /** A trial found that records cost more in runs shorter than this. */
  #least = 1;
  /** What a record cost in that trial. */
  #leastMs = 0;
  /** What a record cost before the length was doubled for a trial; 0 outside of a trial. */
  #beforeMs = 0;
  #untilTrial = 0;

  /** @param most the most records in a run. */
  constructor(most: number) {
    this.#most = most;
    this.#records = Math.min(most, FIRST_RECORDS);
  }

  /** Records in the next run. */
  get records(): number {
    return this.#records;
  }

  /** Notes for how long a run held the event loop. */
  note(records: number, heldMs: number): void {
    const eachMs = heldMs / records;
    if (this.#beforeMs > 0 && !this.#endTrial(eachMs, records >= this.#records)) return;
    const canGrow = records >= this.#records && this.#records < this.#most;
    if (heldMs < TURN_BUDGET_MS / 2) {
      if (canGrow) this.#double();
    } else if (canGrow && this.#untilTrial <= 0) {
      this.#beforeMs = eachMs;
      this.#double();
    } else {
      this.#untilTrial--;
      if (heldMs > TURN_BUDGET_MS) this.#shrink(eachMs);
    }
  }

  /** @returns true if the longer run was cheaper. */
  #endTrial(eachMs: number, isWhole: boolean): boolean {
    const beforeMs = this.#beforeMs;
    this.#beforeMs = 0;
    if (isWhole && eachMs <= CHEAPER * beforeMs) {
      this.#least = this.#records;
      this.#leastMs = eachMs;
      this.#untilTrial = this.#records < this.#most ? 0 : LONG_RUNS_BETWEEN_TRIALS;
      return true;
    }
    const records = Math.max(1, this.#records >> 1);
    this.#records = records;
    if (isWhole) {
      this.#least = leastRecords(records, beforeMs, eachMs);
      this.#leastMs = beforeMs;
    }
    this.#untilTrial = records * beforeMs > TURN_BUDGET_MS ? LONG_RUNS_BETWEEN_TRIALS : RUNS_BETWEEN_TRIALS;
    return false;
  }

  #double(): void {
    this.#records = Math.min(this.#most, 2 * this.#records);
  }

  #shrink(eachMs: number): void {
    if (eachMs > COST_CHANGED * this.#leastMs) this.#least = 1; // what the trial found is outdated
    if (this.#records > this.#least) {
      const records = Math.floor(TURN_BUDGET_MS / eachMs);
      this.#records = Math.max(this.#least, Math.min(this.#records, records));
      this.#untilTrial = 0;
    } else if (this.#untilTrial <= 0) {
      this.#least = Math.max(1, this.#least >> 1); // perhaps outdated: the next trial tells
    }
  }
}

/**
 * The least records of a run, from the cost of a record in a run and in one of twice the length.
 */
function leastRecords(records: number, onceMs: number, twiceMs: number): number {
  const transactionMs = 2 * records * (onceMs - twiceMs);
  const recordMs = 2 * twiceMs - onceMs;
  return Math.max(1, Math.min(records, Math.floor(transactionMs / (DEAR_TRANSACTION * recordMs))));
}
