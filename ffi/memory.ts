// A region without a file: zeroed memory of the runtime's own, without libc and without a
// permission.

import { detach } from "./detach.ts";
import type { Region } from "./region.ts";

/**
 * Anonymous memory behind the interface of a file. Nothing in it outlives the process; its syncs
 * have nothing to do.
 */
export function memoryRegion(sizeBytes: number): Region {
  const buffer = new ArrayBuffer(sizeBytes);
  let isOpen = true;
  const check = () => {
    if (!isOpen) throw new TypeError("Cannot use a region that is closed");
  };
  return {
    buffer,
    path: null,
    created: true,
    fileSystem: { name: "memory", durable: false },
    warnings: [],
    syncsRangeAside: false,
    sync: check,
    syncAsync: () => Promise.try(check),
    pageIn: check,
    release: check,
    readable: () => buffer.slice(),
    verify: check,
    replace() {
      throw new TypeError("Cannot replace a file where there is none");
    },
    close() {
      if (isOpen) detach(buffer);
      isOpen = false;
    },
  };
}
