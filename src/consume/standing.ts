// How far a consumer is: what its store has, and where it begins.

import type { EngineParts } from "../engine/parts.ts";
import { WALConsumerLostError } from "../errors.ts";
import type { LSN } from "../types.ts";

/** The standing of the consumer of one name in an open log. */
export class Standing {
  /** `""` for the unnamed consumer. */
  readonly name: string;
  readonly #log: EngineParts;

  constructor(name: string, log: EngineParts) {
    this.name = name;
    this.#log = log;
  }

  /** False for a new consumer that has not begun yet. */
  get isRegistered(): boolean {
    return this.#log.holds.get(this.name) !== undefined;
  }

  /** The newest record that is in the store. */
  get applied(): LSN {
    return this.#log.holds.get(this.name)?.applied ?? this.startLsn;
  }

  /** The newest record that the store has durably. */
  get confirmed(): LSN {
    return this.#log.holds.get(this.name)?.confirmed ?? this.startLsn;
  }

  /** A store that saves no LSN begins after this record. */
  get startLsn(): LSN {
    const { holds, positions: { tail, confirmed } } = this.#log;
    const hold = holds.get(this.name);
    if (hold !== undefined) return Math.max(hold.confirmed, tail - 1);
    // The log may know from a checkpoint what the unnamed consumer's store has.
    return this.name === "" && holds.all.length === 0 ? Math.max(confirmed, tail - 1) : tail - 1;
  }

  /**
   * True if appends wait, and this consumer has no record left to apply, so that it has skipped the
   * rest: the LSN of its store does not pass what was skipped. Once the log knows that, true only
   * if its store lacks a record that is in the way.
   */
  get isInTheWay(): boolean {
    const { holds, positions: { last, durable }, room } = this.#log;
    const hold = holds.get(this.name);
    if (room.length === 0 || hold === undefined || hold.isLost || hold.applied < last || durable < last) return false;
    return hold.confirmed < last && (!hold.hasSkippedRest || hold.confirmed < room.inTheWay());
  }

  /** The error of a consumer that the log has given up; null for any other. */
  get loss(): WALConsumerLostError | null {
    const hold = this.#log.holds.get(this.name);
    if (hold?.isLost !== true) return null;
    return new WALConsumerLostError(this.name, hold.confirmed, this.#log.positions.tail);
  }
}
