// MappedFile, the real Region: a locked file in memory; sync, verify, detach, unmap.

import { asPageError, asSyncError, gone, Undo } from "./failure.ts";
import { detach } from "../libc/libc.ts";
import type { FileSystemInfo, Region, RegionError } from "../region.ts";
import { isAbsence, type Mapping, type System, SystemError, type WatchedPath } from "../system/system.ts";

/** What an opening hands over: all of it is the region's to give back. */
export interface Parts {
  /** The open file description that is mapped. */
  readonly fd: number;
  /** Another one, with an error state of its own, that holds the lock. */
  readonly lockedFd: number;
  readonly mapping: Mapping;
  readonly watched: WatchedPath;
  readonly path: string;
  readonly sizeBytes: number;
  readonly device: bigint;
  readonly inode: bigint;
  readonly created: boolean;
  readonly info: FileSystemInfo;
  readonly warnings: readonly string[];
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
   * The first sync that failed. Its pages may count as clean, and its error has been reported:
   * another sync would succeed without them, and could be called before the log has heard of the
   * failure, which takes a few turns of the microtask queue.
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
    this.syncsRangeAside = parts.mapping.syncsRangeAside;
  }

  sync(offset: number, length: number): void {
    const { mapping } = this.#parts;
    const range = this.#pages(offset, length);
    if (this.#failure !== null) throw this.#failure;
    try {
      // The kernel reports a failed write-back once to each open file description: take the one
      // that the pending sync does not, so that neither hides the other's error.
      if (this.#isPending && mapping.syncsRangeAside) {
        mapping.syncFile();
      } else mapping.sync(range.offset, range.lengthBytes);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  async syncAsync(offset: number, length: number): Promise<void> {
    const range = this.#pages(offset, length);
    if (this.#isPending) {
      throw new TypeError("Cannot sync a region twice at a time");
    }
    if (this.#failure !== null) throw this.#failure;
    this.#isPending = true;
    try {
      await this.#parts.mapping.syncAsync(range.offset, range.lengthBytes);
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
      this.#parts.mapping.pageIn(range.offset, range.lengthBytes, before);
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

  release(offset: number, length: number, from: "process" | "kernel"): void {
    const range = this.#pages(offset, length);
    this.#parts.mapping.release(range.offset, range.lengthBytes, from);
  }

  get warnings(): readonly string[] {
    const warnings = [...this.#parts.warnings];
    const { links } = this.#parts.watched;
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
    const { watched, device, inode, sizeBytes } = this.#parts;
    let isThere: boolean;
    try {
      isThere = watched.is(device, inode, sizeBytes);
      this.#unseen = null;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      isThere = !isAbsence(error) && this.#isHeld();
      this.#unseen = error;
    }
    if (!isThere) throw gone(this.path);
  }

  /**
   * What the open descriptor says where the path cannot be looked at: is there a name for the file,
   * and is it whole?
   */
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
    const { fd, lockedFd, mapping } = this.#parts;
    const undo = new Undo();
    undo.add(() => this.#system.close(fd));
    undo.add(() => this.#system.close(lockedFd));
    undo.add(() => mapping.close());
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
  #pages(offset: number, length: number): { offset: number; lengthBytes: number } {
    this.#check();
    const { sizeBytes } = this.#parts;
    if (!(offset >= 0 && length >= 0 && offset + length <= sizeBytes)) {
      throw new RangeError(`Bytes ${offset} to ${offset + length} are not in a region of ${sizeBytes}`);
    }
    const { pageBytes } = this.#system;
    const start = offset - offset % pageBytes;
    return { offset: start, lengthBytes: offset + length - start };
  }
}
