// What the runtime's sandbox allows. It is asked before libc is called, because libc bypasses it.

import { existsSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { RegionError } from "../region.ts";
import { runtime } from "../runtime.ts";

/** The flag of every sandbox that grants calls of libc. */
const FFI_FLAG = "--allow-ffi";

/** The sandbox, as far as files and libc are concerned. */
export interface Permissions {
  /**
   * @throws {RegionError} `PERMISSION`, with the flags of all that is missing: reading, writing and
   * libc.
   */
  require(access: "read" | "write", path: string): void;
  /** For those who only read. @throws {RegionError} `PERMISSION`, with the flag of reading. */
  requireRead(path: string): void;
  /** @throws {RegionError} `PERMISSION`. */
  requireFFI(): void;
  /** True if access is granted already. It does not prompt. */
  has(access: "read" | "write", path: string): boolean;
  /** True if a file's system may be asked for. It does not prompt. */
  hasFileSystems(): boolean;
}

/** No sandbox: Bun, Node without `--permission`, and simulated disks. */
export const allowEverything: Permissions = {
  require() {},
  requireRead() {},
  requireFFI() {},
  has: () => true,
  hasFileSystems: () => true,
};

/** What a log needs; reading and writing are of a path. */
type Access = "read" | "write" | "ffi";

/** A runtime's own sandbox. */
interface Sandbox {
  readonly name: string;
  /** True if access is granted already. */
  has(access: Access, path?: string): boolean;
  hasFileSystems(): boolean;
  /** True if access is granted, perhaps by somebody at a terminal. */
  request(access: Access, path?: string): boolean;
  /** The beginning of the flag that grants access to files. */
  readonly fileFlag: string;
}

type Descriptor = { name: "read" | "write"; path: string } | { name: "ffi" } | { name: "sys"; kind: "statfs" };
interface DenoPermissions {
  querySync(descriptor: Descriptor): { state: string };
  requestSync(descriptor: Descriptor): { state: string };
}

function denoSandbox(deno: DenoPermissions): Sandbox {
  const descriptor = (name: Access, path?: string) => ({ name, path }) as Descriptor;
  const has = (access: Access, path?: string) => deno.querySync(descriptor(access, path)).state === "granted";
  return {
    name: "Deno",
    has,
    hasFileSystems: () => deno.querySync({ name: "sys", kind: "statfs" }).state === "granted",
    // A request prompts at a terminal. Elsewhere it is denied.
    request: (access, path) => has(access, path) || deno.requestSync(descriptor(access, path)).state === "granted",
    fileFlag: "--allow-",
  };
}

interface NodePermission {
  has(scope: string, path?: string): boolean;
}

function nodeSandbox(node: NodePermission): Sandbox {
  const has = (access: Access, path?: string) => node.has(access === "ffi" ? access : `fs.${access}`, path);
  return { name: "Node", has, hasFileSystems: () => true, request: has, fileFlag: "--allow-fs-" };
}

function permissionsOf(sandbox: Sandbox): Permissions {
  return {
    require(access, path) {
      if (sandbox.request(access, path)) return;
      // A log needs all three, so one message names all that are missing.
      const all: Access[] = ["read", "write", "ffi"];
      throw denied(sandbox, path, all.filter((access) => !sandbox.has(access, path)));
    },
    requireRead(path) {
      if (sandbox.request("read", path)) return;
      const flag = `${sandbox.fileFlag}read=${path}`;
      const message = `Cannot read ${JSON.stringify(path)}: ${sandbox.name} denies it; run again with ${flag}`;
      throw new RegionError("PERMISSION", message, { path, flags: [flag] });
    },
    requireFFI() {
      if (sandbox.request("ffi")) return;
      throw new RegionError("PERMISSION", `Cannot call the C library: run again with ${FFI_FLAG}`, {
        flags: [FFI_FLAG],
      });
    },
    has: (access, path) => sandbox.has(access, path),
    hasFileSystems: () => sandbox.hasFileSystems(),
  };
}

function denied(sandbox: Sandbox, path: string, missing: readonly Access[]): RegionError {
  const mayRead = !missing.includes("read");
  // A new file needs its directory, because its temporary name is there too.
  const place = mayRead && !existsSync(path) ? dirname(path) : path;
  const flags = missing.map((access) => access === "ffi" ? FFI_FLAG : `${sandbox.fileFlag}${access}=${place}`);
  const hint = mayRead ? "" : " (a new file needs them for its directory)";
  const what = `Cannot use ${JSON.stringify(path)}: ${sandbox.name} denies ${missing.join(", ")}`;
  return new RegionError("PERMISSION", `${what}; run again with ${flags.join(" ")}${hint}`, { path, flags });
}

/** The sandbox of this runtime. */
export function runtimePermissions(): Permissions {
  if (runtime === "deno") {
    const { Deno: deno } = globalThis as unknown as { Deno: { permissions: DenoPermissions } };
    return permissionsOf(denoSandbox(deno.permissions));
  }
  // Node has it only if it runs with --permission.
  const { permission } = process as unknown as { permission?: NodePermission };
  return permission === undefined ? allowEverything : permissionsOf(nodeSandbox(permission));
}
