// A store of your own: keys with their values in a JSON file, which is replaced whole, so that it is never half written.
//   deno run --allow-ffi --allow-read=. --allow-write=. examples/own_store.ts
//   bun examples/own_store.ts

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type LSN, OpType, type Store, WAL, type WALRecord } from "@cidstore/wal";

/** What the file holds. The LSN is in the same file as the data: neither can be newer than the other. */
interface Saved {
  readonly appliedLsn: LSN;
  readonly keys: Record<string, string[]>;
}

/** For what fits into memory and is quickly written out; the log makes the changes durable meanwhile. */
export class JSONFileStore implements Store {
  readonly #path: string;
  readonly #keys: Map<string, Set<string>>;
  /** In memory. */
  #applied: LSN;
  /** In the file. */
  #saved: LSN;

  constructor(path: string) {
    const saved: Saved = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : { appliedLsn: 0, keys: {} };
    this.#path = path;
    this.#keys = new Map(Object.entries(saved.keys).map(([key, values]) => [key, new Set(values)]));
    this.#applied = this.#saved = saved.appliedLsn;
    // The last process may have died between the rename and its sync: what was read must be durable before it counts.
    if (existsSync(path)) syncDirectory(path);
  }

  get keys(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#keys;
  }

  /** A run of records, all of them or none: nothing in here can fail half-way. */
  applyBatch(records: readonly WALRecord[]): void {
    for (const record of records) {
      if (record.lsn <= this.#applied) continue; // handed out again, as after a failed sync()
      this.#apply(record);
      this.#applied = record.lsn;
    }
  }

  /** Where the consumer starts: after what the file has. */
  appliedLsn(): LSN {
    return this.#saved;
  }

  /** Called before the log lets go of records, which is seldom: here the file is written. */
  sync(): void {
    if (this.#saved === this.#applied) return;
    const keys = Object.fromEntries([...this.#keys].map(([key, values]) => [key, [...values]]));
    const saved: Saved = { appliedLsn: this.#applied, keys };
    const temporary = `${this.#path}.tmp`;
    writeFileSync(temporary, JSON.stringify(saved), { flush: true }); // the bytes are durable …
    renameSync(temporary, this.#path); // … before the name points to them …
    syncDirectory(this.#path); // … and the name is, before the log hears of it
    this.#saved = saved.appliedLsn;
  }

  #apply({ opType, keyHigh, keyLow, valueHigh, valueLow }: WALRecord): void {
    const key = hex(keyHigh, keyLow);
    const value = hex(valueHigh, valueLow);
    const values = this.#keys.get(key) ?? new Set();
    if (opType === OpType.Insert) this.#keys.set(key, values.add(value));
    else if (opType === OpType.Delete) this.#keys.delete(key);
    else if (opType === OpType.DeleteValue && values.delete(value) && values.size === 0) this.#keys.delete(key);
  }
}

function hex(high: bigint, low: bigint): string {
  return ((high << 64n) | low).toString(16).padStart(32, "0");
}

function syncDirectory(path: string): void {
  const directory = openSync(dirname(path), "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

if (import.meta.main) {
  const store = new JSONFileStore("own_store.json");
  await using wal = WAL.open("own_store.wal", { size: 2 ** 20 });
  const stop = new AbortController();
  const consuming = wal.consumeAsync(store, { signal: stop.signal });
  await Promise.all([1n, 2n, 3n].map((n) => wal.logInsert(0n, n, wal.recovery.created ? 0n : 1n, n)));
  await wal.logDelete(0n, 2n);
  while (wal.applied < wal.durable) await new Promise((resolve) => setTimeout(resolve, 1));
  stop.abort();
  await consuming;
  for (const [key, values] of store.keys) console.log(key, "→", [...values].join(", "));
  console.log(`LSN ${store.appliedLsn()} is in the file`);
}
