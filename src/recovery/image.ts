// A new log file with records of an old one, for backups and for salvage.

import { closedPositions, EMPTY_LOG, type FixedFields, type LogState, writeHeader } from "../format/header.ts";
import { RECORD_BYTES, RING_AT } from "../format/layout.ts";
import { type Lineage, logIdText, newLogId } from "../format/lineage.ts";
import { checksumSeed, type Slots } from "../format/record.ts";
import { slotOf } from "../format/ring.ts";
import type { LogOrigin, LSN } from "../types.ts";

/** The first bytes of a new file: both header copies of an empty log. */
export function emptyImage(capacity: number, logId: Uint8Array, createdNanos: bigint): Uint8Array {
  return headersOf(EMPTY_LOG, { capacity, logId, created: createdNanos, lineage: lineageOf(logId, null) });
}

/** What goes into a copied log. */
export interface ImageRequest {
  /** The header of the log that the records come from. */
  readonly header: FixedFields;
  /** The state of the copy. Both logs share all LSNs before its head. */
  readonly state: LogState;
  /**
   * Gives a private copy of consecutive records, as records of the new log.
   *
   * @param seed what the new log's checksums start from.
   */
  readonly read: (first: LSN, last: LSN, seed: number) => Slots;
}

/** How much of a copied log is made at once. */
const PIECE_BYTES = 256 * 1024;
const PIECE_RECORDS = PIECE_BYTES / RECORD_BYTES;

/**
 * A cleanly closed log with the same LSNs in the same slots, with a new log id, and with its source
 * as origin. Each piece is made when it is asked for.
 *
 * @returns the file's bytes from the first one on. Zeros at the end are left out.
 */
export function* imagePieces({ header, state, read }: ImageRequest): Generator<Uint8Array, void, undefined> {
  const { capacity, created } = header;
  const { tail, head } = state;
  const logId = newLogId();
  const seed = checksumSeed(logId);
  function* records(first: LSN, last: LSN) {
    for (let lsn = first; lsn <= last; lsn += PIECE_RECORDS) {
      yield read(lsn, Math.min(last, lsn + PIECE_RECORDS - 1), seed).memory.bytes();
    }
  }
  const lineage = lineageOf(logId, { logId: header.lineage.logId, lastLsn: head - 1 });
  yield headersOf(state, { capacity, logId, created, lineage });
  // In the order of the slots. If records go round the end of the ring, the newer ones come first.
  const start = slotOf(tail, capacity);
  const nextLap = tail + capacity - start;
  yield* records(nextLap, head - 1);
  yield* zeros(start - Math.max(0, head - nextLap));
  yield* records(tail, Math.min(nextLap, head) - 1);
}

function* zeros(slots: number): Generator<Uint8Array, void, undefined> {
  for (let done = 0; done < slots; done += PIECE_RECORDS) {
    yield new Uint8Array(Math.min(PIECE_RECORDS, slots - done) * RECORD_BYTES);
  }
}

/** Both header copies of a cleanly closed log, and the zeros up to the ring. */
function headersOf(state: LogState, fixed: FixedFields): Uint8Array {
  const bytes = new Uint8Array(RING_AT);
  const header = { ...closedPositions(state, 0), ...fixed };
  writeHeader(bytes, 0, { ...header, writeCounter: 1 });
  writeHeader(bytes, 1, { ...header, writeCounter: 2 });
  return bytes;
}

function lineageOf(logId: Uint8Array, origin: LogOrigin | null): Lineage {
  return { logId: logIdText(logId), origin, fork: null };
}
