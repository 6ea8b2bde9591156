// Which runtime this is. No other file asks for it.

/** The runtime at hand. One that is neither Deno nor Bun counts as Node. */
export const runtime: "deno" | "bun" | "node" = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
