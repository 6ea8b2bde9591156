// A new log file with records of an old one, for backups, for salvage and for a resize.

import {
  closedPositions,
  EMPTY_LOG,
  type FixedFields,
  type Header,
  type LogState,
  type SetPlace,
  writeHeader,
} from "../format/header.ts";
import { assert } from "../assert.ts";
import { RECORD_BYTES, RING_AT } from "../format/layout.ts";
import { type Lineage, logIdText, newLogId } from "../format/lineage.ts";
import { checksumSeed, type Slots } from "../format/record.ts";
import { slotOf } from "../format/ring.ts";
import type { LogOrigin, LSN } from "../types.ts";

/** The first bytes of a new file: both header copies of an empty log. */
export function emptyImage(capacity: number, logId: Uint8Array, created: bigint, place?: SetPlace): Uint8Array {
  const fixed = { capacity, logId, created, lineage: lineageOf(logId, null) };
  return closedHeaders(EMPTY_LOG, place === undefined ? fixed : { ...fixed, place });
}

/** What goes into a copied log. */
export interface ImageRequest {
  /** The header of the log that the records come from. */
  readonly header: FixedFields;
  /** The state of the copy. Both logs share all LSNs before its head. */
  readonly state: LogState;
  /**
   * Gives a private copy of consecutive records, as records of the new log. It stays until the next
   * one is made.
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
 * as origin. Each piece is made when it is asked for, perhaps in place of the one before.
 *
 * @returns the file's bytes from the first one on. Zeros at the end are left out.
 */
export function* imagePieces({ header, state, read }: ImageRequest): Generator<Uint8Array, void, undefined> {
  const { tail, head } = state;
  const logId = newLogId();
  const seed = checksumSeed(logId);
  const lineage = lineageOf(logId, { logId: header.lineage.logId, lastLsn: head - 1 });
  yield closedHeaders(state, { ...fixedOf(header), logId, lineage });
  yield* ringPieces(tail, head, header.capacity, (first, last) => read(first, last, seed));
}

/**
 * The same log in a ring of another capacity, open. Each piece is made when it is asked for.
 *
 * @param header both header copies.
 * @param first the first record that the ring has, the tail or one before it.
 * @param end one more than the last record.
 * @param read gives a private copy of consecutive records.
 * @returns as `imagePieces()`.
 */
export function* resizedPieces(
  header: Header,
  first: LSN,
  end: LSN,
  read: (first: LSN, last: LSN) => Slots,
): Generator<Uint8Array, void, undefined> {
  yield headersOf(header);
  yield* ringPieces(first, end, header.capacity, read);
}

/**
 * The records from `first` to the one before `end` in their slots. They come in the order of the
 * slots: if records go round the end of the ring, the newer ones first.
 */
function* ringPieces(
  first: LSN,
  end: LSN,
  capacity: number,
  read: (first: LSN, last: LSN) => Slots,
): Generator<Uint8Array, void, undefined> {
  function* records(from: LSN, last: LSN) {
    for (let lsn = from; lsn <= last; lsn += PIECE_RECORDS) {
      yield read(lsn, Math.min(last, lsn + PIECE_RECORDS - 1)).memory.bytes();
    }
  }
  assert(end - first <= capacity, "a ring has a slot for each of its records");
  const start = slotOf(first, capacity);
  const nextLap = first + capacity - start;
  yield* records(nextLap, end - 1);
  yield* zeros(start - Math.max(0, end - nextLap));
  yield* records(first, Math.min(nextLap, end) - 1);
}

function* zeros(slots: number): Generator<Uint8Array, void, undefined> {
  const bytes = new Uint8Array(Math.min(PIECE_RECORDS, slots) * RECORD_BYTES);
  for (let done = 0; done < slots; done += PIECE_RECORDS) {
    yield bytes.subarray(0, Math.min(PIECE_RECORDS, slots - done) * RECORD_BYTES);
  }
}

/** What a copy has of its source's header: not a write counter, nor whether it is being erased. */
function fixedOf({ capacity, created, place }: FixedFields): Pick<FixedFields, "capacity" | "created" | "place"> {
  return place === undefined ? { capacity, created } : { capacity, created, place };
}

function closedHeaders(state: LogState, fixed: FixedFields): Uint8Array {
  return headersOf({ ...closedPositions(state, 0), ...fixed, writeCounter: 2 });
}

/** Both copies of a header, and the zeros up to the ring. Copy B is the newer one. */
function headersOf(header: Header): Uint8Array {
  const bytes = new Uint8Array(RING_AT);
  writeHeader(bytes, 0, { ...header, writeCounter: header.writeCounter - 1 });
  writeHeader(bytes, 1, header);
  return bytes;
}

function lineageOf(logId: Uint8Array, origin: LogOrigin | null): Lineage {
  return { logId: logIdText(logId), origin, fork: null };
}
