// The System of macOS.

import * as c from "../libc/platform.ts";
import type { Libc } from "../libc/libc.ts";
import { MacosMapping } from "./macos_mapping.ts";
import { type Mapping, type MapRequest, SystemError } from "./system.ts";
import { PosixSystem } from "./posix.ts";

/** macOS. Not run on a Mac yet: it follows Apple's headers and manual pages. */
export class MacosSystem extends PosixSystem {
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
    // Some file systems cannot sync a directory, and only the error number says so. The error
    // number of another thread is lost, so a directory is synced on this thread.
    const isPlain = fcntlAsync !== null && this.#canFullSync && this.fstat(fd).kind === "file";
    if (!isPlain) return this.fsync(fd);
    if (await fcntlAsync(fd, c.F_FULLFSYNC, 0) === -1) throw new SystemError("fcntl", "EUNKNOWN");
  }

  /** F_FULLFSYNC on another thread; null if a sync must run on the JavaScript thread. */
  get fullSyncAsync(): Libc["fcntlAsync"] {
    return this.#canFullSync ? this.libc.fcntlAsync : null;
  }

  /** Makes all of a file durable, or orders its writes. */
  syncData(fd: number, barrierOnly: boolean): void {
    if (this.#canFullSync) {
      if (this.libc.fcntl(fd, barrierOnly ? c.F_BARRIERFSYNC : c.F_FULLFSYNC, 0) !== -1) return;
      const error = this.failure("fcntl");
      if (error.errno !== "ENOTSUP" && error.errno !== "ENOTTY" && error.errno !== "EINVAL") throw error;
      // Some volumes cannot (SMB, some FUSE): plain fsync is all they have (libuv#1580).
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

  noCopyOnWrite(): boolean {
    return true;
  }

  dropCache(): void {}

  map(request: MapRequest): Mapping {
    return new MacosMapping(this.libc, this.on, request, this.pageBytes, this);
  }
}
