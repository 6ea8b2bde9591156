// The default storage: the operating system's files.

import { mappedStorage } from "./file/mapped_storage.ts";
import { runtimePermissions } from "./file/permissions.ts";
import { readingSystem } from "./file/reading.ts";
import type { ReadingSystem } from "./readable_file.ts";
import { posixSystem } from "./system/current.ts";
import type { Storage } from "./region.ts";
import type { System } from "./system/system.ts";

let system: System | undefined;
let storage: Storage | undefined;

/**
 * The operating system's files. Each thread has one storage. The C library is opened with the first
 * file, because opening it needs a permission on Deno.
 */
export function diskStorage(): Storage {
  storage ??= mappedStorage(() => system ??= posixSystem(), runtimePermissions());
  return storage;
}

/** The operating system's files, read only. They need no C library. */
export function diskReading(): ReadingSystem {
  return readingSystem(runtimePermissions());
}
