// Turns a failed system call into a RegionError.

import { RegionError, type RegionFailure } from "../region.ts";
import { SystemError } from "../system/system.ts";

const REASONS: Readonly<Record<string, RegionFailure>> = {
  ENOSPC: "NO_SPACE",
  EDQUOT: "NO_SPACE",
  ENOMEM: "NO_SPACE",
  EFBIG: "NO_SPACE",
  EACCES: "PERMISSION",
  EPERM: "PERMISSION",
  EROFS: "PERMISSION",
  ENOENT: "NOT_FOUND",
  ENOTDIR: "NOT_FOUND",
  EISDIR: "NOT_A_FILE",
  ELOOP: "NOT_A_FILE",
  ENXIO: "NOT_A_FILE",
  ENODEV: "FILE_SYSTEM",
};
/** The longest name that file systems allow. */
const NAME_BYTES = 255;
const SYNC_CALLS: ReadonlySet<string> = new Set(["msync", "fsync", "fdatasync", "fcntl"]);

/**
 * The RegionError for a failed system call. A sync that fails for lack of space is reported as lack
 * of space, because the caller can mend that.
 *
 * @param error a `SystemError`, or a `RegionError`, which is returned. Any other error is thrown as
 * it is.
 * @param action what failed, as in `open`.
 */
export function asRegionError(error: unknown, action: string, path: string): RegionError {
  if (error instanceof RegionError) return error;
  if (!(error instanceof SystemError)) throw error;
  const { call, errno } = error;
  const reason = REASONS[errno] ?? (SYNC_CALLS.has(call) ? "SYNC" : "IO");
  const state = missingDirectory(error, path) ?? longName(error, path) ?? explained(errno, action) ??
    `${call} failed with ${errno}`;
  const message = `Cannot ${action} ${JSON.stringify(path)}: ${state}`;
  return new RegionError(reason, message, { path, call, errno, cause: error });
}

/**
 * The message if a directory of the path is missing; null if the file itself is missing, or
 * something else is wrong.
 */
function missingDirectory({ call, errno, path: asked }: SystemError, path: string): string | null {
  if (errno === "ENOTDIR") return "a part of its path is not a directory";
  if (errno !== "ENOENT" || call !== "realpath" || asked === undefined || asked === path) return null;
  return `the directory ${JSON.stringify(asked)} does not exist`;
}

/** The message for errors whose names do not explain them. */
function explained(errno: string, action: string): string | null {
  if (errno === "EILSEQ") return "a name in its path is not UTF-8 (EILSEQ), which this runtime cannot use";
  if (errno === "EACCES" && action === "read") return "this user must be able to read the file (EACCES)";
  if (errno === "EACCES") return "this user must be able to read and write the file and its directory (EACCES)";
  if (errno !== "EROFS") return null;
  const remedy = action === "open" ? "; copy the log to one that can be written, and open the copy" : "";
  return `its file system is read-only (EROFS)${remedy}`;
}

function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

/**
 * The message for a name that is too long. It may be the file's, a directory's, or the whole path.
 */
function longName({ errno, path: asked }: SystemError, path: string): string | null {
  if (errno !== "ENAMETOOLONG") return null;
  const tried = asked ?? path;
  const name = tried.split("/").find((name) => utf8Bytes(name) > NAME_BYTES);
  return name === undefined
    ? `the path ${JSON.stringify(tried)} is too long, with ${utf8Bytes(tried)} bytes (ENAMETOOLONG)`
    : `the name ${JSON.stringify(name)} is too long, with ${utf8Bytes(name)} bytes (ENAMETOOLONG)`;
}

/** The error of a failed sync. Whatever its error number, nothing is known to be on the medium. */
export function asSyncError(error: unknown, path: string): RegionError {
  const found = asRegionError(error, "sync", path);
  return found.reason === "SYNC" ? found : new RegionError("SYNC", found.message, found.details);
}

/** The error for pages that could not be paged in. */
export function asPageError(
  error: unknown,
  before: "load" | "store",
  path: string,
  offset: number,
  length: number,
): RegionError {
  if (before === "load") {
    const message = `Cannot read ${JSON.stringify(path)} from byte ${offset} to ${
      offset + length
    }: the medium reports an error`;
    return new RegionError("IO", message, { path, call: "madvise", errno: "EIO", cause: error });
  }
  const found = asRegionError(error, "page in", path);
  // EFAULT means that the file system has no block for a page.
  if (found.details.errno !== "EFAULT") return found;
  return new RegionError(
    "NO_SPACE",
    `Cannot page in ${JSON.stringify(path)}: the medium has no space for it`,
    found.details,
  );
}

/** The error for an open file that is no longer at its path, or no longer whole. */
export function gone(path: string, cause?: unknown): RegionError {
  const message = `Cannot go on with ${JSON.stringify(path)}: it was deleted, replaced or cut while open`;
  return new RegionError("GONE", message, cause === undefined ? { path } : { path, cause });
}

/**
 * Undoes steps in reverse order. Errors in undoing are dropped, so that they do not hide the first
 * error.
 */
export class Undo {
  readonly #steps: (() => void)[] = [];

  /** Adds a step. Returns a function that drops it. */
  add(step: () => void): () => void {
    this.#steps.push(step);
    return () => {
      const index = this.#steps.indexOf(step);
      if (index >= 0) this.#steps.splice(index, 1);
    };
  }

  unwind(): void {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        step();
      } catch { /* the first error is the one to report */ }
    }
  }
}
