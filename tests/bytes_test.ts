// Fault: bytes given as a key, a value or a batch have another type or another length, share their
//   memory, say wrong things of themselves, or change after the call (H39, H53).
// Promise: what is written is what the call was given, the same as from halves (G2). Whatever
//   cannot be written is refused with a clear error before a byte is written (G15).
// Method: each method, in each form, with each kind of bytes. A log of bytes is compared with a log
//   of halves, byte by byte.

import { assertEquals, assertInstanceOf, assertMatch, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Buffer } from "node:buffer";
import { runInNewContext } from "node:vm";
import { type HybridTimeInput, type InsertBytes, OpType, type U64, type WAL } from "../mod.ts";
import { checkBytes, checkPairBytes, copyOf, packedLength } from "../src/arguments/bytes.ts";
import { SimulatedDisk } from "../testing.ts";
import { CAPACITY, fill, ListStore, openInMemory, openOn, PATH, range } from "./support/logs.ts";
import { test } from "./support/test.ts";

// deno-lint-ignore no-explicit-any
type ErrorClass = new (...args: any[]) => Error;
type Halves = readonly [high: bigint, low: bigint];

const RING_AT = 16384;

/** The bytes of two halves. */
function bytesOf(...[high, low]: Halves): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, high);
  view.setBigUint64(8, low);
  return bytes;
}

function joined(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Bytes whose memory was transferred to somewhere else. */
function detached(length: number): Uint8Array {
  const bytes = new Uint8Array(length).fill(7);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  return bytes;
}

/** A view whose memory became too small for it. */
function outOfBounds(offset: number, length?: number): Uint8Array {
  const buffer = new ArrayBuffer(offset + 16, { maxByteLength: 64 });
  const view = new Uint8Array(buffer, offset, length);
  buffer.resize(Math.max(0, offset - 1));
  return view;
}

/** 16 bytes with a getter that no one may call. */
function withOwn(bytes: Uint8Array, ...names: (string | symbol)[]): Uint8Array {
  for (const name of names) {
    Object.defineProperty(bytes, name, {
      get: () => {
        throw new Error(`${String(name)} was read`);
      },
    });
  }
  return bytes;
}

/** What subclasses may replace. */
const NAMES = ["length", "byteLength", "byteOffset", "constructor", "slice", "subarray", "at", "set"];
const SYMBOLS = [Symbol.iterator, Symbol.toStringTag];

class Sixteen extends Uint8Array {
  override get length(): number {
    return 16;
  }
}

const OTHER: [ErrorClass, RegExp] = [TypeError, /must not be in shared or resizable memory/];
const SHARED_16 = "new Uint8Array(new SharedArrayBuffer(16))";

function withoutPrototype(buffer: ArrayBufferLike): Uint8Array {
  return Object.setPrototypeOf(new Uint8Array(buffer), null) as Uint8Array;
}

function disguised(elements: BigUint64Array): unknown {
  return Object.setPrototypeOf(elements, Uint8Array.prototype);
}

/** Keys and values that are refused, with the error and what its message says. */
const BAD: readonly [what: string, make: () => unknown, errorClass: ErrorClass, says: RegExp][] = [
  ...[0, 1, 15, 17, 32].map((length) =>
    [`${length} bytes`, () => new Uint8Array(length), RangeError, new RegExp(`${length} bytes as`)] as [
      string,
      () => unknown,
      ErrorClass,
      RegExp,
    ]
  ),
  ["a short Buffer", () => Buffer.alloc(15), RangeError, /15 bytes as/],
  ["a short subclass that says 16", () => new Sixteen(8), RangeError, /8 bytes as/],
  ["own getters, 17 bytes", () => withOwn(new Uint8Array(17), ...NAMES, ...SYMBOLS), RangeError, /17 bytes as/],
  ["detached memory", () => detached(16), RangeError, /0 bytes as .*detached/],
  ["a view out of bounds", () => outOfBounds(8, 16), RangeError, /0 bytes as/],
  ["a tracking view out of bounds", () => outOfBounds(8), RangeError, /0 bytes as/],
  ["a tracking view of 17", () => new Uint8Array(new ArrayBuffer(17, { maxByteLength: 32 })), RangeError, /17 bytes/],
  ["a view of resizable memory", () => new Uint8Array(new ArrayBuffer(64, { maxByteLength: 64 }), 8, 16), ...OTHER],
  ["a tracking view", () => new Uint8Array(new ArrayBuffer(24, { maxByteLength: 64 }), 8), ...OTHER],
  ["shared memory", () => new Uint8Array(new SharedArrayBuffer(16)), ...OTHER],
  ["a part of shared memory", () => Buffer.from(new SharedArrayBuffer(64), 7, 16), ...OTHER],
  ["growable shared memory", () => new Uint8Array(new SharedArrayBuffer(16, { maxByteLength: 64 })), ...OTHER],
  ["a subclass in shared memory", () => new Sixteen(new SharedArrayBuffer(16) as unknown as ArrayBuffer), ...OTHER],
  ["another realm's shared memory", () => runInNewContext(SHARED_16) as Uint8Array, ...OTHER],
  ["shared bytes without a prototype", () => withoutPrototype(new SharedArrayBuffer(16)), ...OTHER],
  ["a DataView", () => new DataView(new ArrayBuffer(16)), TypeError, /type DataView/],
  ["an ArrayBuffer", () => new ArrayBuffer(16), TypeError, /Uint8Array/],
  ["an Int8Array", () => new Int8Array(16), TypeError, /type Int8Array/],
  ["a Uint8ClampedArray", () => new Uint8ClampedArray(16), TypeError, /type Uint8ClampedArray/],
  ["a Uint16Array", () => new Uint16Array(16), TypeError, /type Uint16Array/],
  ["a Float64Array", () => new Float64Array(16), TypeError, /type Float64Array/],
  ["a BigUint64Array", () => new BigUint64Array(2), TypeError, /type BigUint64Array/],
  ["bigints that inherit from bytes", () => disguised(new BigUint64Array(16)), TypeError, /type BigUint64Array/],
  ["an array", () => Array.from(new Uint8Array(16)), TypeError, /Uint8Array/],
  ["what looks like bytes", () => ({ ...new Uint8Array(16), length: 16 }), TypeError, /Uint8Array/],
  ["what inherits from bytes", () => Object.create(new Uint8Array(16)), TypeError, /Uint8Array/],
  ["a Proxy of bytes", () => new Proxy(new Uint8Array(16), {}), TypeError, /Uint8Array/],
  ["null", () => null, TypeError, /null|Uint8Array/],
];

/** Keys and values that are taken, of which each byte is its index. */
const GOOD: readonly [what: string, make: () => Uint8Array][] = [
  ["a Uint8Array", () => counting(new Uint8Array(16))],
  ["a Buffer", () => counting(Buffer.alloc(16))],
  ["a part of a buffer", () => counting(new Uint8Array(new ArrayBuffer(64), 5, 16))],
  ["own getters", () => withOwn(counting(new Uint8Array(16)), ...NAMES, ...SYMBOLS)],
  ["a subclass that says 16", () => counting(new Sixteen(16))],
  ["a subclass", () => counting(new (class extends Uint8Array {})(16))],
  ["another realm's bytes", () => counting(runInNewContext("new Uint8Array(16)") as Uint8Array)],
  ["bytes without a prototype", () => Object.setPrototypeOf(counting(new Uint8Array(16)), null) as Uint8Array],
];
const COUNTED: Halves = [0x0001_0203_0405_0607n, 0x0809_0a0b_0c0d_0e0fn];
const KEY = bytesOf(0xfeed_0000_0000_0001n, 2n);
const VALUE = bytesOf(3n, 0xcafe_0000_0000_0004n);

function counting<Bytes extends Uint8Array>(bytes: Bytes): Bytes {
  for (let i = 0; i < 16; i++) bytes[i] = i;
  return bytes;
}

/** A method that takes bytes: how it is called in both forms, synchronous and not. */
interface Method {
  readonly name: string;
  readonly opType: OpType;
  readonly hasValue: boolean;
  readonly sync: (wal: WAL, key: Uint8Array, value: Uint8Array, time?: HybridTimeInput) => unknown;
  readonly async: (wal: WAL, key: Uint8Array, value: Uint8Array, time?: HybridTimeInput) => Promise<unknown>;
}

const METHODS: readonly Method[] = [
  {
    name: "logInsert()",
    opType: OpType.Insert,
    hasValue: true,
    sync: (wal, key, value, time) => wal.logInsertSync(key, value, time),
    async: (wal, key, value, time) => wal.logInsert(key, value, time),
  },
  {
    name: "logDelete()",
    opType: OpType.Delete,
    hasValue: false,
    sync: (wal, key, _, time) => wal.logDeleteSync(key, time),
    async: (wal, key, _, time) => wal.logDelete(key, time),
  },
  {
    name: "logDeleteValue()",
    opType: OpType.DeleteValue,
    hasValue: true,
    sync: (wal, key, value, time) => wal.logDeleteValueSync(key, value, time),
    async: (wal, key, value, time) => wal.logDeleteValue(key, value, time),
  },
  {
    name: "logReplace()",
    opType: OpType.Replace,
    hasValue: true,
    sync: (wal, key, value, time) => wal.logReplaceSync(key, value, time),
    async: (wal, key, value, time) => wal.logReplace(key, value, time),
  },
  {
    name: "logOperation()",
    opType: 47,
    hasValue: true,
    sync: (wal, key, value, time) => wal.logOperationSync(47, key, value, time),
    async: (wal, key, value, time) => wal.logOperation(47, key, value, time),
  },
  {
    name: "batchInsert()",
    opType: OpType.Insert,
    hasValue: true,
    sync: (wal, key, value) => wal.batchInsertSync([[key, value]]),
    async: (wal, key, value) => wal.batchInsert(new Set<InsertBytes>([[key, value]])),
  },
  {
    name: "batchDelete()",
    opType: OpType.Delete,
    hasValue: false,
    sync: (wal, key) => wal.batchDeleteSync([key]),
    async: (wal, key) => wal.batchDelete(new Set([key])),
  },
];

/** The key and the value of each record, as one text. */
function contents(wal: WAL): string[] {
  return wal.replay().map(({ opType, keyHigh, keyLow, valueHigh, valueLow }) =>
    [opType, keyHigh, keyLow, valueHigh, valueLow].join(" ")
  );
}

for (const { name, opType, hasValue, sync, async } of METHODS) {
  test(`${name} takes 16 bytes of any Uint8Array, and calls nothing of it`, async () => {
    for (const [what, make] of GOOD) {
      await using wal = openInMemory();
      sync(wal, make(), make());
      await async(wal, make(), make());
      const [high, low] = COUNTED;
      const record = [opType, high, low, hasValue ? high : 0n, hasValue ? low : 0n].join(" ");
      assertEquals(contents(wal), [record, record], what);
    }
  });

  test(`${name} refuses what is no Uint8Array of 16 bytes, says why, and writes nothing`, async () => {
    await using wal = openInMemory();
    for (const [what, make, errorClass, says] of BAD) {
      for (const place of hasValue ? ["key", "value"] : ["key"]) {
        const given = () =>
          [place === "key" ? make() : KEY, place === "value" ? make() : VALUE] as [Uint8Array, Uint8Array];
        const where = `${what} as ${place}`;
        assertMatch(assertThrows(() => sync(wal, ...given()), errorClass, undefined, where).message, says, where);
        const promise = async(wal, ...given());
        assertInstanceOf(promise, Promise);
        assertMatch((await assertRejects(() => promise, errorClass, undefined, where)).message, says, where);
        assertEquals([wal.head, wal.stats().syncs], [1, 0], where);
      }
    }
  });
}

test("logInsert() and its like refuse bytes beside halves, and write nothing", async () => {
  await using wal = openInMemory();
  const key = KEY as unknown as U64;
  const names = ["logInsert", "logDeleteValue", "logReplace", "logOperation"].flatMap((name) => [`${name}Sync`, name]);
  const log = names.map((name) => {
    const method = Reflect.get(wal, name) as (...given: unknown[]) => unknown;
    return name.startsWith("logOperation") ? method.bind(wal, 50) : method;
  });
  const mixed: [given: unknown[], says: RegExp][] = [
    [[key, 1n], /1n as value: it must be a Uint8Array of 16 bytes; give key and value both/],
    [[key], /undefined as value/],
    [[key, 1n, 2n], /1n as value/],
    [[key, 1n, 2n, 3n], /1n as value/],
    [[1n, 2n, VALUE], /Uint8Array as valueHigh.*; give key and value both/],
    [[1n, VALUE], /Uint8Array as keyLow/],
    [[1n, 2n, 3n, VALUE], /Uint8Array as valueLow/],
    [[null, 1n, 2n, 3n], /null as keyHigh/],
    [["0123456789abcdef", VALUE], /"0123456789abcdef" as keyHigh.*; give a key as two halves/],
    [[KEY, VALUE, 5], /5 as time/],
  ];
  for (const [given, says] of mixed) {
    for (const method of log) {
      const message = await Promise.resolve().then(() => method.call(wal, ...given)).then(
        () => "",
        (error) => error instanceof TypeError ? error.message : String(error),
      );
      assertMatch(message, says);
    }
  }
  const deletes: [given: unknown[], says: RegExp][] = [
    [[key, 1n], /1n as time/],
    [[1n, KEY], /Uint8Array as keyLow/],
    [[KEY, 5], /5 as time/],
  ];
  for (const [given, says] of deletes) {
    assertMatch(
      assertThrows(() => (wal.logDeleteSync as (...given: unknown[]) => unknown)(...given), TypeError).message,
      says,
    );
  }
  assertEquals([wal.head, wal.stats().syncs], [1, 0]);
});

test("batchInsert() refuses a batch with one item of neither form, wherever it is", async () => {
  await using wal = openInMemory();
  const bad: unknown[] = [[KEY], [KEY, VALUE, KEY], [KEY, 1n], [1n, VALUE], [1n, 2n], KEY, [KEY, 0, VALUE, 0]];
  for (const item of bad) {
    for (const index of [0, 1, 20]) {
      const batch: unknown[] = range(0, 20).map((i) => i % 2 === 0 ? [KEY, VALUE] : [1, 2, 3, 4]);
      batch[index] = item;
      for (const given of [batch, batch.values()]) {
        assertThrows(() => wal.batchInsertSync(given as InsertBytes[]), TypeError);
      }
      await assertRejects(() => wal.batchInsert(batch as InsertBytes[]), TypeError);
    }
  }
  for (const item of [[KEY], [KEY, VALUE], [KEY, 1n], [1n, VALUE], [1n]]) {
    assertThrows(() => wal.batchDeleteSync([KEY, item as never, [1, 2]]), TypeError);
  }
  assertEquals(wal.head, 1);
});

/** The ring's bytes without checksums, which depend on the log's random id. */
function ringOf(disk: SimulatedDisk): Uint8Array {
  const ring = disk.image(PATH).slice(RING_AT);
  for (let at = 0; at < ring.length; at += 64) ring.fill(0, at, at + 4);
  return ring;
}

test("WAL writes the same records for bytes, for items in bytes and for packed batches as for halves", async () => {
  const half = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.constantFrom(0n, 1n, 2n ** 63n, 2n ** 64n - 1n));
  const pair = fc.tuple(half, half, half, half);
  await fc.assert(
    fc.asyncProperty(fc.array(pair, { minLength: 1, maxLength: 40 }), fc.nat(), async (pairs, cut) => {
      const kh = pairs.map(([a, b]) => bytesOf(a, b));
      const vs = pairs.map(([, , c, d]) => bytesOf(c, d));
      const items = pairs.map((_, i) => [kh[i]!, vs[i]!] as const);
      const mixed = pairs.map((halves, i) => (i + cut) % 3 === 0 ? items[i]! : halves);
      const packed = joined(new Uint8Array(cut % 7), ...items.flat()).subarray(cut % 7);
      const deletes = pairs.map(([a, b]) => [a, b] as const);
      /** Each line is written by each log, in forms that mean the same. */
      const lines: ((form: number, wal: WAL) => unknown)[] = [
        ...pairs.map((halves, i) => (form: number, wal: WAL) =>
          form === 0 ? wal.logInsertSync(...halves) : wal.logInsertSync(kh[i]!, vs[i]!)
        ),
        ...pairs.map(([a, b], i) => (form: number, wal: WAL) =>
          form === 0 ? wal.logDeleteSync(a, b) : wal.logDeleteSync(kh[i]!)
        ),
        ...pairs.map((halves, i) => (form: number, wal: WAL) =>
          form === 0 ? wal.logDeleteValueSync(...halves) : wal.logDeleteValueSync(kh[i]!, vs[i]!)
        ),
        ...pairs.map((halves, i) => (form: number, wal: WAL) =>
          form === 0 ? wal.logReplaceSync(...halves) : wal.logReplaceSync(kh[i]!, vs[i]!)
        ),
        ...pairs.map((halves, i) => (form: number, wal: WAL) =>
          form === 0 ? wal.logOperationSync(63, ...halves) : wal.logOperationSync(63, kh[i]!, vs[i]!)
        ),
        (form, wal) => wal.batchInsertSync([pairs, items, mixed, packed][form]! as typeof items),
        (form, wal) => wal.batchDeleteSync([deletes, kh, new Set(kh), joined(...kh)][form]! as typeof kh),
        (form, wal) => wal.batchInsert([pairs, items.values(), mixed.values(), packed][form]! as Iterable<InsertBytes>),
        (form, wal) => wal.batchDelete([deletes, kh.values(), kh, joined(...kh)][form]! as Iterable<Uint8Array>),
      ];
      const rings = await Promise.all(
        range(0, 3).map(async (form) => {
          const disk = new SimulatedDisk({ seed: 1 });
          const wal = openOn(disk, { size: 2 ** 17 });
          for (const line of lines) await line(form, wal);
          wal.close();
          using reopened = openOn(disk); // its checksums are right
          assertEquals([reopened.length, reopened.recovery.clean], [9 * pairs.length, true]);
          return ringOf(disk);
        }),
      );
      for (const ring of rings) assertEquals(ring, rings[0]);
    }),
    { numRuns: 60 },
  );
});

/** Packed batches that are refused, by the size of an item. */
const badPacked = (itemBytes: number): typeof BAD => [
  ...[1, itemBytes - 1, itemBytes + 1, 5 * itemBytes + itemBytes / 2].map((length) =>
    [`${length} bytes`, () => new Uint8Array(length), RangeError, new RegExp(`of ${length} bytes`)] as (typeof BAD)[0]
  ),
  ["detached memory", () => detached(itemBytes), RangeError, /detached/],
  ["empty memory that was detached", () => detached(0), RangeError, /detached/],
  ["a view out of bounds", () => outOfBounds(8, 16), RangeError, /detached/],
  ["a tracking view out of bounds", () => outOfBounds(8), RangeError, /detached/],
  ["a DataView", () => new DataView(new ArrayBuffer(itemBytes)), TypeError, /DataView/],
  ["an empty DataView", () => new DataView(new ArrayBuffer(0)), TypeError, /DataView/],
  ["an Int8Array", () => new Int8Array(itemBytes), TypeError, /Int8Array/],
  ["an empty Uint16Array", () => new Uint16Array(0), TypeError, /Uint16Array/],
  ["an ArrayBuffer", () => new ArrayBuffer(itemBytes), TypeError, /not iterable/],
  ["shared memory", () => new Uint8Array(new SharedArrayBuffer(2 * itemBytes)), ...OTHER],
  ["a tracking view", () => new Uint8Array(new ArrayBuffer(itemBytes, { maxByteLength: 4096 })), ...OTHER],
];

test("batchInsert() and batchDelete() refuse what is no packed batch, say why, and write nothing", async () => {
  await using wal = openInMemory();
  for (const itemBytes of [32, 16]) {
    const sync = itemBytes === 32 ? wal.batchInsertSync : wal.batchDeleteSync;
    const async = itemBytes === 32 ? wal.batchInsert : wal.batchDelete;
    for (const [what, make, errorClass, says] of badPacked(itemBytes)) {
      assertMatch(assertThrows(() => sync.call(wal, make() as Uint8Array), errorClass, undefined, what).message, says);
      const promise = async.call(wal, make() as Uint8Array);
      assertMatch((await assertRejects(() => promise, errorClass, undefined, what)).message, says, what);
    }
    const large = new Uint8Array((CAPACITY + 1) * itemBytes);
    assertThrows(() => sync.call(wal, large), RangeError, `${CAPACITY + 1} records`);
    await assertRejects(() => async.call(wal, large), RangeError, `${CAPACITY + 1} records`);
  }
  assertEquals([wal.head, wal.stats().syncs], [1, 0]);
});

test("batchInsert() takes a packed batch of any Uint8Array, and calls nothing of it", async () => {
  const content = joined(...range(1, 40).map((i) => bytesOf(BigInt(i), 0n)));
  const makers: [what: string, make: (length: number) => Uint8Array][] = [
    ["a Uint8Array", (length) => new Uint8Array(length)],
    ["a Buffer", (length) => Buffer.alloc(length)],
    ["a part of a buffer", (length) => new Uint8Array(new ArrayBuffer(length + 100), 3, length)],
    ["a subclass", (length) => new Sixteen(length)],
    ["another realm's bytes", (length) => runInNewContext(`new Uint8Array(${length})`) as Uint8Array],
    ["own getters", (length) => withOwn(new Uint8Array(length), ...NAMES, ...SYMBOLS)],
  ];
  for (const [what, make] of makers) {
    await using wal = openInMemory();
    const packed = make(content.length);
    content.forEach((byte, i) => packed[i] = byte);
    assertEquals(wal.batchInsertSync(packed), 20, what);
    await wal.batchInsert(packed);
    assertEquals(wal.batchDeleteSync(packed), 80, what);
    await wal.batchDelete(packed);
    const inserts = range(1, 20).map((i) => `${OpType.Insert} ${2 * i - 1} 0 ${2 * i} 0`);
    const deletes = range(1, 40).map((i) => `${OpType.Delete} ${i} 0 0 0`);
    assertEquals(contents(wal), [...inserts, ...inserts, ...deletes, ...deletes], what);
  }
});

test("batchInsert() of an empty packed batch resolves and writes nothing", async () => {
  await using wal = openInMemory();
  for (const empty of [new Uint8Array(0), Buffer.alloc(0), new Uint8Array(new ArrayBuffer(8), 8)]) {
    await wal.batchInsert(empty);
    await wal.batchDelete(empty);
    assertEquals([wal.batchInsertSync(empty), wal.batchDeleteSync(empty), wal.head], [0, 0, 1]);
  }
});

test("batchInsert() takes packed batches of every size around its memory's sizes", () => {
  using wal = openInMemory({ size: 2 ** 24 });
  for (const count of [1, 15, 16, 17, 1023, 1024, 1025, 2049, 16_384, 16_385, 40_000]) {
    const packed = new Uint8Array(count * 32);
    const view = new DataView(packed.buffer);
    for (let i = 0; i < count; i++) view.setBigUint64(32 * i + 24, BigInt(i));
    const first = wal.head;
    wal.batchDeleteSync(packed.subarray(0, (count | 1) * 16));
    wal.truncate((wal.flush(), wal.durable));
    const from = wal.head;
    assertEquals(wal.batchInsertSync(packed), from + count - 1);
    assertEquals(from - first, count | 1);
    const found = Array.from(wal.records({ from }), ({ valueLow }) => Number(valueLow));
    assertEquals(found, range(0, count - 1));
    wal.truncate((wal.flush(), wal.durable));
  }
});

test("batchInsert() of items takes the memory of a packed batch of an odd number of keys", () => {
  using wal = openInMemory({ size: 2 ** 20 });
  for (const keys of [2049, 2051, 3001]) {
    wal.batchDeleteSync(new Uint8Array(keys * 16));
    const from = wal.head;
    wal.batchInsertSync(new Set(range(1, 2200).map((i) => [bytesOf(0n, BigInt(i)), VALUE] as const)));
    assertEquals(Array.from(wal.records({ from }), ({ keyLow }) => Number(keyLow)), range(1, 2200));
    wal.truncate((wal.flush(), wal.durable));
  }
});

test("logInsert() writes the bytes of its call, whatever becomes of them later", async () => {
  const wal = openInMemory();
  const gate = Promise.withResolvers<void>();
  const store = new ListStore();
  store.before = () => gate.promise;
  for (const isFull of [false, true]) {
    const consuming = isFull ? wal.consumeAsync(store) : Promise.resolve();
    if (isFull) fill(wal, CAPACITY - wal.length);
    const id = (n: number) => new Uint8Array(16).fill(n);
    const [key, value, packed, packedKeys] = [id(1), id(2), joined(id(3), id(4)), joined(id(5), id(6))];
    const calls = [
      wal.logInsert(key, value),
      wal.logDelete(key),
      wal.logDeleteValue(key, value),
      wal.logReplace(key, value),
      wal.logOperation(63, key, value),
      wal.batchInsert([[key, value]]),
      wal.batchDelete([key, value]),
      wal.batchInsert(packed),
      wal.batchDelete(packedKeys),
    ];
    assertEquals(wal.stats().waiting, isFull ? 9 : 0);
    for (const bytes of [key, packed]) bytes.fill(99);
    for (const bytes of [value, packedKeys]) structuredClone(bytes, { transfer: [bytes.buffer] });
    gate.resolve();
    await Promise.all(calls);
    const data = Array.from(wal.records({ from: wal.tail })).filter(({ opType }) => opType !== OpType.Checkpoint);
    const found = data.slice(-11).map(({ keyLow, valueLow }) => [keyLow, valueLow].map((half) => Number(half & 0xffn)));
    const singles = [[1, 2], [1, 0], [1, 2], [1, 2], [1, 2]];
    const batches = [[1, 2], [1, 0], [2, 0], [3, 4], [5, 0], [6, 0]];
    assertEquals(found, [...singles, ...batches], `full: ${isFull}`);
    if (isFull) wal.close();
    await consuming;
  }
});

test("logInsert() and its like take a time beside bytes", async () => {
  await using wal = openInMemory({ maxClockDriftMs: Infinity });
  const at = (n: number) => [1_900_000_000_000_000_000n, n, 7] as const;
  const singles = METHODS.filter(({ name }) => !name.startsWith("batch"));
  for (const [i, { sync, async }] of singles.entries()) {
    sync(wal, KEY, VALUE, at(2 * i));
    await async(wal, KEY, VALUE, at(2 * i + 1));
    assertThrows(() => sync(wal, KEY, VALUE, at(0)), RangeError, "as time");
    for (const bad of [5, [1n, 2], "now"]) {
      assertThrows(() => sync(wal, KEY, VALUE, bad as unknown as HybridTimeInput), TypeError, "as time");
    }
  }
  assertEquals(wal.replay().map(({ time }) => time), range(0, 2 * singles.length - 1).map(at));
});

test("checkPairBytes() and its like agree with the language about what is a Uint8Array of 16 bytes", () => {
  for (const [what, make] of GOOD) {
    checkBytes(make(), "key");
    checkPairBytes(make(), make());
    assertEquals(copyOf(make()), counting(new Uint8Array(16)), what);
    assertEquals([packedLength(make(), 16), assertThrows(() => packedLength(make(), 32), RangeError).name], [
      16,
      "RangeError",
    ]);
  }
  for (const [what, make, errorClass] of BAD) {
    assertThrows(() => checkBytes(make(), "key"), errorClass, undefined, what);
    assertThrows(() => checkPairBytes(make(), KEY), errorClass, undefined, what);
    assertThrows(() => checkPairBytes(KEY, make()), errorClass, undefined, what);
  }
});
