// What the newest records tell of the writer's commits: how many records each had, and how far
// apart they were. A record knows which LSN was durable when it was appended, so records with the
// same one were appended between two commits. How long a sync took is not in the file.

import * as fs from "node:fs";
import { FileMemory, type LogInspection } from "../mod.ts";
import { readHeaders } from "../src/format/header.ts";
import { NANOS_PER_MS, RECORD_BYTES, RING_AT } from "../src/format/layout.ts";
import { checksumSeed, Slots, SlotState } from "../src/format/record.ts";
import { rangesOf } from "../src/format/ring.ts";

/** The most records that are looked at. */
const MOST_RECORDS = 65_536;

/** A bar of a histogram. */
export interface Bucket {
  readonly name: string;
  readonly count: number;
}

/** The figures. */
export interface CommitFigures {
  /** The records that were looked at. */
  readonly firstLsn: number;
  readonly lastLsn: number;
  readonly commits: number;
  /** How many commits had so many records. */
  readonly recordsPerCommit: readonly Bucket[];
  /** How many commits came so long after the one before, by the times of their first records. */
  readonly msBetweenCommits: readonly Bucket[];
}

/** Records appended between two commits. */
interface Group {
  readonly durable: number;
  readonly nanos: bigint;
  records: number;
}

/** Looks at the newest records; null if there are too few to tell anything. */
export function commitFigures({ path, head, tail, capacity }: LogInspection): CommitFigures | null {
  const firstLsn = Math.max(tail, head - Math.min(MOST_RECORDS, capacity));
  const slots = readSlots(path, firstLsn, head - 1, capacity);
  const groups = slots === null ? [] : groupsOf(slots, firstLsn);
  // The first and the last group may not be whole.
  const whole = groups.slice(1, -1);
  if (whole.length < 2) return null;
  const gapsMs = whole.slice(1).map(({ nanos }, index) => Number((nanos - whole[index]!.nanos) / NANOS_PER_MS));
  return {
    firstLsn,
    lastLsn: head - 1,
    commits: whole.length,
    recordsPerCommit: inBuckets(whole.map(({ records }) => records), SIZES),
    msBetweenCommits: inBuckets(gapsMs, GAPS),
  };
}

function groupsOf(slots: Slots, firstLsn: number): Group[] {
  const groups: Group[] = [];
  for (let slot = 0; slot < slots.count; slot++) {
    const lsn = firstLsn + slot;
    if (slots.verify(slot, lsn) !== SlotState.Record) continue;
    const durable = lsn - slots.distanceAt(slot);
    const last = groups.at(-1);
    if (last?.durable === durable) last.records++;
    else groups.push({ durable, nanos: slots.timeNanosAt(slot), records: 1 });
  }
  return groups;
}

/** Copies the slots of some records; null if the log is resized meanwhile. */
function readSlots(path: string, first: number, last: number, capacity: number): Slots | null {
  if (last < first) return null;
  const descriptor = fs.openSync(path, "r");
  try {
    const headers = new Uint8Array(RING_AT);
    fs.readSync(descriptor, headers, 0, RING_AT, 0);
    const header = readHeaders(headers).newest;
    if (header === null || header.capacity !== capacity) return null;
    const memory = new FileMemory(new ArrayBuffer((last - first + 1) * RECORD_BYTES));
    let at = 0;
    for (const { offset, length } of rangesOf(first, last, capacity)) {
      fs.readSync(descriptor, memory.bytes(at, length), 0, length, offset);
      at += length;
    }
    return new Slots(memory, 0, last - first + 1, checksumSeed(header.logId));
  } finally {
    fs.closeSync(descriptor);
  }
}

/** The least number of each bucket. */
const SIZES: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16_384];
const GAPS: readonly number[] = [0, 1, 2, 5, 10, 20, 50, 100, 1000, 10_000, 60_000, 3_600_000];

/** Counts numbers, from the first bucket that has one to the last. */
function inBuckets(numbers: readonly number[], least: readonly number[]): Bucket[] {
  const counts = least.map(() => 0);
  for (const number of numbers) counts[least.findLastIndex((bound) => number >= bound)]!++;
  const [first, last] = [counts.findIndex((count) => count > 0), counts.findLastIndex((count) => count > 0)];
  return counts.slice(first, last + 1).map((count, index) => ({ name: nameOf(least, first + index), count }));
}

function nameOf(least: readonly number[], index: number): string {
  const [from, next] = [least[index]!, least[index + 1]];
  if (next === undefined) return `${from} or more`;
  return next === from + 1 ? `${from}` : `${from} to ${next - 1}`;
}
