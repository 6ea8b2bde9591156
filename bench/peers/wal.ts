// This library, flushing on the JavaScript thread.

import { join } from "node:path";
import { type InsertItem, WAL, type WALOptions } from "../../mod.ts";
import { LOG_BYTES } from "../sizes.ts";
import type { PeerOptions, RingPeer } from "./peer.ts";
import { makeValues } from "./values.ts";

/** Records between two truncations: a quarter of the ring. */
const TRUNCATE_MASK = 2 ** 18 - 1;
const POOL_MASK = 4095;

/** A constant of this file, because Deno reads an imported one more slowly. */
const VALUES = makeValues(POOL_MASK + 1);

/** Opens the log of a directory. */
export async function openLog(directory: string, options: WALOptions = {}): Promise<WAL> {
  const log = new WAL(join(directory, "peer.wal"), { size: LOG_BYTES, flush: "inline", ...options });
  await log.open();
  return log;
}

/** Opens a log in plain memory. */
export async function openLogInMemory(): Promise<WAL> {
  const log = new WAL(null, { size: LOG_BYTES });
  await log.open();
  return log;
}

/** A log as a peer. Now and then it releases records, as a consumer would. */
export class WALPeer implements RingPeer {
  readonly recordsPerAppend = 1;
  readonly #log: WAL;
  readonly #batches = new Map<number, InsertItem[]>();

  constructor(log: WAL) {
    this.#log = log;
  }

  put(n: number): Promise<void> {
    if ((n & TRUNCATE_MASK) === TRUNCATE_MASK) this.#log.truncate(this.#log.durable);
    const i = n & POOL_MASK;
    return this.#log.logInsert(VALUES[i]!, VALUES[i ^ 1]!, VALUES[i ^ 2]!, VALUES[i ^ 3]!);
  }

  putBatch(first: number, count: number): Promise<unknown> {
    if (first % (TRUNCATE_MASK + 1) < count) this.#log.truncate(this.#log.durable);
    return this.#log.batchInsert(this.items(count));
  }

  append(n: number): void {
    const i = n & POOL_MASK;
    this.#log.logInsertSync(VALUES[i]!, VALUES[i ^ 1]!, VALUES[i ^ 2]!, VALUES[i ^ 3]!);
  }

  flush(): void {
    this.#log.flush();
    this.#log.truncate(this.#log.durable);
  }

  /** A batch, the same one each time. */
  items(count: number): readonly InsertItem[] {
    let items = this.#batches.get(count);
    if (items === undefined) {
      items = Array.from({ length: count }, (_, i) => [VALUES[i]!, VALUES[i ^ 1]!, VALUES[i ^ 2]!, VALUES[i ^ 3]!]);
      this.#batches.set(count, items);
    }
    return items;
  }

  async close(): Promise<void> {
    await this.#log.close();
  }
}

export async function open(options: PeerOptions): Promise<RingPeer> {
  return new WALPeer(await openLog(options.directory));
}

export async function openInMemory(): Promise<RingPeer> {
  return new WALPeer(await openLogInMemory());
}
