// The Mapping of Linux.

import * as c from "../libc/platform.ts";
import type { Platform } from "../libc/platform.ts";
import type { Libc } from "../libc/libc.ts";
import { PosixMapping } from "./posix_mapping.ts";
import { syncAside } from "./sync_aside.ts";
import { type MapRequest, SystemError } from "./system.ts";

/**
 * How much one advice to read asks for. The kernel cuts it at the device's limit, which is this or
 * more.
 */
const READ_BYTES = 128 * 1024;
/** Below this many bytes, unmapping pages takes longer than it saves. */
const UNMAP_BYTES = 32 * 1024;

/** A mapping on Linux. */
export class LinuxMapping extends PosixMapping {
  /**
   * On Deno another thread calls msync, which reports to the mapped file description. On Bun and
   * Node another thread calls fdatasync, which reports to the spare one.
   */
  readonly syncsRangeAside: boolean;
  readonly #pageBytes: number;
  /** Where mincore tells of one page: bit 0 is set if the page is in the cache. */
  readonly #residency = new Uint8Array(1);
  #canPopulate = true;

  constructor(libc: Libc, on: Platform, request: MapRequest, pageBytes: number) {
    super(libc, on, request, pageBytes);
    this.#pageBytes = pageBytes;
    this.syncsRangeAside = libc.msyncAsync !== null;
    // Faults must not read ahead, see #startReading(). This is advice, so it may fail.
    libc.madvise(this.addressOf(0, request.lengthBytes), request.lengthBytes, c.MADV_RANDOM);
  }

  sync(offset: number, lengthBytes: number): void {
    const address = this.addressOf(offset, lengthBytes);
    this.#unmapPages(address, lengthBytes);
    // Linux writes the range, waits for it, then flushes the device: fdatasync of a range
    // (mm/msync.c, vfs_fsync_range).
    if (this.libc.msync(address, lengthBytes, this.on.MS_SYNC) !== 0) throw this.failure("msync");
  }

  syncAsync(offset: number, lengthBytes: number): Promise<void> {
    const { msyncAsync } = this.libc;
    const address = this.addressOf(offset, lengthBytes);
    if (msyncAsync === null) return syncAside("fdatasync", this.request.spareFd, () => this.syncFile());
    this.#unmapPages(address, lengthBytes);
    return msyncAsync(address, lengthBytes, this.on.MS_SYNC).then((result) => {
      // The other thread's errno cannot be read from here.
      if (result !== 0) throw new SystemError("msync", "EUNKNOWN");
    });
  }

  syncFile(): void {
    if (this.libc.fdatasync(this.request.spareFd) !== 0) throw this.failure("fdatasync");
  }

  pageIn(offset: number, lengthBytes: number, before: "load" | "store"): void {
    const address = this.addressOf(offset, lengthBytes);
    if (before === "store") this.#populate(address, lengthBytes);
    else {
      this.#startReading(offset, lengthBytes);
      // All pages at once, because a fault for each page costs more than reading it.
      this.#populateForLoads(address, lengthBytes);
    }
  }

  release(offset: number, lengthBytes: number, from: "process" | "kernel"): void {
    this.#releasePages(this.addressOf(offset, lengthBytes), lengthBytes);
    if (from === "process") return;
    // What stays in the cache is slower, not wrong.
    if (!this.#isInSmallFolios(offset + lengthBytes)) this.#advise(offset, lengthBytes, c.POSIX_FADV_DONTNEED);
    this.#startReading(offset, lengthBytes);
  }

  /**
   * Drops the last page before `end` by itself, and looks whether it is gone. The page of a larger
   * folio stays, because a folio is dropped as a whole. So does a dirty page, which shows nothing.
   * The last page of a range is tried, because reading ahead begins with small folios.
   */
  #isInSmallFolios(end: number): boolean {
    const lengthBytes = (end - 1) % this.#pageBytes + 1;
    const at = end - lengthBytes;
    if (!this.#advise(at, lengthBytes, c.POSIX_FADV_DONTNEED)) return false;
    const vector = this.libc.addressOf(this.#residency.buffer);
    const isKnown = this.libc.mincore(this.addressOf(at, lengthBytes), lengthBytes, vector) === 0;
    return isKnown && (this.#residency[0]! & 1) === 0;
  }

  /**
   * Takes pages out of this process. On a shared mapping nothing is lost, because stored bytes are
   * in the page cache, and dirty there.
   */
  #releasePages(address: number, lengthBytes: number): void {
    this.libc.madvise(address, lengthBytes, c.MADV_DONTNEED);
  }

  /**
   * Asks for the pages by advice, which reads folios of one page. Reading ahead of faults makes
   * ever larger folios (16, 64, 256 KiB were seen), and a store makes all of its folio dirty.
   */
  #startReading(offset: number, lengthBytes: number): void {
    const end = offset + lengthBytes;
    for (let at = offset; at < end; at += READ_BYTES) {
      if (!this.#advise(at, Math.min(READ_BYTES, end - at), c.POSIX_FADV_WILLNEED)) return;
    }
  }

  /** False if the kernel refuses the advice. */
  #advise(offset: number, lengthBytes: number, advice: number): boolean {
    return this.libc.posix_fadvise(this.request.fd, offset, lengthBytes, advice) === 0;
  }

  #populateForLoads(address: number, lengthBytes: number): void {
    if (this.libc.madvise(address, lengthBytes, c.MADV_POPULATE_READ) === 0) return;
    const error = this.failure("madvise");
    // Any other error says nothing about the pages. Then they are read when they are used.
    if (error.errno === "EFAULT" || error.errno === "EIO" || error.errno === "EHWPOISON") throw error;
  }

  #populate(address: number, lengthBytes: number): void {
    while (this.#canPopulate && this.libc.madvise(address, lengthBytes, c.MADV_POPULATE_WRITE) !== 0) {
      const error = this.failure("madvise");
      // Linux before 5.14 does not know this advice.
      if (error.errno === "EINVAL") this.#canPopulate = false;
      else if (error.errno !== "EINTR" && error.errno !== "EAGAIN") throw error;
    }
  }

  /**
   * Removes the page table entries of a range before it is written, all in one step. Otherwise the
   * kernel write-protects each entry, and makes every processor that runs one of our threads forget
   * each entry. That took 15 µs a page where another thread stored meanwhile, in a virtual machine.
   */
  #unmapPages(address: number, lengthBytes: number): void {
    if (lengthBytes >= UNMAP_BYTES) this.#releasePages(address, lengthBytes);
  }
}
