// The sandbox of the runtime that runs: how to start a child in it, and how its flags are spelled.

import { fileURLToPath } from "node:url";
import { type ChildOptions, PROJECT_URL } from "./child.ts";
import { runtime } from "./runtime.ts";

/** Why a test of the sandbox is skipped here. */
export const notSandboxed: string | false = runtime === "bun" && "Bun has no sandbox";

/** What messages call the sandbox. */
export const SANDBOX: string = runtime === "node" ? "Node" : "Deno";

/** The flag that permits calls of libc. */
export const FFI = "--allow-ffi";

/** The flag that permits reading or writing below a path. */
export function allow(access: "read" | "write", path: string): string {
  return `--allow-${runtime === "node" ? "fs-" : ""}${access}=${path}`;
}

/**
 * Options for a child that may do no more than flags permit.
 *
 * Deno's node:child_process adds --allow-all to a command line of Deno without any permission, so
 * something useless is permitted. Node reads the modules of a program with the program's own
 * permissions.
 */
export function confined(...flags: readonly string[]): Pick<ChildOptions, "denoFlags" | "nodeFlags"> {
  return {
    denoFlags: [...flags, "--allow-env=WAL_TEST_NOTHING"],
    nodeFlags: [...flags, "--permission", `--allow-fs-read=${fileURLToPath(PROJECT_URL)}`],
  };
}
