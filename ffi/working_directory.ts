// A relative path means another file once the process has changed its directory: it is resolved when it is given.

import process from "node:process";
import { RegionError } from "./region.ts";
import { errnoOf } from "./system.ts";

/**
 * The path from the root, with its symbolic links and its `..` as they are. An absolute path is returned as it is, and the
 * working directory not asked for.
 *
 * @throws {RegionError} `NOT_FOUND` if the working directory was deleted, `PERMISSION` if it may not be asked for.
 */
export function absolutePath(path: string): string {
  if (path.startsWith("/")) return path;
  const directory = workingDirectory(path);
  return `${directory === "/" ? "" : directory}/${path.replace(/^(?:\.\/+)+/, "")}`;
}

function workingDirectory(path: string): string {
  try {
    return process.cwd();
  } catch (cause) {
    const errno = errnoOf(cause);
    const details = { path, call: "getcwd", errno, cause };
    const refuse = `Cannot use ${JSON.stringify(path)} as path: the working directory`;
    if (errno === "ENOENT") throw new RegionError("NOT_FOUND", `${refuse} was deleted`, details);
    const hint = "may not be asked for; give an absolute path";
    throw new RegionError("PERMISSION", `${refuse} ${hint} (getcwd failed with ${errno})`, details);
  }
}
