// Fault: as in `codec_test.ts`, in records that nobody thought of.
// Promise: only what was written is read, and all of that (G2, G5).
// Method: ten million random records, in runs alike and unlike, sealed by both variants and by the
//   reference. Then something in them is changed, and all three say what is left. A failure prints
//   its seed, which `--seed` takes.

import { assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import process from "node:process";
import { isOpcode } from "../src/format/operations.ts";
import { checksumSeed } from "../src/format/record.ts";
import { Random } from "../testing.ts";
import { referenceSeal, referenceVerify } from "./support/codec_reference.ts";
import { AT, testCodecs } from "./support/codecs.ts";
import { LOG_ID } from "./support/reference.ts";
import { roundsOf, seedOf } from "./support/share.ts";
import { test } from "./support/test.ts";

const SEED = process.env["SEED"];
const RECORDS = 10_000_000;
const LONGEST = 4096;
const WORDS = 16;

const OPCODES = Array.from({ length: 64 }, (_, i) => i).filter(isOpcode);

/** A version, an opcode and a flag that are known. */
function kindOf(random: Random): number {
  return 0x40 | random.pick(OPCODES) | (random.below(2) << 8);
}

/**
 * Fills a run with random records, whose fronts are alike as far as `alike` says, 0 to 1. In every
 * other run, opcodes and flags of those change.
 */
function fill(random: Random, words: Uint32Array, count: number, firstLsn: number, alike: number): void {
  const changes = random.pick([0, 0.5]);
  for (let at = 0; at < count * WORDS; at += WORDS) {
    for (let word = 8; word < WORDS; word++) words[at + word] = random.uint32();
    const lsn = firstLsn + at / WORDS;
    words[at + 2] = lsn;
    words[at + 3] = lsn / 2 ** 32;
    if (at > 0 && random.chance(alike)) {
      for (const word of [1, 4, 5]) words[at + word] = words[at + word - WORDS]!;
      for (const word of [6, 7]) words[at + word] = words[at + word - WORDS]! + random.below(3);
      if (random.chance(changes)) words[at + 1] = (words[at + 1]! & 0xffff0000) | kindOf(random);
    } else {
      words[at + 1] = (random.uint32() & 0xffff0000) | kindOf(random);
      for (const word of [4, 5, 6, 7]) words[at + word] = random.uint32();
    }
  }
}

test("seal() and verify() agree with the reference on ten million random records", () => {
  const seed = checksumSeed(LOG_ID);
  const codecs = testCodecs(seed, LONGEST);
  const expected = new Uint8Array(LONGEST * 64);
  const words = new Uint32Array(expected.buffer);
  const first = SEED === undefined ? seedOf(0) * RECORDS + 1 : Number(SEED);
  for (let run = first, records = 0; records < roundsOf(RECORDS); run++) {
    const random = new Random(run);
    const count = random.chance(0.5) ? random.between(1, 100) : random.between(1, LONGEST);
    const lsn = random.between(1, random.pick([1000, 2 ** 32 + 1000, Number.MAX_SAFE_INTEGER - LONGEST]));
    fill(random, words, count, lsn, random.pick([0, 0.9, 0.999, 1]));
    const bytes = expected.subarray(0, count * 64);
    for (const codec of codecs) codec.bytes.set(bytes, AT);
    referenceSeal(seed, expected, 0, count);
    // Records in random pieces: what is kept of one run must fit the next one.
    const cut = random.below(count + 1);
    for (const { codec } of codecs) {
      codec.seal(cut * 64, count - cut);
      codec.seal(0, cut);
    }
    for (let change = random.below(4); change > 0; change--) {
      const [at, bit] = [random.below(count * 64), 1 << random.below(8)];
      expected[at]! ^= bit;
      for (const codec of codecs) codec.bytes[AT + at]! ^= bit;
    }
    const verdict = referenceVerify(seed, expected, 0, count, lsn);
    for (const { codec, bytes: sealed, name } of codecs) {
      const isEqual = Buffer.compare(sealed.subarray(AT, AT + count * 64), bytes) === 0;
      assertEquals([isEqual, codec.verify(0, count, lsn)], [true, verdict], `${name}, SEED=${run}`);
    }
    records += count;
  }
});
