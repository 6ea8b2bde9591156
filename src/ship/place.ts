// Finds where a follower goes on reading: the last message that begins at or before the LSN that
// its store needs next.

import { WALShipError } from "../errors.ts";
import type { LSN } from "../types.ts";
import type { Source, StoredMessage } from "./ports.ts";
import { readShipment, type Shipment } from "./shipment.ts";

/**
 * Finds the place to read from.
 *
 * @param next the first LSN that the store lacks.
 * @returns the message's place; the place after the end if there is no run.
 * @throws {WALShipError} if the source does not lead from the store's last LSN to the next one.
 */
export async function placeOf(source: Source, next: LSN): Promise<number> {
  const { first, last } = await source.bounds();
  const oldest = await runFrom(source, first, last);
  if (oldest === null) return last + 1;
  if (oldest.firstLsn > next) {
    throw new WALShipError(
      "gone",
      `Cannot follow: the store needs LSN ${next}, and the oldest message begins with LSN ${oldest.firstLsn}; ` +
        "fill the store from a backup() of the log, or from a copy of another store that has that LSN",
    );
  }
  const found = await bisect(source, oldest, next, last);
  await checkBefore(source, found, oldest.place);
  return found.place;
}

/** The first run at a place or after it, up to the last place; null if there is none. */
export async function runFrom(source: Source, first: number, last: number): Promise<Shipment | null> {
  for (let place = first; place <= last;) {
    const message = await source.at(place);
    if (message === null || message.place > last) return null;
    const shipment = readShipment(message);
    if (shipment.run !== null) return shipment;
    place = message.place + 1;
  }
  return null;
}

/** The last run whose first LSN is at most `next`. @param first a run for which this holds. */
async function bisect(source: Source, first: Shipment, next: LSN, last: number): Promise<Shipment> {
  let found = first;
  const near = await source.placeNear?.(next) ?? 0;
  const guesses = [near, near + 1];
  for (let end = last; found.place < end;) {
    const guess = guesses.shift() ?? 0;
    const isInside = found.place < guess && guess <= end;
    const middle = isInside ? guess : Math.ceil((found.place + end) / 2);
    const shipment = await runFrom(source, middle, end);
    if (shipment === null || shipment.firstLsn > next) end = middle - 1;
    else found = shipment;
  }
  return found;
}

/** Checks that a run comes directly after the one before it, if that is still there. */
async function checkBefore(source: Source, found: Shipment, first: number): Promise<void> {
  for (let place = found.place - 1; place >= first; place--) {
    const message = await source.at(place);
    if (message === null || message.place !== place) return;
    const before = readShipment(message);
    if (before.run !== null && !isRepeat(before, found)) return checkLink(before, found);
  }
}

/** True if a message is the same as another one, byte for byte. Then it may be skipped. */
export function isRepeat(before: Pick<StoredMessage, "bytes">, after: Pick<StoredMessage, "bytes">): boolean {
  return before.bytes.length === after.bytes.length && before.bytes.every((byte, index) => byte === after.bytes[index]);
}

/** @throws {WALShipError} if a run does not begin where the one before it ends. */
export function checkLink(before: Shipment, after: Shipment): void {
  const next = before.lastLsn + 1;
  if (after.firstLsn === next) return;
  const [fault, what] = after.firstLsn > next
    ? ["gap", `LSN ${next} to ${after.firstLsn - 1} are missing`] as const
    : ["fork", `it begins with LSN ${after.firstLsn} again, so two histories were shipped there`] as const;
  throw new WALShipError(
    fault,
    `Cannot follow: message ${before.place} ends with LSN ${before.lastLsn}, and at message ${after.place} ${what}; ` +
      "ship the log to a new target, and fill the store from a backup()",
  );
}
