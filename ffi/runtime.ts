// Which runtime this is. No other file asks for it.

/** The runtime at hand. One that is neither Deno nor Bun counts as Node. */
export const runtime: "deno" | "bun" | "node" = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";

/** The runtimes that can map files, for messages. */
export const RUNTIMES = "Deno, Bun, or Node 26.9 or later";
