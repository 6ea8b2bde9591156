// FileAtPath: whether the file of an open region is still at its path, and whole.

import { assert } from "../assert.ts";
import { isAbsence, type System, SystemError, type WatchedPath } from "../system/system.ts";

/** The file that was opened. */
export interface OpenedFile {
  readonly fd: number;
  readonly device: bigint;
  readonly inode: bigint;
  readonly sizeBytes: number;
}

/** An open file and the path that led to it. */
export class FileAtPath {
  readonly #system: System;
  readonly #watched: WatchedPath;
  readonly #opened: OpenedFile;
  /** Why the last check of the path failed; null if it succeeded. */
  #unseen: SystemError | null = null;

  constructor(system: System, watched: WatchedPath, opened: OpenedFile) {
    assert(opened.sizeBytes > 0, "a file that is mapped has bytes");
    this.#system = system;
    this.#watched = watched;
    this.#opened = opened;
  }

  /** What an operator should know about the path. */
  get warnings(): string[] {
    const warnings: string[] = [];
    const { links } = this.#watched;
    if (links > 1) {
      warnings.push(
        `The log's file has ${links} names: a hard link changes with the log and is no copy; backup() makes a copy`,
      );
    }
    if (this.#unseen !== null) {
      const { call, errno } = this.#unseen;
      warnings.push(
        `The log's path cannot be inspected (${call} fails with ${errno}): the log cannot notice that another file replaces it`,
      );
    }
    return warnings;
  }

  /**
   * True if the path leads to the file, or if the path cannot be inspected and the open file seems
   * whole.
   */
  isThere(): boolean {
    const { device, inode, sizeBytes } = this.#opened;
    try {
      const isThere = this.#watched.is(device, inode, sizeBytes);
      this.#unseen = null;
      return isThere;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#unseen = error;
      return !isAbsence(error) && this.#isHeld();
    }
  }

  /** True if the open file is known to have been cut. */
  isCut(): boolean {
    try {
      return this.#system.fstat(this.#opened.fd).sizeBytes < this.#opened.sizeBytes;
    } catch {
      return false;
    }
  }

  /** True if the open file has a name and its full size, as far as its descriptor tells. */
  #isHeld(): boolean {
    try {
      const { links, sizeBytes } = this.#system.fstat(this.#opened.fd);
      return links > 0 && sizeBytes === this.#opened.sizeBytes;
    } catch (error) {
      // A failure says nothing, except ESTALE: then a server no longer has the file.
      return error instanceof SystemError && error.errno !== "ESTALE";
    }
  }
}
