// What is in the store, and what is released: whole batches, after the store has them.

import { checkLsn } from "../arguments/numbers.ts";
import { assert } from "../assert.ts";
import type { Slots } from "../format/record.ts";
import { type LSN, OpType } from "../types.ts";
import { type Appender, NO_ROOM } from "./appender.ts";
import type { GroupCommit } from "./group_commit.ts";
import type { HeaderKeeper } from "./header_keeper.ts";
import type { Health } from "./health.ts";
import type { Holds } from "./holds.ts";
import type { Positions } from "./positions.ts";
import { lastWhole, type RingMemory } from "./ring_memory.ts";
import type { RoomMaker, WaitingRoom } from "./waiting_room.ts";

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

/** What a caller confirms. */
interface Confirmation {
  /** The store has everything up to this record. */
  readonly through: LSN;
  /** The last record up to `through` that stores are given; 0 if none is known. */
  readonly given: LSN;
}

/** The one writer of `tail`, `applied`, `confirmed` and `checkpointed`. */
export class Retention {
  readonly #parts: RetentionParts;
  readonly #positions: Positions;
  readonly #slots: Slots;
  readonly #maker: RoomMaker;
  /** The last released record that stores are given; 0 if this opening has released none. */
  #releasedGiven: LSN = 0;

  constructor(parts: RetentionParts, slots: Slots, maker: RoomMaker) {
    this.#parts = parts;
    this.#positions = parts.positions;
    this.#slots = slots;
    this.#maker = maker;
    assert(slots.count === parts.positions.capacity, "the ring has a slot for each record that it can hold");
    this.#followHolds();
  }

  /**
   * A consumer begins, and its store has everything up to `applied`. That may be less than the
   * previous store had.
   */
  begin(applied: LSN): void {
    this.#positions.applied = this.#positions.confirmed = applied;
    this.#positions.assertConsistent();
  }

  /**
   * Notes that the store has everything up to `lsn`.
   *
   * @param isDurable false if a crash may still take some of that.
   */
  noteApplied(lsn: LSN, isDurable: boolean): void {
    const positions = this.#positions;
    positions.applied = lsn;
    if (isDurable && lsn > positions.confirmed) positions.confirmed = lsn;
    positions.assertConsistent();
  }

  /**
   * The consumer's store has everything up to `lsn` durably, so these records are released.
   *
   * @param record true if a checkpoint record is to be written first.
   */
  async confirm(lsn: LSN, record: boolean): Promise<void> {
    const { health, header, commit, room } = this.#parts;
    if (!health.isOpen) return;
    health.mustBeGood("write a checkpoint");
    assert(lsn <= this.#positions.applied, "only applied records are confirmed");
    this.#note(this.#confirmation(lsn));
    // In a full ring the header alone is enough, because it holds the checkpoint's LSN too.
    if (record && room.length === 0 && this.#positions.hasRoom(1)) {
      this.#appendCheckpoint();
      await commit.join().shared;
      if (!health.isOpen) return;
    }
    this.#release(this.#releasable(lsn));
    if (header.isDue(room.length > 0)) commit.schedule();
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
    // The store of a running consumer may have less than an earlier checkpoint says.
    const through = this.#maker.isRunning ? appliedThrough : Math.max(appliedThrough, positions.checkpointed);
    commit.flush();
    const confirmation = this.#confirmation(through);
    const isFull = positions.head - positions.settledTail === positions.capacity;
    const release = isFull ? this.#releasable(through) : null;
    if (release !== null && Math.max(positions.tail, release.through + 1) === positions.settledTail) {
      throw room.fullError(1, "");
    }
    memory.pageInTo(positions.head + 1);
    // From here on, only failures that poison the log are possible.
    this.#note(confirmation);
    if (release !== null) this.#release(release);
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
    if (confirmedThroughPos >= positions.tail) {
      const confirmation = this.#confirmation(confirmedThroughPos);
      const release = this.#releasable(confirmedThroughPos);
      this.#note(confirmation);
      this.#release(release);
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
    const { confirmed } = this.#positions;
    if (this.#maker.isRunning && lsn > confirmed) {
      throw new RangeError(
        `Cannot confirm LSN ${lsn}: the running consumer's store has records up to LSN ${confirmed} durably`,
      );
    }
  }

  /**
   * The last record up to an LSN that stores are given. No store is given a checkpoint, so no
   * store's `appliedLsn()` is the LSN of one. If a checkpoint named another checkpoint, every store
   * would be refused.
   */
  #lastGiven(through: LSN): LSN {
    const { tail } = this.#positions;
    if (through < tail) return this.#releasedGiven;
    const { memory } = this.#parts;
    memory.file.checkNowAndThen();
    let lsn = through;
    while (lsn >= tail && this.#slots.opTypeAt(memory.verified(lsn)) === OpType.Checkpoint) lsn--;
    assert(lsn <= through, "no later record is taken for one that is confirmed");
    return lsn < tail ? this.#releasedGiven : lsn;
  }

  /** The confirmation of an LSN. Reads records, which may throw, and changes nothing. */
  #confirmation(through: LSN): Confirmation {
    const given = this.#lastGiven(through);
    assert(given <= Math.max(through, this.#releasedGiven), "only what is confirmed or released is checkpointed");
    return { through, given };
  }

  /** The last whole batch up to an LSN. Reads records, which may throw, and changes nothing. */
  #releasable(through: LSN): Confirmation {
    const last = lastWhole(this.#parts.memory, Math.min(through, this.#positions.last));
    assert(last <= through, "only confirmed records are released");
    return this.#confirmation(last);
  }

  /** Takes note of what the store has durably. */
  #note({ through, given }: Confirmation): void {
    const positions = this.#positions;
    positions.checkpointed = Math.max(positions.checkpointed, given);
    if (through > positions.confirmed) positions.confirmed = through;
    if (through > positions.applied) positions.applied = through;
    positions.assertConsistent();
  }

  /** Takes the positions from the consumers. Without consumers that hold records, they stay. */
  #followHolds(): void {
    const positions = this.#positions;
    const least = this.#parts.holds.least();
    if (least !== null) {
      positions.applied = least.applied;
      positions.confirmed = least.confirmed;
    }
    positions.assertConsistent();
  }

  /** Moves the tail past what is confirmed. */
  #release({ through, given }: Confirmation): void {
    const positions = this.#positions;
    assert(through <= positions.confirmed, "only confirmed records are released");
    if (through < positions.tail) return;
    this.#releasedGiven = Math.max(this.#releasedGiven, given);
    positions.tail = through + 1;
    this.#parts.health.counts.truncations++;
    positions.assertConsistent();
  }
}
