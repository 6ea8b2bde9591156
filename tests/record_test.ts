import { FileMemory } from "../ffi/file_memory.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { WALAssertionError } from "../src/assert.ts";
import { readDeletes, readInserts, readItems } from "../src/arguments/items.ts";
import { HybridClock } from "../src/engine/hybrid_clock.ts";
import { checksumSeed, Slots, SlotState } from "../src/format/record.ts";
import { getSafeU64, setU64 } from "../src/format/u64.ts";
import { type InsertItem, OpType, type U64 } from "../src/types.ts";
import { BATCH_OPCODES, batchItem } from "./support/logs.ts";
import { LOG_ID, recordBytes, type ReferenceRecord } from "./support/reference.ts";
import { test } from "./support/test.ts";

const MAX = 2n ** 64n - 1n;
const MAX_LSN = Number.MAX_SAFE_INTEGER;

/** One slot that holds these bytes. */
function slotOf(bytes: Uint8Array, logId: Uint8Array = LOG_ID): Slots {
  return new Slots(new FileMemory(bytes.slice().buffer as ArrayBuffer), 0, 1, checksumSeed(logId));
}

function clockAt(nanos: bigint, seq: number): HybridClock {
  const clock = new HybridClock();
  clock.observe(nanos, seq);
  return clock;
}

/** A record written by the library into the middle of three slots of other bytes; all of them. */
function written(record: Required<Omit<ReferenceRecord, "version">>, keys: readonly [U64, U64, U64, U64]): Uint8Array {
  const bytes = new Uint8Array(192).fill(0xaa);
  const slots = new Slots(new FileMemory(bytes.buffer), 0, 3, checksumSeed(LOG_ID));
  const { opType, flags, lsn, distance, nanos, seq, shard } = record;
  const [keyHigh, keyLow, valueHigh, valueLow] = keys;
  const clock = clockAt(nanos, seq);
  slots.write(1, opType as OpType, flags, lsn, distance, clock, shard, keyHigh, keyLow, valueHigh, valueLow);
  slots.seal(1, 1);
  return bytes;
}

const u64 = fc.oneof(
  fc.constantFrom(0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, MAX),
  fc.bigInt(0n, MAX),
);
const lsn = fc.oneof(
  fc.constantFrom(1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, MAX_LSN),
  fc.integer({ min: 1, max: MAX_LSN }),
);
const u32 = fc.oneof(fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
const record = fc.record({
  lsn,
  opType: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 32, max: 63 })),
  flags: fc.nat(1),
  shard: fc.nat(0xffff),
  nanos: u64,
  seq: u32,
  distance: u32,
  keyHigh: u64,
  keyLow: u64,
  valueHigh: u64,
  valueLow: u64,
});

test("Slots.reseal() makes a record one of another log, and a damaged one stays damaged", () => {
  const otherId = LOG_ID.map((byte) => byte ^ 0x5a);
  fc.assert(fc.property(record, fc.nat(511), (record, bit) => {
    const other = checksumSeed(otherId);
    const slots = slotOf(recordBytes(record));
    const resealed = slots.reseal(other);
    assertEquals(resealed.verify(0, record.lsn), SlotState.Record);
    assertEquals(new Uint8Array(resealed.view.buffer as ArrayBuffer), recordBytes(record, otherId));
    const bytes = recordBytes(record);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    assert(!slotOf(bytes).reseal(other).checksumMatches(0));
  }));
});

test("Slots.write() writes the reference's bytes for any fields, and no byte of another slot", () => {
  fc.assert(fc.property(record, (record) => {
    const bytes = written(record, [record.keyHigh, record.keyLow, record.valueHigh, record.valueLow]);
    assertEquals([...bytes.subarray(64, 128)], [...recordBytes(record)]);
    assert(bytes.subarray(0, 64).every((byte) => byte === 0xaa));
    assert(bytes.subarray(128).every((byte) => byte === 0xaa));
  }));
});

test("Slots.write() writes a number as it writes the bigint of the same value", () => {
  const safe = fc.oneof(
    fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 33 + 1, MAX_LSN),
    fc.integer({ min: 0, max: MAX_LSN }),
  );
  fc.assert(fc.property(record, fc.tuple(safe, safe, safe, safe), (record, numbers) => {
    const [keyHigh = 0n, keyLow = 0n, valueHigh = 0n, valueLow = 0n] = numbers.map(BigInt);
    const expected = recordBytes({ ...record, keyHigh, keyLow, valueHigh, valueLow });
    assertEquals([...written(record, numbers).subarray(64, 128)], [...expected]);
  }));
});

test("Slots.write() refuses a slot outside the ring, and Slots one outside its memory", () => {
  const slots = new Slots(new FileMemory(new ArrayBuffer(192)), 64, 2, 0);
  for (const slot of [-1, 2]) {
    assertThrows(() => slots.write(slot, 1, 0, 1, 1, clockAt(1n, 0), 0, 0, 0, 0, 0), WALAssertionError);
  }
  assertThrows(() => new Slots(new FileMemory(new ArrayBuffer(191)), 64, 2, 0), WALAssertionError);
});

test("look() takes no zeros for a record, whatever the LSN", () => {
  const slots = slotOf(new Uint8Array(64));
  for (const lsn of [0, 1, 2 ** 32, MAX_LSN]) assertEquals(slots.verify(0, lsn), SlotState.Other);
  assertEquals(slots.checksumMatches(0), false);
});

test("look() takes no erased record for one", () => {
  const slots = slotOf(recordBytes({ lsn: 5 }));
  assertEquals(slots.verify(0, 5), SlotState.Record);
  slots.erase(0);
  assertEquals(slots.verify(0, 5), SlotState.Other);
  assert(new Uint8Array(slots.view.buffer).every((byte) => byte === 0));
});

test("look() takes no record of another log for one", () => {
  const other = LOG_ID.with(15, 16);
  assertEquals(slotOf(recordBytes({ lsn: 5 }, other)).verify(0, 5), SlotState.Other);
  assertEquals(slotOf(recordBytes({ lsn: 5 }, other), other).verify(0, 5), SlotState.Record);
});

test("look() takes no record of another LSN for the one expected", () => {
  fc.assert(fc.property(lsn, lsn, (is, expected) => {
    const state = slotOf(recordBytes({ lsn: is })).verify(0, expected);
    assertEquals(state, is === expected ? SlotState.Record : SlotState.Other);
  }));
  assertEquals(slotOf(recordBytes({ lsn: 5 })).verify(0, 5 + 2 ** 32), SlotState.Other);
});

test("look() notices each of the 512 bits of a record when it is flipped", () => {
  const good = recordBytes({ lsn: 5, flags: 1, shard: 3, seq: 9, keyHigh: MAX, valueHigh: 2n ** 63n });
  for (let bit = 0; bit < 512; bit++) {
    const bytes = good.slice();
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(slotOf(bytes).verify(0, 5), SlotState.Other, `bit ${bit}`);
  }
});

test("look() notices every torn record: a part of the new bytes over what the slot held before", () => {
  const fresh = recordBytes({ lsn: 773, keyHigh: 1n, keyLow: 2n, valueHigh: 3n, valueLow: 4n });
  for (const old of [new Uint8Array(64), recordBytes({ lsn: 5, keyHigh: 9n }), new Uint8Array(64).fill(0xff)]) {
    for (let cut = 1; cut < 64; cut++) {
      const prefix = Uint8Array.from(fresh, (byte, i) => i < cut ? byte : old[i]!);
      const suffix = Uint8Array.from(fresh, (byte, i) => i >= cut ? byte : old[i]!);
      for (const bytes of [prefix, suffix]) {
        const isWhole = bytes.every((byte, i) => byte === fresh[i]);
        assertEquals(slotOf(bytes).verify(0, 773), isWhole ? SlotState.Record : SlotState.Other, `cut ${cut}`);
      }
    }
  }
});

test("look() calls intact records of another version, opcode or flag unsupported", () => {
  for (let version = 0; version < 4; version++) {
    for (let opType = 0; opType < 64; opType++) {
      const known = version === 1 && ((opType >= 1 && opType <= 5) || opType >= 32);
      const state = slotOf(recordBytes({ lsn: 5, version, opType })).verify(0, 5);
      assertEquals(state, known ? SlotState.Record : SlotState.Unsupported, `version ${version}, opcode ${opType}`);
    }
  }
  for (let flags = 0; flags < 256; flags++) {
    const state = slotOf(recordBytes({ lsn: 5, flags })).verify(0, 5);
    assertEquals(state, flags <= 1 ? SlotState.Record : SlotState.Unsupported, `flags ${flags}`);
  }
});

test("lsnAt() shows the field as it is, also where it is no LSN", () => {
  assertEquals(slotOf(recordBytes({ lsn: MAX_LSN })).lsnAt(0), MAX_LSN);
  assertEquals(slotOf(new Uint8Array(64)).lsnAt(0), 0);
  assert(slotOf(new Uint8Array(64).fill(0xff)).lsnAt(0) > MAX_LSN);
});

test("setU64() and getSafeU64() agree, and what is not safe does not come out as safe", () => {
  const view = new DataView(new ArrayBuffer(8));
  fc.assert(fc.property(u64, (value) => {
    setU64(view, 0, value);
    assertEquals(view.getBigUint64(0, true), value);
    const read = getSafeU64(view, 0);
    if (value <= BigInt(MAX_LSN)) assertEquals(read, Number(value));
    else assert(!Number.isSafeInteger(read));
  }));
  fc.assert(fc.property(fc.integer({ min: 0, max: MAX_LSN }), (value) => {
    setU64(view, 0, value);
    assertEquals(view.getBigUint64(0, true), BigInt(value));
    assertEquals(getSafeU64(view, 0), value);
  }));
});

const run = fc.record({
  /** 0 for a batch of all kinds of records. */
  opType: fc.constantFrom(0, OpType.Insert, OpType.Delete),
  shard: fc.nat(0xffff),
  nanos: u64,
  seq: fc.oneof(fc.constantFrom(0, 200, 2 ** 31 - 20, 2 ** 32 - 200), fc.nat(2 ** 32 - 200)),
  distance: fc.oneof(fc.constantFrom(1, 250, 2 ** 31 - 5, 2 ** 32 - 200), fc.nat(2 ** 32 - 200)),
  lsn: fc.oneof(fc.constantFrom(1, 250, 2 ** 31 - 5, 2 ** 32 - 5), fc.integer({ min: 1, max: MAX_LSN - 100 })),
});
const number = fc.oneof(u64, fc.maxSafeNat());

test("Slots.writeRun() writes the reference's bytes for any fields, a whole batch or a part, and no byte of another slot", () => {
  const anItem = fc.tuple(number, number, number, number);
  fc.assert(
    fc.property(run, fc.array(anItem, { minLength: 1, maxLength: 60 }), fc.nat(), (fields, items, cut) => {
      const from = cut % 3 === 0 ? cut % items.length : 0;
      const to = cut % 2 === 0 ? items.length : Math.max(from + 1, items.length - cut % 7);
      const keys = items.map(([high, low]) => [high, low] as const);
      const opTypes = items.map((_, i) =>
        fields.opType === 0 ? BATCH_OPCODES[(cut + i) % BATCH_OPCODES.length]! : fields.opType
      );
      const packed = fields.opType === 0
        ? readItems(items.map((item, i) => batchItem(opTypes[i]!, item, i % 2 === 0)))
        : fields.opType === OpType.Insert
        ? readInserts(items as InsertItem[])
        : readDeletes(keys);
      const expected = new Uint8Array(64 * 64).fill(0xaa);
      for (let i = from; i < to; i++) {
        const [keyHigh, keyLow, valueHigh, valueLow] = items[i]!.map(BigInt);
        const opType = opTypes[i]!;
        const hasValue = opType !== OpType.Delete;
        const value = hasValue ? { valueHigh: valueHigh!, valueLow: valueLow! } : { valueHigh: 0n, valueLow: 0n };
        const [lsn, seq, distance] = [fields.lsn, fields.seq, fields.distance].map((first) => first + i - from);
        const flags = i === items.length - 1 ? 0 : 1;
        const record = { ...fields, opType, lsn: lsn!, seq: seq!, distance: distance!, flags, ...value };
        expected.set(recordBytes({ ...record, keyHigh: keyHigh!, keyLow: keyLow! }), (3 + i - from) * 64);
      }
      // WebAssembly sees the first memory, and not the second.
      for (const file of [new FileMemory(64 * 64), new FileMemory(new ArrayBuffer(64 * 64))]) {
        file.bytes().fill(0xaa);
        const clock = clockAt(fields.nanos, fields.seq);
        const part = { items: packed, from, count: to - from, endsBatch: to === items.length };
        const slots = new Slots(file, 0, 64, checksumSeed(LOG_ID));
        slots.writeRun(3, part, fields.lsn, fields.distance, clock, fields.shard);
        assertEquals(file.bytes(), expected);
        assertEquals([clock.nanos, clock.seq], [fields.nanos, fields.seq + to - from - 1]);
      }
    }),
    { numRuns: 500 },
  );
});
