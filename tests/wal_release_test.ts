// Fault: slots are used again or released before that is durable, or a position makes no sense
//   (H28, H29, H30).
// Promise: the tail moves forward only, over durable and applied records only, and over whole
//   batches only (G3, G11, G15).
// Method: each call by itself, then after a crash that keeps only what was synced.

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { OpType, type Store, type WAL, WALFullError } from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { CAPACITY, fill, Gate, items, lsns, openInMemory, openOn, range } from "./support/logs.ts";
import { test } from "./support/test.ts";

function durable(wal: WAL, count: number): void {
  fill(wal, count);
  wal.flush();
}

test("truncate() releases every record up to an LSN", () => {
  using wal = openInMemory();
  durable(wal, 10);
  wal.truncate(4);
  assertEquals([wal.tail, wal.length, wal.applied, wal.head], [5, 6, 4, 11]);
  assertEquals(lsns(wal.replay()), range(5, 10));
  wal.truncate(10);
  assertEquals([wal.tail, wal.length, wal.replay()], [11, 0, []]);
});

test("truncate() to what was released before changes nothing", () => {
  using wal = openInMemory();
  wal.truncate(0);
  durable(wal, 10);
  for (const lsn of [7, 7, 3, 0, 6]) wal.truncate(lsn);
  assertEquals([wal.tail, wal.applied], [8, 7]);
});

test("truncate() past what is durable is a RangeError and changes nothing", () => {
  using wal = openInMemory();
  durable(wal, 3);
  fill(wal, 3);
  for (const lsn of [4, 6, 7, 1e9]) assertThrows(() => wal.truncate(lsn), RangeError, "durable up to LSN 3");
  assertEquals([wal.tail, wal.applied], [1, 0]);
});

test("truncate() to what is no LSN is a RangeError or TypeError", () => {
  using wal = openInMemory();
  durable(wal, 3);
  for (const lsn of [-1, 0.5, NaN, Infinity, 2 ** 53]) assertThrows(() => wal.truncate(lsn), RangeError);
  for (const lsn of ["1", 1n, null, {}]) assertThrows(() => wal.truncate(lsn as number), TypeError);
  assertThrows(() => (wal.truncate as () => void)(), TypeError);
  assertEquals(wal.tail, 1);
});

test("truncate() keeps a batch until all of it is confirmed", () => {
  using wal = openInMemory();
  durable(wal, 2);
  wal.batchInsertSync(items(3, 4));
  wal.flush();
  for (const lsn of [3, 4, 5]) {
    wal.truncate(lsn);
    assertEquals(wal.tail, 3, `through ${lsn}`);
  }
  wal.truncate(6);
  assertEquals(wal.tail, 7);
});

test("truncate() and checkpoint() past what a running consumer has applied are RangeErrors", async () => {
  await using wal = openInMemory();
  durable(wal, 5);
  const gate = new Gate();
  const store: Store = {
    insert: gate.enter,
    delete() {},
    deleteValue() {},
  };
  const stop = new AbortController();
  const consuming = wal.consumeAsync(store, { signal: stop.signal });
  await gate.entered;
  assertThrows(() => wal.truncate(1), RangeError, "up to LSN 0");
  assertThrows(() => wal.checkpoint(1), RangeError, "up to LSN 0");
  assertEquals([wal.tail, wal.head], [1, 6]);
  stop.abort();
  gate.open();
  await consuming;
});

test("checkpoint() confirms no more than a running consumer's store has, whatever an earlier checkpoint says", async () => {
  await using wal = openInMemory();
  durable(wal, 10);
  wal.checkpoint(8);
  const gate = new Gate();
  const store: Store = {
    appliedLsn: () => 2,
    insert: gate.enter,
    delete() {},
    deleteValue() {},
  };
  const stop = new AbortController();
  const consuming = wal.consumeAsync(store, { signal: stop.signal });
  await gate.entered;
  for (const lsn of [undefined, 1]) wal.checkpoint(lsn);
  assertEquals([wal.applied, wal.replay().at(-1)!.valueLow], [2, 8n]);
  assertThrows(() => wal.truncate(3), RangeError, "up to LSN 2");
  gate.open();
  await wal.whenApplied(10);
  stop.abort();
  await consuming;
});

test("checkpoint() writes a durable record that confirms, and releases nothing", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, 5);
  assertEquals(wal.checkpoint(3), 6);
  assertEquals([wal.tail, wal.durable, wal.applied], [1, 6, 3]);
  const record = wal.replay()[5]!;
  assertEquals([record.opType, record.keyHigh, record.keyLow, record.valueHigh, record.valueLow], [
    OpType.Checkpoint,
    0n,
    0n,
    0n,
    3n,
  ]);
  disk.crash({ keep: "none" });
  using reopened = openOn(disk);
  assertEquals([reopened.head, reopened.tail, reopened.applied], [7, 1, 3]);
});

test("checkpoint() without an LSN confirms what is applied", () => {
  using wal = openInMemory();
  durable(wal, 4);
  wal.checkpoint(2);
  assertEquals(wal.checkpoint(), 6);
  assertEquals(wal.replay().at(-1)!.valueLow, 2n);
});

test("checkpoint() never takes back an earlier one", () => {
  using wal = openInMemory();
  durable(wal, 5);
  wal.checkpoint(4);
  wal.checkpoint(2);
  assertEquals([wal.applied, wal.replay().at(-1)!.valueLow], [4, 4n]);
});

test("checkpoint() of what was not appended is a RangeError and writes nothing", () => {
  using wal = openInMemory();
  durable(wal, 5);
  assertThrows(() => wal.checkpoint(6), RangeError, "appended up to LSN 5");
  for (const lsn of [-1, 0.5, NaN]) assertThrows(() => wal.checkpoint(lsn), RangeError);
  assertThrows(() => wal.checkpoint("1" as unknown as number), TypeError);
  assertEquals(wal.head, 6);
});

test("checkpoint() in a full ring makes the room that its record needs, if it may", () => {
  using wal = openInMemory();
  durable(wal, CAPACITY);
  assertThrows(() => wal.checkpoint(0), WALFullError);
  assertEquals(wal.head, CAPACITY + 1);
  assertEquals(wal.checkpoint(10), CAPACITY + 1);
  assertEquals(wal.tail, 11);
});

test("WAL.applied is resumed from the last checkpoint after a crash, and from the header after a close", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  durable(wal, 9);
  wal.checkpoint(4);
  wal.truncate(2);
  disk.crash({ keep: "none" });
  {
    using crashed = openOn(disk);
    assertEquals([crashed.applied, crashed.tail], [4, 1]);
    crashed.truncate(6);
  }
  using closed = openOn(disk);
  assertEquals([closed.applied, closed.tail], [6, 7]);
});

test("truncate() frees slots only once the new tail is durable: a crash before that loses nothing", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  durable(wal, CAPACITY);
  wal.truncate(5);
  const { steps } = disk;
  wal.logInsertSync(1, 1, 1, 1);
  assert(disk.steps > steps, "the header is synced before the slot is stored into");
  // Whatever the kernel has written back of the slots, the header on the medium tells.
  disk.crash({ keep: "all" });
  using reopened = openOn(disk);
  assertEquals([reopened.tail, reopened.head], [6, CAPACITY + 2]);
});

test("WAL.open() opens a full ring as a full ring, and an empty one as an empty one", () => {
  const disk = new SimulatedDisk();
  {
    using wal = openOn(disk);
    durable(wal, CAPACITY);
  }
  {
    using full = openOn(disk);
    assertEquals([full.length, full.stats().fillRatio], [CAPACITY, 1]);
    assertThrows(() => full.logInsertSync(1, 1, 1, 1), WALFullError);
    full.truncate(CAPACITY);
  }
  using empty = openOn(disk);
  assertEquals([empty.length, empty.tail, empty.head], [0, CAPACITY + 1, CAPACITY + 1]);
});

test("WAL.tail, applied, durable and head keep their order over any calls", () => {
  const call = fc.record({
    kind: fc.constantFrom("append", "batch", "flush", "truncate", "checkpoint"),
    lsn: fc.oneof(fc.nat(60), fc.double(), fc.integer()),
  });
  fc.assert(fc.property(fc.array(call, { maxLength: 40 }), (calls) => {
    using wal = openInMemory();
    let tailBefore = 1;
    for (const { kind, lsn } of calls) {
      try {
        if (kind === "append") fill(wal, 3);
        else if (kind === "batch") wal.batchInsertSync(items(1, 4));
        else if (kind === "flush") wal.flush();
        else if (kind === "truncate") wal.truncate(lsn);
        else wal.checkpoint(lsn);
      } catch (error) {
        assert(error instanceof RangeError, String(error));
      }
      const { tail, applied, durable, head, capacity } = wal;
      assert(tail - 1 <= applied && applied <= durable && durable < head && head - tail <= capacity);
      assert(tail >= tailBefore);
      tailBefore = tail;
    }
  }));
});

test("checkpoint() confirms what was released before it, also after a power cut", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  fill(wal, 5);
  wal.flush();
  wal.truncate(2);
  wal.checkpoint(2);
  disk.crash({ mode: "power", keep: "none" });
  using recovered = openOn(disk);
  assertEquals(recovered.applied, 2);
  assertEquals(recovered.replay().at(-1)!.valueLow, 2n);
});
