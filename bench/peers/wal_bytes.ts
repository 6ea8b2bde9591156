// This library, flushing on the JavaScript thread, with keys and values that its caller holds as
// bytes.

import type { WAL } from "../../mod.ts";
import type { PeerOptions, RingPeer } from "./peer.ts";
import { bytesOf, makeValues } from "./values.ts";
import { openLog, openLogInMemory } from "./wal.ts";

/** As in `wal.ts`. */
const TRUNCATE_MASK = 2 ** 18 - 1;
const POOL_MASK = 4095;
const VALUE_BYTES = 16;
const PAIR_BYTES = 32;

/** Content identifiers one after another, as a caller gets them from hashing. */
const BYTES = bytesOf(makeValues(2 * (POOL_MASK + 1)));
/** Each of them. */
const VALUES = Array.from({ length: POOL_MASK + 1 }, (_, i) => BYTES.subarray(i * VALUE_BYTES, (i + 1) * VALUE_BYTES));

/** As `WALPeer`, with packed batches: their pairs lie one after another. */
export class WALBytesPeer implements RingPeer {
  readonly recordsPerAppend: number = 1;
  protected readonly log: WAL;

  constructor(log: WAL) {
    this.log = log;
  }

  put(n: number): Promise<void> {
    if ((n & TRUNCATE_MASK) === TRUNCATE_MASK) this.log.truncate(this.log.durable);
    const i = n & POOL_MASK;
    return this.log.logInsert(VALUES[i]!, VALUES[i ^ 1]!);
  }

  putBatch(first: number, count: number): Promise<unknown> {
    if (first % (TRUNCATE_MASK + 1) < count) this.log.truncate(this.log.durable);
    return this.log.batchInsert(BYTES.subarray(0, count * PAIR_BYTES));
  }

  append(n: number): void {
    const i = n & POOL_MASK;
    this.log.logInsertSync(VALUES[i]!, VALUES[i ^ 1]!);
  }

  flush(): void {
    this.log.flush();
    this.log.truncate(this.log.durable);
  }

  async close(): Promise<void> {
    await this.log.close();
  }
}

export async function open(options: PeerOptions): Promise<RingPeer> {
  return new WALBytesPeer(await openLog(options.directory));
}

export async function openInMemory(): Promise<RingPeer> {
  return new WALBytesPeer(await openLogInMemory());
}
