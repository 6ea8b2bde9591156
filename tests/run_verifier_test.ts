// Fault: the verifier that recovery, replay and cursors use takes a record that `Slots.look()` would not, or the other way round.
// Promise: only what was written is read (G2, G5).
// Method: runs of records like and unlike each other, whole and with any bits changed, against one look at each slot.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { checksumSeed, Slots, SlotState } from "../src/record.ts";
import { type Run, RUN_RECORDS, runVerifier } from "../src/run_verifier.ts";
import { LOG_ID, recordBytes, type ReferenceRecord } from "./support/reference.ts";
import { test } from "./support/test.ts";

const SEED = checksumSeed(LOG_ID);
const verifier = runVerifier()!;

function bytesOf(records: readonly ReferenceRecord[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(records.length * 64);
  records.forEach((record, i) => bytes.set(recordBytes(record), i * 64));
  return bytes;
}

/** What the verifier should say, one slot after another. */
function expected(bytes: Uint8Array, lsn: number): Run {
  const count = bytes.length / 64;
  const slots = new Slots(bytes.slice().buffer as ArrayBuffer, 0, count, SEED);
  let good = 0;
  let whole = 0;
  let hasCheckpoint = false;
  for (; good < count && slots.look(good, lsn + good) === SlotState.Record; good++) {
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

test("the runtimes that tests run on have a verifier", () => {
  assert(runVerifier() !== null);
});

test("verify() agrees with a look at each slot: any fields, any bits changed", () => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(7)), { maxLength: 2 });
  fc.assert(
    fc.property(firstLsn, fc.array(fields, { maxLength: 40 }), damage, (first, records, changes) => {
      const bytes = bytesOf(records.map((record, i) => ({ ...record, lsn: first + i })));
      for (const [at, bit] of changes) {
        if (bytes.length > 0) bytes[at % bytes.length]! ^= 1 << bit;
      }
      assertEquals(verifier.verify(bytes, SEED, first), expected(bytes, first));
    }),
    { numRuns: 1000 },
  );
});

test("verify() notices each single bit of each record of a run", () => {
  const records = [1, 2, 3, 4].map((lsn) => ({ lsn, flags: lsn === 2 ? 1 : 0, nanos: 0n, keyHigh: 7n }));
  const bytes = bytesOf(records);
  assertEquals(verifier.verify(bytes, SEED, 1), { good: 4, whole: 4, hasCheckpoint: false });
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    assertEquals(verifier.verify(bytes, SEED, 1).good, bit >> 9, `bit ${bit}`);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
});

test("verify() takes no record for another's, nor zeros, nor what another log wrote", () => {
  const bytes = bytesOf(Array.from({ length: 10 }, (_, i) => ({ lsn: 5 + i })));
  for (const lsn of [4, 6, 5 + 2 ** 32]) assertEquals(verifier.verify(bytes, SEED, lsn).good, 0, `as LSN ${lsn}`);
  assertEquals(verifier.verify(bytes, SEED ^ 1, 5).good, 0);
  assertEquals(verifier.verify(new Uint8Array(640), SEED, 0).good, 0);
  // Where nothing is kept yet, nothing may be taken for the same as that: no head, LSN 0, no time.
  const forged = new Uint8Array(64);
  for (let crc = 0; crc < 4; crc++) forged[crc] = 0xff;
  assertEquals(verifier.verify(forged, 0, 0).good, 0);
});

test("verify() counts a full run, and one that is empty", () => {
  const bytes = bytesOf(
    Array.from({ length: RUN_RECORDS }, (_, i) => ({ lsn: i + 1, flags: i === RUN_RECORDS - 1 ? 1 : 0 })),
  );
  const all = { good: RUN_RECORDS, whole: RUN_RECORDS - 1, hasCheckpoint: false };
  assertEquals(verifier.verify(bytes, SEED, 1), all);
  assertEquals(verifier.verify(new Uint8Array(0), SEED, 1), { good: 0, whole: 0, hasCheckpoint: false });
});

test("lookRun() says the same of a few slots, one by one, as of many", () => {
  const records = Array.from(
    { length: 200 },
    (_, i) => ({ lsn: i + 1, opType: i % 50 === 30 ? 4 : 1, flags: i % 3 === 0 ? 1 : 0 }),
  );
  const bytes = bytesOf(records);
  bytes[150 * 64 + 40]! ^= 1;
  const slots = new Slots(bytes.buffer, 0, 200, SEED);
  for (const [slot, count] of [[0, 10], [0, 200], [20, 63], [20, 64], [100, 63], [100, 100], [149, 10]] as const) {
    const run = slots.lookRun(slot, slot + 1, count);
    assertEquals(run, expected(bytes.subarray(slot * 64, (slot + count) * 64), slot + 1), `${count} from slot ${slot}`);
  }
});
