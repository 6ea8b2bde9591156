// What callers can catch: one class for each thing a caller would do differently.

import process from "node:process";
import { RegionError, type RegionFailureDetails } from "../ffi/region.ts";
import type { Loss, LSN } from "./types.ts";

/**
 * What happened, for programs: {@linkcode WALError.code}. Each class names its own; `"SQLITE"` is that of
 * `SQLiteStoreError`. The list is complete, so a `switch` over it can be exhaustive.
 */
export type WALErrorCode =
  | "CLOSED"
  | "CONSUMING"
  | "CORRUPT"
  | "FILE_SYSTEM"
  | "FORMAT"
  | "FULL"
  | "GONE"
  | "IO"
  | "LOCKED"
  | "NO_SPACE"
  | "NOT_FOUND"
  | "PERMISSION"
  | "PLATFORM"
  | "SQLITE"
  | "STORE"
  | "SYNC"
  | "TRUNCATED";

/** Base of every error that is the world's fault rather than the caller's (those are `TypeError` and `RangeError`). */
export class WALError extends Error {
  /** The class's name. */
  override name = "WALError";
  /** What happened, for programs: `"FULL"`, `"CLOSED"`, … as each class says. */
  readonly code: WALErrorCode;

  /** Made by the log. */
  constructor(code: WALErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * The ring has no free slot: nothing was written. Release records with `truncate()`, or run a consumer. The message says how the
 * consumer is; `cause` is what the consumer or its store failed with, if that is why there is no room. Code `FULL`.
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
  /** Records there was no room for. */
  readonly wanted: number;

  /** Made by the log. */
  constructor(capacity: number, tail: LSN, head: LSN, wanted: number, why: string, options?: ErrorOptions) {
    super(
      "FULL",
      `Cannot append ${wanted} record(s): the ring holds LSN ${tail} to ${head - 1} of ${capacity} slots${why}`,
      options,
    );
    this.capacity = capacity;
    this.tail = tail;
    this.head = head;
    this.wanted = wanted;
  }
}

/** The log is closed, or what would be waited for has stopped. Code `CLOSED`. */
export class WALClosedError extends WALError {
  /** The class's name. */
  override name = "WALClosedError";

  /** Made by the log. */
  constructor(action: string, state = "the log is closed") {
    super("CLOSED", `Cannot ${action}: ${state}`);
  }
}

/** Another opener has the log. Code `LOCKED`. */
export class WALLockedError extends WALError {
  /** The class's name. */
  override name = "WALLockedError";
  /** The log's file. */
  readonly path: string;
  /** The process that opened the log, by its own account; null if unknown. */
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
  }): an instance here was not closed, as by ` +
    "a reload, a test that threw or a worker that was terminated; close it first, or declare it with `using`";
}

/** The file is not a log, or not one this version can read. Code `FORMAT`. The file is left as it is. */
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

/** Acknowledged data is damaged. Code `CORRUPT`. Nothing was overwritten; `recovery: "salvage"` opens what is left. */
export class WALCorruptError extends WALError {
  /** The class's name. */
  override name = "WALCorruptError";
  /** The log's file, or null for memory. */
  readonly path: string | null;
  /** The damaged records that were found, in LSN order; empty where the header itself is damaged. */
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

  /** The first damaged record, 0 where the header itself is damaged. */
  get firstLsn(): LSN {
    return this.losses[0]?.firstLsn ?? 0;
  }

  /** The last damaged record, 0 where the header itself is damaged. */
  get lastLsn(): LSN {
    return this.losses.at(-1)?.lastLsn ?? 0;
  }
}

/** A sync failed: nothing past `durable` is known to be on the medium. Final: reopen to recover. Code `SYNC`. */
export class WALSyncError extends WALError {
  /** The class's name. */
  override name = "WALSyncError";
  /** The log's file, or null for memory. */
  readonly path: string | null;
  /** The highest LSN that is known to be durable. */
  readonly durable: LSN;
  /** The error's name, as in `EIO`; null where the runtime does not tell. */
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

/** The open file was deleted, replaced or cut. Final: nothing after `durable` is acknowledged. Code `GONE`. */
export class WALFileGoneError extends WALError {
  /** The class's name. */
  override name = "WALFileGoneError";
  /** The log's file, or null for memory. */
  readonly path: string | null;
  /** The highest LSN that is known to be durable. */
  readonly durable: LSN;

  /** Made by the log. */
  constructor(path: string | null, durable: LSN, options?: ErrorOptions) {
    super(
      "GONE",
      `Cannot go on with ${
        JSON.stringify(path)
      }: the file was deleted, replaced or cut while open; records after LSN ${durable} are not durable`,
      options,
    );
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
  /** The error's name, as in `ENOSPC`; null where there is none. */
  readonly errno: string | null;

  /** Made by the log. */
  constructor(path: string | null, errno: string | null, message: string, options?: ErrorOptions) {
    super("NO_SPACE", message, options);
    this.path = path;
    this.errno = errno;
  }
}

/** A shared mapping of this file system cannot be trusted. Code `FILE_SYSTEM`. */
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
  /** The command line flags that grant what is missing; empty where the operating system denies. */
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

/** The system reports something else. Code `IO`. */
export class WALIOError extends WALError {
  /** The class's name. */
  override name = "WALIOError";
  /** The log's file, or null for memory. */
  readonly path: string | null;
  /** The error's name, as in `EIO`; null where there is none. */
  readonly errno: string | null;

  /** Made by the log. */
  constructor(path: string | null, errno: string | null, message: string, options?: ErrorOptions) {
    super("IO", message, options);
    this.path = path;
    this.errno = errno;
  }
}

/** A consumer is already running on this log. Code `CONSUMING`. */
export class WALConsumingError extends WALError {
  /** The class's name. */
  override name = "WALConsumingError";

  /** Made by the log. */
  constructor() {
    super("CONSUMING", "Cannot consume the log: a consumer is running already");
  }
}

/**
 * The store and the log do not belong together: the store has an LSN of another log, or one that this log never handed out, or
 * it lacks records that were confirmed and released, or a consumer of another log is filling it. Code `STORE`. Nothing was applied, released or skipped.
 *
 * To try again does not help. Open the log that the store belongs to, or give the log an empty store; a log that has
 * released records needs a store that has them.
 */
export class WALStoreError extends WALError {
  /** The class's name. */
  override name = "WALStoreError";
  /** What the store's `appliedLsn()` says. */
  readonly appliedLsn: LSN;
  /** The id of the log that this LSN belongs to, by the store's `appliedLog()`; null if the store does not know. */
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

  /** As `appliedLsn`. */
  get applied(): LSN {
    return this.appliedLsn;
  }
}

/** The records asked for were released by `truncate()`. Code `TRUNCATED`. */
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

/** Turns what the region throws into what callers catch; anything else is returned as it is. */
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
