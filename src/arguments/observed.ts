// The logs whose figures are to be shown.

import type { WALStats } from "../types.ts";
import { show } from "./numbers.ts";

/** What is asked of a log: each `WAL` has it. */
export interface ObservedLog {
  /** False while the log is closed, and has no figures. */
  readonly isOpen: boolean;
  /** The log's id, as `WAL.logId`. */
  readonly logId: string;
  /** The log's figures, as `WAL.stats()` gives them. */
  stats(): WALStats;
}

/**
 * The given logs, each once.
 *
 * @throws {TypeError} if it is no log and no iterable of logs.
 */
export function takeLogs(given: ObservedLog | Iterable<ObservedLog>): ReadonlySet<ObservedLog> {
  const isMany = given !== null && typeof given === "object" && Symbol.iterator in given;
  const logs = new Set(isMany ? given : [given]);
  for (const log of logs) {
    const isLog = log !== null && typeof log === "object" && typeof log.stats === "function" &&
      typeof log.isOpen === "boolean";
    if (!isLog) {
      throw new TypeError(`Cannot show the figures of ${show(log)}: it must be a WAL; shards have theirs in \`logs\``);
    }
  }
  return logs;
}
