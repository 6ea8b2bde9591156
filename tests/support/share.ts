// Which part of a long test a runtime takes. On a simulated disk the same code runs on each engine,
// and a real file system is the same to each. So each takes other seeds or cases: together they try
// all of them, in the time of one. WHOLE in the environment gives each everything.

import process from "node:process";
import { type Runtime, runtime } from "./runtime.ts";

const TAKERS: readonly Runtime[] = ["deno", "bun", "node"];

/** Whether this runtime takes everything. Mutants are tried on one runtime alone, and need it. */
const takesAll = process.env["WHOLE"] !== undefined;

/** Whether a case is this runtime's: every third one, counted from its own place. */
export function isMine(index: number): boolean {
  return takesAll || TAKERS[index % TAKERS.length] === runtime;
}

/** This runtime's of some cases. */
export function share<T>(all: readonly T[]): T[] {
  return all.filter((_, index) => isMine(index));
}

/** This runtime's part of a number of rounds. */
export function roundsOf(all: number): number {
  return takesAll ? all : Math.ceil(all / TAKERS.length);
}

/** A seed of its own for this runtime. */
export function seedOf(first: number): number {
  return takesAll ? first : first + TAKERS.indexOf(runtime);
}
