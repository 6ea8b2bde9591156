// The end of a history: the store has been given every record, and must have all of them.

import type { Store } from "../../types.ts";
import { BrokenPromiseError, textOf } from "../broken_promise.ts";
import type { LogModel } from "../log_model.ts";
import type { FoundContents } from "../contents.ts";
import type { StoreState } from "./fed_store.ts";

/**
 * Compares a store with everything that it was given.
 *
 * @param found its contents, if there is a way to read them.
 * @throws {BrokenPromiseError}
 */
export async function checkFinally(
  { subject: { check }, account }: StoreState,
  store: Store,
  found: FoundContents | null,
  model: LogModel,
): Promise<void> {
  const records = model.data();
  const last = model.lastData();
  if (store.appliedLsn !== undefined) {
    const lsn = await store.appliedLsn();
    if (lsn < last) {
      throw new BrokenPromiseError(
        "G11",
        `appliedLsn() is ${lsn} when the store has been given LSN ${last} and synced`,
      );
    }
    const fault = store.appliedLog === undefined ? null : account.faultOfLog(store, lsn, await store.appliedLog());
    if (fault !== null) throw new BrokenPromiseError("G11", `when everything was applied, ${fault}`);
  }
  const difference = found?.differenceAfter(records) ?? null;
  if (difference !== null) {
    throw new BrokenPromiseError("G11", `the store was given every record up to LSN ${last}, and ${difference}`);
  }
  try {
    await check?.(store, records);
  } catch (error) {
    throw new BrokenPromiseError("G11", `check() failed after LSN ${last}: ${textOf(error)}`, "", { cause: error });
  }
}
