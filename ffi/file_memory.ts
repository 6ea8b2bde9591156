// The memory that holds a file: in a WebAssembly.Memory, so that JavaScript and the codec see the
// same bytes.

import { assert } from "./assert.ts";
import { detach } from "./detach.ts";
import { RegionError } from "./region.ts";
import { runtime, RUNTIMES } from "./runtime.ts";

/** The first bytes of every WebAssembly memory. They belong to the codec. */
export const CODEC_BYTES = 65536;
/** A page of WebAssembly. */
const PAGE_BYTES = 65536;
/** The longest WebAssembly memory: 4 GiB. */
const MOST_PAGES = 65536;

/**
 * How many WebAssembly memories there may be. With more than eight in a process, JavaScriptCore
 * collects all garbage before it makes another, which takes milliseconds or more. The program needs
 * some of the eight.
 */
const MOST_MEMORIES = runtime === "bun" ? 4 : Infinity;
/** How many memories of closed logs are kept. */
const MOST_FREE = 4;
/** Longer memories are not kept, because an engine counts all of a memory as used. */
const MOST_FREE_BYTES = 256 * 1024 * 1024;

/** Memories that can be used again. After the codec's part they hold zeros, and no file. */
const free: WebAssembly.Memory[] = [];
/** Memories that are not collected yet. */
let made: WeakRef<WebAssembly.Memory>[] = [];

/** A part of a WebAssembly memory. */
interface Place {
  readonly memory: WebAssembly.Memory;
  readonly at: number;
}

/**
 * A file's bytes in memory.
 *
 * @example The memory of a region, in a storage of one's own
 * ```ts
 * import { FileMemory } from "@cidstore/wal";
 *
 * const memory = new FileMemory(65_536); // zeros
 * memory.bytes().set(Uint8Array.of(1, 2, 3)); // what was read from the file
 * console.log(memory.bytes(0, 3)); // Uint8Array(3) [1, 2, 3]
 * memory.detach(); // when the region is closed
 * ```
 */
export class FileMemory {
  /**
   * The memory that the codec sees, with the file's first byte at `at`. Null if WebAssembly cannot
   * see the bytes, because the file is too long or the engine has no such memory left. The codec
   * then works on copies.
   */
  readonly memory: WebAssembly.Memory | null;
  /** The buffer of the whole memory. After `detach()` its length is 0. */
  readonly buffer: ArrayBuffer;
  /** Offset of the file's first byte in `buffer`; in `memory`, at least `CODEC_BYTES`. */
  readonly at: number;
  /** The file's size. It stays what it was after `detach()`. */
  readonly sizeBytes: number;
  #isRecycled = false;

  /**
   * Makes a memory of zeros, or takes a buffer with a file's bytes.
   *
   * @param of the file's size, or the buffer.
   * @param place where the file is, if a memory was taken for it.
   * @throws {RegionError} `NO_SPACE` if there is no memory left; `PLATFORM` if the runtime has no
   * WebAssembly.
   */
  constructor(of: number | ArrayBuffer, place?: Place) {
    if (typeof of === "number") {
      const memory = place?.memory ?? takeMemory(CODEC_BYTES + of);
      this.memory = memory;
      this.buffer = memory === null ? makeBuffer(of) : memory.buffer as ArrayBuffer;
      this.at = place?.at ?? (memory === null ? 0 : CODEC_BYTES);
      this.sizeBytes = of;
    } else {
      this.memory = null;
      this.buffer = of;
      this.at = 0;
      this.sizeBytes = of.byteLength;
    }
  }

  /**
   * Takes a memory into which a file can be mapped: a page begins at the file's first byte, and all
   * of its last page is in the memory. Null if WebAssembly cannot see the bytes.
   *
   * @param addressOf the address of a buffer's first byte.
   * @throws {RegionError} as the constructor.
   */
  static toMap(sizeBytes: number, pageBytes: number, addressOf: (buffer: ArrayBuffer) => number): FileMemory | null {
    const pagesBytes = Math.ceil(sizeBytes / pageBytes) * pageBytes;
    const memory = takeMemory(CODEC_BYTES + pageBytes - 1 + pagesBytes);
    if (memory === null) return null;
    const over = (addressOf(memory.buffer as ArrayBuffer) + CODEC_BYTES) % pageBytes;
    return new FileMemory(sizeBytes, { memory, at: CODEC_BYTES + (over === 0 ? 0 : pageBytes - over) });
  }

  /** The bytes of a part of the file, as they are. */
  bytes(offset = 0, length: number = this.sizeBytes - offset): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.buffer, this.at + offset, length);
  }

  /**
   * Takes the bytes away from every view. After that views have length 0, and a DataView throws a
   * TypeError. The bytes stay where they are until the memory is used again or collected.
   */
  detach(): void {
    if (this.buffer.byteLength === 0) return;
    if (this.memory === null) detach(this.buffer);
    else this.memory.grow(0);
  }

  /** Offers the memory to later files. It is detached, and all of the file's bytes are zeros. */
  recycle(): void {
    assert(this.buffer.byteLength === 0, "a memory is used again after its views are detached");
    const { memory } = this;
    const isWanted = memory !== null && free.length < MOST_FREE && memory.buffer.byteLength <= MOST_FREE_BYTES;
    if (isWanted && !this.#isRecycled) free.push(memory);
    this.#isRecycled = true;
  }
}

/** A memory of zeros; null if it would be too long, or if there are enough memories already. */
function takeMemory(bytes: number): WebAssembly.Memory | null {
  if (!("WebAssembly" in globalThis)) {
    throw new RegionError("PLATFORM", "Cannot hold a file in memory: this runtime has no WebAssembly");
  }
  // Node 20 does not have all the JavaScript that a log uses.
  if (!("withResolvers" in Promise)) {
    throw new RegionError("PLATFORM", `Cannot hold a file in memory: this runtime is too old; use ${RUNTIMES}`);
  }
  const pages = Math.ceil(bytes / PAGE_BYTES);
  if (pages > MOST_PAGES) return null;
  const index = free.findIndex(({ buffer }) => buffer.byteLength >= pages * PAGE_BYTES);
  if (index >= 0) return free.splice(index, 1)[0]!;
  if (made.length >= MOST_MEMORIES) {
    // One that is too short makes room for a longer one.
    const dropped = free.shift();
    made = made.filter((ref) => ref.deref() !== undefined && ref.deref() !== dropped);
    if (made.length >= MOST_MEMORIES) return null;
  }
  try {
    // With a maximum, V8 reserves no more addresses than this on Deno. On Node it adds gigabytes of
    // addresses as a guard, which take no memory.
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    if (MOST_MEMORIES < Infinity) made.push(new WeakRef(memory));
    return memory;
  } catch {
    return null;
  }
}

function makeBuffer(bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch (cause) {
    const message = `Cannot hold a file in memory: there is no memory of ${bytes} bytes left`;
    throw new RegionError("NO_SPACE", message, { errno: "ENOMEM", cause });
  }
}
