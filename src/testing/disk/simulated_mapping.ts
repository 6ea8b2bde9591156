// A file of the simulated disk in memory.

import type { FileMemory } from "../../../ffi/file_memory.ts";
import { type Mapping, type MapRequest, SystemError } from "../../../ffi/system/system.ts";
import type { SimulatedDescriptors } from "./simulated_descriptors.ts";
import type { SimulatedFile } from "./simulated_file.ts";
import type { SimulatedProcess } from "./simulated_process.ts";
import type { SimulatedSyncs } from "./simulated_syncs.ts";

/** One process's mapping of a file. */
export class SimulatedMapping implements Mapping {
  readonly memory: FileMemory;
  readonly syncsRangeAside: boolean;
  readonly file: SimulatedFile;
  readonly #process: SimulatedProcess;
  readonly #syncs: SimulatedSyncs;
  readonly #descriptors: SimulatedDescriptors;
  readonly #request: MapRequest;
  readonly #path: string;
  readonly #unmap: () => void;

  /** @param unmap tells the process that this mapping has ended. */
  constructor(
    process: SimulatedProcess,
    syncs: SimulatedSyncs,
    descriptors: SimulatedDescriptors,
    request: MapRequest,
    unmap: (mapping: SimulatedMapping) => void,
  ) {
    const { node, path } = descriptors.file("mmap", request.fd);
    if (request.lengthBytes === 0) throw new SystemError("mmap", "EINVAL");
    this.file = node.file;
    this.memory = node.file.cache.map(request.lengthBytes);
    this.syncsRangeAside = !process.machine.settings.asyncUsesSpare;
    this.#process = process;
    this.#syncs = syncs;
    this.#descriptors = descriptors;
    this.#request = request;
    this.#path = path;
    this.#unmap = () => unmap(this);
  }

  sync(offset: number, lengthBytes: number): void {
    const description = this.#descriptors.file("msync", this.#request.fd);
    this.#check("msync", offset, lengthBytes);
    this.#syncs.sync("syncMapped", description, offset, lengthBytes);
  }

  syncAsync(offset: number, lengthBytes: number): Promise<void> {
    const { fd, spareFd } = this.#request;
    try {
      const description = this.#descriptors.file("msync", this.syncsRangeAside ? fd : spareFd);
      this.#check("msync", offset, lengthBytes);
      return this.syncsRangeAside
        ? this.#syncs.async("syncMappedAsync", description, offset, lengthBytes)
        : this.#syncs.async("syncMappedAsync", description, 0, description.node.file.sizeBytes);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  syncFile(): void {
    const description = this.#descriptors.file("fdatasync", this.#request.spareFd);
    this.#syncs.sync("syncData", description, 0, description.node.file.sizeBytes);
  }

  pageIn(offset: number, lengthBytes: number, before: "load" | "store"): void {
    // Pages need not be paged in for loads, so this is no step that can crash or fail.
    if (before === "load") return;
    this.#check("madvise", offset, lengthBytes);
    const { pageBytes } = this.#process.machine.settings;
    this.#process.step("populate", this.#path, () => {
      const pages = Math.ceil(this.file.sizeBytes / pageBytes);
      if (offset + lengthBytes > pages * pageBytes) throw new SystemError("madvise", "EFAULT");
      // A write fault makes the page dirty (Linux: fault_dirty_shared_page).
      this.file.touch(offset, lengthBytes);
    });
  }

  release(_offset: number, _lengthBytes: number, from: "process" | "kernel"): void {
    if (from === "process") return;
    const { path } = this.#descriptors.file("posix_fadvise", this.#request.fd);
    try {
      // Pages that are mapped stay in the page cache.
      this.#process.step("dropCache", path, () => {});
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
    }
  }

  close(): void {
    this.#check("munmap", 0, this.#request.lengthBytes);
    this.#process.step("unmap", this.#path, () => {
      this.#unmap();
      // It may have been detached before, and the file mapped anew since.
      this.memory.detach();
    });
  }

  #check(call: string, offset: number, lengthBytes: number): void {
    this.#process.mustRun();
    if (!(offset >= 0 && offset + lengthBytes <= this.#request.lengthBytes)) throw new SystemError(call, "ENOMEM");
    if (offset % this.#process.machine.settings.pageBytes !== 0) throw new SystemError(call, "EINVAL");
  }
}
