// The directory of a file: its path, and its sync.

import type { Step } from "./steps.ts";
import { type System, SystemError } from "../system/system.ts";

/** The directory of an absolute path, and the name in it. */
export function splitPath(path: string): { directory: string; name: string } {
  const slash = path.lastIndexOf("/");
  return { directory: slash <= 0 ? "/" : path.slice(0, slash), name: path.slice(slash + 1) };
}

/** Makes a directory's entries durable. */
export function directorySync(system: System, path: string): Step {
  return {
    now: () => {
      const fd = system.open(path, "directory");
      try {
        system.fsync(fd);
      } catch (error) {
        mustBeUnable(error);
      } finally {
        system.close(fd);
      }
    },
    later: async () => {
      const fd = system.open(path, "directory");
      try {
        await system.fsyncAsync(fd);
      } catch (error) {
        mustBeUnable(error);
      } finally {
        system.close(fd);
      }
    },
  };
}

/**
 * Throws, unless the error is EINVAL. File systems that cannot sync a directory report EINVAL.
 */
function mustBeUnable(error: unknown): void {
  if (!(error instanceof SystemError) || error.errno !== "EINVAL") throw error;
}
