// Opens one file as a region: check kind and file system, lock, map.

import { Buffer } from "node:buffer";
import { createFile, locked, type NewFile, type OldFile, replacedPath } from "./creation.ts";
import { directorySync, splitPath } from "./directory.ts";
import { asRegionError, gone, Undo } from "./failure.ts";
import { checkFileSystem } from "./file_systems.ts";
import { MappedFile } from "./mapped_file.ts";
import { checkPath, finalPath, requireAccess } from "./path_access.ts";
import type { Permissions } from "./permissions.ts";
import { dropOtherNames, dropStrays } from "./strays.ts";
import { type OpenRequest, REFRESH_BYTES, type Region, RegionError } from "../region.ts";
import { type Mapping, type System, SystemError } from "../system/system.ts";

/** Our own crashes never leave an empty file at a log's path. */
const EMPTY = "it is empty, it has 0 bytes: another program made it, or its bytes are lost; remove it, and open again";
/** Bytes at a file's start in which the owner of its lock is sought. */
const OWNER_BYTES = 8192;
/** Bytes at a file's start in which a readable page is sought. */
const TRIED_BYTES = 65536;
/** How often the file at the path may change during an opening before the opening gives up. */
const ATTEMPTS = 20;

/**
 * Where the file comes from: it was there, this opening made it, or this opening put it in place of
 * another.
 */
type Origin = "found" | "made" | "replaced";

/** Opens one file, step by step. After a failure nothing stays open. */
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

  open(): Region {
    try {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const region = this.#attempt();
        if (region !== null) return region;
        this.#undo.unwind();
      }
    } catch (error) {
      this.#undo.unwind();
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
    // The file was made between stat and lstat.
    if (entry !== null) return null;
    if (!request.create) throw this.#failure("NOT_FOUND", "there is no such file");
    const real = finalPath(system, this.permissions, path);
    const fd = this.#create(real, request.sizeBytes, () => [request.initialBytes()]);
    return fd === null ? null : this.#finish(fd, real, "made");
  }

  /**
   * Puts a new file in place of one that this process has open and locked, and opens the new one.
   * The old file is kept under another path.
   */
  replace(old: OldFile, chunks: Iterable<Uint8Array>, sizeBytes: number): Region {
    const { system, permissions, path } = this;
    try {
      checkPath(old.keepAs);
      requireAccess(permissions, old.keepAs);
      const keepAs = finalPath(system, permissions, old.keepAs);
      return this.#replace({ ...old, keepAs }, chunks, sizeBytes);
    } catch (error) {
      this.#undo.unwind();
      throw asRegionError(error, "replace", path);
    }
  }

  /** As `replace()`. The old file is dropped, or put back if anything fails. */
  exchange(fd: number, chunks: Iterable<Uint8Array>, sizeBytes: number): Region {
    const { system, permissions, path } = this;
    try {
      const keepAs = finalPath(system, permissions, replacedPath(path));
      // An earlier exchange may have failed to remove them.
      dropOtherNames(system, permissions, path, system.fstat(fd));
      dropStrays(system, permissions, path);
      const { device, inode, links } = system.fstat(fd);
      if (links > 1) throw this.#linked(links);
      const old = { device, inode, keepAs };
      const region = this.#replace({ ...old, putBack: () => this.#putBack(old) }, chunks, sizeBytes);
      dropOtherNames(system, permissions, path, old);
      return region;
    } catch (error) {
      this.#undo.unwind();
      throw asRegionError(error, "replace", path);
    }
  }

  #replace(old: OldFile, chunks: Iterable<Uint8Array>, sizeBytes: number): Region {
    const fd = this.#create(this.path, sizeBytes, () => chunks, old);
    try {
      const region = fd === null ? null : this.#finish(fd, this.path, "replaced");
      if (region === null) throw gone(this.path);
      return region;
    } catch (error) {
      old.putBack?.();
      throw error;
    }
  }

  /** Gives the old file its name again. */
  #putBack(old: OldFile): void {
    const { system, permissions, path } = this;
    const { device, inode, keepAs } = old;
    try {
      const kept = system.lstat(keepAs);
      if (kept?.inode !== inode || kept.device !== device) return;
      system.rename(keepAs, path);
      dropOtherNames(system, permissions, path, old); // if both names were the old file's
      directorySync(system, splitPath(path).directory).now();
    } catch (cause) {
      if (!(cause instanceof SystemError)) throw cause;
      // Power loss may leave either file at the path.
      throw gone(path, cause);
    }
  }

  #linked(links: number): RegionError {
    const { path } = this;
    const message = `Cannot replace ${JSON.stringify(path)}: the file has ${links} names, and the others would keep ` +
      "the old file; remove them";
    return new RegionError("IO", message, { path, errno: "EMLINK" });
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
    // A permitted symbolic link must not lead to a file that is not permitted.
    if (real !== path) requireAccess(permissions, real);
    const fd = system.open(real, "file");
    this.#undo.add(() => system.close(fd));
    if (!system.lock(fd)) throw locked(path, this.#ownerOf(fd));
    return [fd, real, "found"];
  }

  #finish(fd: number, real: string, origin: Origin): Region | null {
    const { system, path, request } = this;
    // The lock is on an inode, so it counts only if others find that inode at the path. From then
    // on only we may replace the file.
    let status = system.fstat(fd);
    if (status.links > 1 && dropOtherNames(system, this.permissions, real, status)) status = system.fstat(fd);
    const watched = system.watch(real);
    if (!watched.is(status.device, status.inode, status.sizeBytes)) {
      return null;
    }
    if (origin === "found") dropStrays(system, this.permissions, real);
    const { sizeBytes } = status;
    const { info, warnings } = checkFileSystem(system, fd, path, request.allowUnsafeFileSystem);
    if (sizeBytes < request.minimumBytes) {
      if (sizeBytes === 0) throw this.#failure("TOO_SHORT", EMPTY);
      throw this.#failure("TOO_SHORT", `it has ${sizeBytes} bytes, not ${request.minimumBytes} or more`);
    }
    this.#checkSize(sizeBytes);
    if (origin === "found") this.#makeDurable(fd, real);

    // The mapping needs a descriptor of its own. A mapping keeps its open file description, and a
    // lock on that would outlast the thread.
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
        const opening = new Opening(system, this.permissions, real, request);
        if (keepAs === null) return opening.exchange(fd, chunks, sizeBytes);
        const { device, inode } = status;
        return opening.replace({ device, inode, keepAs }, chunks, sizeBytes);
      },
    });
  }

  /** Makes the file and its name durable, because its creator may have died before that. */
  #makeDurable(fd: number, real: string): void {
    const { directory } = splitPath(real);
    this.system.fsync(fd);
    // A file that was copied, restored or read has large folios in the page cache, and each store
    // makes a whole folio dirty (H35). The start of the file is dropped now. Other parts are
    // dropped before the log stores into them. A file that we made has no large folios.
    this.system.dropCache(fd, 0, REFRESH_BYTES);
    if (this.permissions.has("read", directory)) {
      directorySync(this.system, directory).now();
    }
  }

  /**
   * Compares the mapping with the file: stores through a mapping that shows other bytes would be
   * lost (H21).
   */
  #checkMapping(fd: number, mapping: Mapping, sizeBytes: number): void {
    const { bytes, count, offset } = this.#readPage(fd, sizeBytes);
    const mapped = mapping.memory.bytes(offset, count);
    if (Buffer.compare(bytes, mapped) === 0) return;
    throw this.#failure("FILE_SYSTEM", "a mapping does not show the bytes of the file");
  }

  /**
   * The first page that can be read. An unreadable page does not end the opening, because the log
   * must say what is lost with that page.
   */
  #readPage(fd: number, sizeBytes: number): { bytes: Uint8Array; count: number; offset: number } {
    const { system } = this;
    for (let offset = 0;; offset += system.pageBytes) {
      const bytes = new Uint8Array(Math.min(system.pageBytes, sizeBytes - offset));
      try {
        return { bytes, count: system.read(fd, bytes, offset), offset };
      } catch (error) {
        const isLast = offset >= TRIED_BYTES || offset + system.pageBytes >= sizeBytes;
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
