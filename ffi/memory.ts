// A region without a file: plain memory of the runtime. It needs neither libc nor a permission.

import { detach } from "./detach.ts";
import type { Region } from "./region.ts";

/** Plain memory as a region. Nothing in it outlives the process, so its syncs do nothing. */
export function memoryRegion(sizeBytes: number): Region {
  const buffer = new ArrayBuffer(sizeBytes);
  let isOpen = true;
  const mustBeOpen = () => {
    if (!isOpen) throw new TypeError("Cannot use a region that is closed");
  };
  return {
    buffer,
    path: null,
    created: true,
    fileSystem: { name: "memory", durable: false },
    warnings: [],
    syncsRangeAside: false,
    sync: mustBeOpen,
    syncAsync: () => Promise.try(mustBeOpen),
    pageIn: mustBeOpen,
    release: mustBeOpen,
    readable: () => buffer.slice(),
    verify: mustBeOpen,
    replace() {
      throw new TypeError("Cannot replace a file where there is none");
    },
    close() {
      if (isOpen) detach(buffer);
      isOpen = false;
    },
  };
}
