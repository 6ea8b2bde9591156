// What a store of this library offers a consumer beside its methods: a transaction for many runs.
//
// A run must be short, because it holds the event loop. But a transaction writes each page that it
// changes once, and keys of hashes are spread over all pages. So the longer a transaction is, the
// fewer pages each record costs.

import type { AppliedRun, Store, WALRecord } from "../types.ts";

/** A transaction for many runs. Each call throws what the store throws. */
export interface JoinedRuns {
  /** Begins. If an earlier transaction is open, its runs are committed. */
  begin(): void;
  /** Applies a run: as `applyBatch()`, but a failure takes back all runs since `begin()`. */
  apply(records: readonly WALRecord[], run: AppliedRun): void;
  /** Commits all runs since `begin()`. If that fails, all are taken back. */
  commit(): void;
}

interface Offer {
  readonly applyBatch: Store["applyBatch"];
  readonly runs: JoinedRuns;
}

const offers = new WeakMap<object, Offer>();

/** Offers to join the runs that `applyBatch()` would apply. */
export function offerJoinedRuns(store: object, applyBatch: Store["applyBatch"], runs: JoinedRuns): void {
  offers.set(store, { applyBatch, runs });
}

/**
 * The offer of a store; undefined if there is none. Also undefined if somebody has replaced the
 * store's `applyBatch()`, because a consumer would pass that by.
 */
export function joinedRunsOf(store: object, applyBatch: unknown): JoinedRuns | undefined {
  const offer = offers.get(store);
  return offer?.applyBatch === applyBatch ? offer?.runs : undefined;
}
