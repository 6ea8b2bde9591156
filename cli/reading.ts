// Reads the records of a log that may be open elsewhere, and goes on after those that cannot be
// read.

import { type Cursor, type Follower, type RecordRange, WALCorruptError, WALLaggedError } from "../mod.ts";
import { breathe } from "./interrupt.ts";
import { say } from "./output.ts";
import type { Shown } from "./record_text.ts";
import type { TimedRange } from "./selection.ts";
import { lsnsAre } from "./terminal.ts";

/** Records between two moments at which signals are let in. */
const RECORDS_AT_ONCE = 4096;

/** Consecutive records that cannot be read. */
export interface Gap {
  readonly first: number;
  readonly last: number;
  /** `"damaged"`, or `"released"`: the log has used their slots again. */
  readonly why: "damaged" | "released";
}

/** What is done with records and gaps, in LSN order. */
export interface Reader {
  /** @returns false to end. */
  record(cursor: Cursor): boolean;
  gap(gap: Gap): void;
}

/** Reads a range. */
export async function readRecords(follower: Follower, range: TimedRange, reader: Reader): Promise<void> {
  const { since, until, ...lsns } = range;
  let next = lsns.from ?? follower.tail;
  /** Nobody asked for records that are released before the first one is read. */
  let isAskedFor = lsns.from !== undefined;
  const takes = (cursor: Cursor) =>
    (since === undefined || cursor.timeNanos >= since) && (until === undefined || cursor.timeNanos <= until);
  const gaps = new Gaps(reader);
  let stopBefore = Infinity;
  for (let count = 1;;) {
    try {
      const to = Math.min(lsns.to ?? Infinity, stopBefore - 1);
      const cursor = cursorOf(follower, { ...range, from: next, to: to === Infinity ? undefined : to });
      for (; cursor.next(); count++) {
        next = cursor.lsn + 1;
        isAskedFor = true;
        gaps.end();
        // A range of times that begins at damage is found record by record.
        if (takes(cursor) && !reader.record(cursor)) return;
        if (count % RECORDS_AT_ONCE === 0) await breathe();
      }
      if (stopBefore === Infinity) return gaps.end();
      next = stopBefore;
      stopBefore = Infinity;
    } catch (error) {
      const gap = gapOf(error);
      if (gap === null) throw error;
      if (gap.first > next && gap.why === "damaged") {
        // What lies before the damage is read first.
        stopBefore = gap.first;
        continue;
      }
      if (isAskedFor || gap.why === "damaged") gaps.add(gap);
      next = gap.last + 1;
      if (next > (lsns.to ?? Infinity)) return gaps.end();
    }
  }
}

/** Passes on gaps that follow each other as one. */
class Gaps {
  readonly #reader: Reader;
  #open: Gap | null = null;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  add(gap: Gap): void {
    const open = this.#open;
    if (open !== null && open.why === gap.why && gap.first <= open.last + 1) this.#open = { ...open, last: gap.last };
    else {
      this.end();
      this.#open = gap;
    }
  }

  end(): void {
    if (this.#open === null) return;
    this.#reader.gap(this.#open);
    this.#open = null;
  }
}

function gapOf(error: unknown): Gap | null {
  if (error instanceof WALLaggedError) return { first: error.firstLsn, last: error.lastLsn, why: "released" };
  const loss = error instanceof WALCorruptError ? error.losses[0] : undefined;
  return loss === undefined ? null : { first: loss.firstLsn, last: loss.lastLsn, why: "damaged" };
}

/** A cursor over a range. Where damage hides what the times of a range mean, over all its LSNs. */
function cursorOf(follower: Follower, range: RecordRange): Cursor {
  try {
    return follower.cursor(range);
  } catch (error) {
    if (!(error instanceof WALCorruptError) || error.losses.length === 0) throw error;
    return follower.cursor({ from: range.from, to: range.to });
  }
}

/** A copy of the record that a cursor is at. */
export function capture(cursor: Cursor): Shown {
  const { lsn, opType, timeNanos, timeSeq, timeShard, keyHigh, keyLow, valueHigh, valueLow, batchGoesOn } = cursor;
  return { lsn, opType, timeNanos, timeSeq, timeShard, keyHigh, keyLow, valueHigh, valueLow, batchGoesOn };
}

/** Says on standard error what could not be read. */
export function sayGap({ first, last, why }: Gap): void {
  say(`cidwal: ${lsnsAre(first, last)} ${why}`);
}
