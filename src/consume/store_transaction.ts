// The runs that a store applies in one transaction, read one after another from the log.

import type { JoinedRuns } from "../arguments/joined_runs.ts";
import { changesStore } from "../format/operations.ts";
import type { LSN, WALRecord } from "../types.ts";
import type { Handover, HandoverParties } from "./offered.ts";

/** The most records in one transaction. */
const MOST_RECORDS = 16_384;
/** No run begins later in a transaction, so that records count as applied soon. */
const MOST_MS = 100;
/** After a run of so many records, more are probably about to become durable. */
const BULK_RECORDS = 256;

/** One transaction. */
export class StoreTransaction implements Handover {
  readonly #parties: HandoverParties;
  readonly #runs: JoinedRuns;
  readonly #first: LSN;
  readonly #firstRun: readonly WALRecord[];
  readonly #beginMs: number;
  last: LSN;
  lastData: LSN = 0;

  constructor(parties: HandoverParties, runs: JoinedRuns, first: LSN) {
    this.#parties = parties;
    this.#runs = runs;
    this.#first = first;
    this.#firstRun = parties.log.readRun(first, parties.pace.records);
    this.#beginMs = parties.log.nowMs();
    this.last = first;
  }

  /**
   * Applies a run, and further ones for as long as there are records. Others have their turns
   * between the runs. If it rejects, the store has taken back all of them.
   */
  async apply(): Promise<void> {
    const { pace } = this.#parties;
    const runs = this.#runs;
    runs.begin();
    for (let run: readonly WALRecord[] | null = this.#firstRun; run !== null; run = this.#readMore()) {
      await this.#applyRun(run);
      pace.endRun();
      if (!this.#hasRoom) break;
      if (!this.#hasMore && run.length >= BULK_RECORDS) await pace.giveWay();
      if (!this.#hasMore) break;
      while (pace.mustGiveWay()) await pace.giveWay();
    }
    runs.commit();
  }

  async #applyRun(records: readonly WALRecord[]): Promise<void> {
    const { pace, log } = this.#parties;
    this.last = records[records.length - 1]!.lsn;
    const data = records.filter(({ opType }) => changesStore(opType));
    if (data.length === 0) return;
    const run = { logId: log.lineage.logId, firstLsn: data[0]!.lsn, lastLsn: data[data.length - 1]!.lsn };
    await pace.handOver(data.length, true, () => this.#runs.apply(data, run));
    this.lastData = run.lastLsn;
  }

  /** True if the transaction may take another run. */
  get #hasRoom(): boolean {
    const { log, goesOn, checkpointRecords } = this.#parties;
    const isFull = this.last - this.#first >= Math.min(MOST_RECORDS, checkpointRecords);
    return !isFull && !log.isRoomWanted && log.nowMs() - this.#beginMs < MOST_MS && goesOn();
  }

  get #hasMore(): boolean {
    return this.#parties.log.positions.durable > this.last;
  }

  /**
   * The next run; null if there is none. If it cannot be read, the error comes again after the
   * commit of those before it.
   */
  #readMore(): readonly WALRecord[] | null {
    if (!this.#hasRoom || !this.#hasMore) return null;
    try {
      return this.#parties.log.readRun(this.last + 1, this.#parties.pace.records);
    } catch {
      return null;
    }
  }
}
