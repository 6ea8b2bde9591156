// What a creation or a replacement left in the directory when its process died: a name of the log's
// own file, or another file. What cannot be removed stays.

import { claimTemporary, replacedPath, temporaryPath } from "./creation.ts";
import type { Permissions } from "./permissions.ts";
import type { FileStatus, System } from "../system/system.ts";

/** What tells a file from all others. */
type FileId = Pick<FileStatus, "device" | "inode">;

/**
 * Removes the hidden names of a locked file. Under its lock, no other process can own a hidden name
 * of this file.
 *
 * @returns true if there was one.
 */
export function dropOtherNames(system: System, permissions: Permissions, path: string, status: FileId): boolean {
  const isSame = (named: FileStatus | null) => named?.inode === status.inode && named.device === status.device;
  const dropped = hiddenPaths(permissions, path).map((name) =>
    attempt(() => isSame(system.lstat(name)) && dropName(system, name))
  );
  return dropped.includes(true);
}

/**
 * Removes hidden files beside a file whose lock this process holds. Another log that shares the
 * hidden names may be using one.
 */
export function dropStrays(system: System, permissions: Permissions, path: string): void {
  for (const name of hiddenPaths(permissions, path)) {
    attempt(() => system.lstat(name) !== null && dropUnlocked(system, name));
  }
}

/** Removes a name. @returns true if that succeeded. */
function dropName(system: System, name: string): boolean {
  return attempt(() => {
    system.unlink(name);
    return true;
  });
}

/** Removes what a process that died has left. A living one holds the file's lock. */
function dropUnlocked(system: System, name: string): boolean {
  const fd = system.open(name, "file");
  try {
    return system.lock(fd) && claimTemporary(system, fd, name) && dropName(system, name);
  } finally {
    system.close(fd);
  }
}

/** The hidden paths that this process may use. */
function hiddenPaths(permissions: Permissions, path: string): string[] {
  return [temporaryPath(path), replacedPath(path)].filter((name) =>
    permissions.has("read", name) && permissions.has("write", name)
  );
}

/** What `work` returns; false if it fails. */
function attempt(work: () => boolean): boolean {
  try {
    return work();
  } catch {
    return false;
  }
}
