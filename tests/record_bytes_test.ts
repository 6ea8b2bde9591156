// Fault: the bytes of a key or a value say something else than its halves, or a copy writes where
//   it must not (H51).
// Promise: bytes are the same number, big-endian. A copy writes 16 bytes, or throws and writes
//   none.
// Method: compare bytes with halves that a DataView reads from them, for each byte and for random
//   numbers. Copy to each offset, and into everything that cannot take a copy.

import { assert, assertEquals, assertNotStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Buffer } from "node:buffer";
import { runInNewContext } from "node:vm";
import { type Cursor, type InsertItem, OpType, type WAL, type WALRecord } from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { CAPACITY, fill, openInMemory, openOn } from "./support/logs.ts";
import { test } from "./support/test.ts";

const MAX = 2n ** 64n - 1n;

type Halves = readonly [keyHigh: bigint, keyLow: bigint, valueHigh: bigint, valueLow: bigint];

/** What gives bytes. */
type Source = Pick<WALRecord, "key" | "value" | "copyKey" | "copyValue">;

/** Key and value as callers write them: a hash is read from its first byte on. */
function bytesOf([keyHigh, keyLow, valueHigh, valueLow]: Halves): { key: Uint8Array; value: Uint8Array } {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  [keyHigh, keyLow, valueHigh, valueLow].forEach((half, i) => view.setBigUint64(8 * i, half, false));
  return { key: bytes.slice(0, 16), value: bytes.slice(16) };
}

/** Checks all four ways to the bytes. */
function assertBytes(source: Source, halves: Halves, message: string): void {
  const expected = bytesOf(halves);
  const copied = new Uint8Array(40).fill(0xa5);
  source.copyKey(copied, 1);
  source.copyValue(copied, 20);
  const around = (from: number, to: number) => copied.slice(from, to).every((byte) => byte === 0xa5);
  assert(around(0, 1) && around(17, 20) && around(36, 40), `${message}: no byte around the copies is written`);
  assertEquals({ key: source.key, value: source.value }, expected, message);
  assertEquals({ key: copied.slice(1, 17), value: copied.slice(20, 36) }, expected, `${message}, copied`);
}

/** Reads all records of a log in each way, and passes each on. */
function forEachSource(wal: WAL, take: (source: Source, index: number, way: string) => void): void {
  wal.replay().forEach((record, i) => take(record, i, "replay()"));
  const cursor = wal.cursor();
  for (let i = 0; cursor.next(); i++) {
    take(cursor, i, "cursor()");
    take(cursor.toRecord(), i, "toRecord()");
  }
}

function halvesOf(item: InsertItem): Halves {
  return [BigInt(item[0]), BigInt(item[1]), BigInt(item[2]), BigInt(item[3])];
}

/** A log in memory with these records. */
function logOf(items: readonly Halves[]): WAL {
  const wal = openInMemory();
  wal.batchInsertSync(items);
  return wal;
}

test("WALRecord.key and WALRecord.value have each byte of their halves at its place, big-endian", () => {
  const bytes = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
  const view = new DataView(bytes.buffer);
  const halves = [0, 8, 16, 24].map((at) => view.getBigUint64(at, false)) as unknown as Halves;
  using wal = logOf([halves]);
  forEachSource(wal, ({ key, value }, _, way) => {
    assertEquals([...key, ...value], [...bytes], way);
  });
});

test("copyKey() and copyValue() give what the halves say, for each value of each byte", () => {
  for (let byte = 0; byte < 32; byte++) {
    const items = Array.from({ length: 256 }, (_, value): Halves => {
      const halves = [0n, 0n, 0n, 0n] as [bigint, bigint, bigint, bigint];
      halves[byte >> 3] = BigInt(value) << BigInt(8 * (7 - (byte & 7)));
      return halves;
    });
    using wal = logOf(items);
    forEachSource(wal, (source, i, way) => {
      const both = new Uint8Array(32);
      source.copyKey(both);
      source.copyValue(both, 16);
      assert(both.every((found, at) => found === (at === byte ? i : 0)), `${way}, byte ${byte} = ${i}: ${both}`);
    });
  }
});

test("copyKey() and copyValue() agree with the halves of random and of special numbers", () => {
  const half = fc.oneof(
    fc.constantFrom(0n, 1n, 255n, 256n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 63n, MAX),
    fc.bigInt(0n, MAX),
  );
  fc.assert(fc.property(fc.array(fc.tuple(half, half, half, half), { minLength: 1, maxLength: 40 }), (items) => {
    using wal = logOf(items);
    forEachSource(wal, (source, i, way) => assertBytes(source, items[i]!, `${way}, record ${i}`));
  }));
});

test("Cursor.copyKey() follows the cursor over the end of the ring", () => {
  using wal = openInMemory();
  fill(wal, 600);
  wal.flush();
  wal.truncate(600);
  fill(wal, 400);
  assert(wal.head - 1 > CAPACITY);
  const bytes = new Uint8Array(32);
  for (const cursor = wal.cursor(); cursor.next();) {
    cursor.copyKey(bytes);
    cursor.copyValue(bytes, 16);
    const { lsn } = cursor;
    assertEquals({ key: bytes.slice(0, 16), value: bytes.slice(16) }, bytesOf(halvesOf([lsn, lsn, lsn, lsn])));
    assertEquals([cursor.key, cursor.value], [bytes.slice(0, 16), bytes.slice(16)]);
  }
});

test("WALRecord.value is 16 zeros for a delete, and a deleted value for the delete of one", () => {
  using wal = openInMemory();
  wal.logDeleteSync(MAX, 5);
  wal.logDeleteValueSync(1, 2, 3, MAX);
  fill(wal, 1);
  wal.flush();
  wal.checkpoint(3);
  forEachSource(wal, (source, i, way) => {
    const halves: Halves[] = [[MAX, 5n, 0n, 0n], [1n, 2n, 3n, MAX], [3n, 3n, 3n, 3n], [0n, 0n, 0n, 3n]];
    assertBytes(source, halves[i]!, `${way}, record ${i}`);
  });
  assertEquals(wal.replay().at(-1)!.opType, OpType.Checkpoint);
});

test("WALRecord.key is a new array at each reading, which belongs to its reader", () => {
  using wal = openInMemory();
  fill(wal, 2);
  const [record] = wal.replay();
  const cursor = wal.cursor();
  assert(cursor.next());
  for (const source of [record!, cursor]) {
    const { key } = source;
    assertNotStrictEquals(key, source.key);
    assertEquals([key.byteOffset, key.buffer.byteLength], [0, 16]);
    key.fill(9);
    assertEquals(source.key, bytesOf([1n, 1n, 1n, 1n]).key);
    structuredClone(key, { transfer: [key.buffer] });
    assertEquals(source.key.length, 16);
  }
  assertEquals(record!.toObject().keyHigh, 1n);
});

test("WALRecord keeps what toObject(), toJSON() and its own keys give, after its bytes were read", () => {
  using wal = openInMemory();
  fill(wal, 1);
  const [record] = wal.replay();
  const before = [Reflect.ownKeys(record!), record!.toObject(), record!.toJSON()];
  assert(record!.key.length === 16 && record!.value.length === 16);
  assertEquals([Reflect.ownKeys(record!), record!.toObject(), record!.toJSON()], before);
  assert(!("key" in record!.toObject()), "a plain object has the halves only");
});

/** Arrays that cannot take a copy. */
function detached(): Uint8Array {
  const bytes = new Uint8Array(32);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

/** A view whose resizable buffer has become too short for it. */
function cutShort(): Uint8Array {
  const buffer = new ArrayBuffer(32, { maxByteLength: 64 });
  const bytes = new Uint8Array(buffer, 8, 16);
  buffer.resize(16);
  return bytes;
}

test("copyKey() and copyValue() refuse what cannot take 16 bytes, and write no byte", () => {
  using wal = openInMemory();
  fill(wal, 1);
  const cursor = wal.cursor();
  assert(cursor.next());
  const good = new Uint8Array(20).fill(0xa5);
  const bad: [string, unknown, unknown, typeof TypeError | typeof RangeError, string][] = [
    ["undefined", undefined, 0, TypeError, "it must be a Uint8Array"],
    ["null", null, 0, TypeError, "it must be a Uint8Array"],
    ["an array", new Array(16).fill(0), 0, TypeError, "it must be a Uint8Array"],
    ["an ArrayBuffer", good.buffer, 0, TypeError, "it must be a Uint8Array"],
    ["a DataView", new DataView(good.buffer), 0, TypeError, "it must be a Uint8Array"],
    ["clamped bytes", new Uint8ClampedArray(good.buffer), 0, TypeError, "it must be a Uint8Array"],
    ["words", new Uint32Array(16), 0, TypeError, "it must be a Uint8Array"],
    ["something like an array", Object.create(Uint8Array.prototype), 0, TypeError, ""],
    ["a detached array", detached(), 0, TypeError, "detached"],
    ["a view that was cut short", cutShort(), 0, RangeError, "an array of 0"],
    ["15 bytes", good.subarray(0, 15), 0, RangeError, "an array of 15"],
    ["no bytes", good.subarray(0, 0), 0, RangeError, "an array of 0"],
    ["an offset too far", good, 5, RangeError, "from 0 to 4"],
    ["an offset before the array", good, -1, RangeError, "from 0 to 4"],
    ["half an offset", good, 0.5, RangeError, "from 0 to 4"],
    ["no number", good, NaN, RangeError, "from 0 to 4"],
    ["an endless offset", good, Infinity, RangeError, "from 0 to 4"],
    ["a text as offset", good, "1", TypeError, "it must be a number"],
    ["a bigint as offset", good, 1n, TypeError, "it must be a number"],
    ["null as offset", good, null, TypeError, "it must be a number"],
  ];
  for (const source of [wal.replay()[0]!, cursor]) {
    for (const method of ["copyKey", "copyValue"] as const) {
      for (const [name, into, at, errorClass, part] of bad) {
        const copy = () => source[method](into as Uint8Array, at as number);
        assertThrows(copy, errorClass, part, `${method}() into ${name}`);
      }
    }
  }
  assert(good.every((byte) => byte === 0xa5), "no byte is written");
});

test("copyKey() and copyValue() write through any Uint8Array, at any offset that has room", () => {
  using wal = logOf([[1n, 2n, 3n, 4n]]);
  const [record] = wal.replay();
  const { key } = bytesOf([1n, 2n, 3n, 4n]);
  class Own extends Uint8Array {}
  const arrays = [
    new Uint8Array(64).subarray(3, 40),
    Buffer.alloc(37),
    new Own(37),
    new Uint8Array(new SharedArrayBuffer(37)),
    new Uint8Array(new ArrayBuffer(37, { maxByteLength: 64 })),
    runInNewContext("new Uint8Array(37)") as Uint8Array,
  ];
  for (const bytes of arrays) {
    for (let at = 0; at <= bytes.length - 16; at++) {
      bytes.fill(0xa5);
      record!.copyKey(bytes, at);
      const expected = new Uint8Array(bytes.length).fill(0xa5);
      expected.set(key, at);
      assertEquals([...bytes], [...expected], `at ${at}`);
    }
  }
  const bytes = new Uint8Array(16);
  record!.copyKey(bytes, undefined);
  assertEquals(bytes, key);
});

test("Cursor.key and Cursor.copyKey() throw before the first next() and after close()", () => {
  const reads: ((cursor: Cursor) => unknown)[] = [
    (cursor) => cursor.key,
    (cursor) => cursor.value,
    (cursor) => cursor.copyKey(bytes),
    (cursor) => cursor.copyValue(bytes),
  ];
  const bytes = new Uint8Array(16).fill(0xa5);
  const wal = openOn(new SimulatedDisk());
  fill(wal, 1);
  const cursor = wal.cursor();
  for (const read of reads) assertThrows(() => read(cursor), RangeError, "next()");
  assert(cursor.next());
  wal.close();
  for (const read of reads) assertThrows(() => read(cursor), Error);
  assert(bytes.every((byte) => byte === 0xa5), "no byte is written");
});
