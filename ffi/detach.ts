// Detaches a buffer from its memory.

/**
 * Takes a buffer's memory away. After that the buffer's length is 0, views read undefined, and a
 * DataView throws a TypeError.
 */
export function detach(buffer: ArrayBuffer): void {
  (buffer as ArrayBuffer & { transfer(lengthBytes: number): ArrayBuffer })
    .transfer(0);
}
