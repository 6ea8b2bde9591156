// The C functions and constants we use, for each operating system: one table, verified when it is
// loaded.

import process from "node:process";
import { RegionError } from "../region.ts";

/**
 * The C library. Addresses are numbers (user space ends below 2^53), a failed call returns −1 and
 * leaves its error number to `errno()`, which must be read before anything else is called on this
 * thread. `ffi/libc/deno.ts` and `ffi/libc/bun.ts` make one each.
 */
export interface Libc {
  /** The error number that the last failing call left to this thread. */
  errno(): number;
  /** `long sysconf(int name)` */
  sysconf(name: number): number;
  /**
   * `void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)`; −1 (all
   * bits set) is MAP_FAILED.
   */
  mmap(address: number, lengthBytes: number, protection: number, flags: number, fd: number, offset: number): number;
  /** `int munmap(void *addr, size_t length)` */
  munmap(address: number, lengthBytes: number): number;
  /** `int msync(void *addr, size_t length, int flags)` */
  msync(address: number, lengthBytes: number, flags: number): number;
  /** The same off the JavaScript thread, where the runtime can; its errno says nothing. */
  readonly msyncAsync: ((address: number, lengthBytes: number, flags: number) => Promise<number>) | null;
  /** `int madvise(void *addr, size_t length, int advice)` */
  madvise(address: number, lengthBytes: number, advice: number): number;
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
   * `int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *buf)`; Linux,
   * null where the library is older than the call (glibc before 2.28, musl before 1.2.5).
   */
  readonly statx:
    | ((directoryFd: number, pathAddress: number, flags: number, mask: number, address: number) => number)
    | null;
  /** `int fcntl(int fd, int command, ... argument)`; macOS. */
  fcntl(fd: number, command: number, argument: number): number;
  /** The same off the JavaScript thread, where the runtime can. */
  readonly fcntlAsync: ((fd: number, command: number, argument: number) => Promise<number>) | null;

  /**
   * The address of a buffer's first byte. It holds as long as the buffer lives and is not detached.
   */
  addressOf(buffer: ArrayBuffer): number;
  /** An ArrayBuffer over foreign memory, which it does not own. */
  view(address: number, lengthBytes: number): ArrayBuffer;
  /** The longest `view()` that this runtime can make. */
  readonly maxViewBytes: number;
}

/**
 * A C type as the FFI of both runtimes can name it: `size` stands for `size_t`, `long`, `off_t` and
 * every pointer.
 */
export type CType = "int" | "uint" | "size" | "long";
/** Parameters, then the result. */
export type CSignature = readonly [parameters: readonly CType[], result: CType];

const SIGNATURES = {
  sysconf: [["int"], "long"],
  mmap: [["size", "size", "int", "int", "int", "long"], "long"],
  munmap: [["size", "size"], "int"],
  msync: [["size", "size", "int"], "int"],
  madvise: [["size", "size", "int"], "int"],
  flock: [["int", "int"], "int"],
  fsync: [["int"], "int"],
  fstatfs: [["int", "size"], "int"],
  getrlimit: [["int", "size"], "int"],
} as const satisfies Record<string, CSignature>;

/**
 * What only Linux has. `ioctl` is variadic, which on both processors passes its third argument like
 * any other.
 */
const LINUX_SIGNATURES = {
  ...SIGNATURES,
  ioctl: [["int", "size", "size"], "int"],
  fdatasync: [["int"], "int"],
  posix_fallocate: [["int", "long", "long"], "int"],
  posix_fadvise: [["int", "long", "long", "int"], "int"],
} as const satisfies Record<string, CSignature>;

/** Optional on Linux, hence bound on its own. */
export const STATX_SIGNATURE: CSignature = [["int", "size", "int", "uint", "size"], "int"];

/**
 * `fcntl` is variadic. On arm64 Apple passes variadic arguments on the stack, after the eight
 * argument registers; six integers in between fill those, so that the ninth lands where the callee
 * looks. Not run on a Mac yet.
 */
const FCNTL_ON_APPLE_ARM64: CSignature = [
  ["int", "int", "size", "size", "size", "size", "size", "size", "size"],
  "int",
];

/** One operating system on one processor. */
export interface Platform {
  readonly os: "linux" | "macos";
  /** Names to try with `dlopen`, in this order. */
  readonly libraries: readonly string[];
  /** Functions to bind under these names. */
  readonly signatures: Readonly<Record<string, CSignature>>;
  /** Where a function's symbol differs from its name. */
  readonly symbols: Readonly<Record<string, string>>;
  /** Returns the address of this thread's errno. */
  readonly errnoLocation: string;
  readonly MAP_ANON: number;
  readonly MS_SYNC: number;
  readonly SC_PAGESIZE: number;
  /** Error numbers by name, as far as any call here can return them. */
  readonly errno: Readonly<Record<string, number>>;
  /** `fcntl` takes six integers before its argument. */
  readonly padsVariadic: boolean;
}

/** The same everywhere this library runs. */
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;
export const RLIMIT_FSIZE = 1;

/** Linux on x86-64 and arm64. */
export const MADV_POPULATE_WRITE = 23; // Linux 5.14
export const MADV_RANDOM = 1;
export const MADV_DONTNEED = 4;
export const MADV_POPULATE_READ = 22;
export const POSIX_FADV_WILLNEED = 3;
export const POSIX_FADV_DONTNEED = 4;
export const FS_IOC_GETFLAGS = 0x80086601;
export const FS_IOC_SETFLAGS = 0x40086602;
export const FS_NOCOW_FL = 0x00800000;
export const AT_FDCWD = -100;
export const STATX_TYPE_LINKS_INO_SIZE: number = 0x0001 | 0x0004 | 0x0100 | 0x0200; // STATX_TYPE, _NLINK, _INO, _SIZE

/** macOS. */
export const F_PREALLOCATE = 42;
export const F_FULLFSYNC = 51;
export const F_BARRIERFSYNC = 85;
export const F_ALLOCATEALL = 4;
export const F_PEOFPOSMODE = 3;

// deno-fmt-ignore
const LINUX_ERRNO = {
  EPERM: 1, ENOENT: 2, EINTR: 4, EIO: 5, ENXIO: 6, EBADF: 9, EAGAIN: 11, ENOMEM: 12, EACCES: 13, EFAULT: 14, EBUSY: 16,
  EEXIST: 17, EXDEV: 18, ENODEV: 19, ENOTDIR: 20, EISDIR: 21, EINVAL: 22, ENFILE: 23, EMFILE: 24, ENOTTY: 25, ETXTBSY: 26,
  EFBIG: 27, ENOSPC: 28, ESPIPE: 29, EROFS: 30, EMLINK: 31, ENAMETOOLONG: 36, ENOLCK: 37, ENOSYS: 38, ELOOP: 40,
  EOVERFLOW: 75, EOPNOTSUPP: 95, ETIMEDOUT: 110, ESTALE: 116, EUCLEAN: 117, EREMOTEIO: 121, EDQUOT: 122, ENOMEDIUM: 123,
  ECANCELED: 125, EHWPOISON: 133,
} as const;

// deno-fmt-ignore
const MACOS_ERRNO = {
  EPERM: 1, ENOENT: 2, EINTR: 4, EIO: 5, ENXIO: 6, EBADF: 9, EAGAIN: 35, ENOMEM: 12, EACCES: 13, EFAULT: 14, EBUSY: 16,
  EEXIST: 17, EXDEV: 18, ENODEV: 19, ENOTDIR: 20, EISDIR: 21, EINVAL: 22, ENFILE: 23, EMFILE: 24, ENOTTY: 25, ETXTBSY: 26,
  EFBIG: 27, ENOSPC: 28, ESPIPE: 29, EROFS: 30, EMLINK: 31, ENOTSUP: 45, ETIMEDOUT: 60, ELOOP: 62, ENAMETOOLONG: 63,
  EDQUOT: 69, ESTALE: 70, ENOLCK: 77, ENOSYS: 78, EOVERFLOW: 84, ECANCELED: 89, EOPNOTSUPP: 102,
} as const;

function linux(muslName: string): Platform {
  return {
    os: "linux",
    // glibc, then musl at the place that its ABI names: not run with musl, nor on arm64, yet. Bun
    // looks for a bare name that the system does not have in the working directory, which may be
    // anybody's.
    libraries: ["libc.so.6", `/lib/libc.musl-${muslName}.so.1`, `/lib/ld-musl-${muslName}.so.1`],
    signatures: LINUX_SIGNATURES,
    symbols: {},
    errnoLocation: "__errno_location",
    MAP_ANON: 0x20,
    MS_SYNC: 4,
    SC_PAGESIZE: 30,
    errno: LINUX_ERRNO,
    padsVariadic: false,
  };
}

function macos(arm64: boolean): Platform {
  // Not run on a Mac yet: numbers are from the system's headers, and the self-test below refuses if
  // they do not hold.
  return {
    os: "macos",
    libraries: ["/usr/lib/libSystem.B.dylib", "libSystem.B.dylib"],
    signatures: { ...SIGNATURES, fcntl: arm64 ? FCNTL_ON_APPLE_ARM64 : [["int", "int", "size"], "int"] },
    // On x86-64 the plain name is the ABI with 32-bit inode numbers, whose struct is another.
    symbols: arm64 ? {} : { fstatfs: "fstatfs$INODE64" },
    errnoLocation: "__error",
    MAP_ANON: 0x1000,
    MS_SYNC: 0x10,
    SC_PAGESIZE: 29,
    errno: MACOS_ERRNO,
    padsVariadic: arm64,
  };
}

const PLATFORMS: Readonly<Record<string, Platform>> = {
  "linux x64": linux("x86_64"),
  "linux arm64": linux("aarch64"),
  "darwin x64": macos(false),
  "darwin arm64": macos(true),
};

const SUPPORTED = "Linux and macOS on x86-64 and arm64, with Deno or Bun, are supported";

/** A refusal that says what would be accepted. */
export function unsupported(what: string, cause?: unknown): RegionError {
  return new RegionError("PLATFORM", `Cannot map files ${what}: ${SUPPORTED}`, cause === undefined ? {} : { cause });
}

/**
 * Opens libc by the first of its names that has every function wanted.
 *
 * @param open throws where the library or a function is missing.
 * @throws {RegionError} `PLATFORM`, whose message says for each name why not, and whose cause is
 * the first reason; or the `RegionError` that `open` throws, which holds for every name.
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

/** The constants of the machine this runs on, or of another that a test names. */
export function platform(os: string = process.platform, processor: string = process.arch): Platform {
  const found = PLATFORMS[`${os} ${processor}`];
  if (found === undefined) throw unsupported(`on ${os} ${processor}`);
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) {
    throw unsupported("on a big-endian processor");
  }
  return found;
}

const namesOf = new WeakMap<Platform, Map<number, string>>();

/** The name of an error number, `EUNKNOWN(n)` where the table has none. */
export function errnoName(on: Platform, number: number): string {
  let names = namesOf.get(on);
  if (names === undefined) {
    names = new Map(Object.entries(on.errno).map(([name, value]) => [value, name]));
    namesOf.set(on, names);
  }
  return names.get(number) ?? `EUNKNOWN(${number})`;
}

/**
 * Tries the constants on a page of anonymous memory, so that a wrong table is an error and not a
 * damaged file.
 *
 * @returns the size of a page.
 * @throws {RegionError} `PLATFORM`.
 */
export function verifyLibc(libc: Libc, on: Platform): number {
  const pageBytes = libc.sysconf(on.SC_PAGESIZE);
  const isPower = pageBytes >= 4096 && pageBytes <= 2 ** 24 && (pageBytes & (pageBytes - 1)) === 0;
  if (!isPower) {
    throw unsupported(`here, as its page size reads as ${pageBytes}`);
  }

  const address = libc.mmap(0, pageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | on.MAP_ANON, -1, 0);
  if (!(address > 0)) {
    throw unsupported(`here, as anonymous memory is refused with ${errnoName(on, libc.errno())}`);
  }
  const first = libc.view(address, pageBytes);
  const second = libc.view(address, pageBytes);
  new Uint8Array(first).set([0x57, 0x41, 0x4c], pageBytes - 3);
  const holds = first.byteLength === pageBytes &&
    new Uint8Array(second)[pageBytes - 2] === 0x41 &&
    new Uint8Array(second)[0] === 0;
  detach(first);
  detach(second);
  const synced = libc.msync(address, pageBytes, on.MS_SYNC) === 0;
  const unmapped = libc.munmap(address, pageBytes) === 0;
  if (!holds || !synced || !unmapped) {
    throw unsupported("here, as anonymous memory does not behave as expected");
  }

  const empty = libc.mmap(0, 0, PROT_READ, MAP_PRIVATE | on.MAP_ANON, -1, 0);
  if (empty !== -1 || libc.errno() !== on.errno["EINVAL"]) {
    throw unsupported("here, as a failing call does not report its error");
  }
  return pageBytes;
}

/**
 * Takes a buffer's memory away: afterwards it has length 0, views read undefined, and a DataView
 * throws TypeError.
 */
export function detach(buffer: ArrayBuffer): void {
  (buffer as ArrayBuffer & { transfer(lengthBytes: number): ArrayBuffer })
    .transfer(0);
}
