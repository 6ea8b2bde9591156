// The C library by Bun's FFI.

import process from "node:process";
import { isMainThread } from "node:worker_threads";
import { firstLibrary, type Libc, plainCalls } from "./libc.ts";
import { type CSignature, type CType, type Platform, STATX_SIGNATURE } from "./platform.ts";

// As much of Bun's types as is used here. `Bun.FFI` is `bun:ffi` without an import, which Deno
// could not resolve.
type Definition = { args: readonly string[]; returns: string };
type Call = (...values: number[]) => number;
/** Each of these may return its error instead of throwing it. */
export interface BunFFI {
  dlopen(name: string, symbols: Record<string, Definition>): { symbols: Record<string, Call>; close(): void } | Error;
  ptr(view: ArrayBuffer): number | Error;
  toArrayBuffer(address: number, offset: number, lengthBytes: number): ArrayBuffer | Error;
}

/**
 * The longest ArrayBuffer of JavaScriptCore (measured: 4 GiB works, one page more is "Out of
 * memory").
 */
const MAX_VIEW_BYTES = 2 ** 32;

/** A `_fast` result is a number if it fits, and a bigint otherwise. */
const TYPES: Readonly<Record<CType, string>> = { int: "i32", uint: "u32", size: "u64_fast", long: "i64_fast" };

function definition([parameters, result]: CSignature): Definition {
  return { args: parameters.map((type) => TYPES[type]), returns: TYPES[result] };
}

/** Makes a callback that is never closed. */
function keep(object: object): void {
  const { JSCallback } = process.getBuiltinModule("bun:ffi") as unknown as {
    JSCallback: new (callback: () => unknown, definition: object) => unknown;
  };
  new JSCallback(() => object, {});
}

function bunFFI(): BunFFI {
  return (globalThis as unknown as { Bun: { FFI: BunFFI } }).Bun.FFI;
}

/** What a call of Bun's FFI returned; throws if that is an error. */
function checked<T>(answer: T | Error): T {
  if (answer instanceof Error) throw answer;
  return answer;
}

/**
 * Binds functions of a library, which stays open for the life of the process, as libc does anyway.
 */
function open(ffi: BunFFI, library: string, wanted: Record<string, Definition>): Record<string, Call> {
  const { symbols } = checked(ffi.dlopen(library, wanted));
  for (const name of Object.keys(wanted)) {
    if (typeof symbols[name] !== "function") throw new TypeError(`Bun does not bind ${name} of ${library}`);
  }
  return symbols;
}

/** Opens libc by one of its names. */
function bind(ffi: BunFFI, on: Platform): { calls: Record<string, Call>; library: string } {
  const wanted: Record<string, Definition> = { [on.errnoLocation]: { args: [], returns: "u64_fast" } };
  for (const [name, signature] of Object.entries(on.signatures)) {
    wanted[on.symbols[name] ?? name] = definition(signature);
  }
  return firstLibrary(on, (library) => ({ calls: open(ffi, library, wanted), library }));
}

/**
 * Opens the C library for the calling thread.
 *
 * @param ffi another FFI, for tests.
 * @throws {RegionError} `PLATFORM` if there is no libc that we know.
 */
export function openLibc(on: Platform, ffi: BunFFI = bunFFI()): Libc {
  const { calls, library } = bind(ffi, on);
  const find = (name: string): Call | undefined => {
    const call = calls[on.symbols[name] ?? name];
    if (call === undefined || on.signatures[name]?.[1] !== "long") return call;
    return (...values) => Number(call(...values)); // a 64-bit result may be a bigint
  };
  const view = (address: number, lengthBytes: number): ArrayBuffer => {
    const buffer = checked(ffi.toArrayBuffer(address, 0, lengthBytes));
    if (buffer.byteLength !== lengthBytes) {
      throw new RangeError(`Bun shows ${buffer.byteLength} bytes of ${lengthBytes} at an address`);
    }
    return buffer;
  };
  // The address belongs to this thread, and is valid as long as the thread lives.
  const errno = new Int32Array(view(Number(calls[on.errnoLocation]!()), 4));
  let statx: Libc["statx"] = null;
  if (on.os === "linux") {
    try {
      statx = open(ffi, library, { statx: definition(STATX_SIGNATURE) })["statx"] as Libc["statx"];
    } catch { /* an older library has no statx: stat of node:fs serves */ }
  }
  return {
    errno: () => errno[0]!,
    ...plainCalls(on, find),
    msyncAsync: null,
    statx,
    fcntlAsync: null,
    addressOf: (buffer) => checked(ffi.ptr(buffer)),
    view,
    maxViewBytes: MAX_VIEW_BYTES,
    canMapIntoMemories: isMainThread,
    keep,
  };
}
