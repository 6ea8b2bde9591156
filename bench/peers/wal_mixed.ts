// This library, flushing on the JavaScript thread, with batches that delete and insert in turn, as
// updates do.

import type { BatchItem } from "../../mod.ts";
import type { Peer, PeerOptions } from "./peer.ts";
import { makeValues } from "./values.ts";
import { openLog } from "./wal.ts";
import { WALBytesPeer } from "./wal_bytes.ts";

/** As in `wal.ts`. */
const TRUNCATE_MASK = 2 ** 18 - 1;
const VALUES = makeValues(4096);

/** A batch, the same one each time. */
function makeBatch(count: number): readonly BatchItem[] {
  return Array.from({ length: count }, (_, i): BatchItem => {
    const key = { keyHigh: VALUES[i]!, keyLow: VALUES[i ^ 1]! };
    if (i % 2 === 0) return { type: "delete", ...key };
    return { type: "insert", ...key, valueHigh: VALUES[i ^ 2]!, valueLow: VALUES[i ^ 3]! };
  });
}

class WALMixedPeer extends WALBytesPeer {
  readonly #batches = new Map<number, readonly BatchItem[]>();

  override putBatch(first: number, count: number): Promise<unknown> {
    if (first % (TRUNCATE_MASK + 1) < count) this.log.truncate(this.log.durable);
    let batch = this.#batches.get(count);
    if (batch === undefined) this.#batches.set(count, batch = makeBatch(count));
    return this.log.batch(batch);
  }
}

export async function open(options: PeerOptions): Promise<Peer> {
  return new WALMixedPeer(await openLog(options.directory));
}
