// Which runtime runs the tests.

/** The name of the runtime at hand. */
export const runtime: "deno" | "bun" = "Deno" in globalThis ? "deno" : "bun";
