// How many records `applyBatch()` is handed at once, so that a run does not hold the event loop for longer than a turn.
//
// A run cannot be interrupted, so its length follows from what the last ones took. Where a transaction itself takes long,
// shorter runs make each record dearer. So the length is doubled now and then for one run: what a record costs in it tells
// how long runs have to be.

import { TURN_BUDGET_MS } from "../../ffi/turn.ts";

/** Records in the first run: nothing is known of the store yet. */
const FIRST_RECORDS = 16;
/** A run of twice the length is cheaper if it takes a record's cost down to this part. */
const CHEAPER = 0.85;
/** It does where the transaction costs more than this part of the records. */
const DEAR_TRANSACTION = 2 * (1 - CHEAPER) / (2 * CHEAPER - 1);
/** What a trial has found is forgotten when a record costs so many times as much. */
const DEARER = 2;
/** Runs between two trials, where runs are short enough and where they are not. */
const RUNS_BETWEEN_TRIALS = 32;
const LONG_RUNS_BETWEEN_TRIALS = 8;

/** The length of the next run. */
export class RunSize {
  readonly #most: number;
  #records: number;
  /** Shorter runs were found to be dearer, when a record cost so many milliseconds. */
  #least = 1;
  #leastMs = 0;
  /** Milliseconds of a record before the length was doubled for a trial; 0 outside one. */
  #beforeMs = 0;
  #untilTrial = 0;

  /** @param most records in a run at most. */
  constructor(most: number) {
    this.#most = most;
    this.#records = Math.min(most, FIRST_RECORDS);
  }

  /** Records in the next run. */
  get records(): number {
    return this.#records;
  }

  /** A run of so many records has held the event loop for so long. */
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
    if (eachMs > DEARER * this.#leastMs) this.#least = 1; // what was found is true no more
    if (this.#records > this.#least) {
      const records = Math.floor(TURN_BUDGET_MS / eachMs);
      this.#records = Math.max(this.#least, Math.min(this.#records, records));
      this.#untilTrial = 0;
    } else if (this.#untilTrial <= 0) {
      this.#least = Math.max(1, this.#least >> 1); // it may be so: the next trial tells
    }
  }
}

/** How long runs have to be, by what a record cost in a run and in one of twice the length. */
function leastRecords(records: number, onceMs: number, twiceMs: number): number {
  const transactionMs = 2 * records * (onceMs - twiceMs);
  const recordMs = 2 * twiceMs - onceMs;
  return Math.max(1, Math.min(records, Math.floor(transactionMs / (DEAR_TRANSACTION * recordMs))));
}
