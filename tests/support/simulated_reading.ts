// What another process that only reads sees of a simulated disk: the page cache, at any moment.

import type { PathState, ReadableFile, ReadingSystem } from "../../ffi/readable_file.ts";
import { RegionError } from "../../ffi/region.ts";
import { nodeAt, type SimulatedDisk } from "../../src/testing/disk/simulated_disk.ts";
import type { FileNode } from "../../src/testing/disk/simulated_tree.ts";

/** Reads the files of a disk beside the process that writes them. No call of it is traced. */
export function simulatedReading(disk: SimulatedDisk): ReadingSystem {
  const openIfThere = (path: string): ReadableFile | null => {
    const node = nodeAt(disk, path);
    return node?.kind === "file" ? new SimulatedReadableFile(disk, path, node) : null;
  };
  const open = (path: string): ReadableFile => {
    const file = openIfThere(path);
    if (file === null) throw new RegionError("NOT_FOUND", `There is no file at ${path}`, { path });
    return file;
  };
  return { open, openIfThere, watch: () => null };
}

class SimulatedReadableFile implements ReadableFile {
  readonly path: string;
  readonly owner = 0;
  readonly #disk: SimulatedDisk;
  readonly #node: FileNode;

  constructor(disk: SimulatedDisk, path: string, node: FileNode) {
    this.#disk = disk;
    this.path = path;
    this.#node = node;
  }

  get sizeBytes(): number {
    return this.#node.file.sizeBytes;
  }

  read(offset: number, into: Uint8Array): number {
    return this.#node.file.cache.read(into, offset);
  }

  size(): number {
    return this.sizeBytes;
  }

  fileSystem(): string | null {
    return null;
  }

  pathState(): PathState {
    const node = nodeAt(this.#disk, this.path);
    if (node === null) return "missing";
    return node === this.#node ? "same" : "other";
  }

  close(): void {}
}
