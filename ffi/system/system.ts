// System: what a file asks of an operating system. Linux, macOS and the simulated disk answer.
//
// It has one verb for each call of POSIX that a file needs, and stays one interface. Paths and
// descriptors could be two, but making and replacing a file takes both in turn. Whatever stands in
// for the system would have to stand in for both.

import type { FileMemory } from "../file_memory.ts";

/** A failed system call. */
export class SystemError extends Error {
  /** Always `SystemError`. */
  override name = "SystemError";
  /** The C function, as in `mmap`. */
  readonly call: string;
  /** The error's name, as in `ENOSPC`; `EUNKNOWN` if the number could not be read. */
  readonly errno: string;
  /** The call's argument, if that is a path. */
  readonly path: string | undefined;

  constructor(call: string, errno: string, path?: string, options?: ErrorOptions) {
    super(`${call}${path === undefined ? "" : ` ${JSON.stringify(path)}`}: ${errno}`, options);
    this.call = call;
    this.errno = errno;
    this.path = path;
  }
}

/**
 * True if a call failed because nothing is at the path. Any other failure says nothing about the
 * file.
 */
export function isAbsence(error: unknown): boolean {
  return error instanceof SystemError && (error.errno === "ENOENT" || error.errno === "ENOTDIR");
}

/** The name of the error number in an error of node:fs. */
export function errnoOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  // Node's sandbox refuses before the operating system is called.
  if (code === "ERR_ACCESS_DENIED") return "EACCES";
  if (typeof code === "string") return code;
  // What Deno throws for a name that is not UTF-8.
  if (name === "InvalidData") return "EILSEQ";
  // Deno's sandbox, as Node's.
  return name === "NotCapable" || name === "PermissionDenied" ? "EACCES" : "EUNKNOWN";
}

/** What a file is. Device and inode are bigints, so that they are exact. */
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
  /** The memory with the mapped bytes. `close()` detaches it. */
  readonly memory: FileMemory;
  /**
   * Which descriptor `syncAsync()` uses. True: it syncs its range through the mapped descriptor.
   * False: it syncs the whole file through the spare descriptor. It matters because the kernel
   * reports a failed write-back once to each open file description.
   */
  readonly syncsRangeAside: boolean;

  /** Makes a range durable, through the mapped descriptor. */
  sync(offset: number, lengthBytes: number): void;
  /** Makes at least a range durable, on another thread. */
  syncAsync(offset: number, lengthBytes: number): Promise<void>;
  /**
   * Makes all dirty pages of the file durable, through the spare descriptor, with the metadata that
   * reading them needs.
   */
  syncFile(): void;
  /**
   * Gives a range real pages, so that missing space or a bad medium is an error here and not SIGBUS
   * later. Pages for loads are read one by one, because a store into a larger piece would write all
   * of that piece. Does nothing where the kernel has no such call.
   */
  pageIn(offset: number, lengthBytes: number, before: "load" | "store"): void;
  /**
   * Takes pages out of this mapping, and with `"kernel"` out of the page cache too, which then
   * reads them back one by one. It is advice to the kernel, so it never fails.
   */
  release(offset: number, lengthBytes: number, from: "process" | "kernel"): void;
  /** Detaches `memory` and unmaps. The descriptors stay open. */
  close(): void;
}

/** How to map a file. */
export interface MapRequest {
  /** The descriptor to map. */
  readonly fd: number;
  /** Another open file description of the same file, with an error state of its own. */
  readonly spareFd: number;
  /** How many bytes to map, from the file's start. */
  readonly lengthBytes: number;
  /** macOS: syncs only order writes, and do not wait for the medium. */
  readonly barrierOnly: boolean;
}

/**
 * What a file asks of an operating system: plain POSIX.
 *
 * A call that fails throws `SystemError`. A write is complete or an error. A call is repeated after
 * EINTR, except a sync, whose errors are all final. A descriptor is a number that only this system
 * understands, and it is closed on exec.
 */
export interface System {
  readonly pageBytes: number;
  /** The longest mapping that one ArrayBuffer can show. */
  readonly maxMappingBytes: number;
  /**
   * Size of the longest file that this process may write. A longer write ends the process with a
   * signal (SIGXFSZ).
   */
  readonly fileSizeLimit: number;

  /**
   * The absolute path without symbolic links. Throws ENOENT if the file does not exist, EILSEQ if a
   * name is not UTF-8.
   */
  realPath(path: string): string;
  /** Does not follow a final symbolic link. Null if nothing is there. */
  lstat(path: string): FileStatus | null;
  /** Follows symbolic links. Null if nothing is there. */
  stat(path: string): FileStatus | null;
  fstat(fd: number): FileStatus;
  /** Prepares a path for checks at each group commit, which allocate nothing but their answer. */
  watch(path: string): WatchedPath;

  /**
   * Opens a file for reading and writing, or a directory for `fsync()`. `"create"` makes the file
   * with mode 0600 if there is none. A symbolic link to a file is refused.
   */
  open(path: string, what: "file" | "create" | "directory"): number;
  close(fd: number): void;
  read(fd: number, bytes: Uint8Array, offset: number): number;
  write(fd: number, bytes: Uint8Array, offset: number): void;
  truncate(fd: number, sizeBytes: number): void;
  /** Reserves space for the whole file. It is no error if the file system cannot. */
  allocate(fd: number, sizeBytes: number): void;
  /** Makes a file's data and metadata durable, or a directory's entries (F_FULLFSYNC on macOS). */
  fsync(fd: number): void;
  /** As `fsync()`, on another thread. */
  fsyncAsync(fd: number): Promise<void>;
  /**
   * Drops clean pages of a range from the page cache, and the large folios that hold them. Mapped
   * pages stay.
   */
  dropCache(fd: number, offset: number, lengthBytes: number): void;
  map(request: MapRequest): Mapping;

  rename(from: string, to: string): void;
  /** Gives a file a second name. Throws EEXIST if the name is taken. */
  link(from: string, to: string): void;
  unlink(path: string): void;

  /** Takes the exclusive lock for this open file, without waiting. False if another holds it. */
  lock(fd: number): boolean;
  unlock(fd: number): void;

  /** The file system's usual name, or its magic number as `0x…`. */
  fileSystem(fd: number): string;
  /**
   * True if the file is overwritten in place, or if its file system has no flag for copying on
   * write. `"set"` sets the flag first, which works only for an empty file.
   */
  noCopyOnWrite(fd: number, action: "set" | "get"): boolean;
}

/** A path that is checked often. */
export interface WatchedPath {
  /** How many names the file had at the last check; 0 before the first. */
  readonly links: number;
  /**
   * True if the path leads to this inode and the file has this size; false if the path leads
   * elsewhere or to nothing.
   *
   * @throws {SystemError} if the file cannot be inspected, which says nothing about it.
   */
  is(device: bigint, inode: bigint, sizeBytes: number): boolean;
}
