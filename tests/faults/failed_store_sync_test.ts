// Fault: a store's sync() fails, and the store loses what that sync should have saved (H10, H27).
// Promise: the log releases no record that the store does not have durably (G11).
// Method: stores that hold records in memory until sync() succeeds, as a page cache does.

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { consume, type Store, type WAL, type WALRecord } from "../../mod.ts";
import { SimulatedDisk } from "../../testing.ts";
import { fill, lsns, openInMemory, openOn, range, until } from "../support/logs.ts";
import { test } from "../support/test.ts";

/** Holds records in memory until `sync()`; a sync that fails loses them, as the page cache does. */
class BufferingStore implements Store {
  readonly #medium: Set<number>;
  #memory: number[] = [];
  /** How many of the next syncs fail. */
  failures = 0;

  constructor(medium: Set<number>) {
    this.#medium = medium;
  }

  insert(_kh: bigint, _kl: bigint, _vh: bigint, _vl: bigint, record: WALRecord): void {
    this.#memory.push(record.lsn);
  }

  delete(): void {}
  deleteValue(): void {}

  sync(): void {
    const memory = this.#memory;
    this.#memory = [];
    if (this.failures-- > 0) throw new Error("the store's sync failed");
    for (const lsn of memory) this.#medium.add(lsn);
  }
}

/** A `BufferingStore` that takes runs. */
class BufferingRunStore extends BufferingStore {
  applyBatch(records: readonly WALRecord[]): void {
    for (const record of records) this.insert(0n, 0n, 0n, 0n, record);
  }
}

const KINDS = [BufferingStore, BufferingRunStore];

/** Runs a consumer until the store has everything, and stops it, which syncs the store. */
async function consumeAll(wal: WAL, store: Store): Promise<void> {
  const stop = new AbortController();
  const run = wal.consumeAsync(store, { signal: stop.signal });
  await wal.whenApplied();
  stop.abort();
  await run;
}

/** The LSNs that neither the log nor its store has. */
function lost(wal: WAL, medium: ReadonlySet<number>, last: number): number[] {
  const kept = new Set(lsns(wal.replay()));
  return range(1, last).filter((lsn) => !medium.has(lsn) && !kept.has(lsn));
}

test("consumeAsync() with a new store hands out again what an earlier store lost in a failed sync()", async () => {
  for (const Kind of KINDS) {
    const wal = openInMemory();
    const medium = new Set<number>();
    fill(wal, 10);
    const failing = new Kind(medium);
    failing.failures = 1;
    await assertRejects(() => wal.consumeAsync(failing, { pollIntervalMs: 1 }), Error, "the store's sync failed");
    assertEquals([wal.tail, [...medium]], [1, []]);
    fill(wal, 1);
    await consumeAll(wal, new Kind(medium));
    assertEquals([...medium].filter((lsn) => lsn <= 10), range(1, 10));
    assertEquals(lost(wal, medium, 11), []);
    wal.close();
  }
});

test("consumeAsync() applies again what a failed sync() lost, when onError says retry", async () => {
  for (const Kind of KINDS) {
    for (const failures of [1, 2]) {
      const wal = openInMemory();
      const medium = new Set<number>();
      fill(wal, 10);
      const store = new Kind(medium);
      store.failures = failures;
      const stop = new AbortController();
      const run = wal.consumeAsync(store, { pollIntervalMs: 1, signal: stop.signal, onError: () => "retry" });
      await until(() => wal.tail > 10, "the records to be released");
      assertEquals([...medium], range(1, 10));
      stop.abort();
      await run;
      wal.close();
    }
  }
});

test("stop() after a failed sync() releases nothing that the store lost", async () => {
  for (const Kind of KINDS) {
    for (const stopsIn of ["onError", "the pause"]) {
      await using wal = openInMemory();
      const medium = new Set<number>();
      fill(wal, 10);
      const store = new Kind(medium);
      store.failures = 1;
      const onError = () => {
        if (stopsIn === "onError") void consumer.stop();
        else setTimeout(() => void consumer.stop(), 0);
        return "retry" as const;
      };
      const consumer = consume(wal, store, { pollIntervalMs: 1, onError });
      await consumer.done;
      assertEquals([store.failures < 1, lost(wal, medium, 10)], [true, []], stopsIn);
      await consumeAll(wal, new Kind(medium));
      assertEquals([...medium], range(1, 10), stopsIn);
    }
  }
});

test("checkpoint() without an LSN confirms what a running consumer's store has durably, and no more", async () => {
  for (const truncates of [false, true]) {
    const disk = new SimulatedDisk({ seed: 1 });
    const medium = new Set<number>();
    const wal = openOn(disk);
    const run = wal.consumeAsync(new BufferingStore(medium), { pollIntervalMs: 1e6 });
    for (let i = 1; i <= 10; i++) await wal.logInsert(1, i, 1, 1);
    await wal.whenApplied();
    assertEquals([wal.applied, medium.size], [10, 0]);
    wal.checkpoint();
    assertThrows(() => wal.checkpoint(wal.applied), RangeError);
    if (truncates) assertThrows(() => wal.truncate(10), RangeError);
    disk.crash({ keep: "none" });
    try {
      wal.close();
    } catch { /* the crashed machine refuses */ }
    await run;

    const reopened = openOn(disk);
    assertEquals([reopened.applied, reopened.tail], [0, 1]);
    await consumeAll(reopened, new BufferingStore(medium));
    assertEquals([...medium], range(1, 10));
    reopened.close();
  }
});
