// A new file, whole or not at all: temporary name, lock, zeros, sync, final name, sync of the
// directory.

import { directorySync, splitPath } from "./directory.ts";
import { asRegionError, gone, Undo } from "./failure.ts";
import { RegionError } from "../region.ts";
import { runNow, type Steps, TURN } from "./steps.ts";
import { type System, SystemError } from "../system/system.ts";

/**
 * Larger writes would leave large folios in the page cache, of which a store through a mapping
 * makes all bytes dirty (H35).
 */
const BLOCK_BYTES = 4096;
/**
 * Written at once, and synced now and then if others are to have their turn: with too much
 * unwritten, the kernel stops the writer.
 */
const PIECE_BYTES = 256 * 1024;
const SYNC_BYTES = 64 * PIECE_BYTES;
/** How often another creator may get in between before we give up. */
const ATTEMPTS = 100;

/** A file to make. */
export interface NewFile {
  /** Absolute, in a directory without symbolic links in its path. */
  readonly path: string;
  readonly sizeBytes: number;
  /** The first bytes; zeros follow. Asked for once the temporary file is ours. */
  readonly chunks: () => Iterable<Uint8Array>;
  /**
   * Bytes that are written at once; more than a page only where the file is closed before anything
   * is stored into it.
   *
   * @default {4096}
   */
  readonly blockBytes?: number | undefined;
  /** Put it in the place of this file. */
  readonly replaces?: OldFile | undefined;
  /** Looks at the empty file; may refuse by throwing. */
  readonly inspect?: ((fd: number) => void) | undefined;
  /** Names the owner of a file that is locked, from its descriptor. */
  readonly ownerOf?: ((fd: number) => number | null) | undefined;
}

/** A file at the path of a new one. Who replaces it holds its lock. */
export interface OldFile {
  readonly device: bigint;
  readonly inode: bigint;
  /** Where it is kept, in the same directory. */
  readonly keepAs: string;
}

/**
 * Where a file is built. One fixed name for each path, so that a crash leaves at most one, which
 * the next creation takes over; and of one length, so that whatever name a file may have, this one
 * fits too. Names that some file system takes for the same one have the same one here.
 */
export function temporaryPath(path: string): string {
  const { directory, name } = splitPath(path);
  const folded = name.normalize("NFC").toLowerCase();
  return `${directory === "/" ? "" : directory}/.cidstore-wal-new-${fnv1a(folded).toString(16).padStart(16, "0")}`;
}

/** FNV-1a of 64 bits, of the text as UTF-8. */
function fnv1a(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash;
}

/**
 * Makes a file. Its lock is held from before its first byte, so that whoever finds it at its path
 * finds it locked.
 *
 * @returns its descriptor, locked; null if there is a file at the path and `replaces` is not given.
 * @throws {RegionError} `LOCKED` while another creates or uses the file. After an error the path is
 * as it was.
 */
export function createFile(system: System, file: NewFile): number | null {
  return runNow(creation(system, file));
}

/** `createFile()` in steps: each chunk is asked for in a turn of its own. */
export function* creation(system: System, file: NewFile): Steps<number | null> {
  try {
    checkLimit(system, file);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const made = yield* tryToCreate(system, file);
      if (made !== "again") return made;
    }
  } catch (error) {
    throw asRegionError(error, "create", file.path);
  }
  throw locked(file.path, null);
}

/**
 * Asked first, as the write that goes too far would end the process, and leave the temporary file.
 */
function checkLimit(system: System, { path, sizeBytes }: NewFile): void {
  const limit = system.fileSizeLimit;
  if (sizeBytes <= limit) return;
  const message =
    `Cannot create ${JSON.stringify(path)}: it takes ${sizeBytes} bytes, and this process may write files of ` +
    `${limit} bytes at most (RLIMIT_FSIZE, ulimit -f)`;
  throw new RegionError("NO_SPACE", message, { path, call: "getrlimit", errno: "EFBIG" });
}

/** Another has the file. */
export function locked(path: string, ownerPid: number | null): RegionError {
  const who = ownerPid === null ? "another opener" : `process ${ownerPid}`;
  const message = `Cannot open ${JSON.stringify(path)}: it is locked by ${who}`;
  return new RegionError("LOCKED", message, ownerPid === null ? { path } : { path, ownerPid });
}

function* tryToCreate(system: System, file: NewFile): Steps<number | null | "again"> {
  const temporary = temporaryPath(file.path);
  const undo = new Undo();
  try {
    const fd = system.open(temporary, "create");
    undo.add(() => system.close(fd));
    if (!system.lock(fd)) throw locked(file.path, file.ownerOf?.(fd) ?? null);
    if (!claimTemporary(system, fd, temporary)) {
      undo.run();
      return "again";
    }
    // Only for as long as the name is ours: later it may be the next creator's.
    const disown = undo.add(() => system.unlink(temporary));
    const { replaces, path } = file;
    const isTaken = replaces === undefined && system.lstat(path) !== null;
    if (!isTaken) yield* fill(system, fd, file);
    if (replaces !== undefined) replace(system, temporary, path, replaces, undo, disown);
    else if (isTaken || !place(system, temporary, path, undo, disown)) {
      undo.run();
      return null;
    }
    const { directory } = splitPath(path);
    yield directorySync(system, directory);
    return fd;
  } catch (error) {
    undo.run();
    throw error;
  }
}

/**
 * Is the locked inode still at the temporary name? Its last owner may have given it its final name,
 * or removed it, between our open and our lock. A second link means that it crashed in between:
 * then the inode is the log, and only the name is ours.
 */
function claimTemporary(system: System, fd: number, temporary: string): boolean {
  const locked = system.fstat(fd);
  const named = system.lstat(temporary);
  if (named === null || named.inode !== locked.inode || named.device !== locked.device) return false;
  if (locked.links === 1) return true;
  system.unlink(temporary);
  return false;
}

function* fill(system: System, fd: number, file: NewFile): Steps<void> {
  system.truncate(fd, 0);
  // Only an empty file takes the attribute.
  system.noCopyOnWrite(fd, "set");
  file.inspect?.(fd);
  system.allocate(fd, file.sizeBytes);
  yield* writeBlocks(system, fd, file);
  yield { now: () => system.fsync(fd), later: () => system.fsyncAsync(fd) };
}

/**
 * Writes the chunks and then real zeros: allocated but unwritten extents would make each first sync
 * a journal commit (H15).
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
 * Gives the file its name if that is free. A link, as a rename would replace a file that came there
 * meanwhile.
 */
function place(system: System, temporary: string, path: string, undo: Undo, disown: () => void): boolean {
  let isLinked = false;
  try {
    system.link(temporary, path);
    isLinked = true;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.errno === "EEXIST") return false;
    // A file system without links (exFAT). The lock on the temporary name keeps other creators out.
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
 * Gives the old file its other name, and the new file the old one's. At each moment there is a file
 * at the path. Should the directory's sync fail after that, both files stay.
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
  // What is kept must be what is locked: programs that know nothing of the lock can move other
  // files to the path.
  const kept = system.lstat(keepAs);
  if (kept === null || kept.inode !== inode || kept.device !== device) throw gone(path);
  // A file system may make names durable in any order: the old file must not be left without one.
  directorySync(system, splitPath(path).directory).now();
  system.rename(temporary, path);
  keep();
  disown();
}
