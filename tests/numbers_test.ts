import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { checkDelayMs, checkInteger, checkLsn, checkU64, show, takeTime } from "../src/arguments/numbers.ts";
import type { HybridTimeInput, U64 } from "../src/types.ts";
import { test } from "./support/test.ts";

const MAX = 2n ** 64n - 1n;
const NO_NUMBERS: readonly unknown[] = ["1", null, undefined, true, {}, [], Symbol("s"), () => 1];

test("checkU64() takes every unsigned 64-bit bigint and every safe integer from 0 on", () => {
  for (const value of [0, 1, Number.MAX_SAFE_INTEGER, -0, 0n, 1n, 2n ** 63n, MAX]) checkU64(value, "key");
});

test("checkU64() refuses numbers out of range, by name", () => {
  const bad = [-1, -1n, MAX + 1n, 2n ** 200n, 2 ** 53, 2 ** 64, 0.5, NaN, Infinity, -Infinity];
  for (const value of bad) assertThrows(() => checkU64(value, "keyHigh"), RangeError, "keyHigh");
});

test("checkU64() refuses what is no number", () => {
  for (const value of NO_NUMBERS) assertThrows(() => checkU64(value as U64, "keyHigh"), TypeError, "keyHigh");
});

test("checkU64() says how a key or a value is given to a caller who gives it otherwise", () => {
  const message = (value: unknown, name: string) => assertThrows(() => checkU64(value as U64, name), Error).message;
  const both = "it must be a bigint or a number; give key and value both in halves of 64 bits, or both in bytes";
  assertEquals(
    [new Uint8Array(16), Buffer.alloc(16), new DataView(new ArrayBuffer(16))].map((key) => message(key, "keyLow")),
    ["Uint8Array", "Uint8Array", "DataView"].map((type) => `Cannot use a value of type ${type} as keyLow: ${both}`),
  );
  assertMatch(
    message("bafy", "keyLow"),
    /; give a key as two halves of 64 bits, such as those of a hash of the text, or as 16 bytes \(see @cidstore\/wal\/keys\)$/,
  );
  assertMatch(
    message(undefined, "valueHigh"),
    /; give a value as two halves of 64 bits, or as 16 bytes \(.*\)$/,
  );
  assertMatch(
    message(2n ** 64n, "valueLow"),
    /; give a value .* halves.*, value >> 64n and BigInt.asUintN\(64, value\), or as 16 bytes \(.*\)$/,
  );
  for (
    const [value, name] of [[-1n, "keyHigh"], [2n ** 64n, "time[0] (nanos)"], ["1", "time[0] (nanos)"], [-1, "keyLow"]]
  ) {
    assert(!message(value, String(name)).includes("halves"));
  }
});

test("checkInteger() takes both its ends and nothing past them", () => {
  checkInteger(3, "n", 3, 5);
  checkInteger(5, "n", 3, 5);
  for (const value of [2, 6, 4.5, NaN, Infinity]) assertThrows(() => checkInteger(value, "n", 3, 5), RangeError, "n");
  for (const value of [...NO_NUMBERS, 4n]) {
    assertThrows(() => checkInteger(value as number, "n", 3, 5), TypeError, "n");
  }
});

test("checkLsn() takes 0 to the greatest safe integer", () => {
  checkLsn(0, "lsn");
  checkLsn(Number.MAX_SAFE_INTEGER, "lsn");
  for (const value of [-1, 2 ** 53, 1.5, NaN]) assertThrows(() => checkLsn(value, "lsn"), RangeError);
  for (const value of NO_NUMBERS) assertThrows(() => checkLsn(value as number, "lsn"), TypeError);
});

test("checkDelayMs() takes fractions and Infinity, not NaN and nothing negative", () => {
  for (const value of [0, 0.5, 1e12, Infinity]) checkDelayMs(value, "delay");
  for (const value of [-1, -Infinity, NaN]) assertThrows(() => checkDelayMs(value, "delay"), RangeError);
  for (const value of [...NO_NUMBERS, 1n]) assertThrows(() => checkDelayMs(value as number, "delay"), TypeError);
});

test("takeTime() takes nanoseconds of 64 bits, a sequence number of 32 and a shard of 16", () => {
  takeTime([0, 0, 0]);
  takeTime([MAX - 1_000_000n, 0xffffffff, 0xffff]);
  const bad: HybridTimeInput[] = [
    [-1, 0, 0],
    [MAX + 1n, 0, 0],
    [MAX, 0, 0], // the clock could not go on
    [0, 2 ** 32, 0],
    [0, -1, 0],
    [0, 0.5, 0],
    [0, 0, 65536],
    [0, 0, NaN],
  ];
  for (const time of bad) assertThrows(() => takeTime(time), RangeError, "time");
});

test("takeTime() refuses what is no tuple of three", () => {
  const bad: unknown[] = [[], [1n, 2], [1n, 2, 3, 4], { 0: 1n, 1: 2, 2: 3, length: 3 }, "123", 5, null, ["1", 0, 0], [
    1,
    0n,
    0,
  ]];
  for (const time of bad) assertThrows(() => takeTime(time as HybridTimeInput), TypeError, "time");
});

test("show() describes any value and never throws", () => {
  assertEquals([5, 5n, "a", null, undefined, true].map(show), ["5", "5n", '"a"', "null", "undefined", "true"]);
  assertEquals(show("x".repeat(1000)), "a string of 1000 characters");
  const hostile = {
    toString() {
      throw new Error("no");
    },
  };
  for (const value of [hostile, Symbol("s"), () => 1, Object.create(null)]) show(value);
});
