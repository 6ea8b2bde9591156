// What a caller of `WAL.follow()` hands in.

import type { FollowOptions, LSN } from "../types.ts";
import { checkInteger, LONGEST_TIMER_MS, show } from "./numbers.ts";
import { checkOptionNames } from "./objects.ts";

/** Options with every default in its place. */
export interface TakenFollowing {
  readonly includesAppended: boolean;
  /** Where an iteration begins; 0 for the tail. */
  readonly from: LSN;
  readonly pollIntervalMs: number;
  readonly signal: AbortSignal | undefined;
}

const DEFAULT_POLL_MS = 100;

/** @throws {TypeError} or {RangeError} if an option cannot be used. */
export function takeFollowing(options: FollowOptions): TakenFollowing {
  checkOptionNames(options, ["mode", "from", "pollIntervalMs", "signal"]);
  const { mode = "durable", from, pollIntervalMs = DEFAULT_POLL_MS, signal } = options;
  if (mode !== "durable" && mode !== "appended") {
    throw new RangeError(`Cannot use ${show(mode)} as mode: it must be one of durable, appended`);
  }
  if (from !== undefined) checkInteger(from, "from", 1, Number.MAX_SAFE_INTEGER);
  checkInteger(pollIntervalMs, "pollIntervalMs", 1, LONGEST_TIMER_MS);
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`Cannot use ${show(signal)} as signal: it must be an AbortSignal`);
  }
  return { includesAppended: mode === "appended", from: from ?? 0, pollIntervalMs, signal };
}
