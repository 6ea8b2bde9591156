// Paths by node:fs: where a path leads, and what is there.

import * as fs from "node:fs";
import { runtime } from "../runtime.ts";
import { errnoOf, type FileStatus, isAbsence, SystemError } from "./system.ts";

/**
 * Bun opens a file and asks the kernel for its path. If another file is renamed over it at that
 * moment, the kernel appends this to the path, or Bun says that there is no such file.
 */
const DELETED = " (deleted)";
/**
 * What Bun and Node put in place of bytes that are not UTF-8. A path that holds it may lead to
 * nothing.
 */
const REPLACED = "\uFFFD";
/** How often a file may be replaced in a row before `realPath()` gives up. */
const ATTEMPTS = 100;

/** Node's other one looks for what it reads of a link, also where those bytes are not UTF-8. */
const realpathSync = runtime === "node" ? fs.realpathSync.native : fs.realpathSync;

/** Runs a call of node:fs, and repeats it after a signal. A failure names the call. */
export function call<T>(name: string, path: string | undefined, body: () => T): T {
  for (;;) {
    try {
      return body();
    } catch (cause) {
      const errno = errnoOf(cause);
      if (errno !== "EINTR") {
        throw new SystemError(name, errno, path, { cause });
      }
    }
  }
}

export function status(found: fs.BigIntStats): FileStatus {
  const kind = found.isFile()
    ? "file"
    : found.isDirectory()
    ? "directory"
    : found.isSymbolicLink()
    ? "symlink"
    : "other";
  return { kind, device: found.dev, inode: found.ino, links: Number(found.nlink), sizeBytes: Number(found.size) };
}

/** The absolute path without symbolic links, as `System.realPath()`. */
export function realPath(path: string): string {
  for (let attempt = 1;; attempt++) {
    try {
      const real = call("realpath", path, () => realpathSync(path));
      const isDoubtful = real.endsWith(DELETED) || real.includes(REPLACED);
      if (!isDoubtful || isSame(path, real)) return real;
      if (real.includes(REPLACED) && stat(path) !== null) throw new SystemError("realpath", "EILSEQ", path);
      if (attempt === ATTEMPTS) return real;
    } catch (error) {
      const isGone = error instanceof SystemError && error.errno === "ENOENT";
      if (!isGone || attempt === ATTEMPTS || stat(path) === null) throw error;
    }
  }
}

/** True if both paths lead to the same file. */
function isSame(path: string, real: string): boolean {
  const [there, found] = [stat(path), lstat(real)];
  return there !== null && there.inode === found?.inode && there.device === found.device;
}

export function lstat(path: string): FileStatus | null {
  const found = call("lstat", path, () => fs.lstatSync(path, { bigint: true, throwIfNoEntry: false }));
  return found === undefined ? null : status(found);
}

export function stat(path: string): FileStatus | null {
  const found = call("stat", path, () => fs.statSync(path, { bigint: true, throwIfNoEntry: false }));
  return found === undefined ? null : status(found);
}

/** As `stat()`, but null also if a directory of the path does not exist. */
export function statIfThere(path: string): FileStatus | null {
  try {
    return stat(path);
  } catch (error) {
    if (isAbsence(error)) return null;
    throw error;
  }
}
