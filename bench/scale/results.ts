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

/** What a run of bench/ship.ts has found: medians, in records a second. */
export interface ShipResult {
  readonly runtime: string;
  readonly cores: number;
  /** How many records a round ships. */
  readonly records: number;
  readonly inFlight: readonly {
    readonly inFlight: number;
    /** What `shipTo()` ships. */
    readonly shipped: number;
    /** That, by what the client's own publish loop sends in the same messages. */
    readonly ratio: number;
    /** As `ratio`, by a loop that expects as much of the server as a shipper does. */
    readonly guardedRatio?: number;
    /** What `followFrom()` applies to a store in memory. */
    readonly followed: number;
  }[];
  /** From the acknowledgement of an append to the store of a follower. */
  readonly lagP50Ms: number;
  readonly lagP99Ms: number;
  /** Resident memory in MiB, measured at even steps while so many records are shipped. */
  readonly memoryRecords?: number;
  readonly memoryMiB?: readonly number[];
}
