// Who may wait for room in a full ring, who goes first, and the error for rejected appends.

import { assert } from "../assert.ts";
import { BatchEnds } from "./batch_ends.ts";
import { WALFullError } from "../errors.ts";
import type { WALFullMessage } from "../messages.ts";
import type { LSN } from "../types.ts";
import type { Counts } from "./counts.ts";
import type { Events } from "./events.ts";
import type { GroupCommit } from "./group_commit.ts";
import type { Health } from "./health.ts";
import type { HeaderKeeper } from "./header_keeper.ts";
import type { Hold, Holds } from "./holds.ts";
import type { Positions } from "./positions.ts";
import type { Registry } from "./registry.ts";
import type { RingMemory } from "./ring_memory.ts";
import { WaitingLine } from "./waiting_line.ts";

/** Who holds the records without whose release there is no room. */
export interface Blame {
  /** A part of a sentence. */
  readonly why: string;
  /** The error behind that. */
  readonly cause: ErrorOptions;
  /** The consumer that is furthest behind; null if none holds the records. */
  readonly holder: Pick<WALFullError, "consumer" | "lagRecords"> | null;
}

/** Who makes room in a full ring. */
export interface RoomMaker {
  /** True while the consumer of this name runs. */
  runs(name: string): boolean;
  /**
   * True if somebody lets go of the records up to an LSN. All consumers without a limit that hold
   * them must run. If only ones with a limit do, one must run: the others are given up when it has
   * let go. Until the records are durable, none need run, because then they are given up, or are
   * lost already. Of records that are released, the next header frees the slots.
   */
  canRelease(through: LSN): boolean;
  /**
   * True in code that the consumer's store runs. Such code must not wait for room, because the
   * store itself makes the room.
   */
  isInStoreCall(): boolean;
  /** Makes room as soon as possible. */
  hurry(): void;
  /** Why records up to an LSN are not released. */
  blame(through: LSN): Blame;
  /** Ends a consumer that the log has given up. */
  gaveUp(hold: Hold): void;
}

/** Why there is no room, as a part of a sentence, although records are released. */
export const BACKUP_READS = ", and a backup has still to read the oldest records";

/** What waiting needs of its log. */
export interface WaitingParts {
  readonly positions: Positions;
  readonly health: Health;
  readonly memory: RingMemory;
  readonly commit: GroupCommit;
  readonly holds: Holds;
  readonly header: HeaderKeeper;
  /** It comes into being after the room. */
  readonly retention: { readonly registry: Registry };
  /** Measures how long appends wait. */
  nowMs(): number;
}

/** The waiting appends of one open log. */
export class WaitingRoom {
  readonly #parts: WaitingParts;
  readonly #positions: Positions;
  readonly #counts: Counts;
  readonly #events: Events;
  readonly #nowMs: () => number;
  readonly #maker: RoomMaker;
  readonly #timeoutMs: number;
  readonly #line: WaitingLine;
  /** True while appends go ahead of the waiting ones. */
  #isAhead = false;
  /** Since when appends wait. */
  #sinceMs = 0;
  readonly #batches: BatchEnds;

  /** @param timeoutMs how long an append waits at most; `Infinity` for no limit. */
  constructor(parts: WaitingParts, maker: RoomMaker, timeoutMs: number) {
    const { counts, events } = parts.health;
    this.#parts = parts;
    this.#positions = parts.positions;
    this.#batches = new BatchEnds(parts.memory);
    this.#counts = counts;
    this.#events = events;
    this.#nowMs = () => parts.nowMs();
    this.#line = new WaitingLine(this.#nowMs, (ms) => {
      counts.waits.add(ms);
      if (this.length === 0) this.#tell("ends", 0, this.#nowMs() - this.#sinceMs);
    });
    this.#maker = maker;
    this.#timeoutMs = timeoutMs;
  }

  /** How many appends wait. */
  get length(): number {
    return this.#line.length;
  }

  /** How many records the first of them appends; 0 if none waits. */
  get wanted(): number {
    return this.#line.first;
  }

  /** True if an append would now overtake a waiting one. */
  get mustQueue(): boolean {
    return this.length > 0 && !this.#isAhead;
  }

  /**
   * Lets an async append wait, if a consumer or a backup can free slots; rejects it otherwise.
   *
   * @param append appends the records, and returns the promise of their group.
   */
  wait<T>(count: number, append: () => Promise<T>): Promise<T> {
    const { tail, head, capacity, oldestUnread } = this.#positions;
    assert(count <= capacity, "an append waits only for room that the ring can have");
    const isBackedUp = oldestUnread !== Infinity;
    // Where all consumers are lost, each append in the line makes room when its turn comes.
    const makesRoom = this.length > 0 && this.#parts.holds.areLost;
    if (!isBackedUp && !makesRoom && !this.#maker.canRelease(this.inTheWay(count))) {
      return Promise.reject(this.fullError(count));
    }
    const isReleased = this.length === 0 && head + count <= tail + capacity;
    if (this.#maker.isInStoreCall() && !(isBackedUp && isReleased)) {
      return Promise.reject(this.fullError(count, ", and only the store that makes this call can free slots"));
    }
    if (this.length === 0) {
      this.#sinceMs = this.#nowMs();
      this.#tell("begins", count, 0);
    }
    const waiting = this.#line.enter(count, append, this.#timeoutMs, () => {
      queueMicrotask(() => {
        this.admit(); // the next in line may fit, or need more
        this.#maker.hurry();
      });
      return this.fullError(count, ` after ${this.#timeoutMs} ms`);
    });
    this.#positions.closeGate();
    this.#parts.commit.schedule();
    this.#maker.hurry();
    return waiting;
  }

  /**
   * Lets waiting appends in, in order, while there is room for the first. A batch that is larger
   * than the ring since a resize has its turn too, which rejects it.
   */
  admit(): void {
    if (this.length === 0) return;
    const positions = this.#positions;
    const takes = (count: number) => positions.hasRoom(count) || count > positions.capacity || this.#release(count);
    this.aheadOfOthers(() => this.#line.admit(takes));
    this.turnAwayIfStuck(); // the next in line may need what a consumer holds that does not run
  }

  /**
   * Releases records for an append, because the consumers whose stores have everything do nothing
   * for it, and lost ones neither. Those that are too far behind are given up.
   *
   * @returns true if the append has room now.
   */
  #release(count: number): boolean {
    const { holds, retention, header, commit } = this.#parts;
    try {
      if (!retention.registry.makeRoom(count)) return false;
      if (holds.areLost) header.settleTail(this.#positions.head + count);
      else if (header.isDue(true)) commit.schedule();
      return this.#positions.hasRoom(count);
    } catch {
      return false; // a damaged record stays; a failed header has poisoned the log, and nobody waits
    }
  }

  /** Appends, although others wait. */
  aheadOfOthers<T>(append: () => T): T {
    this.#isAhead = true;
    try {
      return append();
    } finally {
      this.#isAhead = false;
      if (this.length > 0) this.#positions.closeGate();
    }
  }

  /** Rejects all waiting appends if nobody makes room for the first any more. */
  turnAwayIfStuck(): void {
    const isBackedUp = this.#positions.oldestUnread !== Infinity;
    if (this.length === 0 || isBackedUp || this.#maker.canRelease(this.inTheWay())) return;
    this.#line.rejectAll((count) => this.fullError(count, ""));
  }

  /**
   * The newest record that must be released before `count` records can be appended, or before the
   * first of the waiting appends goes in. Batches are released as a whole.
   */
  inTheWay(count: number = this.wanted): LSN {
    const { tail, last, capacity } = this.#positions;
    const lsn = last + count - capacity;
    if (lsn < tail || lsn > last) return lsn; // a batch may wait that is larger than the ring is now
    try {
      return this.#batches.of(lsn, last);
    } catch {
      return lsn; // records that cannot be read are released by nobody
    }
  }

  /** Rejects all waiting appends with one error. */
  rejectAll(error: unknown): void {
    this.#line.rejectAll(() => error);
  }

  /** The error for a rejected append. Made only then, because a stack costs more than an append. */
  fullError(count: number, why: string = this.#reason(count)): WALFullError {
    const { capacity, tail, head } = this.#positions;
    const { why: blame, cause, holder } = this.#maker.blame(this.inTheWay(count));
    this.#tell("refuses", count, 0);
    return this.#counts.error(
      new WALFullError({ capacity, tail, head, wanted: count, ...holder }, why + blame, cause),
    );
  }

  #tell(event: WALFullMessage["event"], wanted: number, durationMs: number): void {
    const { capacity, tail, head } = this.#positions;
    this.#events.full(() => ({ event, wanted, tail, head, capacity, durationMs }));
  }

  #reason(count: number): string {
    const { tail, head, capacity } = this.#positions;
    if (this.mustQueue) return ", and others wait for room";
    return head + count > tail + capacity ? "" : BACKUP_READS;
  }
}
