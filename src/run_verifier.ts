// Verifies records by the thousand: the same checks as `Slots.look()`, in WebAssembly, in less than half of the time.
//
// WebAssembly has 64-bit integers and no bounds checks, but cannot see the log's memory: a run of records is copied into its own first,
// which costs less than half of what is left. The module is assembled here, from the instructions of the WebAssembly Core
// Specification 1.0, and uses the method and the tables of `crc32c.ts`.

import { TABLE, TABLE_ROW } from "./crc32c.ts";
import {
  CRC_AT,
  FLAG_BATCH_GOES_ON,
  KEY_HIGH_AT,
  KEY_LOW_AT,
  LSN_AT,
  MAX_OPCODE,
  OPCODE_MASK,
  RECORD_BYTES,
  RECORD_VERSION,
  TIME_NANOS_AT,
  TIME_SEQ_AT,
  VALUE_HIGH_AT,
  VALUE_LOW_AT,
  VERSION_AND_UNKNOWN_FLAGS,
  VERSION_OP_AT,
  VERSION_SHIFT,
} from "./layout.ts";
import { OpType } from "./types.ts";

/** The most records of one call. */
export const RUN_RECORDS = 1024;

/** What the first records of a run are. */
export interface Run {
  /** How many, from the first on, are what they should be. */
  readonly good: number;
  /** How many of these there are up to the last that ends its batch. */
  readonly whole: number;
  /** True if there may be a checkpoint among them. */
  readonly hasCheckpoint: boolean;
}

/** Verifies records that lie one after another. */
export interface RunVerifier {
  /**
   * @param bytes of at most `RUN_RECORDS` records.
   * @param seed the state of a checksum after the log id.
   * @param lsn what the first record's LSN should be.
   */
  verify(bytes: Uint8Array, seed: number, lsn: number): Run;
}

/** Where the records are copied to; the tables come before. */
const RECORDS_AT = 32768;
/** Of 64 KiB each. */
const MEMORY_PAGES = 2;
const TWO_TO_32 = 0x1_0000_0000;

// Instructions.
const BLOCK = 0x02;
const LOOP = 0x03;
const IF = 0x04;
const END = 0x0b;
const BRANCH = 0x0c;
const BRANCH_IF = 0x0d;
const CALL = 0x10;
const SELECT = 0x1b;
const GET = 0x20;
const SET = 0x21;
const LOAD = 0x28;
const LOAD_64 = 0x29;
const CONST = 0x41;
const CONST_64 = 0x42;
const EQ = 0x46;
const NE = 0x47;
const GE_U = 0x4f;
const NE_64 = 0x52;
const ADD = 0x6a;
const SUB = 0x6b;
const AND = 0x71;
const OR = 0x72;
const XOR = 0x73;
const SHL = 0x74;
const SHR_U = 0x76;
const ADD_64 = 0x7c;
const AND_64 = 0x83;
const OR_64 = 0x84;
const XOR_64 = 0x85;
const SHL_64 = 0x86;
const SHR_U_64 = 0x88;
const WRAP = 0xa7;
const EXTEND = 0xad;
const NO_RESULT = 0x40;
const I32 = 0x7f;
const I64 = 0x7e;

/** Index of the second function. */
const CONTRIBUTION = 1;

/** Bytes, in pieces: to copy each piece into the next larger one would take longer than all the rest. */
type Code = readonly (number | Code)[];

/** The same as one piece. */
function flat(code: Code, into: number[] = []): number[] {
  for (const part of code) {
    if (typeof part === "number") into.push(part);
    else flat(part, into);
  }
  return into;
}

function unsigned(value: number): Code {
  const bytes = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

function signed(value: bigint): Code {
  const bytes = [];
  for (;; value >>= 7n) {
    const isLast = value >> 6n === 0n || value >> 6n === -1n;
    bytes.push(Number(value & 0x7fn) | (isLast ? 0 : 0x80));
    if (isLast) return bytes;
  }
}

/** Parameters, then variables: those of 32 bits and those of 64. `kept` is what the contribution in `rest` belongs to. */
const PARAMETERS = ["end", "lsnLow", "lsnHigh", "seed"] as const;
const WORDS = ["at", "whole", "seen", "head", "rest", "keptHead"] as const;
const LONGS = ["lsn", "nanos", "counts", "a", "b", "keptLsn", "keptNanos", "keptCounts"] as const;
const LOCALS = [...PARAMETERS, ...WORDS, ...LONGS];
type Local = (typeof LOCALS)[number];
/** A result holds three numbers: the end of the good records, of the whole ones, and all bits of the opcodes. */
const WHOLE_SHIFT = 12;
const SEEN_SHIFT = 24;
const COUNT_MASK = 0xfff;
const RECORD_SHIFT = 6;

const get = (name: Local): Code => [GET, LOCALS.indexOf(name)];
const set = (name: Local, value: Code): Code => [value, SET, LOCALS.indexOf(name)];
const constant = (value: number): Code => [CONST, signed(BigInt(value))];
const constant64 = (value: bigint): Code => [CONST_64, signed(BigInt.asIntN(64, value))];
/** Loads 32 or 64 bits of the record at `at`. */
const field = (offset: number): Code => [get("at"), LOAD, 2, unsigned(RECORDS_AT + offset)];
const field64 = (offset: number): Code => [get("at"), LOAD_64, 3, unsigned(RECORDS_AT + offset)];
const binary = (instruction: number, ...parts: readonly Code[]): Code =>
  parts.reduce((all, part) => [all, part, instruction]);

/** Looks up one byte of a 64-bit number, the lowest being 0, in a row of the tables. */
function lookUp(row: number, long: Local, byte: number): Code {
  const scaled: Code = byte === 0
    ? binary(SHL, [get(long), WRAP], constant(2))
    : [binary(SHR_U_64, get(long), constant64(BigInt(byte * 8 - 2))), WRAP];
  return [binary(AND, scaled, constant(0xff * 4)), LOAD, 2, unsigned(row * TABLE_ROW * 4)];
}

/** What 8 bytes contribute to the state when so many other bytes come after them. */
function contribution64(long: Local, bytesBehind: number): Code {
  return binary(XOR, ...[0, 1, 2, 3, 4, 5, 6, 7].map((byte) => lookUp(bytesBehind + 7 - byte, long, byte)));
}

/** What 4 bytes contribute, by the second function: where it is seldom wanted, the engine shall have less to compile. */
const contribution = (word: Code, bytesBehind: number): Code => [
  word,
  constant(bytesBehind * TABLE_ROW * 4),
  CALL,
  CONTRIBUTION,
];

/** The second function: of a word, and the offset of the row for its last byte. */
function contributionBody(): Code {
  const parts = [0, 1, 2, 3].map((byte): Code => {
    const scaled = byte === 0 ? binary(SHL, [GET, 0], constant(2)) : binary(SHR_U, [GET, 0], constant(byte * 8 - 2));
    const index = binary(AND, scaled, constant(0xff * 4));
    return [binary(ADD, index, [GET, 1]), LOAD, 2, unsigned((3 - byte) * TABLE_ROW * 4)];
  });
  return [binary(XOR, ...parts), END];
}

/** The state after 16 bytes, of which `a` has the state before them in it already. */
const SLICE = binary(XOR, contribution64("a", 8), contribution64("b", 0));

/** Leaves the loop, from inside so many blocks, if the record is not what it should be. */
const leaveIf = (condition: Code, depth: number): Code => [condition, BRANCH_IF, depth];

const low = (long: Local): Code => [get(long), WRAP];
const high = (long: Local): Code => [binary(SHR_U_64, get(long), constant64(32n)), WRAP];
const extended = (word: Code): Code => [word, EXTEND];
/** All but the low byte of an LSN; of sequence number and distance. */
const LSN_MASK = constant64(~0xffn);
const COUNTS_MASK = constant64(~0xff_0000_00ffn);

/** See `RecordChecksums` in `crc32c.ts` for what is kept from one record to the next. */
function body(): Code {
  const verify: Code[] = [
    leaveIf(binary(EQ, get("at"), get("end")), 1),
    leaveIf(binary(NE_64, field64(LSN_AT), get("lsn")), 1),
    set("head", field(VERSION_OP_AT)),
    set("nanos", field64(TIME_NANOS_AT)),
    set("counts", field64(TIME_SEQ_AT)),
    binary(
      OR_64,
      extended(binary(XOR, get("head"), get("keptHead"))),
      binary(XOR_64, get("nanos"), get("keptNanos")),
      binary(AND_64, binary(XOR_64, get("lsn"), get("keptLsn")), LSN_MASK),
      binary(AND_64, binary(XOR_64, get("counts"), get("keptCounts")), COUNTS_MASK),
    ),
    [constant64(0n), NE_64, IF, NO_RESULT],
    leaveIf(
      binary(
        NE,
        binary(AND, get("head"), constant(VERSION_AND_UNKNOWN_FLAGS)),
        constant(RECORD_VERSION << VERSION_SHIFT),
      ),
      2,
    ),
    leaveIf(
      binary(GE_U, binary(SUB, binary(AND, get("head"), constant(OPCODE_MASK)), constant(1)), constant(MAX_OPCODE)),
      2,
    ),
    set("keptHead", get("head")),
    set("keptNanos", get("nanos")),
    set("keptLsn", binary(AND_64, get("lsn"), LSN_MASK)),
    set("keptCounts", binary(AND_64, get("counts"), COUNTS_MASK)),
    set(
      "rest",
      binary(
        XOR,
        contribution(binary(XOR, get("seed"), get("head")), 24),
        contribution(low("keptLsn"), 20),
        contribution(high("keptLsn"), 16),
        contribution(low("keptNanos"), 12),
        contribution(high("keptNanos"), 8),
        contribution(low("keptCounts"), 4),
        contribution(high("keptCounts"), 0),
      ),
    ),
    [END],
    set(
      "a",
      binary(
        XOR_64,
        extended(binary(XOR, get("rest"), lookUp(23, "lsn", 0), lookUp(7, "counts", 0), lookUp(3, "counts", 4))),
        field64(KEY_HIGH_AT),
      ),
    ),
    set("b", field64(KEY_LOW_AT)),
    set("a", binary(XOR_64, extended(SLICE), field64(VALUE_HIGH_AT))),
    set("b", field64(VALUE_LOW_AT)),
    leaveIf(binary(NE, binary(XOR, SLICE, constant(-1)), field(CRC_AT)), 1),
    set("at", binary(ADD, get("at"), constant(RECORD_BYTES))),
    set("lsn", binary(ADD_64, get("lsn"), constant64(1n))),
    set("seen", binary(OR, get("seen"), get("head"))),
    set("whole", [
      get("whole"),
      get("at"),
      binary(AND, get("head"), constant(FLAG_BATCH_GOES_ON << 8)),
      SELECT,
    ]),
    [BRANCH, 0],
  ];
  const records = (name: Local): Code => binary(SHR_U, get(name), constant(RECORD_SHIFT));
  return [
    set("lsn", binary(OR_64, extended(get("lsnLow")), binary(SHL_64, extended(get("lsnHigh")), constant64(32n)))),
    set("keptLsn", constant64(-1n)), // of no record
    [BLOCK, NO_RESULT, LOOP, NO_RESULT, verify, END, END],
    binary(
      OR,
      records("at"),
      binary(SHL, records("whole"), constant(WHOLE_SHIFT)),
      binary(SHL, binary(AND, get("seen"), constant(OpType.Checkpoint)), constant(SEEN_SHIFT)),
    ),
    END,
  ];
}

const vector = (items: readonly Code[]): Code => [unsigned(items.length), items];
function sized(code: Code): Code {
  const bytes = flat(code);
  return [unsigned(bytes.length), bytes];
}
const section = (id: number, items: readonly Code[]): Code => [id, sized(vector(items))];
const text = (letters: string): Code => sized([...letters].map((letter) => letter.charCodeAt(0)));
const functionType = (parameters: number): Code => [
  0x60,
  vector(Array.from({ length: parameters }, () => [I32])),
  vector([[I32]]),
];

/** One memory `m`, one function `v` and its helper. */
function assemble(): Uint8Array<ArrayBuffer> {
  const variables = vector([[unsigned(WORDS.length), I32], [unsigned(LONGS.length), I64]]);
  return new Uint8Array(flat([
    [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    section(1, [PARAMETERS.length, 2].map(functionType)),
    section(3, [[0], [1]]),
    section(5, [[0x00, MEMORY_PAGES]]),
    section(7, [[text("m"), 2, 0], [text("v"), 0, 0]]),
    section(10, [sized([variables, body()]), sized([vector([]), contributionBody()])]),
  ]));
}

interface Exports {
  readonly m: { readonly buffer: ArrayBuffer };
  readonly v: (end: number, lsnLow: number, lsnHigh: number, seed: number) => number;
}

/** Makes a verifier; null where the runtime has no WebAssembly, or may not compile it. */
function makeVerifier(): RunVerifier | null {
  let exports: Exports;
  try {
    exports = new WebAssembly.Instance(new WebAssembly.Module(assemble())).exports as unknown as Exports;
  } catch {
    return null;
  }
  const { m, v } = exports;
  new Int32Array(m.buffer).set(TABLE);
  const memory = new Uint8Array(m.buffer, RECORDS_AT);
  return {
    verify(bytes, seed, lsn) {
      memory.set(bytes);
      const result = v(bytes.byteLength, lsn | 0, (lsn / TWO_TO_32) | 0, seed);
      return {
        good: result & COUNT_MASK,
        whole: (result >>> WHOLE_SHIFT) & COUNT_MASK,
        hasCheckpoint: result >>> SEEN_SHIFT !== 0,
      };
    },
  };
}

let verifier: RunVerifier | null | undefined;

/** The verifier of this thread, made at the first call; null where there can be none. */
export function runVerifier(): RunVerifier | null {
  if (verifier === undefined) verifier = makeVerifier();
  return verifier;
}
