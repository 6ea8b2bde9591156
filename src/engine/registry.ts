// Registers consumers, forgets them, and gives up those that are too far behind.

import { type HeaderKeeper, writeBoth } from "./header_keeper.ts";
import type { Health } from "./health.ts";
import type { Bounds, Hold, Holds } from "./holds.ts";
import type { LSN } from "../types.ts";
import type { Positions } from "./positions.ts";
import type { Releases } from "./releases.ts";
import type { RoomMaker, WaitingRoom } from "./waiting_room.ts";

/** What registration needs of its log. */
export interface RegistryParts {
  readonly positions: Positions;
  readonly health: Health;
  readonly holds: Holds;
  readonly header: HeaderKeeper;
  readonly room: WaitingRoom;
}

/** The one writer of the table of consumers. */
export class Registry {
  readonly #parts: RegistryParts;
  readonly #releases: Releases;
  readonly #maker: RoomMaker;

  constructor(parts: RegistryParts, releases: Releases, maker: RoomMaker) {
    this.#parts = parts;
    this.#releases = releases;
    this.#maker = maker;
  }

  /** A consumer was started. If it holds no records, the log keeps all until it begins or ends. */
  expect(name: string, bounds: Bounds): void {
    const { holds, positions } = this.#parts;
    holds.expect(name, positions.tail - 1, bounds);
  }

  /**
   * A consumer begins, and its store has everything up to `applied`. That may be less than the
   * previous store had. Before the log relies on what the consumer holds, the header says so.
   *
   * @throws {RangeError} if there are too many consumers.
   */
  begin(name: string, applied: LSN, bounds: Bounds): void {
    const { holds, header } = this.#parts;
    holds.set(name, applied, bounds).isCatchingUp = bounds.maxLagRecords > 0;
    this.#releases.followHolds();
    if (!this.#isWritten(name, applied, bounds)) writeBoth(header);
  }

  /**
   * True if the header has a consumer that holds all records after an LSN. If a checkpoint was
   * written after the header, recovery takes it for what the consumer has.
   */
  #isWritten(name: string, applied: LSN, { maxLagRecords, keepRecords }: Bounds): boolean {
    const { positions: { checkpointed }, header: { latest } } = this.#parts;
    return checkpointed <= Math.max(applied, latest.checkpoint) &&
      latest.consumers.some((entry) =>
        entry.name === name && !entry.isLost && entry.lsn <= applied &&
        entry.maxLagRecords === maxLagRecords && entry.keepRecords === keepRecords
      );
  }

  /**
   * Gives up what a consumer holds, durably. First it reads records, which may throw.
   *
   * @returns false if there is no such consumer.
   */
  drop(name: string): boolean {
    const { holds, header, positions, room } = this.#parts;
    const hold = holds.get(name);
    if (hold === undefined) return false;
    const release = this.#releases.releasable(holds.releasable(positions.confirmed, hold));
    holds.delete(name);
    this.#releases.followHolds();
    this.#releases.releaseHeld(release);
    writeBoth(header);
    room.admit();
    return true;
  }

  /** Gives up each consumer that is further behind than it may be, durably. Throws nothing. */
  giveUpLaggards(): void {
    const { holds, health, positions: { durable } } = this.#parts;
    const laggards = holds.holding.filter((hold) => {
      const { name, applied, bounds: { maxLagRecords } } = hold;
      if (maxLagRecords === 0) return false;
      const isBehind = durable - applied > maxLagRecords;
      if (!isBehind || !this.#maker.runs(name)) hold.isCatchingUp = false;
      return isBehind && !hold.isCatchingUp;
    });
    if (!health.isGood) return;
    try {
      this.#giveUp(laggards);
    } catch { /* a damaged record stays; a failed header has poisoned the log */ }
  }

  /**
   * Makes room for an append in a full ring. First it gives up the consumers that are in the way,
   * if all of them have a limit: else that makes no room. Then it releases records.
   *
   * @returns true if the records fit once the tail is settled.
   */
  makeRoom(count: number): boolean {
    const { holds, positions: { last, durable }, room } = this.#parts;
    if (holds.all.length === 0) return false;
    const inTheWay = room.inTheWay(count);
    const isTooFarBehind = ({ name, applied, confirmed, bounds: { maxLagRecords }, isCatchingUp }: Hold) => {
      // One that does not run is given again what it has not confirmed.
      const has = this.#maker.runs(name) ? applied : confirmed;
      return maxLagRecords > 0 && (has < inTheWay || (!isCatchingUp && last + count - has > maxLagRecords));
    };
    const blockers = holds.blockers(inTheWay).filter((hold) => this.#released(hold) < inTheWay);
    if (inTheWay <= durable && blockers.every(isTooFarBehind)) this.#giveUp(blockers);
    return this.#releaseFor(count);
  }

  /**
   * Releases what all stores have, for an append in a full ring: also what is kept, but only for
   * consumers that have a limit, or whose stores have everything. If all consumers are lost, it
   * releases the oldest records.
   *
   * @returns true if the records fit once the tail is settled.
   */
  #releaseFor(count: number): boolean {
    const { holds, positions, room } = this.#parts;
    const { capacity, last, durable } = positions;
    const needed = last + count - capacity;
    const least = holds.least()?.confirmed ?? durable;
    if (positions.tail > needed || needed > least) return positions.tail > needed;
    const through = room.inTheWay(count);
    const released = holds.holding.map((hold) => this.#released(hold));
    const limit = Math.min(least, ...released, ...holds.beginning.map(({ releasable }) => releasable));
    if (through <= limit) this.#releases.releaseAtLeast(through, limit);
    return positions.tail > needed;
  }

  /**
   * The newest record that a consumer lets go of for an append. One with a limit is never in the
   * way: less is kept for it, so that it need not be given up.
   */
  #released(hold: Hold): LSN {
    return hold.bounds.maxLagRecords > 0 || this.#hasAll(hold) ? hold.confirmed : hold.releasable;
  }

  /** True if a store has everything that it gets, so that it lets go of nothing by going on. */
  #hasAll({ applied, confirmed, hasSkippedRest }: Hold): boolean {
    const { last } = this.#parts.positions;
    return confirmed === last || (hasSkippedRest && applied === last);
  }

  /**
   * Gives up consumers, durably, and releases what only they held. One that has not begun is not
   * told. Recovery takes a checkpoint after the header for what all of its consumers have. So the
   * header must say who is lost before the next checkpoint is written.
   */
  #giveUp(laggards: readonly Hold[]): void {
    const { holds, header } = this.#parts;
    if (laggards.length === 0) return;
    for (const hold of laggards) hold.isLost = true;
    this.#releases.followHolds();
    try {
      this.#releases.releaseHeld();
    } finally {
      writeBoth(header);
      for (const hold of laggards) if (holds.get(hold.name) === hold) this.#maker.gaveUp(hold);
    }
  }
}
