// A store as it is found after a crash: what it says that it has must be what it has.

import type { LSN, Store, WALRecord } from "../../types.ts";
import { BrokenPromiseError } from "../broken_promise.ts";
import { findPrefixes, type StoreEntry, StoreModel } from "../store_model.ts";
import type { StoreDebt } from "./watched_store.ts";

/** What a store was given. */
export interface GivenRecords {
  /** Records up to an LSN, or all of them, in order, without checkpoints. */
  data(through?: LSN): WALRecord[];
  /** The logs that the store may have that LSN from: more than one only where it was given the record again. */
  logsOf(lsn: LSN): readonly string[];
}

/**
 * What is wrong with a store's `appliedLog()`.
 *
 * @param lsn what its `appliedLsn()` is.
 * @returns null if nothing is.
 */
export function faultOfAppliedLog(
  store: Store,
  lsn: LSN,
  said: string | null | undefined,
  history: Pick<GivenRecords, "logsOf">,
): string | null {
  if (lsn === 0) return null;
  const logs = history.logsOf(lsn);
  if (typeof said === "string" && logs.includes(said)) return null;
  // Nobody tells a store that applies records one by one.
  if (store.applyBatch === undefined && (said ?? "") === "") return null;
  return `appliedLog() is ${String(said)}, though its LSN ${lsn} is one of log ${logs.join(" or ")} (H38)`;
}

/**
 * Compares a store that was just opened with what it was given before.
 *
 * @param entries its contents, if there is a way to read them.
 * @returns what it owes from now on.
 * @throws {BrokenPromiseError}
 */
export async function checkOpened(
  store: Store,
  entries: readonly StoreEntry[] | null,
  history: GivenRecords,
  debt: StoreDebt,
): Promise<StoreDebt> {
  if (store.appliedLsn === undefined) {
    if (entries !== null && store.applyBatch !== undefined) checkRun(entries, history, debt);
    return debt;
  }
  const run = store.applyBatch === undefined ? null : debt.run;
  const lsn = await store.appliedLsn();
  if (!Number.isSafeInteger(lsn) || lsn < 0) {
    throw new BrokenPromiseError("G11", `appliedLsn() is ${String(lsn)} when it is opened again, which is no LSN`);
  }
  if (lsn < debt.durable) {
    throw new BrokenPromiseError(
      "G11",
      `appliedLsn() is ${lsn} when it is opened again, though the store had LSN ${debt.durable} durably before it (H27)`,
    );
  }
  if (lsn > debt.offered) {
    throw new BrokenPromiseError(
      "G11",
      `appliedLsn() is ${lsn} when it is opened again, but the store was never given a record after LSN ${debt.offered} (H28)`,
    );
  }
  if (isWithin(lsn, run)) throw halfRun(lsn, run);
  if (store.appliedLog !== undefined) {
    const fault = faultOfAppliedLog(store, lsn, await store.appliedLog(), history);
    if (fault !== null) throw new BrokenPromiseError("G11", `when it is opened again, ${fault}`);
  }
  if (entries !== null) checkContents(entries, history, run, lsn);
  return { durable: lsn, offered: lsn, run: null };
}

type Run = StoreDebt["run"];

/** With `appliedLsn()`: the contents are those of that LSN. */
function checkContents(entries: readonly StoreEntry[], history: GivenRecords, run: Run, lsn: LSN): void {
  const difference = StoreModel.after(history.data(lsn)).difference(entries);
  if (difference === null) return;
  const states = findPrefixes(history.data(), entries);
  // Several records in a row may leave the contents as they were.
  const found = states.findLast((state) => !isWithin(state, run)) ?? states.at(-1);
  if (isWithin(found, run)) throw halfRun(found, run);
  const what = `appliedLsn() is ${lsn} when it is opened again, but `;
  if (found === undefined) throw new BrokenPromiseError("G11", `${what}${difference} (H28)`);
  throw new BrokenPromiseError(
    "G11",
    found < lsn
      ? `${what}the contents are those of LSN ${found}: what comes after it is lost (H28)`
      : `${what}the contents are those of LSN ${found}: what comes after LSN ${lsn} is applied twice (H28)`,
  );
}

/** Without it, records may come again, but none of a run is there without the others. */
function checkRun(entries: readonly StoreEntry[], history: GivenRecords, { run }: StoreDebt): void {
  const states = findPrefixes(history.data(), entries);
  const found = states.at(-1);
  if (states.every((state) => isWithin(state, run)) && isWithin(found, run)) throw halfRun(found, run);
}

/** Some of a run has been applied, and some has not. */
function isWithin(lsn: LSN | undefined, run: Run): lsn is LSN {
  return lsn !== undefined && run !== null && lsn >= run.first && lsn < run.last;
}

function halfRun(lsn: LSN, run: Run): BrokenPromiseError {
  return new BrokenPromiseError(
    "G3",
    `applyBatch() was given LSN ${run!.first} to ${run!.last}, and when the store is opened again it has LSN ${lsn}`,
  );
}
