// MappedFile, the real Region: check permission, lock, map, sync, detach, unmap.

import { createFile, locked, splitPath } from "./create.ts";
import { asRegionError, asSyncError, Undo } from "./failure.ts";
import { checkFileSystem } from "./file_system.ts";
import { detach } from "./libc.ts";
import { allowEverything, type Permissions } from "./permissions.ts";
import { type FileSystemInfo, type OpenRequest, type Region, RegionError, type Storage } from "./region.ts";
import type { Mapping, PreparedPath, System } from "./system.ts";

/** How much of a file's start a lock's owner is read from. */
const OWNER_BYTES = 8192;
/** How often the file at a path may change under an opening before that gives up. */
const ATTEMPTS = 20;

/**
 * Files mapped over a system.
 *
 * @param system calls, or how to get them once the permissions are known.
 */
export function mappedStorage(
  system: System | (() => System),
  permissions: Permissions = allowEverything,
): Storage {
  const get = typeof system === "function" ? system : () => system;
  return {
    open(path, request) {
      checkPath(path);
      requireAccess(permissions, path);
      return new Opening(get(), permissions, path, request).run();
    },
    write(path, chunks, sizeBytes, keepAs) {
      checkPath(path);
      requireAccess(permissions, path);
      if (keepAs !== undefined) {
        checkPath(keepAs);
        requireAccess(permissions, keepAs);
      }
      writeFile(get(), permissions, path, chunks, sizeBytes, keepAs);
    },
  };
}

function checkPath(path: string): void {
  if (path !== "" && !path.includes("\0") && !path.endsWith("/")) return;
  throw new RegionError(
    "NOT_A_FILE",
    `Cannot open ${JSON.stringify(path)}: this is no name of a file`,
    { path },
  );
}

function requireAccess(permissions: Permissions, path: string): void {
  permissions.require("read", path);
  permissions.require("write", path);
  permissions.requireFFI();
}

/** The directory of a path as the caller gave it. */
function directoryOf(path: string): string {
  return path.includes("/") ? splitPath(path).directory : ".";
}

/** Where a new file goes: its directory without symbolic links, then its name. */
function finalPath(
  system: System,
  permissions: Permissions,
  path: string,
): string {
  const directory = directoryOf(path);
  // The temporary name is beside the file.
  permissions.require("read", directory);
  permissions.require("write", directory);
  const real = system.realPath(directory);
  return `${real === "/" ? "" : real}/${splitPath(path).name}`;
}

function writeFile(
  system: System,
  permissions: Permissions,
  path: string,
  chunks: Iterable<Uint8Array>,
  sizeBytes: number,
  keepAs: string | undefined,
): void {
  let fd: number | null;
  try {
    const file = {
      path: finalPath(system, permissions, path),
      sizeBytes,
      chunks: () => chunks,
    };
    fd = createFile(
      system,
      keepAs === undefined ? file : { ...file, keepAs: finalPath(system, permissions, keepAs) },
    );
    if (fd !== null) system.close(fd);
  } catch (error) {
    throw asRegionError(error, "write", path);
  }
  if (fd !== null) return;
  const message = `Cannot write ${JSON.stringify(path)}: there is a file already`;
  throw new RegionError("IO", message, { path, errno: "EEXIST" });
}

/** One attempt to open a file, step by step; whatever fails, nothing stays open. */
class Opening {
  readonly #undo = new Undo();

  constructor(
    readonly system: System,
    readonly permissions: Permissions,
    readonly path: string,
    readonly request: OpenRequest,
  ) {}

  run(): Region {
    try {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const region = this.#attempt();
        if (region !== null) return region;
        this.#undo.run();
      }
    } catch (error) {
      this.#undo.run();
      throw asRegionError(error, "open", this.path);
    }
    throw locked(this.path, null);
  }

  /** Null if the file at the path changed meanwhile. */
  #attempt(): Region | null {
    const { system, path, request } = this;
    const found = system.stat(path);
    if (found !== null) {
      if (found.kind !== "file") {
        throw this.#failure("NOT_A_FILE", `it is ${KINDS[found.kind]}`);
      }
      return this.#finish(...this.#openExisting());
    }
    if (system.lstat(path) !== null) {
      throw this.#failure("NOT_A_FILE", "it is a dangling symbolic link");
    }
    if (!request.create) {
      throw this.#failure("NOT_FOUND", "there is no such file");
    }
    this.#checkSize(request.sizeBytes);
    const real = finalPath(system, this.permissions, path);
    const fd = createFile(system, {
      path: real,
      sizeBytes: request.sizeBytes,
      chunks: () => [request.initialBytes()],
      inspect: (fd) => checkFileSystem(system, fd, path, request.allowUnsafeFileSystem),
      ownerOf: (fd) => this.#ownerOf(fd),
    });
    if (fd === null) return null;
    this.#undo.add(() => system.close(fd));
    return this.#finish(fd, real, true);
  }

  #openExisting(): [fd: number, real: string, created: boolean] {
    const { system, path, permissions } = this;
    const real = system.realPath(path);
    // A permitted symbolic link must not lead out of what is permitted.
    if (real !== path) requireAccess(permissions, real);
    const fd = system.open(real);
    this.#undo.add(() => system.close(fd));
    if (!system.lock(fd)) throw locked(path, this.#ownerOf(fd));
    return [fd, real, false];
  }

  #finish(fd: number, real: string, created: boolean): Region | null {
    const { system, path, request } = this;
    // The lock is on an inode: it counts only if that is the one others find here.
    const status = system.fstat(fd);
    const prepared = system.preparePath(real);
    if (!prepared.is(status.device, status.inode, status.sizeBytes)) {
      return null;
    }
    const { sizeBytes } = status;
    const { info, warnings } = checkFileSystem(
      system,
      fd,
      path,
      request.allowUnsafeFileSystem,
    );
    if (sizeBytes < request.minimumBytes) {
      throw this.#failure(
        "TOO_SHORT",
        `it has ${sizeBytes} bytes, not ${request.minimumBytes} or more`,
      );
    }
    this.#checkSize(sizeBytes);
    if (!created) this.#settle(fd, real);
    system.dropCache(fd);

    const spareFd = system.open(real);
    this.#undo.add(() => system.close(spareFd));
    const spare = system.fstat(spareFd);
    if (spare.inode !== status.inode || spare.device !== status.device) {
      return null;
    }

    const mapping = system.map(fd, sizeBytes);
    this.#undo.add(() => system.unmap(mapping, sizeBytes));
    this.#checkMapping(fd, mapping, sizeBytes);
    return new MappedFile(system, {
      fd,
      spareFd,
      mapping,
      prepared,
      path: real,
      sizeBytes,
      device: status.device,
      inode: status.inode,
      created,
      info,
      warnings,
      barrierOnly: request.barrierOnly,
    });
  }

  /** Whoever made this file may have died before its name was durable. */
  #settle(fd: number, real: string): void {
    const { directory } = splitPath(real);
    this.system.fsync(fd);
    if (this.permissions.has("read", directory)) {
      this.system.syncDirectory(directory);
    }
  }

  /** A mapping that shows other bytes than the file would lose what is stored through it (H21). */
  #checkMapping(fd: number, mapping: Mapping, sizeBytes: number): void {
    const bytes = new Uint8Array(Math.min(this.system.pageBytes, sizeBytes));
    const count = this.system.read(fd, bytes, 0);
    const mapped = new Uint8Array(mapping.buffer, 0, count);
    if (
      count === bytes.length &&
      bytes.every((byte, index) => byte === mapped[index])
    ) return;
    throw this.#failure(
      "FILE_SYSTEM",
      "a mapping does not show the bytes of the file",
    );
  }

  #checkSize(sizeBytes: number): void {
    const { maxMappingBytes } = this.system;
    if (sizeBytes <= maxMappingBytes) return;
    throw this.#failure(
      "PLATFORM",
      `${sizeBytes} bytes are more than the ${maxMappingBytes} that this runtime can map`,
    );
  }

  #ownerOf(fd: number): number | null {
    const bytes = new Uint8Array(OWNER_BYTES);
    try {
      return this.request.readOwnerPid(
        bytes.subarray(0, this.system.read(fd, bytes, 0)),
      );
    } catch {
      return null;
    }
  }

  #failure(reason: RegionError["reason"], state: string): RegionError {
    return new RegionError(
      reason,
      `Cannot open ${JSON.stringify(this.path)}: ${state}`,
      { path: this.path },
    );
  }
}

const KINDS = {
  directory: "a directory",
  symlink: "a symbolic link",
  other: "neither a file nor a directory",
} as const;

interface Parts {
  readonly fd: number;
  /** A second open file description, with an error state of its own. */
  readonly spareFd: number;
  readonly mapping: Mapping;
  readonly prepared: PreparedPath;
  readonly path: string;
  readonly sizeBytes: number;
  readonly device: bigint;
  readonly inode: bigint;
  readonly created: boolean;
  readonly info: FileSystemInfo;
  readonly warnings: readonly string[];
  readonly barrierOnly: boolean;
}

/** A locked file in memory. */
class MappedFile implements Region {
  readonly buffer: ArrayBuffer;
  readonly path: string;
  readonly created: boolean;
  readonly fileSystem: FileSystemInfo;
  readonly warnings: readonly string[];
  readonly #system: System;
  readonly #parts: Parts;
  #isOpen = true;
  /** A `syncAsync()` has not settled: the mapping and both descriptors must stay. */
  #isPending = false;

  constructor(system: System, parts: Parts) {
    this.#system = system;
    this.#parts = parts;
    this.buffer = parts.mapping.buffer;
    this.path = parts.path;
    this.created = parts.created;
    this.fileSystem = parts.info;
    this.warnings = parts.warnings;
  }

  sync(offset: number, length: number): void {
    const { fd, spareFd, barrierOnly } = this.#parts;
    const range = this.#pages(offset, length);
    try {
      // The kernel reports a failed write-back once to each open file description: take the one that the pending sync
      // does not, so that neither swallows the other's error.
      if (this.#isPending && !this.#system.asyncUsesSpare) {
        this.#system.syncData(spareFd, barrierOnly);
      } else {this.#system.syncMapped(
          fd,
          range.address,
          range.lengthBytes,
          barrierOnly,
        );}
    } catch (error) {
      throw asSyncError(error, this.path);
    }
  }

  async syncAsync(offset: number, length: number): Promise<void> {
    const { fd, spareFd, barrierOnly } = this.#parts;
    const range = this.#pages(offset, length);
    if (this.#isPending) {
      throw new TypeError("Cannot sync a region twice at a time");
    }
    this.#isPending = true;
    try {
      await this.#system.syncMappedAsync(
        fd,
        spareFd,
        range.address,
        range.lengthBytes,
        barrierOnly,
      );
    } catch (error) {
      throw asSyncError(error, this.path);
    } finally {
      this.#isPending = false;
      if (!this.#isOpen) this.#release();
    }
  }

  prefault(offset: number, length: number): void {
    const range = this.#pages(offset, length);
    try {
      this.#system.populate(range.address, range.lengthBytes);
    } catch (error) {
      if (
        this.#system.fstat(this.#parts.fd).sizeBytes < this.#parts.sizeBytes
      ) throw this.#gone(error);
      const found = asRegionError(error, "prefault", this.path);
      // EFAULT: the file system has no block for a page.
      if (found.details.errno !== "EFAULT") throw found;
      throw new RegionError(
        "NO_SPACE",
        `Cannot prefault ${JSON.stringify(this.path)}: no space behind it`,
        found.details,
      );
    }
  }

  verify(): void {
    this.#check();
    const { prepared, device, inode, sizeBytes } = this.#parts;
    if (!prepared.is(device, inode, sizeBytes)) throw this.#gone();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // First of all, so that no view can reach the memory that goes (G9).
    detach(this.buffer);
    try {
      this.#system.unlock(this.#parts.fd);
    } catch { /* closing the descriptor gives the lock up too */ }
    if (!this.#isPending) this.#release();
  }

  #release(): void {
    const { fd, spareFd, mapping, sizeBytes } = this.#parts;
    const undo = new Undo();
    undo.add(() => this.#system.close(fd));
    undo.add(() => this.#system.close(spareFd));
    undo.add(() => this.#system.unmap(mapping, sizeBytes));
    undo.run();
  }

  #check(): void {
    if (!this.#isOpen) {
      throw new TypeError("Cannot use a region that is closed");
    }
  }

  /** The pages of a range of bytes. */
  #pages(
    offset: number,
    length: number,
  ): { address: number; lengthBytes: number } {
    this.#check();
    const { mapping, sizeBytes } = this.#parts;
    if (!(offset >= 0 && length >= 0 && offset + length <= sizeBytes)) {
      throw new RangeError(
        `Bytes ${offset} to ${offset + length} are not in a region of ${sizeBytes}`,
      );
    }
    const { pageBytes } = this.#system;
    const start = offset - offset % pageBytes;
    return {
      address: mapping.address + start,
      lengthBytes: offset + length - start,
    };
  }

  #gone(cause?: unknown): RegionError {
    const { path } = this;
    const message = `Cannot go on with ${JSON.stringify(path)}: it was deleted, replaced or cut while open`;
    return new RegionError(
      "GONE",
      message,
      cause === undefined ? { path } : { path, cause },
    );
  }
}
