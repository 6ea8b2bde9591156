// Reads runs of records that callers are given, one after another.

import { WALLaggedError } from "../errors.ts";
import { copyRecords } from "../read/copies.ts";
import type { LSN, WALRecord } from "../types.ts";
import type { FollowedLog } from "./followed_log.ts";
import { Window } from "./window.ts";

/** How many records are in the window. A run may be longer. */
const WINDOW_RECORDS = 4096;

/** A reader that goes on from run to run. */
export class RunReader {
  readonly #log: FollowedLog;
  #window: Window | null = null;
  #seed = 0;

  constructor(log: FollowedLog) {
    this.#log = log;
  }

  /** Verified copies of the records `first` to `last`. @throws as `Follower.records()`. */
  read(first: LSN, last: LSN): WALRecord[] {
    const { seed } = this.#log;
    if (this.#window === null || seed !== this.#seed) this.#window = new Window(this.#log, WINDOW_RECORDS, true);
    this.#seed = seed;
    try {
      return copyRecords(this.#window, first, last);
    } catch (error) {
      // A run may be longer than the window, and the caller is given none of it.
      if (!(error instanceof WALLaggedError)) throw error;
      throw new WALLaggedError(error.path, first, error.lastLsn);
    }
  }

  /** As `read()`, of about `count` records, but of whole batches. */
  readWhole(first: LSN, count: number): WALRecord[] {
    const { last, reader } = this.#log;
    let end = Math.min(last, first + count - 1);
    if (end < last) end = Math.max(reader.lastWhole(first, end), first - 1);
    for (let most = count; end < first; most *= 2) {
      // The batch is longer than the run.
      end = Math.min(last, first + most - 1);
      if (end < last) end = reader.lastWhole(first, end);
    }
    return this.read(first, end);
  }
}
