// A directory for the logs of a run. It is on a real disk, and is removed when the run ends.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileSystemOf } from "./machine.ts";

/**
 * Makes the directory under `parent`, or in the temporary directory. If that is in memory, it is
 * made in the current directory.
 */
export function makeWorkDirectory(parent: string | undefined): Disposable & { readonly path: string } {
  const path = mkdtempSync(
    join(parent ?? (fileSystemOf(tmpdir()) === "tmpfs" ? process.cwd() : tmpdir()), "cidstore-bench-"),
  );
  const remove = (): void => rmSync(path, { recursive: true, force: true });
  const interrupted = (): void => {
    remove();
    process.exit(130);
  };
  process.on("SIGINT", interrupted);
  return {
    path,
    [Symbol.dispose]: () => {
      process.off("SIGINT", interrupted);
      remove();
    },
  };
}
