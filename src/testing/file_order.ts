// In which order calls of a store change the files of its directory.
//
// Linux tells of changes in the order in which they were made, whoever makes them and however. So a
// call that changes one file after another can be crashed in between: the files that were changed
// later are put back to what they were when the call began.
//
// What a file contained between two of its own changes is not known. So no moment counts at which
// some file was changed before and after it, also if it ends as it began, as a journal does.

import { Buffer } from "node:buffer";
import { type FSWatcher, readdirSync, readFileSync, statSync, unlinkSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";
import { textOf } from "./broken_promise.ts";

/** A moment within a call, between the changes of some files and those of others. */
export interface TornCall {
  /** Which store gets the call, from 0. */
  readonly store: number;
  /** The number of the call, as it was given to `begin()`. */
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
  readonly hasSteps: boolean;
}

const MARK = ".wal-crash-test-";
/** Larger directories are not read at each call. */
const MOST_BYTES = 2 ** 24;
/** How long to wait for the news of a change. */
const PATIENCE_MS = 2000;

/** Watches one directory, from `open()` on. */
export class FileOrder implements Disposable {
  readonly #store: number;
  #directory: string | null = null;
  /** Null where nobody tells the order of changes. */
  #watcher: FSWatcher | null = null;
  /** The names of files that were changed, and of marks, in order. */
  readonly #news: string[] = [];
  #wake = () => {};
  #before: Snapshot | null = new Map();
  readonly #calls: ChangingCall[] = [];
  readonly #unseen = new Set<string>();

  /** @param store the number of the store whose directory it is, from 0. */
  constructor(store = 0) {
    this.#store = store;
  }

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
    if (changed.length > 1) this.#calls.push({ call, what, changed, hasSteps });
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
    for (const { call, what, changed, hasSteps } of this.#calls) {
      const news = isHeard ? this.#newsOf(call) : [];
      const isKnown = changed.every((name) => news.includes(name));
      const moments = isKnown ? momentsBetween(news, changed) : [];
      torn.push(...moments.map((old) => ({ store: this.#store, call, old })));
      if (moments.length > 0 || hasSteps) continue;
      const files = changed.toSorted().map((name) => JSON.stringify(name)).join();
      const unknown = isKnown ? "what was there in between" : "in which order";
      this.#unseen.add(`${what} changed ${files}, and it is not known ${unknown}`);
    }
    return { torn, unseen: [...this.#unseen] };
  }

  /** The changes that a call made; none if they are not known. */
  #newsOf(call: number): readonly string[] {
    const from = this.#news.lastIndexOf(`${MARK}begin-${call}`);
    const to = this.#news.indexOf(`${MARK}end-${call}`);
    return from < 0 || to < 0 ? [] : this.#news.slice(from + 1, to).filter((name) => !isRemade(name));
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
    try {
      writeFileSync(path, "");
      unlinkSync(path);
    } catch { /* the store has removed its directory, say; then the mark is missing */ }
    return file;
  }

  /** All files; null if they cannot be read at each call. */
  #read(directory: string): Snapshot | null {
    try {
      return readFiles(directory);
    } catch (error) {
      this.#unseen.add(`the store's files are not watched: ${textOf(error)}`);
      return null;
    }
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }
}

/** @throws {Error} if there is anything else than files, or more of them than can be read. */
function readFiles(directory: string): Snapshot {
  const files = new Map<string, FileState>();
  let total = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const { name } = entry;
    if (isRemade(name)) continue;
    if (!entry.isFile()) throw new RangeError(`${JSON.stringify(name)} is a directory or a link`);
    const path = join(directory, name);
    const status = statSync(path, { throwIfNoEntry: false });
    if (status === undefined) continue; // something goes on in the background
    total += status.size;
    if (total > MOST_BYTES) throw new RangeError(`they have more than ${MOST_BYTES} bytes`);
    files.set(name, { bytes: readFileSync(path), inode: status.ino });
  }
  return files;
}

/** True for a file that SQLite makes anew from its others. */
function isRemade(name: string): boolean {
  return name.endsWith("-shm");
}

/**
 * The moments of a call at which each file had all of its changes behind or before it. For each of
 * them, the files that were changed later.
 */
function momentsBetween(news: readonly string[], changed: readonly string[]): string[][] {
  const files = [...new Set(news)].map((name) => ({
    name,
    first: news.indexOf(name),
    last: news.lastIndexOf(name),
    counts: changed.includes(name),
  }));
  const moments = new Map<string, string[]>();
  for (let at = 1; at < news.length; at++) {
    if (files.some(({ first, last }) => first < at && last >= at)) continue;
    const old = files.filter(({ first, counts }) => counts && first >= at).map(({ name }) => name);
    if (old.length > 0 && old.length < changed.length) moments.set(old.join("/"), old);
  }
  return [...moments.values()];
}

function isSame(one: FileState | undefined, other: FileState | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.inode === other.inode && Buffer.compare(one.bytes, other.bytes) === 0;
}
