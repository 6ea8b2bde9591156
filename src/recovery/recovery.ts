// From bytes to a verdict: where the log ends, and why. A pure function: it changes nothing.
//
// docs/format.md says what recovery decides, step by step, with a table of what a slot may show.
// tests/format_reader_test.ts compares this file with a reader that was written from that document.
//
// Of a log that was closed cleanly, recovery walks only the two ends unless the caller wants more.
// The records between them are verified when they are read.
//
// A watermark is an LSN that was durable when a record or the header was written. It counts even in
// a record after the end, because it was true when it was written. So a record at or below a
// watermark was acknowledged. A valid record after a bad one proves no damage by itself, because
// the pages of an unacknowledged group reach the disk in any order.
//
// Intact records after the end are phantoms. If new records filled the slots just before a phantom,
// a later recovery would take it for their successor. The verdict lists every slot that bears an
// LSN from after the end, so that it is erased before the first append.

import { assert } from "../assert.ts";
import type { ConsumerEntry } from "../format/consumer_table.ts";
import type { Header, LogState } from "../format/header.ts";
import { slotOf } from "../format/ring.ts";
import { OpType } from "../types.ts";
import type { LSN, WALOptions } from "../types.ts";
import { type Slots, SlotState } from "../format/record.ts";

/** Consecutive LSNs. */
export interface LsnRange {
  readonly first: LSN;
  readonly last: LSN;
}

/**
 * What recovery found. The checkpoint is the highest one of the header and the checkpoint records,
 * and is below `head`. The time is the highest one of the header and the records.
 */
export interface Verdict extends LogState {
  readonly clean: boolean;
  /**
   * The highest LSN that was acknowledged, as far as the file proves it; it may be below the tail.
   */
  readonly proved: LSN;
  /** Acknowledged records that cannot be read, in LSN order. */
  readonly damaged: readonly LsnRange[];
  /** The LSN of a record that a later version of this library wrote; 0 if there is none. */
  readonly unsupported: LSN;
  /** The number of slots that bear an LSN from after the end, but no intact record in its place. */
  readonly torn: number;
  /** The number of intact records after the end. */
  readonly phantoms: number;
  /** The slots to be erased, those of torn records and phantoms. */
  readonly debris: readonly number[];
}

/** Which records of a cleanly closed log are verified: all, none, or some at either end. */
export type Verify = NonNullable<WALOptions["verify"]>;
/** Records that are verified at once, so that checkpoints among them are still near. */
const RUN_RECORDS = 1024;
/** How many records of either end are verified. That takes a fraction of a millisecond. */
const END_RECORDS = 4096;

/** What `recover()` verifies of a cleanly closed log, oldest first. */
export function verifiedRanges({ tail, cleanHead: head }: Header, verify: Verify): readonly LsnRange[] {
  assert(tail <= head, "a closed log ends at its tail or later");
  if (verify === false || head === tail) return [];
  if (verify === true || head - tail <= 2 * END_RECORDS) return [{ first: tail, last: head - 1 }];
  return [{ first: tail, last: tail + END_RECORDS - 1 }, { first: head - END_RECORDS, last: head - 1 }];
}

/** How far a walk came. */
interface Walk {
  /** The first LSN that is not a record in its place. */
  readonly end: LSN;
  /** The end of the last whole batch. This is `end`, unless a batch breaks off there. */
  readonly head: LSN;
  readonly unsupported: LSN;
  readonly checkpoint: LSN;
}

/**
 * Recovers a log.
 *
 * @param slots the ring.
 * @param header the newest valid header copy.
 * @param verify which records of a cleanly closed log to verify. For the others, the header is
 * trusted.
 */
export function recover(slots: Slots, header: Header, verify: Verify): Verdict {
  const verdict = isClean(slots, header, verify) ? recoverClean(slots, header, verify) : recoverCrashed(slots, header);
  const { tail, head, checkpoint, damaged, torn, phantoms, debris, timeNanos } = verdict;
  assert(tail >= header.tail, "recovery brings back no released record");
  assert(tail <= head && head - tail <= slots.count, "a log is not longer than its ring");
  assert(checkpoint < head, "a checkpoint names a record that exists");
  assert(timeNanos >= header.timeNanos, "time goes on from the header's");
  assert(torn + phantoms === debris.length, "each slot to be erased is torn or holds a phantom");
  const areInOrder = damaged.every(({ first, last }, i) => first <= last && (i === 0 || damaged[i - 1]!.last < first));
  assert(areInOrder, "damage is reported in LSN order, each record once");
  return verdict;
}

/**
 * The slots that may refute a header which says that the log was closed cleanly. They hold no
 * record of the log. The range names them by the next LSNs, from `cleanHead` on.
 */
export function refutingRange({ tail, cleanHead, capacity }: Header, verify: Verify): LsnRange {
  const free = tail + capacity - cleanHead;
  assert(free >= 0, "a closed log is not longer than its ring");
  const count = verify === false ? 1 : verify === true ? free : Math.min(free, END_RECORDS);
  // In a full log, the slot of the head holds the oldest record. A newer record there also refutes
  // the header.
  return { first: cleanHead, last: cleanHead + Math.max(1, count) - 1 };
}

/**
 * True if the header says that the log was closed cleanly, and no slot refutes it. No slot of a
 * closed log bears an LSN of `cleanHead` or more. If one does, intact or not, it was written after
 * the close, and the header is an old copy.
 */
export function isClean(slots: Slots, header: Header, verify: Verify): boolean {
  const { cleanHead } = header;
  if (cleanHead === 0) return false;
  const { first, last } = refutingRange(header, verify);
  for (let lsn = first; lsn <= last; lsn++) {
    if (slots.lsnAt(slotOf(lsn, slots.count)) >= cleanHead) return false;
  }
  return true;
}

function recoverClean(slots: Slots, header: Header, verify: Verify): Verdict {
  const { tail, cleanHead: head } = header;
  const damaged: LsnRange[] = [];
  let unsupported = 0;
  let batchEnd = head;
  for (const { first, last } of verifiedRanges(header, verify)) {
    const walked = walk(slots, first, last + 1);
    batchEnd = walked.head;
    if (walked.end > last) continue;
    // The oldest LSN without a record decides what is reported.
    if (damaged.length === 0 && walked.unsupported !== 0) {
      unsupported = walked.unsupported;
      break;
    }
    collectDamage(slots, walked.end, last, damaged);
  }
  // The last batch lacks its end, which is therefore lost.
  if (damaged.length === 0 && unsupported === 0 && batchEnd < head) damaged.push({ first: head, last: head });
  return {
    clean: true,
    tail,
    head,
    proved: head - 1,
    damaged,
    unsupported,
    torn: 0,
    phantoms: 0,
    debris: [],
    checkpoint: Math.min(header.checkpoint, head - 1),
    timeNanos: header.timeNanos,
    timeSeq: header.timeSeq,
    consumers: consumersOf(header, tail, head, header.checkpoint),
  };
}

function recoverCrashed(slots: Slots, header: Header): Verdict {
  let tail = header.tail;
  let walked = walk(slots, tail, tail + slots.count);
  let beyond = readBeyond(slots, tail, walked.head);
  const damaged: LsnRange[] = [];
  const overwritten = beyond.highest - slots.count;
  if (overwritten >= tail) {
    // A slot is reused only after both header copies name the new tail. So a header whose records
    // are overwritten is older than both.
    damaged.push({ first: tail, last: overwritten });
    tail = overwritten + 1;
    walked = walk(slots, tail, tail + slots.count);
    beyond = readBeyond(slots, tail, walked.head);
    assert(beyond.highest - slots.count < tail, "no newer record is in a slot of the log");
  }
  const proved = Math.max(header.durable, header.cleanHead - 1, beyond.watermark);
  if (proved >= walked.head) collectDamage(slots, walked.end, Math.max(proved, walked.end), damaged);
  const last = walked.end > tail ? slotOf(walked.end - 1, slots.count) : -1;
  const time = laterTime(header, slots, last);
  const checkpoint = Math.min(Math.max(header.checkpoint, walked.checkpoint), walked.head - 1);
  return {
    clean: false,
    tail,
    head: walked.head,
    proved,
    damaged,
    unsupported: walked.unsupported,
    torn: beyond.torn,
    phantoms: beyond.phantoms,
    debris: beyond.debris,
    checkpoint,
    timeNanos: time.nanos,
    timeSeq: time.seq,
    consumers: consumersOf(header, tail, walked.head, checkpoint),
  };
}

/**
 * The consumers of a header. A checkpoint confirms for all that hold records. So if one was written
 * after the header, each of them has at least what it names. A consumer whose records are gone is
 * lost, which only a damaged log shows.
 */
function consumersOf(header: Header, tail: LSN, head: LSN, checkpoint: LSN): ConsumerEntry[] {
  const confirmed = checkpoint > header.checkpoint ? checkpoint : 0;
  return header.consumers.map((entry) => {
    const lsn = Math.min(entry.isLost ? entry.lsn : Math.max(entry.lsn, confirmed), head - 1);
    return { ...entry, lsn, isLost: entry.isLost || lsn < tail - 1 };
  });
}

/**
 * Follows the records from `first` on, as long as each next LSN is in its place, to before `limit`.
 */
function walk(slots: Slots, first: LSN, limit: LSN): Walk {
  let lsn = first;
  let head = first;
  let checkpoint = 0;
  for (let asked = 0, good = 0; lsn < limit && good === asked; lsn += good) {
    const slot = slotOf(lsn, slots.count);
    asked = Math.min(limit - lsn, slots.count - slot, RUN_RECORDS);
    const run = slots.verifyRun(slot, lsn, asked);
    good = run.good;
    if (run.whole > 0) head = lsn + run.whole;
    if (run.hasCheckpoint) checkpoint = Math.max(checkpoint, highestCheckpoint(slots, slot, good));
  }
  assert(head <= lsn && lsn <= limit, "whole batches end where the walk ends, or before");
  const isUnsupported = lsn < limit && slots.verify(slotOf(lsn, slots.count), lsn) === SlotState.Unsupported;
  return { end: lsn, head, unsupported: isUnsupported ? lsn : 0, checkpoint: Math.min(checkpoint, lsn - 1) };
}

/** The highest LSN that checkpoints among these records name. */
function highestCheckpoint(slots: Slots, first: number, count: number): LSN {
  let highest = 0;
  for (let slot = first; slot < first + count; slot++) {
    if (slots.opTypeAt(slot) === OpType.Checkpoint) highest = Math.max(highest, slots.checkpointAt(slot));
  }
  return highest;
}

/** What lies after the last whole batch. */
interface Beyond {
  /** The highest LSN of an intact record in its place, 0 if there is none. */
  highest: LSN;
  /** The highest watermark that an intact record past the end remembers. */
  watermark: LSN;
  torn: number;
  phantoms: number;
  debris: number[];
}

/** Reads every slot that holds no record of the log from `tail` to `head`. */
function readBeyond(slots: Slots, tail: LSN, head: LSN): Beyond {
  const beyond: Beyond = { highest: 0, watermark: 0, torn: 0, phantoms: 0, debris: [] };
  const count = slots.count - (head - tail);
  assert(count >= 0, "the log's records have slots of their own");
  let slot = slotOf(head, slots.count);
  for (let i = 0; i < count; i++) {
    const lsn = slots.lsnAt(slot);
    // Most slots hold stale records of an earlier lap, which stay.
    if (lsn >= head) readBeyondAt(slots, slot, lsn, beyond);
    if (++slot === slots.count) slot = 0;
  }
  return beyond;
}

function readBeyondAt(slots: Slots, slot: number, lsn: LSN, beyond: Beyond): void {
  const inPlace = Number.isSafeInteger(lsn) && slotOf(lsn, slots.count) === slot;
  const intact = inPlace && slots.verify(slot, lsn) !== SlotState.Other;
  beyond.debris.push(slot);
  if (!intact) {
    beyond.torn++;
    return;
  }
  beyond.phantoms++;
  beyond.highest = Math.max(beyond.highest, lsn);
  beyond.watermark = Math.max(beyond.watermark, lsn - slots.distanceAt(slot));
}

/** Adds the LSNs from `first` to `last` that have no record, as ranges. */
function collectDamage(slots: Slots, first: LSN, last: LSN, damaged: LsnRange[]): void {
  for (let lsn = firstBad(slots, first, last + 1); lsn <= last; lsn = firstBad(slots, lsn, last + 1)) {
    const start = lsn;
    while (lsn <= last && !hasRecord(slots, lsn)) lsn++;
    assert(lsn > start, "what is reported as damage is no record");
    damaged.push({ first: start, last: lsn - 1 });
  }
}

/** The first LSN from `lsn` on that has no record; at most `end`. */
export function firstBad(slots: Slots, lsn: LSN, end: LSN): LSN {
  // Few records first and more each time, because a badly damaged log has short runs of records.
  for (let most = 1; lsn < end; most = Math.min(4 * most, RUN_RECORDS)) {
    const slot = slotOf(lsn, slots.count);
    const count = Math.min(end - lsn, slots.count - slot, most);
    const { good } = slots.verifyRun(slot, lsn, count);
    lsn += good;
    if (good < count) break;
  }
  assert(lsn <= end, "no record past the end is read");
  return lsn;
}

function hasRecord(slots: Slots, lsn: LSN): boolean {
  return slots.verify(slotOf(lsn, slots.count), lsn) === SlotState.Record;
}

function laterTime(header: Header, slots: Slots, slot: number): { nanos: bigint; seq: number } {
  const inHeader = { nanos: header.timeNanos, seq: header.timeSeq };
  if (slot < 0) return inHeader;
  const inRecord = { nanos: slots.timeNanosAt(slot), seq: slots.timeSeqAt(slot) };
  const recordIsLater = inRecord.nanos > inHeader.nanos ||
    (inRecord.nanos === inHeader.nanos && inRecord.seq > inHeader.seq);
  return recordIsLater ? inRecord : inHeader;
}
