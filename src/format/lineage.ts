// Which logs share a history, and up to which LSN. This decides whether an LSN that a store saved
// is a position in this log.
//
// Every log has a public id. A copy gets a new one, and records its origin: the id of the log that
// it was copied from, and the last LSN that both share. A log whose file went back in time cannot
// tell by itself. When a store shows it, the log forks: it takes another public id.

import { LOG_ID_BYTES } from "./layout.ts";
import { verifiesZeros } from "./record.ts";
import type { LogOrigin, LSN } from "../types.ts";

/** A log's public id, and what it shares with other histories. */
export interface Lineage {
  /** The public id, as `WAL.logId` gives it. */
  readonly logId: string;
  /** The log that this one was copied from; null for a log that was made empty. */
  readonly origin: LogOrigin | null;
  /**
   * The history that this file has left; null while the public id is the one that seeds checksums.
   */
  readonly fork: LogOrigin | null;
}

/**
 * The last LSN that a log shares with the log of another id: Infinity for its own id, 0 for an
 * unknown one.
 */
export function sharedThrough({ logId, origin, fork }: Lineage, otherId: string): LSN {
  if (otherId === logId) return Infinity;
  if (otherId === fork?.logId) return fork.lastLsn;
  return otherId === origin?.logId ? origin.lastLsn : 0;
}

/** The lineage of a log that leaves its history after an LSN. */
export function forked(lineage: Lineage, newId: Uint8Array, lastLsn: LSN): Lineage {
  return { logId: logIdText(newId), origin: lineage.origin, fork: { logId: lineage.logId, lastLsn } };
}

/** A random log id, not zeros, under which a slot of zeros does not verify. */
export function newLogId(): Uint8Array {
  for (;;) {
    const logId = crypto.getRandomValues(new Uint8Array(LOG_ID_BYTES));
    if (!verifiesZeros(logId) && logId.some((byte) => byte !== 0)) return logId;
  }
}

/** The bytes of a log id as text: two lowercase hex digits each. */
export function logIdText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes of a log id that is given as text. */
export function logIdBytes(text: string): Uint8Array {
  return Uint8Array.from({ length: LOG_ID_BYTES }, (_, index) => parseInt(text.slice(2 * index, 2 * index + 2), 16));
}
