// Bun's half of the FFI: open libc, call it, turn a pointer into an ArrayBuffer.

import { type CSignature, type CType, type Libc, type Platform, STATX_SIGNATURE, unsupported } from "./libc.ts";

// Just as much of Bun's types as is used. `Bun.FFI` is `bun:ffi` without an import, which Deno could not resolve.
type Definition = { args: readonly string[]; returns: string };
type Call = (...values: number[]) => number;
interface BunFFI {
  dlopen(name: string, symbols: Record<string, Definition>): { symbols: Record<string, Call>; close(): void };
  ptr(view: ArrayBuffer): number;
  toArrayBuffer(address: number, offset: number, lengthBytes: number): ArrayBuffer;
}

/** JavaScriptCore refuses a longer ArrayBuffer (measured: 4 GiB works, one page more is "Out of memory"). */
const MAX_VIEW_BYTES = 2 ** 32;

/** A `_fast` result is a number as long as it fits one, and a bigint only beyond. */
const TYPES: Readonly<Record<CType, string>> = { int: "i32", uint: "u32", size: "u64_fast", long: "i64_fast" };

function definition([parameters, result]: CSignature): Definition {
  return { args: parameters.map((type) => TYPES[type]), returns: TYPES[result] };
}

/** Finds libc under one of its names. The library stays open for the life of the process, as it is anyway. */
function bind(ffi: BunFFI, on: Platform): { calls: Record<string, Call>; library: string } {
  const wanted: Record<string, Definition> = { [on.errnoLocation]: { args: [], returns: "u64_fast" } };
  for (const [name, signature] of Object.entries(on.signatures)) {
    wanted[on.symbols[name] ?? name] = definition(signature);
  }
  let cause: unknown;
  for (const library of on.libraries) {
    try {
      return { calls: ffi.dlopen(library, wanted).symbols, library };
    } catch (error) {
      cause = error;
    }
  }
  throw unsupported("with this C library", cause);
}

/**
 * Opens the C library for the calling thread.
 *
 * @throws {RegionError} `PLATFORM` where there is no libc that we know.
 */
export function openLibc(on: Platform): Libc {
  const ffi = (globalThis as unknown as { Bun: { FFI: BunFFI } }).Bun.FFI;
  const { calls, library } = bind(ffi, on);
  const blocking = (name: string): Call =>
    calls[on.symbols[name] ?? name] ?? (() => {
      throw new Error(`${name} is not a call of ${on.os}`);
    });
  const fcntl = blocking("fcntl");
  // The address belongs to this thread and holds as long as the thread lives.
  const errno = new Int32Array(ffi.toArrayBuffer(Number(calls[on.errnoLocation]!()), 0, 4));
  let statx: Libc["statx"] = null;
  if (on.os === "linux") {
    try {
      statx = ffi.dlopen(library, { statx: definition(STATX_SIGNATURE) })
        .symbols["statx"] as Libc["statx"];
    } catch { /* an older library: stat through node:fs */ }
  }
  const mmap = blocking("mmap");
  const sysconf = blocking("sysconf");
  return {
    errno: () => errno[0]!,
    sysconf: (name) => Number(sysconf(name)),
    mmap: (...values) => Number(mmap(...values)),
    munmap: blocking("munmap"),
    msync: blocking("msync"),
    msyncAsync: null,
    madvise: blocking("madvise"),
    flock: blocking("flock"),
    fsync: blocking("fsync"),
    fdatasync: blocking("fdatasync"),
    fstatfs: blocking("fstatfs"),
    ioctl: blocking("ioctl"),
    posix_fallocate: blocking("posix_fallocate"),
    posix_fadvise: blocking("posix_fadvise"),
    statx,
    fcntl: (fd, command, argument) =>
      on.padsVariadic ? fcntl(fd, command, 0, 0, 0, 0, 0, 0, argument) : fcntl(fd, command, argument),
    fcntlAsync: null,
    addressOf: (buffer) => ffi.ptr(buffer),
    view: (address, lengthBytes) => ffi.toArrayBuffer(address, 0, lengthBytes),
    maxViewBytes: MAX_VIEW_BYTES,
  };
}
