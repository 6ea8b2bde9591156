// Which unsynced pieces survive power loss: a choice, seeded or enumerated.

import type { Random } from "../random.ts";
import type { Fate, FilePiece } from "./simulated_file.ts";
import type { EntryPiece } from "./durable_names.ts";

/** What power loss may keep or lose: bytes of a file, its new size, or a change of names. */
export type DirtyPiece = (FilePiece & { readonly path: string }) | EntryPiece;

/**
 * Which unsynced pieces survive power loss: none, all, a seeded choice, or those that a function
 * keeps. The function is called for each piece, in the order of `disk.dirtyPieces()`. `"torn"`
 * keeps some bytes of a piece. A size or a change of names cannot be torn, so `"torn"` keeps it.
 */
export type Keep = "none" | "all" | "random" | ((piece: DirtyPiece, index: number) => Fate);

/** Turns a choice into an answer for each piece, and notes what was kept. */
export function chooser(keep: Keep, random: Random, tearChance: number): Chooser {
  // All and none are as likely as the mixtures between, because most faults show at the extremes.
  const share = [0, 1, 0.5, random.uint32() / 2 ** 32][random.below(4)]!;
  const kept: DirtyPiece[] = [];
  let index = 0;
  const fateOf = (piece: DirtyPiece): Fate => {
    if (keep === "none" || keep === "all") return keep === "all";
    if (keep !== "random") return keep(piece, index);
    if (!random.chance(share)) return false;
    return random.chance(tearChance) ? "torn" : true;
  };
  return {
    kept,
    get asked() {
      return index;
    },
    decide: (piece) => {
      const fate = fateOf(piece);
      index++;
      if (fate !== false) kept.push(piece);
      return fate;
    },
  };
}

/** Decides about pieces, and notes the decisions. */
export interface Chooser {
  readonly decide: (piece: DirtyPiece) => Fate;
  readonly kept: readonly DirtyPiece[];
  readonly asked: number;
}

/** The greatest number of pieces whose subsets are few enough to try them all: 4096. */
const MAX_PIECES = 12;

/**
 * Every way in which pieces can be kept or lost, nothing first.
 *
 * @throws {RangeError} if there are more than 12 pieces, hence more than 4096 ways.
 *
 * @example
 * ```ts
 * import { everySubset } from "@cidstore/wal/testing";
 *
 * console.log([...everySubset(3)].length); // 8 ways to keep or lose three pieces
 * ```
 */
export function* everySubset(count: number): Generator<(piece: DirtyPiece, index: number) => boolean> {
  if (count > MAX_PIECES) throw new RangeError(`${count} pieces have too many subsets to try them all`);
  for (let mask = 0; mask < 2 ** count; mask++) yield (_piece, index) => (mask >> index & 1) === 1;
}

/** A piece as one short text, for reports. */
export function pieceText(piece: DirtyPiece): string {
  switch (piece.kind) {
    case "bytes":
      return `${piece.path} bytes ${piece.offset}+${piece.length}`;
    case "size":
      return `${piece.path} size ${piece.from} to ${piece.to}`;
    case "entry":
      return piece.operation;
  }
}
