// MappedFile: the Region of a locked file that is mapped.

import { assert } from "../assert.ts";
import { asPageError, asSyncError, gone, Undo } from "./failure.ts";
import { FileAtPath, type OpenedFile } from "./file_at_path.ts";
import { FileMemory } from "../file_memory.ts";
import type { FileSystemInfo, Region, RegionError } from "../region.ts";
import type { Mapping, System, WatchedPath } from "../system/system.ts";

/**
 * What an opening hands over, and the region gives back when it closes. `fd` is the mapped file
 * description.
 */
export interface Parts extends OpenedFile {
  /** The file description that holds the lock, with an error state of its own. */
  readonly lockedFd: number;
  readonly mapping: Mapping;
  readonly watched: WatchedPath;
  readonly path: string;
  readonly created: boolean;
  readonly info: FileSystemInfo;
  readonly warnings: readonly string[];
  /** Puts a new file in place of this one, and opens the new one. */
  readonly replace: (chunks: Iterable<Uint8Array>, sizeBytes: number, keepAs: string | null) => Region;
}

/** A locked file in memory. */
export class MappedFile implements Region {
  readonly memory: FileMemory;
  readonly path: string;
  readonly created: boolean;
  readonly fileSystem: FileSystemInfo;
  readonly syncsRangeAside: boolean;
  readonly #system: System;
  readonly #parts: Parts;
  readonly #place: FileAtPath;
  #isOpen = true;
  /** True while a `syncAsync()` is pending, because it needs the mapping and both descriptors. */
  #isPending = false;
  /**
   * The error of the first sync that failed; later syncs throw it too. The kernel reports an error
   * once, and may then treat the unwritten pages as clean, so a later sync could succeed without
   * them. The log learns of the failure a few microtasks later, and could ask for a sync before.
   */
  #failure: RegionError | null = null;

  constructor(system: System, parts: Parts) {
    this.#system = system;
    this.#parts = parts;
    this.#place = new FileAtPath(system, parts.watched, parts);
    this.memory = parts.mapping.memory;
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
      // The kernel reports a failed write-back once to each open file description. So this sync
      // uses the description that the pending one does not, and neither hides the other's error.
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
      // A page of a file that was cut cannot be paged in, so that reason is checked first.
      if (this.#place.isCut()) throw gone(this.path, error);
      throw asPageError(error, before, this.path, offset, length);
    }
  }

  readable(): FileMemory {
    this.#mustBeOpen();
    const { fd, sizeBytes } = this.#parts;
    const { pageBytes } = this.#system;
    const copy = new FileMemory(sizeBytes);
    const bytes = copy.bytes();
    for (let at = 0; at < sizeBytes; at += pageBytes) {
      const page = bytes.subarray(at, Math.min(at + pageBytes, sizeBytes));
      try {
        this.#system.read(fd, page, at);
      } catch {
        page.fill(0);
      }
    }
    return copy;
  }

  release(offset: number, length: number, from: "process" | "kernel"): void {
    const range = this.#pages(offset, length);
    this.#parts.mapping.release(range.offset, range.lengthBytes, from);
  }

  get warnings(): readonly string[] {
    return [...this.#parts.warnings, ...this.#place.warnings];
  }

  verify(): void {
    this.#mustBeOpen();
    if (!this.#place.isThere()) throw gone(this.path);
  }

  replace(chunks: Iterable<Uint8Array>, sizeBytes: number, keepAs: string | null): Region {
    this.verify();
    return this.#parts.replace(chunks, sizeBytes, keepAs);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // First, so that no view can reach memory that is unmapped (G9).
    this.memory.detach();
    try {
      this.#system.unlock(this.#parts.lockedFd);
    } catch { /* closing the descriptor also gives up the lock */ }
    if (!this.#isPending) this.#release();
  }

  #release(): void {
    assert(!this.#isPending, "a descriptor stays open while a sync uses it");
    const { fd, lockedFd, mapping } = this.#parts;
    const undo = new Undo();
    undo.add(() => this.#system.close(fd));
    undo.add(() => this.#system.close(lockedFd));
    undo.add(() => mapping.close());
    undo.unwind();
  }

  #failed(error: unknown): RegionError {
    return this.#failure ??= asSyncError(error, this.path);
  }

  #mustBeOpen(): void {
    if (!this.#isOpen) {
      throw new TypeError("Cannot use a region that is closed");
    }
  }

  /** The pages of a range of bytes. */
  #pages(offset: number, length: number): { offset: number; lengthBytes: number } {
    this.#mustBeOpen();
    const { sizeBytes } = this.#parts;
    if (!(offset >= 0 && length >= 0 && offset + length <= sizeBytes)) {
      throw new RangeError(`Bytes ${offset} to ${offset + length} are not in a region of ${sizeBytes}`);
    }
    const { pageBytes } = this.#system;
    const start = offset - offset % pageBytes;
    return { offset: start, lengthBytes: offset + length - start };
  }
}
