// A store of your own: keys with their values in a JSON file. The file is replaced as a whole, so
// it is never half written.
//   deno run --allow-ffi --allow-read=. --allow-write=. examples/own_store.ts
//   bun examples/own_store.ts
//   node examples/own_store.ts

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import {
  type AppliedRun,
  consume,
  type LSN,
  OpType,
  type Store,
  WAL,
  WALOperationError,
  type WALRecord,
} from "@cidstore/wal";
import { bytesToHex } from "@cidstore/wal/keys";

/**
 * What the file holds. LSN and log id are in the file of the data, so all three are of one time.
 */
interface Saved {
  readonly appliedLsn: LSN;
  /** The log that this LSN belongs to. A consumer of another log refuses the store. */
  readonly appliedLog: string | null;
  readonly keys: Record<string, string[]>;
}

/** What the store can apply. */
const KNOWN: readonly number[] = Object.values(OpType);

/**
 * A store for data that fits into memory. The log keeps changes durable until the file is written.
 */
export class JSONFileStore implements Store {
  readonly #path: string;
  readonly #keys: Map<string, Set<string>>;
  /** In memory. */
  #applied: LSN;
  #log: string | null;
  /** In the file. */
  #saved: Saved;

  constructor(path: string) {
    const empty: Saved = { appliedLsn: 0, appliedLog: null, keys: {} };
    const saved: Saved = existsSync(path) ? { ...empty, ...JSON.parse(readFileSync(path, "utf8")) } : empty;
    this.#path = path;
    this.#keys = new Map(Object.entries(saved.keys).map(([key, values]) => [key, new Set(values)]));
    this.#saved = saved;
    this.#applied = saved.appliedLsn;
    this.#log = saved.appliedLog;
    // The last process may have died between the rename and its sync. What was read must be durable
    // before it counts.
    if (existsSync(path)) syncDirectory(path);
  }

  get keys(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#keys;
  }

  /** Applies a run of records: all or none, because what can fail comes first. */
  applyBatch(records: readonly WALRecord[], run: AppliedRun): void {
    for (const { lsn, opType } of records) {
      // Never skipped, because the log releases what a store has been given.
      if (!KNOWN.includes(opType)) throw new WALOperationError(lsn, opType, "this store does not know the type");
    }
    for (const record of records) {
      if (record.lsn <= this.#applied) continue; // handed out again, as after a failed sync()
      this.#apply(record);
      this.#applied = record.lsn;
      this.#log = run.logId;
    }
  }

  /** The consumer starts after this LSN. */
  appliedLsn(): LSN {
    return this.#saved.appliedLsn;
  }

  /** The log of that LSN. */
  appliedLog(): string | null {
    return this.#saved.appliedLog;
  }

  /** Writes the file. Called before the log releases records, which is seldom. */
  sync(): void {
    if (this.#saved.appliedLsn === this.#applied) return;
    const keys = Object.fromEntries([...this.#keys].map(([key, values]) => [key, [...values]]));
    const saved: Saved = { appliedLsn: this.#applied, appliedLog: this.#log, keys };
    const temporary = `${this.#path}.tmp`;
    writeFileSync(temporary, JSON.stringify(saved), { flush: true });
    renameSync(temporary, this.#path); // only now, because the bytes are durable
    syncDirectory(this.#path); // makes the name durable too, before the log releases anything
    this.#saved = saved;
  }

  #apply(record: WALRecord): void {
    const { opType } = record;
    const key = bytesToHex(record.key);
    const value = bytesToHex(record.value);
    const values = this.#keys.get(key) ?? new Set();
    if (opType === OpType.Insert) this.#keys.set(key, values.add(value));
    else if (opType === OpType.Replace) this.#keys.set(key, new Set([value]));
    else if (opType === OpType.Delete) this.#keys.delete(key);
    else if (opType === OpType.DeleteValue && values.delete(value) && values.size === 0) this.#keys.delete(key);
  }
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
  const consumer = consume(wal, store);
  await Promise.all([1n, 2n, 3n].map((n) => wal.logInsert(0n, n, wal.recovery.created ? 0n : 1n, n)));
  await wal.logDelete(0n, 2n);
  await wal.whenApplied();
  await consumer.stop();
  for (const [key, values] of store.keys) console.log(key, "→", [...values].join(", "));
  console.log(`LSN ${store.appliedLsn()} is in the file`);
}
