// A store's saved position, and whether it is one in this log. Where it is not, a consumer that started after it would skip
// acknowledged records and release them, so the store is refused, however far the log has grown meanwhile.

import type { StoreMethods } from "./consumer.ts";
import type { Positions } from "../engine/positions.ts";
import { WALStoreError } from "../errors.ts";
import { type Lineage, sharedThrough } from "../format/lineage.ts";
import type { LSN } from "../types.ts";

/** What a store says that it has. */
export interface StorePosition {
  /** Everything up to here. */
  readonly lsn: LSN;
  /** The log whose LSN it is; null if the store does not know. */
  readonly logId: string | null;
}

/** What a position is held against. */
export interface PositionedLog {
  readonly lineage: Lineage;
  /** A store that lacks what was checkpointed has lost data. */
  readonly positions: Pick<Positions, "tail" | "durable" | "checkpointed">;
  /**
   * No store has more of this log: it was there at `open()`, or was handed out to a consumer since, or the caller has said by
   * `checkpoint()` or `truncate()` that it is in the store.
   */
  readonly reachable: LSN;
}

/**
 * Asks a store for its position.
 *
 * @throws {TypeError} if the store's answers are none.
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

/** The error for a store whose position is none in this log; null if the consumer may start after it. */
export function refusalOf({ lsn, logId }: StorePosition, log: PositionedLog): WALStoreError | null {
  const { lineage, reachable } = log;
  const { tail, durable, checkpointed } = log.positions;
  const refuse = (why: string) =>
    new WALStoreError({ appliedLsn: lsn, appliedLog: logId, logId: lineage.logId, tail, durable }, why);
  const canBeEmpty = checkpointed === 0 || tail === 1;
  const remedy = canBeEmpty ? "give this log an empty store" : `give this log a store that has its LSN ${tail - 1}`;
  const shared = logId === null ? Infinity : sharedThrough(lineage, logId);
  if (lsn > shared) {
    const common = shared === 0 ? "" : `, which shares only LSN ${shared} and those before with it`;
    return refuse(
      `the store has LSN ${lsn} of log ${logId}, but this is log ${lineage.logId}${common}; ` +
        `open the log that the store belongs to, or ${remedy}`,
    );
  }
  if (lsn > reachable) {
    return refuse(
      `the store has LSN ${lsn}, but the log has not handed out more than LSN ${reachable}: ` +
        `it was restored or made anew, or the store is another log's; open the log that the store belongs to, or ${remedy}`,
    );
  }
  if (lsn < checkpointed && lsn < tail - 1) {
    const forgot = lsn === 0 ? " (it is empty: a store in memory forgets with its process)" : "";
    return refuse(
      `the store has LSN ${lsn}${forgot}, but the log has released everything before LSN ${tail}; ${remedy}`,
    );
  }
  return null;
}
