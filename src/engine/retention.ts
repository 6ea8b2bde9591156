// Who confirms records: consumers, and callers of `checkpoint()` and `truncate()`.

import { checkLsn } from "../arguments/numbers.ts";
import { assert } from "../assert.ts";
import type { Slots } from "../format/record.ts";
import { type LSN, OpType } from "../types.ts";
import { type Appender, NO_ROOM } from "./appender.ts";
import type { GroupCommit } from "./group_commit.ts";
import type { HeaderKeeper } from "./header_keeper.ts";
import type { Health } from "./health.ts";
import { type Bounds, consumerName, type Hold, type Holds } from "./holds.ts";
import type { Positions } from "./positions.ts";
import { Registry } from "./registry.ts";
import { Releases } from "./releases.ts";
import type { RingMemory } from "./ring_memory.ts";
import { BACKUP_READS, type RoomMaker, type WaitingRoom } from "./waiting_room.ts";

/** What retention needs of its log. */
export interface RetentionParts {
  readonly positions: Positions;
  readonly health: Health;
  readonly holds: Holds;
  readonly memory: RingMemory;
  readonly header: HeaderKeeper;
  readonly commit: GroupCommit;
  readonly room: WaitingRoom;
  readonly appender: Appender;
}

/** Takes confirmations, and lets `Releases` release what is confirmed. */
export class Retention {
  readonly #parts: RetentionParts;
  readonly #positions: Positions;
  readonly #releases: Releases;
  readonly #maker: RoomMaker;
  readonly registry: Registry;

  constructor(parts: RetentionParts, slots: Slots, maker: RoomMaker) {
    this.#parts = parts;
    this.#positions = parts.positions;
    this.#releases = new Releases(parts, slots);
    this.#maker = maker;
    this.registry = new Registry(parts, this.#releases, maker);
  }

  /**
   * Notes that a consumer's store has everything up to `lsn`.
   *
   * @param durable the newest record that no crash can take from the store any more; 0 if none is.
   */
  noteApplied(name: string, lsn: LSN, durable: LSN): void {
    const hold = this.#parts.holds.get(name);
    if (hold === undefined || hold.isLost) return;
    hold.applied = lsn;
    hold.hasSkippedRest = false;
    hold.confirmed = Math.max(hold.confirmed, durable);
    this.#releases.followHolds();
  }

  /**
   * A consumer's store has everything up to `lsn` durably. What all stores have is released.
   *
   * @param record true if a checkpoint record is to be written first. None is written if another
   * store lacks some of that, because a checkpoint confirms for all consumers.
   */
  async confirm(name: string, lsn: LSN, record: boolean): Promise<void> {
    const { health, commit, room, holds } = this.#parts;
    if (!health.isOpen) return;
    health.mustBeGood("write a checkpoint");
    const hold = holds.get(name);
    if (hold === undefined || hold.isLost) return;
    assert(lsn <= hold.applied, "only applied records are confirmed");
    const positions = this.#positions;
    // While it is behind, the last record that its store was given, as in `noteApplied()`.
    const isBehind = lsn >= positions.tail && lsn < positions.checkpointed;
    hold.confirmed = Math.max(hold.confirmed, isBehind ? this.#releases.confirmation(lsn).given : lsn);
    this.#releases.followHolds();
    const through = positions.confirmed;
    const confirmation = this.#releases.confirmation(through);
    const isNews = through >= lsn && confirmation.given > positions.checkpointed;
    this.#releases.note(confirmation);
    // In a full ring the header alone is enough, because it holds the checkpoint's LSN too.
    if (record && isNews && room.length === 0 && positions.hasRoom(1)) {
      this.#appendCheckpoint();
      await commit.join().shared;
      if (!health.isOpen) return;
    }
    this.#releaseHeld();
  }

  /** A consumer begins, as in `Registry.begin()`. Appends may wait for what it alone has held. */
  begin(name: string, applied: LSN, bounds: Bounds): void {
    this.registry.begin(name, applied, bounds);
    if (this.#parts.room.length > 0) this.#releaseIfReadable();
  }

  /**
   * A consumer has ended. If it has not begun, it no longer holds what it was to get. Otherwise
   * appends may wait for what it has let go of.
   */
  ended(name: string): void {
    const { health, holds, room } = this.#parts;
    const isReleased = holds.expectNoMore(name) || room.length > 0;
    if (isReleased && health.isGood) this.#releaseIfReadable();
  }

  /** As `#releaseHeld()`. Throws nothing. */
  #releaseIfReadable(): void {
    try {
      this.#releaseHeld();
    } catch { /* a damaged record stays */ }
  }

  /** Releases what no consumer holds, and has a header say so if it is due. */
  #releaseHeld(): void {
    const { header, commit, room } = this.#parts;
    this.#releases.releaseHeld();
    if (room.wanted > 0) this.registry.makeRoom(room.wanted);
    if (header.isDue(room.length > 0)) commit.schedule();
    // A header that tells of a lost or a new consumer has settled the tail too.
    else if (this.#positions.hasRoom(room.wanted)) room.admit();
  }

  /**
   * Writes a checkpoint and makes it durable. Releases records only if the ring is full.
   *
   * @returns the LSN of the checkpoint.
   */
  checkpoint(appliedThrough: LSN = this.#positions.confirmed): LSN {
    const { health, memory, header, commit, room } = this.#parts;
    const positions = this.#positions;
    health.mustBeGood("write a checkpoint");
    checkLsn(appliedThrough, "appliedThrough");
    this.#checkConfirmable(appliedThrough, positions.last, "appended");
    // An earlier checkpoint may say more, but not of the store of a consumer that is registered.
    const through = Math.max(appliedThrough, this.#parts.holds.releasable(positions.checkpointed));
    commit.flush();
    const confirmation = this.#releases.confirmation(through);
    const isFull = positions.head - positions.settledTail === positions.capacity;
    const release = isFull
      ? this.#releases.releasable(Math.min(through, ...this.#keeping.map((hold) => hold.releasable)))
      : null;
    if (positions.head - positions.oldestUnread === positions.capacity) throw room.fullError(1, BACKUP_READS);
    const isStuck = release !== null && Math.max(positions.tail, release.through + 1) === positions.settledTail;
    if (isStuck && !this.registry.makeRoom(1)) throw room.fullError(1, "");
    memory.pageInTo(positions.head + 1);
    // From here on, only failures that poison the log are possible.
    this.#releases.note(confirmation);
    if (release !== null) this.#releases.release(release);
    header.settleTail(positions.head + 1);
    // Ahead of the appends that wait for room, because the checkpoint makes room for them.
    const lsn = room.aheadOfOthers(() => this.#appendCheckpoint());
    commit.flush();
    assert(lsn <= positions.durable, "a checkpoint is durable before it is reported");
    room.admit();
    return lsn;
  }

  /** Releases all records up to an LSN, as whole batches. */
  truncate(confirmedThroughPos: LSN): void {
    const { health, header, commit, room } = this.#parts;
    const positions = this.#positions;
    health.mustBeGood("truncate");
    checkLsn(confirmedThroughPos, "confirmedThroughPos");
    this.#checkConfirmable(confirmedThroughPos, positions.durable, "durable");
    this.#checkReleasable(confirmedThroughPos);
    if (confirmedThroughPos >= positions.tail) {
      const confirmation = this.#releases.confirmation(confirmedThroughPos);
      const release = this.#releases.releasable(confirmedThroughPos);
      this.#releases.note(confirmation);
      this.#releases.release(release);
    }
    if (header.isDue(room.length > 0)) commit.schedule();
  }

  #appendCheckpoint(): LSN {
    const lsn = this.#parts.appender.tryAppend(OpType.Checkpoint, 0, 0, 0, this.#positions.checkpointed);
    if (lsn === NO_ROOM) throw this.#parts.room.fullError(1);
    assert(lsn === this.#positions.last, "a checkpoint is the newest record");
    return lsn;
  }

  #checkConfirmable(lsn: LSN, limit: LSN, what: string): void {
    if (lsn > limit) {
      throw new RangeError(`Cannot confirm LSN ${lsn}: records are ${what} up to LSN ${limit}`);
    }
    const hold = this.#binding.find(({ confirmed }) => lsn > confirmed);
    if (hold === undefined) return;
    const { name, confirmed } = hold;
    const store = name === "" ? "the running consumer's store" : `the store of ${consumerName(name)}`;
    throw new RangeError(`Cannot confirm LSN ${lsn}: ${store} has records up to LSN ${confirmed} durably`);
  }

  /** Refuses to release what a consumer keeps although its store has it, or may have it. */
  #checkReleasable(lsn: LSN): void {
    const hold = this.#keeping.find(({ releasable }) => lsn > releasable && lsn >= this.#positions.tail);
    if (hold === undefined) return;
    const { name, bounds: { keepRecords } } = hold;
    const why = keepRecords > 0 ? `keeps ${keepRecords} records before its own` : "begins, and its store may lack it";
    throw new RangeError(`Cannot release LSN ${lsn}: ${consumerName(name)} ${why}`);
  }

  /** The consumers that keep records from callers of `checkpoint()` and `truncate()`. */
  get #keeping(): readonly Hold[] {
    return [...this.#binding, ...this.#parts.holds.beginning];
  }

  /**
   * The consumers that bind callers of `checkpoint()` and `truncate()`. While the unnamed one does
   * not run, it does not bind them: they stand for it.
   */
  get #binding(): readonly Hold[] {
    return this.#parts.holds.holding.filter(({ name }) => name !== "" || this.#maker.runs(name));
  }
}
