// Tells followers in other processes of commits, through a small file beside the log. It is help
// and no promise: a failure costs the followers time, and never fails the log.

import type { LiveFile } from "../../ffi/live_file.ts";
import type { Region, Storage } from "../../ffi/region.ts";
import type { Header } from "../format/header.ts";
import { LIVE_BYTES } from "../format/layout.ts";
import { type HeaderMark, isLiveFile, markOf, newLiveBlock, writeLiveBlock } from "../format/live_block.ts";
import type { Positions } from "./positions.ts";
import { QuietTimer } from "./quiet_timer.ts";

/** The file is written at most this often … */
const LEAST_MS = 1;
/** … or this often after more commits than that in between, whose time a write takes. */
const BUSY_MS = 2;
const BUSY_COMMITS = 4;
/** The file is looked for this often, in case somebody removed or replaced it. */
const LOOK_MS = 1000;

/** What a publisher needs of its log. */
export interface PublishedLog {
  readonly positions: Positions;
  readonly header: { readonly latest: Header };
  readonly memory: { readonly region: Region };
  nowMs(): number;
}

/** The writer's side of a log's live file. */
export class Publisher {
  readonly #log: PublishedLog;
  readonly #open: () => LiveFile;
  readonly #block: Uint8Array;
  readonly #timer = new QuietTimer();
  #file: LiveFile | null = null;
  /** Of the header of the last write. */
  #mark: HeaderMark;
  /** Since the last write. */
  #commits = 0;
  /** From the last write to the next one, at least. */
  #restMs = LEAST_MS;
  #writtenMs = -Infinity;
  #lookedMs = -Infinity;
  /** What an operator should know; null for nothing. */
  warning: string | null = null;

  /** @param open makes the file. It throws a `RegionError`. */
  constructor(log: PublishedLog, open: () => LiveFile) {
    this.#log = log;
    this.#open = open;
    this.#block = newLiveBlock(log.header.latest.logId);
    this.#mark = this.#readMark();
    this.#write(log.nowMs());
  }

  /** Says what is durable now, or soon if the file was just written. */
  publish(): void {
    this.#commits++;
    if (this.#timer.isSet) return;
    const nowMs = this.#log.nowMs();
    const leftMs = this.#writtenMs + this.#restMs - nowMs;
    if (leftMs <= 0) this.#write(nowMs);
    else this.#timer.set(leftMs, () => this.#write(this.#log.nowMs()));
  }

  /** Removes the file. */
  close(): void {
    this.#timer.clear();
    this.#file?.close();
    this.#file = null;
  }

  #write(nowMs: number): void {
    this.#writtenMs = nowMs;
    this.#restMs = this.#commits > BUSY_COMMITS ? BUSY_MS : LEAST_MS;
    this.#commits = 0;
    try {
      if (nowMs - this.#lookedMs >= LOOK_MS) this.#look(nowMs);
      if (this.#file === null) return;
      const { header, positions } = this.#log;
      if (this.#mark.writeCounter !== header.latest.writeCounter) this.#mark = this.#readMark();
      writeLiveBlock(this.#block, this.#mark, positions.head, positions.durable);
      this.#file.write(this.#block);
      this.warning = null;
    } catch (error) {
      this.warning = `Followers are not told of commits, and have to poll: ${(error as Error).message}`;
    }
  }

  #readMark(): HeaderMark {
    const { header, memory } = this.#log;
    return markOf(memory.region.memory.bytes(), header.latest);
  }

  #look(nowMs: number): void {
    this.#lookedMs = nowMs;
    if (this.#file?.isThere()) return;
    this.#file?.close();
    this.#file = null;
    this.#file = this.#open();
  }
}

/** The publisher of a log that is to tell its followers; null for a log in memory. */
export function publisherOf(log: PublishedLog & { readonly path: string | null }, storage: Storage): Publisher | null {
  const { path } = log;
  if (path === null) return null;
  return new Publisher(log, () => {
    if (storage.openLive === undefined) throw new TypeError("the storage has no live files");
    return storage.openLive(path, LIVE_BYTES, isLiveFile);
  });
}
