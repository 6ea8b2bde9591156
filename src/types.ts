// What goes into the log and comes out of it, as its callers see it.

import type { Storage } from "../ffi/region.ts";

/**
 * Log sequence number: counts records from 1, dense, never reused once durable. A safe integer.
 */
export type LSN = number;

/** An unsigned 64-bit number: a `bigint` from 0 to 2^64 − 1, or a `number` that is a safe integer ≥ 0. */
export type U64 = bigint | number;

/**
 * Hybrid logical time as a caller gives it: nanoseconds since 1970 (u64), a sequence number that orders equal nanoseconds
 * (u32), and the shard that gave it (u16).
 */
export type HybridTimeInput = readonly [nanos: U64, seq: number, shard: number];

/** Hybrid logical time as the log returns it. */
export type HybridTime = readonly [nanos: bigint, seq: number, shard: number];

/** What a record does to the store: its opcode, the low six bits of byte 4. */
export const OpType = {
  /** Adds the value to the key's values. */
  Insert: 1,
  /** Removes the key with all its values. */
  Delete: 2,
  /** Removes one value of the key. */
  DeleteValue: 3,
  /** Everything up to the LSN in `valueLow` is in the store. */
  Checkpoint: 4,
} as const;

/** One of the numbers of {@linkcode OpType}. */
export type OpType = (typeof OpType)[keyof typeof OpType];

/** What a record says, as a plain object has it: see {@linkcode WALRecord.toObject}. */
export interface WALRecordFields {
  /** Its log sequence number. */
  readonly lsn: LSN;
  /** What it does: one of `OpType`. */
  readonly opType: OpType;
  /** The record's version: 1. */
  readonly version: number;
  /** When it was logged, in hybrid logical time. */
  readonly time: HybridTime;
  /** Upper 64 bits of the key. */
  readonly keyHigh: bigint;
  /** Lower 64 bits of the key. */
  readonly keyLow: bigint;
  /** Upper 64 bits of the value. */
  readonly valueHigh: bigint;
  /** Of a checkpoint: the LSN up to which the store has everything. */
  readonly valueLow: bigint;
}

/**
 * A record as the log returns it: a value of its own, which stays as it is whatever the log does next and keeps nothing else alive.
 * Two records are deeply equal if, and only if, all their fields are.
 *
 * Its fields are getters, and `{ ...record }` does not have them. `structuredClone()` and `postMessage()` refuse a record with a
 * `DataCloneError`. Copy, send and store what `toObject()` returns.
 */
export interface WALRecord extends WALRecordFields {
  /** A plain object with the same fields. */
  toObject(): WALRecordFields;
  /** As `toObject()`, with 64-bit numbers as decimal strings: what `JSON.stringify()` writes, since JSON has no bigint. */
  toJSON(): Record<string, unknown>;
}

/** An item of `batchInsert()`. */
export type InsertItem = readonly [keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64];

/** An item of `batchDelete()`. */
export type DeleteItem = readonly [keyHigh: U64, keyLow: U64];

/**
 * What a log is applied to: any object with these methods, synchronous or asynchronous. A store has `insert()`, `delete()`
 * and `deleteValue()`, or `applyBatch()`; the other methods are as it likes. Records come in LSN order, durable, each at
 * least once; exactly once where the store has `appliedLsn()`.
 *
 * Insert, delete and deleteValue must be idempotent unless the store has `appliedLsn()`: after a crash the log hands out
 * again what it cannot know to be applied.
 */
export interface Store {
  /** Adds a value to a key's values; adding it twice is adding it once. */
  insert?(
    keyHigh: bigint,
    keyLow: bigint,
    valueHigh: bigint,
    valueLow: bigint,
    record: WALRecord,
  ): void | Promise<void>;
  /** Removes a key with all its values. */
  delete?(keyHigh: bigint, keyLow: bigint, record: WALRecord): void | Promise<void>;
  /** Removes one value of a key. */
  deleteValue?(
    keyHigh: bigint,
    keyLow: bigint,
    valueHigh: bigint,
    valueLow: bigint,
    record: WALRecord,
  ): void | Promise<void>;
  /**
   * Applies a run of records in one transaction: all of them or, if it throws, none. If a store has it, the three methods above
   * are not called. Runs hold whole batches, in LSN order, without checkpoint records.
   *
   * @param run what a store saves in the same transaction: the log's id and the last LSN.
   */
  applyBatch?(records: readonly WALRecord[], run: AppliedRun): void | Promise<void>;
  /**
   * The highest LSN that is durable in the store, 0 if none; saved by the store in the same transaction as the data. The consumer
   * starts after it: a store that has more in memory than on its disk passes over what it has already.
   *
   * An LSN that the log never had at `open()`, and never handed out to a consumer since, is refused with `WALStoreError`.
   */
  appliedLsn?(): LSN | Promise<LSN>;
  /**
   * The id of the log that `appliedLsn()` belongs to, null if it is not known; saved in the same transaction as the LSN. A store of
   * another log is refused with `WALStoreError`, now and in every later opening, however far this log has grown. A store without
   * it is refused only until the log, opened again, has grown past its LSN: then records are skipped, and lost.
   *
   * Save what `applyBatch()` is given as `run.logId`. A store that applies records one by one reads `wal.logId` in each
   * call, and saves it with the record's LSN. Never answer with the id of the log that is open: that says nothing.
   */
  appliedLog?(): string | null | Promise<string | null>;
  /** Makes everything applied durable in the store; called before the log lets go of records. */
  sync?(): void | Promise<void>;
  /** No store has this property. By it the compiler knows what was declared as a `Store`. */
  readonly declaredAsStore?: never;
}

/** Where a run of records comes from. */
export interface AppliedRun {
  /** The log's id, as `WAL.logId`: 32 lowercase hex digits. */
  readonly logId: string;
  /** The first record's LSN. */
  readonly firstLsn: LSN;
  /** The last record's LSN. */
  readonly lastLsn: LSN;
}

/** A store that takes one record at a time. */
export type RecordStore = Store & Required<Pick<Store, "insert" | "delete" | "deleteValue">>;

/** A store that takes runs of records. */
export type BatchStore = Store & Required<Pick<Store, "applyBatch">>;

/**
 * What a consumer accepts: a store that applies records one at a time or in runs, or one that was declared as a `Store`. An
 * object that has only some of the methods is none of these: a type error.
 */
export type ApplicableStore = RecordStore | BatchStore | Pick<Store, "declaredAsStore">;

/** How a consumer runs. */
export interface ConsumeOptions {
  /** Stops the consumer; its promise then resolves once the running call to the store has ended, or when the log is closed. */
  signal?: AbortSignal | undefined;
  /**
   * Records that `applyBatch()` is handed at most in one run, 1 to 2^20; a run is longer where it would part a batch.
   *
   * A run cannot be interrupted, and holds the event loop unless the store waits for something. So the consumer starts with
   * 16 records, lengthens runs while they take less than 0.5 ms, and shortens them after one of more than 1 ms. It does
   * not shorten them where a record would cost more, because the transaction itself takes most of the time.
   *
   * A store without `applyBatch()` is given records one by one. There this is how many are read at once, 1024 at most.
   *
   * @default {1024}
   */
  batchSize?: number | undefined;
  /**
   * Milliseconds between two looks at the log while nothing wakes the consumer. In the process that appends, an append
   * wakes it at once and this is a safety net.
   *
   * @default {100}
   */
  pollIntervalMs?: number | undefined;
  /**
   * Asked when the store throws as it applies records or in `sync()`: `"retry"` applies the same records again (after a failed
   * `sync()`, all that were applied since the last one) after a delay that doubles from 10 ms to 1 s, `"stop"` ends the
   * consumer with that error. Without it, the consumer stops.
   */
  onError?:
    | ((error: unknown, context: ConsumeErrorContext) => "retry" | "stop" | Promise<"retry" | "stop">)
    | undefined;
}

/** Where a store failed. */
export interface ConsumeErrorContext {
  /** The first record that may not be applied. */
  readonly firstLsn: LSN;
  /** The last record of the run. */
  readonly lastLsn: LSN;
  /** How many times this run has failed, from 1. */
  readonly attempt: number;
  /** Milliseconds until it is applied again, if the answer is `"retry"`. */
  readonly delayMs: number;
}

/** How to open a log. */
export interface WALOptions {
  /**
   * File size in bytes at creation, 65,536 (64 KiB) to what one mapping can be (4 GiB on Bun); rounded up to 16 KiB. An
   * existing log keeps its own size, and `stats().warnings` says so where another one is given.
   *
   * @default {67108864}
   */
  size?: number | undefined;
  /**
   * Make the log if there is none.
   *
   * @default {true}
   */
  create?: boolean | undefined;
  /**
   * What to do about damage to acknowledged records: `"strict"` throws `WALCorruptError` and leaves the file as it is;
   * `"salvage"` keeps the damaged file under another name and goes on with what can be proved, the losses listed in
   * `recovery.losses`. A process that dies between the replacement and the end of `open()` leaves the new log in its place and the
   * damaged one beside it, as `<path>.damaged-<nanoseconds>`, cut to a name of 255 bytes; no later opening lists its losses again. It needs a file
   * system with hard links.
   *
   * @default {"strict"}
   */
  recovery?: "strict" | "salvage" | undefined;
  /**
   * Which retained records of a cleanly closed log `open()` verifies: `true` for all, `"ends"` for the 4096 oldest and the 4096
   * newest, `false` for none. Other than with `true`, such a log opens in the same time whatever its size, and damage to the rest
   * is reported by whoever reads it: reading verifies every record. A log that was not closed is always verified whole, so one
   * that opened with damage in its middle may be refused after a crash; `recovery: "salvage"` then keeps all but what is damaged.
   * With `"salvage"`, `"ends"` means `true`.
   *
   * @default {"ends"}
   */
  verify?: boolean | "ends" | undefined;
  /**
   * Where group commits wait for the medium: `"inline"` on the JavaScript thread (the least latency), `"offload"` on
   * another (the event loop is never held), `"adaptive"` inline while syncs are measured to take less than a millisecond.
   *
   * @default {"adaptive"}
   */
  flush?: "adaptive" | "inline" | "offload" | undefined;
  /**
   * How long an async append waits for room while the ring is full and a consumer runs, in milliseconds; then it rejects with
   * `WALFullError`.
   *
   * @default {Infinity}
   */
  fullTimeoutMs?: number | undefined;
  /**
   * How long `[Symbol.asyncDispose]()`, as `await using` calls it, waits for a call to the store that does not return, in
   * milliseconds. Then the log is closed all the same, and what the call does later no longer concerns the log. `Infinity`: as
   * long as the call takes. The default leaves time for a clean close in the 10 s that containers get before they are killed.
   *
   * @default {5000}
   */
  closeTimeoutMs?: number | undefined;
  /**
   * `"full"`: a durable record survives power loss. `"barrier"`: on macOS only, F_BARRIERFSYNC in place of F_FULLFSYNC: records
   * keep their order, but the last ones may be lost with power. No difference elsewhere.
   *
   * @default {"full"}
   */
  durability?: "full" | "barrier" | undefined;
  /**
   * How many milliseconds after the last commit an idle log notes in its header what is durable. `Infinity`: never.
   *
   * @default {100}
   */
  idleHeaderDelayMs?: number | undefined;
  /**
   * The shard that the log's own clock puts into records, 0 to 65,535.
   *
   * @default {0}
   */
  shard?: number | undefined;
  /**
   * How far a given time may lie ahead of the wall clock, in milliseconds, and how far the wall clock
   * is followed when it jumps ahead while the log is open. One time from the far future would push
   * all later ones there.
   *
   * A reading of the wall clock is a jump if it is ahead by more than this of the reading before plus
   * the time that has passed since by `performance.now()`, and also of the log's time. The log's time
   * then stands still, with a sequence number that goes on, and `stats().warnings` says so: until the
   * wall clock is back, or the log is closed and opened again, since the first reading of an opening
   * is always followed. On Linux, Deno's `performance.now()` does not count the time that the machine
   * sleeps, so a longer sleep is a jump. `Infinity`: every reading is followed, and any given time is
   * taken. With both `now` and `storage`, no time passes between two readings.
   *
   * @default {86400000}
   */
  maxClockDriftMs?: number | undefined;
  /**
   * The wall clock, in milliseconds since 1970. It is read before a call writes anything. What the
   * clock itself appends comes first; what it throws is thrown by the call. An append that waited
   * for room gets no later reading.
   *
   * @default {Date.now}
   */
  now?: (() => number) | undefined;
  /**
   * Open on a file system where a store may kill the process or a sync may lie (network, FUSE, copy-on-write). `stats().warnings`
   * then says what to expect.
   *
   * @default {false}
   */
  allowUnsafeFileSystem?: boolean | undefined;
  /** Where the file lives; the real disk if left out. A simulated disk, in tests. It is given absolute paths. */
  storage?: Storage | undefined;
}

/** Records that were acknowledged and can no longer be read. */
export interface Loss {
  /** The first one. */
  readonly firstLsn: LSN;
  /** The last one. */
  readonly lastLsn: LSN;
  /** Byte offset of the first one in the (damaged) file. */
  readonly offset: number;
}

/** Another log with which a log shares the beginning of its history. */
export interface LogOrigin {
  /** The other log's id: 32 lowercase hex digits. */
  readonly logId: string;
  /** The last LSN that both share; 0 if they share none. */
  readonly lastLsn: LSN;
}

/** What `open()` found. */
export interface RecoveryReport {
  /** This opening made the log. */
  readonly created: boolean;
  /** The log had been closed properly. */
  readonly clean: boolean;
  /** The log's id when it was opened: 32 lowercase hex digits. `WAL.logId` gives the id of now. */
  readonly logId: string;
  /** For a log that `backup()` or salvage made: the log that it was copied from. Null for a log that was made empty. */
  readonly origin: LogOrigin | null;
  /** Records kept. */
  readonly records: number;
  /** The oldest record kept; one more than `lastLsn` if there is none. */
  readonly firstLsn: LSN;
  /** The newest record kept, 0 if there never was one. */
  readonly lastLsn: LSN;
  /** Slots that name an LSN past the end but hold no whole record in its place; they were erased, and were never acknowledged. */
  readonly tornRecords: number;
  /** Intact records past the end, never acknowledged, that were erased so that they cannot come back. */
  readonly phantomsErased: number;
  /** One of the two header copies was damaged; the other one was used. */
  readonly headerDamaged: boolean;
  /** With `recovery: "salvage"`: what was lost, in LSN order. */
  readonly losses: readonly Loss[];
  /** With `recovery: "salvage"`: where the damaged file is kept, or null. */
  readonly damagedFile: string | null;
  /** How long opening took. */
  readonly durationMs: number;
}

/** A histogram of durations: bucket i counts those below `bounds[i]` and not below the bound before; the last one has no bound. */
export interface LatencyHistogram {
  /** Upper bounds of the buckets. */
  readonly boundsMs: readonly number[];
  /** How many durations fell into each bucket. */
  readonly counts: readonly number[];
  /** How many there were. */
  readonly count: number;
  /** Their sum. */
  readonly totalMs: number;
  /** The longest. */
  readonly maxMs: number;
}

/** How the consumer is. */
export interface ConsumerStats {
  /**
   * - `"none"`: no consumer was started since `open()`.
   * - `"running"`: the consumer applies records or waits for them.
   * - `"retrying"`: the store failed, and `onError` is asked, or answered `"retry"`.
   * - `"stopped"`: the last consumer was stopped by its signal.
   * - `"failed"`: the last consumer was refused, or ended with an error.
   */
  readonly state: "none" | "running" | "retrying" | "stopped" | "failed";
  /** Failures of this consumer in a row; 0 after a success. */
  readonly attempts: number;
  /** What a consumer failed with last since `open()`, also after a success; null if none has failed. */
  readonly lastError: unknown;
  /** Milliseconds for which the running call to the store or to `onError` has not returned; 0 if none is running. */
  readonly callMs: number;
}

/** A moment's figures. */
export interface WALStats {
  /** The file, or null for memory. */
  readonly path: string | null;
  /** Type of the file system, as in `ext4`. */
  readonly fileSystem: string;
  /** False where no sync outlives power loss (tmpfs, anonymous memory). */
  readonly durableMedium: boolean;
  /**
   * What an operator should know at this moment, one sentence each; what is over is left out. Among
   * it: the log's time is more than a minute ahead of the wall clock, and by how much.
   */
  readonly warnings: readonly string[];
  /** Size of the file. */
  readonly sizeBytes: number;
  /** Records the ring can hold. */
  readonly capacity: number;
  /** Records retained. */
  readonly length: number;
  /** `length / capacity`. */
  readonly fillRatio: number;
  /** The next LSN to write. */
  readonly head: LSN;
  /** The oldest LSN kept. */
  readonly tail: LSN;
  /** The highest durable LSN. */
  readonly durable: LSN;
  /** The highest LSN that is in the store. */
  readonly applied: LSN;
  /** Records appended since `open()`. */
  readonly appended: number;
  /** Data syncs since `open()`. */
  readonly syncs: number;
  /** Header syncs since `open()`. */
  readonly headerSyncs: number;
  /** Records made durable by a data sync, on average; 0 before the first. */
  readonly recordsPerSync: number;
  /** How long data syncs took. */
  readonly syncLatency: LatencyHistogram;
  /** Whether group commits run `"inline"` or `"offload"` now. */
  readonly flushMode: "inline" | "offload";
  /** Appends that wait for room. */
  readonly waiting: number;
  /** Age of the oldest record that is not applied, in milliseconds by its own time; 0 if there is none. */
  readonly oldestUnconsumedAgeMs: number;
  /** A consumer runs. */
  readonly consuming: boolean;
  /** How the consumer is, or the last one. */
  readonly consumer: ConsumerStats;
  /** A sync failed or the file is gone: only reopening helps. */
  readonly poisoned: boolean;
}

/** From where to where `records()` and `cursor()` read. Both ends are included. */
export interface RecordRange {
  /**
   * The first record.
   *
   * @default {the tail}
   */
  from?: LSN | undefined;
  /**
   * The last record; what is appended later is not read.
   *
   * @default {the newest record}
   */
  to?: LSN | undefined;
}
