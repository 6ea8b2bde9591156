// The system calls of one simulated process, from its start to the crash that ends it.

import {
  type FileStatus,
  type Mapping,
  type PreparedPath,
  type System,
  SystemError,
} from "../../../ffi/system/system.ts";
import { type Fault, SimulatedCrash, type SystemCall, type TraceEntry } from "./fault_plan.ts";
import type { Random } from "../random.ts";
import type { Decide, PageImage, SimulatedFile, WriteEffect } from "./simulated_file.ts";
import type { FileNode, SimulatedNode, SimulatedTree } from "./simulated_tree.ts";

/** What a process needs of the machine it runs on. */
export interface SimulatedMachine {
  readonly tree: SimulatedTree;
  readonly random: Random;
  readonly settings: SystemSettings;
  /** Numbers a call and says what it meets. */
  enter(call: SystemCall, subject: string): { readonly entry: TraceEntry; readonly fault: Fault | null };
  newFile(): SimulatedFile;
  /** The process ends, and the machine with it. */
  halt(): void;
}

/** What kind of system it is. */
export interface SystemSettings {
  readonly pageBytes: number;
  readonly fileSystem: string;
  readonly noCopyOnWrite: boolean;
  readonly dropsCache: boolean;
  readonly asyncUsesSpare: boolean;
  /** Most turns of the microtask queue that an asynchronous sync takes; `"manual"`: until `finishAsync()`. */
  readonly asyncTicks: number | "manual";
}

/** An open file description. */
interface Description {
  readonly path: string;
  readonly node: FileNode;
  isOpen: boolean;
  /** The last write-back error that it has learned of. */
  errorSequence: number;
}

interface MappedRange {
  readonly file: SimulatedFile;
  readonly path: string;
  readonly address: number;
  readonly lengthBytes: number;
}

/** The C functions that errors name, as the real System does. */
const C_NAMES: Partial<Record<SystemCall, string>> = {
  realPath: "realpath",
  openOrCreate: "open",
  read: "pread",
  write: "pwrite",
  truncate: "ftruncate",
  allocate: "posix_fallocate",
  syncDirectory: "fsync",
  lock: "flock",
  unlock: "flock",
  fileSystem: "fstatfs",
  setNoCopyOnWrite: "ioctl",
  isNoCopyOnWrite: "ioctl",
  dropCache: "posix_fadvise",
  map: "mmap",
  unmap: "munmap",
  populate: "madvise",
  syncMapped: "msync",
  syncMappedAsync: "msync",
  "syncMappedAsync ends": "msync",
  fsyncAsync: "fsync",
  "fsyncAsync ends": "fsync",
  syncData: "fdatasync",
  preparePath: "statx",
  pathIs: "statx",
};

const DEVICE = 42n;
const MAX_MAPPING_BYTES = 2 ** 31;

/** Descriptors and addresses are never used twice, so that those of a dead process mean nothing. */
let nextDescriptor = 1000;
let nextAddress = 2 ** 30;

/** One process's system calls. Once it has crashed, each of them throws `SimulatedCrash`, for ever. */
export class SimulatedSystem implements System {
  readonly pageBytes: number;
  readonly maxMappingBytes: number = MAX_MAPPING_BYTES;
  readonly asyncUsesSpare: boolean;

  readonly #machine: SimulatedMachine;
  #crash: SimulatedCrash | null = null;
  readonly #descriptions = new Map<number, Description>();
  readonly #mappings = new Map<number, MappedRange>();
  readonly #locks = new Map<bigint, Description>();
  /** Asynchronous syncs that have begun. */
  readonly #pending: { readonly finish: () => void; readonly reject: (error: unknown) => void }[] = [];

  constructor(machine: SimulatedMachine) {
    this.#machine = machine;
    this.pageBytes = machine.settings.pageBytes;
    this.asyncUsesSpare = machine.settings.asyncUsesSpare;
  }

  /** Ends the process: views are detached, locks and descriptors gone, waiting calls rejected. */
  kill(message: string): void {
    if (this.#crash !== null) return;
    this.#crash = new SimulatedCrash(message);
    for (const { file } of this.#mappings.values()) file.detach();
    for (const { reject } of this.#pending.splice(0)) reject(this.#crash);
  }

  /** How many asynchronous syncs have begun and not ended. */
  get pendingAsync(): number {
    return this.#pending.length;
  }

  /** Descriptors and mappings that were not given back, for leak checks. */
  get openHandles(): { readonly descriptors: number; readonly mappings: number; readonly locks: number } {
    return { descriptors: this.#descriptions.size, mappings: this.#mappings.size, locks: this.#locks.size };
  }

  /** Ends the oldest asynchronous sync, or the one of that index. */
  finishAsync(index = 0): void {
    const [pending] = this.#pending.splice(index, 1);
    if (pending === undefined) throw new RangeError(`No asynchronous sync ${index} is pending`);
    pending.finish();
  }

  fileSizeLimit(): number {
    return Infinity;
  }

  realPath(path: string): string {
    return this.#step("realPath", path, () => {
      const place = this.#tree.walk("realpath", path, true);
      if (place.node === null) throw new SystemError("realpath", "ENOENT", path);
      return place.path;
    });
  }

  lstat(path: string): FileStatus | null {
    return this.#step("lstat", path, () => this.#look("lstat", path, false));
  }

  stat(path: string): FileStatus | null {
    return this.#step("stat", path, () => this.#look("stat", path, true));
  }

  fstat(fd: number): FileStatus {
    const { node, path } = this.#description("fstat", fd);
    return this.#step("fstat", path, () => status(node));
  }

  open(path: string): number {
    const open = () => {
      const { node } = this.#tree.walk("open", path, false);
      if (node === null) throw new SystemError("open", "ENOENT", path);
      return this.#describe(path, node);
    };
    return this.#step("open", path, open, undefined, (fd) => this.#descriptions.delete(fd));
  }

  openOrCreate(path: string): number {
    const open = () => {
      const place = this.#tree.walk("open", path, false);
      return this.#describe(path, place.node ?? this.#tree.makeFile(place, this.#machine.newFile()));
    };
    return this.#step("openOrCreate", path, open, undefined, (fd) => this.#descriptions.delete(fd));
  }

  read(fd: number, bytes: Uint8Array, offset: number): number {
    const { node, path } = this.#description("pread", fd);
    return this.#step("read", path, () => node.file.read(bytes, offset));
  }

  write(fd: number, bytes: Uint8Array, offset: number): void {
    const { node, path } = this.#description("pwrite", fd);
    const part = () => node.file.write(bytes.subarray(0, this.#machine.random.below(bytes.length)), offset);
    this.#step("write", path, () => node.file.write(bytes, offset), part);
  }

  truncate(fd: number, sizeBytes: number): void {
    const { node, path } = this.#description("ftruncate", fd);
    this.#step("truncate", path, () => node.file.resize(sizeBytes));
  }

  allocate(fd: number, sizeBytes: number): void {
    const { node, path } = this.#description("posix_fallocate", fd);
    const { file } = node;
    const grow = (bytes: number) => {
      if (bytes > file.sizeBytes) file.resize(bytes);
    };
    // A file system that runs full in the middle leaves what it had allocated.
    this.#step("allocate", path, () => grow(sizeBytes), () => grow(this.#machine.random.below(sizeBytes)));
  }

  fsync(fd: number): void {
    const description = this.#description("fsync", fd);
    this.#sync("fsync", description, 0, description.node.file.sizeBytes);
  }

  syncData(fd: number, _barrierOnly: boolean): void {
    const description = this.#description("fdatasync", fd);
    this.#sync("syncData", description, 0, description.node.file.sizeBytes);
  }

  syncMapped(fd: number, address: number, lengthBytes: number, _barrierOnly: boolean): void {
    const description = this.#description("msync", fd);
    const { offset } = this.#mapped("msync", address, lengthBytes);
    this.#sync("syncMapped", description, offset, lengthBytes);
  }

  syncDirectory(path: string): void {
    this.#step("syncDirectory", path, () => this.#tree.sync(path));
  }

  rename(from: string, to: string): void {
    this.#step("rename", to, () => this.#tree.rename(from, to));
  }

  link(from: string, to: string): void {
    this.#step("link", to, () => this.#tree.link(from, to));
  }

  unlink(path: string): void {
    this.#step("unlink", path, () => this.#tree.unlink(path));
  }

  close(fd: number): void {
    const description = this.#description("close", fd);
    // As on Linux, the descriptor is gone whatever close says.
    this.#descriptions.delete(fd);
    description.isOpen = false;
    this.#release(description);
    this.#step("close", description.path, () => {});
  }

  lock(fd: number): boolean {
    const description = this.#description("flock", fd);
    const lock = () => {
      const { inode } = description.node;
      const holder = this.#locks.get(inode);
      if (holder !== undefined && holder !== description) return false;
      this.#locks.set(inode, description);
      return true;
    };
    return this.#step("lock", description.path, lock, undefined, () => this.#release(description));
  }

  unlock(fd: number): void {
    const description = this.#description("flock", fd);
    this.#step("unlock", description.path, () => this.#release(description));
  }

  fileSystem(fd: number): string {
    const { path } = this.#description("fstatfs", fd);
    return this.#step("fileSystem", path, () => this.#machine.settings.fileSystem);
  }

  setNoCopyOnWrite(fd: number): boolean {
    const { path } = this.#description("ioctl", fd);
    return this.#step("setNoCopyOnWrite", path, () => this.#machine.settings.noCopyOnWrite);
  }

  isNoCopyOnWrite(fd: number): boolean {
    const { path } = this.#description("ioctl", fd);
    return this.#step("isNoCopyOnWrite", path, () => this.#machine.settings.noCopyOnWrite);
  }

  dropCache(fd: number): void {
    const { node, path } = this.#description("posix_fadvise", fd);
    this.#step("dropCache", path, () => {
      // Pages that are mapped stay.
      if (this.#machine.settings.dropsCache && !node.file.mapped) node.file.evict();
    });
  }

  /** An advice: nothing that a crash or a failure could tell. */
  readAhead(): void {}

  /** The same. */
  forget(): void {}

  /** The same. */
  populateForReading(): void {}

  map(fd: number, lengthBytes: number): Mapping {
    const { node, path } = this.#description("mmap", fd);
    const map = () => {
      if (lengthBytes === 0) throw new SystemError("mmap", "EINVAL");
      const buffer = node.file.map(lengthBytes);
      const address = nextAddress;
      nextAddress += (Math.ceil(lengthBytes / this.pageBytes) + 1) * this.pageBytes;
      this.#mappings.set(address, { file: node.file, path, address, lengthBytes });
      return { address, buffer };
    };
    return this.#step("map", path, map, undefined, ({ address }) => {
      this.#mappings.delete(address);
      node.file.detach();
    });
  }

  unmap(mapping: Mapping, lengthBytes: number): void {
    const { range } = this.#mapped("munmap", mapping.address, lengthBytes);
    this.#step("unmap", range.path, () => {
      this.#mappings.delete(mapping.address);
      // The buffer may have been detached before, and the file mapped anew since.
      if (mapping.buffer.byteLength > 0) range.file.detach();
    });
  }

  populate(address: number, lengthBytes: number): void {
    const { range, offset } = this.#mapped("madvise", address, lengthBytes);
    this.#step("populate", range.path, () => {
      const pages = Math.ceil(range.file.sizeBytes / this.pageBytes);
      if (offset + lengthBytes > pages * this.pageBytes) throw new SystemError("madvise", "EFAULT");
      // A write fault makes the page dirty (Linux: fault_dirty_shared_page).
      range.file.touch(offset, lengthBytes);
    });
  }

  syncMappedAsync(
    fd: number,
    spareFd: number,
    address: number,
    lengthBytes: number,
    _barrierOnly: boolean,
  ): Promise<void> {
    try {
      const description = this.#description("msync", this.asyncUsesSpare ? spareFd : fd);
      const { offset } = this.#mapped("msync", address, lengthBytes);
      // A spare descriptor is synced as a whole.
      return this.asyncUsesSpare
        ? this.#syncAsync("syncMappedAsync", description, 0, description.node.file.sizeBytes)
        : this.#syncAsync("syncMappedAsync", description, offset, lengthBytes);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  fsyncAsync(fd: number): Promise<void> {
    try {
      const description = this.#description("fsync", fd);
      return this.#syncAsync("fsyncAsync", description, 0, description.node.file.sizeBytes);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  syncDirectoryAsync(path: string): Promise<void> {
    return new Promise((resolve) => resolve(this.syncDirectory(path)));
  }

  preparePath(path: string): PreparedPath {
    let links = 0;
    return this.#step("preparePath", path, () => ({
      get links() {
        return links;
      },
      is: (device, inode, sizeBytes) =>
        this.#step("pathIs", path, () => {
          const found = this.#look("statx", path, true);
          links = found?.links ?? 0;
          return found !== null && found.device === device && found.inode === inode && found.sizeBytes === sizeBytes;
        }),
    }));
  }

  // Within.

  get #tree(): SimulatedTree {
    return this.#machine.tree;
  }

  #enter(call: SystemCall, subject: string): { readonly entry: TraceEntry; readonly fault: Fault | null } {
    if (this.#crash !== null) throw this.#crash;
    return this.#machine.enter(call, subject);
  }

  #crashIn(entry: TraceEntry): SimulatedCrash {
    entry.outcome = "crash";
    this.kill(`Simulated crash at step ${entry.step} (${entry.call} ${entry.subject})`);
    this.#machine.halt();
    return this.#crash!;
  }

  /**
   * Runs a call: as it is, failing, or with the crash that it meets.
   *
   * @param part what it does when it fails on the way.
   * @param takeBack what a call that fails in the end does not hand out.
   */
  #step<T>(call: SystemCall, subject: string, act: () => T, part?: () => void, takeBack?: (result: T) => void): T {
    const { entry, fault } = this.#enter(call, subject);
    if (fault === null) return this.#act(entry, act);
    if (fault.when === "during") part?.();
    if (fault.when === "after") {
      // What the call itself says no longer matters.
      try {
        const result = act();
        takeBack?.(result);
      } catch { /* the fault comes first */ }
    }
    if (fault.kind === "crash") throw this.#crashIn(entry);
    throw this.#failure(entry, fault.spec.errno, subject);
  }

  #act<T>(entry: TraceEntry, act: () => T): T {
    try {
      const result = act();
      if (typeof result === "boolean" || result === null) entry.outcome = String(result);
      return result;
    } catch (error) {
      entry.outcome = error instanceof SystemError ? error.errno : String(error);
      throw error;
    }
  }

  #failure(entry: TraceEntry, errno = "EIO", path?: string): SystemError {
    entry.outcome = errno;
    const name = entry.call as SystemCall;
    return new SystemError(C_NAMES[name] ?? name, errno, path);
  }

  #sync(call: SystemCall, description: Description, offset: number, length: number): void {
    const { file } = description.node;
    const { entry, fault } = this.#enter(call, description.path);
    const some: Decide = () => this.#machine.random.chance(0.5);
    if (fault?.kind === "crash") {
      if (fault.when === "during") file.failSync(offset, length, true, some);
      if (fault.when === "after") file.sync(offset, length);
      throw this.#crashIn(entry);
    }
    if (fault === null) file.sync(offset, length);
    else if ((fault.spec.effect ?? "error") !== "error") file.sync(offset, length, this.#effect(entry, fault));
    else {
      const { when, pages, errno } = fault.spec;
      if (when === "after") file.sync(offset, length);
      else file.failSync(offset, length, pages === "dirty", when === "during" ? some : () => false);
      recordError(file, errno);
    }
    this.#report(entry, description);
  }

  #effect(entry: TraceEntry, fault: Fault & { kind: "fail" }): WriteEffect {
    const { effect, byBytes = this.pageBytes } = fault.spec;
    entry.outcome = effect!;
    return effect === "misplaced" ? { kind: "misplaced", byBytes } : { kind: "lost" };
  }

  /** Throws the last write-back error if this description has not learned of it (Linux: file_check_and_advance_wb_err). */
  #report(entry: TraceEntry, description: Description): void {
    const { file } = description.node;
    if (description.errorSequence === file.errorSequence) return;
    description.errorSequence = file.errorSequence;
    file.errorSeen = true;
    throw this.#failure(entry, file.errorName, description.path);
  }

  #finishLater(finish: () => void): Promise<void> {
    const { settings, random } = this.#machine;
    return new Promise((resolve, reject) => {
      const pending = {
        reject,
        finish: () => {
          try {
            finish();
            resolve();
          } catch (error) {
            reject(error);
          }
        },
      };
      this.#pending.push(pending);
      if (settings.asyncTicks === "manual") return;
      let ticks = 1 + random.below(settings.asyncTicks);
      const turn = () => {
        const index = this.#pending.indexOf(pending);
        // A crash, or the test, has ended it.
        if (index < 0) return;
        if (--ticks > 0) queueMicrotask(turn);
        else this.finishAsync(index);
      };
      queueMicrotask(turn);
    });
  }

  #syncAsync(
    call: "syncMappedAsync" | "fsyncAsync",
    description: Description,
    offset: number,
    length: number,
  ): Promise<void> {
    const { file } = description.node;
    const { entry, fault } = this.#enter(call, description.path);
    if (fault?.kind === "crash" && fault.when === "before") throw this.#crashIn(entry);
    const images = file.beginSync(offset, length);
    if (fault?.kind === "crash") throw this.#crashIn(entry);
    entry.outcome = "begun";
    return this.#finishLater(() => this.#endAsync(`${call} ends`, description, images, fault));
  }

  #endAsync(
    call: "syncMappedAsync ends" | "fsyncAsync ends",
    description: Description,
    images: readonly PageImage[],
    begun: Fault | null,
  ): void {
    const { file } = description.node;
    const { entry, fault: atEnd } = this.#enter(call, description.path);
    const fault = atEnd ?? begun;
    if (fault?.kind === "crash") {
      if (fault.when === "after") file.finishSync(images);
      throw this.#crashIn(entry);
    }
    if (fault === null) file.finishSync(images);
    else if ((fault.spec.effect ?? "error") !== "error") file.finishSync(images, this.#effect(entry, fault));
    else {
      if (fault.when === "after") file.finishSync(images);
      else file.failQueued(images, fault.spec.pages === "dirty");
      recordError(file, fault.spec.errno);
    }
    this.#report(entry, description);
  }

  #look(call: string, path: string, follow: boolean): FileStatus | null {
    try {
      const { node } = this.#tree.walk(call, path, follow);
      return node === null ? null : status(node);
    } catch (error) {
      if (error instanceof SystemError && (error.errno === "ENOENT" || error.errno === "ENOTDIR")) return null;
      throw error;
    }
  }

  #describe(path: string, node: SimulatedNode): number {
    if (node.kind === "symlink") throw new SystemError("open", "ELOOP", path);
    if (node.kind === "directory") throw new SystemError("open", "EISDIR", path);
    const fd = nextDescriptor++;
    const { file } = node;
    // An error that no one has seen is still reported to who opens now (Linux: errseq_sample).
    const errorSequence = file.errorSeen ? file.errorSequence : file.errorSequence - 1;
    this.#descriptions.set(fd, { path, node, isOpen: true, errorSequence });
    return fd;
  }

  #description(call: string, fd: number): Description {
    if (this.#crash !== null) throw this.#crash;
    const description = this.#descriptions.get(fd);
    if (description === undefined) throw new SystemError(call, "EBADF");
    return description;
  }

  #mapped(call: string, address: number, lengthBytes: number): { range: MappedRange; offset: number } {
    if (this.#crash !== null) throw this.#crash;
    for (const range of this.#mappings.values()) {
      const offset = address - range.address;
      if (offset < 0 || offset + lengthBytes > range.lengthBytes) continue;
      if (offset % this.pageBytes !== 0) throw new SystemError(call, "EINVAL");
      return { range, offset };
    }
    throw new SystemError(call, "ENOMEM");
  }

  #release(description: Description): void {
    const { inode } = description.node;
    if (this.#locks.get(inode) === description) this.#locks.delete(inode);
  }
}

function status(node: SimulatedNode): FileStatus {
  const sizeBytes = node.kind === "file" ? node.file.sizeBytes : 0;
  return { kind: node.kind, device: DEVICE, inode: node.inode, links: node.links, sizeBytes };
}

function recordError(file: SimulatedFile, errno = "EIO"): void {
  file.errorSequence++;
  file.errorName = errno;
  file.errorSeen = false;
}
