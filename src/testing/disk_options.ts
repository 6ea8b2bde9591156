// What a simulated disk can be told at its making and at a crash.

import type { Keep } from "./keep.ts";

/** How a disk behaves when nobody tells it to do otherwise. */
export interface SimulatedDiskOptions {
  /**
   * Whatever is left to chance follows from it.
   *
   * @default {1}
   */
  readonly seed?: number;
  /**
   * What the medium writes at a time: 64, 512 or 4096 bytes.
   *
   * @default {512}
   */
  readonly pieceBytes?: 64 | 512 | 4096;
  /**
   * The probability that a piece that survives a seeded crash is torn at some byte, 0 to 1.
   *
   * @default {0}
   */
  readonly tearChance?: number;
  /**
   * `"journal"`: changes of names become durable in their order. `"any"`: in any order.
   *
   * @default {"journal"}
   */
  readonly directoryOrder?: "journal" | "any";
  /**
   * The probability that the kernel writes something back at a call, 0 to 1.
   *
   * @default {0}
   */
  readonly writeBackChance?: number;
  /**
   * The page size.
   *
   * @default {4096}
   */
  readonly pageBytes?: 4096 | 16384;
  /**
   * The file system's name, as `System.fileSystem()` gives it.
   *
   * @default {"ext4"}
   */
  readonly fileSystem?: string;
  /**
   * Files are overwritten in place.
   *
   * @default {true}
   */
  readonly noCopyOnWrite?: boolean;
  /**
   * Dropping clean pages from the page cache works. It is advice, which a kernel may not take.
   *
   * @default {true}
   */
  readonly dropsCache?: boolean;
  /**
   * An asynchronous sync goes through the spare descriptor and covers the whole file, as on Bun; otherwise it is one of its
   * range, as on Deno.
   *
   * @default {false}
   */
  readonly asyncUsesSpare?: boolean;
  /**
   * Most turns of the microtask queue that an asynchronous sync takes, at least 1; `"manual"`: it ends with `finishAsync()`.
   *
   * @default {8}
   */
  readonly asyncTicks?: number | "manual";
  /**
   * Keep what sectors held before, for `staleSector()`.
   *
   * @default {false}
   */
  readonly keepVersions?: boolean;
  /**
   * Directories that are there from the start.
   *
   * @default {["/sim"]}
   */
  readonly directories?: readonly string[];
  /**
   * How many calls `trace` remembers.
   *
   * @default {10000}
   */
  readonly traceLimit?: number;
}

/** How a machine crashes. */
export interface CrashOptions {
  /**
   * `"power"`: the page cache is lost. `"kill"`: only the process ends.
   *
   * @default {"power"}
   */
  readonly mode?: "power" | "kill";
  /**
   * What survives of that which was not synced. Without meaning for a kill.
   *
   * @default {"random"}
   */
  readonly keep?: Keep;
}
