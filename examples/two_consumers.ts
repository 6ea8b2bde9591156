// Two consumers on one log, each with a name and a store of its own: a database, and an index that
// finds the keys of a value. Makes its files in the working directory.
//   deno run --allow-ffi --allow-read=. --allow-write=. examples/two_consumers.ts
//   bun examples/two_consumers.ts
//   node examples/two_consumers.ts

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { consume, type LSN, OpType, type Store, WAL, type WALRecord } from "@cidstore/wal";
import { SQLiteStore } from "@cidstore/wal/stores/sqlite";

/** What the index has in its file: the keys of each value, and the last LSN that it was given. */
interface Saved {
  keys: Record<string, string[]>;
  lsn: LSN;
}

/** An index in a file. What the file lacks, the log still has. */
class SearchIndex implements Store {
  readonly #path: string;
  #saved: Saved;

  constructor(path: string) {
    this.#path = path;
    this.#saved = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : { keys: {}, lsn: 0 };
    syncDirectory(path); // what was read must be durable before it counts
  }

  applyBatch(records: readonly WALRecord[]): void {
    const { keys } = structuredClone(this.#saved);
    for (const { opType, keyLow, valueLow } of records) {
      if (opType !== OpType.Insert) throw new RangeError(`The index does not know records of type ${opType}`);
      (keys[String(valueLow)] ??= []).push(String(keyLow));
    }
    // Keys and LSN in one file, which is replaced as a whole: both or neither.
    this.#saved = { keys, lsn: records.at(-1)!.lsn };
    writeFileSync(`${this.#path}.new`, JSON.stringify(this.#saved), { flush: true });
    renameSync(`${this.#path}.new`, this.#path);
    syncDirectory(this.#path);
  }

  appliedLsn(): LSN {
    return this.#saved.lsn;
  }

  find(value: number): readonly string[] {
    return this.#saved.keys[String(value)] ?? [];
  }
}

/** Makes the name of a file durable. */
function syncDirectory(path: string): void {
  const directory = openSync(dirname(path), "r");
  fsyncSync(directory);
  closeSync(directory);
}

const FILES = ["two.wal", "two.db", "two.index.json"] as const;
const [LOG, DATABASE, INDEX] = FILES;
for (const path of FILES) rmSync(path, { force: true });

await using wal = WAL.open(LOG, { size: 2 ** 20 });
using database = new SQLiteStore(DATABASE);
await using _ = consume(wal, database, { name: "database" });

{
  await using _ = consume(wal, new SearchIndex(INDEX), { name: "index", maxLagRecords: 10_000 });
  await wal.batchInsert([[0, 1, 0, 7], [0, 2, 0, 8]]);
  await wal.whenApplied(); // by both
}

// The index is stopped, as for an upgrade. The database goes on, and the log keeps what the index
// lacks.
await wal.batchInsert([[0, 3, 0, 7], [0, 4, 0, 8], [0, 5, 0, 7]]);
await wal.whenApplied(wal.head - 1, { name: "database" });
for (const { name, running, lagRecords } of wal.stats().consumers) {
  const lag = lagRecords > 2 ? "lacks records" : "has all"; // a checkpoint is a record too
  console.log(`${name}: ${running ? "runs" : "does not run"}, ${lag}`);
}

// It starts again from its file, and gets the rest.
const index = new SearchIndex(INDEX);
await using indexing = consume(wal, index, { name: "index", maxLagRecords: 10_000 });
await wal.whenApplied();
console.log(
  `value 7 has the keys ${index.find(7).join(", ")}; ${[...database.entries()].length} pairs in the database`,
);
await indexing.stop();
