// What goes into the log and comes out of it, as its callers see it.

import type { Storage } from "../ffi/region.ts";
import type { WALErrorCode } from "./errors.ts";

/**
 * Log sequence number: a safe integer that counts records from 1, without gaps. The LSN of a
 * durable record is never used again.
 */
export type LSN = number;

/**
 * An unsigned 64-bit number: a `bigint` from 0 to 2^64 − 1, or a `number` that is a safe integer
 * ≥ 0.
 */
export type U64 = bigint | number;

/** Half of a key or a value, or all of it as 16 bytes. */
export type HalfOrBytes = U64 | Uint8Array;

/**
 * Hybrid logical time as a caller gives it: nanoseconds since 1970 (u64), a sequence number that
 * orders records of the same nanosecond (u32), and the shard whose clock made it (u16).
 */
export type HybridTimeInput = readonly [nanos: U64, seq: number, shard: number];

/** Hybrid logical time as the log returns it. */
export type HybridTime = readonly [nanos: bigint, seq: number, shard: number];

/**
 * What a record does to the store: its opcode, the low six bits of byte 4. The opcodes from 32 to
 * 63 are the application's: see {@linkcode ApplicationOpType}.
 */
export const OpType = {
  /** Adds the value to the key's values. */
  Insert: 1,
  /** Removes the key with all its values. */
  Delete: 2,
  /** Removes one value of the key. */
  DeleteValue: 3,
  /** Everything up to the LSN in `valueLow` is in the store. */
  Checkpoint: 4,
  /** Makes the value the only one of the key. */
  Replace: 5,
} as const;

/**
 * An opcode that belongs to the application, 32 to 63: what such a record means, only the
 * application and its store know. Its key and its value are free.
 */
export type ApplicationOpType =
  | (32 | 33 | 34 | 35 | 36 | 37 | 38 | 39 | 40 | 41 | 42 | 43 | 44 | 45 | 46 | 47)
  | (48 | 49 | 50 | 51 | 52 | 53 | 54 | 55 | 56 | 57 | 58 | 59 | 60 | 61 | 62 | 63);

/** One of the numbers of {@linkcode OpType}, or one of the application's. */
export type OpType = (typeof OpType)[keyof typeof OpType] | ApplicationOpType;

/** What an operation is called: the names of `BatchItem.type`, and the log's own checkpoint. */
export type OperationName = "insert" | "delete" | "deleteValue" | "replace" | "checkpoint" | "operation";

/** The fields of a record, as in the plain object that {@linkcode WALRecord.toObject} returns. */
export interface WALRecordFields {
  /** Its log sequence number. */
  readonly lsn: LSN;
  /** What it does: one of `OpType`, or 32 to 63 for a record of the application. */
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
  /**
   * Lower 64 bits of the value. In a checkpoint record: the LSN up to which the store has
   * everything.
   */
  readonly valueLow: bigint;
}

/**
 * A record as the log returns it. It is a copy: later appends and releases do not change it, and it
 * keeps no other memory alive. Two records are deeply equal if, and only if, all their fields are.
 *
 * The fields are getters, so `{ ...record }` does not have them. `structuredClone()` and
 * `postMessage()` refuse a record with a `DataCloneError`. Copy, send and store what `toObject()`
 * returns.
 */
export interface WALRecord extends WALRecordFields {
  /**
   * The key as a new array of 16 bytes, big-endian: the most significant byte of `keyHigh` comes
   * first, and the least significant byte of `keyLow` last. That is the order in which a hash or a
   * UUID is written. Each reading makes a new array, which is the reader's own.
   */
  readonly key: Uint8Array<ArrayBuffer>;
  /**
   * The value as a new array of 16 bytes, as `key`. A delete of a key has no value, so its bytes
   * are zeros.
   */
  readonly value: Uint8Array<ArrayBuffer>;
  /**
   * Copies the 16 bytes of `key`, and allocates nothing.
   *
   * @param at index of the first byte in `into`, 0 if left out.
   * @throws {TypeError} if `into` is no `Uint8Array`, or one with a detached buffer, or if `at` is
   * no number. Then no byte is written.
   * @throws {RangeError} if `into` does not have 16 bytes from `at` on. Then no byte is written.
   */
  copyKey(into: Uint8Array, at?: number): void;
  /** Copies the 16 bytes of `value`. As `copyKey()`. */
  copyValue(into: Uint8Array, at?: number): void;
  /** A plain object with the same fields. */
  toObject(): WALRecordFields;
  /**
   * What `JSON.stringify()` writes: the same fields, with 64-bit numbers as decimal strings because
   * JSON has no bigint.
   */
  toJSON(): Record<string, unknown>;
}

/** An item of `batchInsert()`. */
export type InsertItem = readonly [keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64];

/** An item of `batchInsert()` in bytes: 16 of the key and 16 of the value, each big-endian. */
export type InsertBytes = readonly [key: Uint8Array, value: Uint8Array];

/** An item of `batchDelete()`. An item may also be a key of 16 bytes, big-endian. */
export type DeleteItem = readonly [keyHigh: U64, keyLow: U64];

/**
 * An item of `batch()`: what one record does, and with which key and value.
 *
 * `"insert"` adds the value to the key's values, `"replace"` makes it the key's only one,
 * `"deleteValue"` removes it, and `"delete"` removes the key with all its values. These are the
 * names of the store's methods, too. `"operation"` is a record of the application, with an opcode
 * from 32 to 63.
 *
 * Key and value are `Uint8Array`s of 16 bytes, big-endian, or they are halves of 64 bits. A
 * batch may have items in both forms, but an item in bytes and in halves is refused.
 */
export type BatchItem =
  | {
    readonly type: "insert" | "replace" | "deleteValue";
    readonly key: Uint8Array;
    readonly value: Uint8Array;
  }
  | {
    readonly type: "insert" | "replace" | "deleteValue";
    readonly keyHigh: U64;
    readonly keyLow: U64;
    readonly valueHigh: U64;
    readonly valueLow: U64;
  }
  | { readonly type: "delete"; readonly key: Uint8Array }
  | { readonly type: "delete"; readonly keyHigh: U64; readonly keyLow: U64 }
  | {
    readonly type: "operation";
    readonly code: ApplicationOpType;
    readonly key: Uint8Array;
    readonly value: Uint8Array;
  }
  | {
    readonly type: "operation";
    readonly code: ApplicationOpType;
    readonly keyHigh: U64;
    readonly keyLow: U64;
    readonly valueHigh: U64;
    readonly valueLow: U64;
  };

/**
 * What a log is applied to: any object with these methods, synchronous or asynchronous. A store has
 * `insert()`, `delete()` and `deleteValue()`, or it has `applyBatch()`. The other methods are
 * optional. A log with replaces or with records of the application needs a store with `replace()`
 * or `apply()`, or with `applyBatch()`. At a record that the store cannot apply, the consumer ends
 * with `WALOperationError`.
 *
 * A store gets durable records only, in LSN order, each at least once. A store with `appliedLsn()`
 * gets each exactly once. Without it the methods that apply a record must be idempotent, because
 * after a crash the log cannot know what was applied, and hands that out again.
 */
export interface Store {
  /** Adds a value to a key's values. A value that is there already is not added again. */
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
  /** Makes a value the only one of a key, whatever values the key had. */
  replace?(
    keyHigh: bigint,
    keyLow: bigint,
    valueHigh: bigint,
    valueLow: bigint,
    record: WALRecord,
  ): void | Promise<void>;
  /** Applies a record of the application, one that `logOperation()` wrote. */
  apply?(record: WALRecord): void | Promise<void>;
  /**
   * Applies a run of records in one transaction: all of them or, if the method throws, none. A
   * store with `applyBatch()` gets no calls of the methods above. A run holds whole batches, in LSN
   * order, without checkpoint records.
   *
   * Throw at a record of a type that the store does not know. A record that is skipped is lost,
   * because the log releases it.
   *
   * @param run has the log's id and the last LSN. Save both in the same transaction.
   */
  applyBatch?(records: readonly WALRecord[], run: AppliedRun): void | Promise<void>;
  /**
   * The highest LSN that is durable in the store, 0 if there is none. The store saves the LSN in
   * the same transaction as the data. The consumer starts after this LSN, so a store that has later
   * records in memory must skip them when they come again.
   *
   * The consumer refuses an LSN with `WALStoreError` if the log neither had it at `open()` nor has
   * handed it out since.
   */
  appliedLsn?(): LSN | Promise<LSN>;
  /**
   * The id of the log that `appliedLsn()` belongs to, null if the store does not know. The store
   * saves the id in the same transaction as the LSN. A consumer refuses a store of another log with
   * `WALStoreError`, in every opening, however far the log has grown. A store without this method
   * is refused only until the log has grown past the store's LSN and is opened again. After that,
   * records are skipped and lost.
   *
   * Save the `run.logId` that `applyBatch()` gets. A store that applies records one by one reads
   * `wal.logId` in each call, and saves it with the record's LSN. Never return the id of the log
   * that is open now, because every log would then accept the store.
   */
  appliedLog?(): string | null | Promise<string | null>;
  /** Makes everything applied durable in the store. Called before the log releases records. */
  sync?(): void | Promise<void>;
  /** No store has this property. It lets the compiler recognize what was declared as a `Store`. */
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

/** A run as bytes, for another machine or a file: `decodeRun()` of `./runs` reads them. */
export interface EncodedRun extends AppliedRun {
  /** All of the run, with its log's id and LSNs. They are the caller's own. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * What is wrong with the bytes of a run:
 *
 * - `"short"`, `"long"`: they end too early, or go on after the last record.
 * - `"magic"`: they are no run.
 * - `"header"`: the header is damaged.
 * - `"version"`: a later version of this library wrote the run, or one of its records.
 * - `"log"`: the run is another log's.
 * - `"record"`: a record is damaged.
 * - `"gap"`: a record has another LSN than its place.
 * - `"batch"`: the last batch is not complete.
 */
export type WALRunFault =
  | "short"
  | "long"
  | "magic"
  | "header"
  | "version"
  | "log"
  | "record"
  | "gap"
  | "batch";

/**
 * Why a log cannot be shipped or followed. These may pass, so that a retry makes sense:
 *
 * - `"unreachable"`: the engine did not answer in time, or the connection was lost.
 * - `"refused"`: the engine refuses, because it is full, or because it denies access.
 * - `"moved"`: the target has lost what it confirmed, or got a late message of an earlier consumer.
 *   The retry begins with the target's new end.
 * - `"damaged"`: a message is damaged. It may have been damaged on the way.
 *
 * These are final:
 *
 * - `"closed"`: the caller's client is closed.
 * - `"oversized"`: a batch is too long for a message.
 * - `"fenced"`: another shipper has taken over the target.
 * - `"lineage"`: the messages are of another log than the records, or than those in the store.
 * - `"gone"`: the stream is gone, or messages that are needed were removed.
 * - `"gap"`, `"fork"`: records between two messages are missing, or are there twice.
 * - `"foreign"`: a message was not written by a shipper.
 * - `"version"`: a later version of this library wrote a message.
 * - `"unsuitable"`: the target does not keep what it confirms.
 */
export type WALShipFault =
  | "unreachable"
  | "refused"
  | "moved"
  | "damaged"
  | "closed"
  | "oversized"
  | "fenced"
  | "lineage"
  | "gone"
  | "gap"
  | "fork"
  | "foreign"
  | "version"
  | "unsuitable";

/**
 * Why the files of a directory are not the shards that were asked for:
 *
 * - `"count"`: the set has another number of shards.
 * - `"missing"`: the shard's file is gone.
 * - `"foreign"`: the file is no shard, or a shard of another set.
 * - `"place"`: the file is another shard of the set.
 * - `"unfinished"`: the set was not made to its end.
 */
export type WALShardsFault = "count" | "missing" | "foreign" | "place" | "unfinished";

/** A store that takes one record at a time. */
export type RecordStore = Store & Required<Pick<Store, "insert" | "delete" | "deleteValue">>;

/** A store that takes runs of records. */
export type BatchStore = Store & Required<Pick<Store, "applyBatch">>;

/**
 * What a consumer accepts: a store that applies records one at a time or in runs, or one that was
 * declared as a `Store`. An object with only some of the methods is a type error.
 */
export type ApplicableStore = RecordStore | BatchStore | Pick<Store, "declaredAsStore">;

/** How a consumer runs. */
export interface ConsumeOptions {
  /**
   * Stops the consumer. Its promise then resolves when the running call to the store has ended, or
   * when the log is closed.
   */
  signal?: AbortSignal | undefined;
  /**
   * The most records that `applyBatch()` gets in one run, 1 to 2^20. A run may be longer, because
   * it never divides a batch.
   *
   * A run cannot be interrupted, and holds the event loop unless the store waits for something. So
   * the consumer starts with 16 records, lengthens runs while they take less than 0.5 ms, and
   * shortens them after a run of more than 1 ms. Runs stay long where the transaction itself takes
   * most of the time, because shorter runs would cost more for each record.
   *
   * A store without `applyBatch()` gets records one by one. For such a store, `batchSize` is how
   * many records are read from the log at once, 1024 at most.
   *
   * @default {1024}
   */
  batchSize?: number | undefined;
  /**
   * How often a waiting consumer checks the log for new records, in milliseconds. Commits wake the
   * consumer at once, so this is a safety net. If no record comes for this long, the consumer
   * confirms what it has applied.
   *
   * @default {100}
   */
  pollIntervalMs?: number | undefined;
  /**
   * The consumer's name, 1 to 40 bytes of UTF-8. Consumers of several names run at once, each with
   * its own store. `""` is the unnamed consumer.
   *
   * A consumer is registered when it starts for the first time. From then on the log keeps all
   * records that its store lacks, also while it does not run and after a restart, until
   * {@linkcode WAL.dropConsumer}. A log has 16 consumers at most. A new one begins with the oldest
   * record that the log has, unless its store has an LSN.
   *
   * @default {""}
   */
  name?: string | undefined;
  /**
   * How many durable records the store may lack, 1 to 2^32 − 1. A consumer that is further behind,
   * running or not, is **lost**: the log releases its records instead of being full. It ends with
   * `WALConsumerLostError`, and `stats().consumers` and `stats().warnings` say so. The ring's
   * capacity is a limit as well for each consumer that has one. A consumer that starts further
   * behind is not lost while it runs and catches up, unless the ring is full.
   *
   * @default {Infinity}
   */
  maxLagRecords?: number | undefined;
  /**
   * How many records the log keeps after this store has them durably, 0 to 2^32 − 1. For a store
   * that may lose its newest records, as a message broker may: its `appliedLsn()` says where to
   * begin again. The log keeps fewer if an append needs their room, and this store has
   * everything that it gets or has `maxLagRecords`.
   *
   * @default {0}
   */
  keepRecords?: number | undefined;
  /**
   * Decides what happens when the store throws. `"retry"` applies the failed records again, after a
   * delay that doubles from 10 ms to 1 s. If `sync()` failed, that means all records since the last
   * successful `sync()`. `"stop"` ends the consumer with the error. Without `onError`, every error
   * ends the consumer. If `appliedLsn()` failed, `"retry"` asks the store again. `onError` is not
   * asked about a `WALOperationError` or a final `WALShipError`, because a retry does not help.
   *
   * `"skip"` leaves out what this store cannot apply: the record, or the batch of records for a
   * store with `applyBatch()`. A run with several batches is first tried in halves, and `onError`
   * is asked about each part that fails. Skipped records are lost to this store. `stats()` counts
   * them, and `stats().warnings` tells of them. If `sync()` failed, or the server of a shipper or a
   * follower, `"skip"` means `"retry"`.
   *
   * The LSN of a store with `appliedLsn()` does not pass a skipped record before the store has a
   * later one. A consumer that starts in between is given the skipped record again. So the log
   * keeps all records from there on. If they fill the ring and an append waits for room, the
   * consumer ends with the store's error, or is lost if it has `maxLagRecords`.
   */
  onError?:
    | ((error: unknown, context: ConsumeErrorContext) => ConsumeErrorAnswer | Promise<ConsumeErrorAnswer>)
    | undefined;
}

/** What happens after a store has failed. */
export type ConsumeErrorAnswer = "retry" | "skip" | "stop";

/** Where a store failed. */
export interface ConsumeErrorContext {
  /** The first record that the store may lack. */
  readonly firstLsn: LSN;
  /** The last record of the run. */
  readonly lastLsn: LSN;
  /** How many times in a row this run has failed, from 1. */
  readonly attempt: number;
  /** Milliseconds until the run is applied again, if the answer is `"retry"`. */
  readonly delayMs: number;
}

/** How to open a log. */
export interface WALOptions {
  /**
   * File size in bytes at creation, rounded up to a multiple of 16 KiB. The least is 65,536 (64
   * KiB), the most is the largest possible mapping (4 GiB on Bun). An existing log keeps its size
   * until `resize()`, and `stats().warnings` says so if a different one is given.
   *
   * @default {67108864}
   */
  size?: number | undefined;
  /**
   * Whether `open()` makes the log if there is none.
   *
   * @default {true}
   */
  create?: boolean | undefined;
  /**
   * What to do about damage to acknowledged records. `"strict"` throws `WALCorruptError` and leaves
   * the file as it is.
   *
   * `"salvage"` keeps the damaged file as `<path>.damaged-<nanoseconds>` (a name cut to 255 bytes),
   * and opens a new log with what can be proved. `recovery.losses` lists what was lost. If the
   * process dies before `open()` returns, the new log may be in place already, and no later opening
   * lists the losses again. Salvage needs a file system with hard links.
   *
   * @default {"strict"}
   */
  recovery?: "strict" | "salvage" | undefined;
  /**
   * Which retained records of a cleanly closed log `open()` verifies: `true` for all, `"ends"` for
   * the 4096 oldest and the 4096 newest, `false` for none. With `"ends"` and `false`, opening takes
   * equally long for every size of log. Damage to the other records is found when they are read,
   * because reading verifies every record.
   *
   * A log that was not closed is always verified whole. So a log that opened with undetected damage
   * may be refused after a crash. Then `recovery: "salvage"` keeps all but the damaged records.
   * With `"salvage"`, `"ends"` means `true`.
   *
   * @default {"ends"}
   */
  verify?: boolean | "ends" | undefined;
  /**
   * Where group commits wait for the medium. `"inline"` waits on the JavaScript thread, which has
   * the least latency. `"offload"` waits on another thread, which never holds the event loop.
   * `"adaptive"` waits inline while syncs take less than a millisecond.
   *
   * @default {"adaptive"}
   */
  flush?: "adaptive" | "inline" | "offload" | undefined;
  /**
   * How long an async append waits for room while the ring is full and a consumer runs, in
   * milliseconds. After that it rejects with `WALFullError`.
   *
   * @default {Infinity}
   */
  fullTimeoutMs?: number | undefined;
  /**
   * How long `[Symbol.asyncDispose]()` (`await using`) waits for a running call to the store, in
   * milliseconds. After that the log is closed all the same, and ignores what the call does later.
   * `Infinity` waits as long as the call takes. The default leaves time for a clean close in the
   * 10 s that containers get before they are killed.
   *
   * @default {5000}
   */
  closeTimeoutMs?: number | undefined;
  /**
   * With `"full"`, a durable record survives power loss. With `"barrier"`, macOS uses
   * F_BARRIERFSYNC instead of F_FULLFSYNC: records keep their order, but power loss may take the
   * last ones. On other systems, `"barrier"` is the same as `"full"`.
   *
   * @default {"full"}
   */
  durability?: "full" | "barrier" | undefined;
  /**
   * How many milliseconds after the last commit an idle log stores in its header what is durable.
   * `Infinity` means never.
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
   * How far a given time may lie ahead of the wall clock, in milliseconds. Also, how large a jump
   * of the wall clock the log follows while it is open. Without this limit, one time from the far
   * future would push all later ones there. `Infinity` follows every reading, and accepts any given
   * time.
   *
   * Each reading of the wall clock is compared with two times: the log's time, and the previous
   * reading plus the time that has passed since by `performance.now()`. If a reading is ahead of
   * both by more than the limit, it is a jump. The log's time then stands still, its sequence
   * number goes on, and `stats().warnings` says so. This ends when the wall clock is back. It also
   * ends when the log is closed and opened again, because the first reading of an opening is always
   * followed.
   *
   * On Linux, Deno's `performance.now()` does not count the time that the machine sleeps, so a
   * sleep longer than the limit is a jump. With both `now` and `storage`, no time passes between
   * two readings.
   *
   * @default {86400000}
   */
  maxClockDriftMs?: number | undefined;
  /**
   * The wall clock, in milliseconds since 1970. Each call reads it before it writes anything.
   * Records that `now()` itself appends come before those of the call. If `now()` throws, the call
   * throws the same error. An append that waited for room keeps the reading from before the wait.
   *
   * @default {Date.now}
   */
  now?: (() => number) | undefined;
  /**
   * Opens a log also on a network, FUSE or copy-on-write file system. There, writing to the mapping
   * may kill the process, or a sync may report success wrongly. `stats().warnings` says what to
   * expect.
   *
   * @default {false}
   */
  allowUnsafeFileSystem?: boolean | undefined;
  /**
   * Tells followers of commits, at most once a millisecond, by writing a small file beside the log:
   * its path with `.live` added, and the log's mode. `close()` removes the file. Without it,
   * followers poll. If it cannot be written, the log goes on, and `stats().warnings` says so. A log
   * in memory has no followers.
   *
   * @default {false}
   */
  followers?: boolean | undefined;
  /**
   * Where the file is stored: the real disk if left out, a simulated disk in tests. It gets
   * absolute paths only.
   */
  storage?: Storage | undefined;
}

/** Records that were acknowledged and can no longer be read. */
export interface Loss {
  /** The first lost record. */
  readonly firstLsn: LSN;
  /** The last lost record. */
  readonly lastLsn: LSN;
  /** Byte offset of the first lost record in the damaged file. */
  readonly offset: number;
}

/** The log that a log was copied from. Both share the beginning of their history. */
export interface LogOrigin {
  /** The id of the log that was copied: 32 lowercase hex digits. */
  readonly logId: string;
  /** The last LSN that both logs share; 0 if they share none. */
  readonly lastLsn: LSN;
}

/** What `open()` found. */
export interface RecoveryReport {
  /** True if this opening made the log. */
  readonly created: boolean;
  /** True if the log had been closed by `close()`. */
  readonly clean: boolean;
  /** The log's id when it was opened: 32 lowercase hex digits. `WAL.logId` has the current id. */
  readonly logId: string;
  /** The log that `backup()` or salvage copied; null for a log that began empty. */
  readonly origin: LogOrigin | null;
  /**
   * When the log was made, in milliseconds since 1970, as the clock said then. A copy has the time
   * of the log that it was copied from. Null if the file does not say.
   */
  readonly createdMs: number | null;
  /** Records kept. */
  readonly records: number;
  /** The oldest record kept; one more than `lastLsn` if there is none. */
  readonly firstLsn: LSN;
  /** The newest record kept, 0 if there never was one. */
  readonly lastLsn: LSN;
  /**
   * Torn slots after the end that were erased. Each names an LSN after the end, but holds no intact
   * record of it, and was never acknowledged.
   */
  readonly tornRecords: number;
  /**
   * Intact records after the end that were erased, so that they cannot come back. They were never
   * acknowledged.
   */
  readonly phantomsErased: number;
  /** True if one header copy was damaged, so that only the intact copy was used. */
  readonly headerDamaged: boolean;
  /** With `recovery: "salvage"`: what was lost, in LSN order. */
  readonly losses: readonly Loss[];
  /** With `recovery: "salvage"`: where the damaged file is kept, or null. */
  readonly damagedFile: string | null;
  /** How long opening took. */
  readonly durationMs: number;
}

/**
 * A histogram of durations. Bucket `i` counts durations from `boundsMs[i - 1]` to just below
 * `boundsMs[i]`. The last bucket has no upper bound.
 */
export interface LatencyHistogram {
  /** Upper bounds of the buckets. */
  readonly boundsMs: readonly number[];
  /** How many durations fell into each bucket. */
  readonly counts: readonly number[];
  /** How many durations were counted. */
  readonly count: number;
  /** The sum of all durations. */
  readonly totalMs: number;
  /** The longest duration. */
  readonly maxMs: number;
}

/** The state of the consumer. */
export interface ConsumerStats {
  /**
   * - `"none"`: no consumer was started since `open()`.
   * - `"running"`: the consumer applies records or waits for them.
   * - `"retrying"`: the store failed, and `onError` is running or has answered `"retry"`.
   * - `"stopped"`: the last consumer was stopped by its signal.
   * - `"failed"`: the last consumer was refused, or ended with an error.
   */
  readonly state: "none" | "running" | "retrying" | "stopped" | "failed";
  /** Failures of this consumer in a row; 0 after a success. */
  readonly attempts: number;
  /**
   * The last error of a consumer since `open()`, null if there was none. A later success does not
   * clear it.
   */
  readonly lastError: unknown;
  /** How long the current call to the store or to `onError` has run; 0 if there is none. */
  readonly callMs: number;
  /** How many records consumers of this name have skipped since `open()`. */
  readonly skipped: number;
  /** The LSNs of the last 16 of them. */
  readonly skippedLsns: readonly LSN[];
}

/** A registered consumer at one moment. */
export interface RegisteredConsumerStats extends ConsumerStats {
  /** Its name; `""` for the unnamed consumer. */
  readonly name: string;
  /** The highest LSN that is in its store. */
  readonly applied: LSN;
  /** Its store has everything up to this LSN durably, and the log keeps all later records. */
  readonly position: LSN;
  /** Records that are not in its store. */
  readonly lagRecords: number;
  /** Age of the oldest of these records, by the record's time; 0 if there is none. */
  readonly lagMs: number;
  /** True while it runs. */
  readonly running: boolean;
  /** True if the log has given it up. Then it holds no record. */
  readonly lost: boolean;
  /** As in the options; `Infinity` if there is no limit. */
  readonly maxLagRecords: number;
  /** As in the options. */
  readonly keepRecords: number;
}

/** The figures of a log at one moment. */
export interface WALStats {
  /** The file, or null for memory. */
  readonly path: string | null;
  /** The log's id, as `WAL.logId`. */
  readonly logId: string;
  /** The log that this one was copied from, as in `RecoveryReport`. */
  readonly origin: LogOrigin | null;
  /** When the log was made, as in `RecoveryReport`. */
  readonly createdMs: number | null;
  /** Type of the file system, as in `ext4`. */
  readonly fileSystem: string;
  /** False on tmpfs and in anonymous memory, where nothing survives power loss. */
  readonly durableMedium: boolean;
  /**
   * What an operator should know now, one sentence each. For example: the log's time is more than a
   * minute ahead of the wall clock, and by how much. A condition that has ended is left out.
   */
  readonly warnings: readonly string[];
  /** Size of the file. */
  readonly sizeBytes: number;
  /** Records the ring can hold. */
  readonly capacity: number;
  /** Records kept: `head - tail`. */
  readonly length: number;
  /** `length / capacity`. */
  readonly fillRatio: number;
  /** The next LSN to write. */
  readonly head: LSN;
  /** The oldest LSN kept. */
  readonly tail: LSN;
  /** The highest durable LSN. */
  readonly durable: LSN;
  /** The highest LSN that is in the store; with several consumers, in all of their stores. */
  readonly applied: LSN;
  /** Records appended since `open()`. */
  readonly appended: number;
  /** Records appended since `open()`, by operation. */
  readonly records: Readonly<Record<OperationName, number>>;
  /** Data syncs since `open()`. */
  readonly syncs: number;
  /** Header syncs since `open()`. */
  readonly headerSyncs: number;
  /** Records that a data sync made durable, on average; 0 before the first sync. */
  readonly recordsPerSync: number;
  /** How long data syncs took. */
  readonly syncLatency: LatencyHistogram;
  /** Whether group commits run `"inline"` or `"offload"` now. */
  readonly flushMode: "inline" | "offload";
  /** Appends that wait for room. */
  readonly waiting: number;
  /** How long appends waited for room that have got it, or were refused, since `open()`. */
  readonly waits: LatencyHistogram;
  /** How often the log has released records since `open()`: whoever asked for it. */
  readonly truncations: number;
  /** Calls of `replay()`, `records()`, `cursor()` and `encodeRun()` since `open()`. */
  readonly replays: number;
  /**
   * How often damage was met since `open()`: a read of a damaged record, and what `open()` itself
   * has found, which is a damaged header copy and each range in `recovery.losses`. Torn records
   * after a crash are no damage.
   */
  readonly checksumFailures: number;
  /**
   * Errors of the log since `open()`, by code. An error that many calls get is counted once. Errors
   * of a closed log are not counted. Errors of a store are, if they are `WALError`s.
   */
  readonly errors: Readonly<Record<WALErrorCode, number>>;
  /**
   * Age of the oldest record that is not in the stores of all consumers, by the record's time; 0 if
   * there is none.
   */
  readonly oldestUnconsumedAgeMs: number;
  /** True while a consumer runs. */
  readonly consuming: boolean;
  /**
   * The state of the running consumer, or else of the last one. Of several, the one started last.
   */
  readonly consumer: ConsumerStats;
  /** All registered consumers, in the order of their registration. */
  readonly consumers: readonly RegisteredConsumerStats[];
  /** True if a sync failed or the file is gone. Only reopening helps. */
  readonly poisoned: boolean;
}

/** How to follow a log. */
export interface FollowOptions {
  /**
   * Which records are shown. `"durable"`: those that power loss cannot take. `"appended"`: also
   * those that the writer has appended and sealed, but not made durable. A power loss may take
   * them, and then the follower throws `WALRewoundError`.
   *
   * @default {"durable"}
   */
  mode?: "durable" | "appended" | undefined;
  /**
   * The first record of an iteration.
   *
   * @default {the tail}
   */
  from?: LSN | undefined;
  /**
   * The longest time between two looks at the file while a follower waits for records, in
   * milliseconds, 1 or more. It looks 1 ms after a record, and less and less often while none
   * comes. With a live file, the writer wakes it too, and this is a safety net.
   *
   * @default {100}
   */
  pollIntervalMs?: number | undefined;
  /** Closes the follower, which ends its iterations without an error. */
  signal?: AbortSignal | undefined;
}

/** How a follower feeds a store: as a consumer of the log, but it holds no records back. */
export type FollowerConsumeOptions = Omit<ConsumeOptions, "name" | "maxLagRecords" | "keepRecords">;

/** What a follower sees at one moment. */
export interface FollowerStats {
  /** The log's absolute path, without symbolic links. */
  readonly path: string;
  /** The log's id, as `WAL.logId`. */
  readonly logId: string;
  /** One more than the newest record in the file, durable or not. */
  readonly head: LSN;
  /** The oldest LSN that the log keeps. */
  readonly tail: LSN;
  /** The highest LSN that is known to be durable. */
  readonly durable: LSN;
  /** The newest record that the follower was asked for and has read; 0 if there is none. */
  readonly read: LSN;
  /** How many records that may be read are newer than `read`. */
  readonly lag: number;
  /** What an operator should know now, one sentence each. */
  readonly warnings: readonly string[];
}

/** A registered consumer, as the newest header of a file has it. */
export interface InspectedConsumer {
  /** Its name; `""` for the unnamed consumer. */
  readonly name: string;
  /** Its store has everything up to this LSN durably. */
  readonly confirmed: LSN;
  /** True if the log has given the consumer up. Then it holds no record. */
  readonly isLost: boolean;
}

/** What is in a log's file at one moment, open or not. */
export interface LogInspection
  extends
    Pick<WALStats, "logId" | "origin" | "createdMs" | "sizeBytes" | "capacity" | "length" | "fillRatio" | "tail"> {
  /** The log's absolute path, without symbolic links. */
  readonly path: string;
  /** Type of the file system, as in `ext4`; null if the runtime does not tell. */
  readonly fileSystem: string | null;
  /** One more than the newest record in the file, durable or not. */
  readonly head: LSN;
  /** The highest LSN that is known to be durable. */
  readonly durable: LSN;
  /** The highest LSN that a header says is in the store. */
  readonly checkpoint: LSN;
  /** The registered consumers. An open log may have moved them on since it wrote the header. */
  readonly consumers: readonly InspectedConsumer[];
  /** The time of the oldest record kept, in milliseconds since 1970; null if there is none. */
  readonly oldestMs: number | null;
  /** The time of the newest record, in milliseconds since 1970; null if there is none. */
  readonly newestMs: number | null;
  /** True if the log was closed by `close()`. False while it is open, and after a crash. */
  readonly clean: boolean;
  /** The process that last had the log open; null if nobody had. It may run no more. */
  readonly openerPid: number | null;
  /** What an operator should know, one sentence each. */
  readonly warnings: readonly string[];
}

/** Whose store `whenApplied()` waits for. */
export interface WhenAppliedOptions {
  /**
   * The consumer's name; `""` for the unnamed one.
   *
   * @default {all consumers that run}
   */
  name?: string | undefined;
}

/** How to make a backup. */
export interface BackupOptions {
  /**
   * The last record of the copy. A batch that this record is a part of, but not the last, is left
   * out as a whole. Later records that are durable are left out, as if they had never been
   * appended.
   *
   * @default {the newest durable record}
   */
  through?: LSN | undefined;
}

/**
 * The range that `records()` and `cursor()` read: records that are in the range of LSNs and in the
 * range of times. All ends are included.
 */
export interface RecordRange {
  /**
   * The first record.
   *
   * @default {the tail}
   */
  from?: LSN | undefined;
  /**
   * The last record. Records that are appended later are not read.
   *
   * @default {the newest record}
   */
  to?: LSN | undefined;
  /**
   * The earliest time: a `Date`, or nanoseconds since 1970 as a bigint, as a record's `time[0]`.
   *
   * @default {the first record's}
   */
  since?: Date | bigint | undefined;
  /**
   * The latest time.
   *
   * @default {the last record's}
   */
  until?: Date | bigint | undefined;
}
