// Region: what the log asks of its memory. Storage: where regions come from.

import type { FileMemory } from "./file_memory.ts";
import type { LiveFile } from "./live_file.ts";

/** Why an operation on a file, a mapping or the runtime failed. */
export type RegionFailure =
  | "PERMISSION" // the runtime's sandbox or the operating system denies access
  | "NOT_FOUND" // no such file or directory
  | "LOCKED" // another opener holds the lock
  | "NOT_A_FILE" // a directory, a device, a dangling symbolic link, a path with NUL
  | "TOO_SHORT" // the file is shorter than the request allows
  | "NO_SPACE" // the medium, the quota or the memory is exhausted
  | "FILE_SYSTEM" // shared mappings cannot be trusted on this file system
  | "GONE" // the open file was deleted, replaced or cut
  | "SYNC" // a sync failed
  | "PLATFORM" // this operating system, processor or runtime is not supported
  | "IO"; // anything else the system reports

/** What else is known about a failure. A field is present only if it is known. */
export interface RegionFailureDetails {
  /** The file that the failure is about. */
  path?: string | undefined;
  /** The system call that failed. */
  call?: string | undefined;
  /** The name of the error number, as in `EIO`. */
  errno?: string | undefined;
  /** The command line flags that would grant the missing permissions. */
  flags?: readonly string[] | undefined;
  /** The process that holds the lock. */
  ownerPid?: number | undefined;
  /** The original failure: a `SystemError`, or the runtime's own error. */
  cause?: unknown;
}

/**
 * The only error that `ffi/` throws for what the world does. `src/errors.ts` turns it into the
 * errors that callers catch.
 */
export class RegionError extends Error {
  /** Always `RegionError`. */
  override name = "RegionError";
  /** Why the operation failed, as far as a caller would act on it. */
  readonly reason: RegionFailure;
  /** Path, system call and error number, where they are known. */
  readonly details: RegionFailureDetails;

  /** `ffi/` and simulated disks make these errors. */
  constructor(reason: RegionFailure, message: string, details: RegionFailureDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = reason;
    this.details = details;
  }
}

/** The largest piece (folio) in which a kernel caches a file: a huge page. */
export const REFRESH_BYTES: number = 2 * 1024 * 1024;

/** The file system that holds a region. */
export interface FileSystemInfo {
  /**
   * Its usual name: `ext4`, `xfs`, `btrfs`, `tmpfs`, `apfs`, `memory`. A file system without a
   * known name is `0x…`.
   */
  readonly name: string;
  /** False if synced bytes do not outlive power loss: tmpfs, ramfs, plain memory. */
  readonly durable: boolean;
}

/** A file's bytes in memory, and the ways to make them durable. */
export interface Region {
  /** The memory with the whole file. `close()` detaches it. */
  readonly memory: FileMemory;
  /** The absolute path; null for plain memory. */
  readonly path: string | null;
  /** True if this opening made the file. */
  readonly created: boolean;
  /** The file system that holds the file. */
  readonly fileSystem: FileSystemInfo;
  /** What an operator should know now, one sentence each. */
  readonly warnings: readonly string[];
  /**
   * True if `syncAsync()` writes back its range only, so that stores to other bytes stay cheap
   * meanwhile.
   */
  readonly syncsRangeAside: boolean;

  /**
   * Makes the bytes of [offset, offset + length) durable before it returns. Other bytes may become
   * durable too. The range needs no alignment.
   *
   * It may be called while a `syncAsync()` is pending. Each of the two then reports a failed
   * write-back by itself, so neither hides the failure from the other.
   *
   * @throws {RegionError} `SYNC`.
   */
  sync(offset: number, length: number): void;
  /**
   * As `sync()`, on another thread. It makes only those bytes durable that were stored before the
   * call. Only one call may be pending.
   */
  syncAsync(offset: number, length: number): Promise<void>;
  /**
   * Gives the bytes of [offset, offset + length) real pages, so that a load or a store cannot kill
   * the process. Contents do not change. Pages that were paged in for loads keep later stores
   * cheap.
   *
   * @throws {RegionError} `GONE` if the file was cut; `NO_SPACE` if there is no space for a store;
   * `IO` if the medium cannot read the bytes.
   */
  pageIn(offset: number, length: number, before: "load" | "store"): void;
  /**
   * Releases pages. Contents do not change. It never fails.
   *
   * - `"process"`: this process no longer holds the pages in memory, because it will not read them
   *   soon.
   * - `"kernel"`: the kernel also drops pages that it may hold in large pieces, and reads the bytes
   *   back page by page. Otherwise a store into a large piece would write all of that piece. Only
   *   pieces that are whole inside the range count, so ranges should start and end at multiples of
   *   `REFRESH_BYTES`.
   */
  release(offset: number, length: number, from: "process" | "kernel"): void;
  /** A copy of the whole file, with zeros for pages that cannot be read. */
  readable(): FileMemory;
  /**
   * Checks that the file is still at its path, with the same inode and size as at its opening. It
   * costs about a microsecond. If the path cannot be inspected, the file still counts as there
   * while its descriptor shows a name and the full size. `warnings` says so for as long as that
   * lasts.
   *
   * @throws {RegionError} `GONE` if the path leads to another file or to none, or if the file was
   * cut, grown or deleted.
   */
  verify(): void;
  /**
   * Puts a new file at the path: `sizeBytes` long, the chunks first and zeros after them. The file
   * is made whole or not at all, and is durable when the call returns.
   *
   * Nobody else can open either file meanwhile. The old file stays locked until this region is
   * closed; the new file is locked from before its first byte. Only the holder of a file's lock may
   * replace it.
   *
   * @param keepAs a path in the same directory, under which the old file is kept, unchanged. With
   * null, the old file must have no other name, and is dropped once the new one is durable.
   * @returns the region of the new file. This region must still be closed, and has no other use.
   * @throws {RegionError} `GONE` if the path leads to another file now; `IO` with errno `EEXIST` if
   * `keepAs` is taken, and with `EMLINK` if the old file has another name. After an error this
   * region and the path are as they were, with one exception. If the new file was put there and
   * then something failed, with a `keepAs` the new file stays. With null the old file is put back,
   * and if that is not known to be durable, the error is `GONE`.
   */
  replace(chunks: Iterable<Uint8Array>, sizeBytes: number, keepAs: string | null): Region;
  /**
   * Detaches `memory`, gives up the lock and unmaps the file. It does not sync. While a
   * `syncAsync()` is pending, the lock is given up at once, and the mapping is kept until that sync
   * ends. A second call does nothing.
   */
  close(): void;
}

/** How to open a region. */
export interface OpenRequest {
  /** Make the file if there is none. */
  readonly create: boolean;
  /** Size of a file that is made; a multiple of 16 KiB. */
  readonly sizeBytes: number;
  /** A file shorter than this is `TOO_SHORT`. */
  readonly minimumBytes: number;
  /** The first bytes of a file that is made; zeros follow. It is called only if a file is made. */
  readonly initialBytes: () => Uint8Array;
  /**
   * Finds the process that has the file open in the file's first 8 KiB, for a `LOCKED` error. Null
   * if the bytes do not tell.
   */
  readonly readOwnerPid: (firstBytes: Uint8Array) => number | null;
  /**
   * Open the file although its file system is unsafe: a store may kill the process there, or a sync
   * may lie.
   */
  readonly allowUnsafeFileSystem: boolean;
  /**
   * macOS: order writes with F_BARRIERFSYNC instead of F_FULLFSYNC, which is faster and weaker.
   * Other systems ignore it.
   */
  readonly barrierOnly: boolean;
}

/** Where regions come from: the real disk, or a disk that a test can crash. */
export interface Storage {
  /**
   * Opens the file at a path, exclusively: a second opener gets `LOCKED`. The lock ends with its
   * process. A file that does not exist is made whole or not at all.
   */
  open(path: string, request: OpenRequest): Region;
  /**
   * Makes a file of `sizeBytes` at `path`, the chunks first and zeros after them. The file is made
   * whole or not at all, and is durable when the call returns. The bytes of a chunk may change when
   * the next one is taken.
   *
   * @throws {RegionError} `IO` with errno `EEXIST` if there is a file at `path`.
   */
  write(path: string, chunks: Iterable<Uint8Array>, sizeBytes: number): void;
  /**
   * As `write()`, without holding the event loop. Each chunk is produced in a turn of its own, and
   * syncs run on another thread. For a storage without this method, the log calls `write()`.
   */
  writeAsync?(path: string, chunks: Iterable<Uint8Array>, sizeBytes: number): Promise<void>;
  /**
   * Opens the file beside an open log in which the log tells followers of commits. Without this
   * method, followers are not told.
   *
   * @param path of the log.
   * @param length of the file, in bytes.
   * @param isOurs whether a file that is there may be taken over, by its first bytes.
   */
  openLive?(path: string, length: number, isOurs: (firstBytes: Uint8Array) => boolean): LiveFile;
}
