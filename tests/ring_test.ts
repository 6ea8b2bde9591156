import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { WALAssertionError } from "../src/assert.ts";
import { capacityOf, fileBytesOf, offsetOf, rangesOf, roundFileBytes, slotOf } from "../src/format/ring.ts";
import { test } from "./support/test.ts";

const capacity = fc.integer({ min: 1, max: 0xffffffff });
const lsn = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER - 2 ** 33 });

test("slotOf() puts LSN 1 into slot 0 and goes round", () => {
  assertEquals([1, 2, 3, 4, 5, 6, 7].map((lsn) => slotOf(lsn, 3)), [0, 1, 2, 0, 1, 2, 0]);
  assertEquals(offsetOf(0), 16384);
  assertEquals(offsetOf(2), 16384 + 128);
});

test("slotOf() agrees with exact arithmetic for every LSN, and neighbours have neighbouring slots", () => {
  fc.assert(fc.property(lsn, capacity, (lsn, capacity) => {
    const slot = slotOf(lsn, capacity);
    assertEquals(BigInt(slot), (BigInt(lsn) - 1n) % BigInt(capacity));
    assertEquals(slotOf(lsn + 1, capacity), slot + 1 === capacity ? 0 : slot + 1);
    assertEquals(slotOf(lsn + capacity, capacity), slot);
  }));
});

test("capacityOf() undoes fileBytesOf(), and a file that is a byte short holds one less", () => {
  fc.assert(fc.property(capacity, (capacity) => {
    assertEquals(capacityOf(fileBytesOf(capacity)), capacity);
    assertEquals(capacityOf(fileBytesOf(capacity) - 1), capacity - 1);
  }));
});

test("roundFileBytes() rounds up to 16 KiB", () => {
  assertEquals([1, 16384, 16385, 65536, 65537].map(roundFileBytes), [16384, 16384, 32768, 65536, 81920]);
  assertEquals(roundFileBytes(Number.MAX_SAFE_INTEGER), 2 ** 53);
});

test("rangesOf() covers each record's bytes once, the older ones first", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 1000 }), fc.nat(50), (size, first, n) => {
      const count = Math.min(n, size);
      const covered: number[] = [];
      const ranges = rangesOf(first, first + count - 1, size);
      for (const { offset, length } of ranges) {
        for (let at = offset; at < offset + length; at += 64) covered.push((at - 16384) / 64);
      }
      assertEquals(covered, Array.from({ length: count }, (_, i) => slotOf(first + i, size)));
      assertEquals(ranges.length <= 2, true);
      assertEquals(ranges.every(({ length }) => length > 0), true);
    }),
  );
});

test("rangesOf() refuses a run longer than the ring, and has nothing for an empty one", () => {
  assertEquals(rangesOf(5, 4, 8), []);
  assertEquals(rangesOf(3, 10, 8), [{ offset: 16384 + 128, length: 384 }, { offset: 16384, length: 128 }]);
  assertThrows(() => rangesOf(3, 11, 8), WALAssertionError);
});
