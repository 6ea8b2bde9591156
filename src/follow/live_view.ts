// The follower's end of the live file. It may be missing, left behind by a dead writer, or somebody
// else's, so what it says counts only for the header that it names.

import { Buffer } from "node:buffer";
import { livePathOf } from "../../ffi/live_file.ts";
import type { ReadableFile, ReadingSystem } from "../../ffi/readable_file.ts";
import { LIVE_BYTES } from "../format/layout.ts";
import { type HeaderMark, type LiveBlock, readLiveBlock } from "../format/live_block.ts";

/** How often it is looked whether the file is there. */
const LOOK_MS = 50;
/** How often a block is read that the writer stores meanwhile. */
const BLOCK_LOOKS = 3;
const ROOT = 0;

/** Reads the live file of a log. */
export class LiveView {
  readonly #reading: ReadingSystem;
  readonly #owner: number;
  readonly #bytes = new Uint8Array(LIVE_BYTES);
  /** Where the live file is. */
  readonly path: string;
  #lookedMs = -Infinity;
  /** The open file; null if there is none that may be trusted. */
  file: ReadableFile | null = null;

  constructor(reading: ReadingSystem, log: ReadableFile) {
    this.#reading = reading;
    this.path = livePathOf(log.path);
    this.#owner = log.owner;
  }

  /**
   * What the writer tells; null if it tells nothing.
   *
   * @param mark of the newest header in the log.
   */
  read(logId: Uint8Array, mark: HeaderMark): LiveBlock | null {
    this.find();
    const block = this.#block();
    const counts = block !== null && block.writeCounter === mark.writeCounter && block.headerCrc === mark.headerCrc &&
      Buffer.compare(block.logId, logId) === 0;
    return counts ? block : null;
  }

  /** Opens the file that is there, unless it was looked for just before. */
  find(): void {
    const nowMs = performance.now();
    if (nowMs - this.#lookedMs < LOOK_MS) return;
    this.#lookedMs = nowMs;
    if (this.file?.pathState() === "same") return;
    this.close();
    const file = this.#reading.openIfThere(this.path);
    if (file === null || file.owner === this.#owner || file.owner === ROOT) this.file = file;
    else file.close();
  }

  close(): void {
    this.file?.close();
    this.file = null;
  }

  #block(): LiveBlock | null {
    for (let look = 1; this.file !== null && look <= BLOCK_LOOKS; look++) {
      try {
        if (this.file.read(0, this.#bytes) < LIVE_BYTES) return null;
      } catch {
        return null;
      }
      const block = readLiveBlock(this.#bytes);
      if (block !== null) return block;
    }
    return null;
  }
}
