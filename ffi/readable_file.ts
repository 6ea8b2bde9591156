// ReadableFile: a file that is only read. It is neither locked, nor mapped, nor written.

/** Where a path leads, compared with the file that was opened there. */
export type PathState =
  | "same" // to the open file
  | "other" // to another file, which replaced the open one
  | "missing" // to nothing
  | "unknown"; // the system does not tell

/** An open file that others may write meanwhile. */
export interface ReadableFile {
  /** The absolute path without symbolic links. */
  readonly path: string;
  /** The user that the file belongs to. */
  readonly owner: number;
  /**
   * Copies bytes of the file. Bytes that are written meanwhile may be copied in part.
   *
   * @returns how many bytes there are. Only at the file's end they are fewer than asked for.
   * @throws {RegionError} `IO`, or as the system reports.
   */
  read(offset: number, into: Uint8Array): number;
  /** The file's size now, in bytes. */
  size(): number;
  /** The name of its file system, as in `ext4`; null if the runtime does not tell. */
  fileSystem(): string | null;
  /** Where the path leads now. */
  pathState(): PathState;
  /** The file's size when `pathState()` or `size()` was called last. */
  readonly sizeBytes: number;
  /** Gives up the descriptor. A second call does nothing. */
  close(): void;
}

/** Where files are opened to read: the real disk, or what a test puts in its place. */
export interface ReadingSystem {
  /** @throws {RegionError} `PERMISSION`, `NOT_FOUND`, `NOT_A_FILE`, `IO`. */
  open(path: string): ReadableFile;
  /**
   * Opens a file that need not be there.
   *
   * @returns null if nothing is there that can be read, or something that is no file. A symbolic
   * link is not followed.
   */
  openIfThere(path: string): ReadableFile | null;
  /**
   * Calls back soon after each write of a file, until the returned function is called. It may call
   * back without a write, and it does not keep the process alive.
   *
   * @returns null if the system cannot watch the file.
   */
  watch(path: string, changed: () => void): (() => void) | null;
}
