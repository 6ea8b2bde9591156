// The open logs on disk of this evaluation of the module. They are closed when the program ends and
// the process goes on: at a reload, or before a test runner's next file.

import { realpathSync } from "node:fs";

/** A log that can be closed. */
interface OpenLog {
  /** Its file's path without symbolic links; null for a log in memory. */
  readonly path: string | null;
  close(): void;
}

/**
 * A log as the module's next evaluation finds it. This type must not change, because the next
 * evaluation may be of another version.
 */
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

/** Notes that a log was opened. */
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

/** Notes that a log was closed. */
export function forgetOpen(log: OpenLog): void {
  const entry = own.get(log);
  if (entry === undefined) return;
  own.delete(log);
  registry().delete(entry);
}

/**
 * Closes a log that an earlier evaluation of this module, from the same URL, left open. That
 * happens when the runtime loads a program anew into the same thread. This evaluation keeps its own
 * logs. So does a module from another URL, because a thread may use two at a time.
 *
 * @param path as a caller gave it.
 */
export function closeOfEarlierEvaluation(path: string): void {
  const earlier = [...registry()].filter((entry) => entry.url === import.meta.url && entry.evaluatedMs < evaluatedMs);
  if (earlier.length === 0) return;
  const real = realPath(path);
  earlier.filter((entry) => entry.path === real).forEach(close);
}

function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

/**
 * Closes a log. Even if that fails, the log releases its file and rejects its waiting callers.
 * Recovery does the rest.
 */
function close(entry: Entry): void {
  try {
    entry.close();
  } catch { /* as said above */ }
  registry().delete(entry);
}

let isListening = false;

/** Closes the logs when the program ends, if the runtime dispatches `unload`. */
function closeAtUnload(): void {
  if (isListening) return;
  isListening = true;
  // Not before the first opening, so that an import has no effect.
  globalThis.addEventListener?.("unload", () => [...own.values()].forEach(close));
}
