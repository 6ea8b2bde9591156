// Times as text: exact to the nanosecond, in UTC.

import { NANOS_PER_MS } from "../src/format/layout.ts";

const NANOS_PER_S = 1_000_000_000n;
const MAX_U64 = 0xffff_ffff_ffff_ffffn;

const AGES_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A time as `2026-11-29T21:30:00.123456789Z`. */
export function textOfNanos(nanos: bigint): string {
  const seconds = new Date(Number(nanos / NANOS_PER_S) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(nanos % NANOS_PER_S).padStart(9, "0")}Z`;
}

/**
 * Reads a time: ISO 8601 with up to nine digits of a second, in UTC unless it names an offset.
 *
 * @returns nanoseconds since 1970; null if the text is no time from 1970 to 2554.
 */
export function nanosOfISO(text: string): bigint | null {
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?)?$/.exec(text);
  if (match === null) return null;
  const [, date = "", minutes = "00:00", seconds = "00", fraction = "", zone = "Z"] = match;
  const ms = Date.parse(`${date}T${minutes}:${seconds}${zone}`);
  if (Number.isNaN(ms) || !isDay(date)) return null;
  const nanos = BigInt(ms) * NANOS_PER_MS + BigInt(fraction.padEnd(9, "0"));
  return nanos >= 0n && nanos <= MAX_U64 ? nanos : null;
}

/** False for a day such as 30 February, which engines take for one in March. */
function isDay(date: string): boolean {
  return new Date(`${date}T00:00:00Z`).toISOString().startsWith(date);
}

/** As `nanosOfISO()`, and ages: `90s`, `5m`, `2h`, `1d` before now. */
export function nanosOfText(text: string, nowMs: number): bigint | null {
  const [, digits, unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  if (digits === undefined) return nanosOfISO(text);
  const ms = BigInt(nowMs) - BigInt(digits) * BigInt(AGES_MS[unit]!);
  return ms < 0n ? 0n : ms * NANOS_PER_MS;
}

/** A duration for people, as in `3.2 s` or `2 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 1) return ms === 0 ? "0 ms" : `${(ms * 1000).toFixed(0)} µs`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor(ms / 1000) % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
