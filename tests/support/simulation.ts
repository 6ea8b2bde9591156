// A log on a simulated disk, for the tests of one fault: each action is a line.

import { assert, assertEquals } from "@std/assert";
import { type BatchItem, OpType, WAL, WALCorruptError, type WALOptions } from "../../mod.ts";
import { bury } from "../../src/testing/bury.ts";
import { BATCH_OPCODES, batchItem } from "./logs.ts";
import { type CrashOptions, SimulatedDisk, type SimulatedDiskOptions } from "../../testing.ts";

/** Where the log is. */
export const LOG = "/sim/log";
/** Slots of the smallest log. */
export const CAPACITY = 768;
/** Offset of the first slot. */
export const RING_AT = 16384;
export const RECORD_BYTES = 64;
export const HEADER_BYTES = 4096;

/** A disk and how logs on it are opened. */
export class Simulation {
  readonly disk: SimulatedDisk;
  readonly options: WALOptions;
  /** The log that was opened last. */
  wal: WAL | null = null;

  constructor(disk: SimulatedDiskOptions = {}, options: WALOptions = {}) {
    this.disk = new SimulatedDisk(disk);
    this.options = {
      size: 65536,
      idleHeaderDelayMs: Infinity,
      flush: "inline",
      ...options,
      storage: this.disk.storage,
      now: this.disk.clock.now,
    };
  }

  /** Opens the log. */
  open(more: WALOptions = {}): WAL {
    this.wal = new WAL(LOG, { ...this.options, ...more });
    this.wal.open();
    return this.wal;
  }

  /** Crashes the machine or the process; the log that was open is of no use any more. */
  crash(options: CrashOptions = {}): void {
    this.disk.crash(options);
    this.bury();
  }

  /** Crashes, and opens again. */
  reopen(options: CrashOptions = {}): WAL {
    this.crash(options);
    return this.open();
  }

  /** Stops the timers of a log whose machine has crashed. */
  bury(): void {
    bury(this.wal);
    this.wal = null;
  }
}

/** Appends inserts without waiting; the number of each is its LSN, in `keyLow` and `valueLow`. */
export function append(wal: WAL, count: number): void {
  for (let i = 0; i < count; i++) wal.logInsertSync(1n, wal.head, 2n, wal.head);
}

/** Appends one batch, numbered in the same way. */
export function appendBatch(wal: WAL, count: number): void {
  const first = wal.head;
  wal.batchInsertSync(Array.from({ length: count }, (_, i) => [1n, first + i, 2n, first + i] as const));
}

/** Appends one batch of all operations in turn, numbered in the same way. */
export function appendMixed(wal: WAL, count: number): void {
  const first = wal.head;
  wal.batchSync(Array.from({ length: count }, (_, i): BatchItem => {
    const opType = BATCH_OPCODES[(first + i) % BATCH_OPCODES.length]!;
    return batchItem(opType, [1n, first + i, 2n, first + i], i % 2 === 0);
  }));
}

/** Throws unless the log holds exactly the records `first` to `last` of the appends above. */
export function assertHolds(wal: WAL, first: number, last: number, message = ""): void {
  assertEquals([wal.tail, wal.head - 1], [first, last], message);
  const found = wal.replay();
  assertEquals(found.length, last - first + 1, message);
  for (const [i, record] of found.entries()) {
    const lsn = first + i;
    const value = record.opType === OpType.Delete ? 0n : BigInt(lsn);
    const good = record.lsn === lsn && record.keyLow === BigInt(lsn) && record.valueLow === value;
    if (!good) assertEquals([record.lsn, record.keyLow, record.valueLow], [lsn, BigInt(lsn), value], message);
  }
}

/** Throws unless opening fails with `WALCorruptError` and leaves the file as it is. */
export function assertRefused(simulation: Simulation, what: string, options: WALOptions = {}): WALCorruptError {
  const { disk } = simulation;
  const before = disk.image(LOG, "cache");
  let error: unknown;
  try {
    simulation.open(options).close();
  } catch (thrown) {
    error = thrown;
  }
  assert(error instanceof WALCorruptError, `${what}: opened, or failed with ${String(error)}\n${disk.describe(20)}`);
  assert(isSame(before, disk.image(LOG, "cache")), `${what}: the refused file was changed`);
  assert(isSame(before, disk.image(LOG, "medium")), `${what}: the refused file was changed on the medium`);
  return error;
}

export function isSame(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}

/** Byte offset of a record. */
export function offsetOf(lsn: number): number {
  return RING_AT + (lsn - 1) % CAPACITY * RECORD_BYTES;
}

/** Runs microtasks and timers that are due. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
