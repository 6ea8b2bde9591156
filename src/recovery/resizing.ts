// Moves an open log into a file of another size, which takes the old file's place.
//
// The new file has the same ids, the same LSNs, and everything appended. It is durable before it
// gets the old file's name, and both of its header copies say that the log is open. So there is
// nothing left to write, and a crash at any moment leaves either the old log or the new one.

import { type Region, RegionError } from "../../ffi/region.ts";
import { assert } from "../assert.ts";
import type { Appender } from "../engine/appender.ts";
import type { EngineParts } from "../engine/parts.ts";
import { WALFileGoneError, WALTooSmallError } from "../errors.ts";
import type { Header } from "../format/header.ts";
import { MAX_CAPACITY, MINIMUM_FILE_BYTES } from "../format/layout.ts";
import { capacityOf, fileBytesOf, roundFileBytes } from "../format/ring.ts";
import { copyVerified, reusedBytes } from "../read/copies.ts";
import { resizedPieces } from "./image.ts";

/** What a resize needs of its log. */
export interface ResizableLog extends EngineParts {
  readonly appender: Appender;
  /** The warning that the log has not the size that the caller asked for at `open()`. */
  sizeWarning: string | null;
}

/**
 * Resizes a log. The one writer of its `capacity`. Appenders, readers, consumers and backups go on.
 *
 * @param bytes the new file's size, before it is rounded up.
 */
export function resize(log: ResizableLog, bytes: number): void {
  log.health.mustBeGood("resize");
  const sizeBytes = roundFileBytes(bytes);
  if (sizeBytes === log.memory.region.memory.sizeBytes) return;
  const capacity = Math.min(capacityOf(sizeBytes), MAX_CAPACITY);
  checkRoom(log, bytes, capacity);
  log.commit.flush(() => exchange(log, sizeBytes, capacity));
  log.sizeWarning = null;
}

function checkRoom({ positions, memory }: ResizableLog, bytes: number, capacity: number): void {
  const kept = positions.head - positions.oldestNeeded;
  if (kept <= capacity) return;
  const needed = Math.max(MINIMUM_FILE_BYTES, roundFileBytes(fileBytesOf(kept)));
  throw memory.counted(new WALTooSmallError(bytes, needed, positions.oldestNeeded, positions.last));
}

/** Exchanges the file under the log. */
function exchange(log: ResizableLog, sizeBytes: number, capacity: number): void {
  const header = log.header.withCapacity(capacity);
  const next = replaceFile(log, header, sizeBytes);
  const old = log.memory.region;
  try {
    moveTo(log, next, header);
  } catch (error) {
    next.close();
    throw log.health.fail(error);
  }
  // Only now, because the lock of the old file keeps others out until the new file is locked.
  old.close();
}

/** Puts the new file in place. After an error, the old file is in place and goes on. */
function replaceFile({ memory, positions, health }: ResizableLog, header: Header, sizeBytes: number): Region {
  const bytes = reusedBytes();
  const read = (first: number, last: number) => copyVerified(memory, first, last, 0, bytes);
  const pieces = resizedPieces(header, positions.oldestNeeded, positions.head, read);
  try {
    return memory.region.replace(pieces, sizeBytes, null);
  } catch (error) {
    const translated = health.translate(asUnharmed(error));
    if (translated instanceof WALFileGoneError) throw health.fail(translated);
    memory.file.check(); // the error may have come after the new file had taken the place
    throw translated;
  }
}

/** A sync of the new file that failed says nothing of the old one. */
function asUnharmed(error: unknown): unknown {
  const isSync = error instanceof RegionError && error.reason === "SYNC";
  return isSync ? new RegionError("IO", error.message, error.details) : error;
}

/** Goes on in the new file. */
function moveTo({ memory, positions, header, appender }: ResizableLog, region: Region, latest: Header): void {
  assert(latest.durable === positions.last && latest.tail === positions.tail, "nothing moves while a file is replaced");
  memory.moveTo(region, latest.capacity);
  positions.capacity = latest.capacity;
  header.moveTo(region, latest);
  appender.ringChanged();
  positions.assertConsistent();
}
