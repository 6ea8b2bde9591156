// Bytes that are used for one message after another. New ones for each message would cost as much
// as all the rest of shipping it.

/** The most bytes that wait for the next message. */
const MOST_BYTES = 4 << 20;

/** Bytes of messages that are stored. */
export class Buffers {
  #free: Uint8Array<ArrayBuffer>[] = [];
  #bytes = 0;

  /** @param size how many bytes. Those that were used before keep what was in them. */
  take(size: number): Uint8Array<ArrayBuffer> {
    const free = this.#free.pop();
    if (free === undefined) return new Uint8Array(size);
    this.#bytes -= free.length;
    if (free.length === size) return free;
    // Messages of another size are coming now.
    this.#free = [];
    this.#bytes = 0;
    return new Uint8Array(size);
  }

  /** Nobody else may use the bytes from now on. */
  give(bytes: Uint8Array<ArrayBuffer>): void {
    const isWhole = bytes.length === bytes.buffer.byteLength;
    if (!isWhole || this.#bytes + bytes.length > MOST_BYTES) return;
    this.#free.push(bytes);
    this.#bytes += bytes.length;
  }
}
