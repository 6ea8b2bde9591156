// The default storage: the operating system's files.

import { mappedStorage } from "./file/mapped_storage.ts";
import { runtimePermissions } from "./file/permissions.ts";
import { openToRead } from "./file/reading.ts";
import type { ReadableFile } from "./readable_file.ts";
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

/** Opens one of the operating system's files to read. It needs no C library. */
export function readableFile(path: string): ReadableFile {
  return openToRead(runtimePermissions(), path);
}
