// Paths that callers hand in. A relative path means another file once the process has changed its
// directory, so each path is made absolute when it is given.

import { fileURLToPath } from "node:url";
import { absolutePath } from "../../ffi/file/working_directory.ts";
import { toWALError } from "../errors.ts";
import { show } from "./numbers.ts";

const IN_MEMORY = "give null for a log in memory";

/** The path of a log; null for anonymous memory. @throws as `checkFilePath()`. */
export function checkPath(path: string | URL | null): string | null {
  return path === null ? null : checkFilePath(path, "a string, a URL, or null for a log in memory", IN_MEMORY);
}

/**
 * The path of a file.
 *
 * @throws {TypeError} or {RangeError} if the path cannot be used.
 * @throws {WALNotFoundError} or {WALPermissionError} if the path is relative and there is no
 * working directory.
 */
export function checkFilePath(
  path: string | URL,
  wanted = "a string or a URL",
  instead = "give the path of a file",
): string {
  if (path instanceof URL) return pathOfURL(path);
  if (typeof path !== "string") throw new TypeError(`Cannot use ${show(path)} as path: it must be ${wanted}`);
  const problem = problemOf(path, instead);
  if (problem !== null) throw new RangeError(`Cannot use ${show(path)} as path: ${problem}`);
  return absolute(path);
}

/** The path of an SQLite database, or one of SQLite's own names. @throws as `checkFilePath()`. */
export function checkDatabasePath(path: string | URL): string {
  const text = path instanceof URL ? pathOfURL(path) : path;
  if (typeof text !== "string") throw new TypeError(`Cannot use ${show(text)} as path: it must be a string or a URL`);
  if (text === "" || text.includes("\0")) throw new TypeError("Cannot use the path: it is empty or has a NUL");
  return text === ":memory:" || text.startsWith("file:") ? text : absolute(text);
}

function absolute(path: string): string {
  try {
    return absolutePath(path);
  } catch (error) {
    throw toWALError(error, path, 0);
  }
}

function pathOfURL(url: URL): string {
  let path = "";
  try {
    path = fileURLToPath(url);
  } catch (cause) {
    if (!(cause instanceof URIError)) throw cause;
  }
  // Where Deno throws, Bun returns an empty path.
  if (path === "") throw new TypeError(`Cannot use ${url.href} as path: its escapes are not UTF-8`);
  return path;
}

/** Why a text cannot be meant as a path; null if it can. */
function problemOf(path: string, instead: string): string | null {
  if (path === "") return `it is empty; ${instead}`;
  if (path === ":memory:") return `${instead}, or "./:memory:" for a file of this name`;
  if (/^file:/i.test(path)) return "it is the text of a URL; give new URL(path)";
  return /\p{Surrogate}/u.test(path) ? "it has half of a surrogate pair, which is no character" : null;
}
