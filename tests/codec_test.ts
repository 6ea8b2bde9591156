// Fault: the codec seals or encodes a record otherwise than the format says. Or it takes a slot for
//   a record that is none, or the other way round. Or it stores into the memory of a closed log
//   (H52).
// Promise: only what was written is read, and all of that (G2, G5). No view reaches another file
//   after close() (G9).
// Method: both variants of the module against a plain reference. Whatever is small is tried whole:
//   each bit, each value of each byte, each length of a run, each kind of record.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { readFileSync } from "node:fs";
import { assemble, codecSource, MODULE_FILE, moduleText, variantOf } from "../scripts/codec.ts";
import { CODEC_BYTES, FileMemory } from "../ffi/file_memory.ts";
import { type Codec, codecOf, INITIAL_STATE, MemoryCodec, updateCrc32c } from "../src/format/codec.ts";
import * as layout from "../src/format/layout.ts";
import { isOpcode } from "../src/format/operations.ts";
import { checksumSeed } from "../src/format/record.ts";
import { WALAssertionError } from "../src/assert.ts";
import { OpType } from "../src/types.ts";
import { Random } from "../testing.ts";
import { byteCrc, recordCrc, referenceSeal, referenceVerify } from "./support/codec_reference.ts";
import { AT, type TestCodec, testCodecs } from "./support/codecs.ts";
import { collectGarbage } from "./support/region.ts";
import { LOG_ID, recordBytes, type ReferenceRecord, shiftCrc, slowCrc } from "./support/reference.ts";
import { test } from "./support/test.ts";

const SEED = checksumSeed(LOG_ID);
/** More than four times sixteen, so that a run has several whole groups of sixteen, and a rest. */
const LONGEST = 66;

const codecs = testCodecs(SEED, 16_384);

/** Runs a test with each variant. The name is the symbol, then the behaviour. */
function testBoth(name: string, body: (codec: TestCodec) => void): void {
  for (const each of codecs) test(`${name} (${each.name})`, () => body(each));
}

/** Stores records from `at` on. */
function store(bytes: Uint8Array, records: readonly ReferenceRecord[], at = AT): void {
  records.forEach((record, i) => bytes.set(recordBytes(record), at + i * 64));
}

/** A run of good records. */
function goodRun(length: number, lsn = 1): ReferenceRecord[] {
  return Array.from({ length }, (_, i) => ({ lsn: lsn + i, nanos: 5n, seq: i, keyHigh: BigInt(i) << 40n }));
}

/** Seals one record by the reference. */
function reseal(bytes: Uint8Array, at: number): void {
  referenceSeal(SEED, bytes, at, 1);
}

test("MemoryCodec leaves a memory alone that was detached, because another file may be there", () => {
  collectGarbage();
  const memory = new FileMemory(16_384);
  const codec = codecOf(memory, SEED);
  memory.bytes().set(recordBytes({ lsn: 1 }));
  assertEquals(codec.verify(0, 1, 1).good, 1);
  memory.detach();
  assertThrows(() => codec.seal(64, 1), WALAssertionError);
  assertThrows(() => codec.verify(0, 1, 1), WALAssertionError);
  assertThrows(() => codec.checksum(0), WALAssertionError);
  const fields = { kind: 1, lastKind: 1, lsn: 2, distance: 1, nanosLow: 0, nanosHigh: 0, seq: 0 };
  assertThrows(() => codec.encode(64, new Uint8Array(32), 1, fields), WALAssertionError);
  if (memory.memory === null) return;
  assert(new Uint8Array(memory.memory.buffer, memory.at + 64).every((byte) => byte === 0));
});

test("codec_module.ts is what codec.wat assembles to", async () => {
  assertEquals(readFileSync(MODULE_FILE, "utf8"), await moduleText());
});

test("variantOf() leaves out all vector instructions, and nothing else that is used", async () => {
  const scalar = variantOf(codecSource(), false);
  assert(!/v128|[if]\d+x\d+/.test(scalar.replaceAll(/;;.*/g, "")));
  assert((await assemble(scalar)).length < (await assemble(variantOf(codecSource(), true))).length);
});

test("codec.wat names the numbers of layout.ts, operations.ts and its own table, and only right ones", () => {
  const source = codecSource();
  const places = Object.fromEntries(
    [...source.matchAll(/^;; +(\d+) +\d+ +([A-Z_]+_AT) /gm)].map(([, at, name]) => [name!, Number(at)]),
  );
  const KNOWN_OPCODES = Array.from({ length: 64 }, (_, i) => isOpcode(i) ? 1n << BigInt(i) : 0n).reduce((a, b) =>
    a | b
  );
  const ours = { KNOWN_OPCODES, "OpType.Checkpoint": OpType.Checkpoint };
  const names: Record<string, unknown> = { ...layout, ...places, ...ours };
  const named = new Set<string>();
  for (
    const [text, number, name, row, more] of source.matchAll(/(\w+) \(; (?:([\w.]+?)|row (\d+))(?: \+ (\d+))? ;\)/g)
  ) {
    if (name !== undefined) named.add(name);
    const value = name === undefined ? Number(row) * 1024 : names[name];
    const expected = BigInt(value as number | bigint) + BigInt(more ?? 0);
    // Without a number, an offset is 0.
    if (number!.endsWith("store") || number!.endsWith("load")) assertEquals(expected, 0n, text);
    else assertEquals(BigInt(number!), expected, text);
  }
  const used = ["CRC_AT", "VERSION_OP_AT", "LSN_AT", "TIME_NANOS_AT", "TIME_SEQ_AT", "KEY_HIGH_AT", "KNOWN_OPCODES"];
  for (const name of used) {
    assert(named.has(name), `${name} is used`);
  }
});

test("codec.wat has places for its tables that do not overlap, and end before the log's memory", () => {
  const rows = [...codecSource().matchAll(/^;; +(\d+) +(\d+) +[A-Z_]+_AT /gm)].map(([, at, size]) => [+at!, +size!]);
  assertEquals(rows.length, 8);
  rows.forEach(([at, size], i) => assert(at! + size! <= (rows[i + 1]?.[0] ?? CODEC_BYTES)));
});

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
  test(`updateCrc32c() of ${what} gives the published CRC`, () => {
    assertEquals(~updateCrc32c(INITIAL_STATE, bytes) >>> 0, crc);
    assertEquals(slowCrc(bytes), crc, "the tests' own CRC");
    assertEquals(~byteCrc(INITIAL_STATE, bytes, 0, bytes.length) >>> 0, crc, "the reference's CRC");
    for (const { codec } of codecs) assertEquals(~codec.continue(INITIAL_STATE, bytes) >>> 0, crc);
  });
}

test("updateCrc32c() of more bytes than are staged at once agrees with a shift register", () => {
  const random = new Random(3);
  for (const length of [2815, 2816, 2817, 4092, 10_000]) {
    const bytes = Uint8Array.from({ length }, () => random.below(256));
    assertEquals(~updateCrc32c(INITIAL_STATE, bytes) >>> 0, slowCrc(bytes));
  }
});

testBoth("continue() agrees with a shift register for every length, from any state", ({ codec }) => {
  const random = new Random(4);
  for (let length = 0; length < 70; length++) {
    for (let i = 0; i < 20; i++) {
      const bytes = Uint8Array.from({ length }, () => random.below(256));
      const state = random.uint32() | 0;
      assertEquals(codec.continue(state, bytes), shiftCrc(bytes, state >>> 0) | 0);
    }
  }
});

testBoth("seal() and verify() agree with the reference: each length of a run, at any place", ({ codec, bytes }) => {
  const random = new Random(5);
  const end = AT + 64 + LONGEST * 64 + 64;
  for (let length = 0; length <= LONGEST; length++) {
    for (const shift of [0, 1, 2, 4, 8, 16, 32, 63]) {
      const at = AT + shift;
      for (let i = AT - 64; i < end; i++) bytes[i] = random.below(256);
      store(bytes, goodRun(length), at);
      for (let i = 0; i < length; i++) bytes.fill(0xee, at + i * 64, at + i * 64 + 4);
      const before = bytes.slice(0, end);
      codec.seal(shift, length);
      referenceSeal(SEED, before, at, length);
      assertEquals(bytes.subarray(AT - 64, end), before.subarray(AT - 64), "nothing else is written");
      assertEquals(codec.verify(shift, length, 1), { good: length, whole: length, hasCheckpoint: false });
      assertEquals(codec.verify(shift, length + 1, 1).good, length);
      assertEquals(bytes.subarray(AT - 64, end), before.subarray(AT - 64), "verify() writes nothing");
    }
  }
});

testBoth("seal() agrees with the reference for each value of each byte", ({ codec, bytes }) => {
  const count = 60 * 256;
  store(bytes, goodRun(count));
  for (let i = 0; i < count; i++) bytes[AT + i * 64 + 4 + (i >> 8)] = i & 0xff;
  const expected = bytes.slice(0, AT + count * 64);
  referenceSeal(SEED, expected, AT, count);
  codec.seal(0, count);
  assertEquals(bytes.subarray(AT, AT + count * 64), expected.subarray(AT));
  for (let i = 0; i < count; i += 7) {
    codec.seal(i * 64, 1);
    assertEquals(bytes.subarray(AT + i * 64, AT + i * 64 + 4), expected.subarray(AT + i * 64, AT + i * 64 + 4));
  }
});

testBoth("seal() agrees with the reference after each change of opcode and flag", ({ codec, bytes }) => {
  const kinds = Array.from({ length: 128 }, (_, i) => ({ opType: i & 63, flags: i >> 6 }));
  for (const kind of kinds) {
    // The low byte of the LSN carries on the way, so the rest of a front changes too, once.
    const run = goodRun(256, 200).map((record, i) => ({ ...record, ...(i % 2 === 0 ? kind : kinds[i >> 1]!) }));
    store(bytes, run);
    const expected = bytes.slice(0, AT + 256 * 64);
    bytes.subarray(AT, AT + 256 * 64).forEach((_, at) => at % 64 < 4 && (bytes[AT + at] = 0xee));
    codec.seal(0, 256);
    assertEquals(bytes.subarray(AT, AT + 256 * 64), expected.subarray(AT), `opcode ${kind.opType}, flag ${kind.flags}`);
  }
});

testBoth("verify() notices each single bit of each record of a run", ({ codec, bytes }) => {
  const count = 35;
  store(bytes, goodRun(count));
  assertEquals(codec.verify(0, count, 1).good, count);
  for (let bit = 0; bit < count * 512; bit++) {
    bytes[AT + (bit >> 3)]! ^= 1 << (bit & 7);
    assertEquals(codec.verify(0, count, 1).good, bit >> 9, `bit ${bit}`);
    bytes[AT + (bit >> 3)]! ^= 1 << (bit & 7);
  }
});

testBoth("verify() notices bursts of up to 32 bits", ({ codec, bytes }) => {
  store(bytes, goodRun(16));
  const flip = (bit: number) => bytes[AT + (bit >> 3)]! ^= 1 << (bit & 7);
  for (let first = 32; first < 512; first++) {
    for (const length of [2, 3, 5, 8, 16, 31, 32]) {
      const last = first + length - 1;
      if (last >= 512) continue;
      flip(first);
      flip(last);
      assertEquals(codec.verify(0, 16, 1).good, 0, `bits ${first} to ${last}`);
      flip(first);
      flip(last);
    }
  }
});

testBoth("verify() stops at the first record with a wrong LSN, wherever it is", ({ codec, bytes }) => {
  const first = 2 ** 32 - 30;
  store(bytes, goodRun(LONGEST, first));
  assertEquals(codec.verify(0, LONGEST, first).good, LONGEST);
  for (const lsn of [first - 1, first + 1, first + 2 ** 32]) assertEquals(codec.verify(0, LONGEST, lsn).good, 0);
  for (let place = 0; place < LONGEST; place++) {
    const lsn = first + place;
    for (const wrong of [0, lsn - 1, lsn + 1, lsn - 768, lsn + 256, lsn + 2 ** 32, lsn - 2 ** 31]) {
      store(bytes, [{ lsn: wrong, nanos: 5n, seq: place }], AT + place * 64);
      assertEquals(codec.verify(0, LONGEST, first).good, place, `${wrong} for ${lsn}`);
    }
    store(bytes, goodRun(1, lsn), AT + place * 64);
  }
});

testBoth("verify() takes each version, opcode and flag for what the reference does", ({ codec, bytes }) => {
  for (const place of [3, 16]) {
    store(bytes, goodRun(17));
    for (let kind = 0; kind < 0x1_0000; kind++) {
      const at = AT + place * 64;
      bytes[at + 4] = kind & 0xff;
      bytes[at + 5] = kind >> 8;
      reseal(bytes, at);
      const [version, opcode, flags] = [(kind >> 6) & 3, kind & 63, kind >> 8];
      const isKnown = version === 1 && ((opcode >= 1 && opcode <= 5) || opcode >= 32) && flags <= 1;
      const { good, whole, hasCheckpoint } = codec.verify(0, 17, 1);
      assertEquals(good, isKnown ? 17 : place, `kind ${kind}`);
      assertEquals(whole, place === 16 && flags === 1 ? 16 : good);
      assertEquals(hasCheckpoint, isKnown && opcode === 4);
    }
  }
});

testBoth("verify() finds the end of the last whole batch, for all batches of a run", ({ codec, bytes }) => {
  const run = goodRun(10);
  for (let goingOn = 0; goingOn < 1024; goingOn++) {
    store(bytes, run.map((record, i) => ({ ...record, flags: (goingOn >> i) & 1 })));
    for (const count of [9, 10]) assertEquals(codec.verify(0, count, 1), referenceVerify(SEED, bytes, AT, count, 1));
  }
  for (let end = 0; end <= LONGEST; end++) {
    store(bytes, goodRun(LONGEST).map((record, i) => ({ ...record, flags: i < end ? 0 : 1 })));
    assertEquals(codec.verify(0, LONGEST, 1), { good: LONGEST, whole: end, hasCheckpoint: false });
  }
});

testBoth("checksum() is that of the reference, whatever the bytes mean", ({ codec, bytes }) => {
  const random = new Random(8);
  for (let i = 0; i < 1000; i++) {
    for (let at = AT; at < AT + 64; at++) bytes[at] = random.below(256);
    assertEquals(codec.checksum(0), recordCrc(SEED, bytes, AT));
  }
});

testBoth("verify() takes no zeros for records, nor what another log wrote", ({ codec, bytes, memory, module }) => {
  bytes.fill(0, AT, AT + 640);
  assertEquals(codec.verify(0, 10, 0).good, 0);
  assertEquals(codec.verify(0, 10, 1).good, 0);
  store(bytes, goodRun(20));
  assertEquals(codec.verify(0, 20, 1).good, 20);
  const other = new MemoryCodec(memory, AT, SEED ^ 1, module);
  assertEquals(other.verify(0, 20, 1).good, 0);
  assertEquals(codec.verify(0, 20, 1).good, 20, "two codecs can work on one memory");
  // Where nothing is kept yet, nothing may be taken for a front that is kept.
  const fresh = new MemoryCodec(memory, AT, 0, module);
  bytes.fill(0, AT, AT + 64);
  bytes.fill(0xff, AT, AT + 4);
  assertEquals(fresh.verify(0, 1, 0).good, 0);
  fresh.seal(0, 1);
  assertEquals(new DataView(memory.buffer).getInt32(AT, true), recordCrc(0, bytes, AT));
});

testBoth("MemoryCodec takes the instance of a closed log over, and no other's", ({ module }) => {
  const { Instance } = WebAssembly;
  let made = 0;
  WebAssembly.Instance = class extends Instance {
    constructor(...parameters: ConstructorParameters<typeof Instance>) {
      super(...parameters);
      made++;
    }
  };
  try {
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 2 });
    const sealed = (seed: number, codec: MemoryCodec): void => {
      const bytes = new Uint8Array(memory.buffer);
      store(bytes, goodRun(1), CODEC_BYTES);
      codec.seal(0, 1);
      assertEquals(referenceVerify(seed, bytes, CODEC_BYTES, 1, 1).good, 1);
    };
    const open = (seed: number) => new MemoryCodec(memory, CODEC_BYTES, seed, module);
    const first = open(SEED);
    const same = open(SEED);
    assertEquals(made, 1);
    const other = open(1);
    assertEquals(made, 2);
    for (const codec of [first, same]) sealed(SEED, codec);
    sealed(1, other);
    memory.grow(0);
    const next = open(2);
    assertEquals(made, 2);
    sealed(2, next);
    assertThrows(() => first.seal(0, 1), WALAssertionError);
  } finally {
    WebAssembly.Instance = Instance;
  }
});

/** The items as they are handed to `encode()`, and what it should write of them. */
function batch(count: number, itemBytes: number, random: Random) {
  const items = new Uint8Array(count * itemBytes);
  for (let i = 0; i < items.length; i++) items[i] = random.below(256);
  const view = new DataView(items.buffer);
  const keyAt = itemBytes === 40 ? 8 : 0;
  const halves = Array.from({ length: count }, (_, i) => {
    return [0, 8, 16, 24].map((half) => half < itemBytes ? view.getBigUint64(i * itemBytes + keyAt + half) : 0n);
  });
  // An item of 40 bytes begins with its own opcode, of which the lowest six bits may be set.
  const opcodes = halves.map((_, i) => itemBytes === 40 ? items[i * itemBytes]! &= 63 : 0);
  return { items, halves, opcodes };
}

testBoth(
  "encode() writes what the reference does: each length of a run, pairs, keys and opcodes",
  ({ codec, bytes }) => {
    const random = new Random(6);
    for (let count = 0; count <= LONGEST; count++) {
      for (const itemBytes of [16, 32, 40]) {
        for (const offset of [0, 4, 40]) {
          const at = AT + offset;
          for (let i = AT - 64; i < AT + 80 * 64; i++) bytes[i] = 0xaa;
          const { items, halves, opcodes } = batch(count, itemBytes, random);
          const lsn = random.pick([1, 250, 2 ** 32 - 9, Number.MAX_SAFE_INTEGER - 100]);
          const [seq, distance] = [random.pick([0, 250, 2 ** 32 - 67]), random.pick([1, 200, 2 ** 31 - 5])];
          const [nanosLow, nanosHigh] = [random.uint32(), random.uint32()];
          const goesOn = random.below(2);
          const [opType, shard] = [itemBytes === 40 ? 0 : itemBytes === 32 ? 1 : 2, random.below(2 ** 16)];
          const kind = (flags: number) => 0x40 | opType | (flags << 8) | (shard << 16);
          const time = { nanosLow: nanosLow | 0, nanosHigh: nanosHigh | 0, seq: seq | 0 };
          codec.encode(offset, items, count, { kind: kind(1), lastKind: kind(goesOn), lsn, distance, ...time });
          const expected = new Uint8Array(80 * 64 + 64).fill(0xaa);
          halves.forEach(([keyHigh, keyLow, valueHigh, valueLow], i) => {
            expected.set(
              recordBytes({
                lsn: lsn + i,
                opType: opType | opcodes[i]!,
                flags: i === count - 1 ? goesOn : 1,
                shard,
                nanos: BigInt(nanosHigh) << 32n | BigInt(nanosLow),
                seq: seq + i,
                distance: distance + i,
                keyHigh: keyHigh!,
                keyLow: keyLow!,
                valueHigh: valueHigh!,
                valueLow: valueLow!,
              }),
              64 + at - AT + i * 64,
            );
          });
          assertEquals(bytes.subarray(AT - 64, AT + 80 * 64), expected);
        }
      }
    }
  },
);

test("codecOf() does the same where WebAssembly does not see the bytes, as in workers on Bun", () => {
  const count = 2500;
  const seen = new FileMemory(count * 64);
  const unseen = new FileMemory(new ArrayBuffer(count * 64));
  const pair: readonly (readonly [FileMemory, Codec])[] = [seen, unseen].map((file) => [file, codecOf(file, SEED)]);
  const random = new Random(7);
  const { items } = batch(1000, 32, random);
  const fields = { kind: 0x141, lastKind: 0x41, distance: 1, nanosLow: 2, nanosHigh: 3, seq: 4 };
  for (const [file, codec] of pair) {
    store(file.bytes(), goodRun(count), 0);
    file.bytes(64, 4).fill(0);
    file.bytes(2400 * 64, 4).fill(0);
    codec.seal(64, count - 1);
    for (const length of [0, 1, 1024, 1025, 2048, count]) {
      assertEquals(codec.verify(0, length, 1), { good: length, whole: length, hasCheckpoint: false });
    }
    codec.encode(1000 * 64, items, 1000, { ...fields, lsn: 1001 });
    assertEquals(codec.verify(0, 1999, 1), { good: 1999, whole: 1000, hasCheckpoint: false });
    assertEquals(codec.verify(0, count, 1).whole, count);
    for (const bad of [0, 1023, 1024, 2047, 2048, count - 1]) {
      file.bytes(bad * 64 + 40, 1)[0]! ^= 1;
      assertEquals(codec.verify(0, count, 1).good, bad);
      assertEquals(codec.checksum(bad * 64), recordCrc(SEED, file.bytes(), bad * 64));
      file.bytes(bad * 64 + 40, 1)[0]! ^= 1;
    }
  }
  assertEquals(seen.bytes(), unseen.bytes());
});
