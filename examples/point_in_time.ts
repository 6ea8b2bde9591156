// Restores a store to a minute ago: from a copy of the store that is older than that, and from the
// log. Makes its files in the working directory.
//   deno run --allow-ffi --allow-read=. --allow-write=. examples/point_in_time.ts
//   bun examples/point_in_time.ts
//   node examples/point_in_time.ts

import { copyFileSync, rmSync } from "node:fs";
import { consume, type LSN, WAL } from "@cidstore/wal";
import { SQLiteStore } from "@cidstore/wal/stores/sqlite";

/** Applies all that a log has, and waits until it is durable in the store. */
async function applyAll(wal: WAL, databasePath: string): Promise<void> {
  using store = new SQLiteStore(databasePath);
  const consumer = consume(wal, store);
  await wal.whenApplied();
  await consumer.stop();
}

/**
 * Makes a log and a store as they were at a time. The store is `base` with the records that it
 * lacks.
 *
 * @param base a store of this log, closed, that has nothing from after that time.
 * @returns the last LSN of the restored log.
 */
async function restore(wal: WAL, base: string, time: Date, logPath: string, databasePath: string): Promise<LSN> {
  const { last } = wal.backup(logPath, { through: wal.lsnAt(time) }); // whole batches, and nothing later
  copyFileSync(base, databasePath);
  await using restored = WAL.open(logPath);
  // A base that has more than the restored log is refused with a WALStoreError.
  await applyAll(restored, databasePath);
  return last;
}

const FILES = ["service.wal", "base.db", "restored.wal", "restored.db"] as const;
const [LOG, BASE, RESTORED_LOG, RESTORED] = FILES;
for (const path of FILES) rmSync(path, { force: true });

// The clock of this example, in which minutes pass at once.
let nowMs = Date.now();
await using wal = WAL.open(LOG, { size: 2 ** 20, now: () => nowMs });

// Last night: the base gets all that is in the log, which releases it.
await wal.batchInsert([[1, 1, 7, 1], [1, 2, 7, 2]]);
await applyAll(wal, BASE);

// Today: the log keeps what happens since.
nowMs += 8 * 3_600_000;
await wal.logInsert(1, 3, 7, 3);
await wal.batchInsert([[1, 4, 7, 4], [1, 5, 7, 5]]);
nowMs += 120_000;
for (let key = 1; key <= 5; key++) await wal.logDelete(1, key); // a mistake

// The mistake is noticed half a minute later.
nowMs += 30_000;
const aMinuteAgo = new Date(nowMs - 60_000);
const last = await restore(wal, BASE, aMinuteAgo, RESTORED_LOG, RESTORED);
using store = new SQLiteStore(RESTORED);
console.log(`LSN 1 to ${last} are restored; LSN ${last + 1} to ${wal.durable} are left out`);
for (const [, keyLow, , valueLow] of store.entries()) console.log(`key …${keyLow} → …${valueLow}`);
