// Resolves a relative path when it is given, because later the process may have another working
// directory.

import { existsSync } from "node:fs";
import process from "node:process";
import { RegionError } from "../region.ts";
import { errnoOf, SystemError } from "../system/system.ts";

/**
 * The path from the root, with its symbolic links and its `..` kept. An absolute path is returned
 * unchanged, without asking for the working directory.
 *
 * @throws {RegionError} `NOT_FOUND` if the working directory was deleted; `IO` if its name is not
 * UTF-8; `PERMISSION` if asking for it is forbidden.
 */
export function absolutePath(path: string): string {
  if (path.startsWith("/")) return path;
  const directory = workingDirectory(path);
  return `${directory === "/" ? "" : directory}/${path.replace(/^(?:\.\/+)+/, "")}`;
}

function workingDirectory(path: string): string {
  try {
    const directory = process.cwd();
    // Bun replaces bytes of the name without an error.
    if (directory.includes("\uFFFD") && !existsSync(directory)) throw new SystemError("getcwd", "EILSEQ");
    return directory;
  } catch (cause) {
    const errno = cause instanceof SystemError ? cause.errno : errnoOf(cause);
    const details = { path, call: "getcwd", errno, cause };
    const refuse = `Cannot use ${JSON.stringify(path)} as path: the working directory`;
    if (errno === "ENOENT") throw new RegionError("NOT_FOUND", `${refuse} was deleted`, details);
    if (errno === "EILSEQ") {
      throw new RegionError("IO", `${refuse} has a name that is not UTF-8, which this runtime cannot use`, details);
    }
    const hint = "is unknown; give an absolute path";
    throw new RegionError("PERMISSION", `${refuse} ${hint} (getcwd failed with ${errno})`, details);
  }
}
