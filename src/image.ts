// A new log file with records of an old one: for backups, and for what salvage saves.

import { HybridClock } from "./clock.ts";
import { writeHeader } from "./header.ts";
import { FLAG_BATCH_GOES_ON, LOG_ID_BYTES, RECORD_BYTES, RING_AT } from "./layout.ts";
import { checksumSeed, Slots } from "./record.ts";
import { fileBytesOf, slotOf } from "./ring.ts";
import { type LSN, OpType, type WALRecord } from "./types.ts";

/** A random log id under which a slot of zeros does not verify. */
export function newLogId(): Uint8Array {
  for (;;) {
    const logId = crypto.getRandomValues(new Uint8Array(LOG_ID_BYTES));
    const zeros = new Slots(new ArrayBuffer(RECORD_BYTES), 0, 1, checksumSeed(logId));
    if (!zeros.checksumMatches(0)) return logId;
  }
}

/** What a new file starts with: both header copies, for an empty log. */
export function emptyImage(capacity: number, logId: Uint8Array, createdNanos: bigint): Uint8Array {
  const image = new Uint8Array(RING_AT);
  const header = {
    capacity,
    logId,
    tail: 1,
    durable: 0,
    checkpoint: 0,
    timeNanos: 0n,
    timeSeq: 0,
    cleanHead: 1,
    created: createdNanos,
    openerPid: 0,
  };
  writeHeader(image.buffer, 0, { ...header, writeCounter: 1 });
  writeHeader(image.buffer, 1, { ...header, writeCounter: 2 });
  return image;
}

/** What goes into a copied log. */
export interface ImageRequest {
  readonly capacity: number;
  readonly tail: LSN;
  readonly head: LSN;
  readonly checkpoint: LSN;
  readonly timeNanos: bigint;
  readonly timeSeq: number;
  readonly createdNanos: bigint;
  /**
   * The record of an LSN and whether its batch goes on, or null for a lost one; called in LSN order.
   */
  readonly recordAt: (lsn: LSN) => { readonly record: WALRecord; readonly batchGoesOn: boolean } | null;
}

/**
 * A cleanly closed log of the same LSNs under a new log id. LSNs are dense, so a lost record leaves a checkpoint in its
 * place that confirms nothing (all its fields but the time are zero).
 *
 * @returns the whole file.
 */
export function logImage(request: ImageRequest): Uint8Array {
  const { capacity, tail, head } = request;
  const logId = newLogId();
  const bytes = new Uint8Array(fileBytesOf(capacity));
  const slots = Slots.ofRing(bytes.buffer, capacity, checksumSeed(logId));
  const clock = new HybridClock(() => 0);
  for (let lsn = tail; lsn < head; lsn++) {
    const slot = slotOf(lsn, capacity);
    const found = request.recordAt(lsn);
    if (found === null) {
      slots.write(slot, OpType.Checkpoint, 0, lsn, lsn - tail + 1, clock, 0, 0, 0, 0, 0);
      continue;
    }
    const { record, batchGoesOn } = found;
    const [nanos, seq, shard] = record.time;
    clock.observe(nanos, seq);
    const flags = batchGoesOn ? FLAG_BATCH_GOES_ON : 0;
    const { keyHigh, keyLow, valueHigh, valueLow } = record;
    const distance = lsn - tail + 1;
    slots.write(slot, record.opType, flags, lsn, distance, clock, shard, keyHigh, keyLow, valueHigh, valueLow);
  }
  const header = {
    capacity,
    logId,
    tail,
    durable: head - 1,
    checkpoint: request.checkpoint,
    timeNanos: request.timeNanos,
    timeSeq: request.timeSeq,
    cleanHead: head,
    created: request.createdNanos,
    openerPid: 0,
  };
  writeHeader(bytes.buffer, 0, { ...header, writeCounter: 1 });
  writeHeader(bytes.buffer, 1, { ...header, writeCounter: 2 });
  return bytes;
}
