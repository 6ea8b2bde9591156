// What parent and child tell each other: a job in a file, and messages as lines of JSON on the
// child's standard output.

import { readFileSync, writeFileSync } from "node:fs";
import type { LSN, RecoveryReport } from "../../mod.ts";
import { bytesToHex, hexToBytes } from "../../src/keys.ts";
import type { TreeFile } from "./tree.ts";

/** What the child has to do. */
export interface Job {
  /** The tree's directory. */
  readonly root: string;
  readonly files: readonly TreeFile[];
  readonly logPath: string;
  readonly logBytes: number;
  readonly storePath: string;
  /** Inserts that may wait for the medium at the same time. */
  readonly outstanding: number;
  /** The address of the server to which the log is shipped; null if it is not. */
  readonly server: string | null;
  /** Milliseconds from one file to the next, at least. */
  readonly paceMs: number;
}

/** What the child says. Files go by their index in the job. */
export type Message =
  /** The first message: what the child found. */
  | { type: "open"; recovery: RecoveryReport; storeLsn: LSN; found: number; fileSystem: string; durableMedium: boolean }
  /** Inserts that are durable, and how long each took. */
  | { type: "acknowledged"; files: [index: number, microseconds: number][] }
  /** A run of records is committed in the store. */
  | { type: "applied"; firstLsn: LSN; lastLsn: LSN }
  | { type: "statistics"; lastLsn: number; appended: number; syncs: number; recordsPerSync: number }
  /**
   * The file's content has changed since the job was written. The old hash is logged all the same.
   */
  | { type: "changed"; file: number }
  /** The last message: everything is in the store, log and store are closed. */
  | { type: "done" };

/** Writes a job for a child. */
export function writeJob(path: string, job: Job): void {
  const files = job.files.map(({ path, bytes, key, value }) => [path, bytes, bytesToHex(key), bytesToHex(value)]);
  writeFileSync(path, JSON.stringify({ ...job, files }));
}

/** Reads what `writeJob()` wrote. */
export function readJob(path: string): Job {
  const job = JSON.parse(readFileSync(path, "utf8")) as Omit<Job, "files"> & {
    files: [string, number, string, string][];
  };
  const files = job.files.map(([path, bytes, key, value]) => ({
    path,
    bytes,
    key: hexToBytes(key),
    value: hexToBytes(value),
  }));
  return { ...job, files };
}
