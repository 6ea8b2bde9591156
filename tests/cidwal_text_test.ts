// What cidwal reads and draws as text: times, widths, bars.

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { bar, bytesText, counted, grouped, visible, width, wrapped } from "../cli/terminal.ts";
import { duration, nanosOfISO, nanosOfText, textOfNanos } from "../cli/times.ts";
import { test } from "./support/test.ts";

test("textOfNanos() writes what nanosOfISO() reads, to the nanosecond, from 1970 to 2554", () => {
  fc.assert(fc.property(fc.bigInt(0n, 2n ** 64n - 1n), (nanos) => nanosOfISO(textOfNanos(nanos)) === nanos));
  assertEquals(textOfNanos(2n ** 64n - 1n), "2554-07-21T23:34:33.709551615Z");
});

test("nanosOfISO() reads UTC unless there is an offset, and no day that there is not", () => {
  const at = BigInt(Date.parse("2026-11-29T12:30:00Z")) * 1_000_000n;
  for (const text of ["2026-11-29T12:30", "2026-11-29 12:30:00Z", "2026-11-29T14:00:00.0+01:30"]) {
    assertEquals(nanosOfISO(text), at, text);
  }
  assertEquals(nanosOfISO("2026-11-29T12:30:00.000000001"), at + 1n);
  const wrong = ["", "12:30", "2026-02-30", "2026-13-01", "2026-11-29T25:00", "1969-12-31", "2555-01-01", "5", "now"];
  for (const text of wrong) assertEquals(nanosOfISO(text), null, text);
});

test("nanosOfText() reads ages before now", () => {
  const ages: readonly [string, number][] = [["90s", 90e3], ["5m", 3e5], ["2h", 72e5], ["1d", 864e5], ["0s", 0]];
  for (const [text, ms] of ages) assertEquals(nanosOfText(text, 1e9), BigInt(1e9 - ms) * 1_000_000n);
  assertEquals(nanosOfText("999999999d", 1e9), 0n);
  for (const text of ["5", "m", "-5m", "5 m", "1w"]) assertEquals(nanosOfText(text, 1e9), null);
});

test("width() counts columns, not characters, and no styles", () => {
  assertEquals(["a…é", "索引", "e\u0301", "\u001b[31mred\u001b[39m", "😀"].map(width), [3, 4, 1, 3, 2]);
});

test("wrapped() loses nothing, and keeps lines short", () => {
  assertEquals(wrapped("one two three", 7), ["one two", "three"]);
  assertEquals(wrapped("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
  assertEquals(wrapped("索引文件a", 5), ["索引", "文件a"]);
  assertEquals(wrapped("😀😀😀", 3), ["😀", "😀", "😀"]);
});

test("bar() is exact to an eighth of a column, and shows every share above 0", () => {
  assertEquals([0, 0.001, 0.5, 0.56, 1, 2].map((share) => bar(share, 8)), [
    "",
    "▏",
    "████",
    "████▌",
    "████████",
    "████████",
  ]);
});

test("duration(), bytesText(), counted() and grouped() write numbers for people", () => {
  assertEquals([0, 0.5, 12, 1500, 61_000, 7_260_000, 200_000_000].map(duration), [
    "0 ms",
    "500 µs",
    "12 ms",
    "1.5 s",
    "1 min 1 s",
    "2 h 1 min",
    "2 d 7 h",
  ]);
  assertEquals([100, 65536, 1.5 * 2 ** 20, 2 ** 32].map(bytesText), ["100 bytes", "64 KiB", "1.5 MiB", "4 GiB"]);
  assertEquals([counted(1, "batch"), counted(2, "batch"), counted(1000, "record")], [
    "1 batch",
    "2 batches",
    "1,000 records",
  ]);
  assertEquals(grouped(1234567), "1,234,567");
});

test("visible() shows what would steer a terminal", () => {
  assertEquals(visible("a\u001b[2J\n\u202e索"), "a\\u001b[2J\\u000a\\u202e索");
});
