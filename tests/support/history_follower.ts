// The follower of a random history: it reads the log as another process does, between any two
// steps, and while the writer is dead.

import { WALLaggedError, WALRewoundError } from "../../mod.ts";
import { takeFollowing } from "../../src/arguments/follow.ts";
import { Follower } from "../../src/follow/follower.ts";
import type { LogModel } from "../../src/testing/log_model.ts";
import type { FollowOptions } from "../../src/types.ts";
import { BrokenPromiseError, type SimulatedDisk } from "../../testing.ts";
import { simulatedReading } from "./simulated_reading.ts";

/** Follows one log, and compares what it is given with the model. */
export class HistoryFollower {
  readonly #follower: Follower;
  readonly #mode: FollowOptions["mode"];
  readonly #model: LogModel;
  /** The next record to read. */
  #next: number;
  /** True if a recovery has discarded a record that was read. */
  #mustRewind = false;

  constructor(disk: SimulatedDisk, path: string, mode: FollowOptions["mode"], model: LogModel) {
    const parts = { reading: simulatedReading(disk), storage: () => disk.storage };
    this.#follower = new Follower(path, takeFollowing({ mode }), parts);
    this.#next = this.#follower.tail;
    this.#mode = mode;
    this.#model = model;
  }

  /** A recovery has found the log to end before this LSN. */
  noteRecovery(head: number): void {
    this.#mustRewind ||= head < this.#next;
  }

  /**
   * Reads what is new. What a follower of durable records was given, no crash may take.
   *
   * @returns false if the log went back, so that it must be followed anew.
   * @throws {BrokenPromiseError} if a record is wrong, is missing, or is a part of a batch.
   */
  look(): boolean {
    try {
      for (const record of this.#follower.records({ from: this.#next })) {
        if (record.lsn !== this.#next) {
          throw new BrokenPromiseError("G2", `a follower was given LSN ${record.lsn} after LSN ${this.#next - 1}`);
        }
        this.#model.see(record);
        this.#next++;
      }
    } catch (error) {
      if (error instanceof WALRewoundError && this.#mustRewind && this.#mode === "appended") return false;
      if (!(error instanceof WALLaggedError) || error.firstLsn !== this.#next) throw error;
      this.#next = error.lastLsn + 1;
      return true;
    }
    const last = this.#next - 1;
    if (this.#mustRewind) throw new BrokenPromiseError("G2", `a follower keeps LSN ${last}, which was discarded`);
    if (this.#model.partsBatch(last)) {
      throw new BrokenPromiseError("G3", `a follower was given LSN ${last}, a part of a batch`);
    }
    if (this.#mode === "durable") this.#model.noteDurable(last);
    return true;
  }

  close(): void {
    this.#follower.close();
  }
}
