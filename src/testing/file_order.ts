// In which order calls of a store change the files of its directory.
//
// Linux tells of changes in the order in which they were made, whoever makes them and however. So a
// call that changes one file after another can be crashed in between: the files that were changed
// later are put back to what they were when the call began. Files that a call changes by turns
// cannot be put back like that.

import { Buffer } from "node:buffer";
import { type FSWatcher, readdirSync, readFileSync, statSync, unlinkSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";

/** A moment within a call, between the changes of some files and those of others. */
export interface TornCall {
  /** Which call, as it was given to `begin()`. */
  readonly call: number;
  /** The files that the call had not changed yet. */
  readonly old: readonly string[];
}

/** What was found out about the calls. */
export interface FileChanges {
  readonly torn: readonly TornCall[];
  /** Sentences that say which moments within calls are not known. */
  readonly unseen: readonly string[];
}

/** A file at some moment. */
interface FileState {
  readonly bytes: Uint8Array;
  /** Another number for a file that has taken the place of another one. */
  readonly inode: number;
}
type Snapshot = ReadonlyMap<string, FileState>;

/** A call that has ended, and the files that differ. */
interface ChangingCall {
  readonly call: number;
  readonly what: string;
  readonly changed: readonly string[];
}

const MARK = ".wal-crash-test-";
/** Larger directories are not read at each call. */
const MOST_BYTES = 2 ** 24;
/** How long to wait for the news of a change. */
const PATIENCE_MS = 2000;

/** Watches one directory, from `open()` on. */
export class FileOrder implements Disposable {
  #directory: string | null = null;
  /** Null where nobody tells the order of changes. */
  #watcher: FSWatcher | null = null;
  /** The names of files that were changed, and of marks, in order. */
  readonly #news: string[] = [];
  #wake = () => {};
  #before: Snapshot | null = new Map();
  readonly #calls: ChangingCall[] = [];
  readonly #unseen = new Set<string>();

  open(directory: string): void {
    this.#directory = directory;
    this.#watcher = process.platform === "linux" ? this.#watch(directory) : null;
  }

  #watch(directory: string): FSWatcher | null {
    try {
      const watcher = watch(directory, (_, name) => {
        this.#news.push(String(name));
        this.#wake();
      });
      watcher.on("error", () => {});
      return watcher;
    } catch {
      return null; // there are too many watchers, or the sandbox has none
    }
  }

  /** A call begins. */
  begin(call: number): void {
    if (this.#directory === null) return;
    this.#before = this.#read(this.#directory);
    this.#mark(`begin-${call}`);
  }

  /**
   * The call has returned.
   *
   * @param what the call, in words.
   * @param hasSteps true if crashes come within the call anyway.
   */
  end(call: number, what: string, hasSteps: boolean): void {
    if (this.#directory === null) return;
    const [before, after] = [this.#before, this.#read(this.#directory)];
    this.#mark(`end-${call}`);
    if (before === null || after === null) return;
    const changed = [...new Set([...before.keys(), ...after.keys()])].filter((name) =>
      !isSame(before.get(name), after.get(name))
    );
    if (changed.length > 1) this.#calls.push({ call, what, changed });
    if (hasSteps) return;
    for (const name of changed) {
      if (before.has(name) && before.get(name)!.inode === after.get(name)?.inode) {
        this.#unseen.add(
          `${what} changed ${JSON.stringify(name)} in its place, and no home.step() is between its writes`,
        );
      }
    }
  }

  /** What is known after the last call. */
  async finish(): Promise<FileChanges> {
    const torn: TornCall[] = [];
    const isHeard = this.#calls.length > 0 && this.#watcher !== null && await this.#hearAll();
    for (const { call, what, changed } of this.#calls) {
      const news = this.#newsOf(call).filter((name) => changed.includes(name));
      if (!isHeard || !changed.every((name) => news.includes(name))) {
        this.#unseen.add(`${what} changed ${changed.length} files, and their order is not known here`);
      } else {
        torn.push(...momentsBetween(news).map((old) => ({ call, old })));
      }
    }
    return { torn, unseen: [...this.#unseen] };
  }

  #newsOf(call: number): readonly string[] {
    const from = this.#news.lastIndexOf(`${MARK}begin-${call}`);
    return this.#news.slice(from + 1, this.#news.indexOf(`${MARK}end-${call}`));
  }

  /** Waits for the news of a last change, which come after all others. */
  async #hearAll(): Promise<boolean> {
    const last = this.#mark("last");
    let hasWaited = false;
    const timer = setTimeout(() => {
      hasWaited = true;
      this.#wake();
    }, PATIENCE_MS);
    while (!hasWaited && !this.#news.includes(last)) await new Promise<void>((resolve) => this.#wake = resolve);
    clearTimeout(timer);
    return this.#news.includes(last);
  }

  /** Makes a file for a moment, whose news stand for this place in the order. */
  #mark(name: string): string {
    const file = `${MARK}${name}`;
    if (this.#watcher === null || this.#directory === null) return file;
    const path = join(this.#directory, file);
    writeFileSync(path, "");
    unlinkSync(path);
    return file;
  }

  /** All files; null if they are too large to be read at each call. */
  #read(directory: string): Snapshot | null {
    const files = new Map<string, FileState>();
    let total = 0;
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const { name } = entry;
      // SQLite makes this one anew from its other files.
      if (!entry.isFile() || name.endsWith("-shm")) {
        if (entry.isDirectory()) {
          this.#unseen.add(`${JSON.stringify(name)} is a directory, whose files are not watched`);
        }
        continue;
      }
      const path = join(directory, name);
      const { size, ino } = statSync(path, { throwIfNoEntry: false }) ?? { size: 0, ino: 0 };
      if (ino === 0) continue; // something goes on in the background
      total += size;
      if (total > MOST_BYTES) {
        this.#unseen.add(`the store's files have more than ${MOST_BYTES} bytes, and are not watched`);
        return null;
      }
      files.set(name, { bytes: readFileSync(path), inode: ino });
    }
    return files;
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }
}

/**
 * For each moment between the last change of some files and the first change of all others: those
 * others.
 */
function momentsBetween(news: readonly string[]): string[][] {
  const files = [...new Set(news)];
  const moments: string[][] = [];
  for (let i = 1; i < news.length; i++) {
    const old = files.filter((name) => news.indexOf(name) >= i);
    const isOver = files.every((name) => old.includes(name) || news.lastIndexOf(name) < i);
    if (isOver && old.length > 0) moments.push(old);
  }
  return moments;
}

function isSame(one: FileState | undefined, other: FileState | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.inode === other.inode && Buffer.compare(one.bytes, other.bytes) === 0;
}
