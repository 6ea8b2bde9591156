// The options of a simulated disk, and those of a crash.

import type { Keep } from "./keep.ts";

/** How a disk behaves when nobody tells it to do otherwise. */
export interface SimulatedDiskOptions {
  /**
   * The seed of all random choices.
   *
   * @default {1}
   */
  readonly seed?: number | undefined;
  /**
   * What the medium writes at a time: 64, 512 or 4096 bytes.
   *
   * @default {512}
   */
  readonly pieceBytes?: 64 | 512 | 4096 | undefined;
  /**
   * The probability that a piece that survives a seeded crash is torn at some byte, 0 to 1.
   *
   * @default {0}
   */
  readonly tearChance?: number | undefined;
  /**
   * `"journal"`: changes of names become durable in their order. `"any"`: in any order.
   *
   * @default {"journal"}
   */
  readonly directoryOrder?: "journal" | "any" | undefined;
  /**
   * The probability that the kernel writes something back at a call, 0 to 1.
   *
   * @default {0}
   */
  readonly writeBackChance?: number | undefined;
  /**
   * The page size.
   *
   * @default {4096}
   */
  readonly pageBytes?: 4096 | 16384 | undefined;
  /**
   * The file system's name, as `System.fileSystem()` gives it.
   *
   * @default {"ext4"}
   */
  readonly fileSystem?: string | undefined;
  /**
   * Files are overwritten in place.
   *
   * @default {true}
   */
  readonly noCopyOnWrite?: boolean | undefined;
  /**
   * Dropping clean pages from the page cache works. It is advice, which a kernel may not take.
   *
   * @default {true}
   */
  readonly dropsCache?: boolean | undefined;
  /**
   * With true, an asynchronous sync uses the spare descriptor and covers the whole file, as on Bun.
   * With false, it covers its range only, as on Deno.
   *
   * @default {false}
   */
  readonly asyncUsesSpare?: boolean | undefined;
  /**
   * The most turns of the microtask queue that an asynchronous sync takes, at least 1. With
   * `"manual"`, the sync ends at `finishAsync()`.
   *
   * @default {8}
   */
  readonly asyncTicks?: number | "manual" | undefined;
  /**
   * Keeps older contents of sectors, for `staleSector()`.
   *
   * @default {false}
   */
  readonly keepVersions?: boolean | undefined;
  /**
   * Directories that are there from the start.
   *
   * @default {["/sim"]}
   */
  readonly directories?: readonly string[] | undefined;
  /**
   * How many calls `trace` remembers.
   *
   * @default {10000}
   */
  readonly traceLimit?: number | undefined;
}

/** How a machine crashes. */
export interface CrashOptions {
  /**
   * `"power"`: the page cache is lost. `"kill"`: only the process ends.
   *
   * @default {"power"}
   */
  readonly mode?: "power" | "kill" | undefined;
  /**
   * Which unsynced pieces survive power loss. A kill ignores this.
   *
   * @default {"random"}
   */
  readonly keep?: Keep | undefined;
}
