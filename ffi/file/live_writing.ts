// Makes the live file of a log, or takes over one that was left behind.
//
// The name is known in advance, so somebody may have put a link or a file of their own there (H63).
// No link is followed, and only a file that is ours is written: a regular file with one name, the
// log's owner, and the beginning of a live file.

import * as fs from "node:fs";
import { asRegionError } from "./failure.ts";
import type { Permissions } from "./permissions.ts";
import { type LiveFile, livePathOf } from "../live_file.ts";
import { RegionError } from "../region.ts";
import { call } from "../system/paths.ts";
import { SystemError } from "../system/system.ts";

const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
/** Those of a log's mode that its live file gets: who may read, who may write. */
const MODE_MASK = 0o666;

/**
 * Opens the live file of a log to write it.
 *
 * @param logPath the log's path, without symbolic links. The caller has the log's lock.
 * @param isOurs whether a file that is there may be taken over, by its first bytes.
 * @throws {RegionError} if it cannot be made, or something else is there.
 */
export function openLiveFile(
  permissions: Permissions,
  logPath: string,
  length: number,
  isOurs: (firstBytes: Uint8Array) => boolean,
): LiveFile {
  const path = livePathOf(logPath);
  if (!permissions.has("read", path) || !permissions.has("write", path)) {
    throw new RegionError("PERMISSION", `Cannot write ${JSON.stringify(path)}: the sandbox denies it`, { path });
  }
  try {
    const log = call("stat", logPath, () => fs.statSync(logPath));
    const fd = create(path) ?? takeOver(path, log.uid, length, isOurs);
    return prepare(fd, path, log);
  } catch (error) {
    throw asRegionError(error, "write", path);
  }
}

/** Null if something is at the path. */
function create(path: string): number | null {
  try {
    return call("open", path, () => fs.openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
  } catch (error) {
    if (error instanceof SystemError && error.errno === "EEXIST") return null;
    throw error;
  }
}

/** Opens a file that an earlier writer has left. */
function takeOver(path: string, owner: number, length: number, isOurs: (bytes: Uint8Array) => boolean): number {
  // Without O_NONBLOCK, opening a pipe would wait for its reader.
  const fd = call("open", path, () => fs.openSync(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK));
  try {
    const found = call("fstat", undefined, () => fs.fstatSync(fd));
    const isPlain = found.isFile() && found.nlink === 1 && found.uid === owner && found.size <= length;
    if (isPlain) {
      const bytes = new Uint8Array(found.size);
      call("pread", undefined, () => fs.readSync(fd, bytes, 0, bytes.length, 0));
      if (bytes.length === 0 || isOurs(bytes)) return fd;
    }
    throw new RegionError("NOT_A_FILE", `Cannot write ${JSON.stringify(path)}: it is no live file of this log`, {
      path,
    });
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** Gives the file the log's owner and mode, so that whoever may read the log may read it. */
function prepare(fd: number, path: string, log: fs.Stats): LiveFile {
  try {
    const { uid, gid, mode } = call("fstat", undefined, () => fs.fstatSync(fd));
    if (uid !== log.uid || gid !== log.gid) tryTo(() => fs.fchownSync(fd, log.uid, log.gid));
    if ((mode & MODE_MASK) !== (log.mode & MODE_MASK)) tryTo(() => fs.fchmodSync(fd, log.mode & MODE_MASK));
    return new OpenLiveFile(fd, path);
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

function tryTo(work: () => void): void {
  try {
    work();
  } catch { /* fewer may read the file, and they poll */ }
}

class OpenLiveFile implements LiveFile {
  readonly #fd: number;
  readonly #path: string;
  readonly #inode: bigint;
  #isOpen = true;

  constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
    this.#inode = fs.fstatSync(fd, { bigint: true }).ino;
  }

  write(bytes: Uint8Array): void {
    try {
      const written = call("pwrite", undefined, () => fs.writeSync(this.#fd, bytes, 0, bytes.length, 0));
      if (written < bytes.length) throw new SystemError("pwrite", "ENOSPC");
    } catch (error) {
      throw asRegionError(error, "write", this.#path);
    }
  }

  isThere(): boolean {
    try {
      return fs.lstatSync(this.#path, { bigint: true }).ino === this.#inode;
    } catch {
      return false;
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (this.isThere()) tryTo(() => fs.unlinkSync(this.#path));
    tryTo(() => fs.closeSync(this.#fd));
  }
}
