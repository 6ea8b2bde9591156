// Chooses the System of this machine.

import { openLibc as openInBun } from "../libc/bun.ts";
import { openLibc as openInDeno } from "../libc/deno.ts";
import type { Libc } from "../libc/libc.ts";
import { openLibc as openInNode } from "../libc/node.ts";
import { type Platform, platform, unsupported } from "../libc/platform.ts";
import { verifyLibc } from "../libc/self_test.ts";
import { LinuxSystem } from "./linux.ts";
import { MacosSystem } from "./macos.ts";
import { RegionError } from "../region.ts";
import { runtime } from "../runtime.ts";
import type { System } from "./system.ts";

const OPENERS = { deno: openInDeno, bun: openInBun, node: openInNode };

/** Opens libc in this runtime. */
export function openLibc(on: Platform): Libc {
  return OPENERS[runtime](on);
}

/**
 * The operating system's calls, for the calling thread.
 *
 * @param libc another C library, for tests.
 * @throws {RegionError} `PLATFORM`; `PERMISSION` if the runtime forbids calls of libc.
 */
export function posixSystem(libc?: Libc): System {
  const on = platform();
  try {
    libc ??= openLibc(on);
    const pageBytes = verifyLibc(libc, on);
    return on.os === "macos" ? new MacosSystem(libc, on, pageBytes) : new LinuxSystem(libc, on, pageBytes);
  } catch (error) {
    if (error instanceof RegionError) throw error;
    // The runtime's FFI differs from what we know: a call is missing, or refuses its arguments.
    throw unsupported(`with this runtime's FFI (${error instanceof Error ? error.message : String(error)})`, error);
  }
}
