// Records by the thousand: verified with the checks of `Slots.verify()`, and encoded as by
// `Slots.write()`, in WebAssembly, in half of the time or less.
//
// WebAssembly has 64-bit integers, vectors and no bounds checks, but cannot see the log's memory: a
// run of records is copied from there into its own, or from its own to there, which costs a tenth
// of what is left. The module is assembled here.
//
// A CRC is linear: a record's is the exclusive or of what each of its bytes contributes, which
// depends on the byte and on how many come behind it. For the bytes of key and value this is looked
// up for sixteen records at once: a table of sixteen entries is a vector, and one instruction looks
// a nibble of sixteen bytes up in it (as in Plank, Greenan, Miller: "Screaming fast Galois field
// arithmetic using Intel SIMD instructions", FAST 2013). For the bytes before, little changes from
// one record to the next: see `RecordChecksums` in `crc32c.ts`.

import {
  ADD,
  ADD_64,
  AND,
  AND_64,
  assemble,
  binary,
  BRANCH_IF,
  CALL,
  type Code,
  constant,
  constant64,
  END,
  EQ,
  EXTEND,
  type FunctionCode,
  GE_U,
  GET,
  IF,
  leaveIf,
  LOAD,
  LOAD_64,
  locals,
  LOOP,
  NE,
  NE_64,
  NO_RESULT,
  OR,
  OR_64,
  RELAXED_SWIZZLE,
  repeatUntil,
  SELECT,
  SET,
  SHL,
  SHL_64,
  SHR_U,
  SHR_U_64,
  SHUFFLE,
  splat,
  STORE,
  STORE_64,
  SUB,
  SWIZZLE,
  unsigned,
  vector,
  VECTOR_AND,
  VECTOR_LOAD,
  VECTOR_SHR_U,
  VECTOR_STORE,
  VECTOR_XOR,
  WRAP,
  XOR,
  XOR_64,
} from "./assembler.ts";
import { makeTable, TABLE_ROW } from "./crc32c.ts";
import {
  CRC_AT,
  FLAG_BATCH_GOES_ON,
  KEY_HIGH_AT,
  LSN_AT,
  OPCODE_MASK,
  RECORD_BYTES,
  RECORD_VERSION,
  TIME_NANOS_AT,
  TIME_SEQ_AT,
  VERSION_AND_UNKNOWN_FLAGS,
  VERSION_OP_AT,
  VERSION_SHIFT,
} from "./layout.ts";
import { OpType } from "../types.ts";
import { MAX_OPCODE } from "./operations.ts";

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

/** Verifies and encodes records that lie one after another. */
export interface RunCodec {
  /**
   * @param bytes of at most `RUN_RECORDS` records.
   * @param seed the state of a checksum after the log id.
   * @param lsn what the first record's LSN should be.
   */
  verify(bytes: Uint8Array, seed: number, lsn: number): Run;
  /** The words of `RUN_RECORDS` records, of which `encode()` completes the first ones. */
  readonly staged: Int32Array;
  /**
   * Completes records of one batch, whose keys and values are in `staged`. LSN, distance and
   * sequence number grow by one with each.
   *
   * @param count how many records.
   * @param seed the state of a checksum after the log id.
   * @param kind version, opcode, flags and shard of each record but the last, as the second word of
   * a record has them.
   * @param lastKind the same of the last one.
   * @param seq `seq + count` must not be more than 2^32.
   * @returns the records, as words; good until the next call.
   */
  encode(
    count: number,
    seed: number,
    kind: number,
    lastKind: number,
    lsn: number,
    distance: number,
    nanosLow: number,
    nanosHigh: number,
    seq: number,
  ): Int32Array;
}

/** Bytes of a record before its key and value, without the checksum's own. */
const FRONT_BYTES = KEY_HIGH_AT - VERSION_OP_AT;
/** Bytes of key and value. */
const BACK_BYTES = RECORD_BYTES - KEY_HIGH_AT;
/** Records whose keys and values are looked up at once, and bytes of a vector. */
const LANES = 16;
const NIBBLES_AT = FRONT_BYTES * TABLE_ROW * 4;
/** Tables of a byte: for its low and its high nibble, for each of the checksum's four bytes. */
const NIBBLES_BYTES = 2 * 4 * LANES;
/** Where records that are verified are copied to; the tables come before. */
const VERIFIED_AT = NIBBLES_AT + BACK_BYTES * NIBBLES_BYTES;
/** Where records are staged. */
const STAGED_AT = VERIFIED_AT + RUN_RECORDS * RECORD_BYTES;
/** What keys and values contribute: four bytes a record. */
const BACKS_AT = STAGED_AT + RUN_RECORDS * RECORD_BYTES;
/** Sixteen bytes of sixteen records, byte by byte. */
const ROWS_AT = BACKS_AT + RUN_RECORDS * 4;
/** Of 64 KiB each. */
const MEMORY_PAGES = 3;
const TWO_TO_32 = 0x1_0000_0000;

/**
 * Parameters of both functions, then of `encode` alone, which are variables of `verify`: so each
 * has one index in both.
 */
const SHARED_PARAMETERS = ["at", "end", "seed", "lsnLow", "lsnHigh"] as const;
const ENCODE_PARAMETERS = ["kind", "lastKind", "nanosLow", "nanosHigh", "seq", "distance"] as const;
const WORDS = ["back", "first", "whole", "seen", "rest", "keptKind"] as const;
/** `kept` is what the contribution in `rest` belongs to. */
const LONGS = ["lsn", "nanos", "counts", "keptLsn", "keptNanos", "keptCounts"] as const;
const LOCALS = [...SHARED_PARAMETERS, ...ENCODE_PARAMETERS, ...WORDS, ...LONGS];
type Local = (typeof LOCALS)[number];
/** Indexes of the functions that both call. */
const CONTRIBUTION = 2;
const LOOK_UP_BACKS = 3;
/**
 * `verify` returns three numbers: the end of the good records, of the whole ones, and all bits of
 * the opcodes.
 */
const WHOLE_SHIFT = 12;
const SEEN_SHIFT = 24;
const COUNT_MASK = 0xfff;
const RECORD_SHIFT = 6;

const { get, set } = locals(LOCALS);
/** Loads 32 or 64 bits of the record at `at`. */
const field = (offset: number): Code => [get("at"), LOAD, 2, unsigned(offset)];
const field64 = (offset: number): Code => [get("at"), LOAD_64, 3, unsigned(offset)];
/** Stores them. */
const setField = (offset: number, value: Code): Code => [get("at"), value, STORE, 2, unsigned(offset)];
const setField64 = (offset: number, value: Code): Code => [get("at"), value, STORE_64, 3, unsigned(offset)];
const low = (long: Local): Code => [get(long), WRAP];
const high = (long: Local): Code => [binary(SHR_U_64, get(long), constant64(32n)), WRAP];
const extended = (word: Code): Code => [word, EXTEND];
const joined = (lowWord: Local, highWord: Local): Code =>
  binary(OR_64, extended(get(lowWord)), binary(SHL_64, extended(get(highWord)), constant64(32n)));

/**
 * What one byte of a 64-bit number contributes, the lowest being 0, when so many of the front and
 * all of the back come after it.
 */
function lookUp(row: number, long: Local, byte: number): Code {
  const scaled: Code = byte === 0
    ? binary(SHL, [get(long), WRAP], constant(2))
    : [binary(SHR_U_64, get(long), constant64(BigInt(byte * 8 - 2))), WRAP];
  return [binary(AND, scaled, constant(0xff * 4)), LOAD, 2, unsigned(row * TABLE_ROW * 4)];
}

/**
 * What 4 bytes contribute, likewise, by a call: where it is seldom wanted, the engine shall have
 * less to compile.
 */
const contribution = (word: Code, bytesBehind: number): Code => [
  word,
  constant(bytesBehind * TABLE_ROW * 4),
  CALL,
  CONTRIBUTION,
];

/** The function that is called: of a word, and the offset of the row for its last byte. */
function contributionBody(): Code {
  const parts = [0, 1, 2, 3].map((byte): Code => {
    const scaled = byte === 0 ? binary(SHL, [GET, 0], constant(2)) : binary(SHR_U, [GET, 0], constant(byte * 8 - 2));
    const index = binary(AND, scaled, constant(0xff * 4));
    return [binary(ADD, index, [GET, 1]), LOAD, 2, unsigned((3 - byte) * TABLE_ROW * 4)];
  });
  return binary(XOR, ...parts);
}

/** All but the low byte of an LSN; of sequence number and distance. */
const LSN_MASK = constant64(~0xffn);
const COUNTS_MASK = constant64(~0xff_0000_00ffn);

/**
 * Keeps `rest` up to date: see `RecordChecksums` in `crc32c.ts`.
 *
 * @param check done first where anything has changed.
 */
const keepRest = (check: Code): Code => [
  binary(
    OR_64,
    extended(binary(XOR, get("kind"), get("keptKind"))),
    binary(XOR_64, get("nanos"), get("keptNanos")),
    binary(AND_64, binary(XOR_64, get("lsn"), get("keptLsn")), LSN_MASK),
    binary(AND_64, binary(XOR_64, get("counts"), get("keptCounts")), COUNTS_MASK),
  ),
  [constant64(0n), NE_64, IF, NO_RESULT],
  check,
  set("keptKind", get("kind")),
  set("keptNanos", get("nanos")),
  set("keptLsn", binary(AND_64, get("lsn"), LSN_MASK)),
  set("keptCounts", binary(AND_64, get("counts"), COUNTS_MASK)),
  set(
    "rest",
    binary(
      XOR,
      contribution(binary(XOR, get("seed"), get("kind")), 24),
      contribution(low("keptLsn"), 20),
      contribution(high("keptLsn"), 16),
      contribution(low("keptNanos"), 12),
      contribution(high("keptNanos"), 8),
      contribution(low("keptCounts"), 4),
      contribution(high("keptCounts"), 0),
    ),
  ),
  END,
];

/** The checksum of the record at `at`, of which `lsn`, `counts` and `rest` are known. */
const CHECKSUM = binary(
  XOR,
  get("rest"),
  lookUp(23, "lsn", 0),
  lookUp(7, "counts", 0),
  lookUp(3, "counts", 4),
  [get("back"), LOAD, 2, unsigned(0)],
  constant(-1),
);

const START: Code = [
  set("lsn", joined("lsnLow", "lsnHigh")),
  set("keptLsn", constant64(-1n)), // of no record
  [get("at"), get("end"), CALL, LOOK_UP_BACKS],
  set("back", constant(BACKS_AT)),
];
const NEXT: Code = [
  set("back", binary(ADD, get("back"), constant(4))),
  set("at", binary(ADD, get("at"), constant(RECORD_BYTES))),
  set("lsn", binary(ADD_64, get("lsn"), constant64(1n))),
];
const forEachRecord = (body: Code): Code => repeatUntil(binary(EQ, get("at"), get("end")), body);

function verifyBody(): Code {
  const isUnknown = binary(
    NE,
    binary(AND, get("kind"), constant(VERSION_AND_UNKNOWN_FLAGS)),
    constant(RECORD_VERSION << VERSION_SHIFT),
  );
  const opcode = binary(AND, get("kind"), constant(OPCODE_MASK));
  const records = (name: Local): Code => binary(SHR_U, binary(SUB, get(name), get("first")), constant(RECORD_SHIFT));
  return [
    START,
    set("first", get("at")),
    set("whole", get("at")),
    forEachRecord([
      leaveIf(binary(NE_64, field64(LSN_AT), get("lsn")), 1),
      set("kind", field(VERSION_OP_AT)),
      set("nanos", field64(TIME_NANOS_AT)),
      set("counts", field64(TIME_SEQ_AT)),
      keepRest([
        leaveIf(isUnknown, 2),
        leaveIf(binary(GE_U, binary(SUB, opcode, constant(1)), constant(MAX_OPCODE)), 2),
      ]),
      leaveIf(binary(NE, CHECKSUM, field(CRC_AT)), 1),
      NEXT,
      set("seen", binary(OR, get("seen"), get("kind"))),
      set("whole", [
        get("whole"),
        get("at"),
        binary(AND, get("kind"), constant(FLAG_BATCH_GOES_ON << 8)),
        SELECT,
      ]),
    ]),
    binary(
      OR,
      records("at"),
      binary(SHL, records("whole"), constant(WHOLE_SHIFT)),
      binary(SHL, binary(AND, get("seen"), constant(OpType.Checkpoint)), constant(SEEN_SHIFT)),
    ),
  ];
}

function encodeBody(): Code {
  const isLast = binary(EQ, binary(ADD, get("at"), constant(RECORD_BYTES)), get("end"));
  return [
    START,
    set("nanos", joined("nanosLow", "nanosHigh")),
    set("counts", joined("seq", "distance")),
    forEachRecord([
      set("kind", [get("lastKind"), get("kind"), isLast, SELECT]),
      keepRest([]),
      setField(VERSION_OP_AT, get("kind")),
      setField64(LSN_AT, get("lsn")),
      setField64(TIME_NANOS_AT, get("nanos")),
      setField64(TIME_SEQ_AT, get("counts")),
      setField(CRC_AT, CHECKSUM),
      NEXT,
      set("counts", binary(ADD_64, get("counts"), constant64(0x1_0000_0001n))),
    ]),
  ];
}

/** The variables of `lookUpBacks`: parameters, pointers, and vectors. */
const BACK_PARAMETERS = ["at", "end"] as const;
const BACK_POINTERS = ["into", "half", "tables", "row"] as const;
const BACK_VECTORS = ["mask", "low", "high", "plane0", "plane1", "plane2", "plane3"] as const;
/** And two times sixteen vectors more, to zip. */
const BACK_LOCALS = [...BACK_PARAMETERS, ...BACK_POINTERS, ...BACK_VECTORS];
type BackLocal = (typeof BACK_LOCALS)[number];
const ROWS = BACK_LOCALS.length;
const OTHER_ROWS = ROWS + LANES;

const { get: local, set: setLocal } = locals(BACK_LOCALS);
const plane = (number: number) => `plane${number}` as BackLocal;
const loadVector = (pointer: BackLocal, offset: number): Code => [
  local(pointer),
  vector(VECTOR_LOAD, 4, unsigned(offset)),
];
const storeVector = (pointer: BackLocal, offset: number, value: Code): Code => [
  local(pointer),
  value,
  vector(VECTOR_STORE, 4, unsigned(offset)),
];
/** Repeats until a pointer is there. */
const until = (pointer: BackLocal, end: number, body: Code): Code => [
  [LOOP, NO_RESULT],
  body,
  [binary(NE, local(pointer), constant(end)), BRANCH_IF, 0, END],
];
const advance = (pointer: BackLocal, bytes: number): Code =>
  setLocal(pointer, binary(ADD, local(pointer), constant(bytes)));

/**
 * The first halves of two vectors, or the second, taken in turns: so many bytes of one, as many of
 * the other.
 */
function zip(bytes: number, half: 0 | 1): Code {
  const pattern = Array.from({ length: LANES }, (_, i) => {
    const piece = Math.floor(i / bytes);
    return (piece % 2) * LANES + half * LANES / 2 + Math.floor(piece / 2) * bytes + i % bytes;
  });
  return vector(SHUFFLE, pattern);
}
/** By bytes, and by pairs of them. */
const ZIPS = [zip(1, 0), zip(1, 1)] as const;
const PAIR_ZIPS = [zip(2, 0), zip(2, 1)] as const;

/**
 * Stores byte i of sixteen records as row i, for sixteen bytes from `half` on: four times zipped.
 */
function storeRows(): Code {
  const code: Code[] = [];
  for (let lane = 0; lane < LANES; lane++) {
    code.push([loadVector("half", lane * RECORD_BYTES + KEY_HIGH_AT), SET, ROWS + lane]);
  }
  for (let turn = 0; turn < 4; turn++) {
    const [from, to] = turn % 2 === 0 ? [ROWS, OTHER_ROWS] : [OTHER_ROWS, ROWS];
    for (let i = 0; i < LANES / 2; i++) {
      const pair = [GET, from + i, GET, from + i + LANES / 2];
      code.push([pair, ZIPS[0], SET, to + 2 * i], [pair, ZIPS[1], SET, to + 2 * i + 1]);
    }
  }
  for (let i = 0; i < LANES; i++) code.push(storeVector("row", i * LANES, [GET, ROWS + i]));
  return code;
}

/**
 * Looks up what keys and values contribute, for the records from `at` to `end` and up to 15 more.
 */
function lookUpBacksBody(swizzle: number): Code {
  const planes = [0, 1, 2, 3];
  const looked = (nibble: 0 | 1, number: number): Code => [
    loadVector("tables", (nibble * 4 + number) * LANES),
    local(nibble === 0 ? "low" : "high"),
    vector(swizzle),
  ];
  const addByte: Code = [
    setLocal("low", [loadVector("row", 0), local("mask"), vector(VECTOR_AND)]),
    setLocal("high", [loadVector("row", 0), constant(4), vector(VECTOR_SHR_U)]),
    planes.map((i) =>
      setLocal(plane(i), [local(plane(i)), looked(0, i), looked(1, i), vector(VECTOR_XOR), vector(VECTOR_XOR)])
    ),
    advance("row", LANES),
    advance("tables", NIBBLES_BYTES),
  ];
  const addHalf: Code = [
    setLocal("row", constant(ROWS_AT)),
    storeRows(),
    until("row", ROWS_AT + LANES * LANES, addByte),
    advance("half", LANES),
  ];
  // The planes, put together to words.
  const words = [0, 1, 2, 3].map((quarter): Code => {
    const pairOf = (first: number): Code => [local(plane(first)), local(plane(first + 1)), ZIPS[quarter >> 1]!];
    return storeVector("into", quarter * LANES, [pairOf(0), pairOf(2), PAIR_ZIPS[quarter & 1]!]);
  });
  return [
    setLocal("mask", splat(0x0f)),
    setLocal("into", constant(BACKS_AT)),
    repeatUntil(binary(GE_U, local("at"), local("end")), [
      planes.map((i) => setLocal(plane(i), splat(0))),
      setLocal("half", local("at")),
      setLocal("tables", constant(NIBBLES_AT)),
      until("tables", NIBBLES_AT + BACK_BYTES * NIBBLES_BYTES, addHalf),
      words,
      advance("at", LANES * RECORD_BYTES),
      advance("into", LANES * 4),
    ]),
  ];
}

/**
 * The tables: of words for the front, whose rows begin behind the back, and of nibbles for the
 * back.
 */
function fillTables(buffer: ArrayBuffer): void {
  const table = makeTable(BACK_BYTES + FRONT_BYTES);
  new Int32Array(buffer).set(table.subarray(BACK_BYTES * TABLE_ROW));
  const nibbles = new DataView(buffer, NIBBLES_AT);
  for (let byte = 0; byte < BACK_BYTES; byte++) {
    const row = (BACK_BYTES - 1 - byte) * TABLE_ROW;
    for (let entry = 0; entry < LANES; entry++) {
      for (let plane = 0; plane < 4; plane++) {
        const at = byte * NIBBLES_BYTES + plane * LANES + entry;
        nibbles.setUint8(at, table[row + entry]! >>> (8 * plane));
        nibbles.setUint8(at + 4 * LANES, table[row + (entry << 4)]! >>> (8 * plane));
      }
    }
  }
}

function functions(swizzle: number): FunctionCode[] {
  const all = SHARED_PARAMETERS.length + ENCODE_PARAMETERS.length;
  const longs = LONGS.length;
  return [
    {
      name: "verify",
      parameters: SHARED_PARAMETERS.length,
      returns: true,
      words: ENCODE_PARAMETERS.length + WORDS.length,
      longs,
      body: verifyBody(),
    },
    { name: "encode", parameters: all, returns: false, words: WORDS.length, longs, body: encodeBody() },
    { parameters: 2, returns: true, words: 0, body: contributionBody() },
    {
      parameters: BACK_PARAMETERS.length,
      returns: false,
      words: BACK_POINTERS.length,
      vectors: BACK_VECTORS.length + 2 * LANES,
      body: lookUpBacksBody(swizzle),
    },
  ];
}

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly verify: (at: number, end: number, seed: number, lsnLow: number, lsnHigh: number) => number;
  readonly encode: (
    at: number,
    end: number,
    seed: number,
    lsnLow: number,
    lsnHigh: number,
    kind: number,
    lastKind: number,
    nanosLow: number,
    nanosHigh: number,
    seq: number,
    distance: number,
  ) => void;
}

/** The module's exports; null where the runtime has no such WebAssembly, or may not compile it. */
function instantiate(swizzle: number): Exports | null {
  try {
    const module = new WebAssembly.Module(assemble(MEMORY_PAGES, functions(swizzle)));
    return new WebAssembly.Instance(module).exports as unknown as Exports;
  } catch {
    return null;
  }
}

/**
 * Makes a codec; null where there can be none.
 *
 * @param swizzle which instruction looks up, if not the best there is.
 */
export function makeCodec(swizzle?: number): RunCodec | null {
  const exports = swizzle === undefined ? instantiate(RELAXED_SWIZZLE) ?? instantiate(SWIZZLE) : instantiate(swizzle);
  if (exports === null) return null;
  const { memory: { buffer }, verify, encode } = exports;
  fillTables(buffer);
  const verified = new Uint8Array(buffer, VERIFIED_AT);
  const staged = new Int32Array(buffer, STAGED_AT, RUN_RECORDS * RECORD_BYTES / 4);
  return {
    verify(bytes, seed, lsn) {
      verified.set(bytes);
      const result = verify(VERIFIED_AT, VERIFIED_AT + bytes.byteLength, seed, lsn | 0, (lsn / TWO_TO_32) | 0);
      return {
        good: result & COUNT_MASK,
        whole: (result >>> WHOLE_SHIFT) & COUNT_MASK,
        hasCheckpoint: result >>> SEEN_SHIFT !== 0,
      };
    },
    staged,
    encode(count, seed, kind, lastKind, lsn, distance, nanosLow, nanosHigh, seq) {
      const end = STAGED_AT + count * RECORD_BYTES;
      const lsnHigh = (lsn / TWO_TO_32) | 0;
      encode(STAGED_AT, end, seed, lsn | 0, lsnHigh, kind, lastKind, nanosLow, nanosHigh, seq | 0, distance | 0);
      return staged.subarray(0, count * (RECORD_BYTES / 4));
    },
  };
}

let codec: RunCodec | null | undefined;

/** The codec of this thread, made at the first call; null where there can be none. */
export function runCodec(): RunCodec | null {
  if (codec === undefined) codec = makeCodec();
  return codec;
}
