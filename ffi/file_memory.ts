// The memory that holds a file: in a WebAssembly.Memory, so that JavaScript and the codec see the
// same bytes.

import { detach } from "./detach.ts";
import { RegionError } from "./region.ts";

/** The first bytes of every WebAssembly memory. They belong to the codec. */
export const CODEC_BYTES = 65536;
/** A page of WebAssembly. */
const PAGE_BYTES = 65536;
/** The longest WebAssembly memory. */
const MOST_BYTES = 65536 * PAGE_BYTES;

/** The longest file that fits, on pages of any size up to 64 KiB. */
export const MOST_FILE_BYTES: number = MOST_BYTES - CODEC_BYTES - PAGE_BYTES;

/** What a file that is mapped asks of its place in memory. */
export interface Alignment {
  /** The address of the file's first byte is a multiple of this, and so is the memory's length. */
  readonly pageBytes: number;
  /** The address of a buffer's first byte. */
  readonly addressOf: (buffer: ArrayBuffer) => number;
}

/** A file's bytes in memory. */
export class FileMemory {
  /**
   * The memory that the codec sees, with the file's first byte at `at`. Null if WebAssembly cannot
   * see the bytes. The codec then works on copies.
   */
  readonly memory: WebAssembly.Memory | null;
  /** The buffer of the whole memory. After `detach()` its length is 0. */
  readonly buffer: ArrayBuffer;
  /** Offset of the file's first byte in `buffer`; in `memory`, at least `CODEC_BYTES`. */
  readonly at: number;
  /** The file's size. It stays what it was after `detach()`. */
  readonly sizeBytes: number;

  /**
   * Makes a memory of zeros, or takes a buffer that is not WebAssembly's.
   *
   * @param of the file's size, or a buffer with the file's bytes.
   * @param alignment if a file will be mapped here.
   * @throws {RegionError} `NO_SPACE` if there is no memory left; `PLATFORM` if the file is too
   * long, or if the runtime has no WebAssembly.
   */
  constructor(of: number | ArrayBuffer, alignment?: Alignment) {
    if (typeof of !== "number") {
      this.memory = null;
      this.buffer = of;
      this.at = 0;
      this.sizeBytes = of.byteLength;
      return;
    }
    const pageBytes = alignment?.pageBytes ?? 1;
    this.memory = makeMemory(CODEC_BYTES + pageBytes - 1 + Math.ceil(of / pageBytes) * pageBytes, of);
    this.buffer = this.memory.buffer as ArrayBuffer;
    const lead = alignment === undefined ? 0 : (alignment.addressOf(this.buffer) + CODEC_BYTES) % pageBytes;
    this.at = CODEC_BYTES + (lead === 0 ? 0 : pageBytes - lead);
    this.sizeBytes = of;
  }

  /** The bytes of a part of the file, as they are. */
  bytes(offset = 0, length: number = this.sizeBytes - offset): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.buffer, this.at + offset, length);
  }

  /**
   * Takes the bytes away from every view. After that views have length 0, and a DataView throws a
   * TypeError. The bytes stay where they are until the memory is collected.
   */
  detach(): void {
    if (this.memory === null) detach(this.buffer);
    else if (this.buffer.byteLength > 0) this.memory.grow(0);
  }
}

function makeMemory(bytes: number, fileBytes: number): WebAssembly.Memory {
  if (!("WebAssembly" in globalThis)) {
    throw new RegionError("PLATFORM", "Cannot hold a file in memory: this runtime has no WebAssembly");
  }
  const pages = Math.ceil(bytes / PAGE_BYTES);
  if (pages > MOST_BYTES / PAGE_BYTES) {
    const limit = `more than the ${MOST_FILE_BYTES} that a WebAssembly memory can hold`;
    throw new RegionError("PLATFORM", `Cannot hold a file in memory: ${fileBytes} bytes are ${limit}`);
  }
  try {
    // With a maximum, V8 reserves no more addresses than this.
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch (cause) {
    const message = `Cannot hold a file in memory: there is no memory of ${bytes} bytes left`;
    throw new RegionError("NO_SPACE", message, { errno: "ENOMEM", cause });
  }
}
