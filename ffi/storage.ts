// The disk, as the log gets it where nothing else is asked for.

import { mappedStorage } from "./file/mapped_storage.ts";
import { runtimePermissions } from "./file/permissions.ts";
import { posixSystem } from "./system/current.ts";
import type { Storage } from "./region.ts";
import type { System } from "./system/system.ts";

let system: System | undefined;
let storage: Storage | undefined;

/**
 * The operating system's files. One for each thread, made at the first call; libc is opened when a
 * file is.
 */
export function diskStorage(): Storage {
  storage ??= mappedStorage(() => system ??= posixSystem(), runtimePermissions());
  return storage;
}
