// A store's saved position, and whether it is a position of this log. If not, a consumer that
// started after it would skip acknowledged records and release them. So the store is refused,
// however far the log has grown meanwhile.

import type { StoreMethods } from "../arguments/consumer.ts";
import type { Positions } from "../engine/positions.ts";
import { WALConsumingError, WALStoreError } from "../errors.ts";
import { type Lineage, sharedThrough } from "../format/lineage.ts";
import type { LSN } from "../types.ts";
import type { Standing } from "./standing.ts";

/** The position that a store reports. */
export interface StorePosition {
  /** The store has everything up to this LSN. */
  readonly lsn: LSN;
  /** The id of the log of that LSN; null if the store does not know. */
  readonly logId: string | null;
}

/** What a position is compared with. */
export interface PositionedLog {
  /** The log's file; null for a log in memory. */
  readonly path: string | null;
  readonly isOpen: boolean;
  /** True for a follower's log. A file has any number of these, and one other. */
  readonly isFollowed: boolean;
  readonly lineage: Lineage;
  readonly positions: Pick<Positions, "tail" | "durable" | "checkpointed">;
  readonly standing: Pick<Standing, "applied">;
  /**
   * The highest LSN of this log that a store can have. It was there at `open()`, a consumer was
   * given it, or the caller said by `checkpoint()` or `truncate()` that it is in the store.
   */
  readonly reachable: LSN;
  /**
   * True if a released record is still in its slot, and is a checkpoint. Missing if nobody can
   * look.
   */
  wasCheckpoint?(lsn: LSN): boolean;
}

/**
 * Asks a store for its position.
 *
 * @throws {TypeError} if the store answers with something else.
 */
export async function positionOf(store: Pick<StoreMethods, "appliedLsn" | "appliedLog">): Promise<StorePosition> {
  const lsn = await store.appliedLsn!();
  if (!Number.isSafeInteger(lsn) || lsn < 0) {
    throw new TypeError(`Cannot consume the log: the store's appliedLsn() is not an LSN: ${String(lsn)}`);
  }
  const logId = await store.appliedLog?.() ?? null;
  if (logId !== null && typeof logId !== "string") {
    throw new TypeError(
      `Cannot consume the log: the store's appliedLog() is neither a log's id nor null: ${String(logId)}`,
    );
  }
  return { lsn, logId: logId === "" ? null : logId };
}

/** Stores whose position a consumer is moving, and that consumer's log. */
const moving = new WeakMap<object, PositionedLog>();

/**
 * Lets the consumer of a log move a store's position. With two logs at a time, each would skip LSNs
 * that the store has from the other log.
 *
 * @throws {WALStoreError} if a consumer of another open log is moving the position.
 * @throws {WALConsumingError} if another follower of this log is, or its writer.
 */
export function takePosition(store: object, log: PositionedLog): void {
  const other = moving.get(store);
  if (other !== undefined && other !== log && other.isOpen && !isReopening(other, log)) {
    if (isSameFile(other, log) || other.lineage.logId === log.lineage.logId) {
      throw new WALConsumingError("", "is filling the store already");
    }
    throw refusal(
      { lsn: other.standing.applied, logId: other.lineage.logId },
      log,
      `a consumer of log ${other.lineage.logId} is filling the store, and this is log ${log.lineage.logId}: ` +
        "a store's LSN belongs to one log only; give this log a store of its own",
    );
  }
  moving.set(store, log);
}

/** True for a writer's openings of one file. Only one of them is open at a time. */
function isReopening(a: PositionedLog, b: PositionedLog): boolean {
  return isSameFile(a, b) && !a.isFollowed && !b.isFollowed;
}

function isSameFile(a: PositionedLog, b: PositionedLog): boolean {
  return a.path !== null && a.path === b.path;
}

/** Notes that the consumer has ended. */
export function givePositionBack(store: object, log: PositionedLog): void {
  if (moving.get(store) === log) moving.delete(store);
}

function refusal({ lsn, logId }: StorePosition, { lineage, positions }: PositionedLog, why: string): WALStoreError {
  const { tail, durable } = positions;
  return new WALStoreError({ appliedLsn: lsn, appliedLog: logId, logId: lineage.logId, tail, durable }, why);
}

/** True if the log has released records after an LSN that stores are given. */
export function lacksReleased(lsn: LSN, log: PositionedLog): boolean {
  const { tail, checkpointed } = log.positions;
  if (lsn >= checkpointed) return false;
  // Checkpoints name also records that are kept, so they do not tell what was released last.
  return lsn < beforeCheckpoints(log, tail - 1, lsn);
}

/**
 * The LSN before the checkpoints that end with an LSN, as far as they can be seen, down to `least`.
 */
export function beforeCheckpoints(log: PositionedLog, lsn: LSN, least: LSN = 0): LSN {
  while (lsn > least && log.wasCheckpoint?.(lsn)) lsn--;
  return lsn;
}

/**
 * The error for a store whose position is not in this log; null if the consumer may start after it.
 */
export function refusalOf(position: StorePosition, log: PositionedLog): WALStoreError | null {
  const { lsn, logId } = position;
  const { lineage, reachable } = log;
  const { tail, checkpointed } = log.positions;
  const refuse = (why: string) => refusal(position, log, why);
  const canBeEmpty = checkpointed === 0 || tail === 1;
  const remedy = canBeEmpty ? "give this log an empty store" : `give this log a store that has its LSN ${tail - 1}`;
  const shared = logId === null ? Infinity : sharedThrough(lineage, logId);
  if (lsn > shared) {
    const common = shared === 0 ? "" : `, which shares only LSN 1 to ${shared} with that log`;
    return refuse(
      `the store has LSN ${lsn} of log ${logId}, but this is log ${lineage.logId}${common}; ` +
        `open the log that the store belongs to, or ${remedy}`,
    );
  }
  if (lsn > reachable) {
    return refuse(
      `the store has LSN ${lsn}, but the log has not handed out more than LSN ${reachable}: ` +
        `it was restored or made anew, or the store belongs to another log; open the log that the store belongs to, or ${remedy}`,
    );
  }
  if (lacksReleased(lsn, log)) {
    const forgot = lsn === 0 ? " (it is empty: a store in memory forgets with its process)" : "";
    return refuse(
      `the store has LSN ${lsn}${forgot}, but the log has released everything before LSN ${tail}; ${remedy}`,
    );
  }
  return null;
}
