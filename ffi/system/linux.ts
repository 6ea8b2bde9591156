// The System of Linux.

import * as c from "../libc/platform.ts";
import { fileSystemName } from "./file_system_names.ts";
import { LinuxMapping } from "./linux_mapping.ts";
import { PosixSystem } from "./posix.ts";
import { StatxPath } from "./statx_path.ts";
import { syncAside } from "./sync_aside.ts";
import { type Mapping, type MapRequest, SystemError, type WatchedPath } from "./system.ts";

/** Linux on x86-64 and arm64, with glibc or musl. Only x86-64 with glibc has been run. */
export class LinuxSystem extends PosixSystem {
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
    return syncAside("fsync", fd, () => this.fsync(fd));
  }

  fileSystem(fd: number): string {
    this.retry("fstatfs", () => this.libc.fstatfs(fd, this.scratchAddress));
    // f_type is a long; its upper half is unused.
    return fileSystemName(this.scratchView.getUint32(0, true));
  }

  noCopyOnWrite(fd: number, action: "set" | "get"): boolean {
    if (this.fileSystem(fd) !== "btrfs") return true;
    if (action === "set") this.#setFlag(fd, c.FS_NOCOW_FL);
    return ((this.#flags(fd) ?? 0) & c.FS_NOCOW_FL) !== 0;
  }

  /** Sets a flag. No error here: `noCopyOnWrite()` reads the flags back. */
  #setFlag(fd: number, flag: number): void {
    const flags = this.#flags(fd);
    if (flags === null) return;
    this.scratchView.setUint32(0, flags | flag, true);
    this.libc.ioctl(fd, c.FS_IOC_SETFLAGS, this.scratchAddress);
  }

  #flags(fd: number): number | null {
    this.scratchView.setBigUint64(0, 0n, true);
    return this.libc.ioctl(fd, c.FS_IOC_GETFLAGS, this.scratchAddress) === 0
      ? this.scratchView.getUint32(0, true)
      : null;
  }

  dropCache(fd: number, offset: number, lengthBytes: number): void {
    const number = this.libc.posix_fadvise(fd, offset, lengthBytes, c.POSIX_FADV_DONTNEED);
    if (number !== 0) throw new SystemError("posix_fadvise", c.errnoName(this.on, number));
  }

  map(request: MapRequest): Mapping {
    return new LinuxMapping(this.libc, this.on, request, this.pageBytes);
  }

  override watch(path: string): WatchedPath {
    const { statx } = this.libc;
    if (statx === null) return super.watch(path);
    const encoded = new TextEncoder().encode(`${path}\0`);
    const buffer = new ArrayBuffer(256 + encoded.length);
    new Uint8Array(buffer).set(encoded, 256);
    const watched = new StatxPath(buffer, this.libc.addressOf(buffer), statx, () => this.failure("statx", path));
    // An old kernel, or a seccomp filter that does not know the call, refuses statx.
    return watched.fill() === 0 ? watched : super.watch(path);
  }
}
