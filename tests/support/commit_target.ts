// A log as group commit sees it, made of numbers: what is appended, what was asked of the medium,
// and how that ends.

import type { CommitTarget } from "../../src/engine/group_commit.ts";
import { Positions } from "../../src/engine/positions.ts";

/** Counts syncs and lets them end as told. */
export class FakeTarget implements CommitTarget {
  readonly positions = new Positions({ head: 1, tail: 1, settledTail: 1, checkpointed: 0, capacity: 1 << 20 });
  /** Each sync: from which record to which, and on which side of the event loop. */
  readonly syncs: { readonly first: number; readonly last: number; readonly where: "inline" | "offload" }[] = [];
  headerSyncs = 0;
  /** What its clock says. */
  nowMs: () => number = () => 0;
  isHeaderWanted = false;
  advances = 0;
  readonly failures: unknown[] = [];
  /** Thrown by the next syncs. */
  error: unknown = null;
  headerError: unknown = null;
  /** Called by each sync that ends well. */
  onSync: () => void = () => {};
  /** Called by `failed()`, as the log stops its commits there. */
  onFailed: (error: unknown) => void = () => {};
  /** The syncs that wait for the medium. */
  readonly pending: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];

  /** Appends records. */
  append(count = 1): void {
    this.positions.head += count;
    this.positions.sealed += count;
  }

  syncRecords(first: number, last: number): number {
    this.syncs.push({ first, last, where: "inline" });
    if (this.error !== null) throw this.error;
    this.onSync();
    return this.nowMs();
  }

  async syncRecordsAsync(first: number, last: number): Promise<void> {
    this.syncs.push({ first, last, where: "offload" });
    const medium = Promise.withResolvers<void>();
    this.pending.push(medium);
    await medium.promise;
    this.onSync();
  }

  committed(): void {}

  headerWanted(): boolean {
    return this.isHeaderWanted;
  }

  syncHeader(): void {
    this.isHeaderWanted = false;
    this.headerSyncs++;
    if (this.headerError !== null) throw this.headerError;
  }

  async syncHeaderAsync(): Promise<void> {
    this.isHeaderWanted = false;
    this.headerSyncs++;
    await null;
    if (this.headerError !== null) throw this.headerError;
  }

  advanced(): void {
    this.advances++;
  }

  failed(error: unknown): void {
    this.failures.push(error);
    this.onFailed(error);
  }
}

/** Lets the microtasks that are queued now, and those they queue, run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 60; turn++) await null;
}

/** How a promise stands, without waiting for it. */
export class Watched {
  state: "pending" | "resolved" | "rejected" = "pending";
  error: unknown = null;

  constructor(promise: Promise<unknown>) {
    promise.then(() => this.state = "resolved", (error) => {
      this.state = "rejected";
      this.error = error;
    });
  }
}
