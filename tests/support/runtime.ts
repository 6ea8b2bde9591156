// Which runtime runs the tests.

/** The runtimes on which everything is tested. */
export type Runtime = "deno" | "bun" | "node";

/** The name of the runtime at hand. */
export const runtime: Runtime = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
