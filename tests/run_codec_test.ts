// Fault: the codec that recovery, replay and cursors use takes a record that `Slots.verify()` would
//   not, or the other way round. Or it encodes a batch otherwise than one record after another.
// Promise: only what was written is read (G2, G5).
// Method: runs of records like and unlike each other, whole and with any bits changed, against one
//   look at each slot; batches of any fields against the reference.

import { FileMemory } from "../ffi/file_memory.ts";
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { SWIZZLE } from "../src/format/assembler.ts";
import { HybridClock } from "../src/engine/hybrid_clock.ts";
import { readDeletes, readInserts } from "../src/arguments/items.ts";
import { checksumSeed, Slots, SlotState } from "../src/format/record.ts";
import type { PackedItems } from "../src/format/packed_items.ts";
import { makeCodec, type Run, RUN_RECORDS, runCodec } from "../src/format/run_codec.ts";
import { type InsertItem, OpType } from "../src/types.ts";
import { LOG_ID, recordBytes, type ReferenceRecord } from "./support/reference.ts";
import { test } from "./support/test.ts";

const SEED = checksumSeed(LOG_ID);
const codec = runCodec()!;
const codecs = [codec, makeCodec(SWIZZLE)!];

function bytesOf(records: readonly ReferenceRecord[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(records.length * 64);
  records.forEach((record, i) => bytes.set(recordBytes(record), i * 64));
  return bytes;
}

/** What the codec should say, one slot after another. */
function expected(bytes: Uint8Array, lsn: number): Run {
  const count = bytes.length / 64;
  const slots = new Slots(new FileMemory(bytes.slice().buffer as ArrayBuffer), 0, count, SEED);
  let good = 0;
  let whole = 0;
  let hasCheckpoint = false;
  for (; good < count && slots.verify(good, lsn + good) === SlotState.Record; good++) {
    if (!slots.batchGoesOn(good)) whole = good + 1;
    if (slots.opTypeAt(good) === 4) hasCheckpoint = true;
  }
  return { good, whole, hasCheckpoint };
}

const firstLsn = fc.oneof(
  fc.constantFrom(1, 250, 2 ** 31 - 5, 2 ** 32 - 5, Number.MAX_SAFE_INTEGER - 100),
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER - 100 }),
);
const u64 = fc.bigInt(0n, 2n ** 64n - 1n);
const u32 = fc.oneof(fc.constantFrom(0, 255, 256, 2 ** 31, 2 ** 32 - 1), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
const fields = fc.record({
  opType: fc.oneof({ weight: 20, arbitrary: fc.integer({ min: 1, max: 4 }) }, { weight: 1, arbitrary: fc.nat(63) }),
  version: fc.oneof({ weight: 20, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat(3) }),
  flags: fc.oneof({ weight: 20, arbitrary: fc.nat(1) }, { weight: 1, arbitrary: fc.nat(255) }),
  shard: fc.oneof(fc.constant(0), fc.nat(0xffff)),
  nanos: fc.oneof(fc.constant(0n), u64),
  seq: u32,
  distance: u32,
  keyHigh: u64,
  keyLow: u64,
  valueHigh: u64,
  valueLow: u64,
});

test("runCodec() is there on the runtimes that tests run on", () => {
  assert(runCodec() !== null);
  assert(codecs.every((each) => each !== null));
  assertEquals(makeCodec(0xff), null, "an instruction that there is not");
});

test("verify() agrees with a look at each slot: any fields, any bits changed", () => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(7)), { maxLength: 2 });
  fc.assert(
    fc.property(firstLsn, fc.array(fields, { maxLength: 40 }), damage, (first, records, changes) => {
      const bytes = bytesOf(records.map((record, i) => ({ ...record, lsn: first + i })));
      for (const [at, bit] of changes) {
        if (bytes.length > 0) bytes[at % bytes.length]! ^= 1 << bit;
      }
      for (const each of codecs) assertEquals(each.verify(bytes, SEED, first), expected(bytes, first));
    }),
    { numRuns: 1000 },
  );
});

test("verify() notices each single bit of each record of a run", () => {
  const records = [1, 2, 3, 4].map((lsn) => ({ lsn, flags: lsn === 2 ? 1 : 0, nanos: 0n, keyHigh: 7n }));
  const bytes = bytesOf(records);
  assertEquals(codec.verify(bytes, SEED, 1), { good: 4, whole: 4, hasCheckpoint: false });
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(codec.verify(bytes, SEED, 1).good, bit >> 9, `bit ${bit}`);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
});

test("verify() takes no record for another's, nor zeros, nor what another log wrote", () => {
  const bytes = bytesOf(Array.from({ length: 10 }, (_, i) => ({ lsn: 5 + i })));
  for (const lsn of [4, 6, 5 + 2 ** 32]) assertEquals(codec.verify(bytes, SEED, lsn).good, 0, `as LSN ${lsn}`);
  assertEquals(codec.verify(bytes, SEED ^ 1, 5).good, 0);
  assertEquals(codec.verify(new Uint8Array(640), SEED, 0).good, 0);
  // Where nothing is kept yet, nothing may be taken for the same as that: no head, LSN 0, no time.
  const forged = new Uint8Array(64);
  for (let crc = 0; crc < 4; crc++) forged[crc] = 0xff;
  assertEquals(codec.verify(forged, 0, 0).good, 0);
});

test("verify() counts a full run, and one that is empty", () => {
  const bytes = bytesOf(
    Array.from({ length: RUN_RECORDS }, (_, i) => ({ lsn: i + 1, flags: i === RUN_RECORDS - 1 ? 1 : 0 })),
  );
  const all = { good: RUN_RECORDS, whole: RUN_RECORDS - 1, hasCheckpoint: false };
  assertEquals(codec.verify(bytes, SEED, 1), all);
  assertEquals(codec.verify(new Uint8Array(0), SEED, 1), { good: 0, whole: 0, hasCheckpoint: false });
});

test("verifyRun() says the same of a few slots, one by one, as of many", () => {
  const records = Array.from(
    { length: 200 },
    (_, i) => ({ lsn: i + 1, opType: i % 50 === 30 ? 4 : 1, flags: i % 3 === 0 ? 1 : 0 }),
  );
  const bytes = bytesOf(records);
  bytes[150 * 64 + 40]! ^= 1;
  const slots = new Slots(new FileMemory(bytes.buffer), 0, 200, SEED);
  for (const [slot, count] of [[0, 10], [0, 200], [20, 63], [20, 64], [100, 63], [100, 100], [149, 10]] as const) {
    const run = slots.verifyRun(slot, slot + 1, count);
    assertEquals(run, expected(bytes.subarray(slot * 64, (slot + count) * 64), slot + 1), `${count} from slot ${slot}`);
  }
});

const written = fc.record({
  opType: fc.constantFrom(OpType.Insert, OpType.Delete),
  shard: fc.nat(0xffff),
  nanos: u64,
  seq: fc.oneof(fc.constantFrom(0, 200, 2 ** 31 - 20, 2 ** 32 - 200), fc.nat(2 ** 32 - 200)),
  distance: fc.oneof(fc.constantFrom(1, 250, 2 ** 31 - 5, 2 ** 32 - 200), fc.nat(2 ** 32 - 200)),
});
const number = fc.oneof(u64, fc.maxSafeNat());
const item = fc.tuple(number, number, number, number);

/** The reference's bytes of a part of a batch. */
function referenceBytes(fields: Written, lsn: number, items: readonly InsertItem[], from: number, to: number) {
  const hasValue = fields.opType === OpType.Insert;
  return bytesOf(
    items.slice(from, to).map(([keyHigh, keyLow, valueHigh, valueLow], i) => ({
      ...fields,
      lsn: lsn + i,
      seq: fields.seq + i,
      distance: fields.distance + i,
      flags: from + i === items.length - 1 ? 0 : 1,
      keyHigh: BigInt(keyHigh),
      keyLow: BigInt(keyLow),
      valueHigh: hasValue ? BigInt(valueHigh) : 0n,
      valueLow: hasValue ? BigInt(valueLow) : 0n,
    })),
  );
}
type Written = typeof written extends fc.Arbitrary<infer Fields> ? Fields : never;

/**
 * Items as a batch holds them once they have been read; they are never given back, so no memory is
 * used twice.
 */
function pack(opType: OpType, items: readonly InsertItem[]): PackedItems {
  if (opType === OpType.Insert) return readInserts(items);
  return readDeletes(items.map(([keyHigh, keyLow]) => [keyHigh, keyLow] as const));
}

test("writeRun() writes the reference's bytes for any fields, a whole batch or a part, and no byte of another slot", () => {
  fc.assert(
    fc.property(
      firstLsn,
      written,
      fc.array(item, { minLength: 1, maxLength: 60 }),
      fc.nat(),
      (lsn, fields, items, cut) => {
        const from = cut % 3 === 0 ? cut % items.length : 0;
        const to = cut % 2 === 0 ? items.length : Math.max(from + 1, items.length - cut % 7);
        const count = to - from;
        const bytes = new Uint8Array(64 * 64).fill(0xaa);
        const expected = bytes.slice();
        expected.set(referenceBytes(fields, lsn, items, from, to), 3 * 64);
        const clock = new HybridClock();
        clock.observe(fields.nanos, fields.seq);
        const slots = new Slots(new FileMemory(bytes.buffer), 0, 64, SEED);
        const endsBatch = to === items.length;
        const part = { opType: fields.opType, items: pack(fields.opType, items), from, count, endsBatch };
        slots.writeRun(3, part, lsn, fields.distance, clock, fields.shard);
        assertEquals(bytes, expected);
        assertEquals([clock.nanos, clock.seq], [fields.nanos, fields.seq + count - 1]);
      },
    ),
    { numRuns: 1000 },
  );
});

test("writeRun() writes a full run", () => {
  const items = Array.from({ length: RUN_RECORDS }, (_, i): InsertItem => [i, BigInt(i) << 32n, 2n ** 64n - 1n, i * i]);
  const fields = { opType: OpType.Insert, shard: 65535, nanos: 2n ** 63n, seq: 0, distance: 1 };
  const clock = new HybridClock();
  clock.observe(fields.nanos, 0);
  const bytes = new Uint8Array(RUN_RECORDS * 64);
  const part = { opType: OpType.Insert, items: readInserts(items), from: 0, count: RUN_RECORDS, endsBatch: true };
  new Slots(new FileMemory(bytes.buffer), 0, RUN_RECORDS, SEED).writeRun(0, part, 9, 1, clock, 65535);
  assertEquals(bytes, referenceBytes(fields, 9, items, 0, RUN_RECORDS));
});
