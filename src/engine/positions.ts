// The positions of one opening of a log, in one object. Each is an LSN, and each has one writer:
//
//   position      meaning                                                      writer
//   head          the next LSN to write                                        Appender
//   sealed        the newest record that has its checksum                      Appender
//   durable       the newest record that power loss cannot take                GroupCommit
//   tail          the oldest record kept                                       Releases
//   settledTail   the lower tail of the two header copies, both durable        HeaderWriter
//   applied       the newest record that is in all stores                      Releases
//   confirmed     the newest record that all have durably                       Releases
//   checkpointed  the newest record that a checkpoint has named so far         Releases
//   oldestUnread  the oldest record that a running backup has still to read    Backups
//   gate          an append at this LSN or after it needs preparation          see `gate`
//
// `capacity` has one writer too: `resize()`.
//
// Each writer calls `assertConsistent()` after it has written, except for the append itself and its
// seal.

import { checkLsn } from "../arguments/numbers.ts";
import { assert } from "../assert.ts";
import type { LSN } from "../types.ts";

/** Where an opening starts. */
export type StartPositions = Pick<Positions, "head" | "tail" | "settledTail" | "checkpointed" | "capacity">;

/** The positions of one open log. */
export class Positions {
  /** How many records the ring can hold. */
  capacity: number;
  /** The first LSN that this opening writes. */
  readonly firstLsn: LSN;
  head: LSN;
  /**
   * Only the fields of later records are stored. They count as torn until they are sealed, all at
   * once. Nobody reads or syncs them before.
   */
  sealed: LSN;
  durable: LSN;
  tail: LSN;
  /** Whichever header copy is lost, the other one names no slot before the slot of this LSN. */
  settledTail: LSN;
  applied: LSN;
  /** A store without an LSN of its own goes on after this record. */
  confirmed: LSN;
  /** A store that lacks this record has lost data. */
  checkpointed: LSN;
  /** `Infinity` while no backup runs. */
  oldestUnread: LSN = Infinity;
  /**
   * The appender opens the gate when it has prepared. `closeGate()` closes the gate: at the end of
   * a burst, after a failure, at the end of the opening, for a waiting append, for a new backup.
   */
  gate: LSN = 0;

  constructor({ head, tail, settledTail, checkpointed, capacity }: StartPositions) {
    this.capacity = capacity;
    // JavaScript engines hold numbers from a header as floating-point numbers, and each sum of such
    // numbers too. `Math.trunc()` makes integers of them, because appends are faster with integers.
    this.head = this.firstLsn = Math.trunc(head);
    this.durable = this.sealed = this.head - 1;
    this.tail = Math.trunc(tail);
    this.settledTail = Math.trunc(settledTail);
    this.checkpointed = Math.trunc(checkpointed);
    this.applied = this.confirmed = Math.min(Math.max(this.checkpointed, this.tail - 1), this.durable);
    this.assertConsistent();
  }

  /** The newest record; one less than the tail if there is none. */
  get last(): LSN {
    return this.head - 1;
  }

  /** How many records are kept. */
  get length(): number {
    return this.head - this.tail;
  }

  /** The slots of records before this LSN can be reused. */
  get freeBefore(): LSN {
    return this.oldestUnread < this.settledTail ? this.oldestUnread : this.settledTail;
  }

  /** The oldest record that is still needed. */
  get oldestNeeded(): LSN {
    return this.oldestUnread < this.tail ? this.oldestUnread : this.tail;
  }

  /** True if records can be appended now without overwriting one that is still needed. */
  hasRoom(count: number): boolean {
    return this.head + count <= this.freeBefore + this.capacity;
  }

  /**
   * Refuses to wait for an LSN that was not appended. 0 stands for no record.
   *
   * @throws {RangeError} or {TypeError}
   */
  mustHave(lsn: LSN): void {
    checkLsn(lsn, "lsn");
    if (lsn < this.head) return;
    throw new RangeError(`Cannot wait for LSN ${lsn}: records are appended up to LSN ${this.last}`);
  }

  /** Makes the next append prepare first. */
  closeGate(): void {
    this.gate = 0;
  }

  /** The invariant of every log. */
  assertConsistent(): void {
    assert(this.settledTail <= this.tail, "slots are freed only after the tail has moved past them");
    assert(this.tail - 1 <= this.confirmed, "only records that the store has durably are released");
    assert(this.confirmed <= this.applied, "what the store has durably, it has");
    assert(this.applied <= this.durable, "only durable records are applied");
    assert(this.checkpointed <= this.durable, "a checkpoint names a durable record");
    assert(this.durable <= this.sealed, "only sealed records are durable");
    assert(this.sealed < this.head, "only appended records are sealed");
    assert(this.head - this.freeBefore <= this.capacity, "no record that is still needed is overwritten");
  }
}
