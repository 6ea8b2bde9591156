// How much memory this process takes, by the operating system's account.

import { readFileSync } from "node:fs";
import process from "node:process";

/** Resident bytes now, and at their most. */
export interface Memory {
  readonly residentBytes: number;
  readonly peakBytes: number;
}

/** Reads /proc if there is one, and the runtime's own figures otherwise. */
export function memory(): Memory {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    const kib = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? NaN);
    return { residentBytes: kib("VmRSS") * 1024, peakBytes: kib("VmHWM") * 1024 };
  } catch {
    return { residentBytes: process.memoryUsage().rss, peakBytes: process.resourceUsage().maxRSS * 1024 };
  }
}
