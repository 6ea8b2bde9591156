// A region is all the log asks of its memory: bytes it can store into, and ways to make them
// durable.

/** Why an operation on a file, a mapping or the runtime could not be done. */
export type RegionFailure =
  | "PERMISSION" // the runtime's sandbox or the operating system denies access
  | "NOT_FOUND" // no such file or directory
  | "LOCKED" // another opener holds the lock
  | "NOT_A_FILE" // a directory, a device, a dangling symbolic link, a path with NUL
  | "TOO_SHORT" // the file is smaller than the smallest file asked for
  | "NO_SPACE" // the medium, the quota or the memory is exhausted
  | "FILE_SYSTEM" // a shared mapping of this file system cannot be trusted
  | "GONE" // the open file was deleted, replaced or cut
  | "SYNC" // the medium did not confirm
  | "PLATFORM" // this operating system, processor or runtime is not supported
  | "IO"; // anything else the system reports

/** What else is known about a failure; each field only where it is known. */
export interface RegionFailureDetails {
  /** The file it is about. */
  path?: string | undefined;
  /** The system call that failed. */
  call?: string | undefined;
  /** The name of the error number, as in `EIO`. */
  errno?: string | undefined;
  /** The command line flags that would grant the missing permissions. */
  flags?: readonly string[] | undefined;
  /** The process that holds the lock. */
  ownerPid?: number | undefined;
  /** The failure underneath, a `SystemError` or the runtime's own. */
  cause?: unknown;
}

/** The one error this layer throws. `src/errors.ts` turns it into what callers catch. */
export class RegionError extends Error {
  /** Always `RegionError`. */
  override name = "RegionError";
  /** What a caller can tell apart. */
  readonly reason: RegionFailure;
  /** What else is known. */
  readonly details: RegionFailureDetails;

  /** Made by `ffi/` and by simulated disks. */
  constructor(reason: RegionFailure, message: string, details: RegionFailureDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = reason;
    this.details = details;
  }
}

/** The largest piece in which a kernel holds a file: a huge page. */
export const REFRESH_BYTES: number = 2 * 1024 * 1024;

/** The file system a region lies on. */
export interface FileSystemInfo {
  /**
   * Its usual name: `ext4`, `xfs`, `btrfs`, `tmpfs`, `apfs`, `memory`; `0x…` where it has none
   * here.
   */
  readonly name: string;
  /** False where a sync cannot outlive power loss: tmpfs, ramfs, anonymous memory. */
  readonly durable: boolean;
}

/** Bytes in memory that a medium stands behind. */
export interface Region {
  /** The whole file, from its first byte. Detached by `close()`. */
  readonly buffer: ArrayBuffer;
  /** Absolute path, or null for anonymous memory. */
  readonly path: string | null;
  /** True if this opening made the file. */
  readonly created: boolean;
  /** What it lies on. */
  readonly fileSystem: FileSystemInfo;
  /** What an operator should know at this moment, one sentence each. */
  readonly warnings: readonly string[];
  /**
   * True if `syncAsync()` touches its range only: stores to other bytes meanwhile cost no more than
   * at other times.
   */
  readonly syncsRangeAside: boolean;

  /**
   * Makes the bytes of [offset, offset + length) durable before it returns; other bytes may become
   * durable too. Alignment is not asked for. It may be called while a `syncAsync()` is pending:
   * then each of the two learns of a failed write-back for itself, so that neither can hide it from
   * the other.
   *
   * @throws {RegionError} `SYNC`.
   */
  sync(offset: number, length: number): void;
  /**
   * As `sync()`, off the JavaScript thread. Only bytes stored before the call are promised. One at
   * a time.
   */
  syncAsync(offset: number, length: number): Promise<void>;
  /**
   * Gives the bytes of [offset, offset + length) real pages, so that a load or a store cannot kill
   * the process. Contents do not change. Pages that are brought in to be loaded keep later stores
   * cheap.
   *
   * @throws {RegionError} `GONE` where the file was cut; `NO_SPACE` where a store finds no space,
   * `IO` where a load cannot be done.
   */
  pageIn(offset: number, length: number, before: "load" | "store"): void;
  /**
   * Releases pages. Contents do not change. Never fails.
   *
   * - `"process"`: the bytes will not be read soon, so this process holds less memory.
   * - `"kernel"`: the kernel drops its pages too and reads the bytes back page by page, because a
   *   store into a larger piece would be written with all of that piece. A piece counts only if all
   *   of it is in the range, so ranges should start and end at multiples of `REFRESH_BYTES`.
   */
  release(offset: number, length: number, from: "process" | "kernel"): void;
  /** A copy of the whole file, with zeros where it cannot be read. */
  readable(): ArrayBuffer;
  /**
   * Checks that the file is still at its path, with the inode and the size it was opened with.
   * Costs about a microsecond. A path that cannot be looked at is a warning for as long as that
   * lasts, if the open file has a name and its size.
   *
   * @throws {RegionError} `GONE` if another file or none is at the path, or the file was cut, grown
   * or deleted.
   */
  verify(): void;
  /**
   * Puts a new file in the place of the open one: `sizeBytes` long, with the chunks as its first
   * bytes and zeros after them, whole or not at all and durable on return. The old file is kept
   * untouched under `keepAs`, a path in the same directory. Nobody else can open either of them
   * meanwhile: the old one stays locked until this region is closed, the new one is locked from
   * before its first byte. A file's place is given to another by nobody but the holder of its lock.
   *
   * @returns the region of the new file. This one is still to be closed, and of no other use any
   * more.
   * @throws {RegionError} `GONE` if the path leads to another file by now; `IO` with errno `EEXIST`
   * if `keepAs` is taken. After an error this region is as it was, and so is the path, unless the
   * new file could be put there but not opened.
   */
  replace(chunks: Iterable<Uint8Array>, sizeBytes: number, keepAs: string): Region;
  /**
   * Detaches `buffer`, gives up the lock, unmaps. Does not sync. While a `syncAsync()` is pending
   * the lock is given up at once, and the mapping is kept until that settles. Idempotent.
   */
  close(): void;
}

/** How to open a region. */
export interface OpenRequest {
  /** Make the file if there is none. */
  readonly create: boolean;
  /** Bytes of a file that is made; a multiple of 16 KiB. */
  readonly sizeBytes: number;
  /** A file shorter than this is `TOO_SHORT`. */
  readonly minimumBytes: number;
  /** The first bytes of a file that is made; the rest is zeros. Called only if a file is made. */
  readonly initialBytes: () => Uint8Array;
  /**
   * Reads which process has the file open, from its first 8 KiB, for a `LOCKED` error; null if it
   * cannot tell.
   */
  readonly readOwnerPid: (firstBytes: Uint8Array) => number | null;
  /** Open in spite of a file system on which a store may kill the process or a sync may lie. */
  readonly allowUnsafeFileSystem: boolean;
  /**
   * macOS: order writes with F_BARRIERFSYNC instead of F_FULLFSYNC, which is faster and weaker.
   * Ignored elsewhere.
   */
  readonly barrierOnly: boolean;
}

/** Where regions come from: the real disk, or one that a test can crash. */
export interface Storage {
  /**
   * Opens the file at a path, exclusively: a second opener gets `LOCKED`, and the lock dies with
   * its process. A file that does not exist is made whole or not at all.
   */
  open(path: string, request: OpenRequest): Region;
  /**
   * Makes a file of `sizeBytes` at `path` with the chunks as its first bytes and zeros after them,
   * whole or not at all and durable on return.
   *
   * @throws {RegionError} `IO` with errno `EEXIST` if there is a file at `path`.
   */
  write(path: string, chunks: Iterable<Uint8Array>, sizeBytes: number): void;
  /**
   * As `write()`, without holding the event loop: each chunk is asked for in a turn of its own, and
   * the medium is waited for off the JavaScript thread. A storage without it writes all at once.
   */
  writeAsync?(path: string, chunks: Iterable<Uint8Array>, sizeBytes: number): Promise<void>;
}
