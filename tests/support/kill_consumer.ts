// A process that writes to a log and applies it to two SQLite stores until it is killed: one of the
// unnamed consumer, one of a consumer with a name. Arguments: path, database, life, seed. It prints
// "o tail head" once open, and "a count" when the first `count` operations of this life are
// acknowledged.

import process from "node:process";
import { WAL } from "../../mod.ts";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import { Random } from "../../src/testing/random.ts";
import { say } from "./kill_writer.ts";

/** The consumers, and what is added to the path of the database for the store of each. */
export const CONSUMERS: readonly (readonly [name: string, suffix: string])[] = [["", ""], ["search", ".search"]];

/**
 * What the n-th operation of a life does. Deletes take back inserts of a short while ago: a record
 * that is applied twice puts them back.
 */
export function operationOf(index: number): { type: "insert" | "delete" | "deleteValue"; key: number } {
  if (index % 7 === 5) return { type: "delete", key: index - 2 };
  if (index % 7 === 6) return { type: "deleteValue", key: index - 5 };
  return { type: "insert", key: index };
}

async function main(path: string, database: string, life: number, seed: number): Promise<void> {
  const random = new Random(seed, life);
  const flush = random.pick(["inline", "offload", "adaptive"] as const);
  const wal = WAL.open(path, { create: false, flush, idleHeaderDelayMs: random.pick([0, 100]) });
  const stores = CONSUMERS.map(([name, suffix]) => ({ name, store: new SQLiteStore(database + suffix) }));
  say(`o ${wal.tail} ${wal.head}`);
  for (const { name, store } of stores) {
    const options = { name, batchSize: random.pick([1, 10, 1000]), pollIntervalMs: random.pick([1, 100]) };
    wal.consumeAsync(store, options).catch((error) => say(`e ${String(error)}`));
  }
  let count = 0;
  let acknowledged = 0;
  for (;;) {
    const group: Promise<void>[] = [];
    for (let more = random.between(1, 60); more > 0; more--) {
      const { type, key } = operationOf(count++);
      if (type === "insert") group.push(wal.logInsert(life, key, key, key));
      else if (type === "delete") group.push(wal.logDelete(life, key));
      else group.push(wal.logDeleteValue(life, key, key, key));
    }
    await Promise.all(group);
    acknowledged = count;
    say(`a ${acknowledged}`);
  }
}

if (import.meta.main) {
  const [path, database, life, seed] = process.argv.slice(2) as [string, string, string, string];
  main(path, database, Number(life), Number(seed)).catch((error) => {
    say(`e ${String(error instanceof Error ? error.stack : error).replaceAll("\n", " | ")}`);
    process.exit(1);
  });
}
