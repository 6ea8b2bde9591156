// Fault: a record is compared, cloned, spread or shown by its internal words instead of its fields
//   (H51).
// Promise: records are values, deeply equal if, and only if, all their fields are. No clone lacks a
//   field, and a record keeps nothing else alive.
// Method: compare records of many reads with what was logged, by each runtime's own deep equality.
//   Change one field at a time.

import { FileMemory } from "../ffi/file_memory.ts";
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { deepStrictEqual, notDeepStrictEqual } from "node:assert";
import { inspect, isDeepStrictEqual } from "node:util";
import { MessageChannel } from "node:worker_threads";
import { OpType, type WALRecord, type WALRecordFields } from "../mod.ts";
import { checksumSeed, Slots, SlotState } from "../src/format/record.ts";
import { readRecords, recordOf } from "../src/read/stored_record.ts";
import { SimulatedDisk } from "../testing.ts";
import { fill, items, openInMemory, openOn, range } from "./support/logs.ts";
import { LOG_ID, recordBytes } from "./support/reference.ts";
import { runtime } from "./support/runtime.ts";
import { test } from "./support/test.ts";

const MAX = 2n ** 64n - 1n;

const u64 = fc.oneof(
  fc.constantFrom(0n, 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n, 2n ** 63n, MAX),
  fc.bigInt(0n, MAX),
);
const u32 = fc.oneof(fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1), fc.nat(2 ** 32 - 1));
const fields: fc.Arbitrary<WALRecordFields> = fc.record({
  lsn: fc.oneof(
    fc.constantFrom(1, 2 ** 31, 2 ** 32, 2 ** 53 - 1),
    fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  ),
  opType: fc.constantFrom(...Object.values(OpType)),
  version: fc.constant(1),
  time: fc.tuple(u64, u32, fc.nat(0xffff)),
  keyHigh: u64,
  keyLow: u64,
  valueHigh: u64,
  valueLow: u64,
});

/**
 * The deep equality of each test library that this runtime can load. All of them must agree.
 */
const equalities: ((one: unknown, other: unknown) => boolean)[] = [
  isDeepStrictEqual,
  (one, other) => passes(() => deepStrictEqual(one, other)),
  (one, other) => !passes(() => notDeepStrictEqual(one, other)),
  (one, other) => passes(() => assertEquals(one, other)),
  (one, other) => !passes(() => assertNotEquals(one, other)),
];
if (runtime === "bun") {
  const name = "bun:test";
  const { expect } = await import(name);
  equalities.push(
    (one, other) => passes(() => expect(one).toEqual(other)),
    (one, other) => passes(() => expect(one).toStrictEqual(other)),
    (one, other) => !passes(() => expect(one).not.toEqual(other)),
  );
}

function passes(body: () => void): boolean {
  try {
    body();
    return true;
  } catch {
    return false;
  }
}

function assertSame(one: unknown, other: unknown, message = ""): void {
  equalities.forEach((isEqual, i) => assert(isEqual(one, other), `${message}, equality ${i}`));
}

function assertDifferent(one: unknown, other: unknown, message = ""): void {
  equalities.forEach((isEqual, i) => assert(!isEqual(one, other), `${message}, equality ${i}`));
}

test("WALRecord is the same value before and after an append, and however it is read", async () => {
  await using wal = openInMemory();
  wal.batchInsertSync(items(1, 300));
  wal.logDeleteSync(1, 2);
  fill(wal, 400);
  const before = wal.replay();
  fill(wal, 60);
  wal.flush();
  assertSame(before, wal.replay().slice(0, 701), "replay()");
  assertSame(before, [...wal.records({ to: 701 })], "records()");
  const cursor = wal.cursor({ to: 701 });
  assertSame(before, range(1, 701).map(() => cursor.next() && cursor.toRecord()), "a cursor");
  const applied: WALRecord[] = [];
  const stop = new AbortController();
  const consuming = wal.consumeAsync({ applyBatch: (run) => void applied.push(...run) }, {
    signal: stop.signal,
    batchSize: 7,
  });
  await wal.whenApplied(701);
  stop.abort();
  await consuming;
  assertSame(before, applied.slice(0, 701), "a consumer");
});

test("WALRecord is the same value in a copy of the log, where its checksum is another one", () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 20);
  wal.flush();
  wal.backup("/sim/copy");
  const records = wal.replay();
  wal.close();
  disk.outsider.unlink("/sim/log");
  disk.outsider.rename("/sim/copy", "/sim/log");
  using copy = openOn(disk);
  assertSame(records, copy.replay());
});

test("WALRecord is another value when one field differs", () => {
  fc.assert(
    fc.property(fields, fields, (one, other) => {
      assertSame(recordOf(one), recordOf({ ...one }));
      for (const name of Object.keys(one) as (keyof WALRecordFields)[]) {
        if (isDeepStrictEqual(one[name], other[name])) continue;
        assertDifferent(recordOf(one), recordOf({ ...one, [name]: other[name] }), name);
      }
    }),
    { numRuns: 30 },
  );
});

test("WALRecord is another value when one bit of any word differs", () => {
  const one: WALRecordFields = {
    lsn: 5,
    opType: 1,
    version: 1,
    time: [7n, 3, 2],
    keyHigh: 1n,
    keyLow: 2n,
    valueHigh: 3n,
    valueLow: 4n,
  };
  for (const name of ["keyHigh", "keyLow", "valueHigh", "valueLow"] as const) {
    for (let bit = 0n; bit < 64n; bit++) {
      assert(
        !isDeepStrictEqual(recordOf(one), recordOf({ ...one, [name]: one[name] ^ (1n << bit) })),
        `${name} ${bit}`,
      );
    }
  }
  const [nanos, seq, shard] = one.time;
  for (let bit = 0; bit < 32; bit++) {
    const other = (seq ^ (1 << bit)) >>> 0;
    assertDifferent(recordOf(one), recordOf({ ...one, time: [nanos, other, shard] }), `seq ${bit}`);
    // The sequence number and the LSN grow together.
    const moved = { ...one, lsn: one.lsn + 2 ** bit, time: [nanos, seq + 2 ** bit, shard] } as const;
    assertDifferent(recordOf(one), recordOf(moved), `both ${bit}`);
  }
});

test("WALRecord reads back what was written, whatever other records are around it", () => {
  fc.assert(fc.property(fc.array(fields, { minLength: 1, maxLength: 8 }), (records) => {
    const bytes = records.flatMap(({ lsn, opType, time: [nanos, seq, shard], ...keys }, i) => [
      ...recordBytes({ lsn, opType, nanos, seq, shard, flags: i & 1, distance: i + 1, ...keys, version: 1 }),
    ]);
    const { buffer } = Uint8Array.from(bytes);
    const slots = new Slots(new FileMemory(buffer), 0, records.length, checksumSeed(LOG_ID));
    const found: WALRecord[] = [];
    readRecords(new Int32Array(buffer), 0, records.length, found, 0);
    for (const [i, record] of records.entries()) {
      assertEquals(slots.verify(i, record.lsn), SlotState.Record);
      assertEquals(found[i]!.toObject(), record);
      assertSame(found[i], recordOf(record));
      const { lsn, opType, version, time, keyHigh, keyLow, valueHigh, valueLow } = found[i]!;
      assertEquals({ lsn, opType, version, time, keyHigh, keyLow, valueHigh, valueLow }, record);
    }
  }));
});

test("structuredClone() and postMessage() refuse a record, alone or in anything else, and take what toObject() gives", () => {
  using wal = openInMemory();
  fill(wal, 3);
  const records = wal.replay();
  const { port1, port2 } = new MessageChannel();
  try {
    for (const value of [records[1], records, { records }, new Map([[1, records[0]]])]) {
      for (const clone of [() => structuredClone(value), () => port1.postMessage(value)]) {
        assertEquals(assertThrows(clone, Error).name, "DataCloneError");
      }
    }
  } finally {
    port1.close();
    port2.close();
  }
  assertEquals(structuredClone(records.map((record) => record.toObject())), records.map((record) => record.toObject()));
});

test("toObject() gives a plain object with all fields, and toJSON() the same without bigints", () => {
  using wal = openInMemory();
  wal.logInsertSync(MAX, 0, 2n ** 63n, 7, [123_456_789_000_000n, 4, 5]);
  const [record] = wal.replay();
  const expected = {
    lsn: 1,
    opType: OpType.Insert,
    version: 1,
    time: [123_456_789_000_000n, 4, 5],
    keyHigh: MAX,
    keyLow: 0n,
    valueHigh: 2n ** 63n,
    valueLow: 7n,
  };
  assertEquals(record!.toObject() as unknown, expected);
  assertEquals(Object.getPrototypeOf(record!.toObject()), Object.prototype);
  const json = {
    lsn: 1,
    opType: 1,
    version: 1,
    time: ["123456789000000", 4, 5],
    keyHigh: String(MAX),
    keyLow: "0",
    valueHigh: String(2n ** 63n),
    valueLow: "7",
  };
  assertEquals(record!.toJSON(), json);
  assertEquals(JSON.parse(JSON.stringify({ record })), { record: json });
});

test("console.log() shows a record's fields, and not its internal words", () => {
  using wal = openInMemory();
  fill(wal, 1);
  const [record] = wal.replay();
  const deno = (globalThis as { Deno?: { inspect(value: unknown): string } }).Deno;
  const bun = (globalThis as { Bun?: { inspect(value: unknown): string } }).Bun;
  for (const show of [inspect, deno?.inspect, bun?.inspect]) {
    if (show === undefined) continue;
    const text = show({ record });
    assert(/lsn: 1,/.test(text) && /keyHigh: 1n/.test(text) && !/word|common/.test(text), text);
  }
});

test("WALRecord has no field once it is spread, as its documentation says", () => {
  using wal = openInMemory();
  fill(wal, 1);
  const spread: Partial<WALRecord> = { ...wal.replay()[0]! };
  for (const name of ["lsn", "opType", "time", "keyHigh", "toObject"] as const) assertEquals(spread[name], undefined);
  assertThrows(() => structuredClone(spread), Error);
});

test("records() has the methods of iterators, at run time and in its type", () => {
  using wal = openInMemory();
  fill(wal, 9);
  const taken = wal.records().filter(({ lsn }) => lsn % 2 === 0).map((record) => record.keyLow).take(3);
  assertEquals([...taken], [2n, 4n, 6n]);
  assertEquals(wal.records({ from: 8 }).toArray().map(({ lsn }) => lsn), [8, 9]);
});

test("WALRecord keeps no memory of the log alive, because it reaches numbers only and no buffer", () => {
  using wal = openInMemory();
  fill(wal, 500);
  const reached = new Set<unknown>();
  const visit = (value: unknown): void => {
    if (value === null || (typeof value !== "object" && typeof value !== "function") || reached.has(value)) return;
    reached.add(value);
    assert(!ArrayBuffer.isView(value) && !(value instanceof ArrayBuffer));
    for (const key of Reflect.ownKeys(value)) {
      const descriptor = Reflect.getOwnPropertyDescriptor(value, key)!;
      if (typeof value === "object") visit(descriptor.value);
    }
  };
  visit(wal.replay()[250]);
  assert(reached.size <= 3, `${reached.size} objects`);
});
