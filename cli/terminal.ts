// Drawing for a terminal: colours, aligned columns, bars. Nothing here writes.

import process from "node:process";
import { styleText } from "node:util";
import { streams } from "./streams.ts";

/** How wide a drawing may be, and whether it may have colours. */
export interface Look {
  /** Columns; `Infinity` where the output is no terminal. */
  readonly columns: number;
  readonly color: boolean;
}

/** The styles that are used; others add no meaning. */
export type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

/** How standard output or standard error looks. */
export function lookOf(stream: "stdout" | "stderr", noColor: boolean): Look {
  const { columns } = streams[stream];
  return { columns, color: columns < Infinity && !noColor && !colorsAreOff() };
}

/** `NO_COLOR` (no-color.org), and terminals without colours. Deno says so without a permission. */
function colorsAreOff(): boolean {
  const { Deno } = globalThis as { readonly Deno?: { readonly noColor: boolean } };
  if (Deno !== undefined) return Deno.noColor;
  const { NO_COLOR, TERM } = process.env;
  return (NO_COLOR ?? "") !== "" || TERM === "dumb";
}

/** A styled text, plain where there are no colours. */
export function styled(look: Look, style: Style, text: string): string {
  return look.color ? styleText(style, text, { validateStream: false }) : text;
}

/** How many columns a text takes, without styles. */
export function width(text: string): number {
  let columns = 0;
  for (const character of text.replaceAll(STYLES, "")) columns += columnsOf(character.codePointAt(0)!);
  return columns;
}

// deno-lint-ignore no-control-regex
const STYLES = /\x1b\[[0-9;]*m/g;

/** 0 for marks that combine, 2 for wide characters of East Asia and for pictures, else 1. */
function columnsOf(codePoint: number): number {
  const character = String.fromCodePoint(codePoint);
  if (/\p{M}|\p{Cf}/u.test(character)) return 0;
  return /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u
      .test(character)
    ? 2
    : 1;
}

/** A text without characters that control the terminal, as a name may have. */
export function visible(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`,
  );
}

/** A text with spaces before it up to a width. */
export function atRight(text: string, columns: number): string {
  return " ".repeat(Math.max(0, columns - width(text))) + text;
}

/** A text with spaces after it up to a width. */
export function atLeft(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - width(text)));
}

const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** A bar of up to `columns`, exact to an eighth of one. A share above 0 is always visible. */
export function bar(share: number, columns: number): string {
  const eighths = share <= 0 ? 0 : Math.max(1, Math.round(Math.min(1, share) * columns * 8));
  return "█".repeat(eighths >> 3) + EIGHTHS[eighths & 7]!;
}

/** A number with thin groups of three digits, as in 1,234,567. */
export function grouped(value: number): string {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

/** A number with its noun, as in `1 record` and `2,000 records`. */
export function counted(count: number, noun: string): string {
  const plural = noun.endsWith("h") ? `${noun}es` : `${noun}s`;
  return `${grouped(count)} ${count === 1 ? noun : plural}`;
}

/** Some LSNs with their verb, as in `LSN 5 is` and `LSN 5 to 7 are`. */
export function lsnsAre(first: number, last: number): string {
  return first === last ? `LSN ${first} is` : `LSN ${first} to ${last} are`;
}

/** A number of bytes for people: exact where it is round, as in `64 MiB`. */
export function bytesText(bytes: number): string {
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]] as const) {
    if (bytes >= size) return `${Number((bytes / size).toFixed(1))} ${unit}`;
  }
  return `${bytes} bytes`;
}

/** A row of a drawing with names before it. */
export interface Row {
  readonly name: string;
  readonly value: string;
}

/** Rows with aligned values. A value that is too long goes on under itself. */
export function rows(look: Look, list: readonly Row[]): string {
  const left = Math.max(...list.map(({ name }) => width(name))) + 2;
  const room = Math.max(20, look.columns - left);
  return list.flatMap(({ name, value }) =>
    wrapped(value, room).map((line, index) => {
      const start = index === 0 ? styled(look, "dim", atLeft(name, left)) : " ".repeat(left);
      return `${start}${line}\n`;
    })
  ).join("");
}

/** A text in lines of at most so many columns, cut at spaces where there are some. */
export function wrapped(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (width(longer) <= columns) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    line = word;
    while (width(line) > columns) {
      const start = beginning(line, columns);
      lines.push(start);
      line = line.slice(start.length);
    }
  }
  return [...lines, line];
}

/** The longest beginning of a text that fits, but at least one character. */
function beginning(text: string, columns: number): string {
  let start = "";
  for (const character of text) {
    if (start !== "" && width(start + character) > columns) break;
    start += character;
  }
  return start;
}
