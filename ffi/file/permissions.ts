// What the runtime's sandbox allows. It is asked before libc is called, because libc bypasses it.

import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { RegionError } from "../region.ts";

/** The sandbox, as far as files and libc are concerned. */
export interface Permissions {
  /**
   * @throws {RegionError} `PERMISSION`, with the flags of all that is missing: reading, writing and
   * libc.
   */
  require(access: "read" | "write", path: string): void;
  /** @throws {RegionError} `PERMISSION`. */
  requireFFI(): void;
  /** True if access is granted already. It does not prompt. */
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
  // A request prompts at a terminal. Elsewhere it is denied.
  const get = (descriptor: Descriptor) => has(descriptor) || deno.requestSync(descriptor).state === "granted";
  return {
    require(access, path) {
      if (get({ name: access, path })) return;
      // A log needs all three, so one message names all that are missing.
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
  const mayRead = !names.includes("read");
  // A new file needs its directory, because its temporary name is there too.
  const place = mayRead && !existsSync(path) ? dirname(path) : path;
  const flags = names.map((name) => name === "ffi" ? "--allow-ffi" : `--allow-${name}=${place}`);
  const hint = mayRead ? "" : " (a new file needs them for its directory)";
  const what = `Cannot use ${JSON.stringify(path)}: Deno denies ${names.join(", ")}`;
  return new RegionError("PERMISSION", `${what}; run again with ${flags.join(" ")}${hint}`, { path, flags });
}

/** The sandbox of this runtime. */
export function runtimePermissions(): Permissions {
  const { Deno: deno } = globalThis as { Deno?: { permissions: DenoPermissions } };
  return deno === undefined ? allowEverything : denoPermissions(deno.permissions);
}
