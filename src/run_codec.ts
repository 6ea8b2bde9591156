// Records by the thousand: verified with the checks of `Slots.look()`, and encoded as by `Slots.write()`, in WebAssembly, in half of
// the time or less.
//
// WebAssembly has 64-bit integers and no bounds checks, but cannot see the log's memory: a run of records is copied from there into its
// own, or from its own to there, which costs a tenth of what is left. The module is assembled here and uses the method and the tables of
// `crc32c.ts`.

import {
  ADD,
  ADD_64,
  AND,
  AND_64,
  assemble,
  binary,
  BLOCK,
  BRANCH,
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
  LOAD,
  LOAD_64,
  LOOP,
  NE,
  NE_64,
  NO_RESULT,
  OR,
  OR_64,
  SELECT,
  SET,
  SHL,
  SHL_64,
  SHR_U,
  SHR_U_64,
  STORE,
  STORE_64,
  SUB,
  unsigned,
  WRAP,
  XOR,
  XOR_64,
} from "./assembler.ts";
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

/** Verifies and encodes records that lie one after another. */
export interface RunCodec {
  /**
   * @param bytes of at most `RUN_RECORDS` records.
   * @param seed the state of a checksum after the log id.
   * @param lsn what the first record's LSN should be.
   */
  verify(bytes: Uint8Array, seed: number, lsn: number): Run;
  /** Room for `RUN_RECORDS` records from offset 0 on: keys and values are stored here, at their places, before `encode()`. */
  readonly staged: DataView;
  /**
   * Completes records of one batch whose keys and values are staged. LSN, distance and sequence number grow by one with each.
   *
   * @param seed the state of a checksum after the log id.
   * @param head version, opcode, flags and shard of each record but the last, as the second word of a record has them.
   * @param lastHead the same of the last one.
   * @param seq `seq + count` must not be more than 2^32.
   * @returns the records, as words; good until keys and values are staged again.
   */
  encode(
    count: number,
    seed: number,
    head: number,
    lastHead: number,
    lsn: number,
    distance: number,
    nanosLow: number,
    nanosHigh: number,
    seq: number,
  ): Int32Array;
}

/** Where records that are verified are copied to; the tables come before. */
const VERIFIED_AT = 32 * 1024;
/** Where records are staged. */
const STAGED_AT = VERIFIED_AT + RUN_RECORDS * RECORD_BYTES;
/** Of 64 KiB each. */
const MEMORY_PAGES = 3;
const TWO_TO_32 = 0x1_0000_0000;

/** Parameters of both functions, then of `encode` alone, which are variables of `verify`: so each has one index in both. */
const SHARED_PARAMETERS = ["at", "end", "seed", "lsnLow", "lsnHigh"] as const;
const ENCODE_PARAMETERS = ["head", "lastHead", "nanosLow", "nanosHigh", "seq", "distance"] as const;
const WORDS = ["first", "whole", "seen", "rest", "keptHead"] as const;
/** `kept` is what the contribution in `rest` belongs to. */
const LONGS = ["lsn", "nanos", "counts", "a", "b", "keptLsn", "keptNanos", "keptCounts"] as const;
const LOCALS = [...SHARED_PARAMETERS, ...ENCODE_PARAMETERS, ...WORDS, ...LONGS];
type Local = (typeof LOCALS)[number];
/** Index of the function that both call. */
const CONTRIBUTION = 2;
/** `verify` returns three numbers: the end of the good records, of the whole ones, and all bits of the opcodes. */
const WHOLE_SHIFT = 12;
const SEEN_SHIFT = 24;
const COUNT_MASK = 0xfff;
const RECORD_SHIFT = 6;

const get = (name: Local): Code => [GET, LOCALS.indexOf(name)];
const set = (name: Local, value: Code): Code => [value, SET, LOCALS.indexOf(name)];
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

/** What 4 bytes contribute, by a call: where it is seldom wanted, the engine shall have less to compile. */
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
    extended(binary(XOR, get("head"), get("keptHead"))),
    binary(XOR_64, get("nanos"), get("keptNanos")),
    binary(AND_64, binary(XOR_64, get("lsn"), get("keptLsn")), LSN_MASK),
    binary(AND_64, binary(XOR_64, get("counts"), get("keptCounts")), COUNTS_MASK),
  ),
  [constant64(0n), NE_64, IF, NO_RESULT],
  check,
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
  END,
];

/** The state after 16 bytes, of which `a` has the state before them in it already. */
const SLICE = binary(XOR, contribution64("a", 8), contribution64("b", 0));

/** The checksum of the record at `at`, of which `lsn`, `counts` and `rest` are known and the rest is loaded. */
const CHECKSUM: Code = [
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
  binary(XOR, SLICE, constant(-1)),
];

/** Leaves the loop, from inside so many blocks, if the record is not what it should be. */
const leaveIf = (condition: Code, depth: number): Code => [condition, BRANCH_IF, depth];

const START: Code = [
  set("lsn", joined("lsnLow", "lsnHigh")),
  set("keptLsn", constant64(-1n)), // of no record
];
const NEXT: Code = [
  set("at", binary(ADD, get("at"), constant(RECORD_BYTES))),
  set("lsn", binary(ADD_64, get("lsn"), constant64(1n))),
];
const forEachRecord = (body: Code): Code => [
  [BLOCK, NO_RESULT, LOOP, NO_RESULT],
  leaveIf(binary(EQ, get("at"), get("end")), 1),
  body,
  [BRANCH, 0, END, END],
];

function verifyBody(): Code {
  const isUnknown = binary(
    NE,
    binary(AND, get("head"), constant(VERSION_AND_UNKNOWN_FLAGS)),
    constant(RECORD_VERSION << VERSION_SHIFT),
  );
  const opcode = binary(AND, get("head"), constant(OPCODE_MASK));
  const records = (name: Local): Code => binary(SHR_U, binary(SUB, get(name), get("first")), constant(RECORD_SHIFT));
  return [
    START,
    set("first", get("at")),
    set("whole", get("at")),
    forEachRecord([
      leaveIf(binary(NE_64, field64(LSN_AT), get("lsn")), 1),
      set("head", field(VERSION_OP_AT)),
      set("nanos", field64(TIME_NANOS_AT)),
      set("counts", field64(TIME_SEQ_AT)),
      keepRest([
        leaveIf(isUnknown, 2),
        leaveIf(binary(GE_U, binary(SUB, opcode, constant(1)), constant(MAX_OPCODE)), 2),
      ]),
      leaveIf(binary(NE, CHECKSUM, field(CRC_AT)), 1),
      NEXT,
      set("seen", binary(OR, get("seen"), get("head"))),
      set("whole", [
        get("whole"),
        get("at"),
        binary(AND, get("head"), constant(FLAG_BATCH_GOES_ON << 8)),
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
      set("head", [get("lastHead"), get("head"), isLast, SELECT]),
      keepRest([]),
      setField(VERSION_OP_AT, get("head")),
      setField64(LSN_AT, get("lsn")),
      setField64(TIME_NANOS_AT, get("nanos")),
      setField64(TIME_SEQ_AT, get("counts")),
      setField(CRC_AT, CHECKSUM),
      NEXT,
      set("counts", binary(ADD_64, get("counts"), constant64(0x1_0000_0001n))),
    ]),
  ];
}

function functions(): FunctionCode[] {
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
    { parameters: 2, returns: true, words: 0, longs: 0, body: contributionBody() },
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
    head: number,
    lastHead: number,
    nanosLow: number,
    nanosHigh: number,
    seq: number,
    distance: number,
  ) => void;
}

/** Makes a codec; null where the runtime has no WebAssembly, or may not compile it. */
function makeCodec(): RunCodec | null {
  let exports: Exports;
  try {
    const module = new WebAssembly.Module(assemble(MEMORY_PAGES, functions()));
    exports = new WebAssembly.Instance(module).exports as unknown as Exports;
  } catch {
    return null;
  }
  const { memory: { buffer }, verify, encode } = exports;
  new Int32Array(buffer).set(TABLE);
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
    staged: new DataView(buffer, STAGED_AT, RUN_RECORDS * RECORD_BYTES),
    encode(count, seed, head, lastHead, lsn, distance, nanosLow, nanosHigh, seq) {
      const end = STAGED_AT + count * RECORD_BYTES;
      const lsnHigh = (lsn / TWO_TO_32) | 0;
      encode(STAGED_AT, end, seed, lsn | 0, lsnHigh, head, lastHead, nanosLow, nanosHigh, seq | 0, distance | 0);
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
