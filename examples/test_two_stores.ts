// A database and an index on one log, crash-tested together. The index may be far behind, and is
// then filled again.
//   deno run --allow-read --allow-write examples/test_two_stores.ts
//   bun examples/test_two_stores.ts
//   node examples/test_two_stores.ts

import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type LSN, OpType, type Store, type WALRecord } from "@cidstore/wal";
import { SQLiteStore } from "@cidstore/wal/stores/sqlite";
import { crashStore, crashTest } from "@cidstore/wal/testing";

/** The keys of each value, as text. */
type Keys = Map<string, string[]>;

/** What records make of the keys: for the test, which compares it with the index. */
function keysAfter(records: readonly WALRecord[]): Keys {
  const keys: Keys = new Map();
  for (const { keyLow, valueLow } of records) {
    const value = String(valueLow);
    keys.set(value, [...keys.get(value) ?? [], String(keyLow)]);
  }
  return keys;
}

/** An index in a file, which is replaced as a whole: keys and LSN, both or neither. */
class SearchIndex implements Store {
  readonly #path: string;
  #lsn: LSN = 0;
  keys: Keys = new Map();

  constructor(directory: string) {
    this.#path = join(directory, "index.json");
    if (!existsSync(this.#path)) return;
    const { lsn, keys } = JSON.parse(readFileSync(this.#path, "utf8"));
    this.#lsn = lsn;
    this.keys = new Map(keys);
  }

  applyBatch(records: readonly WALRecord[]): void {
    this.#save(records, this.keys);
  }

  /** Begins anew with these records, which are all that there are. */
  fill(records: readonly WALRecord[]): void {
    this.#save(records, new Map());
  }

  appliedLsn(): LSN {
    return this.#lsn;
  }

  #save(records: readonly WALRecord[], before: Keys): void {
    const keys = structuredClone(before);
    for (const { opType, keyLow, valueLow } of records) {
      if (opType !== OpType.Insert) throw new RangeError(`The index does not know records of type ${opType}`);
      const value = String(valueLow);
      if (!keys.has(value)) keys.set(value, []);
      keys.get(value)!.push(String(keyLow));
    }
    const lsn = records.at(-1)!.lsn;
    writeFileSync(`${this.#path}.new`, JSON.stringify({ lsn, keys: [...keys] }), { flush: true });
    renameSync(`${this.#path}.new`, this.#path);
    this.#lsn = lsn;
    this.keys = keys;
  }
}

let refills = 0;
const { histories, crashes, notChecked } = await crashTest({
  stores: {
    database: crashStore({
      store: (home) => new SQLiteStore(join(home.directory, "database.sqlite")),
      contents: (store) => store.entries(),
    }),
    index: crashStore({
      store: (home) => new SearchIndex(home.directory),
      contents: (store) => store.keys,
      model: keysAfter,
      maxLagRecords: 8,
      reseed: (store, records) => {
        refills++;
        store.fill(records);
      },
    }),
  },
  workload: async ({ wal, stores, random, crashes }) => {
    for (let i = 0; i < 12; i++) await wal.logInsert(0, 100 * crashes + i, 0, random.below(3));
    await wal.whenApplied(); // by both, whatever has happened to the index
    const [found] = [...stores.database.entries()];
    if (!stores.index.keys.get(String(found![3]))!.includes(String(found![1]))) throw new Error("They differ");
  },
  seeds: 5, // 20 unless it is said
});
console.log(`both are right in ${histories} histories with ${crashes} crashes`);
console.log(refills > 0 ? "the index was filled again" : "the index was never behind", notChecked);
