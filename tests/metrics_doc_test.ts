// docs/metrics.md: its table is that of the code, and Prometheus accepts its rules.

import { assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { INSTRUMENTS, prometheusName, SYNC_DURATION } from "../src/metrics/instruments.ts";
import { PROJECT_URL } from "./support/child.ts";
import { noPromtool } from "./support/promtool.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const text = readFileSync(new URL("docs/metrics.md", PROJECT_URL), "utf8");
const names = [...INSTRUMENTS, SYNC_DURATION].map(prometheusName);

/** The names of our metrics in an expression, without what a histogram adds to its name. */
function namesIn(expression: string): string[] {
  return (expression.match(/\bcidstore_wal_[a-z_]+/g) ?? []).map((name) =>
    name.replace(/(?<=_duration_seconds)_(bucket|sum|count)$/, "")
  );
}

test("docs/metrics.md lists each metric, as src/metrics/instruments.ts has it", () => {
  const rows = [...text.matchAll(/^\| `(cidstore\.[^`]+)`\s+\| `([^`]+)`\s+\| (\w+)\s+\| (.*?)\s*\|$/gm)];
  const listed = rows.map(([, name, prometheus, kind, description]) => [name, prometheus, kind, description]);
  const all = [...INSTRUMENTS, SYNC_DURATION];
  assertEquals(listed, all.map((metric) => [metric.name, prometheusName(metric), metric.kind, metric.description]));
});

test("docs/metrics.md has rules that promtool accepts, on metrics that there are", () => {
  const [, rules = ""] = /```yaml\n(groups:\n[^]*?)```/.exec(text) ?? [];
  const used = new Set(namesIn(rules));
  assertEquals([...used].filter((name) => !names.includes(name)), []);
  using directory = tempDir();
  const path = directory.join("rules.yml");
  writeFileSync(path, rules);
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "rules", path], { encoding: "utf8" });
  assertEquals([status, stderr], [0, ""], stdout);
}, { skip: noPromtool });
