// Opens a file to read only, in the manner of `Opening`: kind, links and sandbox are checked first.

import * as fs from "node:fs";
import process from "node:process";
import { asRegionError } from "./failure.ts";
import { checkPath } from "./path_access.ts";
import type { Permissions } from "./permissions.ts";
import type { PathState, ReadableFile, ReadingSystem } from "../readable_file.ts";
import { RegionError } from "../region.ts";
import { fileSystemName } from "../system/file_system_names.ts";
import { call, lstat, realPath, stat, statIfThere, status } from "../system/paths.ts";
import { type FileStatus, SystemError } from "../system/system.ts";

/** Without O_NONBLOCK, opening a pipe would wait for its writer. */
const OPEN_FLAGS = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;
/** How often the file at the path may change during an opening before the opening gives up. */
const ATTEMPTS = 20;

/** The operating system's files, read only. */
export function readingSystem(permissions: Permissions): ReadingSystem {
  return {
    open: (path) => openToRead(permissions, path),
    openIfThere(path) {
      if (!permissions.has("read", path)) return null;
      try {
        return openFile(permissions, path);
      } catch {
        return null;
      }
    },
    watch: watchFile,
  };
}

function watchFile(path: string, changed: () => void): (() => void) | null {
  try {
    const watcher = fs.watch(path, { persistent: false }, changed);
    watcher.on("error", () => {}); // its user polls too
    return () => watcher.close();
  } catch {
    return null;
  }
}

function openToRead(permissions: Permissions, path: string): ReadableFile {
  checkPath(path);
  permissions.requireRead(path);
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const file = tryToOpen(permissions, path);
      if (file !== null) return file;
    }
  } catch (error) {
    throw asRegionError(error, "read", path);
  }
  throw failure(path, "IO", "another file replaces it all the time");
}

/** Null if the file at the path changed meanwhile. */
function tryToOpen(permissions: Permissions, path: string): ReadableFile | null {
  const found = stat(path);
  if (found === null) {
    const entry = lstat(path);
    if (entry === null) throw failure(path, "NOT_FOUND", "there is no such file");
    if (entry.kind !== "symlink") return null;
    throw failure(path, "NOT_A_FILE", "it is a dangling symbolic link");
  }
  if (found.kind === "directory") throw failure(path, "NOT_A_FILE", "it is a directory");
  if (found.kind !== "file") throw failure(path, "NOT_A_FILE", "it is neither a file nor a directory");
  const real = realPath(path);
  // A permitted symbolic link must not lead to a file that is not permitted.
  if (real !== path) permissions.requireRead(real);
  const file = openFile(permissions, real);
  if (file?.pathState() !== "other") return file;
  file.close();
  return null;
}

/**
 * Opens the regular file at a path without symbolic links. Null if the path leads to something
 * else by now.
 */
function openFile(permissions: Permissions, path: string): ReadableFile | null {
  let fd: number;
  try {
    fd = call("open", path, () => fs.openSync(path, OPEN_FLAGS));
  } catch (error) {
    if (error instanceof SystemError && ["ENOENT", "ELOOP"].includes(error.errno)) return null;
    throw error;
  }
  const found = fs.fstatSync(fd, { bigint: true });
  const opened = status(found);
  if (opened.kind === "file") return new DescriptorFile(permissions, fd, path, opened, Number(found.uid));
  fs.closeSync(fd);
  return null;
}

class DescriptorFile implements ReadableFile {
  readonly path: string;
  readonly owner: number;
  sizeBytes: number;
  #fd: number;
  readonly #opened: FileStatus;
  readonly #permissions: Permissions;

  constructor(permissions: Permissions, fd: number, path: string, opened: FileStatus, owner: number) {
    this.owner = owner;
    this.sizeBytes = opened.sizeBytes;
    this.#permissions = permissions;
    this.#fd = fd;
    this.path = path;
    this.#opened = opened;
  }

  read(offset: number, into: Uint8Array): number {
    let done = 0;
    try {
      while (done < into.length) {
        const at = done;
        const count = call("pread", undefined, () => fs.readSync(this.#fd, into, at, into.length - at, offset + at));
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      throw asRegionError(error, "read", this.path);
    }
    return done;
  }

  size(): number {
    return this.sizeBytes = call("fstat", undefined, () => fs.fstatSync(this.#fd)).size;
  }

  fileSystem(): string | null {
    // Other systems have other numbers.
    if (process.platform !== "linux" || !this.#permissions.hasFileSystems()) return null;
    try {
      return fileSystemName(fs.statfsSync(this.path).type);
    } catch {
      return null;
    }
  }

  pathState(): PathState {
    try {
      const found = statIfThere(this.path);
      if (found === null) return "missing";
      if (found.inode !== this.#opened.inode || found.device !== this.#opened.device) return "other";
      this.sizeBytes = found.sizeBytes;
      return "same";
    } catch (error) {
      if (error instanceof SystemError) return "unknown";
      throw error;
    }
  }

  close(): void {
    if (this.#fd < 0) return;
    fs.closeSync(this.#fd);
    this.#fd = -1;
  }
}

function failure(path: string, reason: RegionError["reason"], state: string): RegionError {
  return new RegionError(reason, `Cannot read ${JSON.stringify(path)}: ${state}`, { path });
}
