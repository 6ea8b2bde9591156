// The metrics of a log, in one table: from it come the text for Prometheus, the instruments of
// OpenTelemetry, and the table of docs/metrics.md.
//
// Names and units are OpenTelemetry's. Prometheus's names come from them by OpenTelemetry's own
// rules. So whichever way the figures go, one dashboard fits.

import { BOUNDS_MS } from "../engine/histogram.ts";
import type { LatencyHistogram, RegisteredConsumerStats, WALStats } from "../types.ts";

/** A value, and what tells it from the others of its metric. */
export interface Sample {
  readonly value: number;
  readonly attributes: Readonly<Record<string, string>>;
}

interface Described {
  readonly name: string;
  /** A unit after UCUM, or `""`. */
  readonly unit: string;
  readonly description: string;
}

/** A metric with values. A counter only grows while the log is open. */
export interface Instrument extends Described {
  readonly kind: "counter" | "gauge";
  readonly read: (stats: WALStats) => readonly Sample[];
}

/** A metric that is a distribution of durations. */
export interface Distribution extends Described {
  readonly kind: "histogram";
  /** Upper bounds of its buckets. */
  readonly boundsMs: readonly number[];
  readonly read: (stats: WALStats) => LatencyHistogram;
}

/** One value without attributes of its own. */
function one(value: number): readonly Sample[] {
  return [{ value, attributes: {} }];
}

/** A value for each key. */
function each(attribute: string, values: Readonly<Record<string, number>>): readonly Sample[] {
  return Object.entries(values).map(([key, value]) => ({ value, attributes: { [attribute]: key } }));
}

/** A value for each consumer. The unnamed one has the empty name. */
function ofConsumers(value: (consumer: RegisteredConsumerStats) => number): Instrument["read"] {
  return ({ consumers }) =>
    consumers.map((consumer) => ({ value: value(consumer), attributes: { consumer: consumer.name } }));
}

/** How long data syncs take. */
export const SYNC_DURATION: Distribution = {
  name: "cidstore.wal.sync.duration",
  kind: "histogram",
  unit: "s",
  description: "How long data syncs took",
  boundsMs: BOUNDS_MS,
  read: (stats) => stats.syncLatency,
};

/** All other metrics. */
export const INSTRUMENTS: readonly Instrument[] = [
  {
    name: "cidstore.wal.records",
    kind: "counter",
    unit: "{record}",
    description: "Records appended since the log was opened, by operation",
    read: ({ records }) => each("operation", records),
  },
  {
    name: "cidstore.wal.lsn",
    kind: "gauge",
    unit: "{record}",
    description: "Positions: the next LSN to write, the oldest kept, the highest durable, the highest in the store",
    read: ({ head, tail, durable, applied }) => each("position", { head, tail, durable, applied }),
  },
  {
    name: "cidstore.wal.retained",
    kind: "gauge",
    unit: "{record}",
    description: "Records that are kept",
    read: ({ length }) => one(length),
  },
  {
    name: "cidstore.wal.capacity",
    kind: "gauge",
    unit: "{record}",
    description: "Records that the ring can hold",
    read: ({ capacity }) => one(capacity),
  },
  {
    name: "cidstore.wal.fill",
    kind: "gauge",
    unit: "1",
    description: "The share of the ring that is kept",
    read: ({ fillRatio }) => one(fillRatio),
  },
  {
    name: "cidstore.wal.size",
    kind: "gauge",
    unit: "By",
    description: "Size of the log's file",
    read: ({ sizeBytes }) => one(sizeBytes),
  },
  {
    name: "cidstore.wal.syncs",
    kind: "counter",
    unit: "{sync}",
    description: "Syncs since the log was opened, of data and of headers",
    read: ({ syncs, headerSyncs }) => each("kind", { data: syncs, header: headerSyncs }),
  },
  {
    name: "cidstore.wal.sync.longest",
    kind: "gauge",
    unit: "s",
    description: "The longest data sync since the log was opened",
    read: ({ syncLatency }) => one(syncLatency.maxMs / 1000),
  },
  {
    name: "cidstore.wal.sync.offloaded",
    kind: "gauge",
    unit: "",
    description: "1 while group commits run on another thread, 0 while they run inline",
    read: ({ flushMode }) => one(flushMode === "offload" ? 1 : 0),
  },
  {
    name: "cidstore.wal.waiting",
    kind: "gauge",
    unit: "{append}",
    description: "Appends that wait for room in a full ring",
    read: ({ waiting }) => one(waiting),
  },
  {
    name: "cidstore.wal.waits",
    kind: "counter",
    unit: "{append}",
    description: "Appends that have waited for room since the log was opened",
    read: ({ waits }) => one(waits.count),
  },
  {
    name: "cidstore.wal.wait.time",
    kind: "counter",
    unit: "s",
    description: "How long these appends have waited, all together",
    read: ({ waits }) => one(waits.totalMs / 1000),
  },
  {
    name: "cidstore.wal.wait.longest",
    kind: "gauge",
    unit: "s",
    description: "The longest of these waits",
    read: ({ waits }) => one(waits.maxMs / 1000),
  },
  {
    name: "cidstore.wal.unconsumed.age",
    kind: "gauge",
    unit: "s",
    description: "Age of the oldest record that is not in the store, by the record's time",
    read: ({ oldestUnconsumedAgeMs }) => one(oldestUnconsumedAgeMs / 1000),
  },
  {
    name: "cidstore.wal.consumer.running",
    kind: "gauge",
    unit: "",
    description: "1 while the consumer runs",
    read: ofConsumers(({ running }) => running ? 1 : 0),
  },
  {
    name: "cidstore.wal.consumer.position",
    kind: "gauge",
    unit: "{record}",
    description: "The LSN up to which the consumer's store has everything durably",
    read: ofConsumers(({ position }) => position),
  },
  {
    name: "cidstore.wal.consumer.lag",
    kind: "gauge",
    unit: "{record}",
    description: "Records that are not in the consumer's store",
    read: ofConsumers(({ lagRecords }) => lagRecords),
  },
  {
    name: "cidstore.wal.consumer.lag.time",
    kind: "gauge",
    unit: "s",
    description: "Age of the oldest record that is not in the consumer's store",
    read: ofConsumers(({ lagMs }) => lagMs / 1000),
  },
  {
    name: "cidstore.wal.consumer.lost",
    kind: "gauge",
    unit: "",
    description: "1 if the log has given the consumer up",
    read: ofConsumers(({ lost }) => lost ? 1 : 0),
  },
  {
    name: "cidstore.wal.consumer.failures",
    kind: "gauge",
    unit: "{failure}",
    description: "Failures of the consumer in a row, 0 after a success",
    read: ofConsumers(({ attempts }) => attempts),
  },
  {
    name: "cidstore.wal.consumer.skipped",
    kind: "counter",
    unit: "{record}",
    description: "Records that the consumer has skipped since the log was opened",
    read: ofConsumers(({ skipped }) => skipped),
  },
  {
    name: "cidstore.wal.consumer.call",
    kind: "gauge",
    unit: "s",
    description: "How long the current call to the consumer's store has run",
    read: ofConsumers(({ callMs }) => callMs / 1000),
  },
  {
    name: "cidstore.wal.truncations",
    kind: "counter",
    unit: "{truncation}",
    description: "How often the log has released records since it was opened",
    read: ({ truncations }) => one(truncations),
  },
  {
    name: "cidstore.wal.replays",
    kind: "counter",
    unit: "{replay}",
    description: "Calls that read records since the log was opened",
    read: ({ replays }) => one(replays),
  },
  {
    name: "cidstore.wal.errors",
    kind: "counter",
    unit: "{error}",
    description: "Errors since the log was opened, by code",
    read: ({ errors }) => each("code", errors),
  },
  {
    name: "cidstore.wal.checksum.failures",
    kind: "counter",
    unit: "{failure}",
    description: "How often damage was met since the log was opened",
    read: ({ checksumFailures }) => one(checksumFailures),
  },
  {
    name: "cidstore.wal.poisoned",
    kind: "gauge",
    unit: "",
    description: "1 if a sync failed or the file is gone, so that only reopening helps",
    read: ({ poisoned }) => one(poisoned ? 1 : 0),
  },
  {
    name: "cidstore.wal.warnings",
    kind: "gauge",
    unit: "{warning}",
    description: "What an operator should know now, as stats().warnings says",
    read: ({ warnings }) => one(warnings.length),
  },
  {
    name: "cidstore.wal.durable.medium",
    kind: "gauge",
    unit: "",
    description: "0 on tmpfs and in memory, where nothing survives power loss",
    read: ({ durableMedium }) => one(durableMedium ? 1 : 0),
  },
];

/** Which log a value is of. */
export function attributesOf({ path, logId }: Pick<WALStats, "path" | "logId">): Readonly<Record<string, string>> {
  return { path: path ?? "memory", "log.id": logId };
}

/** Suffixes of units, by OpenTelemetry's rules for Prometheus. */
const UNIT_SUFFIXES: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes", 1: "_ratio" };

/** The name that Prometheus has for a metric. */
export function prometheusName({ name, unit, kind }: Instrument | Distribution): string {
  return `${labelName(name)}${UNIT_SUFFIXES[unit] ?? ""}${kind === "counter" ? "_total" : ""}`;
}

/** The name that Prometheus has for an attribute. */
export function labelName(attribute: string): string {
  return attribute.replaceAll(".", "_");
}
