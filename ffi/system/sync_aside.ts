// Syncs of node:fs, which another thread does.

import * as fs from "node:fs";
import { errnoOf, SystemError } from "./system.ts";

/**
 * Syncs a file on another thread.
 *
 * @param here the same sync on this thread. With `--permission`, Node forbids those of node:fs for
 * every file. Holding this thread is better than no sync.
 */
export async function syncAside(call: "fsync" | "fdatasync", fd: number, here: () => void): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => fs[call](fd, (cause) => cause ? reject(cause) : resolve()));
  } catch (cause) {
    if ((cause as { code?: unknown }).code === "ERR_ACCESS_DENIED") return here();
    throw new SystemError(call, errnoOf(cause), undefined, { cause });
  }
}
