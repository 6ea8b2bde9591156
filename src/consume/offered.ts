// What a store of this library takes in place of records one by one or by runs: many runs in one
// transaction, or runs as bytes.

import type { EncodedRuns } from "../arguments/encoded_runs.ts";
import type { TakenConsumer } from "../arguments/consumer.ts";
import type { MarkedRun } from "../engine/encoded_run.ts";
import type { LSN } from "../types.ts";
import type { ConsumableLog } from "./consumer.ts";
import type { Pace } from "./pace.ts";
import { StoreTransaction } from "./store_transaction.ts";

/** Records that are handed to a store in its own way. */
export interface Handover {
  /** The last record that was handed to the store. */
  readonly last: LSN;
  /** The last one of them that is no checkpoint; 0 if there is none. */
  readonly lastData: LSN;
  /** Hands them over. If it rejects, the store has none of them. */
  apply(): Promise<void>;
}

/** What a handover needs of its consumer. */
export interface HandoverParties {
  readonly log: ConsumableLog;
  readonly pace: Pace;
  /** False once the consumer is stopped, or the log is closed. */
  readonly goesOn: () => boolean;
  /** Records after which a checkpoint is due. */
  readonly checkpointRecords: number;
}

/** Reads records from an LSN on. Throws what reading throws. */
export type Offer = (parties: HandoverParties, first: LSN) => Handover;

/** What a store offers for the records from an LSN on; null if it gets them in the usual way. */
export function offerOf(
  { encodedRuns, joinedRuns, batchSize }: TakenConsumer,
  log: ConsumableLog,
  first: LSN,
): Offer | null {
  if (encodedRuns?.next === first && log.encodeRun !== undefined) {
    return ({ log }, first) => new EncodedHandover(log, batchSize, encodedRuns, first);
  }
  if (joinedRuns === undefined) return null;
  return (parties, first) => new StoreTransaction(parties, joinedRuns, first);
}

/** One run as bytes. */
class EncodedHandover implements Handover {
  readonly #runs: EncodedRuns;
  readonly #run: MarkedRun;

  /** @param records so many in a run. To copy them holds the event loop for a moment only. */
  constructor(log: ConsumableLog, records: number, runs: EncodedRuns, first: LSN) {
    this.#runs = runs;
    this.#run = log.encodeRun!(first, records, runs);
  }

  get last(): LSN {
    return this.#run.lastLsn;
  }

  get lastData(): LSN {
    return this.#run.lastData;
  }

  async apply(): Promise<void> {
    const { bytes, lastData, ...run } = this.#run;
    // Checkpoints alone are not worth a message: sending them would be followed by another one.
    if (lastData > 0) await this.#runs.apply(bytes, run);
  }
}
