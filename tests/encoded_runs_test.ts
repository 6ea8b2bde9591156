// Stores that take runs as bytes: which runs, when records come instead, and what is confirmed.

import { assert, assertEquals } from "@std/assert";
import { type AppliedRun, consume, type LSN, WAL, type WALRecord } from "../mod.ts";
import { type EncodedRuns, offerEncodedRuns } from "../src/arguments/encoded_runs.ts";
import { decodeRun } from "../src/runs.ts";
import { until } from "./support/logs.ts";
import { test } from "./support/test.ts";

const PREFIX = 64;

/** A store that takes runs as bytes, and notes what it was given. */
class ByteStore {
  readonly given: string[] = [];
  readonly lsns: LSN[] = [];
  next: LSN = 1;
  durableLsn: LSN = 0;
  syncs = 0;
  failures = 0;
  syncing: Promise<void> = Promise.resolve();

  constructor() {
    offerEncodedRuns(this, this.applyBatch, offerOf(this));
  }

  async takeBytes(bytes: Uint8Array, run: AppliedRun): Promise<void> {
    await Promise.resolve();
    if (this.failures-- > 0) throw new Error("not now");
    assert(bytes.subarray(0, PREFIX).every((byte) => byte === 0), "the prefix is free");
    const decoded = decodeRun(bytes.subarray(PREFIX), run);
    assertEquals([decoded.firstLsn, decoded.lastLsn], [run.firstLsn, run.lastLsn]);
    this.#take("bytes", decoded.records, run);
  }

  applyBatch(records: readonly WALRecord[], run: AppliedRun): void {
    this.#take("records", records, run);
  }

  #take(how: string, records: readonly WALRecord[], { lastLsn }: AppliedRun): void {
    this.given.push(how);
    this.lsns.push(...records.map(({ lsn }) => lsn));
    this.next = lastLsn + 1;
  }

  appliedLsn(): LSN {
    return this.next - 1;
  }

  sync(): Promise<void> {
    this.syncs++;
    return this.syncing;
  }
}

function offerOf(store: ByteStore): EncodedRuns {
  return {
    begin: () => {},
    prefixBytes: PREFIX,
    mostRecords: 1000,
    allocate: (size) => new Uint8Array(size),
    get next() {
      return store.next;
    },
    get durableLsn() {
      return store.durableLsn;
    },
    apply: (bytes, run) => store.takeBytes(bytes, run),
  };
}

const range = (first: LSN, last: LSN) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

test("consume() hands runs as bytes to a store that offers to take them, each record once", async () => {
  await using wal = WAL.open(null, { size: 1 << 20 });
  const store = new ByteStore();
  store.failures = 2;
  let asked = 0;
  const onError = () => (asked++, "retry" as const);
  await using consumption = consume(wal, store, { batchSize: 10, onError });
  for (let i = 0; i < 50; i++) await wal.batchInsert([[1, i, 2, 3], [2, i, 2, 3], [3, i, 2, 3]]);
  await wal.whenApplied();
  assertEquals([store.lsns, asked, new Set(store.given)], [range(1, 150), 2, new Set(["bytes"])]);
  await consumption.stop();
  assertEquals([store.syncs, wal.tail], [1, 151]);
});

test("consume() hands over records where the bytes would not follow those before them", async () => {
  await using wal = WAL.open(null, { size: 1 << 20 });
  const store = new ByteStore();
  await using consumption = consume(wal, store, { pollIntervalMs: 1 });
  await wal.logInsert(1, 2, 3, 4);
  // The pause makes a checkpoint, which is not sent by itself.
  await until(() => wal.tail === 3);
  await wal.logInsert(1, 2, 3, 5);
  await wal.whenApplied();
  await wal.logInsert(1, 2, 3, 6);
  await wal.whenApplied();
  assertEquals([store.given, store.lsns], [["bytes", "records", "bytes"], [1, 3, 4]]);
  await consumption.stop();
});

test("consume() gives records to a store whose applyBatch() somebody has replaced", async () => {
  await using wal = WAL.open(null);
  const store = new ByteStore();
  const original = store.applyBatch.bind(store);
  store.applyBatch = (records, run) => original(records, run);
  await using consumption = consume(wal, store);
  await wal.logInsert(1, 2, 3, 4);
  await wal.whenApplied();
  assertEquals(store.given, ["records"]);
  await consumption.stop();
});

test("consume() releases what such a store has durably, without a sync", async () => {
  await using wal = WAL.open(null, { size: 1 << 16 });
  const store = new ByteStore();
  await using consumption = consume(wal, store, { batchSize: 16, pollIntervalMs: 60_000 });
  const due = wal.capacity >> 3;
  const fill = async (count: number) => {
    for (let i = 0; i < count; i++) wal.logInsertSync(1, i, 2, 3);
    await wal.whenApplied();
  };
  await fill(due + 1);
  assertEquals([wal.tail, store.syncs], [1, 0]);
  store.durableLsn = due;
  await fill(1);
  await until(() => wal.tail === due + 1);
  assertEquals(store.syncs, 0);
  // Where appends wait for room, the store is asked to sync after all.
  const waiting = Array.from({ length: wal.capacity }, (_, i) => wal.logInsert(2, i, 2, 3));
  await Promise.all(waiting);
  assert(store.syncs > 0);
  await consumption.stop();
});
