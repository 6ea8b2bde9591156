// Libc: the C functions as JavaScript calls them. Each runtime makes one.

import { type Platform, unsupported } from "./platform.ts";
import { RegionError } from "../region.ts";

/**
 * The C library. Addresses are numbers, because user space ends below 2^53. A call that fails
 * returns −1 and leaves its error number to `errno()`. Read that number before anything else is
 * called on this thread. `ffi/libc/deno.ts`, `ffi/libc/bun.ts` and `ffi/libc/node.ts` make one
 * each.
 */
export interface Libc {
  /** The error number of the last call that failed on this thread. */
  errno(): number;
  /** `long sysconf(int name)` */
  sysconf(name: number): number;
  /**
   * `void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)`. MAP_FAILED
   * is −1: all bits are set.
   */
  mmap(address: number, lengthBytes: number, protection: number, flags: number, fd: number, offset: number): number;
  /** `int munmap(void *addr, size_t length)` */
  munmap(address: number, lengthBytes: number): number;
  /** `int msync(void *addr, size_t length, int flags)` */
  msync(address: number, lengthBytes: number, flags: number): number;
  /** `msync` on another thread, where the runtime can; its error number is lost. */
  readonly msyncAsync: ((address: number, lengthBytes: number, flags: number) => Promise<number>) | null;
  /** `int madvise(void *addr, size_t length, int advice)` */
  madvise(address: number, lengthBytes: number, advice: number): number;
  /** `int mincore(void *addr, size_t length, unsigned char *vec)`; Linux. */
  mincore(address: number, lengthBytes: number, vectorAddress: number): number;
  /** `int flock(int fd, int operation)` */
  flock(fd: number, operation: number): number;
  /** `int fsync(int fd)` */
  fsync(fd: number): number;
  /** `int fdatasync(int fd)`; Linux. */
  fdatasync(fd: number): number;
  /** `int fstatfs(int fd, struct statfs *buf)` */
  fstatfs(fd: number, address: number): number;
  /** `int getrlimit(int resource, struct rlimit *limits)` */
  getrlimit(resource: number, address: number): number;
  /** `int ioctl(int fd, unsigned long request, void *argument)` */
  ioctl(fd: number, request: number, address: number): number;
  /** `int posix_fallocate(int fd, off_t offset, off_t length)`; returns the error number; Linux. */
  posix_fallocate(fd: number, offset: number, lengthBytes: number): number;
  /**
   * `int posix_fadvise(int fd, off_t offset, off_t length, int advice)`; returns the error number;
   * Linux.
   */
  posix_fadvise(fd: number, offset: number, lengthBytes: number, advice: number): number;
  /**
   * `int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *buf)`; Linux.
   * Null if the library is older than the call (glibc before 2.28, musl before 1.2.5).
   */
  readonly statx:
    | ((directoryFd: number, pathAddress: number, flags: number, mask: number, address: number) => number)
    | null;
  /** `int fcntl(int fd, int command, ... argument)`; macOS. */
  fcntl(fd: number, command: number, argument: number): number;
  /** `fcntl` on another thread, where the runtime can; its error number is lost. */
  readonly fcntlAsync: ((fd: number, command: number, argument: number) => Promise<number>) | null;

  /**
   * The address of a buffer's first byte. It is valid while the buffer lives and is not detached.
   */
  addressOf(buffer: ArrayBuffer): number;
  /** An ArrayBuffer over foreign memory, which the buffer does not own. */
  view(address: number, lengthBytes: number): ArrayBuffer;
  /** The longest `view()` that this runtime can make. */
  readonly maxViewBytes: number;
  /**
   * True if files may be mapped into WebAssembly memories of this thread. When Bun ends a worker,
   * it gives the pages of such memories to others, with the files that are still mapped there.
   */
  readonly canMapIntoMemories: boolean;
  /** Keeps an object for the life of the thread, whatever becomes of modules and globals. */
  keep(object: object): void;
}

/** A function of the C library, with numbers for all that it takes and returns. */
export type NumberCall = (...values: number[]) => number;

/** The functions that every runtime calls alike, once it has them. */
type PlainCalls = Omit<
  Libc,
  | "errno"
  | "msyncAsync"
  | "statx"
  | "fcntlAsync"
  | "addressOf"
  | "view"
  | "maxViewBytes"
  | "canMapIntoMemories"
  | "keep"
>;

/** @param find a function by its name; undefined if the library was not asked for it. */
export function plainCalls(on: Platform, find: (name: string) => NumberCall | undefined): PlainCalls {
  const call = (name: string): NumberCall =>
    find(name) ?? (() => {
      throw new Error(`${name} is not a call of ${on.os}`);
    });
  const fcntl = call("fcntl");
  return {
    sysconf: call("sysconf"),
    mmap: call("mmap"),
    munmap: call("munmap"),
    msync: call("msync"),
    madvise: call("madvise"),
    mincore: call("mincore"),
    flock: call("flock"),
    fsync: call("fsync"),
    fdatasync: call("fdatasync"),
    fstatfs: call("fstatfs"),
    getrlimit: call("getrlimit"),
    ioctl: call("ioctl"),
    posix_fallocate: call("posix_fallocate"),
    posix_fadvise: call("posix_fadvise"),
    fcntl: (fd, command, argument) => fcntl(...fcntlArguments(on, fd, command, argument)),
  };
}

/** The arguments of `fcntl`, with the padding that its platform needs. */
export function fcntlArguments(on: Platform, fd: number, command: number, argument: number): number[] {
  return on.padsVariadic ? [fd, command, 0, 0, 0, 0, 0, 0, argument] : [fd, command, argument];
}

/** The sandbox forbids to open the library. */
export function libcDenied(cause: unknown): RegionError {
  const message = "Cannot call the C library: run again with --allow-ffi";
  return new RegionError("PERMISSION", message, { flags: ["--allow-ffi"], call: "dlopen", cause });
}

/**
 * Opens libc by the first of its names that has all the functions.
 *
 * @param open throws if the library or a function is missing.
 * @throws {RegionError} `PLATFORM`: the message says for each name why it failed, and the cause is
 * the first reason. A `RegionError` that `open` throws is passed on, because it holds for every
 * name.
 */
export function firstLibrary<T>(on: Platform, open: (library: string) => T): T {
  const reasons: unknown[] = [];
  for (const library of on.libraries) {
    try {
      return open(library);
    } catch (reason) {
      if (reason instanceof RegionError) throw reason;
      reasons.push(reason);
    }
  }
  const told = reasons.map((reason) => reason instanceof Error ? reason.message : String(reason));
  throw unsupported(`with this C library (${[...new Set(told)].join("; ")})`, reasons[0]);
}
