// The Mapping of macOS.

import * as c from "../libc/platform.ts";
import type { Platform } from "../libc/platform.ts";
import type { Libc } from "../libc/libc.ts";
import { PosixMapping } from "./posix_mapping.ts";
import { type MapRequest, SystemError } from "./system.ts";

/** How macOS makes a file durable. */
export interface FullSync {
  /** F_FULLFSYNC on another thread; null if there is none. */
  readonly fullSyncAsync: Libc["fcntlAsync"];
  /** Makes all of a file durable, or orders its writes. */
  syncData(fd: number, barrierOnly: boolean): void;
}

/** A mapping on macOS. Not run on a Mac yet. */
export class MacosMapping extends PosixMapping {
  readonly syncsRangeAside = false;
  readonly #fullSync: FullSync;

  constructor(libc: Libc, on: Platform, request: MapRequest, pageBytes: number, fullSync: FullSync) {
    super(libc, on, request, pageBytes);
    this.#fullSync = fullSync;
  }

  sync(offset: number, lengthBytes: number): void {
    this.#sync(this.request.fd, offset, lengthBytes);
  }

  async syncAsync(offset: number, lengthBytes: number): Promise<void> {
    const { spareFd, barrierOnly } = this.request;
    const { msyncAsync } = this.libc;
    const { fullSyncAsync } = this.#fullSync;
    if (msyncAsync === null || fullSyncAsync === null || barrierOnly) {
      // Bun and Node have no call on another thread that is sure to reach the medium. Holding this
      // thread is better than no sync.
      return this.#sync(spareFd, offset, lengthBytes);
    }
    const address = this.addressOf(offset, lengthBytes);
    if (await msyncAsync(address, lengthBytes, this.on.MS_SYNC) !== 0) throw new SystemError("msync", "EUNKNOWN");
    if (await fullSyncAsync(spareFd, c.F_FULLFSYNC, 0) === -1) throw new SystemError("fcntl", "EUNKNOWN");
  }

  syncFile(): void {
    this.#fullSync.syncData(this.request.spareFd, this.request.barrierOnly);
  }

  /** macOS has no such call, so faults page in. */
  pageIn(): void {}

  /** Does nothing: on macOS the pages stay. */
  release(): void {}

  /** msync hands the pages to the file system. The second call flushes the drive's cache (H13). */
  #sync(fd: number, offset: number, lengthBytes: number): void {
    if (this.libc.msync(this.addressOf(offset, lengthBytes), lengthBytes, this.on.MS_SYNC) !== 0) {
      throw this.failure("msync");
    }
    this.#fullSync.syncData(fd, this.request.barrierOnly);
  }
}
