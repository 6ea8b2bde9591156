// Assembles a WebAssembly module: just what one module of this library needs, as the WebAssembly
// Core Specification 2.0 encodes it.

/**
 * Bytes, in pieces: to copy each piece into the next larger one would take longer than all the
 * rest.
 */
export type Code = readonly (number | Code)[];

// Instructions.
const BLOCK = 0x02;
export const LOOP = 0x03;
export const IF = 0x04;
export const END = 0x0b;
const BRANCH = 0x0c;
export const BRANCH_IF = 0x0d;
export const CALL = 0x10;
export const SELECT = 0x1b;
export const GET = 0x20;
export const SET = 0x21;
export const LOAD = 0x28;
export const LOAD_64 = 0x29;
export const STORE = 0x36;
export const STORE_64 = 0x37;
const CONST = 0x41;
const CONST_64 = 0x42;
export const EQ = 0x46;
export const NE = 0x47;
export const GE_U = 0x4f;
export const NE_64 = 0x52;
export const ADD = 0x6a;
export const SUB = 0x6b;
export const AND = 0x71;
export const OR = 0x72;
export const XOR = 0x73;
export const SHL = 0x74;
export const SHR_U = 0x76;
export const ADD_64 = 0x7c;
export const AND_64 = 0x83;
export const OR_64 = 0x84;
export const XOR_64 = 0x85;
export const SHL_64 = 0x86;
export const SHR_U_64 = 0x88;
export const WRAP = 0xa7;
export const EXTEND = 0xad;
/** Numbers of vector instructions, which `vector()` makes. */
export const VECTOR_LOAD = 0x00;
export const VECTOR_STORE = 0x0b;
const VECTOR_CONST = 0x0c;
export const SHUFFLE = 0x0d;
export const SWIZZLE = 0x0e;
export const VECTOR_AND = 0x4e;
export const VECTOR_XOR = 0x51;
/** Of bytes. */
export const VECTOR_SHR_U = 0x6d;
/** As `SWIZZLE`, where no index is past the end; of the relaxed instructions, which came later. */
export const RELAXED_SWIZZLE = 0x100;
/** The type of a block that leaves nothing behind. */
export const NO_RESULT = 0x40;
const I32 = 0x7f;
const I64 = 0x7e;
const V128 = 0x7b;

/** The same as one piece. */
function flat(code: Code, into: number[] = []): number[] {
  for (const part of code) {
    if (typeof part === "number") into.push(part);
    else flat(part, into);
  }
  return into;
}

/** A number as the format has sizes, offsets and indexes. */
export function unsigned(value: number): Code {
  const bytes = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

/** As `unsigned()`, for a number with a sign. */
function signed(value: number): Code {
  const bytes = [];
  for (;; value >>= 7) {
    const isLast = value >> 6 === 0 || value >> 6 === -1;
    bytes.push((value & 0x7f) | (isLast ? 0 : 0x80));
    if (isLast) return bytes;
  }
}

/**
 * Apart from `signed()`: to encode every constant as a bigint would take as long as all the rest.
 */
function signed64(value: bigint): Code {
  const bytes = [];
  for (; value !== BigInt.asIntN(7, value); value >>= 7n) bytes.push(Number(value & 0x7fn) | 0x80);
  return [...bytes, Number(value & 0x7fn)];
}

/** Pushes a signed 32-bit number. */
export const constant = (value: number): Code => [CONST, signed(value)];
/** Pushes the low 64 bits of a number. */
export const constant64 = (value: bigint): Code => [CONST_64, signed64(BigInt.asIntN(64, value))];
/** Joins two values or more, from left to right. */
export const binary = (instruction: number, ...parts: readonly Code[]): Code =>
  parts.reduce((all, part) => [all, part, instruction]);

/** An instruction on 128 bits. */
export const vector = (instruction: number, ...immediates: Code): Code => [0xfd, unsigned(instruction), immediates];
/** Pushes sixteen times the same byte. */
export const splat = (byte: number): Code => vector(VECTOR_CONST, Array.from({ length: 16 }, () => byte));

/** Leaves a block, the innermost being 0, if the condition holds. */
export const leaveIf = (condition: Code, depth: number): Code => [condition, BRANCH_IF, depth];
/**
 * Repeats until the condition holds, which is looked at before each turn. The body is inside two
 * blocks.
 */
export const repeatUntil = (condition: Code, body: Code): Code => [
  [BLOCK, NO_RESULT, LOOP, NO_RESULT],
  leaveIf(condition, 1),
  body,
  [BRANCH, 0, END, END],
];

/** How a function with these parameters and variables pushes one of them, and stores into one. */
export function locals<Name extends string>(names: readonly Name[]): {
  get: (name: Name) => Code;
  set: (name: Name, value: Code) => Code;
} {
  return {
    get: (name) => [GET, names.indexOf(name)],
    set: (name, value) => [value, SET, names.indexOf(name)],
  };
}

/** A function of 32-bit numbers. */
export interface FunctionCode {
  /** What it is exported as, if it is. */
  readonly name?: string;
  readonly parameters: number;
  /** Whether it returns a number. */
  readonly returns: boolean;
  /**
   * Variables of 32 bits, which come after the parameters, of 64, which come after those, and of
   * 128.
   */
  readonly words: number;
  readonly longs?: number;
  readonly vectors?: number;
  readonly body: Code;
}

const list = (items: readonly Code[]): Code => [unsigned(items.length), items];
function sized(code: Code): Code {
  const bytes = flat(code);
  return [unsigned(bytes.length), bytes];
}
const section = (id: number, items: readonly Code[]): Code => [id, sized(list(items))];
const text = (letters: string): Code => sized([...letters].map((letter) => letter.charCodeAt(0)));
const someOf = (count: number, type: number): Code[] => Array.from({ length: count }, () => [type]);

/** A module with one memory, exported as `memory`, and functions, called by their index. */
export function assemble(memoryPages: number, functions: readonly FunctionCode[]): Uint8Array<ArrayBuffer> {
  const exported = functions.flatMap(({ name }, i) => name === undefined ? [] : [[text(name), 0, i]]);
  return new Uint8Array(flat([
    [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    section(1, functions.map((f) => [0x60, list(someOf(f.parameters, I32)), list(someOf(f.returns ? 1 : 0, I32))])),
    section(3, functions.map((_, i) => [i])),
    section(5, [[0x00, memoryPages]]),
    section(7, [[text("memory"), 2, 0], ...exported]),
    section(
      10,
      functions.map(({ words, longs = 0, vectors = 0, body }) =>
        sized([list([[unsigned(words), I32], [unsigned(longs), I64], [unsigned(vectors), V128]]), body, END])
      ),
    ),
  ]));
}
