/**
 * The figures of logs as text for Prometheus. It needs no permissions and no other package.
 *
 * @example Answer a scrape
 * ```ts
 * import { createServer } from "node:http";
 * import { WAL } from "@cidstore/wal";
 * import { PROMETHEUS_CONTENT_TYPE, prometheusText } from "@cidstore/wal/prometheus";
 *
 * await using wal = WAL.open(null);
 * const server = createServer((_request, response) => {
 *   response.setHeader("content-type", PROMETHEUS_CONTENT_TYPE);
 *   response.end(prometheusText(wal));
 * });
 * // server.listen(9464);
 * await wal.logInsert(1, 2, 3, 4);
 * console.log(prometheusText(wal).includes("cidstore_wal_fill_ratio")); // true
 * server.close();
 * ```
 *
 * @module
 */

import { type ObservedLog, takeLogs } from "./arguments/observed.ts";
import {
  attributesOf,
  type Distribution,
  type Instrument,
  INSTRUMENTS,
  labelName,
  prometheusName,
  SYNC_DURATION,
} from "./metrics/instruments.ts";
import type { LatencyHistogram, WALStats } from "./types.ts";

export type { ObservedLog } from "./arguments/observed.ts";

/** The content type of what {@linkcode prometheusText} returns. */
export const PROMETHEUS_CONTENT_TYPE: string = "text/plain; version=0.0.4; charset=utf-8";

type Labels = Readonly<Record<string, string>>;

/**
 * All figures of logs, in Prometheus's text format 0.0.4. docs/metrics.md lists them. Each value
 * has the labels `path` and `log_id`. Times are in seconds, sizes in bytes. Counters begin with 0
 * at each `open()`.
 *
 * @param logs a log or several. One that is closed is left out. One that is given twice is shown
 * once.
 * @throws {TypeError} if it is no `WAL` and no iterable of them.
 * @throws what the option `now` of a log throws.
 *
 * @example
 * ```ts
 * import { WAL } from "@cidstore/wal";
 * import { prometheusText } from "@cidstore/wal/prometheus";
 *
 * using wal = WAL.open(null);
 * wal.logInsertSync(1, 2, 3, 4);
 * const lines = prometheusText(wal).split("\n");
 * console.log(lines.find((line) => line.includes('operation="insert"'))?.endsWith(" 1")); // true
 * ```
 */
export function prometheusText(logs: ObservedLog | Iterable<ObservedLog>): string {
  const all = [...takeLogs(logs)].filter((log) => log.isOpen).map((log) => log.stats());
  if (all.length === 0) return "";
  return [...INSTRUMENTS, SYNC_DURATION].map((metric) => familyOf(metric, all)).join("");
}

/** A metric of all logs: what it is, and its values. */
function familyOf(metric: Instrument | Distribution, all: readonly WALStats[]): string {
  const name = prometheusName(metric);
  const lines = all.flatMap((stats) => {
    const labels = attributesOf(stats);
    return metric.kind === "histogram"
      ? histogramLines(name, metric.read(stats), labels)
      : metric.read(stats).map(({ value, attributes }) => lineOf(name, { ...labels, ...attributes }, value));
  });
  return `# HELP ${name} ${escapeHelp(metric.description)}\n# TYPE ${name} ${metric.kind}\n${lines.join("")}`;
}

/** Buckets count all durations up to their bound. The log's exclude the bound, which is as good. */
function histogramLines(
  name: string,
  { boundsMs, counts, count, totalMs }: LatencyHistogram,
  labels: Labels,
): string[] {
  let sum = 0;
  const buckets = [...boundsMs, Infinity].map((boundMs, i) => {
    sum += counts[i]!;
    return lineOf(`${name}_bucket`, { ...labels, le: numberOf(boundMs / 1000) }, sum);
  });
  return [...buckets, lineOf(`${name}_sum`, labels, totalMs / 1000), lineOf(`${name}_count`, labels, count)];
}

function lineOf(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${labelName(key)}="${escapeLabel(text)}"`);
  return `${name}{${pairs.join(",")}} ${numberOf(value)}\n`;
}

function numberOf(value: number): string {
  return value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : String(value);
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
