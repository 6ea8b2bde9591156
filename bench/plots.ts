// The figures as SVG: throughput against outstanding writers, and the latency distribution of one
// writer.

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MachineFacts } from "./machine.ts";
import { median, QUANTILES } from "./measure.ts";
import { type ContestResult, figures, type RunResult } from "./results.ts";

/** A document of linkedom, whose own types assume those of a browser. */
interface Page {
  readonly document: NonNullable<Plot.PlotOptions["document"]>;
}

/** A point of a line; `series` names the line. */
export interface Point {
  readonly x: number;
  readonly y: number;
  readonly series: string;
}

/** The texts of a figure around its lines. */
export interface Labels {
  readonly title: string;
  readonly caption: string;
  readonly x: string;
  readonly y: string;
  /** Ticks of the x axis. */
  readonly ticks: readonly number[];
  readonly format?: (value: number) => string;
  /** Room for the names of the lines, in pixels. */
  readonly marginRight?: number;
  /** Of both axes; logarithmic if left out. */
  readonly scale?: "log" | "linear";
}

/** Draws both figures into a directory; returns their paths. */
export function drawPlots(result: RunResult, directory: string): readonly string[] {
  const { machine } = result;
  const caption = captionFor(machine);
  mkdirSync(directory, { recursive: true });
  const draw = (name: string, svg: string): string => {
    const path = join(directory, `${name}-${machine.runtime}.svg`);
    writeFileSync(path, svg);
    return path;
  };
  return [
    draw(
      "throughput",
      linePlot(throughputPoints(result.contests), {
        title: `Writing durably, ${machine.runtime} (medians)`,
        caption,
        x: "writers, each waiting for its record",
        y: "records per second",
        ticks: [1, 16, 256, 4096],
      }),
    ),
    draw(
      "latency",
      linePlot(latencyPoints(result.contests), {
        title: `One writer waiting until its record is durable, ${machine.runtime} (medians)`,
        caption,
        x: "share of records that took at least as long",
        y: "microseconds",
        ticks: [1, 0.5, 0.1, 0.01, 0.001],
        format: (share) => `${100 * share} %`,
      }),
    ),
  ];
}

/** The machine in one line. */
export function captionFor(machine: MachineFacts): string {
  return `${machine.runtime} ${machine.runtimeVersion} · ${machine.cores} × ${machine.cpu} · ${machine.kernel} · ` +
    `${machine.fileSystem} · bare fdatasync p50 ${Math.round(machine.fdatasyncP50Us)} µs`;
}

function throughputPoints(contests: readonly ContestResult[]): readonly Point[] {
  return contests.filter(({ id }) => id === "W1" || id.startsWith("W2 ")).flatMap(({ id, rounds }) => {
    const writers = id === "W1" ? 1 : Number(id.slice(3));
    return labelsOf(rounds).map((series) => ({
      x: writers,
      y: median(figures(rounds, series, "opsPerSecond")),
      series,
    }));
  }).filter(({ y }) => !Number.isNaN(y));
}

function latencyPoints(contests: readonly ContestResult[]): readonly Point[] {
  const rounds = contests.find(({ id }) => id === "W1")?.rounds ?? [];
  return labelsOf(rounds).flatMap((series) => {
    const distributions = rounds.flatMap((round): (readonly number[])[] => {
      const outcome = round[series];
      const values = outcome === undefined || "unavailable" in outcome
        ? undefined
        : outcome.measurements["quantilesUs"];
      return typeof values === "object" ? [values] : [];
    });
    if (distributions.length === 0) return [];
    return QUANTILES.flatMap((q, i) => {
      if (q === 0 || q === 1) return [];
      return [{ x: Number((1 - q).toPrecision(3)), y: median(distributions.map((values) => values[i]!)), series }];
    });
  });
}

function labelsOf(rounds: ContestResult["rounds"]): readonly string[] {
  return [...new Set(rounds.flatMap((round) => Object.keys(round)))];
}

/** Lines, each named at its end, as a standalone SVG. */
export function linePlot(points: readonly Point[], labels: Labels): string {
  const { document } = parseHTML("<html><body></body></html>") as unknown as Page;
  const byX = [...points].sort((a, b) => a.x - b.x);
  const isShare = Math.max(...points.map(({ x }) => x)) <= 1;
  const { ticks, format = String, scale = "log", marginRight = 130 } = labels;
  const end = { x: "x", y: "y", z: "series", text: "series", fill: "series", textAnchor: "start", dx: 6 } as const;
  const svg = Plot.plot({
    document,
    width: 900,
    height: 480,
    marginTop: 50,
    marginBottom: 60,
    marginLeft: 70,
    marginRight,
    style: { background: "white", color: "black", fontFamily: "sans-serif", fontSize: "12px" },
    x: { type: scale, reverse: isShare, label: labels.x },
    y: { type: scale, label: null, grid: true, tickFormat: "~s" },
    color: { scheme: "tableau10" },
    marks: [
      // Ticks have our texts, because on a logarithmic axis the library drops texts that crowd
      // between powers of ten.
      Plot.axisX(ticks, { text: ticks.map(format) }),
      Plot.line(byX, {
        x: "x",
        y: "y",
        z: "series",
        stroke: "series",
        strokeWidth: (p: Point) => p.series.startsWith("wal") ? 3 : 1.5,
      }),
      Plot.dot(scale === "log" ? byX : [], { x: "x", y: "y", fill: "series", r: 3 }),
      Plot.text(spreadEnds(byX, isShare, scale), end),
      Plot.text([`${labels.title}: ${labels.y}`], {
        frameAnchor: "top-left",
        dx: -60,
        dy: -36,
        fontSize: 15,
        fontWeight: "bold",
      }),
      Plot.text([labels.caption], { frameAnchor: "bottom-left", dx: -60, dy: 52, fontSize: 10, fill: "#555" }),
    ],
  });
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return `${svg.outerHTML}\n`;
}

/** The last point of each line, moved where names would overlap. */
function spreadEnds(byX: readonly Point[], isReversed: boolean, scale: "log" | "linear"): readonly Point[] {
  const ends = new Map<string, Point>();
  for (const point of byX) if (!isReversed || !ends.has(point.series)) ends.set(point.series, point);
  const ys = byX.map(({ y }) => y);
  const [least, most] = [Math.min(...ys), Math.max(...ys)];
  const above = (y: number) => scale === "log" ? y * (most / least) ** (1 / 28) : y + (most - least) / 28;
  let next = -Infinity;
  return [...ends.values()].sort((a, b) => a.y - b.y).map((point) => {
    const y = Math.max(point.y, next);
    next = above(y);
    return { ...point, y };
  });
}
