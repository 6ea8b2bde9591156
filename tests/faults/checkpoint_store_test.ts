// Fault: the process is closed or killed after a pause in which the log has released its own
//   checkpoint records too (H27, H28).
// Promise: a log takes a store again that saves its LSN, and refuses it only if it lacks records
//   that it was given (G11).
// Method: consume, pause until the tail has passed the checkpoint record, close the file or copy it
//   as a kill would leave it, and consume again.

import { assertEquals, assertRejects } from "@std/assert";
import * as fs from "node:fs";
import { type Store, WAL, type WALRecord, WALStoreError } from "../../mod.ts";
import { fill, ListStore, openInMemory } from "../support/logs.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

/** Saves the last LSN it was given, and counts how often it was given each. */
class CountingStore implements Store {
  readonly counts = new Map<number, number>();
  lsn = 0;
  applyBatch(records: readonly WALRecord[]): void {
    for (const { lsn } of records) this.counts.set(lsn, (this.counts.get(lsn) ?? 0) + 1);
    this.lsn = records.at(-1)!.lsn;
  }
  appliedLsn(): number {
    return this.lsn;
  }
}

/** Appends one record and consumes until the log is empty. */
async function consumeAll(wal: WAL, store: Store): Promise<void> {
  const stop = new AbortController();
  const consuming = wal.consumeAsync(store, { signal: stop.signal, pollIntervalMs: 1 });
  consuming.catch(() => stop.abort());
  await wal.logInsert(1, 2, 3, 4);
  while (wal.length > 0 && !stop.signal.aborted) await new Promise((resolve) => setTimeout(resolve, 1));
  stop.abort();
  await consuming;
}

test("consumeAsync() takes its store again after a pause, a close and a kill, and once more after checkpoint()", async () => {
  using directory = tempDir();
  const store = new CountingStore();
  let path = directory.join("log");
  for (let life = 0; life < 8; life++) {
    const wal = WAL.open(path, { size: 65536 });
    await consumeAll(wal, store);
    if (life % 3 === 1) wal.checkpoint();
    if (life % 3 === 2) wal.truncate(wal.checkpoint(wal.durable));
    if (life % 2 === 0) fs.copyFileSync(path, path += "+");
    wal.close();
  }
  assertEquals([...store.counts.values()], Array(8).fill(1));
});

test("consumeAsync() refuses a store that lacks records which were confirmed and released", async () => {
  using directory = tempDir();
  await using wal = WAL.open(directory.join("log"), { size: 65536 });
  await consumeAll(wal, new CountingStore());
  await assertRejects(() => consumeAll(wal, new CountingStore()), WALStoreError);
});

test("consumeAsync() refuses a store that lacks records which truncate() released without a checkpoint", async () => {
  const wal = openInMemory();
  fill(wal, 10);
  wal.flush();
  wal.truncate(10);
  await wal.logInsert(1, 99, 0, 0);
  const store = Object.assign(new ListStore(), { appliedLsn: () => 3 });
  await assertRejects(() => wal.consumeAsync(store), WALStoreError);
  assertEquals(store.applied, []);
  wal.close();
});
