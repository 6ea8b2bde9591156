// Small logs for tests: on a simulated disk or in memory, with nothing that happens by itself.

import { assertThrows } from "@std/assert";
import {
  type ApplicationOpType,
  type BatchItem,
  type InsertItem,
  OpType,
  type Store,
  type U64,
  WAL,
  WALFileGoneError,
  type WALOptions,
  type WALRecord,
} from "../../mod.ts";
import { halvesToBytes } from "../../src/keys.ts";
import type { SimulatedDisk } from "../../testing.ts";

/** Where the log of a simulated disk lies. */
export const PATH = "/sim/log";
/** Slots of the smallest log. */
export const CAPACITY = 768;
/** The smallest log, whose idle timer never fires. */
const SMALL: WALOptions = { size: 65536, idleHeaderDelayMs: Infinity };

/** Opens the log of a simulated disk. */
export function openOn(disk: SimulatedDisk, options: WALOptions = {}, path: string = PATH): WAL {
  return WAL.open(path, { ...SMALL, storage: disk.storage, now: disk.clock.now, ...options });
}

/** Opens a log in memory. */
export function openInMemory(options: WALOptions = {}): WAL {
  return WAL.open(null, { ...SMALL, ...options });
}

/** What a caller may do next with a log of five records, each call by its name. */
export const CALLS: Readonly<Record<string, (wal: WAL) => unknown>> = {
  logInsert: (wal) => wal.logInsert(9, 9, 9, 9),
  "logInsert by many": (wal) => Promise.all([1, 2, 3].map((key) => wal.logInsert(key, 9, 9, 9))),
  batchInsert: (wal) => wal.batchInsert([[9, 9, 9, 9], [9, 9, 9, 9]]),
  "logInsertSync and flush": (wal) => {
    wal.logInsertSync(9, 9, 9, 9);
    wal.flush();
  },
  "logInsertSync and flushAsync": (wal) => {
    wal.logInsertSync(9, 9, 9, 9);
    return wal.flushAsync();
  },
  checkpoint: (wal) => wal.checkpoint(1),
  replay: (wal) => wal.replay(),
  cursor: (wal) => wal.cursor().next(),
};

/** Items of a batch: item i holds `first + i` four times. */
export function items(first: number, count: number): InsertItem[] {
  return Array.from({ length: count }, (_, i) => [first + i, first + i, first + i, first + i]);
}

/** Opcodes that records of a batch may have: each of the log's own, and two of the application. */
export const BATCH_OPCODES = [OpType.Insert, OpType.Delete, OpType.DeleteValue, OpType.Replace, 32, 63] as const;

/** The item of `batch()` that makes such a record, in halves or in bytes. */
export function batchItem(
  opType: OpType,
  [keyHigh, keyLow, valueHigh, valueLow]: readonly [U64, U64, U64, U64],
  inBytes = false,
): BatchItem {
  const key = halvesToBytes(BigInt(keyHigh), BigInt(keyLow));
  if (opType === OpType.Delete) return inBytes ? { type: "delete", key } : { type: "delete", keyHigh, keyLow };
  const fields = inBytes
    ? { key, value: halvesToBytes(BigInt(valueHigh), BigInt(valueLow)) }
    : { keyHigh, keyLow, valueHigh, valueLow };
  if (opType === OpType.Insert) return { type: "insert", ...fields };
  if (opType === OpType.DeleteValue) return { type: "deleteValue", ...fields };
  if (opType === OpType.Replace) return { type: "replace", ...fields };
  return { type: "operation", code: opType as ApplicationOpType, ...fields };
}

/** Appends inserts one by one, as `items()` gives them. */
export function fill(wal: WAL, count: number, first: number = wal.head): void {
  for (const [a, b, c, d] of items(first, count)) wal.logInsertSync(a, b, c, d);
}

/** The LSNs of records. */
export function lsns(records: Iterable<WALRecord>): number[] {
  return Array.from(records, (record) => record.lsn);
}

/** first, first + 1, … last. */
export function range(first: number, last: number): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
}

/** A store that notes the LSNs it is given. */
export class ListStore implements Store {
  readonly applied: number[] = [];
  /** Called before each record is taken; what it throws is thrown, what it returns is awaited. */
  before: (record: WALRecord) => void | Promise<void> = () => {};

  #apply(record: WALRecord): void | Promise<void> {
    const pending = this.before(record);
    if (pending !== undefined) return pending.then(() => void this.applied.push(record.lsn));
    this.applied.push(record.lsn);
  }

  insert(_kh: bigint, _kl: bigint, _vh: bigint, _vl: bigint, record: WALRecord): void | Promise<void> {
    return this.#apply(record);
  }

  delete(_kh: bigint, _kl: bigint, record: WALRecord): void | Promise<void> {
    return this.#apply(record);
  }

  deleteValue(_kh: bigint, _kl: bigint, _vh: bigint, _vl: bigint, record: WALRecord): void | Promise<void> {
    return this.#apply(record);
  }

  replace(_kh: bigint, _kl: bigint, _vh: bigint, _vl: bigint, record: WALRecord): void | Promise<void> {
    return this.#apply(record);
  }

  apply(record: WALRecord): void | Promise<void> {
    return this.#apply(record);
  }
}

/** What calls of a store wait in, until `open()` or `fail()`. */
export class Gate {
  readonly #entered = Promise.withResolvers<void>();
  readonly #opened = Promise.withResolvers<void>();
  /** Resolves when the first call waits here. */
  readonly entered: Promise<void> = this.#entered.promise;

  /** Waits. */
  readonly enter = (): Promise<void> => {
    this.#entered.resolve();
    return this.#opened.promise;
  };

  open(): void {
    this.#opened.resolve();
  }

  /** Makes those who wait fail. */
  fail(error: unknown): void {
    this.#opened.reject(error);
  }
}

/** Waits, turn by turn of the event loop, until the condition holds. */
export async function until(condition: () => boolean, what = "the condition"): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 20_000) throw new Error(`Waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/**
 * Closes a log whose file is gone. It reports records that it has taken and cannot make durable.
 * The last append was one of them, unless the log had just looked at its file: it looks when the
 * last look was 5 ms ago.
 */
export function closeGone(wal: WAL): void {
  if (wal.head > wal.durable + 1) assertThrows(() => wal.close(), WALFileGoneError);
  else wal.close();
}
