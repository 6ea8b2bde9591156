// The real System: node:fs where both runtimes have it, libc for the rest.

import * as fs from "node:fs";
import { openLibc as openInBun } from "./bun.ts";
import { openLibc as openInDeno } from "./deno.ts";
import { fileSystemName } from "./file_system.ts";
import * as c from "./libc.ts";
import type { Libc, Platform } from "./libc.ts";
import { type FileStatus, type Mapping, type PreparedPath, type System, SystemError } from "./system.ts";

/** Runtimes set O_CLOEXEC on every descriptor that they open. */
const OPEN_FLAGS = fs.constants.O_RDWR | fs.constants.O_NOFOLLOW;
const DIRECTORY_FLAGS = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY;
/** Longer than a struct statfs (2168 bytes on macOS, 120 on Linux), a struct statx (256) and a fstore_t (32). */
const SCRATCH_BYTES = 4096;

/** Opens libc in whichever runtime this is. */
function openLibc(on: Platform): Libc {
  if ("Deno" in globalThis) return openInDeno(on);
  if ("Bun" in globalThis) return openInBun(on);
  throw c.unsupported("with this runtime");
}

/**
 * The operating system's calls, for the calling thread.
 *
 * @param libc another C library, for tests.
 * @throws {RegionError} `PLATFORM`, or `PERMISSION` where the runtime does not let us call libc.
 */
export function posixSystem(libc?: Libc): System {
  const on = c.platform();
  libc ??= openLibc(on);
  const pageBytes = c.verifyLibc(libc, on);
  return on.os === "macos" ? new MacosSystem(libc, on, pageBytes) : new LinuxSystem(libc, on, pageBytes);
}

/** Runs a call of node:fs, again if a signal came first, and names what failed. */
function call<T>(name: string, path: string | undefined, body: () => T): T {
  for (;;) {
    try {
      return body();
    } catch (cause) {
      const errno = errnoOf(cause);
      if (errno !== "EINTR") {
        throw new SystemError(name, errno, path, { cause });
      }
    }
  }
}

function errnoOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  if (typeof code === "string") return code;
  // Deno's sandbox speaks before the operating system is asked.
  return name === "NotCapable" || name === "PermissionDenied" ? "EACCES" : "EUNKNOWN";
}

function status(found: fs.BigIntStats): FileStatus {
  const kind = found.isFile()
    ? "file"
    : found.isDirectory()
    ? "directory"
    : found.isSymbolicLink()
    ? "symlink"
    : "other";
  return {
    kind,
    device: found.dev,
    inode: found.ino,
    links: Number(found.nlink),
    sizeBytes: Number(found.size),
  };
}

/** What Linux and macOS share. */
abstract class PosixSystem implements System {
  readonly maxMappingBytes: number;
  abstract readonly asyncUsesSpare: boolean;
  /** Where calls leave their answers; an ArrayBuffer's memory does not move. */
  protected readonly scratch: ArrayBuffer = new ArrayBuffer(SCRATCH_BYTES);
  protected readonly scratchView: DataView = new DataView(this.scratch);
  protected readonly scratchAddress: number;

  constructor(
    protected readonly libc: Libc,
    protected readonly on: Platform,
    readonly pageBytes: number,
  ) {
    this.maxMappingBytes = libc.maxViewBytes;
    this.scratchAddress = libc.addressOf(this.scratch);
  }

  /** The error that the last call left, read before anything else is called. */
  protected failure(name: string): SystemError {
    return new SystemError(name, c.errnoName(this.on, this.libc.errno()));
  }

  /** Calls again for as long as a signal comes first. */
  protected retry(name: string, body: () => number): void {
    while (body() !== 0) {
      const error = this.failure(name);
      if (error.errno !== "EINTR") throw error;
    }
  }

  realPath(path: string): string {
    return call("realpath", path, () => fs.realpathSync(path));
  }

  lstat(path: string): FileStatus | null {
    const found = call(
      "lstat",
      path,
      () => fs.lstatSync(path, { bigint: true, throwIfNoEntry: false }),
    );
    return found === undefined ? null : status(found);
  }

  stat(path: string): FileStatus | null {
    const found = call(
      "stat",
      path,
      () => fs.statSync(path, { bigint: true, throwIfNoEntry: false }),
    );
    return found === undefined ? null : status(found);
  }

  fstat(fd: number): FileStatus {
    return status(
      call("fstat", undefined, () => fs.fstatSync(fd, { bigint: true })),
    );
  }

  open(path: string): number {
    return call("open", path, () => fs.openSync(path, OPEN_FLAGS));
  }

  openOrCreate(path: string): number {
    return call(
      "open",
      path,
      () => fs.openSync(path, OPEN_FLAGS | fs.constants.O_CREAT, 0o600),
    );
  }

  read(fd: number, bytes: Uint8Array, offset: number): number {
    let done = 0;
    while (done < bytes.length) {
      const count = call(
        "pread",
        undefined,
        () => fs.readSync(fd, bytes, done, bytes.length - done, offset + done),
      );
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  write(fd: number, bytes: Uint8Array, offset: number): void {
    let done = 0;
    while (done < bytes.length) {
      const count = call(
        "pwrite",
        undefined,
        () => fs.writeSync(fd, bytes, done, bytes.length - done, offset + done),
      );
      if (count === 0) throw new SystemError("pwrite", "ENOSPC");
      done += count;
    }
  }

  truncate(fd: number, sizeBytes: number): void {
    call("ftruncate", undefined, () => fs.ftruncateSync(fd, sizeBytes));
  }

  abstract allocate(fd: number, sizeBytes: number): void;
  abstract fsync(fd: number): void;

  syncDirectory(path: string): void {
    const fd = call("open", path, () => fs.openSync(path, DIRECTORY_FLAGS));
    try {
      this.fsync(fd);
    } catch (error) {
      // A file system that cannot sync a directory says EINVAL.
      if (!(error instanceof SystemError) || error.errno !== "EINVAL") {
        throw error;
      }
    } finally {
      this.close(fd);
    }
  }

  rename(from: string, to: string): void {
    call("rename", to, () => fs.renameSync(from, to));
  }

  link(from: string, to: string): void {
    call("link", to, () => fs.linkSync(from, to));
  }

  unlink(path: string): void {
    call("unlink", path, () => fs.unlinkSync(path));
  }

  close(fd: number): void {
    // Never again after EINTR: the descriptor is gone, and its number may be another's.
    try {
      fs.closeSync(fd);
    } catch (cause) {
      throw new SystemError("close", errnoOf(cause), undefined, { cause });
    }
  }

  lock(fd: number): boolean {
    for (;;) {
      if (this.libc.flock(fd, c.LOCK_EX | c.LOCK_NB) === 0) return true;
      const error = this.failure("flock");
      if (error.errno === "EAGAIN") return false;
      if (error.errno !== "EINTR") throw error;
    }
  }

  unlock(fd: number): void {
    this.retry("flock", () => this.libc.flock(fd, c.LOCK_UN));
  }

  abstract fileSystem(fd: number): string;
  abstract setNoCopyOnWrite(fd: number): boolean;
  abstract isNoCopyOnWrite(fd: number): boolean;
  abstract dropCache(fd: number): void;

  map(fd: number, lengthBytes: number): Mapping {
    const { libc } = this;
    const address = libc.mmap(
      0,
      lengthBytes,
      c.PROT_READ | c.PROT_WRITE,
      c.MAP_SHARED,
      fd,
      0,
    );
    if (!(address > 0)) throw this.failure("mmap");
    try {
      return { address, buffer: libc.view(address, lengthBytes) };
    } catch (cause) {
      libc.munmap(address, lengthBytes);
      throw new SystemError("mmap", "ENOMEM", undefined, { cause });
    }
  }

  unmap(mapping: Mapping, lengthBytes: number): void {
    if (mapping.buffer.byteLength > 0) c.detach(mapping.buffer);
    if (this.libc.munmap(mapping.address, lengthBytes) !== 0) {
      throw this.failure("munmap");
    }
  }

  abstract populate(address: number, lengthBytes: number): void;
  abstract syncMapped(
    fd: number,
    address: number,
    lengthBytes: number,
    barrierOnly: boolean,
  ): void;
  abstract syncMappedAsync(
    fd: number,
    spareFd: number,
    address: number,
    lengthBytes: number,
    barrierOnly: boolean,
  ): Promise<void>;
  abstract syncData(fd: number, barrierOnly: boolean): void;

  preparePath(path: string): PreparedPath {
    return {
      is: (device, inode, sizeBytes) => {
        const found = this.stat(path);
        return found !== null && found.inode === inode &&
          found.device === device && found.sizeBytes === sizeBytes;
      },
    };
  }
}

/** Linux on x86-64 and arm64; glibc and musl. Only x86-64 with glibc has been run. */
class LinuxSystem extends PosixSystem {
  /** Deno's off-thread msync reports to the mapping's own open file description, Bun's fdatasync to the spare one. */
  readonly asyncUsesSpare: boolean = this.libc.msyncAsync === null;
  #canPopulate = true;

  allocate(fd: number, sizeBytes: number): void {
    let number: number;
    do {
      number = this.libc.posix_fallocate(fd, 0, sizeBytes);
    } while (number === this.on.errno.EINTR);
    const name = number === 0 ? "" : c.errnoName(this.on, number);
    if (name !== "" && name !== "EOPNOTSUPP" && name !== "EINVAL") {
      throw new SystemError("posix_fallocate", name);
    }
  }

  fsync(fd: number): void {
    if (this.libc.fsync(fd) !== 0) throw this.failure("fsync");
  }

  fileSystem(fd: number): string {
    this.retry("fstatfs", () => this.libc.fstatfs(fd, this.scratchAddress));
    // f_type is a long; its upper half holds nothing.
    return fileSystemName(this.scratchView.getUint32(0, true));
  }

  setNoCopyOnWrite(fd: number): boolean {
    if (this.fileSystem(fd) !== "btrfs") return true;
    const flags = this.#flags(fd);
    if (flags === null) return false;
    this.scratchView.setUint32(0, flags | c.FS_NOCOW_FL, true);
    // A refusal shows when the flag is read back.
    this.libc.ioctl(fd, c.FS_IOC_SETFLAGS, this.scratchAddress);
    return this.isNoCopyOnWrite(fd);
  }

  isNoCopyOnWrite(fd: number): boolean {
    if (this.fileSystem(fd) !== "btrfs") return true;
    return ((this.#flags(fd) ?? 0) & c.FS_NOCOW_FL) !== 0;
  }

  #flags(fd: number): number | null {
    this.scratchView.setBigUint64(0, 0n, true);
    return this.libc.ioctl(fd, c.FS_IOC_GETFLAGS, this.scratchAddress) === 0
      ? this.scratchView.getUint32(0, true)
      : null;
  }

  dropCache(fd: number): void {
    const number = this.libc.posix_fadvise(fd, 0, 0, c.POSIX_FADV_DONTNEED);
    if (number !== 0) {
      throw new SystemError("posix_fadvise", c.errnoName(this.on, number));
    }
  }

  populate(address: number, lengthBytes: number): void {
    while (
      this.#canPopulate &&
      this.libc.madvise(address, lengthBytes, c.MADV_POPULATE_WRITE) !== 0
    ) {
      const error = this.failure("madvise");
      // Linux before 5.14 does not know this advice.
      if (error.errno === "EINVAL") this.#canPopulate = false;
      else if (error.errno !== "EINTR" && error.errno !== "EAGAIN") throw error;
    }
  }

  syncMapped(_fd: number, address: number, lengthBytes: number): void {
    // Linux writes and waits for the range, then flushes the device: fdatasync of a range (mm/msync.c, vfs_fsync_range).
    if (this.libc.msync(address, lengthBytes, this.on.MS_SYNC) !== 0) {
      throw this.failure("msync");
    }
  }

  syncMappedAsync(
    _fd: number,
    spareFd: number,
    address: number,
    lengthBytes: number,
  ): Promise<void> {
    const { msyncAsync } = this.libc;
    if (msyncAsync === null) {
      return new Promise((resolve, reject) => {
        fs.fdatasync(spareFd, (cause) => {
          if (cause) {
            reject(
              new SystemError("fdatasync", errnoOf(cause), undefined, {
                cause,
              }),
            );
          } else resolve();
        });
      });
    }
    return msyncAsync(address, lengthBytes, this.on.MS_SYNC).then((result) => {
      // The other thread's errno cannot be read from here.
      if (result !== 0) throw new SystemError("msync", "EUNKNOWN");
    });
  }

  syncData(fd: number): void {
    if (this.libc.fdatasync(fd) !== 0) throw this.failure("fdatasync");
  }

  override preparePath(path: string): PreparedPath {
    const { statx } = this.libc;
    if (statx === null) return super.preparePath(path);
    const encoded = new TextEncoder().encode(`${path}\0`);
    const buffer = new ArrayBuffer(256 + encoded.length);
    new Uint8Array(buffer).set(encoded, 256);
    const prepared = new StatxPath(buffer, this.libc, statx);
    // An old kernel, or a seccomp filter that never heard of the call.
    return prepared.look() ? prepared : super.preparePath(path);
  }
}

/**
 * A path and the struct statx for its answers, which has the same layout on every processor:
 *
 *   offset  type  field
 *       28  u16   stx_mode
 *       32  u64   stx_ino
 *       40  u64   stx_size
 *      136  u32   stx_dev_major
 *      140  u32   stx_dev_minor
 *      256        (ours) the path, with its NUL
 */
class StatxPath implements PreparedPath {
  readonly #view: DataView;
  readonly #address: number;
  #major = -1;
  #minor = -1;
  #device = -1n;

  constructor(
    // Kept, so that the address stays good.
    readonly buffer: ArrayBuffer,
    readonly libc: Libc,
    readonly statx: NonNullable<Libc["statx"]>,
  ) {
    this.#view = new DataView(buffer);
    this.#address = libc.addressOf(buffer);
  }

  look(): boolean {
    return this.statx(
      c.AT_FDCWD,
      this.#address + 256,
      0,
      c.STATX_TYPE_INO_SIZE,
      this.#address,
    ) === 0;
  }

  is(device: bigint, inode: bigint, sizeBytes: number): boolean {
    // EINTR is for network file systems; asking again is harmless anywhere.
    if (!this.look() && !this.look()) return false;
    const view = this.#view;
    if (
      view.getBigUint64(32, true) !== inode ||
      Number(view.getBigUint64(40, true)) !== sizeBytes
    ) return false;
    const major = view.getUint32(136, true);
    const minor = view.getUint32(140, true);
    if (major !== this.#major || minor !== this.#minor) {
      this.#major = major;
      this.#minor = minor;
      this.#device = deviceNumber(BigInt(major), BigInt(minor));
    }
    return this.#device === device;
  }
}

/** makedev() of glibc and musl, as stat's st_dev has it. */
function deviceNumber(major: bigint, minor: bigint): bigint {
  return (major & 0xfffff000n) << 32n | (major & 0xfffn) << 8n |
    (minor & 0xffffff00n) << 12n | (minor & 0xffn);
}

/** macOS. Not run on a Mac yet; written from Apple's headers and manual pages. */
class MacosSystem extends PosixSystem {
  readonly asyncUsesSpare = true;
  #canFullSync = true;

  allocate(fd: number, sizeBytes: number): void {
    // fstore_t: u32 flags, i32 posmode, i64 offset, i64 length, i64 bytesalloc.
    const view = this.scratchView;
    view.setUint32(0, c.F_ALLOCATEALL, true);
    view.setInt32(4, c.F_PEOFPOSMODE, true);
    view.setBigInt64(8, 0n, true);
    view.setBigInt64(16, BigInt(sizeBytes), true);
    view.setBigInt64(24, 0n, true);
    if (this.libc.fcntl(fd, c.F_PREALLOCATE, this.scratchAddress) === -1) {
      const error = this.failure("fcntl");
      if (error.errno !== "ENOTSUP" && error.errno !== "EINVAL") throw error;
    }
  }

  fsync(fd: number): void {
    this.syncData(fd, false);
  }

  syncData(fd: number, barrierOnly: boolean): void {
    if (this.#canFullSync) {
      if (
        this.libc.fcntl(
          fd,
          barrierOnly ? c.F_BARRIERFSYNC : c.F_FULLFSYNC,
          0,
        ) !== -1
      ) return;
      const error = this.failure("fcntl");
      if (
        error.errno !== "ENOTSUP" && error.errno !== "ENOTTY" &&
        error.errno !== "EINVAL"
      ) throw error;
      // A volume that cannot (SMB, some FUSE): fsync is all there is (libuv#1580).
      if (!barrierOnly) this.#canFullSync = false;
    }
    if (this.libc.fsync(fd) !== 0) throw this.failure("fsync");
  }

  fileSystem(fd: number): string {
    this.retry("fstatfs", () => this.libc.fstatfs(fd, this.scratchAddress));
    const name = new Uint8Array(this.scratch, 72, 16); // f_fstypename
    const end = name.indexOf(0);
    return new TextDecoder().decode(name.subarray(0, end < 0 ? 16 : end));
  }

  setNoCopyOnWrite(): boolean {
    return true;
  }

  isNoCopyOnWrite(): boolean {
    return true;
  }

  dropCache(): void {}

  populate(): void {}

  syncMapped(
    fd: number,
    address: number,
    lengthBytes: number,
    barrierOnly: boolean,
  ): void {
    // msync hands the pages to the file system; the drive's cache is flushed by the second call (H13).
    if (this.libc.msync(address, lengthBytes, this.on.MS_SYNC) !== 0) {
      throw this.failure("msync");
    }
    this.syncData(fd, barrierOnly);
  }

  async syncMappedAsync(
    _fd: number,
    spareFd: number,
    address: number,
    lengthBytes: number,
    barrierOnly: boolean,
  ): Promise<void> {
    const { msyncAsync, fcntlAsync } = this.libc;
    if (
      msyncAsync === null || fcntlAsync === null || barrierOnly ||
      !this.#canFullSync
    ) {
      // Bun has no call off the thread that is sure to reach the medium; late is better than not at all.
      this.syncMapped(spareFd, address, lengthBytes, barrierOnly);
      return;
    }
    if (await msyncAsync(address, lengthBytes, this.on.MS_SYNC) !== 0) {
      throw new SystemError("msync", "EUNKNOWN");
    }
    if (await fcntlAsync(spareFd, c.F_FULLFSYNC, 0) === -1) {
      throw new SystemError("fcntl", "EUNKNOWN");
    }
  }
}
