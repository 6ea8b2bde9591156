// How many records `applyBatch()` gets at once, so that a run holds the event loop for one turn
// only.
//
// A run cannot be interrupted, so its length follows from what the last runs took. If the store's
// transaction itself takes long, shorter runs make each record dearer. So now and then the length
// is doubled for one run, on trial. The cost of a record in it tells how long runs have to be.

import { TURN_BUDGET_MS } from "../../ffi/turn.ts";

/** Records in the first run: nothing is known of the store yet. */
const FIRST_RECORDS = 16;
/** A run of twice the length counts as cheaper if a record then costs this part or less. */
const CHEAPER = 0.85;
/** That is so if the transaction costs more than this part of the records. */
const DEAR_TRANSACTION = 2 * (1 - CHEAPER) / (2 * CHEAPER - 1);
/** What a trial has found is forgotten when a record costs this many times as much. */
const DEARER = 2;
/** Runs between two trials: while runs fit into a turn, and while they do not. */
const RUNS_BETWEEN_TRIALS = 32;
const LONG_RUNS_BETWEEN_TRIALS = 8;

/** The length of the next run. */
export class RunSize {
  readonly #most: number;
  #records: number;
  /** Runs shorter than this were found to be dearer, when a record cost `#leastMs`. */
  #least = 1;
  #leastMs = 0;
  /** What a record cost before the length was doubled for a trial; 0 outside of a trial. */
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

  /** A run has held the event loop for a time. */
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
    if (eachMs > DEARER * this.#leastMs) this.#least = 1; // what the trial found is no longer true
    if (this.#records > this.#least) {
      const records = Math.floor(TURN_BUDGET_MS / eachMs);
      this.#records = Math.max(this.#least, Math.min(this.#records, records));
      this.#untilTrial = 0;
    } else if (this.#untilTrial <= 0) {
      this.#least = Math.max(1, this.#least >> 1); // perhaps no longer true: the next trial tells
    }
  }
}

/** How long runs have to be, from a record's cost in a run and in a run of twice the length. */
function leastRecords(records: number, onceMs: number, twiceMs: number): number {
  const transactionMs = 2 * records * (onceMs - twiceMs);
  const recordMs = 2 * twiceMs - onceMs;
  return Math.max(1, Math.min(records, Math.floor(transactionMs / (DEAR_TRANSACTION * recordMs))));
}
