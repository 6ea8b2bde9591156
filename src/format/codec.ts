// The codec of one log: `codec.wat` over the log's own memory.

import { assert } from "../assert.ts";
import { WALPlatformError } from "../errors.ts";
import { SCALAR_CODEC, SIMD_CODEC } from "./codec_module.ts";

/** The first bytes of each memory are the codec's. */
export const CODEC_BYTES = 65536;
/** The state before the first byte; `~state` is the checksum. */
export const INITIAL_STATE = -1;

/** Where `verify` leaves what it does not return: the table in `codec.wat` has the places. */
const RESULT_AT = 62080;
/** Where bytes are staged that lie in no log's memory. */
const STAGED_AT = 62464;
const STAGED_BYTES = 3072;

/** What the first records of a run are. */
export interface Run {
  /** How many, from the first on, are what they should be. */
  readonly good: number;
  /** How many of these there are up to the last that ends its batch. */
  readonly whole: number;
  /** True if there may be a checkpoint among them. */
  readonly hasCheckpoint: boolean;
}

/** What the module exports. Offsets are in bytes from the start of the memory. */
interface CodecExports {
  readonly begin: (seed: number) => void;
  readonly continue: (state: number, at: number, end: number) => number;
  readonly seal: (at: number, count: number) => void;
  readonly verify: (at: number, count: number, lsn: number) => number;
  readonly encode: (
    at: number,
    count: number,
    itemBytes: number,
    kind: number,
    lastKind: number,
    lsn: number,
    nanosLow: number,
    nanosHigh: number,
    seq: number,
    distance: number,
  ) => void;
}

/** A module of the codec, compiled. */
export function compileCodec(base64: string): WebAssembly.Module {
  return new WebAssembly.Module(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)));
}

let compiled: WebAssembly.Module | null = null;

/** The best module for this processor, compiled once a thread. */
function codecModule(): WebAssembly.Module {
  if (compiled !== null) return compiled;
  try {
    compiled = compileCodec(SIMD_CODEC);
  } catch {
    try {
      compiled = compileCodec(SCALAR_CODEC);
    } catch (cause) {
      throw new WALPlatformError("Cannot check records: the runtime compiles no WebAssembly", { cause });
    }
  }
  return compiled;
}

/** Seals, verifies and encodes the records in one memory. */
export class Codec {
  readonly #exports: CodecExports;
  readonly #results: Int32Array;

  /**
   * @param memory its first `CODEC_BYTES` are the codec's.
   * @param seed the state from which checksums of records start.
   * @param module which one, if not the best for this processor.
   * @throws {WALPlatformError} if the runtime has no WebAssembly.
   */
  constructor(memory: WebAssembly.Memory, seed: number, module: WebAssembly.Module = codecModule()) {
    this.#exports = new WebAssembly.Instance(module, { log: { memory } }).exports as unknown as CodecExports;
    this.#results = new Int32Array(memory.buffer, RESULT_AT, 2);
    this.#exports.begin(seed);
  }

  /** Writes the checksums of records whose fields are stored, one after another from `at` on. */
  seal(at: number, count: number): void {
    assert(at >= CODEC_BYTES, "records lie after the codec's tables");
    this.#exports.seal(at, count);
  }

  /**
   * Verifies records in place, up to the first that is not the expected one.
   *
   * @param lsn what the first record's LSN should be. Each next record has the next LSN.
   */
  verify(at: number, count: number, lsn: number): Run {
    const good = this.#exports.verify(at, count, lsn);
    return { good, whole: this.#results[0]!, hasCheckpoint: this.#results[1] !== 0 };
  }

  /**
   * Makes records of packed items, and seals them. LSN, distance and sequence number grow by one
   * with each.
   *
   * @param at where the records begin. The items end where the records will end.
   * @param itemBytes 32 bytes an insert, 16 a delete.
   * @param kind version, opcode, flags and shard of each record but the last, as the second word of
   * a record has them.
   * @param lastKind the same of the last one.
   * @param seq `seq + count` must not be more than 2^32.
   */
  encode(
    at: number,
    count: number,
    itemBytes: number,
    kind: number,
    lastKind: number,
    lsn: number,
    distance: number,
    nanosLow: number,
    nanosHigh: number,
    seq: number,
  ): void {
    assert(at >= CODEC_BYTES, "records lie after the codec's tables");
    this.#exports.encode(at, count, itemBytes, kind, lastKind, lsn, nanosLow, nanosHigh, seq, distance);
  }

  /**
   * Continues a CRC-32C over bytes of the memory.
   *
   * @returns the state after the bytes, as a signed 32-bit number.
   */
  continue(state: number, at: number, byteLength: number): number {
    return this.#exports.continue(state, at, at + byteLength);
  }
}

let outside: { readonly codec: Codec; readonly staged: Uint8Array } | null = null;

/** Continues a CRC-32C over bytes that lie in no log's memory: few bytes, not records. */
export function updateCrc32c(state: number, bytes: Uint8Array): number {
  if (outside === null) {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    outside = {
      codec: new Codec(memory, INITIAL_STATE),
      staged: new Uint8Array(memory.buffer, STAGED_AT, STAGED_BYTES),
    };
  }
  const { codec, staged } = outside;
  for (let from = 0; from < bytes.length; from += STAGED_BYTES) {
    const part = bytes.subarray(from, from + STAGED_BYTES);
    staged.set(part);
    state = codec.continue(state, STAGED_AT, part.length);
  }
  return state;
}

/** The CRC-32C of bytes that lie in no log's memory, 0 to 2^32 − 1. */
export function crc32c(bytes: Uint8Array): number {
  return ~updateCrc32c(INITIAL_STATE, bytes) >>> 0;
}
