// What a run of the scale benchmarks has found, as in its JSON file.

import type { MachineFacts } from "../machine.ts";
import type { Measurements } from "../measure.ts";

/** One measurement of a series, at one size. */
export interface ScaleRow {
  readonly series: string;
  /** MiB, writers, logs or shards. */
  readonly x: number;
  readonly measurements: Measurements;
  /** Why there are no figures. */
  readonly unavailable?: string;
}

/** A whole run. */
export interface ScaleResult {
  readonly machine: MachineFacts;
  readonly quick: boolean;
  readonly rows: readonly ScaleRow[];
}
