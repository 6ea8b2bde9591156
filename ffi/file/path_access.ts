// Which paths may be used: they name a file, and the sandbox permits them.

import { splitPath } from "./directory.ts";
import type { Permissions } from "./permissions.ts";
import { RegionError } from "../region.ts";
import type { System } from "../system/system.ts";

export function checkPath(path: string): void {
  if (path !== "" && !path.includes("\0") && !path.endsWith("/")) return;
  throw new RegionError("NOT_A_FILE", `Cannot open ${JSON.stringify(path)}: this does not name a file`, { path });
}

export function requireAccess(permissions: Permissions, path: string): void {
  permissions.require("read", path);
  permissions.require("write", path);
  permissions.requireFFI();
}

/** The directory of a path, as the caller gave it. */
function directoryOf(path: string): string {
  return path.includes("/") ? splitPath(path).directory : ".";
}

/** Where a new file is made: its directory without symbolic links, then its name. */
export function finalPath(system: System, permissions: Permissions, path: string): string {
  const directory = directoryOf(path);
  // The new file is made under a temporary name in the directory.
  permissions.require("read", directory);
  permissions.require("write", directory);
  const real = system.realPath(directory);
  if (real !== directory) {
    permissions.require("read", real);
    permissions.require("write", real);
  }
  return `${real === "/" ? "" : real}/${splitPath(path).name}`;
}
