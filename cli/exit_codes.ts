// What `cidwal` exits with: 0 to 3 belong to `verify`, the others are those of sysexits.h, and 128
// plus the signal where a signal ends the command.

import { RegionError, WALError, type WALErrorCode } from "../mod.ts";

/** The exit codes of `cidwal`. */
export const Exit = {
  /** All that was asked for is done; `verify`: nothing is wrong. */
  Done: 0,
  /** `verify`: something after the end is half written, as after a crash. */
  Torn: 1,
  /** `salvage --in-place`: the answer was no. */
  Declined: 1,
  /** `verify`: acknowledged records are damaged. */
  Damaged: 2,
  /** `verify`: the file is no log. */
  NotALog: 3,
  /** The command line is wrong. */
  Usage: 64,
  /** The data is wrong: a damaged log, no log, or lines that cannot be imported. */
  Data: 65,
  /** A file cannot be found. */
  NoInput: 66,
  /** The runtime, the platform or the file system does not do. */
  Unavailable: 69,
  /** A bug of this program. */
  Bug: 70,
  /** The file to be made exists already. */
  Exists: 73,
  /** Reading or writing fails, as on a full disk. */
  IO: 74,
  /** It may work later: the log is locked, full, or moves on faster than it is read. */
  Later: 75,
  /** Access is denied. */
  Permission: 77,
  /** Ctrl-C. */
  Interrupted: 130,
  /** Whoever read the output has gone. */
  BrokenPipe: 141,
  /** SIGTERM. */
  Terminated: 143,
} as const;
/** One of {@linkcode Exit}. */
export type Exit = (typeof Exit)[keyof typeof Exit];

/** An error that says all there is to say, with the code to exit with. */
export class CommandError extends Error {
  override name = "CommandError";
  readonly exit: Exit;

  constructor(exit: Exit, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exit = exit;
  }
}

/** A wrong command line. */
export class UsageError extends CommandError {
  override name = "UsageError";

  constructor(message: string) {
    super(Exit.Usage, message);
  }
}

/** The code for each of the log's errors. */
const BY_CODE: Readonly<Partial<Record<WALErrorCode, Exit>>> = {
  CORRUPT: Exit.Data,
  FORMAT: Exit.Data,
  RUN: Exit.Data,
  SHARDS: Exit.Data,
  REWOUND: Exit.Data,
  TRUNCATED: Exit.Data,
  NOT_FOUND: Exit.NoInput,
  PLATFORM: Exit.Unavailable,
  FILE_SYSTEM: Exit.Unavailable,
  IO: Exit.IO,
  NO_SPACE: Exit.IO,
  SYNC: Exit.IO,
  GONE: Exit.IO,
  LAGGED: Exit.Later,
  LOCKED: Exit.Later,
  FULL: Exit.Later,
  PERMISSION: Exit.Permission,
};

/** The code for each of the system's errors, by name. */
const BY_ERRNO: Readonly<Record<string, Exit>> = {
  EPIPE: Exit.BrokenPipe,
  ENOENT: Exit.NoInput,
  ENOTDIR: Exit.NoInput,
  EISDIR: Exit.NoInput,
  ELOOP: Exit.Data,
  EEXIST: Exit.Exists,
  EACCES: Exit.Permission,
  EPERM: Exit.Permission,
};

/** The code for an error. */
export function exitFor(error: unknown): Exit {
  if (error instanceof CommandError) return error.exit;
  if (error instanceof WALError) {
    const { errno } = error as { readonly errno?: unknown };
    return (errno === "EEXIST" ? Exit.Exists : BY_CODE[error.code]) ?? Exit.IO;
  }
  if (error instanceof RegionError) return error.reason === "PLATFORM" ? Exit.Unavailable : Exit.IO;
  if (error instanceof Error && error.name === "NotCapable") return Exit.Permission; // Deno's sandbox
  const code = errnoOf(error);
  return code === null ? Exit.Bug : BY_ERRNO[code] ?? Exit.IO;
}

/** The name of the system's error that `node:fs` throws, as in `ENOSPC`; null for other errors. */
export function errnoOf(error: unknown): string | null {
  const code = error instanceof Error ? (error as { readonly code?: unknown }).code : undefined;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : null;
}
