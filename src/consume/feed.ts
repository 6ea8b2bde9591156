// What one consumer sees of the log: it takes runs of durable records, and notes what the store
// has.

import type { Turn } from "../../ffi/turn.ts";
import type { EncodedRuns } from "../arguments/encoded_runs.ts";
import { writeBoth } from "../engine/header_keeper.ts";
import type { Bounds } from "../engine/holds.ts";
import { encodedRun, type MarkedRun } from "../engine/encoded_run.ts";
import type { EngineParts } from "../engine/parts.ts";
import type { Positions } from "../engine/positions.ts";
import { endOfBatch, lastWhole } from "../engine/ring_memory.ts";
import { forked, type Lineage, newLogId } from "../format/lineage.ts";
import { SlotState } from "../format/record.ts";
import { slotOf } from "../format/ring.ts";
import { copyRecords } from "../read/copies.ts";
import { type LSN, OpType, type WALRecord } from "../types.ts";
import { Alarm, type WakeReason } from "./alarm.ts";
import type { ConsumableLog } from "./consumer.ts";
import { ConsumerWatch } from "./consumer_watch.ts";
import { Milestones } from "./milestones.ts";
import { Standing } from "./standing.ts";
import { StoreAnswers } from "./store_answers.ts";

/** What the consumers of one opening have seen, all together. */
export interface Reach {
  /** The highest LSN that one of them was given. */
  handedOut: LSN;
  /** True after a fork. A store has shown that the file went back in time. */
  hasForked: boolean;
}

/** The port of one consumer to an open log. */
export class Feed implements ConsumableLog {
  readonly standing: Standing;
  readonly positions: Positions;
  readonly answers: StoreAnswers;
  readonly watch: ConsumerWatch;
  /** Callers of `whenApplied()`. */
  readonly milestones = new Milestones();
  readonly alarm = new Alarm();
  readonly isFollowed = false;
  readonly #log: EngineParts;
  readonly #reach: Reach;
  /** What an operator should know of the last consumer's store; null for nothing. */
  storeWarning: string | null = null;

  constructor(name: string, log: EngineParts, reach: Reach) {
    this.standing = new Standing(name, log);
    this.#log = log;
    this.#reach = reach;
    this.positions = log.positions;
    this.answers = new StoreAnswers(() => log.nowMs());
    this.watch = new ConsumerWatch(name, this.answers, log.health);
  }

  get path(): string | null {
    return this.#log.memory.path;
  }

  get isOpen(): boolean {
    return this.#log.health.isOpen;
  }

  get lineage(): Lineage {
    return this.#log.header.lineage;
  }

  get reachable(): LSN {
    const { firstLsn, checkpointed, tail } = this.positions;
    return Math.max(firstLsn - 1, this.#reach.handedOut, checkpointed, tail - 1);
  }

  wasCheckpoint(lsn: LSN): boolean {
    const { memory, slots } = this.#log;
    const slot = slotOf(lsn, slots.count);
    try {
      memory.makeReadable(lsn, lsn);
      return slots.verify(slot, lsn) === SlotState.Record && slots.opTypeAt(slot) === OpType.Checkpoint;
    } catch {
      return false; // what cannot be read may be anything
    }
  }

  /** All calls to stores of one log have this in common. */
  get calls(): object {
    return this.#log;
  }

  get isRoomWanted(): boolean {
    return this.#log.room.length > 0;
  }

  nowMs(): number {
    return this.#log.nowMs();
  }

  makeTurn(): Turn {
    return this.#log.makeTurn();
  }

  readRun(first: LSN, count: number, most?: number): WALRecord[] {
    const last = endOfRun(this.#log, first, count, most);
    // This also verifies the record whose flag ended the run.
    const records = copyRecords(this.#log.memory, first, last);
    this.#reach.handedOut = Math.max(this.#reach.handedOut, last);
    return records;
  }

  encodeRun(first: LSN, count: number, { prefixBytes, mostRecords, allocate }: EncodedRuns): MarkedRun {
    const encode = (last: LSN) => encodedRun(this.#log.memory, this.lineage, first, last, prefixBytes, allocate);
    const run = encode(endOfRun(this.#log, first, count, mostRecords));
    this.#reach.handedOut = Math.max(this.#reach.handedOut, run.lastLsn);
    // As in applyBatch(), a run ends with a record that its store has an LSN of.
    return run.lastData > 0 && run.lastData < run.lastLsn ? encode(run.lastData) : run;
  }

  async whenDurable(lsn: LSN, timeoutMs: number, signal: AbortSignal): Promise<WakeReason> {
    const { health, commit } = this.#log;
    if (health.poison !== null) throw health.poison;
    if (!health.isOpen || signal.aborted) return "stopped";
    if (this.positions.durable >= lsn) return "durable";
    if (this.standing.isInTheWay) {
      await giveWay(this, this.#log);
      return "stopped";
    }
    if (this.positions.durable < this.positions.last) commit.schedule();
    const reason = await this.alarm.sleep(timeoutMs, signal, true);
    if (health.poison !== null) throw health.poison;
    return reason;
  }

  async pause(delayMs: number, signal: AbortSignal): Promise<void> {
    await this.alarm.sleep(delayMs, signal, false);
  }

  fork(): void {
    // A second fork in one opening would lose track of the first one. No store can have an LSN from
    // after the first one.
    const { health, header } = this.#log;
    if (this.#reach.hasForked || health.poison !== null) return;
    this.#reach.hasForked = true;
    const lineage = forked(this.lineage, newLogId(), this.reachable);
    try {
      writeBoth(header, { lineage }); // so that the store stays refused if a copy is lost later
    } catch { /* the log is poisoned, and the store is refused all the same */ }
  }

  begin(applied: LSN, bounds: Bounds, warning: string | null): void {
    if (!this.isOpen) return;
    this.storeWarning = warning;
    this.#log.retention.begin(this.standing.name, applied, bounds);
    this.milestones.reached(applied);
  }

  noteApplied(lsn: LSN, durable: LSN): void {
    if (!this.isOpen) return;
    this.#log.retention.noteApplied(this.standing.name, lsn, durable);
    this.milestones.reached(lsn);
  }

  confirm(lsn: LSN, record: boolean): Promise<void> {
    this.#log.wall.read();
    return this.#log.retention.confirm(this.standing.name, lsn, record);
  }
}

/**
 * Appends wait, and a consumer has nothing left to do. If its store has what is in the way, the log
 * lets go of what it keeps, and does not wait for it any more. Else it is given up if it has a
 * limit, and ends with the error of its store if not, so that appends do not wait for ever.
 */
async function giveWay(feed: Feed, { holds, commit, room }: EngineParts): Promise<void> {
  const { confirmed, name } = feed.standing;
  const hold = holds.get(name)!;
  if (confirmed >= room.inTheWay()) {
    hold.hasSkippedRest = true;
    return await feed.confirm(confirmed, false);
  }
  feed.noteApplied(confirmed, 0); // the next start hands out the skipped records again
  await feed.confirm(confirmed, false);
  if (!hold.isLost) throw feed.watch.stats().lastError;
  await commit.join().shared.catch(() => {}); // the header lets the appends in
}

/** Where a run of about `count` records ends: with a whole batch. No run of several is too long. */
function endOfRun({ health, memory, positions }: EngineParts, first: LSN, count: number, most = Infinity): LSN {
  health.mustBeGood("consume");
  const { durable } = positions;
  const last = endOfBatch(memory, Math.min(durable, first + count - 1), durable);
  if (last - first < most) return last;
  const fitting = lastWhole(memory, first + most - 1);
  return fitting < first ? endOfBatch(memory, first, durable) : fitting;
}
