// Prometheus's own tool, where it is installed.

import { spawnSync } from "node:child_process";

/** Why promtool cannot be run here; false if it can. */
export const noPromtool: string | false = spawnSync("promtool", ["--version"]).status !== 0 &&
  "promtool is not installed";
