// macOS's System.

import * as c from "../libc/libc.ts";
import { SystemError } from "./system.ts";
import { PosixSystem } from "./posix.ts";

/** macOS. Not run on a Mac yet; written from Apple's headers and manual pages. */
export class MacosSystem extends PosixSystem {
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

  async fsyncAsync(fd: number): Promise<void> {
    const { fcntlAsync } = this.libc;
    if (fcntlAsync === null || !this.#canFullSync) return this.fsync(fd);
    if (await fcntlAsync(fd, c.F_FULLFSYNC, 0) === -1) throw new SystemError("fcntl", "EUNKNOWN");
  }

  /** What a directory's file system cannot do shows in the error number, which another thread's call does not tell. */
  override syncDirectoryAsync(path: string): Promise<void> {
    return new Promise((resolve) => resolve(this.syncDirectory(path)));
  }

  syncData(fd: number, barrierOnly: boolean): void {
    if (this.#canFullSync) {
      if (this.libc.fcntl(fd, barrierOnly ? c.F_BARRIERFSYNC : c.F_FULLFSYNC, 0) !== -1) return;
      const error = this.failure("fcntl");
      if (error.errno !== "ENOTSUP" && error.errno !== "ENOTTY" && error.errno !== "EINVAL") throw error;
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

  forget(): void {}

  populateForReading(): void {}

  readAhead(): void {}

  populate(): void {}

  syncMapped(fd: number, address: number, lengthBytes: number, barrierOnly: boolean): void {
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
    if (msyncAsync === null || fcntlAsync === null || barrierOnly || !this.#canFullSync) {
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
