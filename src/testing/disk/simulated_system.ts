// The system calls of one simulated process.

import {
  type FileStatus,
  type Mapping,
  type MapRequest,
  type System,
  SystemError,
  type WatchedPath,
} from "../../../ffi/system/system.ts";
import { type Description, SimulatedDescriptors } from "./simulated_descriptors.ts";
import { SimulatedMapping } from "./simulated_mapping.ts";
import { type SimulatedMachine, SimulatedProcess } from "./simulated_process.ts";
import { SimulatedSyncs } from "./simulated_syncs.ts";
import type { SimulatedNode, SimulatedTree } from "./simulated_tree.ts";

const DEVICE = 42n;
const MAX_MAPPING_BYTES = 2 ** 31;

/**
 * One process's system calls. Once it has crashed, each of them throws `SimulatedCrash`, for ever.
 */
export class SimulatedSystem implements System {
  readonly pageBytes: number;
  readonly maxMappingBytes: number = MAX_MAPPING_BYTES;
  readonly fileSizeLimit: number = Infinity;
  /** The process that calls. */
  readonly process: SimulatedProcess;
  /** Its syncs. */
  readonly syncs: SimulatedSyncs;
  readonly #descriptors: SimulatedDescriptors;
  readonly #mappings = new Set<SimulatedMapping>();

  constructor(machine: SimulatedMachine) {
    this.pageBytes = machine.settings.pageBytes;
    this.process = new SimulatedProcess(machine);
    this.process.atEnd(() => {
      for (const { file } of this.#mappings) file.cache.detach();
    });
    this.syncs = new SimulatedSyncs(this.process);
    this.#descriptors = new SimulatedDescriptors(this.process);
  }

  /** Descriptors, mappings and locks that were not given back, for leak checks. */
  get openHandles(): { readonly descriptors: number; readonly mappings: number; readonly locks: number } {
    return { ...this.#descriptors.counts, mappings: this.#mappings.size };
  }

  realPath(path: string): string {
    return this.process.step("realPath", path, () => {
      const place = this.#tree.walk("realpath", path, true);
      if (place.node === null) throw new SystemError("realpath", "ENOENT", path);
      return place.path;
    });
  }

  lstat(path: string): FileStatus | null {
    return this.process.step("lstat", path, () => this.#statusAt("lstat", path, false));
  }

  stat(path: string): FileStatus | null {
    return this.process.step("stat", path, () => this.#statusAt("stat", path, true));
  }

  fstat(fd: number): FileStatus {
    const { node, path } = this.#file("fstat", fd);
    return this.process.step("fstat", path, () => status(node));
  }

  watch(path: string): WatchedPath {
    let links = 0;
    return this.process.step("preparePath", path, () => ({
      get links() {
        return links;
      },
      is: (device, inode, sizeBytes) =>
        this.process.step("pathIs", path, () => {
          const found = this.#statusAt("statx", path, true);
          links = found?.links ?? 0;
          return found !== null && found.device === device && found.inode === inode && found.sizeBytes === sizeBytes;
        }),
    }));
  }

  open(path: string, what: "file" | "create" | "directory"): number {
    if (what === "directory") return this.#descriptors.openDirectory(path);
    const open = () => {
      const place = this.#tree.walk("open", path, false);
      if (place.node === null && what === "file") throw new SystemError("open", "ENOENT", path);
      const node = place.node ?? this.#tree.makeFile(place, this.process.machine.newFile());
      return this.#descriptors.openFile(path, node);
    };
    const call = what === "file" ? "open" : "openOrCreate";
    return this.process.step(call, path, open, undefined, (fd) => this.#descriptors.forget(fd));
  }

  close(fd: number): void {
    if (this.#descriptors.directory(fd) !== null) return this.#descriptors.forget(fd);
    const { path } = this.#descriptors.file("close", fd);
    this.#descriptors.forget(fd);
    this.process.step("close", path, () => {});
  }

  read(fd: number, bytes: Uint8Array, offset: number): number {
    const { node, path } = this.#file("pread", fd);
    return this.process.step("read", path, () => node.file.cache.read(bytes, offset));
  }

  write(fd: number, bytes: Uint8Array, offset: number): void {
    const { node, path } = this.#file("pwrite", fd);
    const part = () => node.file.write(bytes.subarray(0, this.process.machine.random.below(bytes.length)), offset);
    this.process.step("write", path, () => node.file.write(bytes, offset), part);
  }

  truncate(fd: number, sizeBytes: number): void {
    const { node, path } = this.#file("ftruncate", fd);
    this.process.step("truncate", path, () => node.file.resize(sizeBytes));
  }

  allocate(fd: number, sizeBytes: number): void {
    const { node, path } = this.#file("posix_fallocate", fd);
    const { file } = node;
    const grow = (bytes: number) => {
      if (bytes > file.sizeBytes) file.resize(bytes);
    };
    // A file system that runs full in the middle leaves what it had allocated.
    this.process.step(
      "allocate",
      path,
      () => grow(sizeBytes),
      () => grow(this.process.machine.random.below(sizeBytes)),
    );
  }

  fsync(fd: number): void {
    const directory = this.#descriptors.directory(fd);
    if (directory !== null) this.process.step("syncDirectory", directory, () => this.#tree.sync(directory));
    else {
      const description = this.#file("fsync", fd);
      this.syncs.sync("fsync", description, 0, description.node.file.sizeBytes);
    }
  }

  fsyncAsync(fd: number): Promise<void> {
    try {
      if (this.#descriptors.directory(fd) !== null) return Promise.resolve(this.fsync(fd));
      const description = this.#file("fsync", fd);
      return this.syncs.async("fsyncAsync", description, 0, description.node.file.sizeBytes);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  dropCache(fd: number): void {
    const { node, path } = this.#file("posix_fadvise", fd);
    this.process.step("dropCache", path, () => {
      // Pages that are mapped stay.
      if (this.process.machine.settings.dropsCache && !node.file.cache.isMapped) node.file.evict();
    });
  }

  map(request: MapRequest): Mapping {
    const { path } = this.#file("mmap", request.fd);
    const forget = (mapping: SimulatedMapping) => this.#mappings.delete(mapping);
    const map = () => {
      const mapping = new SimulatedMapping(this.process, this.syncs, this.#descriptors, request, forget);
      this.#mappings.add(mapping);
      return mapping;
    };
    return this.process.step("map", path, map, undefined, (mapping) => {
      forget(mapping);
      mapping.file.cache.detach();
    });
  }

  rename(from: string, to: string): void {
    this.process.step("rename", to, () => this.#tree.rename(from, to));
  }

  link(from: string, to: string): void {
    this.process.step("link", to, () => this.#tree.link(from, to));
  }

  unlink(path: string): void {
    this.process.step("unlink", path, () => this.#tree.unlink(path));
  }

  lock(fd: number): boolean {
    const description = this.#file("flock", fd);
    const { path } = description;
    const lock = () => this.#descriptors.lock(description);
    return this.process.step("lock", path, lock, undefined, () => this.#descriptors.unlock(description));
  }

  unlock(fd: number): void {
    const description = this.#file("flock", fd);
    this.process.step("unlock", description.path, () => this.#descriptors.unlock(description));
  }

  fileSystem(fd: number): string {
    const { path } = this.#file("fstatfs", fd);
    return this.process.step("fileSystem", path, () => this.process.machine.settings.fileSystem);
  }

  noCopyOnWrite(fd: number, action: "set" | "get"): boolean {
    const { path } = this.#file("ioctl", fd);
    const call = action === "set" ? "setNoCopyOnWrite" : "isNoCopyOnWrite";
    return this.process.step(call, path, () => this.process.machine.settings.noCopyOnWrite);
  }

  get #tree(): SimulatedTree {
    return this.process.machine.tree;
  }

  #file(call: string, fd: number): Description {
    return this.#descriptors.file(call, fd);
  }

  #statusAt(call: string, path: string, follow: boolean): FileStatus | null {
    try {
      const { node } = this.#tree.walk(call, path, follow);
      return node === null ? null : status(node);
    } catch (error) {
      if (error instanceof SystemError && (error.errno === "ENOENT" || error.errno === "ENOTDIR")) return null;
      throw error;
    }
  }
}

function status(node: SimulatedNode): FileStatus {
  const sizeBytes = node.kind === "file" ? node.file.sizeBytes : 0;
  return { kind: node.kind, device: DEVICE, inode: node.inode, links: node.links, sizeBytes };
}
