// What callers can catch: one class for each thing a caller would do differently.

import process from "node:process";
import { RegionError, type RegionFailureDetails } from "../ffi/region.ts";
import type { Loss, LSN } from "./types.ts";

/** Base of every error that is the world's fault rather than the caller's (those are `TypeError` and `RangeError`). */
export class WALError extends Error {
  /** The class's name. */
  override name = "WALError";

  /**
   * Made by the log.
   *
   * @param code what happened, for programs: `"FULL"`, `"CLOSED"`, … as each class says.
   */
  constructor(readonly code: string, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** The ring has no free slot: nothing was written. Release records with `truncate()`, or run a consumer. */
export class WALFullError extends WALError {
  /** The class's name. */
  override name = "WALFullError";

  /**
   * Made by the log.
   *
   * @param capacity records the ring can hold.
   * @param wanted records there was no room for.
   */
  constructor(readonly capacity: number, readonly tail: LSN, readonly head: LSN, readonly wanted: number, why: string) {
    super(
      "FULL",
      `Cannot append ${wanted} record(s): the ring holds LSN ${tail} to ${head - 1} of ${capacity} slots${why}`,
    );
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

  /**
   * Made by the log.
   *
   * @param pid the process that opened it, by its own account; null if unknown.
   */
  constructor(readonly path: string, readonly pid: number | null, options?: ErrorOptions) {
    super(
      "LOCKED",
      `Cannot open ${JSON.stringify(path)}: the log is locked by ${openerName(pid)}`,
      options,
    );
  }
}

function openerName(pid: number | null): string {
  if (pid === null) return "another opener";
  if (pid !== process.pid) return `process ${pid}`;
  // Each container has a process 1, and a volume may be shared.
  return `process ${pid} (this process${pid === 1 ? ", or that of another container" : ""})`;
}

/** The file is not a log, or not one this version can read. Code `FORMAT`. The file is left as it is. */
export class WALFormatError extends WALError {
  /** The class's name. */
  override name = "WALFormatError";

  /** Made by the log. */
  constructor(readonly path: string | null, readonly offset: number, message: string, options?: ErrorOptions) {
    super("FORMAT", message, options);
  }
}

/** Acknowledged data is damaged. Code `CORRUPT`. Nothing was overwritten; `recovery: "salvage"` opens what is left. */
export class WALCorruptError extends WALError {
  /** The class's name. */
  override name = "WALCorruptError";

  /**
   * Made by the log.
   *
   * @param losses the damaged records that were found, in LSN order; empty where the header itself is damaged.
   */
  constructor(readonly path: string | null, readonly losses: readonly Loss[], message: string, options?: ErrorOptions) {
    super("CORRUPT", message, options);
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

  /**
   * Made by the log.
   *
   * @param errno the error's name, as in `EIO`; null where the runtime does not tell.
   */
  constructor(
    readonly path: string | null,
    readonly durable: LSN,
    readonly errno: string | null,
    options?: ErrorOptions,
  ) {
    super(
      "SYNC",
      `Cannot make records after LSN ${durable} durable: sync failed${errno === null ? "" : ` with ${errno}`}`,
      options,
    );
  }
}

/** The open file was deleted, replaced or cut. Final: nothing after `durable` is acknowledged. Code `GONE`. */
export class WALFileGoneError extends WALError {
  /** The class's name. */
  override name = "WALFileGoneError";

  /** Made by the log. */
  constructor(readonly path: string | null, readonly durable: LSN, options?: ErrorOptions) {
    super(
      "GONE",
      `Cannot go on with ${
        JSON.stringify(path)
      }: the file was deleted, replaced or cut while open; records after LSN ${durable} are not durable`,
      options,
    );
  }
}

/** No space on the medium, in the quota or in memory. Code `NO_SPACE`. */
export class WALSpaceError extends WALError {
  /** The class's name. */
  override name = "WALSpaceError";

  /** Made by the log. */
  constructor(readonly path: string | null, readonly errno: string | null, message: string, options?: ErrorOptions) {
    super("NO_SPACE", message, options);
  }
}

/** A shared mapping of this file system cannot be trusted. Code `FILE_SYSTEM`. */
export class WALFileSystemError extends WALError {
  /** The class's name. */
  override name = "WALFileSystemError";

  /** Made by the log. */
  constructor(readonly path: string | null, message: string, options?: ErrorOptions) {
    super("FILE_SYSTEM", message, options);
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

  /**
   * Made by the log.
   *
   * @param flags the command line flags that grant what is missing; empty where it is the operating system that denies.
   */
  constructor(
    readonly path: string | null,
    readonly flags: readonly string[],
    message: string,
    options?: ErrorOptions,
  ) {
    super("PERMISSION", message, options);
  }
}

/** There is no such file or directory. Code `NOT_FOUND`. */
export class WALNotFoundError extends WALError {
  /** The class's name. */
  override name = "WALNotFoundError";

  /** Made by the log. */
  constructor(readonly path: string | null, message: string, options?: ErrorOptions) {
    super("NOT_FOUND", message, options);
  }
}

/** The system reports something else. Code `IO`. */
export class WALIOError extends WALError {
  /** The class's name. */
  override name = "WALIOError";

  /** Made by the log. */
  constructor(readonly path: string | null, readonly errno: string | null, message: string, options?: ErrorOptions) {
    super("IO", message, options);
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
 * The store and the log do not belong together: the store is ahead of the log, or it lacks records that were confirmed and
 * released. Code `STORE`. Nothing was applied.
 */
export class WALStoreError extends WALError {
  /** The class's name. */
  override name = "WALStoreError";

  /**
   * Made by the log.
   *
   * @param applied what the store's `appliedLsn()` says.
   */
  constructor(readonly applied: LSN, readonly tail: LSN, readonly durable: LSN) {
    super(
      "STORE",
      applied > durable
        ? `Cannot consume the log: the store has LSN ${applied}, but the log ends at LSN ${durable}`
        : `Cannot consume the log: the store has LSN ${applied}, but the log has released everything before LSN ${tail}`,
    );
  }
}

/** The records asked for were released by `truncate()`. Code `TRUNCATED`. */
export class WALTruncatedError extends WALError {
  /** The class's name. */
  override name = "WALTruncatedError";

  /** Made by the log. */
  constructor(readonly lsn: LSN, readonly tail: LSN) {
    super("TRUNCATED", `Cannot read LSN ${lsn}: the log starts at LSN ${tail} now`);
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
