// A log on another machine, as a consumer sees it: what a source has sent and verified is durable,
// and there is nothing to release. So a follower is a consumer, with all of its manners.

import { LoopTurn, type Turn } from "../../ffi/turn.ts";
import type { TakenConsumer } from "../arguments/consumer.ts";
import { assert } from "../assert.ts";
import { Alarm, type WakeReason } from "../consume/alarm.ts";
import type { ConsumableLog } from "../consume/consumer.ts";
import { ConsumerWatch } from "../consume/consumer_watch.ts";
import { retryDelayMs } from "../consume/retry_delay.ts";
import { callStore } from "../consume/store_call.ts";
import { StoreAnswers } from "../consume/store_answers.ts";
import { WALShipError } from "../errors.ts";
import type { Lineage } from "../format/lineage.ts";
import type { LogOrigin, LSN, WALRecord } from "../types.ts";
import { fetchRuns } from "./fetch.ts";
import { runFrom } from "./place.ts";
import type { Source } from "./ports.ts";
import { readRecords, type Shipment } from "./shipment.ts";
import { stoppable } from "./stoppable.ts";

/** Records that are fetched ahead of the store. One message more may be on its way. */
const MOST_AHEAD = 65536;
/** Records after which a store with `sync()` is synced. */
const SYNC_RECORDS = 65536;
/** How often a follower looks for the first message of an empty source. */
const EMPTY_POLL_MS = 250;

/** A verified run that waits for the store. */
interface Arrived {
  readonly firstLsn: LSN;
  readonly lastLsn: LSN;
  readonly records: WALRecord[];
}

/** Which other log's LSNs are also LSNs of the followed log. */
export interface KnownOrigin {
  readonly logId: string;
  readonly origin: LogOrigin | null;
}

/** Where the records come from, and who decides about errors. */
export interface RemoteParties {
  readonly source: Source;
  readonly onError: TakenConsumer["onError"];
}

/** The port of one follower. */
export class RemoteLog implements ConsumableLog {
  readonly path = null;
  /** An LSN ahead of the source belongs to a tail that the source has lost, and will get again. */
  readonly reachable: LSN = Infinity;
  readonly isRoomWanted = false;
  readonly isFollowed = true;
  readonly calls = this;
  readonly positions = { tail: 1, durable: 0, checkpointed: 0, capacity: 8 * SYNC_RECORDS };
  readonly standing = { applied: 0, confirmed: 0, startLsn: 0, loss: null };
  readonly answers: StoreAnswers;
  readonly watch: ConsumerWatch;
  readonly #parties: RemoteParties;
  readonly #alarm = new Alarm();
  lineage: Lineage = { logId: "", origin: null, fork: null };
  /** In LSN order, without a gap, up to `positions.durable`. */
  #arrived: Arrived[] = [];
  #fetching: { readonly stop: AbortController; readonly ended: Promise<void> } | null = null;
  /** Ends the wait of the fetching for room. */
  #makeRoom: () => void = () => {};
  /** Why fetching ended; null if it did not. */
  #trouble: unknown = null;
  /** Failures of the source in a row. */
  #failures = 0;
  isOpen = true;

  constructor(parties: RemoteParties) {
    this.#parties = parties;
    this.answers = new StoreAnswers(() => this.nowMs());
    this.watch = new ConsumerWatch("", this.answers);
  }

  nowMs(): number {
    return performance.now();
  }

  makeTurn(): Turn {
    return new LoopTurn();
  }

  /** Waits for the first message, which says which log this is. */
  async meet(known: KnownOrigin | undefined, signal: AbortSignal): Promise<void> {
    const source = stoppable(this.#parties.source, signal);
    while (!signal.aborted) {
      try {
        const { first, last } = await source.bounds();
        const oldest = await runFrom(source, first, last);
        if (oldest !== null) {
          const { logId, firstLsn } = oldest;
          this.lineage = { logId, origin: known === undefined ? null : sharedOrigin(known, logId), fork: null };
          this.#failures = 0;
          this.positions.tail = firstLsn;
          // A store that lacks what the source no longer has is refused.
          this.positions.checkpointed = this.positions.durable = this.standing.startLsn = firstLsn - 1;
          return;
        }
      } catch (error) {
        if (signal.aborted) return;
        await this.#retryAfter(error, 1, signal);
        continue;
      }
      await this.pause(EMPTY_POLL_MS, signal);
    }
  }

  /** Verified records from `first` on, as whole runs: at most `count` and `most`, or one run. */
  readRun(first: LSN, count: number, most = count): WALRecord[] {
    let index = this.#arrived.findIndex(({ lastLsn }) => lastLsn >= first);
    assert(index >= 0, "records are read after they have arrived");
    const run = this.#arrived[index]!;
    let records = first === run.firstLsn ? run.records : run.records.slice(first - run.firstLsn);
    for (let next = this.#arrived[++index]; next !== undefined; next = this.#arrived[++index]) {
      if (records.length + next.records.length > Math.min(count, most)) break;
      records = records.concat(next.records);
    }
    return records;
  }

  async whenDurable(lsn: LSN, timeoutMs: number, signal: AbortSignal): Promise<WakeReason> {
    if (!this.isOpen || signal.aborted) return "stopped";
    if (this.positions.durable >= lsn) return "durable";
    if (this.#trouble !== null) {
      const trouble = this.#trouble;
      this.#trouble = this.#fetching = null;
      await this.#retryAfter(trouble, lsn, signal);
      if (signal.aborted) return "stopped";
    }
    this.#fetch(lsn);
    return await this.#alarm.sleep(timeoutMs, signal, true);
  }

  async pause(delayMs: number, signal: AbortSignal): Promise<void> {
    if (!signal.aborted) await this.#alarm.sleep(delayMs, signal, false);
  }

  /** Nobody can give the log on the other machine a new id. No store makes that necessary. */
  fork(): void {}

  begin(applied: LSN): void {
    this.standing.applied = this.standing.confirmed = applied;
    this.#forgetArrived(applied);
  }

  noteApplied(lsn: LSN, durable: LSN): void {
    const { standing } = this;
    standing.confirmed = Math.max(standing.confirmed, durable);
    // The store needs records again that are no longer here.
    if (lsn < standing.applied) this.#forgetArrived(lsn);
    standing.applied = lsn;
    const missing = this.#arrived.findIndex(({ lastLsn }) => lastLsn > lsn);
    this.#arrived.splice(0, missing < 0 ? this.#arrived.length : missing);
    if (aheadOf(this) <= MOST_AHEAD) this.#makeRoom();
  }

  confirm(lsn: LSN): Promise<void> {
    this.standing.confirmed = Math.max(this.standing.confirmed, lsn);
    return Promise.resolve();
  }

  /** Ends the follower. */
  async close(): Promise<void> {
    this.isOpen = false;
    const fetching = this.#fetching;
    this.#forgetArrived(this.standing.applied);
    await fetching?.ended;
  }

  /** Forgets everything after an LSN, so that it is fetched again. */
  #forgetArrived(durable: LSN): void {
    this.#arrived = [];
    this.positions.durable = durable;
    this.#fetching?.stop.abort();
    this.#fetching = this.#trouble = null;
    this.#makeRoom();
  }

  /** Fetches from an LSN on, if that does not run already. */
  #fetch(next: LSN): void {
    if (this.#fetching !== null) return;
    const stop = new AbortController();
    const arrive = (shipment: Shipment) => this.#arrive(shipment, stop.signal);
    const { logId } = this.lineage;
    const source = stoppable(this.#parties.source, stop.signal);
    const ended = fetchRuns({ source, logId, next, arrive, signal: stop.signal }).catch(
      (error) => {
        if (stop.signal.aborted) return;
        this.#trouble = error;
        this.#alarm.ring("durable");
      },
    );
    this.#fetching = { stop, ended };
  }

  async #arrive(shipment: Shipment, signal: AbortSignal): Promise<void> {
    const records = readRecords(shipment);
    if (signal.aborted) return;
    // A source that has lost its end may get the same records again in other runs.
    const firstLsn = this.positions.durable + 1;
    const { lastLsn } = shipment;
    this.#arrived.push({ firstLsn, lastLsn, records: records.slice(firstLsn - shipment.firstLsn) });
    this.positions.durable = lastLsn;
    if (this.#failures > 0) this.watch.recovers();
    this.#failures = 0;
    this.#alarm.ring("durable");
    if (aheadOf(this) > MOST_AHEAD) await new Promise<void>((resolve) => this.#makeRoom = resolve);
  }

  /** Asks `onError` about the source, and waits for the delay. Throws the error if it is to end. */
  async #retryAfter(error: unknown, lsn: LSN, signal: AbortSignal): Promise<void> {
    const attempt = ++this.#failures;
    this.watch.fails(error, attempt);
    const { onError } = this.#parties;
    if (onError === undefined || (error instanceof WALShipError && error.isFinal)) throw error;
    const delayMs = retryDelayMs(attempt);
    const ask = async () => await onError(error, { firstLsn: lsn, lastLsn: lsn, attempt, delayMs });
    const answer = await callStore(this, signal, () => this.answers.waitFor(ask()));
    if (answer !== "retry" && answer !== "skip") throw error; // no record is to blame
    await this.pause(delayMs, signal);
  }
}

/** Records that have arrived and are not in the store. */
function aheadOf({ positions, standing }: RemoteLog): number {
  return positions.durable - standing.applied;
}

/**
 * What a log shares with the other one of two, of which one was copied from the other.
 *
 * @param known the copy, and what it was copied from.
 */
function sharedOrigin({ logId, origin }: KnownOrigin, followed: string): LogOrigin | null {
  if (origin === null || logId === followed) return origin;
  return origin.logId === followed ? { logId, lastLsn: origin.lastLsn } : null;
}
