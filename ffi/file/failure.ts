// Turns a failed system call into the one error this layer throws.

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
/** What file systems allow for one name. */
const NAME_BYTES = 255;
const SYNC_CALLS: ReadonlySet<string> = new Set(["msync", "fsync", "fdatasync", "fcntl"]);

/**
 * What a failed system call means to the caller. Exhausted space comes before a failed sync, as it
 * has a remedy.
 *
 * @param error a `SystemError`, or a `RegionError`, which is returned; anything else is thrown as
 * it is.
 * @param action what could not be done, as in `open`.
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
 * What to say where it is not the file that is missing; null where it is, or something else is
 * wrong.
 */
function missingDirectory({ call, errno, path: asked }: SystemError, path: string): string | null {
  if (errno === "ENOTDIR") return "a part of its path is no directory";
  if (errno !== "ENOENT" || call !== "realpath" || asked === undefined || asked === path) return null;
  return `the directory ${JSON.stringify(asked)} does not exist`;
}

/** What an error's name does not say. */
function explained(errno: string, action: string): string | null {
  if (errno === "EILSEQ") return "a name in its path is not UTF-8 (EILSEQ), which this runtime cannot use";
  if (errno !== "EROFS") return null;
  const remedy = action === "open" ? "; copy the log to one that can be written, and open the copy" : "";
  return `its file system is read-only (EROFS)${remedy}`;
}

function utf8Bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}

/**
 * Which name is too long: it need not be the file's own, and it may be that of a directory, or all
 * of the path.
 */
function longName({ errno, path: asked }: SystemError, path: string): string | null {
  if (errno !== "ENAMETOOLONG") return null;
  const tried = asked ?? path;
  const name = tried.split("/").find((name) => utf8Bytes(name) > NAME_BYTES);
  return name === undefined
    ? `the path ${JSON.stringify(tried)} is too long, with ${utf8Bytes(tried)} bytes (ENAMETOOLONG)`
    : `the name ${JSON.stringify(name)} is too long, with ${utf8Bytes(name)} bytes (ENAMETOOLONG)`;
}

/** A sync that failed: whatever its error number, nothing is known to be on the medium. */
export function asSyncError(error: unknown, path: string): RegionError {
  const found = asRegionError(error, "sync", path);
  return found.reason === "SYNC" ? found : new RegionError("SYNC", found.message, found.details);
}

/** Pages that could not be brought in. */
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
    }: the medium gives an error`;
    return new RegionError("IO", message, { path, call: "madvise", errno: "EIO", cause: error });
  }
  const found = asRegionError(error, "prefault", path);
  // EFAULT: the file system has no block for a page.
  if (found.details.errno !== "EFAULT") return found;
  return new RegionError("NO_SPACE", `Cannot prefault ${JSON.stringify(path)}: no space behind it`, found.details);
}

/** The file of an open region is no longer what its path leads to, or not whole. */
export function gone(path: string, cause?: unknown): RegionError {
  const message = `Cannot go on with ${JSON.stringify(path)}: it was deleted, replaced or cut while open`;
  return new RegionError("GONE", message, cause === undefined ? { path } : { path, cause });
}

/**
 * Runs the steps back in reverse order; what fails on the way back must not hide why we turned
 * round.
 */
export class Undo {
  readonly #steps: (() => void)[] = [];

  /** Returns a function that drops the step. */
  add(step: () => void): () => void {
    this.#steps.push(step);
    return () => {
      const index = this.#steps.indexOf(step);
      if (index >= 0) this.#steps.splice(index, 1);
    };
  }

  run(): void {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        step();
      } catch { /* the first error is the one to report */ }
    }
  }
}
