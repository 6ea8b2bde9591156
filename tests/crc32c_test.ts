import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  crc32c,
  INITIAL_STATE,
  recordChecksum,
  RecordChecksums,
  updateBytes,
  updateWords,
} from "../src/format/crc32c.ts";
import { Random } from "../testing.ts";
import { shiftCrc, slowCrc } from "./support/reference.ts";
import { test } from "./support/test.ts";

const ascending = Uint8Array.from({ length: 32 }, (_, i) => i);

/** RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRC algorithms. */
const VECTORS: readonly [what: string, bytes: Uint8Array, crc: number][] = [
  ["no bytes", new Uint8Array(0), 0],
  ["123456789", new TextEncoder().encode("123456789"), 0xe3069283],
  ["32 bytes of zeros", new Uint8Array(32), 0x8a9136aa],
  ["32 bytes of ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ["32 ascending bytes", ascending, 0x46dd794e],
  ["32 descending bytes", ascending.toReversed(), 0x113fdb5c],
];

for (const [what, bytes, crc] of VECTORS) {
  test(`crc32c() of ${what} is the published one`, () => {
    assertEquals(crc32c(bytes), crc);
    assertEquals(slowCrc(bytes), crc, "the tests' own CRC");
  });

  if (bytes.length % 4 === 0) {
    test(`updateWords() of ${what} gives the published one`, () => {
      const words = new Int32Array(bytes.slice().buffer);
      assertEquals(~updateWords(INITIAL_STATE, words, 0, words.length) >>> 0, crc);
    });
  }
}

test("updateBytes() agrees with a shift register, from any state", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), fc.integer(), (bytes, state) => {
    assertEquals(updateBytes(state, bytes) >>> 0, shiftCrc(bytes, state >>> 0));
  }));
});

test("updateWords() agrees with updateBytes() for every number of words, and at every place", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer(), { maxLength: 70 }),
      fc.nat(70),
      fc.nat(70),
      fc.integer(),
      (values, one, other, state) => {
        const words = Int32Array.from(values);
        const from = Math.min(one, other, words.length);
        const to = Math.min(Math.max(one, other), words.length);
        const bytes = new Uint8Array(words.buffer, from * 4, (to - from) * 4);
        assertEquals(updateWords(state, words, from, to) >>> 0, updateBytes(state, bytes) >>> 0);
      },
    ),
  );
});

test("updateWords() may be cut anywhere", () => {
  const words = Int32Array.from({ length: 40 }, (_, i) => i * 0x9e3779b9);
  const whole = updateWords(INITIAL_STATE, words, 0, 40);
  for (let cut = 0; cut <= 40; cut++) {
    assertEquals(updateWords(updateWords(INITIAL_STATE, words, 0, cut), words, cut, 40), whole);
  }
});

test("recordChecksum() covers bytes 4 to 63 from the seed on, and nothing else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 192, maxLength: 192 }), fc.integer(), fc.nat(2), (bytes, seed, record) => {
      const words = new Int32Array(bytes.slice().buffer);
      const covered = bytes.subarray(record * 64 + 4, record * 64 + 64);
      assertEquals(recordChecksum(seed, words, record * 16) >>> 0, slowCrc(covered, seed >>> 0));
    }),
  );
});

test("recordChecksum() notices every single bit, and bursts up to 32 bits", () => {
  const bytes = new Uint8Array(64).map((_, i) => i * 37);
  const words = new Int32Array(bytes.buffer);
  const good = recordChecksum(1, words, 0);
  const flip = (bit: number) => bytes[bit >> 3]! ^= 1 << (bit & 7);
  for (let first = 32; first < 512; first++) {
    for (const length of [1, 2, 3, 5, 8, 16, 31, 32]) {
      const last = first + length - 1;
      if (last >= 512) continue;
      flip(first);
      if (last > first) flip(last);
      assertEquals(recordChecksum(1, words, 0) === good, false, `bits ${first} to ${last}`);
      flip(first);
      if (last > first) flip(last);
    }
  }
  assertEquals(recordChecksum(1, words, 0), good);
});

test("RecordChecksums agrees with recordChecksum() on records in any order, alike or not", () => {
  const RECORDS = 300;
  const random = new Random(11);
  const words = new Int32Array(RECORDS * 16);
  for (let i = 0; i < words.length; i++) words[i] = random.uint32();
  // Runs of records differ as those of a log do: low bytes count up, and carry into bytes that are
  // kept.
  for (let record = 1; record < RECORDS; record++) {
    if (random.below(20) === 0) continue;
    for (const word of [1, 3, 4, 5]) words[record * 16 + word] = words[record * 16 - 16 + word]!;
    for (const word of [2, 6, 7]) words[record * 16 + word] = words[record * 16 - 16 + word]! + 1;
  }
  for (const seed of [0, -1, 0x12345678]) {
    const checksums = new RecordChecksums(seed);
    for (let record = 0; record < RECORDS; record++) {
      assertEquals(checksums.of(words, record * 16), recordChecksum(seed, words, record * 16), `record ${record}`);
    }
    for (let i = 0; i < 2000; i++) {
      const at = random.below(RECORDS) * 16;
      assertEquals(checksums.of(words, at), recordChecksum(seed, words, at));
    }
  }
});
