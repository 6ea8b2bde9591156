// What programs see of a file: its bytes in memory, which a process may have mapped.

import { FileMemory } from "../../../ffi/file_memory.ts";
import { resized } from "./medium.ts";

/** The page cache of one file. */
export class PageCache {
  #bytes = new Uint8Array(0);
  #mapping: FileMemory | null = null;
  #sizeBytes = 0;

  /** The file's size, as programs see it. A mapping may be longer or shorter. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The end of the bytes that are in both the file and memory. */
  get end(): number {
    return Math.min(this.#sizeBytes, this.#bytes.length);
  }

  /** True while a mapping is handed out and not detached. */
  get isMapped(): boolean {
    return this.#mapping !== null;
  }

  /** Hands out the bytes as a mapping. A second mapping is the same memory. */
  map(lengthBytes: number): FileMemory {
    this.assertAttached();
    if (this.#mapping === null) {
      const mapping = new CacheMemory(lengthBytes, (memory) => {
        if (this.#mapping === memory) this.detach();
      });
      const bytes = mapping.bytes();
      bytes.set(this.#bytes.subarray(0, lengthBytes));
      this.#bytes = bytes;
      this.#mapping = mapping;
    }
    if (this.#mapping.sizeBytes !== lengthBytes) {
      throw new Error("Outside the fault model: two mappings of one file at a time, of different lengths");
    }
    return this.#mapping;
  }

  /**
   * Detaches the mapping, as the end of its process does: no stale view can reach the page cache
   * any more.
   */
  detach(): void {
    if (this.#mapping === null) return;
    this.assertAttached();
    const mapping = this.#mapping;
    // What lay past the end of the file was never part of it.
    this.#bytes = resized(this.#bytes.slice(), this.#sizeBytes);
    this.#mapping = null;
    mapping.bytes().fill(0);
    mapping.detach();
    mapping.recycle();
  }

  assertAttached(): void {
    if (this.#mapping !== null && this.#mapping.buffer.byteLength === 0) {
      throw new Error("The mapping was detached past FileMemory.detach(), which the simulated disk cannot follow");
    }
  }

  /** Cuts or grows the file. A mapping keeps its length: bytes past the end then read as zeros. */
  resize(sizeBytes: number): void {
    if (this.#mapping === null) this.#bytes = resized(this.#bytes, sizeBytes);
    else if (sizeBytes < this.#sizeBytes) this.#bytes.fill(0, sizeBytes, this.#sizeBytes);
    this.#sizeBytes = sizeBytes;
  }

  /** Reads up to `bytes.length` bytes; returns how many there were. */
  read(bytes: Uint8Array, offset: number): number {
    const count = Math.max(0, Math.min(bytes.length, this.#sizeBytes - offset));
    bytes.fill(0, 0, count);
    bytes.set(this.view(offset, offset + count), 0);
    return count;
  }

  /** Writes within the file. */
  write(bytes: Uint8Array, offset: number): void {
    if (offset + bytes.length > this.#bytes.length) {
      throw new Error("Outside the fault model: a write past the end of a file's mapping");
    }
    this.#bytes.set(bytes, offset);
  }

  /** The bytes of a range as they are, not a copy. */
  view(start: number, end: number): Uint8Array {
    return this.#bytes.subarray(start, end);
  }

  /** A copy of the file. */
  image(): Uint8Array<ArrayBuffer> {
    this.assertAttached();
    return resized(this.#bytes.slice(), this.#sizeBytes);
  }

  /** The file is these bytes, and no process has mapped it. */
  load(bytes: Uint8Array<ArrayBuffer>): void {
    this.detach();
    this.#bytes = bytes;
    this.#sizeBytes = bytes.length;
  }
}

/** The memory of a mapping. Whoever detaches it must not take the page cache with it. */
class CacheMemory extends FileMemory {
  readonly #beforeDetach: (memory: FileMemory) => void;

  constructor(sizeBytes: number, beforeDetach: (memory: FileMemory) => void) {
    super(sizeBytes);
    this.#beforeDetach = beforeDetach;
  }

  override detach(): void {
    this.#beforeDetach(this);
    super.detach();
  }
}
