// What a run has found, as in its JSON file.

import { readFileSync } from "node:fs";
import type { MachineFacts } from "./machine.ts";
import type { Measurements } from "./measure.ts";
import type { Verdict } from "./targets.ts";

/** The outcome of a cell. */
export type Outcome = { readonly measurements: Measurements } | { readonly unavailable: string };

/** One pass over the systems of a contest, by their labels. */
export type Round = Readonly<Record<string, Outcome>>;

/** All rounds of a contest. */
export interface ContestResult {
  readonly id: string;
  readonly title: string;
  readonly rounds: readonly Round[];
}

/** A whole run. */
export interface RunResult {
  readonly machine: MachineFacts;
  readonly quick: boolean;
  readonly rounds: number;
  readonly contests: readonly ContestResult[];
  readonly verdicts: readonly Verdict[];
}

/** Reads the JSON file of a run. */
export function readResult(path: string): RunResult {
  return JSON.parse(readFileSync(path, "utf8"));
}

/** A plain figure of a system in each round where it was measured. */
export function figures(rounds: readonly Round[], label: string, metric: string): readonly number[] {
  return rounds.flatMap((round) => {
    const outcome = round[label];
    const value = outcome === undefined || "unavailable" in outcome ? undefined : outcome.measurements[metric];
    return typeof value === "number" ? [value] : [];
  });
}
