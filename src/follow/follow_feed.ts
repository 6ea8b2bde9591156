// What a consumer sees of a followed log: the same as of an open one, but nothing is released.

import type { ReadingSystem } from "../../ffi/readable_file.ts";
import { LoopTurn, type Turn } from "../../ffi/turn.ts";
import type { TakenFollowing } from "../arguments/follow.ts";
import { Alarm, type WakeReason } from "../consume/alarm.ts";
import type { ConsumableLog } from "../consume/consumer.ts";
import { ConsumerWatch } from "../consume/consumer_watch.ts";
import { StoreAnswers } from "../consume/store_answers.ts";
import type { Lineage } from "../format/lineage.ts";
import type { LSN, WALRecord } from "../types.ts";
import { Bell } from "./bell.ts";
import type { FollowedLog } from "./followed_log.ts";
import { RunReader } from "./run_reader.ts";

/** The shortest wait for records, so that an idle consumer does not look without a pause. */
const LEAST_MS = 1;

/** The port of one consumer to a followed log. */
export class FollowFeed implements ConsumableLog {
  readonly calls: object;
  readonly positions: ConsumableLog["positions"];
  readonly standing: { applied: LSN; confirmed: LSN; readonly startLsn: LSN; readonly loss: null };
  readonly answers: StoreAnswers = new StoreAnswers(() => this.nowMs());
  readonly watch: ConsumerWatch = new ConsumerWatch("", this.answers);
  readonly isRoomWanted = false;
  readonly isFollowed = true;
  readonly #log: FollowedLog;
  readonly #bell: Bell;
  readonly #reader: RunReader;
  readonly #alarm = new Alarm();

  /** @param signal stops the consumer. */
  constructor(log: FollowedLog, reading: ReadingSystem, options: TakenFollowing, signal: AbortSignal) {
    this.calls = this.#log = log;
    this.#bell = new Bell(reading, log.live, options.pollIntervalMs, signal);
    this.#reader = new RunReader(log);
    const startLsn = (options.from === 0 ? log.header.tail : options.from) - 1;
    this.standing = { applied: startLsn, confirmed: startLsn, startLsn, loss: null };
    // Released records may still be there. So a store goes on where it is, and a record that is
    // gone is noticed when it is read.
    this.positions = {
      tail: 1,
      checkpointed: 0,
      get capacity() {
        return log.header.capacity;
      },
      get durable() {
        return log.last;
      },
    };
  }

  get path(): string {
    return this.#log.path;
  }

  get isOpen(): boolean {
    return this.#log.isOpen;
  }

  get lineage(): Lineage {
    return this.#log.header.lineage;
  }

  /** Another follower may have filled the store since the last look. */
  get reachable(): LSN {
    this.#log.look();
    return this.#log.ends.head - 1;
  }

  nowMs(): number {
    return performance.now();
  }

  makeTurn(): Turn {
    return new LoopTurn();
  }

  readRun(first: LSN, count: number, most = count): WALRecord[] {
    return this.#reader.readWhole(first, Math.max(1, Math.min(count, most)));
  }

  async whenDurable(lsn: LSN, timeoutMs: number, signal: AbortSignal): Promise<WakeReason> {
    // A time that is up is a sign to sync the store. With nothing to sync, only records matter.
    const { applied, confirmed } = this.standing;
    let leftMs = confirmed < applied ? Math.max(LEAST_MS, timeoutMs) : Infinity;
    const endMs = this.nowMs() + leftMs;
    while (this.isOpen && !signal.aborted) {
      this.#log.lookForMore();
      if (this.#log.last >= lsn) {
        this.#bell.found();
        return "durable";
      }
      if (leftMs <= 0) return "time";
      await this.#bell.wait(leftMs);
      leftMs = endMs - this.nowMs();
    }
    return "stopped";
  }

  async pause(delayMs: number, signal: AbortSignal): Promise<void> {
    await this.#alarm.sleep(delayMs, signal, false);
  }

  /** A follower writes nothing. */
  fork(): void {}

  begin(applied: LSN): void {
    this.standing.applied = this.standing.confirmed = applied;
  }

  noteApplied(lsn: LSN, durable: LSN): void {
    this.standing.applied = lsn;
    this.standing.confirmed = Math.max(this.standing.confirmed, durable);
  }

  /** The log is told nothing. After a failed `sync()`, only later records are applied again. */
  confirm(lsn: LSN): Promise<void> {
    this.standing.confirmed = lsn;
    return Promise.resolve();
  }

  /** Ends the waiting for a store, and gives up the doorbell. */
  close(): void {
    this.answers.end();
    this.#bell.close();
  }
}
