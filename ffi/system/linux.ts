// Linux's System.

import * as fs from "node:fs";
import { fileSystemName } from "../file/file_systems.ts";
import * as c from "../libc/libc.ts";
import type { Libc } from "../libc/libc.ts";
import { errnoOf, isAbsence, type Mapping, type PreparedPath, SystemError } from "./system.ts";
import { PosixSystem } from "./posix.ts";

/** One advice to read is cut at the device's limit, which is this or more. */
const READ_BYTES = 128 * 1024;
/** For fewer bytes than this, it takes longer to unmap pages than it saves. */
const UNMAP_BYTES = 32 * 1024;

/** Linux on x86-64 and arm64; glibc and musl. Only x86-64 with glibc has been run. */
export class LinuxSystem extends PosixSystem {
  /** Deno's off-thread msync reports to the mapping's own open file description, Bun's fdatasync to the spare one. */
  readonly asyncUsesSpare: boolean = this.libc.msyncAsync === null;
  #canPopulate = true;

  allocate(fd: number, sizeBytes: number): void {
    let number: number;
    do {
      number = this.libc.posix_fallocate(fd, 0, sizeBytes);
    } while (number === this.on.errno["EINTR"]);
    const name = number === 0 ? "" : c.errnoName(this.on, number);
    if (name !== "" && name !== "EOPNOTSUPP" && name !== "EINVAL") {
      throw new SystemError("posix_fallocate", name);
    }
  }

  fsync(fd: number): void {
    if (this.libc.fsync(fd) !== 0) throw this.failure("fsync");
  }

  fsyncAsync(fd: number): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fsync(fd, (cause) => {
        if (cause) reject(new SystemError("fsync", errnoOf(cause), undefined, { cause }));
        else resolve();
      });
    });
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

  dropCache(fd: number, offset: number, lengthBytes: number): void {
    this.#advise(fd, offset, lengthBytes, c.POSIX_FADV_DONTNEED);
  }

  forget(address: number, lengthBytes: number): void {
    // On a shared mapping this loses nothing: what was stored is in the page cache, and dirty there.
    this.libc.madvise(address, lengthBytes, c.MADV_DONTNEED);
  }

  /**
   * What this advice reads comes in folios of one page, whereas reading ahead of faults makes ever larger ones (16, 64, 256 KiB
   * were seen), of which a store dirties the whole.
   */
  readAhead(fd: number, offset: number, lengthBytes: number): void {
    const end = offset + lengthBytes;
    for (let at = offset; at < end; at += READ_BYTES) {
      this.#advise(fd, at, Math.min(READ_BYTES, end - at), c.POSIX_FADV_WILLNEED);
    }
  }

  #advise(fd: number, offset: number, lengthBytes: number, advice: number): void {
    const number = this.libc.posix_fadvise(fd, offset, lengthBytes, advice);
    if (number !== 0) throw new SystemError("posix_fadvise", c.errnoName(this.on, number));
  }

  override map(fd: number, lengthBytes: number): Mapping {
    const mapping = super.map(fd, lengthBytes);
    // No reading ahead of faults, see above. Only an advice: it may fail.
    this.libc.madvise(mapping.address, lengthBytes, c.MADV_RANDOM);
    return mapping;
  }

  populateForReading(address: number, lengthBytes: number): void {
    if (this.libc.madvise(address, lengthBytes, c.MADV_POPULATE_READ) === 0) return;
    const error = this.failure("madvise");
    // Anything else is no statement on the pages, and they are read when they are needed.
    if (error.errno === "EFAULT" || error.errno === "EIO" || error.errno === "EHWPOISON") throw error;
  }

  populate(address: number, lengthBytes: number): void {
    while (this.#canPopulate && this.libc.madvise(address, lengthBytes, c.MADV_POPULATE_WRITE) !== 0) {
      const error = this.failure("madvise");
      // Linux before 5.14 does not know this advice.
      if (error.errno === "EINVAL") this.#canPopulate = false;
      else if (error.errno !== "EINTR" && error.errno !== "EAGAIN") throw error;
    }
  }

  syncMapped(_fd: number, address: number, lengthBytes: number): void {
    this.#unmapPages(address, lengthBytes);
    // Linux writes and waits for the range, then flushes the device: fdatasync of a range (mm/msync.c, vfs_fsync_range).
    if (this.libc.msync(address, lengthBytes, this.on.MS_SYNC) !== 0) {
      throw this.failure("msync");
    }
  }

  syncMappedAsync(_fd: number, spareFd: number, address: number, lengthBytes: number): Promise<void> {
    const { msyncAsync } = this.libc;
    if (msyncAsync === null) {
      return new Promise((resolve, reject) => {
        fs.fdatasync(spareFd, (cause) => {
          if (cause) {
            reject(new SystemError("fdatasync", errnoOf(cause), undefined, { cause }));
          } else resolve();
        });
      });
    }
    this.#unmapPages(address, lengthBytes);
    return msyncAsync(address, lengthBytes, this.on.MS_SYNC).then((result) => {
      // The other thread's errno cannot be read from here.
      if (result !== 0) throw new SystemError("msync", "EUNKNOWN");
    });
  }

  /**
   * Takes the page table entries of what is about to be written away, all at once. The kernel would take the right to store from each
   * by itself, and have every processor that runs a thread of ours forget each by itself: 15 µs a page where another thread
   * stores meanwhile, in a virtual machine.
   */
  #unmapPages(address: number, lengthBytes: number): void {
    if (lengthBytes >= UNMAP_BYTES) this.forget(address, lengthBytes);
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
    const prepared = new StatxPath(buffer, this.libc.addressOf(buffer), statx, () => this.failure("statx", path));
    // An old kernel, or a seccomp filter that never heard of the call.
    return prepared.look() === 0 ? prepared : super.preparePath(path);
  }
}

/**
 * A path and the struct statx for its answers, which has the same layout on every processor:
 *
 *   offset  type  field
 *       16  u32   stx_nlink
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
  readonly #statx: NonNullable<Libc["statx"]>;
  readonly #failure: () => SystemError;
  #major = -1;
  #minor = -1;
  #device = -1n;

  constructor(
    buffer: ArrayBuffer,
    address: number,
    statx: NonNullable<Libc["statx"]>,
    failure: () => SystemError,
  ) {
    // Keeps the buffer, so that the address stays good.
    this.#view = new DataView(buffer);
    this.#address = address;
    this.#statx = statx;
    this.#failure = failure;
  }

  get links(): number {
    return this.#view.getUint32(16, true);
  }

  /** 0 if the file could be looked at. */
  look(): number {
    return this.#statx(c.AT_FDCWD, this.#address + 256, 0, c.STATX_TYPE_LINKS_INO_SIZE, this.#address);
  }

  is(device: bigint, inode: bigint, sizeBytes: number): boolean {
    while (this.look() !== 0) {
      const error = this.#failure();
      if (isAbsence(error)) return false;
      // Network file systems.
      if (error.errno !== "EINTR") throw error;
    }
    const view = this.#view;
    if (view.getBigUint64(32, true) !== inode || Number(view.getBigUint64(40, true)) !== sizeBytes) return false;
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
  return (major & 0xfffff000n) << 32n | (major & 0xfffn) << 8n | (minor & 0xffffff00n) << 12n | (minor & 0xffn);
}
