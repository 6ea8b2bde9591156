// Draws what a Prometheus server has for the panels of a dashboard of Grafana, as one SVG.
//
//   bun bench/dashboard_plot.ts http://127.0.0.1:9090 15 bench/plots/metrics.svg "a caption"
//
// The second argument is how many minutes are drawn, up to now.

import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { type TimePlot, timePlots } from "./plots.ts";

interface Target {
  readonly expr: string;
  readonly legendFormat: string;
}

interface Panel {
  readonly title: string;
  readonly targets: readonly Target[];
  readonly fieldConfig: { readonly defaults: { readonly unit: string } };
}

/** A series of the range API: its labels, and pairs of seconds since 1970 and a number as text. */
interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [seconds: number, value: string])[];
}

/** Points of a line. */
const MOST_POINTS = 60;

const [server, minutes, file, caption] = process.argv.slice(2) as [string, string, string, string];
const end = Math.floor(Date.now() / 1000);
const start = end - Number(minutes) * 60;
const step = Math.ceil((end - start) / MOST_POINTS);

async function seriesOf({ expr }: Target): Promise<readonly Series[]> {
  const query = expr.replaceAll("$__rate_interval", `${Math.max(10, step)}s`).replaceAll("$path", ".*");
  const asked = new URLSearchParams({ query, start: String(start), end: String(end), step: String(step) });
  const response = await fetch(`${server}/api/v1/query_range?${asked}`);
  const answer = await response.json() as { status: string; error?: string; data: { result: readonly Series[] } };
  if (answer.status !== "success") throw new Error(`${query}: ${answer.error}`);
  return answer.data.result;
}

/** What a line is called, as Grafana puts it together. */
function nameOf({ legendFormat }: Target, { metric }: Series): string {
  return legendFormat.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? "").replace(/^.*\//, "");
}

async function plotOf({ title, targets, fieldConfig }: Panel): Promise<TimePlot> {
  const found = await Promise.all(targets.map(async (target) => ({ target, list: await seriesOf(target) })));
  const points = found.flatMap(({ target, list }) =>
    list.flatMap((series) =>
      series.values.map(([seconds, value]) => ({
        x: (seconds - start) / 60,
        y: Number(value),
        series: nameOf(target, series),
      }))
    )
  ).filter(({ y }) => Number.isFinite(y));
  return { title, unit: fieldConfig.defaults.unit, points };
}

const dashboard = new URL("../examples/metrics/dashboard.json", import.meta.url);
const { panels } = JSON.parse(readFileSync(dashboard, "utf8")) as { readonly panels: readonly Panel[] };
writeFileSync(file, timePlots(await Promise.all(panels.map(plotOf)), caption));
