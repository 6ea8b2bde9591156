// The system calls a mapped file needs, as one interface: the real ones in posix.ts, and simulated ones in tests.

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

/** True of a failed call's answer that nothing is there; any other failure of a look says nothing about the file. */
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

/** A shared mapping of a file. */
export interface Mapping {
  readonly address: number;
  readonly buffer: ArrayBuffer;
}

/**
 * System calls. Each throws `SystemError`; a write is complete or an error; EINTR is retried inside, but for a sync, where any
 * error is final. A descriptor is a number that only this system understands. Descriptors are closed on exec.
 */
export interface System {
  readonly pageBytes: number;
  /** The greatest mapping that one ArrayBuffer can stand for. */
  readonly maxMappingBytes: number;

  /** Bytes of the longest file that this process may write; past them, a write ends the process with a signal (SIGXFSZ). */
  fileSizeLimit(): number;
  /** An absolute path without symbolic links; throws ENOENT if the file does not exist, EILSEQ if a name is not UTF-8. */
  realPath(path: string): string;
  /** Does not follow a final symbolic link; null where there is nothing. */
  lstat(path: string): FileStatus | null;
  /** Follows symbolic links; null where there is nothing. */
  stat(path: string): FileStatus | null;
  fstat(fd: number): FileStatus;
  /** Opens an existing file for reading and writing. */
  open(path: string): number;
  /** Opens for reading and writing, makes the file with mode 0600 if there is none, and refuses a symbolic link. */
  openOrCreate(path: string): number;
  read(fd: number, bytes: Uint8Array, offset: number): number;
  write(fd: number, bytes: Uint8Array, offset: number): void;
  truncate(fd: number, sizeBytes: number): void;
  /** Reserves space for the whole file; a file system that cannot is no error. */
  allocate(fd: number, sizeBytes: number): void;
  /** Data and metadata durable (F_FULLFSYNC on macOS). */
  fsync(fd: number): void;
  /** The same off the JavaScript thread. */
  fsyncAsync(fd: number): Promise<void>;
  /** The directory's entries durable. */
  syncDirectory(path: string): void;
  /** The same off the JavaScript thread. */
  syncDirectoryAsync(path: string): Promise<void>;
  rename(from: string, to: string): void;
  /** A second name for a file; EEXIST if the name is taken. */
  link(from: string, to: string): void;
  unlink(path: string): void;
  close(fd: number): void;

  /** Takes the exclusive lock of this open file without waiting; false if another holds it. */
  lock(fd: number): boolean;
  unlock(fd: number): void;
  /** The file system's type: its usual name, or its magic number as `0x…`. */
  fileSystem(fd: number): string;
  /** Asks for overwriting in place on a copy-on-write file system (an empty file only); true if it is so. */
  setNoCopyOnWrite(fd: number): boolean;
  /** True if the file is overwritten in place, or the file system has no copy-on-write flag. */
  isNoCopyOnWrite(fd: number): boolean;
  /** Drops clean pages of a part of the file from the page cache, large folios with them; mapped pages stay. */
  dropCache(fd: number, offset: number, lengthBytes: number): void;
  /** Takes pages out of this mapping; their contents stay in the page cache. An advice. */
  forget(address: number, lengthBytes: number): void;
  /** Starts to read a part of the file into the page cache, in folios of one page; an advice, and no-op where there is none. */
  readAhead(fd: number, offset: number, lengthBytes: number): void;

  /** Maps the file's first bytes, shared, for reading and writing. */
  map(fd: number, lengthBytes: number): Mapping;
  /** `address` is page-aligned, as in the following. */
  unmap(mapping: Mapping, lengthBytes: number): void;
  /** Faults pages in for reading: an error where a load would be SIGBUS. No-op where the kernel has no such call. */
  populateForReading(address: number, lengthBytes: number): void;
  /** Faults pages in for writing: an error where a store would be SIGBUS. No-op where the kernel has no such call. */
  populate(address: number, lengthBytes: number): void;

  /** Makes a mapped range durable. `fd` is the mapped file's descriptor. */
  syncMapped(fd: number, address: number, lengthBytes: number, barrierOnly: boolean): void;
  /**
   * The same off the JavaScript thread. `spareFd` is a second open file description of the same file: an implementation uses
   * either, and says by `asyncUsesSpare` which one learns of the failure.
   */
  syncMappedAsync(
    fd: number,
    spareFd: number,
    address: number,
    lengthBytes: number,
    barrierOnly: boolean,
  ): Promise<void>;
  readonly asyncUsesSpare: boolean;
  /** Makes all of a file's dirty pages durable through a descriptor: data and what is needed to read it back. */
  syncData(fd: number, barrierOnly: boolean): void;
  /** As `stat()`, cheap enough to call at each group commit: a prepared path in, nothing allocated but the answer. */
  preparePath(path: string): PreparedPath;
}

/** A path whose file can be looked at often. */
export interface PreparedPath {
  /** How many names the file has, by the last look; 0 before the first. */
  readonly links: number;
  /**
   * True if the path leads to this inode and it has this size; false if it leads elsewhere or to nothing.
   *
   * @throws {SystemError} if the file cannot be looked at, which says nothing about it.
   */
  is(device: bigint, inode: bigint, sizeBytes: number): boolean;
}
