// The codec of one file's records: `codec.wat` over the file's own memory.

import { CODEC_BYTES, type FileMemory } from "../../ffi/file_memory.ts";
import { assert } from "../assert.ts";
import { WALPlatformError } from "../errors.ts";
import type { LSN } from "../types.ts";
import { SCALAR_CODEC, SIMD_CODEC } from "./codec_module.ts";
import { RECORD_BYTES } from "./layout.ts";

/** The state before the first byte; `~state` is the checksum. */
export const INITIAL_STATE = -1;

/** The tables come first in the memory. */
const TABLES_BYTES = 61952;
/** Where `verify` leaves what it does not return: the table in `codec.wat` has the places. */
const RESULT_AT = 62592;
/** Where bytes are staged that are no file's records. */
const STAGED_AT = 62720;
const STAGED_BYTES = 2816;

/** What the first records of a run are. */
export interface Run {
  /** How many, from the first on, are what they should be. */
  readonly good: number;
  /** How many of these there are up to the last that ends its batch. */
  readonly whole: number;
  /** True if there may be a checkpoint among them. */
  readonly hasCheckpoint: boolean;
}

/** The fields of the records of a batch. LSN, distance and `seq` grow by one with each record. */
export interface RunFields {
  /** Version, opcode, flags and shard of each record but the last, as a record's second word. */
  readonly kind: number;
  /** The same of the last record. */
  readonly lastKind: number;
  readonly lsn: LSN;
  readonly distance: number;
  readonly nanosLow: number;
  readonly nanosHigh: number;
  /** `seq` plus the number of records is at most 2^32. */
  readonly seq: number;
}

/** Seals, verifies and encodes records that lie one after another, from an offset in their file. */
export interface Codec {
  /** Writes the checksums of records whose fields are stored. */
  seal(offset: number, count: number): void;
  /**
   * Verifies records up to the first that is not the expected one.
   *
   * @param lsn what the first record's LSN should be. Each next record has the next LSN.
   */
  verify(offset: number, count: number, lsn: LSN): Run;
  /** Makes records of packed items, and seals them. An item's own opcode is added to its kind. */
  encode(offset: number, items: Uint8Array, count: number, fields: RunFields): void;
  /** The checksum that a record should have, whatever its bytes mean, as a signed number. */
  checksum(offset: number): number;
}

/** What the module exports. Offsets are from the start of the memory. */
interface CodecExports {
  readonly begin: (seed: number) => void;
  readonly continue: (state: number, at: number, end: number) => number;
  readonly checksum: (at: number) => number;
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

/** The module in one memory. */
interface Instance {
  readonly module: WebAssembly.Module;
  readonly exports: CodecExports;
  /** The seed that it has, and the view of the codec that has set it: empty once detached. */
  seed: number;
  bytes: Uint8Array;
}

/**
 * The first instance in each memory. The next log in the memory takes it over, because V8 takes 50
 * µs for the first instance in a memory, and 250 µs for another one.
 */
const instances = new WeakMap<WebAssembly.Memory, Instance>();

/**
 * The tables that the first instance of this thread has made, for the others. An instance that
 * finds tables makes none, which takes 10 µs instead of 55.
 */
let tables: Uint8Array | null = null;

/** An instance with a seed, which no other codec changes while `bytes` is not detached. */
function instantiate(
  memory: WebAssembly.Memory,
  bytes: Uint8Array,
  seed: number,
  module: WebAssembly.Module,
): CodecExports {
  const found = instances.get(memory);
  if (found?.module === module) {
    if (found.bytes.length === 0) {
      found.seed = seed;
      found.bytes = bytes;
      found.exports.begin(seed);
    }
    if (found.seed === seed) return found.exports;
  }
  if (tables !== null) bytes.set(tables);
  const exports = new WebAssembly.Instance(module, { log: { memory } }).exports as unknown as CodecExports;
  tables ??= bytes.slice(0, TABLES_BYTES);
  exports.begin(seed);
  if (found === undefined) instances.set(memory, { module, exports, seed, bytes });
  return exports;
}

/** The codec in a memory that WebAssembly sees. */
export class MemoryCodec implements Codec {
  readonly #exports: CodecExports;
  /** Offset of the file's first byte. */
  readonly #at: number;
  readonly #bytes: Uint8Array;
  readonly #results: Int32Array;
  #seed: number;

  /**
   * @param memory its first `CODEC_BYTES` are the codec's.
   * @param at offset of the file's first byte.
   * @param seed the state from which checksums of records start.
   * @param module which one, if not the best for this processor.
   * @throws {WALPlatformError} if the runtime has no WebAssembly.
   */
  constructor(memory: WebAssembly.Memory, at: number, seed: number, module: WebAssembly.Module = codecModule()) {
    assert(at >= CODEC_BYTES, "a file lies after the codec's tables");
    this.#at = at;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#exports = instantiate(memory, this.#bytes, seed, module);
    this.#results = new Int32Array(memory.buffer, RESULT_AT, 2);
    this.#seed = seed;
  }

  /** Goes on with another seed. */
  begin(seed: number): void {
    if (seed === this.#seed) return;
    this.#seed = seed;
    this.#exports.begin(seed);
  }

  /** Where an offset of the file is in the memory. */
  #place(offset: number): number {
    assert(this.#bytes.length > 0, "the memory of a closed log is left alone, because it may be another log's");
    return this.#at + offset;
  }

  seal(offset: number, count: number): void {
    this.#exports.seal(this.#place(offset), count);
  }

  verify(offset: number, count: number, lsn: LSN): Run {
    const good = this.#exports.verify(this.#place(offset), count, lsn);
    return { good, whole: this.#results[0]!, hasCheckpoint: this.#results[1] !== 0 };
  }

  encode(offset: number, items: Uint8Array, count: number, fields: RunFields): void {
    const { kind, lastKind, lsn, distance, nanosLow, nanosHigh, seq } = fields;
    const at = this.#place(offset);
    const itemBytes = items.length / count;
    // The records grow over the items from the first on.
    this.#bytes.set(items, at + count * RECORD_BYTES - items.length);
    this.#exports.encode(at, count, itemBytes, kind, lastKind, lsn, nanosLow, nanosHigh, seq, distance);
  }

  checksum(offset: number): number {
    return this.#exports.checksum(this.#place(offset));
  }

  /**
   * Continues a CRC-32C over bytes that are no file's records.
   *
   * @returns the state after the bytes, as a signed 32-bit number.
   */
  continue(state: number, bytes: Uint8Array): number {
    for (let from = 0; from < bytes.length; from += STAGED_BYTES) {
      const part = bytes.subarray(from, from + STAGED_BYTES);
      this.#bytes.set(part, STAGED_AT);
      state = this.#exports.continue(state, STAGED_AT, STAGED_AT + part.length);
    }
    return state;
  }
}

/** A memory for bytes that WebAssembly does not see where they are. */
interface Scratch {
  readonly codec: MemoryCodec;
  readonly bytes: Uint8Array;
}

/** How many records fit into it. */
const SCRATCH_RECORDS = 1024;

let scratch: Scratch | null = null;

/** The scratch memory of this thread. */
function theScratch(): Scratch {
  if (scratch === null) {
    const pages = (CODEC_BYTES + SCRATCH_RECORDS * RECORD_BYTES) / CODEC_BYTES;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    scratch = {
      codec: new MemoryCodec(memory, CODEC_BYTES, INITIAL_STATE),
      bytes: new Uint8Array(memory.buffer, CODEC_BYTES),
    };
  }
  return scratch;
}

/** The codec of a file that WebAssembly does not see: it works on copies. */
class CopyingCodec implements Codec {
  readonly #memory: FileMemory;
  readonly #seed: number;

  constructor(memory: FileMemory, seed: number) {
    this.#memory = memory;
    this.#seed = seed;
  }

  seal(offset: number, count: number): void {
    this.#forEachPart(offset, count, ({ codec, bytes }, part, length) => {
      codec.seal(0, length);
      part.set(bytes.subarray(0, part.length));
    });
  }

  verify(offset: number, count: number, lsn: LSN): Run {
    let [good, whole, hasCheckpoint] = [0, 0, false];
    this.#forEachPart(offset, count, ({ codec }, _, length, done) => {
      if (good < done) return;
      const run = codec.verify(0, length, lsn + done);
      if (run.whole > 0) whole = done + run.whole;
      good += run.good;
      hasCheckpoint ||= run.hasCheckpoint;
    });
    return { good, whole, hasCheckpoint };
  }

  encode(offset: number, items: Uint8Array, count: number, fields: RunFields): void {
    assert(count <= SCRATCH_RECORDS, "a run of records fits into the scratch memory");
    this.#forEachPart(offset, count, ({ codec, bytes }, part) => {
      codec.encode(0, items, count, fields);
      part.set(bytes.subarray(0, part.length));
    });
  }

  checksum(offset: number): number {
    let sum = 0;
    this.#forEachPart(offset, 1, ({ codec }) => sum = codec.checksum(0));
    return sum;
  }

  /** Copies some records at a time into the scratch memory. */
  #forEachPart(
    offset: number,
    count: number,
    work: (scratch: Scratch, part: Uint8Array, length: number, done: number) => void,
  ): void {
    const scratch = theScratch();
    scratch.codec.begin(this.#seed);
    for (let done = 0; done < count; done += SCRATCH_RECORDS) {
      const length = Math.min(SCRATCH_RECORDS, count - done);
      const part = this.#memory.bytes(offset + done * RECORD_BYTES, length * RECORD_BYTES);
      scratch.bytes.set(part);
      work(scratch, part, length, done);
    }
  }
}

/**
 * The codec of the records in a file.
 *
 * @param seed the state from which their checksums start.
 * @throws {WALPlatformError} if the runtime has no WebAssembly.
 */
export function codecOf(file: FileMemory, seed: number): Codec {
  return file.memory === null ? new CopyingCodec(file, seed) : new MemoryCodec(file.memory, file.at, seed);
}

/** Continues a CRC-32C over bytes that are no records. */
export function updateCrc32c(state: number, bytes: Uint8Array): number {
  return theScratch().codec.continue(state, bytes);
}
