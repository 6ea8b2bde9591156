// Fault: the ring is full, exactly or nearly, and the consumer is slow, stuck, absent or calls the
//   log itself; then power fails. Or truncate() gets a position that is stale, repeated or yet to
//   come (H8, H30, H31).
// Promise: full is told apart from empty, and nothing is overwritten. An append waits while a
//   consumer runs, for as long as it was told, and rejects otherwise. A checkpoint finds room (G2,
//   G13).
// Method: fill the ring by one record, by batches and over its end; reopen after each kind of end;
//   use a store that never resolves.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type Store, WALClosedError, WALFullError } from "../../mod.ts";
import { append, appendBatch, assertHolds, CAPACITY, LOG, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

const STUCK: Store = {
  insert: () => new Promise<void>(() => {}),
  delete: () => {},
  deleteValue: () => {},
};

for (const first of [1, 2, 500, CAPACITY]) {
  test(`WAL holds exactly its capacity and is as full after each reopening, starting at LSN ${first}`, () => {
    const simulation = new Simulation({ pieceBytes: 64 });
    let wal = simulation.open();
    if (first > 1) {
      append(wal, first - 1);
      wal.flush();
      wal.truncate(first - 1);
      wal.close();
      wal.open();
    }
    assertEquals([wal.length, wal.tail, wal.head], [0, first, first]);
    append(wal, CAPACITY);
    const last = wal.head - 1;
    assertThrows(() => append(wal, 1), WALFullError);
    assertThrows(() => appendBatch(wal, 2), WALFullError);
    wal.flush();
    const before = simulation.disk.image(LOG);
    assertThrows(() => append(wal, 1), WALFullError);
    assertEquals(simulation.disk.dirtyPieces(LOG).length, 0, "a refused append wrote something");
    assertEquals(simulation.disk.image(LOG).length, before.length);
    assertHolds(wal, first, last);
    wal.close();
    assertHolds(wal = simulation.open(), first, last, "closed");
    assertHolds(wal = simulation.reopen({ mode: "kill" }), first, last, "killed");
    assertHolds(wal = simulation.reopen({ keep: "none" }), first, last, "power lost");
    assertThrows(() => append(wal, 1), WALFullError);
    wal.truncate(last);
    assertEquals(wal.length, 0);
    append(wal, CAPACITY);
    wal.flush();
    assertHolds(simulation.reopen({ keep: "none" }), last + 1, last + CAPACITY, "a lap later");
  });
}

test("truncate() frees exactly what it names, one record at a time, around the ring", () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  append(wal, CAPACITY);
  wal.flush();
  for (let lsn = 1; lsn <= CAPACITY + 10; lsn++) {
    wal.truncate(lsn);
    append(wal, 1);
    assertThrows(() => append(wal, 1), WALFullError);
    if (lsn % 64 === 0) wal.flush();
    else if (lsn + 1 > wal.durable) wal.flush();
  }
  assertHolds(wal, CAPACITY + 11 - CAPACITY + CAPACITY, 2 * CAPACITY + 10);
  wal.close();
});

test("truncate() refuses what is not durable and what is no LSN, and takes what is past", () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  append(wal, 10);
  wal.flush();
  append(wal, 5);
  for (const wrong of [11, 15, 16, 1000, -1, 1.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => wal.truncate(wrong), RangeError);
    assertEquals([wal.tail, wal.head, wal.durable], [1, 16, 10], `truncate(${wrong})`);
  }
  wal.truncate(6);
  for (const past of [6, 5, 0, 6]) {
    wal.truncate(past);
    assertEquals(wal.tail, 7, `truncate(${past})`);
  }
  wal.close();
});

test("logInsert() rejects at once when the ring is full and no consumer runs", async () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  append(wal, CAPACITY);
  wal.flush();
  await assertRejects(() => wal.logInsert(1, 2, 3, 4), WALFullError);
  await assertRejects(() => wal.batchInsert([[1, 2, 3, 4], [1, 2, 3, 4]]), WALFullError);
  assertHolds(wal, 1, CAPACITY);
  wal.close();
});

test("logInsert() waits no longer than it was told when the consumer is stuck", async () => {
  const simulation = new Simulation({}, { fullTimeoutMs: 5 });
  const wal = simulation.open();
  append(wal, CAPACITY);
  wal.flush();
  const running = wal.consumeAsync(STUCK).catch(() => {});
  const errors = await Promise.all([1, 2, 3].map(() => assertRejects(() => wal.logInsert(1, 2, 3, 4), WALFullError)));
  assertEquals(errors.map(({ capacity }) => capacity), [CAPACITY, CAPACITY, CAPACITY]);
  assertHolds(wal, 1, CAPACITY);
  assertEquals(wal.stats().waiting, 0);
  wal.close();
  void running;
});

test("logInsert() that waits for a stuck consumer rejects when the log is closed", async () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  append(wal, CAPACITY);
  wal.flush();
  const running = wal.consumeAsync(STUCK).catch(() => {});
  const waiting = assertRejects(() => wal.logInsert(1, 2, 3, 4), WALClosedError);
  assertEquals(wal.stats().waiting, 1);
  wal.close();
  await waiting;
  void running;
  assertHolds(simulation.open(), 1, CAPACITY);
  simulation.bury();
});

test("logInsert() from within the store rejects in a full ring rather than wait for itself", async () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  append(wal, CAPACITY);
  wal.flush();
  const errors: unknown[] = [];
  const stop = new AbortController();
  await wal.consumeAsync({
    insert: async () => {
      if (errors.length > 0) return;
      errors.push(await wal.logInsert(1, 2, 3, 4).then(() => null, (error) => error));
      stop.abort();
    },
    delete: () => {},
    deleteValue: () => {},
  }, { batchSize: 1, signal: stop.signal });
  assert(errors[0] instanceof WALFullError, String(errors[0]));
  wal.close();
});

test("WAL lets appends go on for laps through a full ring with a consumer, none lost and none overwritten", async () => {
  for (const flush of ["inline", "offload"] as const) {
    const simulation = new Simulation({}, { flush });
    const wal = simulation.open();
    const seen: number[] = [];
    const stop = new AbortController();
    const running = wal.consumeAsync({
      insert: async (_kh, _kl, _vh, valueLow) => {
        if (seen.length % 100 === 0) await null;
        seen.push(Number(valueLow));
      },
      delete: () => {},
      deleteValue: () => {},
    }, { signal: stop.signal, pollIntervalMs: 0, batchSize: 33 });
    const TOTAL = 3 * CAPACITY;
    for (let i = 0; i < TOTAL; i += 128) {
      await Promise.all(Array.from({ length: 128 }, (_, j) => wal.logInsert(1, 2, 3, i + j)));
    }
    while (seen.length < TOTAL) await new Promise((resolve) => setTimeout(resolve, 0));
    stop.abort();
    await running;
    assertEquals(seen, Array.from({ length: TOTAL }, (_, i) => i));
    wal.close();
  }
});

test("checkpoint() finds room in a full ring by letting go of what it confirms", () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  append(wal, CAPACITY);
  wal.flush();
  assertThrows(() => wal.checkpoint(0), WALFullError);
  const lsn = wal.checkpoint(10);
  assertEquals([lsn, wal.tail], [CAPACITY + 1, 11]);
  simulation.crash({ keep: "none" });
  const opened = simulation.open();
  assertEquals([opened.tail, opened.head - 1, opened.applied], [11, CAPACITY + 1, 10]);
});
