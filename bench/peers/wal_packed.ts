// This library, flushing on the JavaScript thread, with appends of 64 packed pairs at once.

import type { PeerOptions, RingPeer } from "./peer.ts";
import { bytesOf, makeValues } from "./values.ts";
import { openLog, openLogInMemory } from "./wal.ts";
import { WALBytesPeer } from "./wal_bytes.ts";

const RUN_RECORDS = 64;
const RUNS_MASK = 31;
const RUNS = Array.from({ length: RUNS_MASK + 1 }, (_, i) => bytesOf(makeValues(4 * RUN_RECORDS, BigInt(i))));

class WALPackedPeer extends WALBytesPeer {
  override readonly recordsPerAppend = RUN_RECORDS;

  override append(n: number): void {
    this.log.batchInsertSync(RUNS[(n / RUN_RECORDS) & RUNS_MASK]!);
  }
}

export async function open(options: PeerOptions): Promise<RingPeer> {
  return new WALPackedPeer(await openLog(options.directory));
}

export async function openInMemory(): Promise<RingPeer> {
  return new WALPackedPeer(await openLogInMemory());
}
