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

/** A figure of values over time, one of several. */
export interface TimePlot {
  readonly title: string;
  /** As Grafana names units: `s`, `ops`, `percentunit`, `none`. */
  readonly unit: string;
  /** x is in minutes. */
  readonly points: readonly Point[];
}

const PANEL = { width: 450, height: 190, columns: 2 } as const;
/** About how wide a character of a name is, and the gap between two names. */
const NAME = { character: 5.6, gap: 14 } as const;

/** Figures side by side, with the names of their lines above them, as a standalone SVG. */
export function timePlots(plots: readonly TimePlot[], caption: string): string {
  const { width, height, columns } = PANEL;
  const rows = Math.ceil(plots.length / columns);
  const panels = plots.map((plot, index) => {
    const svg = timePlot(plot);
    svg.setAttribute("x", String((index % columns) * width));
    svg.setAttribute("y", String(Math.floor(index / columns) * height));
    // Styles are for figures in a page, where one may be as high as it wants.
    svg.querySelector("style")?.remove();
    return svg.outerHTML.replaceAll(/="[^"]*"/g, (attribute: string) => attribute.replaceAll(/(\.\d)\d+/g, "$1"));
  });
  const [right, bottom] = [columns * width, rows * height + 24];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${right} ${bottom}" width="${right}" height="${bottom}">` +
    `<rect width="100%" height="100%" fill="white"/>${panels.join("")}<text x="10" y="${bottom - 8}" ` +
    `font-family="sans-serif" font-size="10" fill="#555">${caption}</text></svg>\n`;
}

function timePlot({ title, unit, points }: TimePlot): ReturnType<typeof Plot.plot> {
  const { document } = parseHTML("<html><body></body></html>") as unknown as Page;
  const names = [...new Set(points.map(({ series }) => series))];
  const line = { x: "x", y: "y", z: "series", stroke: "series" } as const;
  const top = { frameAnchor: "top-left", dx: -40 } as const;
  const tickText = (value: number) => {
    const short = Number((unit === "percentunit" ? 100 * value : value).toPrecision(3));
    return unit === "percentunit" ? `${short} %` : short >= 1000 ? `${short / 1000}k` : String(short);
  };
  const suffix = unit === "s" ? " (s)" : unit === "ops" ? " (/s)" : "";
  const most = Math.max(...points.map(({ y }) => y));
  return Plot.plot({
    document,
    ...PANEL,
    marginTop: 40,
    marginLeft: 50,
    marginBottom: 24,
    style: { color: "black", fontFamily: "sans-serif", fontSize: "10px" },
    x: { label: null, ticks: 5, tickFormat: (minutes: number) => `${minutes} min` },
    y: { label: null, grid: true, ticks: 4, tickFormat: tickText, domain: [0, most > 0 ? most : 1] },
    color: { scheme: "tableau10", domain: names },
    marks: [
      Plot.ruleY([0]),
      Plot.line(points, line),
      Plot.text([title + suffix], { ...top, dy: -34, fontSize: 12, fontWeight: "bold" }),
      placedNames(names).map(({ name, at }) => Plot.text([name], { ...top, dx: at - 40, dy: -16, fill: () => name })),
      points.length === 0 ? Plot.text(["nothing to show"], { frameAnchor: "middle" }) : null,
    ],
  });
}

/** Names one after another, as many as there is room for. */
function placedNames(names: readonly string[]): readonly { readonly name: string; readonly at: number }[] {
  let end = 0;
  return names.map((name) => {
    const at = end;
    end += name.length * NAME.character + NAME.gap;
    return { name, at };
  }).filter(({ name, at }) => at + name.length * NAME.character < PANEL.width - 10);
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
