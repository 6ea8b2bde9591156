// The growth of cost as SVG: one figure for sizes, one for writers, one for logs, one for shards.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { captionFor, linePlot, type Point } from "../plots.ts";
import type { ScaleResult } from "./results.ts";

/** Draws into a directory. */
export function drawScalePlots(result: ScaleResult, directory: string): void {
  const { runtime } = result.machine;
  const caption = captionFor(result.machine);
  mkdirSync(directory, { recursive: true });
  const figure = (kind: string, metric: string, title: string, x: string, y: string): void => {
    const points = pointsOf(result, kind, metric);
    if (points.length === 0) return;
    const ticks = [...new Set(points.map((point) => point.x))].sort((a, b) => a - b);
    const svg = linePlot(points, { title: `${title}, ${runtime}`, caption, x, y, ticks });
    writeFileSync(join(directory, `scale-${kind}-${runtime}.svg`), svg);
  };
  figure("size", "openMs", "Opening a full log", "file size, MiB", "milliseconds");
  figure("writers", "opsPerSecond", "Writing durably", "writers, each waiting for its record", "records per second");
  figure("logs", "opsPerSecond", "Several logs, one writer each", "logs", "records per second");
  figure("shards", "opsPerSecond", "Shards, 64 writers each", "shards", "records per second");
}

function pointsOf({ rows }: ScaleResult, kind: string, metric: string): readonly Point[] {
  return rows.flatMap(({ series, x, measurements }) => {
    const y = measurements[metric];
    return series.startsWith(`${kind},`) && typeof y === "number"
      ? [{ x, y, series: series.slice(kind.length + 2) }]
      : [];
  });
}
