// A follower as an object: the handle that stops it.

import type { TakenConsumer } from "../arguments/consumer.ts";
import { Consumer } from "../consume/consumer.ts";
import { givePositionBack } from "../consume/position.ts";
import { whenStopped } from "../consume/store_call.ts";
import { WALShipError, WALStoreError } from "../errors.ts";
import type { ConsumerStats, LSN } from "../types.ts";
import type { Source } from "./ports.ts";
import { type KnownOrigin, RemoteLog } from "./remote_log.ts";
import { lastLsnOf, readEnd } from "./target_end.ts";

/** A follower that `followFrom()` started. `await using` stops it. */
export interface Following extends AsyncDisposable {
  /** Resolves when the follower was stopped. Rejects when it was refused or has failed. */
  readonly done: Promise<void>;
  /** The highest LSN that is in the store; 0 before the follower has met the log. */
  readonly applied: LSN;
  /** The state of the follower, as `wal.stats().consumer` for a consumer. */
  readonly state: ConsumerStats;
  /**
   * How many records the source has that the store lacks. It asks the source, so it also rejects
   * with `WALShipError`.
   */
  lag(): Promise<number>;
  /** Stops the follower and returns `done`, which waits for the running call to the store. */
  stop(): Promise<void>;
}

/** Starts a follower. */
export function follow(source: Source, given: TakenConsumer, known: KnownOrigin | undefined): Following {
  return new Follower(source, given, known);
}

class Follower implements Following {
  readonly done: Promise<void>;
  readonly #source: Source;
  readonly #log: RemoteLog;
  readonly #stopping = new AbortController();
  readonly #signal: AbortSignal;

  constructor(source: Source, given: TakenConsumer, known: KnownOrigin | undefined) {
    this.#source = source;
    this.#log = new RemoteLog({ source, onError: given.onError });
    const { signal } = this.#stopping;
    this.#signal = given.signal === undefined ? signal : AbortSignal.any([signal, given.signal]);
    this.done = this.#run({ ...given, signal: this.#signal }, known);
  }

  get applied(): LSN {
    return this.#log.standing.applied;
  }

  get state(): ConsumerStats {
    return this.#log.watch.stats();
  }

  async lag(): Promise<number> {
    const read = async (place: number) => {
      const message = await this.#source.at(place);
      return message?.place === place ? message : null;
    };
    const { run } = await readEnd({ bounds: () => this.#source.bounds(), read });
    return Math.max(0, lastLsnOf(run, 0) - this.applied);
  }

  stop(): Promise<void> {
    this.#stopping.abort();
    return whenStopped(this.#signal, this.done);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #run(given: TakenConsumer, known: KnownOrigin | undefined): Promise<void> {
    const log = this.#log;
    try {
      log.watch.begins();
      await log.meet(known, this.#signal);
      if (!this.#signal.aborted) await new Consumer(log, given, this.#signal).run();
      log.watch.stops();
    } catch (error) {
      const told = error instanceof WALStoreError ? refusalFrom(error) : error;
      log.watch.dies(told);
      throw told;
    } finally {
      await log.close();
      givePositionBack(given.storeItself, log);
    }
  }
}

/** A store that does not fit, with the way back. */
function refusalFrom(cause: WALStoreError): WALShipError {
  const { appliedLsn, appliedLog, logId, tail } = cause;
  const isOther = appliedLog !== null && appliedLog !== logId;
  const why = isOther
    ? `the store has LSN ${appliedLsn} of log ${appliedLog}, and the messages are of log ${logId}`
    : `the store has LSN ${appliedLsn}, and the oldest message begins with LSN ${tail}`;
  const remedy =
    `begin with a copy of another store of log ${logId}, or fill an empty one from a backup() of that log ` +
    "that has all records, and give followFrom() the backup's recovery report";
  return new WALShipError(isOther ? "lineage" : "gone", `Cannot follow: ${why}; ${remedy}`, { cause });
}
