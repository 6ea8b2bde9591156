// What the runtime's sandbox allows: asked before libc is called, as libc goes around it.

import { RegionError } from "./region.ts";

/** The sandbox, as far as files and libc go. */
export interface Permissions {
  /** @throws {RegionError} `PERMISSION`, with the flag that would grant it. */
  require(access: "read" | "write", path: string): void;
  /** @throws {RegionError} `PERMISSION`. */
  requireFFI(): void;
  /** Does not ask the user. */
  has(access: "read" | "write", path: string): boolean;
}

/** No sandbox: Bun, and simulated disks. */
export const allowEverything: Permissions = { require() {}, requireFFI() {}, has: () => true };

type Descriptor = { name: "read" | "write"; path: string } | { name: "ffi" };
interface DenoPermissions {
  querySync(descriptor: Descriptor): { state: string };
  requestSync(descriptor: Descriptor): { state: string };
}

function denoPermissions(deno: DenoPermissions): Permissions {
  const demand = (descriptor: Descriptor, flag: string, what: string, path?: string) => {
    if (deno.querySync(descriptor).state === "granted") return;
    // Asks at a terminal; elsewhere it is a no.
    if (deno.requestSync(descriptor).state === "granted") return;
    throw new RegionError(
      "PERMISSION",
      `Cannot ${what}: run again with ${flag}`,
      path === undefined ? { flag } : { flag, path },
    );
  };
  return {
    require(access, path) {
      demand({ name: access, path }, `--allow-${access}=${path}`, `${access} ${JSON.stringify(path)}`, path);
    },
    requireFFI() {
      demand({ name: "ffi" }, "--allow-ffi", "call the C library");
    },
    has: (access, path) => deno.querySync({ name: access, path }).state === "granted",
  };
}

/** The sandbox of the runtime at hand. */
export function runtimePermissions(): Permissions {
  const { Deno: deno } = globalThis as { Deno?: { permissions: DenoPermissions } };
  return deno === undefined ? allowEverything : denoPermissions(deno.permissions);
}
