// Which runtime this is. No other file asks for it.

import process from "node:process";

// A program may have a global of another runtime's name, to run code that was written for that one.
const { deno, bun } = process.versions;

/** The runtime at hand. One that is neither Deno nor Bun counts as Node. */
export const runtime: "deno" | "bun" | "node" = deno !== undefined ? "deno" : bun !== undefined ? "bun" : "node";

/** The runtimes that can map files, for messages. */
export const RUNTIMES = "Deno, Bun, or Node 26.9 or later";
