// System: what a file asks of an operating system. Linux and macOS answer, and the simulated disk.

/** A failed system call. */
export class SystemError extends Error {
  /** Always `SystemError`. */
  override name = "SystemError";
  /** The C function, as in `mmap`. */
  readonly call: string;
  /** The error's name, as in `ENOSPC`; `EUNKNOWN` where it could not be read. */
  readonly errno: string;
  /** What the call was given, where that is a path. */
  readonly path: string | undefined;

  constructor(call: string, errno: string, path?: string, options?: ErrorOptions) {
    super(`${call}${path === undefined ? "" : ` ${JSON.stringify(path)}`}: ${errno}`, options);
    this.call = call;
    this.errno = errno;
    this.path = path;
  }
}

/**
 * True of a failed call's answer that nothing is there; any other failure of a look says nothing
 * about the file.
 */
export function isAbsence(error: unknown): boolean {
  return error instanceof SystemError && (error.errno === "ENOENT" || error.errno === "ENOTDIR");
}

/** The name of the error number in an error of node:fs. */
export function errnoOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  if (typeof code === "string") return code;
  // Deno's word for a name that is not UTF-8.
  if (name === "InvalidData") return "EILSEQ";
  // Deno's sandbox speaks before the operating system is asked.
  return name === "NotCapable" || name === "PermissionDenied" ? "EACCES" : "EUNKNOWN";
}

/** What a file is. Numbers are exact: inode and device as bigint. */
export interface FileStatus {
  readonly kind: "file" | "directory" | "symlink" | "other";
  readonly device: bigint;
  readonly inode: bigint;
  readonly links: number;
  readonly sizeBytes: number;
}

/**
 * A file's first bytes in memory, shared with everybody who maps the file. Offsets are multiples of
 * a page.
 */
export interface Mapping {
  /** Detached by `close()`. */
  readonly buffer: ArrayBuffer;
  /**
   * True if `syncAsync()` syncs its range through the mapped descriptor; false if it syncs the
   * whole file through the spare one. The kernel reports a failed write-back once to each open file
   * description.
   */
  readonly syncsRangeAside: boolean;

  /** Makes a range durable, through the mapped descriptor. */
  sync(offset: number, lengthBytes: number): void;
  /** Makes at least a range durable, off the JavaScript thread. */
  syncAsync(offset: number, lengthBytes: number): Promise<void>;
  /**
   * Makes all of the file's dirty pages durable, through the spare descriptor: data and what is
   * needed to read it back.
   */
  syncFile(): void;
  /**
   * Gives a range real pages: an error where a load or a store would be SIGBUS. Pages that are
   * brought in for loads come one by one, because a store into a larger piece would be written with
   * all of it. No-op where the kernel has no such call.
   */
  pageIn(offset: number, lengthBytes: number, before: "load" | "store"): void;
  /**
   * Takes pages out of this mapping, and with `"kernel"` out of the page cache, which then reads
   * them back one by one. An advice: it never fails.
   */
  release(offset: number, lengthBytes: number, from: "process" | "kernel"): void;
  /** Detaches `buffer` and unmaps. The descriptors stay open. */
  close(): void;
}

/** How to map a file. */
export interface MapRequest {
  /** The descriptor to map. */
  readonly fd: number;
  /** Another open file description of the same file, with an error state of its own. */
  readonly spareFd: number;
  /** How many of the file's first bytes. */
  readonly lengthBytes: number;
  /** macOS: syncs order writes, and do not wait for the medium. */
  readonly barrierOnly: boolean;
}

/**
 * What a file asks of an operating system: plain POSIX. Each call throws `SystemError`; a write is
 * complete or an error; EINTR is retried inside, but for a sync, where any error is final. A
 * descriptor is a number that only this system understands. Descriptors are closed on exec.
 */
export interface System {
  readonly pageBytes: number;
  /** The greatest mapping that one ArrayBuffer can stand for. */
  readonly maxMappingBytes: number;
  /**
   * Bytes of the longest file that this process may write; past them, a write ends the process with
   * a signal (SIGXFSZ).
   */
  readonly fileSizeLimit: number;

  /**
   * An absolute path without symbolic links; throws ENOENT if the file does not exist, EILSEQ if a
   * name is not UTF-8.
   */
  realPath(path: string): string;
  /** Does not follow a final symbolic link; null where there is nothing. */
  lstat(path: string): FileStatus | null;
  /** Follows symbolic links; null where there is nothing. */
  stat(path: string): FileStatus | null;
  fstat(fd: number): FileStatus;
  /**
   * As `stat()`, cheap enough to call at each group commit: nothing is allocated but the answer.
   */
  watch(path: string): WatchedPath;

  /**
   * Opens a file for reading and writing, or a directory for `fsync()`. `"create"` makes the file
   * with mode 0600 if there is none. Refuses a symbolic link to a file.
   */
  open(path: string, what: "file" | "create" | "directory"): number;
  close(fd: number): void;
  read(fd: number, bytes: Uint8Array, offset: number): number;
  write(fd: number, bytes: Uint8Array, offset: number): void;
  truncate(fd: number, sizeBytes: number): void;
  /** Reserves space for the whole file; a file system that cannot is no error. */
  allocate(fd: number, sizeBytes: number): void;
  /** A file's data and metadata durable, or a directory's entries (F_FULLFSYNC on macOS). */
  fsync(fd: number): void;
  /** As `fsync()`, off the JavaScript thread. */
  fsyncAsync(fd: number): Promise<void>;
  /**
   * Drops clean pages of a part of the file from the page cache, large folios with them; mapped
   * pages stay.
   */
  dropCache(fd: number, offset: number, lengthBytes: number): void;
  map(request: MapRequest): Mapping;

  rename(from: string, to: string): void;
  /** A second name for a file; EEXIST if the name is taken. */
  link(from: string, to: string): void;
  unlink(path: string): void;

  /** Takes the exclusive lock of this open file without waiting; false if another holds it. */
  lock(fd: number): boolean;
  unlock(fd: number): void;

  /** The file system's type: its usual name, or its magic number as `0x…`. */
  fileSystem(fd: number): string;
  /**
   * True if the file is overwritten in place, or its file system has no flag for copying on write.
   * `"set"` sets the flag first, which only an empty file takes.
   */
  noCopyOnWrite(fd: number, action: "set" | "get"): boolean;
}

/** A path whose file is looked at often. */
export interface WatchedPath {
  /** How many names the file had when it was last looked at; 0 before that. */
  readonly links: number;
  /**
   * True if the path leads to this inode and it has this size; false if it leads elsewhere or to
   * nothing.
   *
   * @throws {SystemError} if the file cannot be looked at, which says nothing about it.
   */
  is(device: bigint, inode: bigint, sizeBytes: number): boolean;
}
