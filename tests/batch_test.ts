// Fault: an item of a batch of several operations is no item, has a value that it does not take,
//   or lacks one (H56).
// Promise: bad input throws before a byte is written (G15), and a batch is applied whole (G3).
// Method: each wrong item at each place of a batch, and batches in all forms against the records
//   that single calls write. `faults/batch_test.ts` crashes within such batches.

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type ApplicationOpType,
  type BatchItem,
  type HybridTime,
  OpType,
  type WAL,
  WALClosedError,
  WALFullError,
  type WALOptions,
  type WALRecord,
} from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { halvesToBytes } from "../src/keys.ts";
import {
  BATCH_OPCODES,
  batchItem,
  CAPACITY,
  fill,
  Gate,
  ListStore,
  lsns,
  openInMemory,
  openOn,
  PATH,
  range,
} from "./support/logs.ts";
import { RING_AT } from "./support/simulation.ts";
import { test } from "./support/test.ts";

const MAX = 2n ** 64n - 1n;
const [KEY, VALUE] = [halvesToBytes(1n, 2n), halvesToBytes(3n, 4n)];
const INSERT: BatchItem = { type: "insert", key: KEY, value: VALUE };

type Halves = readonly [bigint, bigint, bigint, bigint];

const opcodeOf = (i: number): OpType => BATCH_OPCODES[i % BATCH_OPCODES.length]!;

/** One record by the method of its operation. */
function logAlone(wal: WAL, opType: OpType, [a, b, c, d]: Halves): number {
  if (opType === OpType.Insert) return wal.logInsertSync(a, b, c, d);
  if (opType === OpType.Delete) return wal.logDeleteSync(a, b);
  if (opType === OpType.DeleteValue) return wal.logDeleteValueSync(a, b, c, d);
  if (opType === OpType.Replace) return wal.logReplaceSync(a, b, c, d);
  return wal.logOperationSync(opType as ApplicationOpType, a, b, c, d);
}

/** The ring's bytes without checksums, which depend on the log's random id, and without flags. */
function ringOf(disk: SimulatedDisk): Uint8Array {
  const ring = disk.image(PATH).slice(RING_AT);
  for (let at = 0; at < ring.length; at += 64) {
    ring.fill(0, at, at + 4);
    ring[at + 5] = 0;
  }
  return ring;
}

test("batch() writes the records of single calls, whatever operations, forms and iterables it is given", async () => {
  const half = fc.oneof(fc.bigInt(0n, MAX), fc.constantFrom(0n, 1n, 2n ** 53n, 2n ** 63n, MAX));
  const opType = fc.constantFrom(...BATCH_OPCODES);
  const record = fc.tuple(opType, fc.tuple(half, half, half, half), fc.boolean());
  await fc.assert(
    fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 300 }), async (records) => {
      const items = records.map(([opType, halves, inBytes]) => batchItem(opType, halves, inBytes));
      const inNumbers = records.map(([opType, halves]) =>
        batchItem(opType, halves.map((half) => half < 2n ** 53n ? Number(half) : half) as unknown as Halves)
      );
      const ways: ((wal: WAL) => unknown)[] = [
        (wal) => records.map(([opType, halves]) => logAlone(wal, opType, halves)).at(-1),
        (wal) => wal.batchSync(items),
        (wal) => wal.batchSync(items.values()),
        (wal) => wal.batch(inNumbers),
        (wal) => wal.batch(new Set(items)),
      ];
      const rings = await Promise.all(ways.map(async (write) => {
        const disk = new SimulatedDisk({ seed: 1 });
        const wal = openOn(disk, { now: () => 1 });
        assertEquals(await write(wal), records.length);
        wal.close();
        using reopened = openOn(disk); // its checksums are right
        assertEquals([reopened.length, reopened.recovery.clean], [records.length, true]);
        return ringOf(disk);
      }));
      for (const ring of rings) assertEquals(ring, rings[0]);
    }),
    { numRuns: 50 },
  );
});

test("batch() is one batch: recovered whole or not at all, with runs of each length", () => {
  // The codec makes 256 records at once.
  for (const count of [2, 3, 255, 256, 257, 513, CAPACITY]) {
    for (const lost of new Set([0, 1, count >> 1, count - 2, count - 1])) {
      const disk = new SimulatedDisk({ pieceBytes: 64 });
      const wal = openOn(disk);
      wal.batchSync(range(1, count).map((i) => batchItem(opcodeOf(i), [1, i, 2, i], i % 2 === 0)));
      disk.crash({ keep: (_piece, index) => index !== lost });
      using reopened = openOn(disk);
      assertEquals(reopened.length, 0, `record ${lost} of ${count} is lost`);
    }
  }
});

/** A time that the clock of `timedLog()` accepts. */
const GIVEN: HybridTime = [5_000_000n, 2 ** 32 - 200, 9];

/** A log whose wall clock stands at 5 ms. */
function timedLog(options: WALOptions = {}): WAL {
  return openInMemory({ now: () => 5, shard: 3, ...options });
}

test("batch() gives its records the given time, and the times after it, whatever the sequence number", async () => {
  for (const count of [1, 2, 300, 700]) {
    const batch = range(1, count).map((i) => batchItem(opcodeOf(i), [1, i, 2, i]));
    for (const write of [(wal: WAL) => wal.batchSync(batch, GIVEN), (wal: WAL) => wal.batch(batch, GIVEN)]) {
      using wal = timedLog();
      assertEquals(await write(wal), count);
      const times = wal.replay().map(({ time }) => time);
      const [nanos, seq, shard] = GIVEN;
      assertEquals(
        times,
        range(0, count - 1).map((i) => i < 200 ? [nanos, seq + i, shard] : [nanos + 1n, i - 200, shard]),
      );
      wal.logDeleteSync(1, 1);
      assertEquals(wal.replay().at(-1)!.time[2], 3);
    }
  }
});

test("batch() refuses a time before the log's last one or too far ahead, and takes an equal one", async () => {
  using wal = timedLog();
  const batch = [batchItem(OpType.Insert, [1, 2, 3, 4])];
  wal.batchSync(batch, GIVEN);
  wal.batchSync(batch, GIVEN);
  const [nanos, seq, shard] = GIVEN;
  const ahead = 86_400_000_000_001n + nanos;
  for (const time of [[nanos, seq - 1, shard], [nanos - 1n, seq, shard], [ahead, 0, 0]] as const) {
    assertThrows(() => wal.batchSync(batch, time), RangeError, "as time");
    await assertRejects(() => wal.batch(batch, time), RangeError, "as time");
  }
  assertEquals(wal.replay().map(({ time }) => time), [GIVEN, GIVEN]);
});

test("batch() keeps the given time while it waits for room, and checks it after the wait", async () => {
  using wal = timedLog();
  fill(wal, CAPACITY);
  wal.flush();
  const store = new ListStore();
  const gate = new Gate();
  store.before = () => gate.enter();
  const consuming = wal.consumeAsync(store);
  await gate.entered;
  const batch = range(1, 3).map((i) => batchItem(OpType.Replace, [1, i, 2, i]));
  const later: HybridTime = [6_000_000n, 7, 8];
  const written = [wal.batch(batch, later), wal.batch(batch, GIVEN)] as const;
  const refused = assertRejects(() => written[1], RangeError, "as time");
  gate.open();
  assertEquals(await written[0], CAPACITY + 3);
  await refused;
  const last = wal.replay().slice(-3).map(({ time }) => time);
  assertEquals(last, [later, [later[0], 8, 8], [later[0], 9, 8]]);
  wal.close();
  await consuming;
});

test("batch() goes to the store in one run, and to a store without applyBatch() record by record", async () => {
  const batch: BatchItem[] = range(1, 300).map((i) => batchItem(opcodeOf(i), [1, i, 2, i]));
  const runs: (readonly WALRecord[])[] = [];
  const list = new ListStore();
  for (const store of [{ applyBatch: (records: readonly WALRecord[]) => void runs.push(records) }, list]) {
    await using wal = openInMemory();
    const consuming = wal.consumeAsync(store, { batchSize: 4 });
    assertEquals(await wal.batch(batch), 300);
    await wal.whenApplied();
    wal.close();
    await consuming;
  }
  assertEquals(runs.map(lsns), [range(1, 300)]);
  assertEquals(runs[0]!.map(({ opType }) => opType), range(1, 300).map(opcodeOf));
  assertEquals(list.applied, range(1, 300));
});

/** What is no item, and what the error says of it after its index. */
const BAD: readonly [item: unknown, error: typeof TypeError | typeof RangeError, says: RegExp][] = [
  [undefined, TypeError, /item # is undefined, and no object/],
  [null, TypeError, /item # is null, and no object/],
  [5, TypeError, /item # is 5, and no object/],
  ["insert", TypeError, /item # is "insert", and no object/],
  [() => INSERT, TypeError, /item # is a value of type function, and no object/],
  [
    {},
    TypeError,
    /item # has undefined as its type, not one of "insert", "delete", "deleteValue", "replace", "operation"$/,
  ],
  [[1, 2, 3, 4], TypeError, /item # has undefined as its type/],
  [KEY, TypeError, /item # has undefined as its type/],
  ...["put", "Insert", "checkpoint", "", "toString", "applyBatch", null, 1, OpType.Insert, ["insert"], Symbol("s")].map(
    (type) => [{ ...INSERT, type }, TypeError, /item # has .* as its type/] as (typeof BAD)[0],
  ),
  [{ type: "delete", key: KEY, value: VALUE }, TypeError, /item # has a value.*"delete"/],
  [{ type: "delete", key: KEY, valueHigh: 1, valueLow: 2 }, TypeError, /item # has a value/],
  [{ type: "delete", keyHigh: 1, keyLow: 2, valueHigh: 3, valueLow: 4 }, TypeError, /item # has a value/],
  [{ type: "delete", keyHigh: 1, keyLow: 2, valueLow: 4 }, TypeError, /item # has a value/],
  [{ type: "delete", keyHigh: 1, keyLow: 2, value: VALUE }, TypeError, /item # has a value/],
  [{ type: "delete", key: KEY, keyHigh: 1, keyLow: 2 }, TypeError, /item # is in bytes and in halves/],
  [{ type: "delete" }, TypeError, /undefined as keyHigh of item #/],
  [{ type: "delete", key: null }, TypeError, /null as key of item #/],
  [{ type: "delete", key: 7n }, TypeError, /7n as key of item #.*both/],
  [{ type: "delete", key: KEY.subarray(1) }, RangeError, /15 bytes as key of item #/],
  [{ type: "delete", keyHigh: 1 }, TypeError, /undefined as keyLow of item #/],
  [{ type: "delete", keyHigh: 1, keyLow: -1 }, RangeError, /-1 as keyLow of item #/],
  ...[31, 64, 40.5, NaN, -40, "40", 40n, undefined, null].map((code): (typeof BAD)[0] => [
    { ...INSERT, type: "operation", code },
    typeof code === "number" ? RangeError : TypeError,
    /as code of item #/,
  ]),
  ...["insert", "deleteValue", "replace", "operation"].map((type) => ({ type, code: 32 })).flatMap((
    type,
  ): (typeof BAD)[0][] => [
    [{ ...type }, TypeError, /undefined as keyHigh of item #/],
    [{ ...type, key: KEY }, TypeError, /undefined as value of item #/],
    [{ ...type, key: KEY, value: 5n }, TypeError, /5n as value of item #.*both/],
    [{ ...type, value: VALUE }, TypeError, /undefined as key of item #/],
    [{ ...type, key: KEY, valueHigh: 1, valueLow: 2 }, TypeError, /item # is in bytes and in halves/],
    [{ ...type, key: "key", value: VALUE }, TypeError, /"key" as key of item #/],
    [{ ...type, key: KEY, value: new Uint8Array(17) }, RangeError, /17 bytes as value of item #/],
    [{ ...type, key: KEY, value: new Uint8Array(new SharedArrayBuffer(16)) }, TypeError, /as value of item #.*shared/],
    [{ ...type, keyHigh: 1, keyLow: 2 }, TypeError, /undefined as valueHigh of item #/],
    [{ ...type, keyHigh: 1, keyLow: 2, value: VALUE }, TypeError, /item # is in bytes and in halves/],
    ...[{ key: KEY }, { value: VALUE }, { key: KEY, value: VALUE }, { value: null }].map((bytes): (typeof BAD)[0] => [
      { ...type, keyHigh: 1, keyLow: 2, valueHigh: 3, valueLow: 4, ...bytes },
      TypeError,
      /item # is in bytes and in halves/,
    ]),
    ...["keyHigh", "keyLow", "valueHigh", "valueLow"].map((half): (typeof BAD)[0] => [
      { ...type, key: KEY, value: VALUE, [half]: 0 },
      TypeError,
      /item # is in bytes and in halves/,
    ]),
    [{ ...type, keyHigh: 1, keyLow: 2, valueHigh: 3 }, TypeError, /undefined as valueLow of item #/],
    [{ ...type, keyHigh: 1, keyLow: 2 ** 53, valueHigh: 3, valueLow: 4 }, RangeError, /as keyLow of item #/],
    [{ ...type, keyHigh: MAX + 1n, keyLow: 2, valueHigh: 3, valueLow: 4 }, RangeError, /as keyHigh of item #.*halves/],
    [
      { ...type, keyHigh: 1, keyLow: 2, valueHigh: 3, valueLow: KEY },
      TypeError,
      /as valueLow of item #.*both in bytes/,
    ],
  ]),
];

test("batch() refuses a batch with an item that is none, says which and why, and writes nothing", async () => {
  await using wal = openInMemory();
  for (const [item, errorClass, says] of BAD) {
    for (const index of [0, 1, 20]) {
      const wanted = new RegExp(says.source.replace("#", String(index)));
      const batch = range(0, 20).map((i): BatchItem => i % 2 === 0 ? INSERT : { type: "delete", key: KEY });
      batch[index] = item as BatchItem;
      for (const given of [batch, batch.values()]) {
        assertMatch(assertThrows(() => wal.batchSync(given), errorClass).message, wanted);
      }
      const promise = wal.batch(batch);
      assertMatch((await assertRejects(() => promise, errorClass)).message, wanted);
    }
  }
  assertEquals([wal.head, wal.stats().syncs], [1, 0]);
});

test("batch() has a type that refuses what the log refuses", () => {
  using wal = openInMemory();
  const wrong: BatchItem[] = [
    // @ts-expect-error a delete takes no value
    { type: "delete", key: KEY, value: VALUE },
    // @ts-expect-error an insert takes a value
    { type: "insert", key: KEY },
    // @ts-expect-error a replace takes bytes or halves
    { type: "replace", key: KEY, valueHigh: 1, valueLow: 2 },
    // @ts-expect-error an operation has a code
    { type: "operation", key: KEY, value: VALUE },
    // @ts-expect-error the log writes checkpoints by itself
    { type: "checkpoint", key: KEY, value: VALUE },
  ];
  for (const item of wrong) assertThrows(() => wal.batchSync([item]), TypeError);
});

test("batch() of what is no iterable is a TypeError, and writes nothing", async () => {
  await using wal = openInMemory();
  for (const batch of [null, undefined, 5, {}, INSERT, new ArrayBuffer(32)] as unknown as BatchItem[][]) {
    assertThrows(() => wal.batchSync(batch), TypeError, "is not iterable");
    await assertRejects(() => wal.batch(batch), TypeError, "is not iterable");
  }
  // Bytes are iterable, and a packed batch would not say what each record does.
  assertThrows(() => wal.batchSync(new Uint8Array(40) as unknown as BatchItem[]), TypeError, "item 0 is 0");
  assertEquals(wal.head, 1);
});

test("batch() clears the value of a delete, whatever its memory held before", () => {
  using wal = openInMemory();
  const full = halvesToBytes(MAX, MAX);
  for (let round = 0; round < 2; round++) {
    wal.batchSync(range(1, 30).map(() => ({ type: "insert", key: full, value: full })));
    wal.batchSync(range(1, 30).map((i) => batchItem(OpType.Delete, [1, i, 0, 0], i % 2 === 0)));
  }
  const deletes = wal.replay().filter(({ opType }) => opType === OpType.Delete);
  assertEquals(deletes.map(({ valueHigh, valueLow }) => [valueHigh, valueLow]), deletes.map(() => [0n, 0n]));
});

test("batch() takes batches of every size around its memory's sizes", () => {
  using wal = openInMemory({ size: 2 ** 24 });
  for (const count of [1, 815, 819, 820, 1024, 13_107, 13_108, 40_000]) {
    for (const isArray of [true, false]) {
      const from = wal.head;
      const batch = range(1, count).map((i) =>
        batchItem(i % 2 === 0 ? OpType.Delete : OpType.DeleteValue, [1, i, 2, i])
      );
      assertEquals(wal.batchSync(isArray ? batch : batch.values()), from + count - 1);
      const found = Array.from(wal.records({ from }), ({ opType, keyLow, valueLow }) => [opType, keyLow, valueLow]);
      const expected = range(1, count).map((i) =>
        i % 2 === 0 ? [OpType.Delete, BigInt(i), 0n] : [OpType.DeleteValue, BigInt(i), BigInt(i)]
      );
      assertEquals(found, expected);
      wal.flush();
      wal.truncate(wal.durable);
    }
  }
});

test("batch() meets an empty batch, a full ring, one that is too small and a closed log as batchInsert() does", async () => {
  const wal = openInMemory();
  assertEquals([wal.batchSync([]), await wal.batch([]), wal.head], [0, 0, 1]);
  fill(wal, 2);
  assertEquals([wal.batchSync([]), await wal.batch(new Set()), wal.head, wal.durable], [2, 2, 3, 0]);
  const large = range(1, CAPACITY + 1).map(() => INSERT);
  assertThrows(() => wal.batchSync(large), RangeError, `${CAPACITY + 1} records`);
  await assertRejects(() => wal.batch(large), RangeError, `${CAPACITY + 1} records`);
  const tooMany = large.slice(2);
  assertEquals(assertThrows(() => wal.batchSync(tooMany), WALFullError).wanted, CAPACITY - 1);
  await assertRejects(() => wal.batch(tooMany), WALFullError);
  assertEquals(wal.batchSync(large.slice(3)), CAPACITY);
  wal.close();
  assertThrows(() => wal.batchSync([INSERT]), WALClosedError);
  await assertRejects(() => wal.batch([INSERT]), WALClosedError);
  await assertRejects(() => wal.batch([]), WALClosedError);
});

test("batch() that waits for room keeps what it was given, and resolves to the LSN that it gets", async () => {
  const wal = openInMemory();
  const gate = Promise.withResolvers<void>();
  const store = new ListStore();
  const given = new Map<number, unknown[]>();
  store.before = ({ lsn, opType, keyLow, valueLow }) => {
    given.set(lsn, [opType, keyLow, valueLow]);
    return gate.promise;
  };
  const consuming = wal.consumeAsync(store);
  fill(wal, CAPACITY);
  const key = KEY.slice();
  const batch: BatchItem[] = [{ type: "delete", key }, { type: "insert", key, value: VALUE }];
  const waiting = [wal.batch(batch), wal.batchInsert([[5, 6, 7, 8]]), wal.batch(batch)];
  assertEquals(wal.stats().waiting, 3);
  key.fill(99);
  batch.length = 0;
  gate.resolve();
  const found = await Promise.all(waiting);
  await wal.whenApplied();
  const [first, second, third] = found as [number, number, number];
  assert(first < second && second < third);
  assertEquals(given.get(second), [OpType.Insert, 6n, 8n]);
  for (const last of [first, third]) {
    assertEquals([given.get(last - 1), given.get(last)], [[OpType.Delete, 2n, 0n], [OpType.Insert, 2n, 4n]]);
  }
  wal.close();
  await consuming;
});
