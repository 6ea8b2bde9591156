// A region without a file: plain memory of the runtime. It needs neither libc nor a permission.

import { FileMemory } from "./file_memory.ts";
import type { Region } from "./region.ts";

/** Longer memories are left to the collector, because clearing them takes longer. */
const MOST_CLEARED = 1024 * 1024;

/**
 * Plain memory as a region. Nothing in it outlives the process, so its syncs do nothing.
 *
 * @param chunks the first bytes; zeros follow.
 */
export function memoryRegion(sizeBytes: number, chunks: Iterable<Uint8Array> = []): Region {
  const memory = new FileMemory(sizeBytes);
  fill(memory, chunks);
  let isOpen = true;
  const mustBeOpen = () => {
    if (!isOpen) throw new TypeError("Cannot use a region that is closed");
  };
  return {
    memory,
    path: null,
    created: true,
    fileSystem: { name: "memory", durable: false },
    warnings: [],
    syncsRangeAside: false,
    sync: mustBeOpen,
    syncAsync: () => new Promise((resolve) => resolve(mustBeOpen())),
    pageIn: mustBeOpen,
    release: mustBeOpen,
    readable() {
      const copy = new FileMemory(sizeBytes);
      copy.bytes().set(memory.bytes());
      return copy;
    },
    verify: mustBeOpen,
    replace(chunks, sizeBytes) {
      mustBeOpen();
      return memoryRegion(sizeBytes, chunks);
    },
    close() {
      if (!isOpen) return;
      isOpen = false;
      if (sizeBytes <= MOST_CLEARED) memory.bytes().fill(0);
      memory.detach();
      if (sizeBytes <= MOST_CLEARED) memory.recycle();
    },
  };
}

function fill(memory: FileMemory, chunks: Iterable<Uint8Array>): void {
  let offset = 0;
  for (const chunk of chunks) {
    memory.bytes(offset, chunk.length).set(chunk);
    offset += chunk.length;
  }
}
