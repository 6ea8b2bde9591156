import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Buffer } from "node:buffer";
import { WAL } from "../mod.ts";
import {
  bigintToBytes,
  bytesToBigInt,
  bytesToHalves,
  bytesToHex,
  bytesToUUID,
  halvesToBytes,
  hexToBytes,
  uuidToBytes,
} from "../src/keys.ts";
import { range } from "./support/logs.ts";
import { test } from "./support/test.ts";

const BYTES = Uint8Array.from([
  0x6b,
  0xa7,
  0xb8,
  0x10,
  0x9d,
  0xad,
  0x11,
  0xd1,
  0x80,
  0xb4,
  0,
  0xc0,
  0x4f,
  0xd4,
  0x30,
  0xc8,
]);
const HEX = "6ba7b8109dad11d180b400c04fd430c8";
const UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
const HALVES: [bigint, bigint] = [0x6ba7_b810_9dad_11d1n, 0x80b4_00c0_4fd4_30c8n];
const BIGINT = 0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8n;

/** A form: what it is made into bytes by, and back. */
interface Form<Value> {
  readonly name: string;
  readonly toBytes: (value: Value) => Uint8Array;
  readonly fromBytes: (bytes: Uint8Array) => Value;
}

const hex: Form<string> = { name: "hex", toBytes: hexToBytes, fromBytes: bytesToHex };
const uuid: Form<string> = { name: "uuid", toBytes: uuidToBytes, fromBytes: bytesToUUID };
const bigint: Form<bigint> = { name: "bigint", toBytes: bigintToBytes, fromBytes: bytesToBigInt };
const halves: Form<[bigint, bigint]> = {
  name: "halves",
  toBytes: ([high, low]) => halvesToBytes(high, low),
  fromBytes: bytesToHalves,
};
const FORMS = [hex, uuid, bigint, halves] as Form<unknown>[];

test("bytesToHex() and its like give one key in each form, and take it back", () => {
  assertEquals([hexToBytes(HEX), uuidToBytes(UUID), bigintToBytes(BIGINT), halvesToBytes(...HALVES)], [
    BYTES,
    BYTES,
    BYTES,
    BYTES,
  ]);
  assertEquals([bytesToHex(BYTES), bytesToUUID(BYTES), bytesToBigInt(BYTES), bytesToHalves(BYTES)], [
    HEX,
    UUID,
    BIGINT,
    HALVES,
  ]);
  assertEquals([hexToBytes(HEX.toUpperCase()), uuidToBytes(UUID.toUpperCase())], [BYTES, BYTES]);
});

test("bytesToHex() and its like lose no bit, in any form", () => {
  for (const { name, toBytes, fromBytes } of FORMS) {
    for (let bit = 0; bit < 128; bit++) {
      const bytes = new Uint8Array(16);
      bytes[bit >> 3] = 0x80 >> (bit & 7);
      assertEquals(toBytes(fromBytes(bytes)), bytes, `${name}, bit ${bit}`);
    }
    const byte = new Uint8Array(16);
    for (let value = 0; value < 256; value++) assertEquals(toBytes(fromBytes(byte.fill(value))), byte);
  }
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      for (const { toBytes, fromBytes } of FORMS) assertEquals(toBytes(fromBytes(bytes)), bytes);
      assertEquals(BigInt(`0x${bytesToHex(bytes)}`), bytesToBigInt(bytes));
      assertEquals(bytesToHex(bytes), Buffer.from(bytes).toString("hex"));
      assertEquals(bytesToUUID(bytes).replaceAll("-", ""), bytesToHex(bytes));
    }),
    { numRuns: 2000 },
  );
});

test("hexToBytes() and its like agree with the language for any value of their form", () => {
  const max = 2n ** 64n - 1n;
  const half = fc.oneof(fc.bigInt(0n, max), fc.constantFrom(0n, 1n, max), fc.maxSafeNat());
  fc.assert(
    fc.property(half, half, fc.uuid(), (high, low, text) => {
      assertEquals(bytesToHalves(halvesToBytes(high, low)), [BigInt(high), BigInt(low)]);
      assertEquals(bytesToBigInt(halvesToBytes(high, low)), (BigInt(high) << 64n) | BigInt(low));
      assertEquals(bytesToUUID(uuidToBytes(text)), text.toLowerCase());
      assertEquals(uuidToBytes(text), hexToBytes(text.replaceAll("-", "")));
    }),
    { numRuns: 2000 },
  );
  for (const value of [0n, 2n ** 128n - 1n]) assertEquals(bytesToBigInt(bigintToBytes(value)), value);
});

/** What a function says of a value that it refuses, after the name of its error. */
function refusal(call: () => unknown): string {
  const error = assertThrows(call, Error);
  return `${error.name}: ${error.message}`;
}

test("hexToBytes() and uuidToBytes() name the character that is wrong, at each index", () => {
  for (const [text, toBytes, hyphens] of [[HEX, hexToBytes, []], [UUID, uuidToBytes, [8, 13, 18, 23]]] as const) {
    for (const index of range(0, text.length - 1)) {
      const isHyphen = (hyphens as readonly number[]).includes(index);
      for (
        const wrong of ["g", "G", "/", ":", "@", "`", " ", "é", "\u0130", "٣", "\0", ...(isHyphen ? ["a"] : ["-"])]
      ) {
        const given = text.slice(0, index) + wrong + text.slice(index + 1);
        const says = isHyphen
          ? `no hyphen is at index ${index}`
          : `${JSON.stringify(wrong)} at index ${index} is no hex digit`;
        const message = refusal(() => toBytes(given));
        assertEquals([message.startsWith("RangeError"), message.endsWith(says)], [true, true], message);
      }
    }
  }
});

test("hexToBytes() and its like take each UTF-16 code unit for a digit, or for none", () => {
  const digits = new Set("0123456789abcdefABCDEF");
  for (let code = 0; code < 0x10000; code++) {
    const digit = String.fromCharCode(code);
    let byte: number | undefined;
    try {
      byte = hexToBytes(digit + HEX.slice(1))[0];
    } catch { /* it is no digit */ }
    const expected = digits.has(digit) ? parseInt(digit, 16) * 16 + 0xb : undefined;
    if (byte !== expected) assertEquals(byte, expected, `code unit ${code}`);
  }
});

test("hexToBytes() and its like refuse another length, another type and what is out of range", () => {
  const cases: [call: () => unknown, says: RegExp][] = [
    ...["", "a", HEX.slice(1), `${HEX}0`, ` ${HEX}`, UUID].map((text) =>
      [
        () => hexToBytes(text),
        new RegExp(`^RangeError: .* as hex: it has ${text.length} characters, it must have 32`),
      ] as [
        () => unknown,
        RegExp,
      ]
    ),
    ...["", HEX, UUID.slice(1), `${UUID}0`, `{${UUID}}`, `urn:uuid:${UUID}`].map((text) =>
      [
        () => uuidToBytes(text),
        new RegExp(`^RangeError: .* as uuid: it has ${text.length} characters, it must have 36`),
      ] as [
        () => unknown,
        RegExp,
      ]
    ),
    ...[5, 5n, null, undefined, BYTES, new String(HEX), [HEX]].flatMap((value) =>
      [
        [() => hexToBytes(value as string), /^TypeError: Cannot use .* as hex: it must be a string/],
        [() => uuidToBytes(value as string), /^TypeError: Cannot use .* as uuid: it must be a string/],
      ] as [() => unknown, RegExp][]
    ),
    [() => bigintToBytes(-1n), /^RangeError: Cannot use -1n as bigint: it must be from 0 to 2\^128/],
    [() => bigintToBytes(2n ** 128n), /^RangeError: .* as bigint: it must be from 0 to 2\^128/],
    ...[5, "5", null, undefined, Object(5n)].map((value) =>
      [() => bigintToBytes(value as bigint), /^TypeError: .* as bigint: it must be a bigint/] as [() => unknown, RegExp]
    ),
    [() => halvesToBytes(2n ** 64n, 0), /^RangeError: .* as high: it must be from 0 to 2\^64/],
    [() => halvesToBytes(0, -1n), /^RangeError: .* as low: it must be from 0 to 2\^64/],
    [() => halvesToBytes(0.5, 0), /^RangeError: .* as high: a number must be a safe integer/],
    [() => halvesToBytes(0, 2 ** 53), /^RangeError: .* as low: a number must be a safe integer/],
    [() => halvesToBytes("1" as never, 0), /^TypeError: .* as high/],
    [() => halvesToBytes(0, undefined as never), /^TypeError: .* as low/],
  ];
  for (const [call, says] of cases) assertMatch(refusal(call), says);
});

test("bytesToHex() and its like refuse what is no Uint8Array of 16 bytes", () => {
  for (const { name, fromBytes } of FORMS) {
    for (const length of [0, 15, 17, 32]) {
      assertMatch(
        refusal(() => fromBytes(new Uint8Array(length))),
        new RegExp(`^RangeError: .*${length} bytes as bytes`),
        name,
      );
    }
    for (const value of [null, HEX, BIGINT, [...BYTES], new Int8Array(16), new DataView(BYTES.buffer), BYTES.buffer]) {
      assertMatch(
        refusal(() => fromBytes(value as unknown as Uint8Array)),
        /^TypeError: Cannot use .* as bytes: it must be a Uint8Array/,
      );
    }
    for (const bytes of [Buffer.from(BYTES), new Uint8Array([1, ...BYTES, 2]).subarray(1, 17)]) {
      assertEquals(fromBytes(bytes), fromBytes(BYTES), name);
    }
  }
});

test("hexToBytes() and its like give what the log takes, and take what the log gives", () => {
  using wal = WAL.open(null);
  wal.logInsertSync(uuidToBytes(UUID), bigintToBytes(BIGINT));
  wal.logInsertSync(...HALVES, ...HALVES);
  for (const { key, value, keyHigh, keyLow } of wal.replay()) {
    assertEquals([bytesToHex(key), bytesToUUID(value), bytesToHalves(key)], [HEX, UUID, [keyHigh, keyLow]]);
  }
});
