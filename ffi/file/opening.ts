// Opens one file as a region: check kind and file system, lock, map.

import { Buffer } from "node:buffer";
import { createFile, locked, type NewFile, type OldFile, temporaryPath } from "./creation.ts";
import { directorySync, splitPath } from "./directory.ts";
import { asRegionError, gone, Undo } from "./failure.ts";
import { checkFileSystem } from "./file_systems.ts";
import { MappedFile } from "./mapped_file.ts";
import { checkPath, finalPath, requireAccess } from "./path_access.ts";
import type { Permissions } from "./permissions.ts";
import { type OpenRequest, REFRESH_BYTES, type Region, RegionError } from "../region.ts";
import { type FileStatus, type Mapping, type System, SystemError } from "../system/system.ts";

/** No crash of ours leaves this. */
const EMPTY = "it is empty, it has 0 bytes: another program made it, or its bytes are lost; remove it, and open again";
/** How much of a file's start a lock's owner is read from. */
const OWNER_BYTES = 8192;
/** How far into a file a page is looked for that can be read. */
const LOOKED_AT_BYTES = 65536;
/** How often the file at a path may change under an opening before that gives up. */
const ATTEMPTS = 20;

/**
 * Where the file of an opening comes from: it was there, it was made, or it was made in the place
 * of another.
 */
type Origin = "found" | "made" | "replaced";

/** One attempt to open a file, step by step; whatever fails, nothing stays open. */
export class Opening {
  readonly #undo = new Undo();
  readonly system: System;
  readonly permissions: Permissions;
  readonly path: string;
  readonly request: OpenRequest;

  constructor(system: System, permissions: Permissions, path: string, request: OpenRequest) {
    this.system = system;
    this.permissions = permissions;
    this.path = path;
    this.request = request;
  }

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
      if (found.kind !== "file") throw this.#failure("NOT_A_FILE", `it is ${KINDS[found.kind]}`);
      return this.#finish(...this.#openExisting());
    }
    const entry = system.lstat(path);
    if (entry?.kind === "symlink") throw this.#failure("NOT_A_FILE", "it is a dangling symbolic link");
    // Made between the two looks.
    if (entry !== null) return null;
    if (!request.create) throw this.#failure("NOT_FOUND", "there is no such file");
    const real = finalPath(system, this.permissions, path);
    const fd = this.#create(real, request.sizeBytes, () => [request.initialBytes()]);
    return fd === null ? null : this.#finish(fd, real, "made");
  }

  /** Opens a new file in the place of one that is open, and locked until this is done. */
  replace(old: OldFile, chunks: Iterable<Uint8Array>, sizeBytes: number): Region {
    const { system, permissions, path } = this;
    try {
      checkPath(old.keepAs);
      requireAccess(permissions, old.keepAs);
      const keepAs = finalPath(system, permissions, old.keepAs);
      const fd = this.#create(path, sizeBytes, () => chunks, { ...old, keepAs });
      const region = fd === null ? null : this.#finish(fd, path, "replaced");
      if (region === null) throw gone(path);
      return region;
    } catch (error) {
      this.#undo.run();
      throw asRegionError(error, "replace", path);
    }
  }

  #create(real: string, sizeBytes: number, chunks: NewFile["chunks"], replaces?: OldFile): number | null {
    const { system, path, request } = this;
    this.#checkSize(sizeBytes);
    const fd = createFile(system, {
      path: real,
      sizeBytes,
      chunks,
      replaces,
      inspect: (fd) => checkFileSystem(system, fd, path, request.allowUnsafeFileSystem),
      ownerOf: (fd) => this.#ownerOf(fd),
    });
    if (fd !== null) this.#undo.add(() => system.close(fd));
    return fd;
  }

  #openExisting(): [fd: number, real: string, origin: Origin] {
    const { system, path, permissions } = this;
    const real = system.realPath(path);
    // A permitted symbolic link must not lead out of what is permitted.
    if (real !== path) requireAccess(permissions, real);
    const fd = system.open(real, "file");
    this.#undo.add(() => system.close(fd));
    if (!system.lock(fd)) throw locked(path, this.#ownerOf(fd));
    return [fd, real, "found"];
  }

  #finish(fd: number, real: string, origin: Origin): Region | null {
    const { system, path, request } = this;
    // The lock is on an inode: it counts only if that is the one others find here. From now on none
    // but us may replace it.
    let status = system.fstat(fd);
    if (status.links > 1 && this.#dropTemporaryName(real, status)) status = system.fstat(fd);
    const watched = system.watch(real);
    if (!watched.is(status.device, status.inode, status.sizeBytes)) {
      return null;
    }
    const { sizeBytes } = status;
    const { info, warnings } = checkFileSystem(system, fd, path, request.allowUnsafeFileSystem);
    if (sizeBytes < request.minimumBytes) {
      if (sizeBytes === 0) throw this.#failure("TOO_SHORT", EMPTY);
      throw this.#failure("TOO_SHORT", `it has ${sizeBytes} bytes, not ${request.minimumBytes} or more`);
    }
    this.#checkSize(sizeBytes);
    if (origin === "found") this.#settle(fd, real);

    // Another than the locked one: a mapping keeps its open file description, and a lock on that
    // would outlast the thread.
    const mappedFd = system.open(real, "file");
    this.#undo.add(() => system.close(mappedFd));
    const mapped = system.fstat(mappedFd);
    if (mapped.inode !== status.inode || mapped.device !== status.device) {
      return null;
    }

    const mapping = system.map({
      fd: mappedFd,
      spareFd: fd,
      lengthBytes: sizeBytes,
      barrierOnly: request.barrierOnly,
    });
    this.#undo.add(() => mapping.close());
    this.#checkMapping(fd, mapping, sizeBytes);
    return new MappedFile(system, {
      fd: mappedFd,
      lockedFd: fd,
      mapping,
      watched,
      path: real,
      sizeBytes,
      device: status.device,
      inode: status.inode,
      created: origin === "made",
      info,
      warnings,
      replace: (chunks, sizeBytes, keepAs) => {
        const { device, inode } = status;
        return new Opening(system, this.permissions, real, request).replace(
          { device, inode, keepAs },
          chunks,
          sizeBytes,
        );
      },
    });
  }

  /**
   * Whoever made this file may have died before its temporary name was gone. Under the lock, that
   * name is nobody else's.
   */
  #dropTemporaryName(real: string, { device, inode }: FileStatus): boolean {
    const { system, permissions } = this;
    const temporary = temporaryPath(real);
    if (!permissions.has("read", temporary) || !permissions.has("write", temporary)) return false;
    try {
      const named = system.lstat(temporary);
      if (named?.inode !== inode || named.device !== device) return false;
      system.unlink(temporary);
      return true;
    } catch {
      return false; // then it stays, and is a warning
    }
  }

  /** Whoever made this file may have died before its name was durable. */
  #settle(fd: number, real: string): void {
    const { directory } = splitPath(real);
    this.system.fsync(fd);
    // A file that was copied, restored or read has large folios in the page cache, of which each
    // store dirties the whole (H35): the start goes now, the rest by refresh() before it is stored
    // into. One that we made has none.
    this.system.dropCache(fd, 0, REFRESH_BYTES);
    if (this.permissions.has("read", directory)) {
      directorySync(this.system, directory).now();
    }
  }

  /** A mapping that shows other bytes than the file would lose what is stored through it (H21). */
  #checkMapping(fd: number, mapping: Mapping, sizeBytes: number): void {
    const { bytes, count, offset } = this.#readPage(fd, sizeBytes);
    const mapped = new Uint8Array(mapping.buffer, offset, count);
    if (Buffer.compare(bytes, mapped) === 0) return;
    throw this.#failure("FILE_SYSTEM", "a mapping does not show the bytes of the file");
  }

  /**
   * The first page that can be read. Of one that cannot, the log has to say what is lost with it:
   * opening must not end there.
   */
  #readPage(fd: number, sizeBytes: number): { bytes: Uint8Array; count: number; offset: number } {
    const { system } = this;
    for (let offset = 0;; offset += system.pageBytes) {
      const bytes = new Uint8Array(Math.min(system.pageBytes, sizeBytes - offset));
      try {
        return { bytes, count: system.read(fd, bytes, offset), offset };
      } catch (error) {
        const isLast = offset >= LOOKED_AT_BYTES || offset + system.pageBytes >= sizeBytes;
        if (isLast || !(error instanceof SystemError)) throw error;
      }
    }
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
      return this.request.readOwnerPid(bytes.subarray(0, this.system.read(fd, bytes, 0)));
    } catch {
      return null;
    }
  }

  #failure(reason: RegionError["reason"], state: string): RegionError {
    return new RegionError(reason, `Cannot open ${JSON.stringify(this.path)}: ${state}`, { path: this.path });
  }
}

const KINDS = {
  directory: "a directory",
  symlink: "a symbolic link",
  other: "neither a file nor a directory",
} as const;
