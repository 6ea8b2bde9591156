// MappedFile, the real Region: a locked file in memory; sync, verify, detach, unmap.

import { asPageError, asSyncError, gone, Undo } from "./failure.ts";
import { detach } from "../libc/libc.ts";
import type { FileSystemInfo, Region, RegionError } from "../region.ts";
import { isAbsence, type Mapping, type PreparedPath, type System, SystemError } from "../system/system.ts";

/** What an opening hands over: all of it is the region's to give back. */
export interface Parts {
  /** The open file description that is mapped. */
  readonly fd: number;
  /** Another one, with an error state of its own, that holds the lock. */
  readonly lockedFd: number;
  readonly mapping: Mapping;
  readonly prepared: PreparedPath;
  readonly path: string;
  readonly sizeBytes: number;
  readonly device: bigint;
  readonly inode: bigint;
  readonly created: boolean;
  readonly info: FileSystemInfo;
  readonly warnings: readonly string[];
  readonly barrierOnly: boolean;
  /** Puts a new file in the place of this one, and opens it. */
  readonly replace: (chunks: Iterable<Uint8Array>, sizeBytes: number, keepAs: string) => Region;
}

/** A locked file in memory. */
export class MappedFile implements Region {
  readonly buffer: ArrayBuffer;
  readonly path: string;
  readonly created: boolean;
  readonly fileSystem: FileSystemInfo;
  readonly syncsRangeAside: boolean;
  readonly #system: System;
  readonly #parts: Parts;
  #isOpen = true;
  /** A `syncAsync()` has not settled: the mapping and both descriptors must stay. */
  #isPending = false;
  /**
   * The first sync that failed. Its pages may count as clean, and its error has been reported: another sync would succeed without
   * them, and could be called before the log has heard of the failure, which takes a few turns of the microtask queue.
   */
  #failure: RegionError | null = null;
  /** Why the last look at the path failed. */
  #unseen: SystemError | null = null;

  constructor(system: System, parts: Parts) {
    this.#system = system;
    this.#parts = parts;
    this.buffer = parts.mapping.buffer;
    this.path = parts.path;
    this.created = parts.created;
    this.fileSystem = parts.info;
    this.syncsRangeAside = !system.asyncUsesSpare;
  }

  sync(offset: number, length: number): void {
    const { fd, lockedFd, barrierOnly } = this.#parts;
    const range = this.#pages(offset, length);
    if (this.#failure !== null) throw this.#failure;
    try {
      // The kernel reports a failed write-back once to each open file description: take the one that the pending sync
      // does not, so that neither swallows the other's error.
      if (this.#isPending && !this.#system.asyncUsesSpare) {
        this.#system.syncData(lockedFd, barrierOnly);
      } else this.#system.syncMapped(fd, range.address, range.lengthBytes, barrierOnly);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  async syncAsync(offset: number, length: number): Promise<void> {
    const { fd, lockedFd, barrierOnly } = this.#parts;
    const range = this.#pages(offset, length);
    if (this.#isPending) {
      throw new TypeError("Cannot sync a region twice at a time");
    }
    if (this.#failure !== null) throw this.#failure;
    this.#isPending = true;
    try {
      await this.#system.syncMappedAsync(fd, lockedFd, range.address, range.lengthBytes, barrierOnly);
    } catch (error) {
      throw this.#failed(error);
    } finally {
      this.#isPending = false;
      if (!this.#isOpen) this.#release();
    }
  }

  pageIn(offset: number, length: number, before: "load" | "store"): void {
    const range = this.#pages(offset, length);
    try {
      if (before === "store") this.#system.populate(range.address, range.lengthBytes);
      else {
        this.#startReading(offset, length);
        // At once, because a fault for each page costs more than reading it.
        this.#system.populateForReading(range.address, range.lengthBytes);
      }
    } catch (error) {
      this.#mustBeWhole(error);
      throw asPageError(error, before, this.path, offset, length);
    }
  }

  readable(): ArrayBuffer {
    this.#check();
    const { fd, sizeBytes } = this.#parts;
    const { pageBytes } = this.#system;
    const bytes = new Uint8Array(sizeBytes);
    for (let at = 0; at < sizeBytes; at += pageBytes) {
      const page = bytes.subarray(at, Math.min(at + pageBytes, sizeBytes));
      try {
        this.#system.read(fd, page, at);
      } catch {
        page.fill(0);
      }
    }
    return bytes.buffer;
  }

  #startReading(offset: number, length: number): void {
    try {
      this.#system.readAhead(this.#parts.fd, offset, length);
    } catch { /* an advice: what is not read now is read when it is needed */ }
  }

  release(offset: number, length: number, from: "process" | "kernel"): void {
    const range = this.#pages(offset, length);
    this.#system.forget(range.address, range.lengthBytes);
    if (from === "process") return;
    try {
      this.#system.dropCache(this.#parts.fd, offset, length);
    } catch { /* an advice: what stays is slower, not wrong */ }
    this.#startReading(offset, length);
  }

  get warnings(): readonly string[] {
    const warnings = [...this.#parts.warnings];
    const { links } = this.#parts.prepared;
    if (links > 1) {
      warnings.push(
        `The log's file has ${links} names: a hard link is no copy and changes with the log, whereas backup() makes one`,
      );
    }
    if (this.#unseen !== null) {
      const { call, errno } = this.#unseen;
      warnings.push(
        `The log's path cannot be looked at (${call} fails with ${errno}): a file that replaces the log there is not noticed`,
      );
    }
    return warnings;
  }

  verify(): void {
    this.#check();
    const { prepared, device, inode, sizeBytes } = this.#parts;
    let isThere: boolean;
    try {
      isThere = prepared.is(device, inode, sizeBytes);
      this.#unseen = null;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      isThere = !isAbsence(error) && this.#isHeld();
      this.#unseen = error;
    }
    if (!isThere) throw gone(this.path);
  }

  /** What the open descriptor says where the path cannot be looked at: is there a name for the file, and is it whole? */
  #isHeld(): boolean {
    try {
      const { links, sizeBytes } = this.#system.fstat(this.#parts.fd);
      return links > 0 && sizeBytes === this.#parts.sizeBytes;
    } catch (error) {
      // Not even that: nothing is known, except where a server says that it has the file no more.
      return error instanceof SystemError && error.errno !== "ESTALE";
    }
  }

  replace(chunks: Iterable<Uint8Array>, sizeBytes: number, keepAs: string): Region {
    this.verify();
    return this.#parts.replace(chunks, sizeBytes, keepAs);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // First of all, so that no view can reach the memory that goes (G9).
    detach(this.buffer);
    try {
      this.#system.unlock(this.#parts.lockedFd);
    } catch { /* closing the descriptor gives the lock up too */ }
    if (!this.#isPending) this.#release();
  }

  #release(): void {
    const { fd, lockedFd, mapping, sizeBytes } = this.#parts;
    const undo = new Undo();
    undo.add(() => this.#system.close(fd));
    undo.add(() => this.#system.close(lockedFd));
    undo.add(() => this.#system.unmap(mapping, sizeBytes));
    undo.run();
  }

  #failed(error: unknown): RegionError {
    return this.#failure ??= asSyncError(error, this.path);
  }

  #check(): void {
    if (!this.#isOpen) {
      throw new TypeError("Cannot use a region that is closed");
    }
  }

  /** What failed may have failed because the file was cut: that is said first. */
  #mustBeWhole(cause: unknown): void {
    let { sizeBytes } = this.#parts;
    try {
      sizeBytes = this.#system.fstat(this.#parts.fd).sizeBytes;
    } catch { /* not known to be cut: the cause is what to report */ }
    if (sizeBytes < this.#parts.sizeBytes) throw gone(this.path, cause);
  }

  /** The pages of a range of bytes. */
  #pages(offset: number, length: number): { address: number; lengthBytes: number } {
    this.#check();
    const { mapping, sizeBytes } = this.#parts;
    if (!(offset >= 0 && length >= 0 && offset + length <= sizeBytes)) {
      throw new RangeError(`Bytes ${offset} to ${offset + length} are not in a region of ${sizeBytes}`);
    }
    const { pageBytes } = this.#system;
    const start = offset - offset % pageBytes;
    return { address: mapping.address + start, lengthBytes: offset + length - start };
  }
}
