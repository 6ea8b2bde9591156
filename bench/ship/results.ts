// What a run of the shipping benchmark has found, as in its JSON file.

import type { MachineFacts } from "../machine.ts";

/** The engines, by their names in tables. */
export const ENGINES = { jetstream: "JetStream", postgres: "PostgreSQL" } as const;
export type EngineName = keyof typeof ENGINES;

/** Throughput with so many messages on their way: medians, in records a second. */
export interface Throughput {
  readonly inFlight: number;
  /** What `shipTo()` ships. */
  readonly shipped: number;
  /** What the client's own loops send in the same messages, by the names of the loops. */
  readonly loops: Readonly<Record<string, number>>;
  /** `shipped` by each of them: the median of the rounds. */
  readonly ratios: Readonly<Record<string, number>>;
  /** What `followFrom()` applies to a store in memory. */
  readonly followed: number;
}

/** What was measured of one engine. */
export interface EngineResult {
  readonly machine: MachineFacts;
  /** Name and version of the server. */
  readonly server: string;
  /** How many records a round ships. */
  readonly records: number;
  readonly rounds: number;
  readonly throughput: readonly Throughput[];
  /** From the acknowledgement of an append to the store of a follower: `QUANTILES`, in ms. */
  readonly lagMs: readonly number[];
  /** Resident memory in MiB, at even steps while so many records are shipped and followed. */
  readonly memoryRecords: number;
  readonly memoryMiB: readonly number[];
}

/** What was measured of servers, by the names that results are kept under. */
export type ResultName = EngineName | "jetstream-2.15";

/** The results of one runtime. */
export type ShipResult = { readonly [Name in ResultName]: EngineResult };
