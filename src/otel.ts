/**
 * The figures of logs as instruments of OpenTelemetry. It imports no package: a meter is given, or
 * is that of the application's `@opentelemetry/api` 1.x, or of Deno with `OTEL_DENO=true`.
 *
 * @module
 */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { type ObservedLog, takeLogs } from "./arguments/observed.ts";
import { type BatchResult, type Meter, takeMeter } from "./arguments/meter.ts";
import type { WALCommitMessage } from "./messages.ts";
import { attributesOf, INSTRUMENTS, SYNC_DURATION } from "./metrics/instruments.ts";

export type { ObservedLog } from "./arguments/observed.ts";
export type { Attributes, BatchResult, Meter, MeterHistogram, MetricOptions, Observable } from "./arguments/meter.ts";

const COMMITS = "cidstore:wal:commit";

/**
 * Registers all figures of logs as instruments, which one callback reads from `stats()` when the
 * application's SDK collects. docs/metrics.md lists them. Each value has the attributes `path` and
 * `log.id`. The histogram of syncs has the syncs from this call on.
 *
 * @param logs a log or several. One that is closed has no values, and one that is opened again has.
 * @param meter by default, the meter `@cidstore/wal` of the provider that the application has
 * registered. Register the provider first.
 * @returns what unregisters them, with `using` or by its `[Symbol.dispose]()`.
 * @throws {TypeError} if it is no `WAL` and no iterable of them, if `meter` is none, or if none is
 * given and no provider is registered.
 *
 * @example
 * ```ts
 * import { WAL } from "@cidstore/wal";
 * import { type Meter, observe } from "@cidstore/wal/otel";
 *
 * function watch(wal: WAL, meter: Meter): Disposable {
 *   return observe(wal, meter); // observe(wal) where a provider is registered
 * }
 * console.log(watch.length); // 2
 * ```
 */
export function observe(logs: ObservedLog | Iterable<ObservedLog>, meter?: Meter): Disposable {
  const all = takeLogs(logs);
  const into = takeMeter(meter);
  const observed = INSTRUMENTS.map((instrument) => {
    const { name, unit, description, kind } = instrument;
    const options = { unit, description };
    const handle = kind === "counter"
      ? into.createObservableCounter(name, options)
      : into.createObservableGauge(name, options);
    return { instrument, handle };
  });
  const handles = observed.map(({ handle }) => handle);
  const collect = (result: BatchResult) => {
    for (const stats of statsOf(all)) {
      const of = attributesOf(stats);
      for (const { instrument, handle } of observed) {
        for (const { value, attributes } of instrument.read(stats)) {
          result.observe(handle, value, { ...of, ...attributes });
        }
      }
    }
  };
  into.addBatchObservableCallback(collect, handles);
  const stop = recordSyncs(all, into);
  return {
    [Symbol.dispose]() {
      into.removeBatchObservableCallback(collect, handles);
      stop();
    },
  };
}

/** The figures of the open logs. A callback of the SDK must not throw. */
function* statsOf(logs: Iterable<ObservedLog>): Generator<ReturnType<ObservedLog["stats"]>, void, undefined> {
  for (const log of logs) {
    try {
      if (log.isOpen) yield log.stats();
    } catch { /* the caller's clock throws, so the log has no figures now */ }
  }
}

/** Records each sync. OpenTelemetry has no histogram that is read. @returns what ends that. */
function recordSyncs(logs: ReadonlySet<ObservedLog>, meter: Meter): () => void {
  const { name, unit, description, boundsMs } = SYNC_DURATION;
  const advice = { explicitBucketBoundaries: boundsMs.map((boundMs) => boundMs / 1000) };
  const histogram = meter.createHistogram(name, { unit, description, advice });
  const record = (message: unknown) => {
    const { path, logId, durationMs } = message as WALCommitMessage;
    for (const log of logs) {
      if (log.logId === logId) return histogram.record(durationMs / 1000, attributesOf({ path, logId }));
    }
  };
  subscribe(COMMITS, record);
  return () => void unsubscribe(COMMITS, record);
}
