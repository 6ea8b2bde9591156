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
  /** Gives up the descriptor. A second call does nothing. */
  close(): void;
}

/** Opens files to read. The real disk, or what a test puts in its place. */
export type OpenToRead = (path: string) => ReadableFile;
