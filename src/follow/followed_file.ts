// Which file has the log now, and what its header says. A resize or a salvage puts another file in
// place, which a follower goes on in.

import type { ReadableFile, ReadingSystem } from "../../ffi/readable_file.ts";
import { toWALError, WALFileGoneError, WALRewoundError } from "../errors.ts";
import type { Header } from "../format/header.ts";
import type { HeaderMark } from "../format/live_block.ts";
import { sharedThrough } from "../format/lineage.ts";
import { checksumSeed } from "../format/record.ts";
import { fileBytesOf } from "../format/ring.ts";
import { cutFile, noHeader } from "../recovery/refusals.ts";
import type { LSN } from "../types.ts";
import { HeaderReader, SlotReader } from "./log_reader.ts";

/** The file of a followed log. */
export class FollowedFile {
  readonly #reading: ReadingSystem;
  #file: ReadableFile;
  #headers: HeaderReader;
  #header: Header;
  #reader: SlotReader;
  #seed: number;
  /** False if the system did not tell at the last look where the path leads. */
  #isPathKnown = true;

  /** @throws as `WAL.follow()`. */
  constructor(path: string, reading: ReadingSystem) {
    this.#reading = reading;
    const file = this.#file = this.#open(path);
    try {
      const headers = this.#headers = new HeaderReader(file);
      const header = this.#header = newestOf(file, headers);
      this.#seed = checksumSeed(header.logId);
      this.#reader = new SlotReader(file, header);
      const size = file.size();
      if (size < fileBytesOf(header.capacity)) throw cutFile(file.path, size, header);
    } catch (error) {
      file.close();
      throw toWALError(error, path, 0);
    }
  }

  get path(): string {
    return this.#file.path;
  }

  /** The newest header, as of the last look. */
  get header(): Header {
    return this.#header;
  }

  /** How that header is recognized. */
  get mark(): HeaderMark {
    return this.#headers.mark;
  }

  get reader(): SlotReader {
    return this.#reader;
  }

  /** The state from which the checksums of records start. */
  get seed(): number {
    return this.#seed;
  }

  /** What an operator should know of the last look. */
  get warnings(): readonly string[] {
    if (this.#isPathKnown) return [];
    return ["The log's path cannot be inspected: the follower cannot notice that another file replaces it"];
  }

  /**
   * Looks where the path leads, and reads the header.
   *
   * @param given the newest record that a caller was given.
   * @throws {WALFileGoneError} if another log is there, or none, or not all of the file.
   * @throws {WALRewoundError} if a copy of the log is there that lacks what was given.
   */
  look(given: LSN): void {
    const state = this.#file.pathState();
    if (state === "missing") throw this.gone("the file was deleted");
    this.#isPathKnown = state !== "unknown";
    if (state === "other") this.#goOnIn(this.#open(this.path), given);
    else {
      if (state === "unknown") this.#file.size();
      this.readHeader(given);
    }
  }

  /** Reads the header. @throws as `look()`. */
  readHeader(given: LSN): void {
    this.#headers.read();
    this.#take(this.#file, this.#headers, given);
  }

  /** The error for a log that is not there any more. */
  gone(state: string): WALFileGoneError {
    return new WALFileGoneError(this.path, this.#header.durable, undefined, state);
  }

  close(): void {
    this.#file.close();
  }

  #open(path: string): ReadableFile {
    try {
      return this.#reading.open(path);
    } catch (error) {
      throw toWALError(error, path, 0);
    }
  }

  /** Goes on in the file that has taken the path. */
  #goOnIn(file: ReadableFile, given: LSN): void {
    try {
      const old = this.#file;
      this.#take(file, new HeaderReader(file), given);
      old.close();
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Takes what a file says. @throws as `look()`; then nothing has changed. */
  #take(file: ReadableFile, headers: HeaderReader, given: LSN): void {
    const cut = (): WALFileGoneError => this.gone("the file was cut");
    // No writer shortens a file. Where not even the headers are left, they are not damaged.
    if (file === this.#file && file.sizeBytes < fileBytesOf(this.#header.capacity)) throw cut();
    const header = newestOf(file, headers);
    if (file.sizeBytes < fileBytesOf(header.capacity)) throw cut();
    if (header === this.#header) return;
    this.#checkLineage(header, given);
    const seed = checksumSeed(header.logId);
    const isOther = seed !== this.#seed || header.capacity !== this.#header.capacity || file !== this.#file;
    if (isOther) this.#reader = new SlotReader(file, header);
    [this.#file, this.#headers, this.#header, this.#seed] = [file, headers, header, seed];
  }

  /** Refuses a log that is no copy of this one, or lacks what callers were given. */
  #checkLineage({ lineage }: Header, given: LSN): void {
    const { logId } = this.#header.lineage;
    const shared = sharedThrough(lineage, logId);
    if (shared === 0) throw this.gone(`another log, ${lineage.logId}, has taken the place of ${logId}`);
    if (shared < given) throw new WALRewoundError(this.path, given);
  }
}

/** The newest header of a file. */
function newestOf(file: ReadableFile, { pair, bytes }: HeaderReader): Header {
  if (pair.newest === null) throw noHeader(file.path, pair, bytes);
  return pair.newest;
}
