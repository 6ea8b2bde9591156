// A directory of a test's own, gone when the test ends.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/** A temporary directory; disposing it removes it with all it holds. */
export interface TempDir extends Disposable {
  readonly path: string;
  /** The path of an entry of that name in it. */
  join(...names: string[]): string;
}

/**
 * Makes a temporary directory: in `WAL_TEST_DIR` if that is set (to run a suite on another file
 * system), otherwise where the system keeps such.
 */
export function tempDir(
  parent: string = process.env["WAL_TEST_DIR"] ?? tmpdir(),
): TempDir {
  const path = mkdtempSync(join(parent, "wal-test-"));
  return {
    path,
    join: (...names) => join(path, ...names),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }),
  };
}

/** Runs a function with a temporary directory that is removed when its promise settles. */
export async function withTempDir<T>(
  use: (path: string, directory: TempDir) => T | Promise<T>,
): Promise<T> {
  using directory = tempDir();
  return await use(directory.path, directory);
}
