// The Storage of real files, over any System.

import { creation } from "./creation.ts";
import { asRegionError } from "./failure.ts";
import { openLiveFile } from "./live_writing.ts";
import { Opening } from "./opening.ts";
import { checkPath, finalPath, requireAccess } from "./path_access.ts";
import { allowEverything, type Permissions } from "./permissions.ts";
import { RegionError, type Storage } from "../region.ts";
import { runLater, runNow, type Steps } from "./steps.ts";
import type { System } from "../system/system.ts";

/**
 * How many bytes `write()` writes at once. It takes half of the time that single pages take.
 * Whoever opens the file later refreshes its pages (H35).
 */
const WRITTEN_BYTES = 8192;

/**
 * Files that are mapped by a system.
 *
 * @param system the system, or how to get it once the permissions are checked.
 */
export function mappedStorage(system: System | (() => System), permissions: Permissions = allowEverything): Storage {
  const get = typeof system === "function" ? system : () => system;
  return {
    open(path, request) {
      checkPath(path);
      requireAccess(permissions, path);
      return new Opening(get(), permissions, path, request).open();
    },
    write: (path, chunks, sizeBytes) => runNow(writing(get, permissions, path, chunks, sizeBytes)),
    openLive: (path, length, isOurs) => openLiveFile(permissions, path, length, isOurs),
    writeAsync: (path, chunks, sizeBytes) => runLater(writing(get, permissions, path, chunks, sizeBytes)),
  };
}

function* writing(
  get: () => System,
  permissions: Permissions,
  path: string,
  chunks: Iterable<Uint8Array>,
  sizeBytes: number,
): Steps<void> {
  checkPath(path);
  requireAccess(permissions, path);
  const system = get();
  try {
    const file = {
      path: finalPath(system, permissions, path),
      sizeBytes,
      chunks: () => chunks,
      blockBytes: WRITTEN_BYTES,
    };
    const fd = yield* creation(system, file);
    if (fd !== null) return system.close(fd);
  } catch (error) {
    throw asRegionError(error, "write", path);
  }
  const message = `Cannot write ${JSON.stringify(path)}: there is a file already`;
  throw new RegionError("IO", message, { path, errno: "EEXIST" });
}
