// MappedFile: the Region of a locked file in memory.

import { assert } from "../assert.ts";
import { asPageError, asSyncError, gone, Undo } from "./failure.ts";
import { FileAtPath, type OpenedFile } from "./file_at_path.ts";
import { detach } from "../detach.ts";
import type { FileSystemInfo, Region, RegionError } from "../region.ts";
import type { Mapping, System, WatchedPath } from "../system/system.ts";

/**
 * What an opening hands over. The region gives all of it back when it closes. `fd` is the file
 * description that is mapped.
 */
export interface Parts extends OpenedFile {
  /** Another one, with an error state of its own, that holds the lock. */
  readonly lockedFd: number;
  readonly mapping: Mapping;
  readonly watched: WatchedPath;
  readonly path: string;
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
  readonly #place: FileAtPath;
  #isOpen = true;
  /** A `syncAsync()` has not settled: the mapping and both descriptors must stay. */
  #isPending = false;
  /**
   * The first sync that failed. Its pages may count as clean, and its error has been reported:
   * another sync would succeed without them, and could be called before the log has heard of the
   * failure, which takes a few turns of the microtask queue.
   */
  #failure: RegionError | null = null;

  constructor(system: System, parts: Parts) {
    this.#system = system;
    this.#parts = parts;
    this.#place = new FileAtPath(system, parts.watched, parts);
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
      // A page of a file that was cut cannot be brought in: say that first.
      if (this.#place.isCut()) throw gone(this.path, error);
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
    return [...this.#parts.warnings, ...this.#place.warnings];
  }

  verify(): void {
    this.#check();
    if (!this.#place.isThere()) throw gone(this.path);
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
    assert(!this.#isPending, "a descriptor stays open while a sync uses it");
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
