// What can be proved of a damaged log: which records to keep, which to give up. A pure function.

import { copySlots, type ReadSource } from "./cursor.ts";
import { type ImageRequest, logImage } from "./image.ts";
import { type Slots, SlotState, StoredRecord } from "./record.ts";
import type { LsnRange } from "./recovery.ts";
import { lossOf, slotOf } from "./ring.ts";
import type { Loss, LSN } from "./types.ts";

/** A salvaged log. */
export interface Salvage {
  readonly image: Uint8Array;
  readonly head: LSN;
  readonly losses: readonly Loss[];
}

/** The parts of a verdict that salvage builds on. */
export type SalvageRequest = Omit<ImageRequest, "head" | "recordAt" | "capacity"> & {
  /** The highest LSN that was acknowledged. */
  readonly proved: LSN;
  /** Acknowledged records before the tail that newer ones stand in the place of; null but where both headers were lost or old. */
  readonly overwritten: LsnRange | null;
};

/**
 * Keeps each intact record from the tail to the last one that was acknowledged, and those that follow it without a gap. A batch is
 * kept whole or given up whole; where damage leaves it open whether a record belongs to the damaged batch, it is given up
 * too.
 */
export function salvage(source: ReadSource, slots: Slots, request: SalvageRequest): Salvage {
  const { tail, proved } = request;
  const end = endOfSalvage(slots, tail, proved);
  const kept = new Uint8Array(end - tail);
  for (let lsn = tail; lsn < end; lsn++) kept[lsn - tail] = isRecord(slots, lsn) ? 1 : 0;
  giveUpBrokenBatches(slots, tail, kept, request.overwritten !== null);
  // An unfinished batch at the very end was never acknowledged: it is no loss.
  let head = end;
  while (head - 1 > proved && kept[head - 1 - tail] === 0) head--;
  const image = logImage({
    ...request,
    capacity: slots.count,
    head,
    recordAt: (lsn) => kept[lsn - tail] === 0 ? null : readRecord(source, slots, lsn),
  });
  const losses = lossesOf(slots, tail, head, kept);
  const { overwritten } = request;
  if (overwritten !== null) losses.unshift(lossOf(overwritten.first, overwritten.last, slots.count));
  return { image, head, losses };
}

function readRecord(source: ReadSource, slots: Slots, lsn: LSN) {
  const copy = copySlots(source, lsn, lsn);
  return {
    record: new StoredRecord({ view: copy.view, words: copy.words }, 0),
    batchGoesOn: slots.batchGoesOn(slotOf(lsn, slots.count)),
  };
}

/** The first LSN past the acknowledged ones that is no record. */
function endOfSalvage(slots: Slots, tail: LSN, proved: LSN): LSN {
  let lsn = Math.max(tail, proved + 1);
  while (lsn < tail + slots.count && isRecord(slots, lsn)) lsn++;
  return lsn;
}

/** Clears the marks of records whose batch is not all there. @param afterHole what comes before the first one is lost. */
function giveUpBrokenBatches(slots: Slots, tail: LSN, kept: Uint8Array, afterHole: boolean): void {
  const count = kept.length;
  const goesOn = (index: number) => slots.batchGoesOn(slotOf(tail + index, slots.count));
  let start = 0;
  /** The last damaged record before `start`, as an index; null if there was none since the last certain batch start. */
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

/** A record written when the damaged one before it was durable already cannot belong to the same batch. */
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

function isRecord(slots: Slots, lsn: LSN): boolean {
  return slots.look(slotOf(lsn, slots.count), lsn) === SlotState.Record;
}
