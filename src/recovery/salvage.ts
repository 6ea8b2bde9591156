// Which records of a damaged log are kept, and which are given up. A pure function.

import { HybridClock } from "../engine/hybrid_clock.ts";
import { copySlots, reusedBytes } from "../read/copies.ts";
import type { ReadSource } from "../read/source.ts";
import { imagePieces, type ImageRequest } from "./image.ts";
import type { LogState } from "../format/header.ts";
import type { Slots } from "../format/record.ts";
import { firstBad, type LsnRange } from "./recovery.ts";
import { lossOf, slotOf } from "../format/ring.ts";
import { type Loss, type LSN, OpType } from "../types.ts";

/** A salvaged log. */
export interface Salvage {
  /** Makes the new log's bytes, from the first one on; may be called again. */
  readonly pieces: () => Iterable<Uint8Array>;
  readonly head: LSN;
  readonly losses: readonly Loss[];
}

/** What salvage needs to know of a damaged log. */
export type SalvageRequest = Pick<ImageRequest, "header" | "state"> & {
  /** The highest LSN that was acknowledged. */
  readonly proved: LSN;
  /**
   * Acknowledged records before the tail whose slots hold newer records. There are such records
   * only if both headers were lost or old; otherwise this is null.
   */
  readonly overwritten: LsnRange | null;
};

/**
 * Keeps the intact records from the tail to the last acknowledged one, and those that follow it
 * without a gap. A batch is kept whole or given up whole. A record is also given up if it may
 * belong to a damaged batch.
 */
export function salvage(source: ReadSource, slots: Slots, request: SalvageRequest): Salvage {
  const { header, state, proved, overwritten } = request;
  const { tail } = state;
  const end = endOfSalvage(slots, tail, proved);
  const kept = intactOf(slots, tail, end);
  giveUpBrokenBatches(slots, tail, kept, overwritten !== null);
  // An unfinished batch at the very end was never acknowledged, so it is no loss.
  let head = end;
  while (head - 1 > proved && kept[head - 1 - tail] === 0) head--;
  const bytes = reusedBytes();
  const read = (first: LSN, last: LSN, seed: number) => {
    const copy = copySlots(source, first, last, undefined, 0, bytes).reseal(seed);
    putCheckpoints(copy, first, slots, tail, kept);
    return copy;
  };
  const checkpoint = Math.min(head - 1, latestCheckpoint(state, slots, kept));
  const losses = lossesOf(slots, tail, head, kept);
  if (overwritten !== null) losses.unshift(lossOf(overwritten.first, overwritten.last, slots.count));
  const saved = { ...state, head, checkpoint, ...latestTime(state, slots, kept.subarray(0, head - tail)) };
  return { pieces: () => imagePieces({ header, state: saved, read }), head, losses };
}

/**
 * The time from which the salvaged log goes on. Recovery knows no time from after the first damaged
 * record, but records from there may be kept.
 */
function latestTime(state: LogState, slots: Slots, kept: Uint8Array): Pick<LogState, "timeNanos" | "timeSeq"> {
  const clock = new HybridClock();
  clock.observe(state.timeNanos, state.timeSeq);
  const last = kept.lastIndexOf(1);
  if (last >= 0) observe(clock, slots, state.tail + last);
  return { timeNanos: clock.nanos, timeSeq: clock.seq };
}

/**
 * The highest LSN that a checkpoint names, also a kept one from after the first damaged record. If
 * the new header named an earlier one, a later recovery would take that checkpoint for news, and
 * for what consumers have that registered since.
 */
function latestCheckpoint({ tail, checkpoint }: LogState, slots: Slots, kept: Uint8Array): LSN {
  let highest = checkpoint;
  kept.forEach((isKept, index) => {
    const slot = slotOf(tail + index, slots.count);
    if (isKept === 1 && slots.opTypeAt(slot) === OpType.Checkpoint) {
      highest = Math.max(highest, slots.checkpointAt(slot));
    }
  });
  return highest;
}

function observe(clock: HybridClock, slots: Slots, lsn: LSN): void {
  const slot = slotOf(lsn, slots.count);
  clock.observe(slots.timeNanosAt(slot), slots.timeSeqAt(slot));
}

/** The first LSN after the acknowledged ones that has no intact record. */
function endOfSalvage(slots: Slots, tail: LSN, proved: LSN): LSN {
  return firstBad(slots, Math.max(tail, proved + 1), tail + slots.count);
}

/** Marks the LSNs from `tail` on that have an intact record. */
function intactOf(slots: Slots, tail: LSN, end: LSN): Uint8Array {
  const kept = new Uint8Array(end - tail);
  for (let lsn = tail; lsn < end; lsn++) {
    const bad = firstBad(slots, lsn, end);
    kept.fill(1, lsn - tail, bad - tail);
    lsn = bad;
  }
  return kept;
}

/**
 * Puts a checkpoint in the place of each lost record, because LSNs are dense. The
 * checkpoint confirms nothing. It has the time of the last kept record before it, and zeros in all
 * other fields.
 *
 * @param copy records from `first` on.
 */
function putCheckpoints(copy: Slots, first: LSN, slots: Slots, tail: LSN, kept: Uint8Array): void {
  const clock = new HybridClock();
  let before = kept.lastIndexOf(1, first - tail);
  for (let slot = 0; slot < copy.count; slot++) {
    const index = first + slot - tail;
    if (kept[index] === 1) {
      before = index;
      continue;
    }
    if (before >= 0) observe(clock, slots, tail + before);
    copy.write(slot, OpType.Checkpoint, 0, first + slot, index + 1, clock, 0, 0, 0, 0, 0);
    copy.seal(slot, 1);
  }
}

/**
 * Clears the marks of records whose batch is not complete.
 *
 * @param afterHole true if the records before the first one are lost.
 */
function giveUpBrokenBatches(slots: Slots, tail: LSN, kept: Uint8Array, afterHole: boolean): void {
  const count = kept.length;
  const goesOn = (index: number) => slots.batchGoesOn(slotOf(tail + index, slots.count));
  let start = 0;
  /**
   * Index of the last damaged record before `start`; null if a batch is known to start after it.
   */
  let hole: number | null = afterHole ? -1 : null;
  while (start < count) {
    if (kept[start] === 0) {
      hole = start++;
      continue;
    }
    let end = start;
    while (end < count && kept[end] === 1 && goesOn(end)) end++;
    const whole = end < count && kept[end] === 1;
    const certainStart = hole === null || watermarkAt(slots, tail + start) >= tail + hole;
    if (!whole || !certainStart) kept.fill(0, start, Math.min(end + 1, count));
    if (whole) hole = null;
    else hole = Math.min(end, count - 1);
    start = end + 1;
  }
}

/**
 * The LSN that was durable when a record was written. A damaged record at or below it cannot belong
 * to the same batch.
 */
function watermarkAt(slots: Slots, lsn: LSN): LSN {
  return lsn - slots.distanceAt(slotOf(lsn, slots.count));
}

function lossesOf(slots: Slots, tail: LSN, head: LSN, kept: Uint8Array): Loss[] {
  const losses: Loss[] = [];
  for (let lsn = tail; lsn < head; lsn++) {
    if (kept[lsn - tail] === 1) continue;
    const first = lsn;
    while (lsn + 1 < head && kept[lsn + 1 - tail] === 0) lsn++;
    losses.push(lossOf(first, lsn, slots.count));
  }
  return losses;
}
