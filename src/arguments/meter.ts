// The meter that takes the figures of logs: the caller's, or that of the application's provider.
//
// The meter of `@opentelemetry/api` 1.x has the methods below. Nothing is imported from that
// package, so that this library works without it.

import { show } from "./numbers.ts";

/** What tells a value from the others of its instrument. */
export type Attributes = Readonly<Record<string, string>>;

/** What an instrument is, as OpenTelemetry's `MetricOptions`. */
export interface MetricOptions {
  /** What it measures. */
  description?: string;
  /** In which unit, after UCUM. */
  unit?: string;
  /** How it is best shown. */
  advice?: {
    /** Upper bounds of the buckets of a histogram. */
    explicitBucketBoundaries?: number[];
  };
}

/** An instrument that is read in a callback. */
// deno-lint-ignore no-explicit-any -- OpenTelemetry's instruments, which are only handed back
export type Observable = any;

/** Takes the values in a callback, as OpenTelemetry's `BatchObservableResult`. */
export interface BatchResult {
  /** Takes a value. */
  observe(instrument: Observable, value: number, attributes?: Attributes): void;
}

/** A histogram, as OpenTelemetry's `Histogram`. */
export interface MeterHistogram {
  /** Records a value. */
  record(value: number, attributes?: Attributes): void;
}

/** A meter, as OpenTelemetry's `Meter`. */
export interface Meter {
  /** Makes a counter that is read in a callback. */
  createObservableCounter(name: string, options?: MetricOptions): Observable;
  /** Makes a gauge that is read in a callback. */
  createObservableGauge(name: string, options?: MetricOptions): Observable;
  /** Makes a histogram. */
  createHistogram(name: string, options?: MetricOptions): MeterHistogram;
  /** Calls back when values are collected. */
  addBatchObservableCallback(callback: (result: BatchResult) => void, instruments: Observable[]): void;
  /** Calls back no more. */
  removeBatchObservableCallback(callback: (result: BatchResult) => void, instruments: Observable[]): void;
}

/** The application's provider, as OpenTelemetry's `MeterProvider`. */
interface Provider {
  getMeter(name: string, version?: string): Meter;
}

/** The version of this package, which the meter's name goes with. */
export const PACKAGE_VERSION = "0.1.0";

/**
 * Where every `@opentelemetry/api` 1.x keeps what the application has registered, so that several
 * copies of the package share it. Deno keeps its own provider there, too.
 */
const REGISTRY: unique symbol = Symbol.for("opentelemetry.js.api.1");

const METHODS = [
  "createObservableCounter",
  "createObservableGauge",
  "createHistogram",
  "addBatchObservableCallback",
  "removeBatchObservableCallback",
] as const;

/**
 * A meter.
 *
 * @throws {TypeError} if it is none, or if none is given and no provider is registered.
 */
export function takeMeter(given: Meter | undefined): Meter {
  if (given === undefined) return registeredMeter();
  const isMeter = given !== null && typeof given === "object" &&
    METHODS.every((method) => typeof given[method] === "function");
  if (!isMeter) throw new TypeError(`Cannot observe a log with ${show(given)}: it must be a Meter of OpenTelemetry`);
  return given;
}

function registeredMeter(): Meter {
  const registry = (globalThis as { [REGISTRY]?: { metrics?: Provider } })[REGISTRY];
  const provider = registry?.metrics;
  if (provider === undefined) {
    throw new TypeError("Cannot observe a log: no meter is given, and no provider of meters is registered");
  }
  return provider.getMeter("@cidstore/wal", PACKAGE_VERSION);
}
