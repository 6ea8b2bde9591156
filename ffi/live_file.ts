// LiveFile: the small file beside a log in which its writer tells followers of commits.

/** The path of a log's live file. */
export function livePathOf(path: string): string {
  return `${path}.live`;
}

/** The writer's end of a live file. */
export interface LiveFile {
  /**
   * Replaces the bytes, which the followers notice.
   *
   * @throws {RegionError}
   */
  write(bytes: Uint8Array): void;
  /** False if the path leads to another file, or to none. It never throws. */
  isThere(): boolean;
  /** Removes the file, and gives up the descriptor. It never throws. */
  close(): void;
}
