// The logs on disk that this evaluation of the module has open, for when its program ends and the process does not: a reload,
// the next file of a test runner.

import { realpathSync } from "node:fs";

/** A log that can be closed. */
interface OpenLog {
  /** Its file, as the file system resolves its path; null for a log in memory. */
  readonly path: string | null;
  close(): void;
}

/** A log as the module's next evaluation finds it: the shape must not change from one version to the next. */
interface Entry {
  /** Where the module that opened it was loaded from. */
  readonly url: string;
  /** When that module was evaluated. */
  readonly evaluatedMs: number;
  readonly path: string | null;
  readonly close: () => void;
}

/** Where all evaluations in this thread have their entries. */
const REGISTRY = Symbol.for("@cidstore/wal open logs");
const evaluatedMs = performance.now();
const own = new Map<OpenLog, Entry>();

function registry(): Set<Entry> {
  const shared = globalThis as { [REGISTRY]?: Set<Entry> };
  return shared[REGISTRY] ??= new Set();
}

/** Remembers a log until it is forgotten. */
export function rememberOpen(log: OpenLog): void {
  closeAtUnload();
  const close = () => {
    own.delete(log);
    log.close();
  };
  const entry: Entry = { url: import.meta.url, evaluatedMs, path: log.path, close };
  own.set(log, entry);
  registry().add(entry);
}

/** Forgets a log that is closed. */
export function forgetOpen(log: OpenLog): void {
  const entry = own.get(log);
  if (entry === undefined) return;
  own.delete(log);
  registry().delete(entry);
}

/**
 * Closes a log for whoever is to open it next, if an earlier evaluation of this module, from the same URL, has it open: that happens
 * where the runtime loads a program anew into the same thread. Other openers keep it: this evaluation, and a module
 * from another URL, of which the thread may have two at a time.
 *
 * @param path as a caller gave it.
 * @returns true if there was one.
 */
export function takeOver(path: string): boolean {
  const found = [...registry()].find((entry) =>
    entry.url === import.meta.url && entry.evaluatedMs < evaluatedMs && entry.path === realPath(path)
  );
  if (found === undefined) return false;
  close(found);
  return true;
}

function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

/** A log that cannot be closed cleanly gives up its file too: whoever waited for it is told, and recovery does the rest. */
function close(entry: Entry): void {
  try {
    entry.close();
  } catch { /* said above */ }
  registry().delete(entry);
}

let isListening = false;

/** Where the runtime says so, a program's logs are closed when it ends. */
function closeAtUnload(): void {
  if (isListening) return;
  isListening = true;
  // At the first opening, so that an import has no effect.
  globalThis.addEventListener?.("unload", () => [...own.values()].forEach(close));
}
