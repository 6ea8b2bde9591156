// How a buffer loses its memory.

/**
 * Takes a buffer's memory away: afterwards it has length 0, views read undefined, and a DataView
 * throws TypeError.
 */
export function detach(buffer: ArrayBuffer): void {
  (buffer as ArrayBuffer & { transfer(lengthBytes: number): ArrayBuffer })
    .transfer(0);
}
