// The C library by Node's FFI.

import process from "node:process";
import { firstLibrary, type Libc, libcDenied, type NumberCall, plainCalls } from "./libc.ts";
import { type CSignature, type CType, type Platform, STATX_SIGNATURE, unsupported } from "./platform.ts";

// As much of Node's types as is used here. Deno and Bun have no `node:ffi`, so it is not imported.
type Definition = { arguments: readonly string[]; return: string };
/** A 64-bit integer is a bigint, as an argument and as a result. */
type Call = (...values: (number | bigint)[]) => number | bigint;
interface NodeFFI {
  dlopen(
    path: string,
    definitions: Record<string, Definition>,
  ): { lib: { registerCallback(callback: () => unknown): bigint }; functions: Record<string, Call> };
  getRawPointer(buffer: ArrayBuffer): bigint;
  toArrayBuffer(address: bigint, lengthBytes: number, copy: boolean): ArrayBuffer;
}

/** The longest view that was tried; V8 documents no limit for foreign memory. */
const MAX_VIEW_BYTES = 64 * 2 ** 30;

const TYPES: Readonly<Record<CType, string>> = { int: "int32", uint: "uint32", size: "uint64", long: "int64" };

function definition([parameters, result]: CSignature): Definition {
  return { arguments: parameters.map((type) => TYPES[type]), return: TYPES[result] };
}

/** @throws {RegionError} `PLATFORM` if this Node has no FFI. */
function nodeFFI(): NodeFFI {
  // Node before 20.16 has no getBuiltinModule.
  const ffi = process.getBuiltinModule?.("node:ffi") as unknown as NodeFFI | undefined;
  if (ffi !== undefined) return ffi;
  throw unsupported(
    `with Node ${process.versions.node}, which has no node:ffi (it is too old, or runs with --no-experimental-ffi)`,
  );
}

function open(ffi: NodeFFI, library: string, wanted: Record<string, Definition>) {
  try {
    return ffi.dlopen(library, wanted);
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== "ERR_ACCESS_DENIED") throw cause;
    throw libcDenied(cause);
  }
}

/** A function that takes and returns numbers. */
function withNumbers(call: Call, [parameters]: CSignature): NumberCall {
  const isWide = parameters.map((type) => type === "size" || type === "long");
  return (...values) => Number(call(...values.map((value, index) => isWide[index] ? BigInt(value) : value)));
}

/**
 * Opens the C library for the calling thread. It stays open for the life of the process, as libc
 * does anyway.
 *
 * @throws {RegionError} `PERMISSION` without `--allow-ffi`; `PLATFORM` if this Node has no FFI, or
 * if there is no libc that we know.
 */
export function openLibc(on: Platform): Libc {
  const ffi = nodeFFI();
  const wanted: Record<string, Definition> = { [on.errnoLocation]: { arguments: [], return: "uint64" } };
  for (const [name, signature] of Object.entries(on.signatures)) {
    wanted[on.symbols[name] ?? name] = definition(signature);
  }
  const { lib, functions, library } = firstLibrary(on, (library) => ({ ...open(ffi, library, wanted), library }));
  const find = (name: string): NumberCall | undefined => {
    const signature = on.signatures[name];
    return signature && withNumbers(functions[on.symbols[name] ?? name]!, signature);
  };
  const view = (address: number, lengthBytes: number): ArrayBuffer =>
    ffi.toArrayBuffer(BigInt(address), lengthBytes, false);
  // The address belongs to this thread, and is valid as long as the thread lives.
  const errno = new Int32Array(view(Number(functions[on.errnoLocation]!()), 4));
  let statx: Libc["statx"] = null;
  if (on.os === "linux") {
    try {
      const found = open(ffi, library, { statx: definition(STATX_SIGNATURE) }).functions["statx"]!;
      statx = withNumbers(found, STATX_SIGNATURE);
    } catch { /* an older library has no statx: stat of node:fs serves */ }
  }
  return {
    errno: () => errno[0]!,
    ...plainCalls(on, find),
    msyncAsync: null,
    statx,
    fcntlAsync: null,
    addressOf: (buffer) => Number(ffi.getRawPointer(buffer)),
    view,
    maxViewBytes: MAX_VIEW_BYTES,
    canMapIntoMemories: true,
    // V8 unmaps a memory when it frees it, whatever is mapped there. So a callback is enough that
    // lives as long as its library.
    keep: (object) => void lib.registerCallback(() => object),
  };
}
