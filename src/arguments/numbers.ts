// The numbers that callers hand in: which are allowed. They are checked before a byte is written.

import { FIRST_APPLICATION_OPCODE, LAST_APPLICATION_OPCODE } from "../format/operations.ts";
import type { ApplicationOpType, HybridTime, HybridTimeInput, LSN, U64 } from "../types.ts";

export const MAX_U16 = 0xffff;
export const MAX_U32 = 0xffffffff;
export const MAX_U64 = 0xffff_ffff_ffff_ffffn;
/** Not exported, because V8 would load it at each use. */
const TWO_TO_64 = 0x1_0000_0000_0000_0000n;
/**
 * The latest time that can be given: a millisecond before the last one, so that the clock can go on
 * for 2^52 records.
 */
const LAST_NANOS = MAX_U64 - 1_000_000n;

/** A getter of all typed arrays, as a function: a subclass or an own property cannot replace it. */
export function typedArrayGetter(name: string | symbol): (value: unknown) => unknown {
  const prototype = Object.getPrototypeOf(Uint8Array.prototype);
  return Function.prototype.call.bind(Object.getOwnPropertyDescriptor(prototype, name)!.get!);
}

/** The name of a typed array's type, whatever realm made it; `undefined` for all other values. */
export const typeOf: (value: unknown) => unknown = typedArrayGetter(Symbol.toStringTag);

/** How a value is shown in a message; never throws. */
export function show(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "string") {
    return value.length > 40 ? `a string of ${value.length} characters` : JSON.stringify(value);
  }
  if (typeof value === "number" || typeof value === "boolean" || value === undefined || value === null) {
    return String(value);
  }
  if (ArrayBuffer.isView(value)) return `a value of type ${typeOf(value) ?? "DataView"}`;
  return `a value of type ${typeof value}`;
}

/** True if a value can be stored as 64 bits. It is the fast part of `checkU64()`. */
export function isU64(value: unknown): value is U64 {
  // Not BigInt.asUintN(64, value) === value, which V8 allocates for.
  // Nor <= MAX_U64: 2^64 has a digit more than what is less, so that V8 compares no digits.
  if (typeof value === "bigint") return value >= 0n && value < TWO_TO_64;
  return Number.isSafeInteger(value) && value as number >= 0;
}

/** A hint for a caller who mixes the two forms. */
export const BOTH_HINT = "; give key and value both in halves of 64 bits, or both in bytes";

/** A hint for a caller who may have given a key or a value in one piece; empty for others. */
export function halvesHint(given: unknown, name: string): string {
  const what = /^(key|value)(High|Low)$/.exec(name)?.[1];
  if (what === undefined || (typeof given === "bigint" && given <= MAX_U64)) return "";
  const hint = `; give a ${what} as two halves of 64 bits`;
  if (typeof given === "bigint") return `${hint}, ${what} >> 64n and BigInt.asUintN(64, ${what})`;
  if (ArrayBuffer.isView(given)) return `${hint}, as bytesToHalves() of @cidstore/wal/keys gives them`;
  return typeof given === "string" ? `${hint}, such as those of a hash of the text` : hint;
}

/** As `halvesHint()`, for a caller who may give bytes too. */
function formsHint(given: unknown, name: string): string {
  const hint = halvesHint(given, name);
  return hint === "" ? "" : `${hint}, or as 16 bytes (see @cidstore/wal/keys)`;
}

/** The item of a batch that a message speaks of, after the name of its part; empty without one. */
export function ofItem(index?: number): string {
  return index === undefined ? "" : ` of item ${index}`;
}

/**
 * @param item index of the batch's item that has the value.
 * @throws {TypeError} if it is neither a bigint nor a number.
 * @throws {RangeError} if it is not from 0 to 2^64 − 1, or a number that is not a safe integer.
 */
export function checkU64(value: U64, name: string, item?: number): void {
  if (isU64(value)) return;
  const use = `Cannot use ${show(value)} as ${name}${ofItem(item)}`;
  if (typeof value === "bigint") {
    throw new RangeError(`${use}: it must be from 0 to 2^64 - 1${formsHint(value, name)}`);
  }
  if (typeof value !== "number") {
    const hint = ArrayBuffer.isView(value) ? BOTH_HINT : formsHint(value, name);
    throw new TypeError(`${use}: it must be a bigint or a number${hint}`);
  }
  throw new RangeError(`${use}: a number must be a safe integer of at least 0`);
}

/** A key for the log. @throws as `checkU64()`. */
export function checkKey(keyHigh: U64, keyLow: U64, item?: number): void {
  checkU64(keyHigh, "keyHigh", item);
  checkU64(keyLow, "keyLow", item);
}

/** A key and a value for the log. @throws as `checkU64()`. */
export function checkPair(keyHigh: U64, keyLow: U64, valueHigh: U64, valueLow: U64, item?: number): void {
  checkKey(keyHigh, keyLow, item);
  checkU64(valueHigh, "valueHigh", item);
  checkU64(valueLow, "valueLow", item);
}

/** As `checkU64()`, for a number with an upper bound. */
export function checkInteger(value: number, name: string, least: number, most: number): void {
  if (typeof value !== "number") throw new TypeError(`Cannot use ${show(value)} as ${name}: it must be a number`);
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw new RangeError(`Cannot use ${value} as ${name}: it must be an integer from ${least} to ${most}`);
}

/** As `checkInteger()`, for an opcode of the application. */
export function checkCode(code: ApplicationOpType, item?: number): void {
  checkInteger(code, `code${ofItem(item)}`, FIRST_APPLICATION_OPCODE, LAST_APPLICATION_OPCODE);
}

/** As `checkInteger()`, for an LSN; 0 stands for "none". */
export function checkLsn(value: LSN, name: string): void {
  checkInteger(value, name, 0, Number.MAX_SAFE_INTEGER);
}

/**
 * The longest delay of a timer, 24 days. A timer with a longer delay would end at once, so longer
 * delays count as `Infinity`.
 */
export const LONGEST_TIMER_MS: number = 2 ** 31 - 1;

/** A time limit or delay: 0 or more milliseconds, `Infinity` allowed. */
export function checkDelayMs(value: number, name: string): void {
  if (typeof value !== "number") throw new TypeError(`Cannot use ${show(value)} as ${name}: it must be a number`);
  if (!(value >= 0)) throw new RangeError(`Cannot use ${value} as ${name}: it must be 0 or more`);
}

/**
 * Reads a hybrid time, each part once. Its shape and ranges are checked, not its place among other
 * times.
 */
export function takeTime(time: HybridTimeInput): HybridTime {
  if (!Array.isArray(time) || time.length !== 3) {
    throw new TypeError(`Cannot use ${show(time)} as time: it must be [nanos, seq, shard]`);
  }
  const [given, seq, shard] = [time[0], time[1], time[2]];
  checkU64(given, "time[0] (nanos)");
  const nanos = BigInt(given);
  if (nanos > LAST_NANOS) {
    throw new RangeError(`Cannot use ${show(given)} as time[0] (nanos): no later time would be left`);
  }
  checkInteger(seq, "time[1] (seq)", 0, MAX_U32);
  checkInteger(shard, "time[2] (shard)", 0, MAX_U16);
  return [nanos, seq, shard];
}
