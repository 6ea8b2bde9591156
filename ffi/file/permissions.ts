// What the runtime's sandbox allows: asked before libc is called, as libc goes around it.

import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { RegionError } from "../region.ts";

/** The sandbox, as far as files and libc go. */
export interface Permissions {
  /**
   * @throws {RegionError} `PERMISSION`, with the flags of all that is missing to use the path:
   * reading, writing and libc.
   */
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
  const has = (descriptor: Descriptor) => deno.querySync(descriptor).state === "granted";
  // A request asks at a terminal; elsewhere it is a no.
  const get = (descriptor: Descriptor) => has(descriptor) || deno.requestSync(descriptor).state === "granted";
  return {
    require(access, path) {
      if (get({ name: access, path })) return;
      // Whoever needs one of them needs all three: to be told of one at each run would be a run for
      // each.
      const all: Descriptor[] = [{ name: "read", path }, { name: "write", path }, { name: "ffi" }];
      throw denied(path, all.filter((descriptor) => !has(descriptor)));
    },
    requireFFI() {
      if (get({ name: "ffi" })) return;
      const flag = "--allow-ffi";
      throw new RegionError("PERMISSION", `Cannot call the C library: run again with ${flag}`, { flags: [flag] });
    },
    has: (name, path) => has({ name, path }),
  };
}

function denied(path: string, missing: readonly Descriptor[]): RegionError {
  const names = missing.map(({ name }) => name);
  const canLook = !names.includes("read");
  // A file that is yet to be made needs its directory, as its temporary name lies beside it.
  const place = canLook && !existsSync(path) ? dirname(path) : path;
  const flags = names.map((name) => name === "ffi" ? "--allow-ffi" : `--allow-${name}=${place}`);
  const hint = canLook ? "" : " (a new file needs them for its directory)";
  const what = `Cannot use ${JSON.stringify(path)}: Deno denies ${names.join(", ")}`;
  return new RegionError("PERMISSION", `${what}; run again with ${flags.join(" ")}${hint}`, { path, flags });
}

/** The sandbox of the runtime at hand. */
export function runtimePermissions(): Permissions {
  const { Deno: deno } = globalThis as { Deno?: { permissions: DenoPermissions } };
  return deno === undefined ? allowEverything : denoPermissions(deno.permissions);
}
