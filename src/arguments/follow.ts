// What a caller of `WAL.follow()` hands in.

import type { FollowOptions } from "../types.ts";
import { show } from "./numbers.ts";
import { checkOptionNames } from "./objects.ts";

/** Options with every default in its place. */
export interface TakenFollowing {
  readonly includesAppended: boolean;
}

/** @throws {TypeError} or {RangeError} if an option cannot be used. */
export function takeFollowing(options: FollowOptions): TakenFollowing {
  checkOptionNames(options, ["mode"]);
  const { mode = "durable" } = options;
  if (mode !== "durable" && mode !== "appended") {
    throw new RangeError(`Cannot use ${show(mode)} as mode: it must be one of durable, appended`);
  }
  return { includesAppended: mode === "appended" };
}
