// The C library by Deno's FFI.

import { firstLibrary, type Libc } from "./libc.ts";
import { type CSignature, type CType, type Platform, STATX_SIGNATURE } from "./platform.ts";
import { RegionError } from "../region.ts";

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
    const message = "Cannot call the C library: run again with --allow-ffi";
    throw new RegionError("PERMISSION", message, { flags: ["--allow-ffi"], call: "dlopen", cause });
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
  const blocking = (name: string): (...values: number[]) => number => {
    const call = calls[name];
    if (call === undefined) {
      return () => {
        throw new Error(`${name} is not a call of ${on.os}`);
      };
    }
    // A 64-bit result is a bigint.
    return on.signatures[name]![1] === "long"
      ? (...values) => Number(call(...values))
      : call as (...values: number[]) => number;
  };
  const view = (address: number, lengthBytes: number): ArrayBuffer =>
    deno.UnsafePointerView.getArrayBuffer(deno.UnsafePointer.create(BigInt(address)), lengthBytes);
  const fcntl = blocking("fcntl");
  const padded = (fd: number, command: number, argument: number): number[] =>
    on.padsVariadic ? [fd, command, 0, 0, 0, 0, 0, 0, argument] : [fd, command, argument];
  // The address belongs to this thread, and is valid as long as the thread lives.
  const errno = new Int32Array(view(Number(calls["errnoLocation"]!()), 4));
  return {
    errno: () => errno[0]!,
    sysconf: blocking("sysconf"),
    mmap: blocking("mmap"),
    munmap: blocking("munmap"),
    msync: blocking("msync"),
    msyncAsync: calls["msyncAsync"] as Libc["msyncAsync"],
    madvise: blocking("madvise"),
    mincore: blocking("mincore"),
    flock: blocking("flock"),
    fsync: blocking("fsync"),
    fdatasync: blocking("fdatasync"),
    fstatfs: blocking("fstatfs"),
    getrlimit: blocking("getrlimit"),
    ioctl: blocking("ioctl"),
    posix_fallocate: blocking("posix_fallocate"),
    posix_fadvise: blocking("posix_fadvise"),
    statx: (calls["statx"] ?? null) as Libc["statx"],
    fcntl: (fd, command, argument) => fcntl(...padded(fd, command, argument)),
    fcntlAsync: calls["fcntlAsync"] === undefined
      ? null
      : (fd, command, argument) => calls["fcntlAsync"]!(...padded(fd, command, argument)) as Promise<number>,
    addressOf: (buffer) => Number(deno.UnsafePointer.value(deno.UnsafePointer.of(buffer))),
    view,
    maxViewBytes: MAX_VIEW_BYTES,
    canMapIntoMemories: true,
    // A callback that is never closed.
    keep: (object) => void new deno.UnsafeCallback({ parameters: [], result: "void" }, () => object),
  };
}
