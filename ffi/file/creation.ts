// Makes a new file, whole or not at all: temporary name, lock, zeros, sync, final name, sync of the
// directory.

import { directorySync, splitPath } from "./directory.ts";
import { asRegionError, gone, Undo } from "./failure.ts";
import { RegionError } from "../region.ts";
import { runNow, type Steps, TURN } from "./steps.ts";
import { type System, SystemError } from "../system/system.ts";

/**
 * Bytes written at once. Larger writes would leave large folios in the page cache, and a store
 * through the mapping makes a whole folio dirty (H35).
 */
const BLOCK_BYTES = 4096;
/** Bytes written in one turn of the event loop, if the loop must not be held. */
const PIECE_BYTES = 256 * 1024;
/**
 * Bytes between two syncs of a file that is written: the kernel stops a writer that is too far
 * ahead.
 */
const SYNC_BYTES = 64 * PIECE_BYTES;
/** How often another creator may win before this one gives up. */
const ATTEMPTS = 100;

/** A file to make. */
export interface NewFile {
  /** Absolute; its directory contains no symbolic links. */
  readonly path: string;
  readonly sizeBytes: number;
  /** The first bytes; zeros follow. They are asked for once the temporary file is locked. */
  readonly chunks: () => Iterable<Uint8Array>;
  /**
   * Bytes written at once. They may be more than a page only if the file is closed before anything
   * is stored into it.
   *
   * @default {4096}
   */
  readonly blockBytes?: number | undefined;
  /** The file that the new one replaces. */
  readonly replaces?: OldFile | undefined;
  /** Inspects the empty file. It refuses the file by throwing. */
  readonly inspect?: ((fd: number) => void) | undefined;
  /** Finds the process that holds the lock, through a descriptor of the file. */
  readonly ownerOf?: ((fd: number) => number | null) | undefined;
}

/** The file to be replaced. Whoever replaces it holds its lock. */
export interface OldFile {
  readonly device: bigint;
  readonly inode: bigint;
  /** The path that it gets, in the same directory. */
  readonly keepAs: string;
  /**
   * Gives it its name again. Called if something fails once the new file has that name. The new
   * file is still locked then, because whoever finds it unlocked would go on in it.
   */
  readonly putBack?: (() => void) | undefined;
}

/**
 * Where a file is made. Each path has one fixed temporary name, so a crash leaves at most one file.
 * The next creation takes that over, and the next opening removes it. All temporary names have the
 * same length, so a long file name does not make them too long. Names that some file system takes
 * for one name share a temporary name.
 */
export function temporaryPath(path: string): string {
  return hiddenPath(path, "new");
}

/** The other name of a file while a new one replaces it. The next opening removes that name. */
export function replacedPath(path: string): string {
  return hiddenPath(path, "old");
}

function hiddenPath(path: string, which: "new" | "old"): string {
  const { directory, name } = splitPath(path);
  const hash = fnv1a(name.normalize("NFC").toLowerCase()).toString(16).padStart(16, "0");
  return `${directory === "/" ? "" : directory}/.cidstore-wal-${which}-${hash}`;
}

/** FNV-1a (Fowler, Noll, Vo) of 64 bits, of the text in UTF-8. */
function fnv1a(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash;
}

/**
 * Makes a file. It is locked from before its first byte, so nobody finds it unlocked at its path.
 *
 * @returns the locked descriptor; null if there is a file at the path and `replaces` is not given.
 * @throws {RegionError} `LOCKED` while another process makes or uses the file. After an error the
 * path is as it was.
 */
export function createFile(system: System, file: NewFile): number | null {
  return runNow(creation(system, file));
}

/** `createFile()` in steps: each chunk is produced in a turn of its own. */
export function* creation(system: System, file: NewFile): Steps<number | null> {
  try {
    checkLimit(system, file);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const made = yield* tryToCreate(system, file);
      if (made !== "again") return made;
    }
  } catch (error) {
    throw asRegionError(error, file.replaces === undefined ? "create" : "replace", file.path);
  }
  throw locked(file.path, null);
}

/**
 * Refuses a file that this process may not write. Such a write would end the process, and leave the
 * temporary file.
 */
function checkLimit(system: System, { path, sizeBytes }: NewFile): void {
  const limit = system.fileSizeLimit;
  if (sizeBytes <= limit) return;
  const message =
    `Cannot create ${JSON.stringify(path)}: it takes ${sizeBytes} bytes, and this process may write files of ` +
    `${limit} bytes at most (RLIMIT_FSIZE, ulimit -f)`;
  throw new RegionError("NO_SPACE", message, { path, call: "getrlimit", errno: "EFBIG" });
}

/** The error for a file that another opener has locked. */
export function locked(path: string, ownerPid: number | null): RegionError {
  const who = ownerPid === null ? "another opener" : `process ${ownerPid}`;
  const message = `Cannot open ${JSON.stringify(path)}: it is locked by ${who}`;
  return new RegionError("LOCKED", message, ownerPid === null ? { path } : { path, ownerPid });
}

function* tryToCreate(system: System, file: NewFile): Steps<number | null | "again"> {
  const temporary = temporaryPath(file.path);
  const undo = new Undo();
  let isReplaced = false;
  try {
    const fd = system.open(temporary, "create");
    undo.add(() => system.close(fd));
    if (!system.lock(fd)) throw locked(file.path, file.ownerOf?.(fd) ?? null);
    if (!claimTemporary(system, fd, temporary)) {
      undo.unwind();
      return "again";
    }
    // The step counts only while the name is ours. Later the name may belong to the next creator.
    const disown = undo.add(() => system.unlink(temporary));
    const { replaces, path } = file;
    const isTaken = replaces === undefined && system.lstat(path) !== null;
    if (!isTaken) yield* fill(system, fd, file);
    if (replaces !== undefined) {
      replace(system, temporary, path, replaces, undo, disown);
      isReplaced = true;
    } else if (isTaken || !place(system, temporary, path, undo, disown)) {
      undo.unwind();
      return null;
    }
    const { directory } = splitPath(path);
    yield directorySync(system, directory);
    return fd;
  } catch (error) {
    try {
      if (isReplaced) file.replaces?.putBack?.();
    } finally {
      undo.unwind();
    }
    throw error;
  }
}

/**
 * True if the locked inode is at the temporary name, and only there.
 *
 * Its last owner may have renamed or removed it between our open and our lock. A second link means
 * that a creator crashed between the link and the unlink. Then the inode is the log, and only the
 * temporary name is removed.
 */
export function claimTemporary(system: System, fd: number, temporary: string): boolean {
  const locked = system.fstat(fd);
  const named = system.lstat(temporary);
  if (named === null || named.inode !== locked.inode || named.device !== locked.device) return false;
  if (locked.links === 1) return true;
  system.unlink(temporary);
  return false;
}

function* fill(system: System, fd: number, file: NewFile): Steps<void> {
  system.truncate(fd, 0);
  // Only an empty file takes the flag.
  system.noCopyOnWrite(fd, "set");
  file.inspect?.(fd);
  system.allocate(fd, file.sizeBytes);
  yield* writeBlocks(system, fd, file);
  yield { now: () => system.fsync(fd), later: () => system.fsyncAsync(fd) };
}

/**
 * Writes the chunks, then real zeros. Extents that are allocated but not written would make each
 * first sync a journal commit (H15).
 */
function* writeBlocks(system: System, fd: number, file: NewFile): Steps<void> {
  const { sizeBytes, blockBytes = BLOCK_BYTES } = file;
  const block = new Uint8Array(blockBytes);
  let offset = 0;
  let filled = 0;
  const flush = () => {
    const bytes = Math.min(blockBytes, sizeBytes - offset);
    if (filled > bytes) {
      throw new RangeError(`the chunks are longer than the file's ${sizeBytes} bytes`);
    }
    system.write(fd, bytes === blockBytes ? block : block.subarray(0, bytes), offset);
    offset += bytes;
    filled = 0;
  };
  let synced = 0;
  function* pause(): Steps<void> {
    if (offset - synced >= SYNC_BYTES) {
      synced = offset;
      yield { now: () => {}, later: () => system.fsyncAsync(fd) };
    }
    yield TURN;
  }
  yield TURN;
  for (const chunk of file.chunks()) {
    for (let from = 0; from < chunk.length;) {
      const count = Math.min(blockBytes - filled, chunk.length - from);
      block.set(chunk.subarray(from, from + count), filled);
      filled += count;
      from += count;
      if (filled === blockBytes) flush();
    }
    yield* pause();
  }
  block.fill(0, filled);
  if (filled > 0) flush();
  block.fill(0);
  while (offset < sizeBytes) {
    flush();
    if (offset % PIECE_BYTES === 0) yield* pause();
  }
}

/**
 * Gives the file its final name if that is free. It links, because a rename would replace a file
 * that came there meanwhile.
 */
function place(system: System, temporary: string, path: string, undo: Undo, disown: () => void): boolean {
  let isLinked = false;
  try {
    system.link(temporary, path);
    isLinked = true;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.errno === "EEXIST") return false;
    // This file system has no links (exFAT). The lock on the temporary file keeps other creators
    // out.
    if (!["EPERM", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EMLINK"].includes(error.errno)) throw error;
    if (system.lstat(path) !== null) return false;
    system.rename(temporary, path);
  }
  undo.add(() => system.unlink(path));
  if (isLinked) system.unlink(temporary);
  disown();
  return true;
}

/**
 * Gives the old file its other name, then gives its name to the new file. At each moment there is a
 * file at the path. If the last sync of the directory fails, both files stay, or the old one is put
 * back.
 */
function replace(
  system: System,
  temporary: string,
  path: string,
  { device, inode, keepAs }: OldFile,
  undo: Undo,
  disown: () => void,
): void {
  system.link(path, keepAs);
  const keep = undo.add(() => system.unlink(keepAs));
  // The kept file must be the locked one, because programs that ignore the lock can move other
  // files to the path.
  const kept = system.lstat(keepAs);
  if (kept === null || kept.inode !== inode || kept.device !== device) throw gone(path);
  // A file system may make names durable in any order, and the old file must keep one.
  directorySync(system, splitPath(path).directory).now();
  system.rename(temporary, path);
  keep();
  disown();
}
