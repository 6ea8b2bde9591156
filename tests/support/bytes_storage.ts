// A file that is an array of bytes, for tests that open ten thousands of damaged logs.

import { FileMemory } from "../../ffi/file_memory.ts";
import { type OpenRequest, type Region, RegionError, type Storage } from "../../ffi/region.ts";

/** A storage with one file, at whatever path. */
export class BytesStorage implements Storage {
  /** The file; null if there is none. Regions work on this very memory. */
  bytes: Uint8Array<ArrayBuffer> | null;

  constructor(bytes: Uint8Array<ArrayBuffer> | null = null) {
    this.bytes = bytes;
  }

  open(path: string, request: OpenRequest): Region {
    const created = this.bytes === null;
    if (this.bytes === null) {
      this.bytes = new Uint8Array(request.sizeBytes);
      this.bytes.set(request.initialBytes());
    }
    const { buffer, byteLength } = this.bytes;
    if (byteLength < request.minimumBytes) {
      throw new RegionError("TOO_SHORT", `Cannot open: ${byteLength} bytes`, { path });
    }
    return {
      memory: new FileMemory(buffer),
      path,
      created,
      fileSystem: { name: "bytes", durable: false },
      warnings: [],
      syncsRangeAside: false,
      sync: () => {},
      syncAsync: () => Promise.resolve(),
      pageIn: () => {},
      release: () => {},
      readable: () => new FileMemory(buffer.slice()),
      verify: () => {},
      replace() {
        throw new Error("not in this test");
      },
      close: () => {},
    };
  }

  write(): void {
    throw new Error("not in this test");
  }
}
