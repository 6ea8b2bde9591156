// What callers can catch: one class for each failure that a caller would handle differently.

import process from "node:process";
import { RegionError, type RegionFailureDetails } from "../ffi/region.ts";
import type { Loss, LSN, OpType, WALRunFault, WALShardsFault, WALShipFault } from "./types.ts";

/**
 * The codes of {@linkcode WALError.code}, one for each class. `"SQLITE"` belongs to
 * `SQLiteStoreError`. The list is complete, so a `switch` over the code can be exhaustive.
 */
export type WALErrorCode =
  | "CLOSED"
  | "CONSUMING"
  | "CONSUMER_LOST"
  | "CORRUPT"
  | "FILE_SYSTEM"
  | "FORMAT"
  | "FULL"
  | "GONE"
  | "IO"
  | "LAGGED"
  | "LOCKED"
  | "NO_SPACE"
  | "NOT_FOUND"
  | "OPERATION"
  | "PERMISSION"
  | "PLATFORM"
  | "REWOUND"
  | "RUN"
  | "SHARDS"
  | "SHIP"
  | "SQLITE"
  | "STORE"
  | "SYNC"
  | "TOO_SMALL"
  | "TRUNCATED";

/**
 * Base of all errors of the log. For a wrong argument, the log throws a `TypeError` or a
 * `RangeError` instead.
 *
 * @example
 * ```ts
 * import { WAL, WALError } from "@cidstore/wal";
 *
 * try {
 *   WAL.open("missing/log", { create: false });
 * } catch (error) {
 *   if (!(error instanceof WALError)) throw error; // a wrong argument
 *   console.log(error.code); // NOT_FOUND
 * }
 * ```
 */
export class WALError extends Error {
  /** The class's name. */
  override name = "WALError";
  /** What happened, for programs: `"FULL"`, `"CLOSED"`, … Each class names its code. */
  readonly code: WALErrorCode;

  /** Made by the log. */
  constructor(code: WALErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * The ring has no free slot, and nothing was written. Code `FULL`. Release records with
 * `truncate()`, or run a consumer. The message says whether a consumer runs or failed. If the
 * consumer failed, `cause` is the error of the consumer or of its store.
 */
export class WALFullError extends WALError {
  /** The class's name. */
  override name = "WALFullError";
  /** Records the ring can hold. */
  readonly capacity: number;
  /** The oldest LSN kept. */
  readonly tail: LSN;
  /** The next LSN to write. */
  readonly head: LSN;
  /** How many records the append wanted to write. */
  readonly wanted: number;
  /**
   * The consumer that holds the oldest records, running or not: its name, `""` for the unnamed
   * consumer. Null if no consumer holds records that are in the way.
   */
  readonly consumer: string | null;
  /** How many records this consumer's store lacks; 0 if there is no such consumer. */
  readonly lagRecords: number;

  /** Made by the log. */
  constructor(
    details:
      & Pick<WALFullError, "capacity" | "tail" | "head" | "wanted">
      & Partial<Pick<WALFullError, "consumer" | "lagRecords">>,
    why: string,
    options?: ErrorOptions,
  ) {
    const { capacity, tail, head, wanted, consumer = null, lagRecords = 0 } = details;
    super(
      "FULL",
      `Cannot append ${wanted} record(s): the ring holds LSN ${tail} to ${head - 1} in ${capacity} slots${why}`,
      options,
    );
    this.capacity = capacity;
    this.tail = tail;
    this.head = head;
    this.wanted = wanted;
    this.consumer = consumer;
    this.lagRecords = lagRecords;
  }
}

/** The log is closed, or the consumer that a caller waits for has stopped. Code `CLOSED`. */
export class WALClosedError extends WALError {
  /** The class's name. */
  override name = "WALClosedError";

  /** Made by the log. */
  constructor(action: string, state = "the log is closed") {
    super("CLOSED", `Cannot ${action}: ${state}`);
  }
}

/** Another opener holds the log's lock. Code `LOCKED`. */
export class WALLockedError extends WALError {
  /** The class's name. */
  override name = "WALLockedError";
  /** The log's file. */
  readonly path: string;
  /** The process that opened the log, as the log's header says; null if unknown. */
  readonly pid: number | null;

  /** Made by the log. */
  constructor(path: string, pid: number | null, options?: ErrorOptions) {
    super(
      "LOCKED",
      `Cannot open ${JSON.stringify(path)}: the log is locked by ${openerName(pid)}`,
      options,
    );
    this.path = path;
    this.pid = pid;
  }
}

function openerName(pid: number | null): string {
  if (pid === null) return "another opener";
  if (pid !== process.pid) return `process ${pid}`;
  // Each container has a process 1, and a volume may be shared.
  return `process ${pid} (this process${
    pid === 1 ? ", or that of another container" : ""
  }): another instance is still open, perhaps after a reload, a failed test or a terminated worker; ` +
    "close that instance first, or declare it with `using`";
}

/** The file is not a log, or this version cannot read it. The file is unchanged. Code `FORMAT`. */
export class WALFormatError extends WALError {
  /** The class's name. */
  override name = "WALFormatError";
  /** The log's file, or null for memory. */
  readonly path: string | null;
  /** Byte offset of what is wrong with the file. */
  readonly offset: number;

  /** Made by the log. */
  constructor(path: string | null, offset: number, message: string, options?: ErrorOptions) {
    super("FORMAT", message, options);
    this.path = path;
    this.offset = offset;
  }
}

/**
 * Acknowledged records are damaged, and the file is unchanged. `recovery: "salvage"` opens what can
 * be proved. Code `CORRUPT`.
 */
export class WALCorruptError extends WALError {
  /** The class's name. */
  override name = "WALCorruptError";
  /** The log's file, or null for memory. */
  readonly path: string | null;
  /** The damaged records that were found, in LSN order; empty if the header itself is damaged. */
  readonly losses: readonly Loss[];

  /** Made by the log. */
  constructor(path: string | null, losses: readonly Loss[], message: string, options?: ErrorOptions) {
    super("CORRUPT", message, options);
    this.path = path;
    this.losses = losses;
  }

  /** Byte offset of the first damaged place in the file. */
  get offset(): number {
    return this.losses[0]?.offset ?? 0;
  }

  /** The first damaged record, 0 if the header itself is damaged. */
  get firstLsn(): LSN {
    return this.losses[0]?.firstLsn ?? 0;
  }

  /** The last damaged record, 0 if the header itself is damaged. */
  get lastLsn(): LSN {
    return this.losses.at(-1)?.lastLsn ?? 0;
  }
}

/**
 * A sync failed, so only records up to `durable` are known to be durable. Only reopening helps.
 * Code `SYNC`.
 */
export class WALSyncError extends WALError {
  /** The class's name. */
  override name = "WALSyncError";
  /** The log's file, or null for memory. */
  readonly path: string | null;
  /** The highest LSN that is known to be durable. */
  readonly durable: LSN;
  /** The name of the system's error, as in `EIO`; null if the runtime does not tell. */
  readonly errno: string | null;

  /** Made by the log. */
  constructor(path: string | null, durable: LSN, errno: string | null, options?: ErrorOptions) {
    super(
      "SYNC",
      `Cannot make records after LSN ${durable} durable: sync failed${errno === null ? "" : ` with ${errno}`}`,
      options,
    );
    this.path = path;
    this.durable = durable;
    this.errno = errno;
  }
}

/**
 * The open file was deleted, replaced or cut. No record after `durable` is acknowledged. Only
 * reopening helps. Code `GONE`.
 *
 * For a follower, `durable` is the highest LSN that it knew to be durable.
 */
export class WALFileGoneError extends WALError {
  /** The class's name. */
  override name = "WALFileGoneError";
  /** The log's file, or null for memory. */
  readonly path: string | null;
  /** The highest LSN that is known to be durable. */
  readonly durable: LSN;

  /** Made by the log. @param state what happened, for the message. */
  constructor(
    path: string | null,
    durable: LSN,
    options?: ErrorOptions,
    state = `the file was deleted, replaced or cut while open; records after LSN ${durable} are not durable`,
  ) {
    super("GONE", `Cannot go on with ${JSON.stringify(path)}: ${state}`, options);
    this.path = path;
    this.durable = durable;
  }
}

/** No space on the medium, in the quota or in memory. Code `NO_SPACE`. */
export class WALSpaceError extends WALError {
  /** The class's name. */
  override name = "WALSpaceError";
  /** The log's file, or null for memory. */
  readonly path: string | null;
  /** The name of the system's error, as in `ENOSPC`; null if there is none. */
  readonly errno: string | null;

  /** Made by the log. */
  constructor(path: string | null, errno: string | null, message: string, options?: ErrorOptions) {
    super("NO_SPACE", message, options);
    this.path = path;
    this.errno = errno;
  }
}

/** Shared mappings cannot be trusted on this file system. Code `FILE_SYSTEM`. */
export class WALFileSystemError extends WALError {
  /** The class's name. */
  override name = "WALFileSystemError";
  /** The log's file, or null for memory. */
  readonly path: string | null;

  /** Made by the log. */
  constructor(path: string | null, message: string, options?: ErrorOptions) {
    super("FILE_SYSTEM", message, options);
    this.path = path;
  }
}

/** This operating system, processor or runtime is not supported. Code `PLATFORM`. */
export class WALPlatformError extends WALError {
  /** The class's name. */
  override name = "WALPlatformError";

  /** Made by the log. */
  constructor(message: string, options?: ErrorOptions) {
    super("PLATFORM", message, options);
  }
}

/** The runtime or the operating system denies access. Code `PERMISSION`. */
export class WALPermissionError extends WALError {
  /** The class's name. */
  override name = "WALPermissionError";
  /** The log's file, or null for memory. */
  readonly path: string | null;
  /**
   * The command line flags that grant the missing permissions; empty if the operating system denies
   * access.
   */
  readonly flags: readonly string[];

  /** Made by the log. */
  constructor(path: string | null, flags: readonly string[], message: string, options?: ErrorOptions) {
    super("PERMISSION", message, options);
    this.path = path;
    this.flags = flags;
  }
}

/** There is no such file or directory. Code `NOT_FOUND`. */
export class WALNotFoundError extends WALError {
  /** The class's name. */
  override name = "WALNotFoundError";
  /** The log's file, or null for memory. */
  readonly path: string | null;

  /** Made by the log. */
  constructor(path: string | null, message: string, options?: ErrorOptions) {
    super("NOT_FOUND", message, options);
    this.path = path;
  }
}

/** The system reports a failure that no other class covers. Code `IO`. */
export class WALIOError extends WALError {
  /** The class's name. */
  override name = "WALIOError";
  /** The log's file, or null for memory. */
  readonly path: string | null;
  /** The name of the system's error, as in `EIO`; null if there is none. */
  readonly errno: string | null;

  /** Made by the log. */
  constructor(path: string | null, errno: string | null, message: string, options?: ErrorOptions) {
    super("IO", message, options);
    this.path = path;
    this.errno = errno;
  }
}

/**
 * A consumer of this name is running on this log, or a consumer of another name is filling the
 * store. Code `CONSUMING`.
 */
export class WALConsumingError extends WALError {
  /** The class's name. */
  override name = "WALConsumingError";
  /** The name of the running consumer, `""` for the unnamed one. */
  readonly consumer: string;

  /** Made by the log. */
  constructor(consumer: string, why: string, task: string = "consume the log") {
    const subject = consumer === "" ? "a consumer" : `consumer ${JSON.stringify(consumer)}`;
    super("CONSUMING", `Cannot ${task}: ${subject} ${why}`);
    this.consumer = consumer;
  }
}

/**
 * The log has given a consumer up, because it was further behind than its `maxLagRecords`. Code
 * `CONSUMER_LOST`. Records after `position` may be gone. The running consumer ends with this error,
 * and a later one is refused with it.
 *
 * Fill the store again, from a `backup()` of this log or in another way, so that its `appliedLsn()`
 * is `tail - 1` or more. Then the consumer starts, and holds records again. A store without
 * `appliedLsn()` needs `dropConsumer()` first.
 */
export class WALConsumerLostError extends WALError {
  /** The class's name. */
  override name = "WALConsumerLostError";
  /** The consumer's name, `""` for the unnamed one. */
  readonly consumer: string;
  /** The log knows that the store has everything up to this LSN. */
  readonly position: LSN;
  /** The oldest LSN that the log has. */
  readonly tail: LSN;

  /** Made by the log. */
  constructor(consumer: string, position: LSN, tail: LSN) {
    const subject = consumer === "" ? "the unnamed consumer" : `consumer ${JSON.stringify(consumer)}`;
    super(
      "CONSUMER_LOST",
      `Cannot consume the log: ${subject} was too far behind at LSN ${position}, and the log has given it up; ` +
        `fill its store again, up to LSN ${tail - 1} or later, or drop the consumer`,
    );
    this.consumer = consumer;
    this.position = position;
    this.tail = tail;
  }
}

/**
 * The store and the log do not belong together, for one of these reasons:
 *
 * - The store has an LSN of another log.
 * - The store has an LSN that this log never handed out.
 * - The store lacks records that were confirmed and released.
 * - A consumer of another log is filling the store.
 *
 * Code `STORE`. Nothing was applied, released or skipped, and a retry does not help. Open the log
 * that the store belongs to, or give the log an empty store. A log that has released records needs
 * a store that has them.
 */
export class WALStoreError extends WALError {
  /** The class's name. */
  override name = "WALStoreError";
  /** The LSN that the store's `appliedLsn()` returned. */
  readonly appliedLsn: LSN;
  /**
   * The id that the store's `appliedLog()` returned for this LSN; null if the store does not know.
   */
  readonly appliedLog: string | null;
  /** The id of this log. */
  readonly logId: string;
  /** The oldest LSN that the log has. */
  readonly tail: LSN;
  /** The highest LSN that is durable in the log. */
  readonly durable: LSN;

  /** Made by the log. */
  constructor(
    details: Pick<WALStoreError, "appliedLsn" | "appliedLog" | "logId" | "tail" | "durable">,
    why: string,
  ) {
    super("STORE", `Cannot consume the log: ${why}`);
    this.appliedLsn = details.appliedLsn;
    this.appliedLog = details.appliedLog;
    this.logId = details.logId;
    this.tail = details.tail;
    this.durable = details.durable;
  }

  /** The same as `appliedLsn`. */
  get applied(): LSN {
    return this.appliedLsn;
  }
}

/**
 * The store cannot apply a record, because it does not know the operation. Code `OPERATION`. No
 * record from this one on was applied or released, and a retry does not help. Give the store the
 * method that the message names. Then it gets the record, which the log has kept.
 */
export class WALOperationError extends WALError {
  /** The class's name. */
  override name = "WALOperationError";
  /** The record. */
  readonly lsn: LSN;
  /** Its opcode. */
  readonly opType: OpType;

  /** Made by the log, or by a store. */
  constructor(lsn: LSN, opType: OpType, why: string) {
    super("OPERATION", `Cannot apply LSN ${lsn} of type ${opType}: ${why}`);
    this.lsn = lsn;
    this.opType = opType;
  }
}

/**
 * The records that the log keeps do not fit into the size that `resize()` was given, and nothing
 * was changed. Code `TOO_SMALL`. Release records with `truncate()` or a consumer, or give
 * `neededBytes`.
 */
export class WALTooSmallError extends WALError {
  /** The class's name. */
  override name = "WALTooSmallError";
  /** The size that was given, in bytes. */
  readonly bytes: number;
  /** The least size in bytes that holds the records that are kept now. */
  readonly neededBytes: number;

  /** Made by the log. */
  constructor(bytes: number, neededBytes: number, firstLsn: LSN, lastLsn: LSN) {
    super(
      "TOO_SMALL",
      `Cannot resize the log to ${bytes} bytes: it keeps LSN ${firstLsn} to ${lastLsn}, which take ${neededBytes} bytes`,
    );
    this.bytes = bytes;
    this.neededBytes = neededBytes;
  }
}

/** A record that was asked for is released. Code `TRUNCATED`. */
export class WALTruncatedError extends WALError {
  /** The class's name. */
  override name = "WALTruncatedError";
  /** The LSN that was asked for. */
  readonly lsn: LSN;
  /** The oldest LSN that the log has. */
  readonly tail: LSN;

  /** Made by the log. */
  constructor(lsn: LSN, tail: LSN) {
    super("TRUNCATED", `Cannot read LSN ${lsn}: the log starts at LSN ${tail} now`);
    this.lsn = lsn;
    this.tail = tail;
  }
}

/**
 * A follower asked for records that the writer has released, and whose slots it has used again.
 * Code `LAGGED`. Go on at `lastLsn + 1` without them, or give the store a new start from a backup.
 * The log never waits for a follower, so follow more closely, or give the log a larger ring.
 */
export class WALLaggedError extends WALError {
  /** The class's name. */
  override name = "WALLaggedError";
  /** The log's file. */
  readonly path: string;
  /** The first record that is gone. */
  readonly firstLsn: LSN;
  /** The last record before the log's tail. */
  readonly lastLsn: LSN;

  /** Made by a follower. */
  constructor(path: string, firstLsn: LSN, lastLsn: LSN) {
    super(
      "LAGGED",
      `Cannot follow ${JSON.stringify(path)}: LSN ${firstLsn} is released and overwritten, ` +
        `the log keeps records after LSN ${lastLsn}`,
    );
    this.path = path;
    this.firstLsn = firstLsn;
    this.lastLsn = lastLsn;
  }
}

/**
 * A log no longer has a record that a follower was given, or has another one in its place. Code
 * `REWOUND`. Its file was put back to an earlier state, or a crash took records that were appended
 * but not durable. Follow it anew, with a store that has only what the log has.
 */
export class WALRewoundError extends WALError {
  /** The class's name. */
  override name = "WALRewoundError";
  /** The log's file. */
  readonly path: string;
  /** The newest record that the follower was given. */
  readonly lsn: LSN;

  /** Made by a follower. */
  constructor(path: string, lsn: LSN) {
    super("REWOUND", `Cannot follow ${JSON.stringify(path)}: the log no longer has the LSN ${lsn} that was read`);
    this.path = path;
    this.lsn = lsn;
  }
}

/**
 * The bytes that were given to `decodeRun()` are no whole run of the log. Code `RUN`. No record of
 * them is returned. Ask for the run again; a `fault` of `"version"` needs a later version of this
 * library, and one of `"log"` means that the log was restored, copied or made anew.
 */
export class WALRunError extends WALError {
  /** The class's name. */
  override name = "WALRunError";
  /** What is wrong. */
  readonly fault: WALRunFault;
  /** Byte offset of what is wrong. */
  readonly offset: number;
  /** The record that is wrong, 0 if it is no single record. */
  readonly lsn: LSN;
  /** The id of the log in the header; null if the header cannot be read. */
  readonly logId: string | null;

  /** Made by the codec. */
  constructor(details: Pick<WALRunError, "fault" | "offset" | "lsn" | "logId">, why: string) {
    super("RUN", `Cannot decode the run: ${why}`);
    this.fault = details.fault;
    this.offset = details.offset;
    this.lsn = details.lsn;
    this.logId = details.logId;
  }
}

/** The faults that end by themselves, or with a new start of the consumer. */
const PASSING: readonly WALShipFault[] = ["unreachable", "refused", "moved", "damaged"];

/**
 * A log cannot be shipped to a target, or followed from a source. Code `SHIP`. What the target has
 * confirmed is kept, and nothing was skipped, doubled or merged.
 */
export class WALShipError extends WALError {
  /** The class's name. */
  override name = "WALShipError";
  /** What is wrong. */
  readonly fault: WALShipFault;

  /** Made by a shipper or a follower. */
  constructor(fault: WALShipFault, message: string, options?: ErrorOptions) {
    super("SHIP", message, options);
    this.fault = fault;
  }

  /** True if a retry does not help. `onError` is not asked then. */
  get isFinal(): boolean {
    return !PASSING.includes(this.fault);
  }
}

/** What a consumer does about an error of its store. */
export interface ErrorManners {
  /** A retry would only fail again. */
  readonly isFinal: boolean;
  /** No record is to blame, so none is skipped. */
  readonly blamesNoRecord: boolean;
  /** The store's position is no longer where the consumer has left it. */
  readonly hasMoved: boolean;
}

/** What an error asks of a consumer, whatever store it comes from. */
export function mannersOf(error: unknown): ErrorManners {
  const isShipping = error instanceof WALShipError;
  return {
    isFinal: error instanceof WALOperationError || (isShipping && error.isFinal),
    blamesNoRecord: isShipping,
    hasMoved: isShipping && error.fault === "moved",
  };
}

/** What a caller does about each fault of a set of shards. */
const SHARD_HELP: Readonly<Record<WALShardsFault, string>> = {
  count: "to change the number of shards, log what the stores have into the shards of a new directory",
  missing: "restore the shard from a backup of it; its records are nowhere else",
  foreign: "put the shard's own file back, or a backup of it",
  place: "give each shard its file back",
  unfinished: "open all shards once, without `only`, to finish it",
};

/**
 * The files of a directory are not the shards that were asked for. Code `SHARDS`. No record was
 * changed, and no file was made. The message says what to do.
 */
export class WALShardsError extends WALError {
  /** The class's name. */
  override name = "WALShardsError";
  /** What is wrong. */
  readonly fault: WALShardsFault;
  /** The directory of the shards. */
  readonly directory: string;
  /** The shard that this was found at. */
  readonly shard: number;

  /** Made by `openShards()`. */
  constructor(details: Pick<WALShardsError, "fault" | "directory" | "shard">, why: string) {
    const { fault, directory, shard } = details;
    super("SHARDS", `Cannot open shard ${shard} of ${JSON.stringify(directory)}: ${why}; ${SHARD_HELP[fault]}`);
    this.fault = fault;
    this.directory = directory;
    this.shard = shard;
  }
}

/** Turns an error of a region into one that callers catch. Other errors are returned unchanged. */
export function toWALError(error: unknown, path: string | null, durable: LSN): unknown {
  if (!(error instanceof RegionError)) return error;
  const details: RegionFailureDetails = error.details;
  const at = details.path ?? path;
  const errno = details.errno ?? null;
  const options = { cause: error };
  switch (error.reason) {
    case "PERMISSION":
      return new WALPermissionError(at, details.flags ?? [], error.message, options);
    case "NOT_FOUND":
      return new WALNotFoundError(at, error.message, options);
    case "LOCKED":
      return new WALLockedError(at ?? "", details.ownerPid ?? null, options);
    case "NOT_A_FILE":
    case "TOO_SHORT":
      return new WALFormatError(at, 0, error.message, options);
    case "NO_SPACE":
      return new WALSpaceError(at, errno, error.message, options);
    case "FILE_SYSTEM":
      return new WALFileSystemError(at, error.message, options);
    case "GONE":
      return new WALFileGoneError(at, durable, options);
    case "SYNC":
      return new WALSyncError(at, durable, errno, options);
    case "PLATFORM":
      return new WALPlatformError(error.message, options);
    case "IO":
      return new WALIOError(at, errno, error.message, options);
  }
}
