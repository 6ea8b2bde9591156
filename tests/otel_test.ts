// OpenTelemetry: the real API and SDK, and what their types and ours say of each other.

import { metrics } from "@opentelemetry/api";
import { AggregationTemporality, DataPointType, MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { WAL } from "../mod.ts";
import { PACKAGE_VERSION } from "../src/arguments/meter.ts";
import { INSTRUMENTS, SYNC_DURATION } from "../src/metrics/instruments.ts";
import { type Meter, observe } from "../src/otel.ts";
import { SimulatedDisk } from "../testing.ts";
import { PROJECT_URL, projectUrl, runSnippet } from "./support/child.ts";
import { ListStore, openInMemory, openOn } from "./support/logs.ts";
import { runtime } from "./support/runtime.ts";
import { test } from "./support/test.ts";

/** Collects when it is told to. It shows only what callbacks report then, not what they did. */
class Reader extends MetricReader {
  constructor() {
    super({ aggregationTemporalitySelector: () => AggregationTemporality.DELTA });
  }

  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }

  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }

  /** Each point as `name{attributes}` with its value; of a histogram, its count. */
  async points(): Promise<Map<string, number>> {
    const { resourceMetrics, errors } = await this.collect();
    assertEquals(errors, []);
    const points = new Map<string, number>();
    for (const { metrics } of resourceMetrics.scopeMetrics) {
      for (const { descriptor: { name }, dataPointType, dataPoints } of metrics) {
        for (const { attributes, value } of dataPoints) {
          const key = `${name}${JSON.stringify(attributes)}`;
          assert(!points.has(key), `${key} is there once`);
          points.set(
            key,
            dataPointType === DataPointType.HISTOGRAM ? (value as { count: number }).count : value as number,
          );
        }
      }
    }
    return points;
  }
}

function collected(): { reader: Reader; meter: ReturnType<MeterProvider["getMeter"]> } {
  const reader = new Reader();
  return { reader, meter: new MeterProvider({ readers: [reader] }).getMeter("test") };
}

/** The values of one log's metric, by its own attributes. */
function valuesOf(points: Map<string, number>, wal: WAL, path: string, name: string): unknown[] {
  return [...points].filter(([key]) => key.startsWith(`${name}{`) && key.includes(wal.logId)).map(([key, value]) => {
    const { path: found, "log.id": _, ...own } = JSON.parse(key.slice(name.length)) as Record<string, string>;
    assertEquals(found, path);
    return [...Object.values(own), value];
  });
}

test("observe() hands all figures of open logs to the SDK when it collects, until it is disposed", async () => {
  const { reader, meter } = collected();
  const disk = new SimulatedDisk();
  const first = openOn(disk, { flush: "inline" });
  const second = openOn(disk, {}, "/sim/second");
  const observing = observe([first, second], meter);
  for (const wal of [first, second]) {
    const stop = new AbortController();
    const consuming = wal.consumeAsync(new ListStore(), { name: "search", signal: stop.signal });
    await wal.whenApplied();
    stop.abort();
    await consuming;
  }
  await first.logInsert(1, 2, 3, 4);
  first.logDeleteSync(1, 2);
  first.flush();
  let points = await reader.points();
  for (const { name } of INSTRUMENTS) {
    for (const [wal, path] of [[first, "/sim/log"], [second, "/sim/second"]] as const) {
      assert(valuesOf(points, wal, path, name).length > 0, `${name} of ${path}`);
    }
  }
  const records = valuesOf(points, first, "/sim/log", "cidstore.wal.records");
  assertEquals(records.slice(0, 2), [["insert", 1], ["delete", 1]]);
  assertEquals(valuesOf(points, first, "/sim/log", "cidstore.wal.consumer.lag"), [["search", 2]]);
  assertEquals(valuesOf(points, second, "/sim/second", "cidstore.wal.retained"), [[0]]);
  assertEquals(valuesOf(points, first, "/sim/log", SYNC_DURATION.name), [[2]]);
  assertEquals(valuesOf(points, second, "/sim/second", SYNC_DURATION.name), []);
  second.close();
  points = await reader.points();
  assertEquals(valuesOf(points, first, "/sim/log", "cidstore.wal.retained"), [[2]]);
  observing[Symbol.dispose]();
  await first.logInsert(1, 2, 3, 4);
  points = await reader.points();
  assertEquals(valuesOf(points, first, "/sim/log", "cidstore.wal.records"), []);
  assertEquals(valuesOf(points, first, "/sim/log", SYNC_DURATION.name), []);
  first.close();
});

test("observe() survives a log that is closed, opened again, or has a clock that throws", async () => {
  const { reader, meter } = collected();
  let broken = false;
  const now = () => {
    if (broken) throw new Error("the clock is broken");
    return 1_700_000_000_000;
  };
  const wal = openOn(new SimulatedDisk(), { now });
  using _observing = observe(wal, meter);
  wal.close();
  assertEquals((await reader.points()).size, 0);
  wal.open();
  assertEquals(valuesOf(await reader.points(), wal, "/sim/log", "cidstore.wal.retained"), [[0]]);
  broken = true;
  assertEquals((await reader.points()).size, 0);
  broken = false;
  wal.close();
});

test("observe() of several calls gives each log its own values, and each call ends by itself", async () => {
  const { reader, meter } = collected();
  using one = openInMemory();
  using other = openInMemory();
  using _first = observe(one, meter);
  const second = observe(other, meter);
  assertEquals(valuesOf(await reader.points(), one, "memory", "cidstore.wal.retained"), [[0]]);
  assertEquals(valuesOf(await reader.points(), other, "memory", "cidstore.wal.retained"), [[0]]);
  second[Symbol.dispose]();
  assertEquals(valuesOf(await reader.points(), one, "memory", "cidstore.wal.retained"), [[0]]);
  assertEquals(valuesOf(await reader.points(), other, "memory", "cidstore.wal.retained"), []);
});

test("observe() without a meter takes that of the provider that is registered, and throws if none is", async () => {
  using wal = openInMemory();
  assertThrows(() => observe(wal), TypeError, "no provider of meters is registered");
  const reader = new Reader();
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  try {
    using _observing = observe(wal);
    const { resourceMetrics } = await reader.collect();
    const scopes = resourceMetrics.scopeMetrics.map(({ scope: { name, version } }) => [name, version]);
    assertEquals(scopes, [["@cidstore/wal", PACKAGE_VERSION]]);
  } finally {
    metrics.disable();
  }
});

test("observe() refuses what is no log, and what is no meter", () => {
  using wal = openInMemory();
  const { meter } = collected();
  for (const wrong of [null, undefined, 5, {}, [1]]) {
    assertThrows(() => observe(wrong as unknown as WAL, meter), TypeError, "Cannot show the figures of");
  }
  for (const wrong of [null, 5, {}, { createObservableGauge() {} }]) {
    assertThrows(() => observe(wal, wrong as unknown as Meter), TypeError, "it must be a Meter");
  }
});

test("Meter is a type that OpenTelemetry's own meter has", () => {
  const taken: Meter = metrics.getMeter("types");
  assertEquals(typeof taken.createObservableGauge, "function");
});

test("PACKAGE_VERSION is that of package.json", () => {
  const { version } = JSON.parse(readFileSync(new URL("package.json", PROJECT_URL), "utf8")) as { version: string };
  assertEquals(PACKAGE_VERSION, version);
});

test("observe() gives its figures to Deno's own exporter, which sends them to a collector", async () => {
  const bodies: Uint8Array[] = [];
  const server = createServer((request, response) => {
    const parts: Uint8Array[] = [];
    request.on("data", (part: Uint8Array) => parts.push(part));
    request.on("end", () => {
      if (request.url === "/v1/metrics") bodies.push(Buffer.concat(parts));
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  try {
    const { code, stderr } = await runSnippet(
      `
      import { WAL } from ${JSON.stringify(projectUrl("mod.ts"))};
      import { observe } from ${JSON.stringify(projectUrl("src/otel.ts"))};
      using wal = WAL.open(null);
      using observing = observe(wal);
      await wal.logInsert(1, 2, 3, 4);
      wal.consumeAsync({ applyBatch() {} }, { name: "search" });
      await new Promise((resolve) => setTimeout(resolve, 1500));
    `,
      {
        env: {
          OTEL_DENO: "true",
          OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
          OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
          OTEL_METRIC_EXPORT_INTERVAL: "200",
        },
      },
    );
    assertEquals(code, 0, stderr);
  } finally {
    server.close();
  }
  const sent = bodies.map((body) => Buffer.from(body).toString()).join("\n");
  for (const { name } of [...INSTRUMENTS, SYNC_DURATION]) assert(sent.includes(`"${name}"`), name);
}, { skip: runtime !== "deno" && "only Deno has an exporter of its own" });
