// Compares log and store with the tree, and with what was acknowledged.

import { type LSN, OpType, type RecoveryReport, WAL } from "../../mod.ts";
import { bytesToHex, halvesToBytes } from "../../src/keys.ts";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import type { TreeFile } from "./tree.ts";

/** What must be true of log and store. */
export interface Expectation {
  readonly files: readonly TreeFile[];
  /** Indices of the files that must be in the store, or still in the log. */
  readonly acknowledged: ReadonlySet<number>;
  /** An LSN that the store had before. */
  readonly leastStoreLsn: LSN;
  /** All of the files must be in the store, and the log closed. */
  readonly complete: boolean;
}

/** What was found. */
export interface Audit {
  readonly recovery: RecoveryReport;
  readonly storeLsn: LSN;
  /** One sentence each. */
  readonly problems: readonly string[];
}

/** Opens log and store, which nobody else may have open, and checks every record and every pair. */
export function audit(logPath: string, storePath: string, expectation: Expectation): Audit {
  const { files, acknowledged, leastStoreLsn, complete } = expectation;
  const problems: string[] = [];
  const check = (holds: boolean, problem: () => string): void => {
    if (!holds) problems.push(problem());
  };
  using wal = WAL.open(logPath, { create: false });
  using store = new SQLiteStore(storePath);
  const { recovery } = wal;
  const storeLsn = store.appliedLsn();
  const byKey = new Map(files.map((file) => [bytesToHex(file.key), file]));

  check(recovery.clean || !complete, () => "the log was not closed properly");
  check(storeLsn >= leastStoreLsn, () => `the store went back from LSN ${leastStoreLsn} to ${storeLsn}`);
  check(storeLsn < wal.head, () => `the store has LSN ${storeLsn}, but the log ends at ${wal.head - 1}`);

  const stored = new Map<string, string>();
  for (const [keyHigh, keyLow, valueHigh, valueLow] of store) {
    const key = bytesToHex(halvesToBytes(keyHigh, keyLow));
    const file = byKey.get(key);
    check(!stored.has(key), () => `the store has two values for ${file?.path ?? key}`);
    stored.set(key, bytesToHex(halvesToBytes(valueHigh, valueLow)));
    if (file === undefined) problems.push(`the store has ${key}, which is no file`);
    else check(stored.get(key) === bytesToHex(file.value), () => `the store has a wrong value for ${file.path}`);
  }

  const logged = new Set<string>();
  let nextLsn = wal.tail;
  for (const { lsn, opType, key: bytes, value } of wal.replay()) {
    check(lsn === nextLsn, () => `the log goes from LSN ${nextLsn - 1} to ${lsn}`);
    nextLsn = lsn + 1;
    if (opType === OpType.Checkpoint) continue;
    const key = bytesToHex(bytes);
    const file = byKey.get(key);
    if (opType !== OpType.Insert || file === undefined || bytesToHex(value) !== bytesToHex(file.value)) {
      problems.push(`LSN ${lsn} was never logged`);
      continue;
    }
    check(!logged.has(key), () => `${file.path} is in the log twice`);
    logged.add(key);
    check(stored.has(key) === (lsn <= storeLsn), () => {
      return `${file.path} is LSN ${lsn} and ${stored.has(key) ? "" : "not "}in the store, which is at LSN ${storeLsn}`;
    });
  }
  check(nextLsn === wal.head, () => `the log ends at LSN ${nextLsn - 1} instead of ${wal.head - 1}`);

  // By key and not by LSN, because checkpoint records are the log's own and never in the store.
  files.forEach(({ path, key }, index) => {
    const isSafe = stored.has(bytesToHex(key)) || (!complete && logged.has(bytesToHex(key)));
    if (complete) check(isSafe, () => `${path} is not in the store`);
    else if (acknowledged.has(index)) check(isSafe, () => `${path} was acknowledged, and is neither in store nor log`);
  });
  return { recovery, storeLsn, problems };
}
