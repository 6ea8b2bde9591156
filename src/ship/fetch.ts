// Fetches runs from a source, one after the other without a gap, wherever the source's end moves.

import { WALShipError } from "../errors.ts";
import type { LSN } from "../types.ts";
import { checkLink, isRepeat, placeOf } from "./place.ts";
import type { Source, StoredMessage } from "./ports.ts";
import { readShipment, type Shipment } from "./shipment.ts";

/** Pauses, each of about a second, between looks at the end of a silent source. */
const PAUSES = 30;

/** What is fetched, and for whom. */
export interface Fetching {
  readonly source: Source;
  /** The log that all runs must be of. */
  readonly logId: string;
  /** The first LSN that the store lacks. */
  readonly next: LSN;
  /** Takes a run that has the next LSN. The next run is read when it resolves. */
  readonly arrive: (run: Shipment) => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * Fetches runs until the signal aborts.
 *
 * @throws {WALShipError} if the source fails, or does not lead on.
 */
export async function fetchRuns({ source, logId, next, arrive, signal }: Fetching): Promise<void> {
  /** The first missing LSN when the messages did not follow each other for the last time. */
  let misplacedAt = 0;
  while (!signal.aborted) {
    const place = await placeOf(source, next);
    let before: Shipment | null = null;
    let latest: StoredMessage | null = null;
    let pauses = 0;
    for await (const message of source.read(place, signal)) {
      if (signal.aborted) return;
      if (message === null) {
        // The source has lost its end, and gets other messages at the same places.
        if ((await source.bounds()).last < (latest?.place ?? place - 1)) break;
        // It may have as many as before already.
        if (latest !== null && pauses++ % PAUSES === 0 && await isReplaced(source, latest)) break;
        continue;
      }
      latest = message;
      pauses = 0;
      const run: Shipment | null = runIn(message, logId);
      if (run === null || (before !== null && isRepeat(before, run))) continue;
      if (before === null ? run.firstLsn > next : run.firstLsn !== before.lastLsn + 1) {
        // It may have lost its end before this message came. Then another place leads on.
        if (misplacedAt === next && before !== null) checkLink(before, run);
        misplacedAt = next;
        break;
      }
      before = run;
      if (run.lastLsn < next) continue;
      await arrive(run);
      next = run.lastLsn + 1;
    }
  }
}

/** True if a source has another message in the place of one that it had. */
async function isReplaced(source: Source, latest: StoredMessage): Promise<boolean> {
  const found = await source.at(latest.place);
  return found?.place === latest.place && !isRepeat(latest, found);
}

/** The run in a message; null if it is a claim. */
function runIn(message: StoredMessage, logId: string): Shipment | null {
  const shipment = readShipment(message);
  if (shipment.run === null) return null;
  if (shipment.logId === logId) return shipment;
  throw new WALShipError(
    "lineage",
    `Cannot follow: message ${message.place} is of log ${shipment.logId}, and those before it are of log ${logId}; ` +
      "ship each log to a target of its own",
  );
}
