// What a store of this library offers a consumer beside its methods: to take runs as bytes.
//
// A store that sends its runs needs no records. A copy of the log's slots costs a fraction of
// reading each record, encoding it again and computing its checksum.

import type { AppliedRun, LSN, Store } from "../types.ts";

/** A store that takes runs as bytes. */
export interface EncodedRuns {
  /**
   * The first LSN that it has not taken; 0 if it takes no run now. A run that begins elsewhere is
   * for `applyBatch()`.
   */
  readonly next: LSN;
  /** Everything up to this LSN is durable in the store. */
  readonly durableLsn: LSN;
  /** Tells the store that all LSNs after this one, up to its own position, are checkpoints. */
  begin(after: LSN): void;
  /** How many bytes to leave free before a run. */
  readonly prefixBytes: number;
  /** The most records that it takes at once. A batch that is longer is a run of its own. */
  readonly mostRecords: number;
  /** Bytes for a run and what comes before it. They may have been used before. */
  allocate(size: number): Uint8Array<ArrayBuffer>;
  /**
   * Takes a run, as `applyBatch()` does.
   *
   * @param bytes the free bytes, and after them the run. They are the store's from now on.
   */
  apply(bytes: Uint8Array<ArrayBuffer>, run: AppliedRun): Promise<void>;
}

interface Offer {
  readonly applyBatch: Store["applyBatch"];
  readonly runs: EncodedRuns;
}

const offers = new WeakMap<object, Offer>();

/** Offers to take bytes in place of the records that `applyBatch()` would be given. */
export function offerEncodedRuns(store: object, applyBatch: Store["applyBatch"], runs: EncodedRuns): void {
  offers.set(store, { applyBatch, runs });
}

/**
 * The offer of a store; undefined if there is none. Also undefined if somebody has replaced the
 * store's `applyBatch()`, because a consumer would pass that by.
 */
export function encodedRunsOf(store: object, applyBatch: unknown): EncodedRuns | undefined {
  const offer = offers.get(store);
  return offer?.applyBatch === applyBatch ? offer?.runs : undefined;
}
