// What differs between operating systems and processors: signatures, constants and error numbers of
// the C library, in one table.

import process from "node:process";
import { RegionError } from "../region.ts";
import { RUNTIMES } from "../runtime.ts";

/**
 * A C type that the FFI of each runtime has: `size` stands for `size_t`, `long`, `off_t` and every
 * pointer.
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
 * Functions that only Linux has. `ioctl` is variadic, but both processors pass its third argument
 * like any other.
 */
const LINUX_SIGNATURES = {
  ...SIGNATURES,
  ioctl: [["int", "size", "size"], "int"],
  fdatasync: [["int"], "int"],
  mincore: [["size", "size", "size"], "int"],
  posix_fallocate: [["int", "long", "long"], "int"],
  posix_fadvise: [["int", "long", "long", "int"], "int"],
} as const satisfies Record<string, CSignature>;

/** Optional on Linux, so it is bound separately. */
export const STATX_SIGNATURE: CSignature = [["int", "size", "int", "uint", "size"], "int"];

/**
 * `fcntl` is variadic. Apple's arm64 passes variadic arguments on the stack, after the eight
 * argument registers. Six integers in between fill the registers, so that the ninth argument is
 * where the function expects it. Not run on a Mac yet.
 */
const FCNTL_ON_APPLE_ARM64: CSignature = [
  ["int", "int", "size", "size", "size", "size", "size", "size", "size"],
  "int",
];

/** One operating system on one processor. */
export interface Platform {
  readonly os: "linux" | "macos";
  /** Names for `dlopen`, tried in this order. */
  readonly libraries: readonly string[];
  /** Functions to bind, by name. */
  readonly signatures: Readonly<Record<string, CSignature>>;
  /** Symbols that differ from the function's name. */
  readonly symbols: Readonly<Record<string, string>>;
  /** The function that returns the address of this thread's errno. */
  readonly errnoLocation: string;
  readonly MAP_ANON: number;
  readonly MS_SYNC: number;
  readonly SC_PAGESIZE: number;
  /** Error numbers by name, as far as a call here can return them. */
  readonly errno: Readonly<Record<string, number>>;
  /** True if `fcntl` takes six integers before its argument. */
  readonly padsVariadic: boolean;
}

/** Equal on all platforms here. */
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_FIXED = 0x10;
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
    // glibc, then musl by the path that its ABI defines; neither musl nor arm64 has been run yet.
    // musl needs a path, because Bun seeks a bare name that the system lacks in the working
    // directory, where anybody may have put it.
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
  // Not run on a Mac yet: the numbers are from Apple's headers. The self-test refuses a machine
  // where they are wrong.
  return {
    os: "macos",
    libraries: ["/usr/lib/libSystem.B.dylib", "libSystem.B.dylib"],
    signatures: { ...SIGNATURES, fcntl: arm64 ? FCNTL_ON_APPLE_ARM64 : [["int", "int", "size"], "int"] },
    // On x86-64 the plain name is the ABI with 32-bit inode numbers, which has another struct.
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

const SUPPORTED = `Linux and macOS on x86-64 and arm64 are supported, with ${RUNTIMES}`;

/** A refusal that says what is supported. */
export function unsupported(what: string, cause?: unknown): RegionError {
  return new RegionError("PLATFORM", `Cannot map files ${what}: ${SUPPORTED}`, cause === undefined ? {} : { cause });
}

/** The constants of this machine, or of another that a test names. */
export function platform(os: string = process.platform, processor: string = process.arch): Platform {
  const found = PLATFORMS[`${os} ${processor}`];
  if (found === undefined) throw unsupported(`on ${os} ${processor}`);
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) {
    throw unsupported("on a big-endian processor");
  }
  return found;
}

const namesOf = new WeakMap<Platform, Map<number, string>>();

/** The name of an error number; `EUNKNOWN(n)` if the table has none. */
export function errnoName(on: Platform, number: number): string {
  let names = namesOf.get(on);
  if (names === undefined) {
    names = new Map(Object.entries(on.errno).map(([name, value]) => [value, name]));
    namesOf.set(on, names);
  }
  return names.get(number) ?? `EUNKNOWN(${number})`;
}
