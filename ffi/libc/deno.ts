// The C library by Deno's FFI.

import { fcntlArguments, firstLibrary, type Libc, libcDenied, type NumberCall, plainCalls } from "./libc.ts";
import { type CSignature, type CType, type Platform, STATX_SIGNATURE } from "./platform.ts";

// As much of Deno's types as is used here, so that this file type-checks without Deno's own types.
declare const pointerBrand: unique symbol;
type Pointer = { [pointerBrand]: unknown };
type Definition = {
  name: string;
  parameters: readonly string[];
  result: string;
  nonblocking?: boolean | undefined;
  /** Null instead of an error if the library lacks it. */
  optional?: boolean | undefined;
};
type Call = (...values: number[]) => number | bigint | Promise<number>;
interface DenoFFI {
  dlopen(name: string, symbols: Record<string, Definition>): { symbols: Record<string, Call>; close(): void };
  UnsafePointer: {
    create(address: bigint): Pointer;
    of(view: ArrayBuffer): Pointer;
    value(pointer: Pointer): number | bigint;
  };
  UnsafeCallback: new (definition: { parameters: []; result: "void" }, callback: () => unknown) => unknown;
  UnsafePointerView: { getArrayBuffer(pointer: Pointer, lengthBytes: number): ArrayBuffer };
}

/** The longest view that was tried; V8 documents no limit for foreign memory. */
const MAX_VIEW_BYTES = 64 * 2 ** 30;

const TYPES: Readonly<Record<CType, string>> = { int: "i32", uint: "u32", size: "usize", long: "isize" };

function definition(name: string, [parameters, result]: CSignature, nonblocking = false): Definition {
  return { name, parameters: parameters.map((type) => TYPES[type]), result: TYPES[result], nonblocking };
}

function open(deno: DenoFFI, library: string, symbols: Record<string, Definition>): Record<string, Call> {
  try {
    return deno.dlopen(library, symbols).symbols;
  } catch (cause) {
    if (!(cause instanceof Error) || (cause.name !== "NotCapable" && cause.name !== "PermissionDenied")) throw cause;
    throw libcDenied(cause);
  }
}

/**
 * Opens libc by one of its names. It stays open for the life of the process, as libc does anyway.
 */
function bind(deno: DenoFFI, on: Platform): Record<string, Call> {
  const wanted: Record<string, Definition> = {
    errnoLocation: { name: on.errnoLocation, parameters: [], result: "usize" },
  };
  for (const [name, signature] of Object.entries(on.signatures)) {
    wanted[name] = definition(on.symbols[name] ?? name, signature);
  }
  wanted["msyncAsync"] = definition("msync", on.signatures["msync"]!, true);
  if (on.signatures["fcntl"] !== undefined) {
    wanted["fcntlAsync"] = definition("fcntl", on.signatures["fcntl"], true);
  }
  // An older library has no statx. Then stat of node:fs is used.
  if (on.os === "linux") wanted["statx"] = { ...definition("statx", STATX_SIGNATURE), optional: true };
  return firstLibrary(on, (library) => open(deno, library, wanted));
}

/**
 * Opens the C library for the calling thread.
 *
 * @throws {RegionError} `PERMISSION` without `--allow-ffi`; `PLATFORM` if there is no libc that we
 * know.
 */
export function openLibc(on: Platform): Libc {
  const deno = (globalThis as unknown as { Deno: DenoFFI }).Deno;
  const calls = bind(deno, on);
  const find = (name: string): NumberCall | undefined => {
    const call = calls[name];
    if (call === undefined || on.signatures[name]?.[1] !== "long") return call as NumberCall | undefined;
    return (...values) => Number(call(...values)); // a 64-bit result is a bigint
  };
  const view = (address: number, lengthBytes: number): ArrayBuffer =>
    deno.UnsafePointerView.getArrayBuffer(deno.UnsafePointer.create(BigInt(address)), lengthBytes);
  // The address belongs to this thread, and is valid as long as the thread lives.
  const errno = new Int32Array(view(Number(calls["errnoLocation"]!()), 4));
  return {
    errno: () => errno[0]!,
    ...plainCalls(on, find),
    msyncAsync: calls["msyncAsync"] as Libc["msyncAsync"],
    statx: (calls["statx"] ?? null) as Libc["statx"],
    fcntlAsync: calls["fcntlAsync"] === undefined
      ? null
      : (fd, command, argument) =>
        calls["fcntlAsync"]!(...fcntlArguments(on, fd, command, argument)) as Promise<number>,
    addressOf: (buffer) => Number(deno.UnsafePointer.value(deno.UnsafePointer.of(buffer))),
    view,
    maxViewBytes: MAX_VIEW_BYTES,
    canMapIntoMemories: true,
    // A callback that is never closed.
    keep: (object) => void new deno.UnsafeCallback({ parameters: [], result: "void" }, () => object),
  };
}
