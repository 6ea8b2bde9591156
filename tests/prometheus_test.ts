// The text for Prometheus: its format, its names, and what Prometheus's own tools say of both.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { spawnSync } from "node:child_process";
import { type WAL, WALFullError } from "../mod.ts";
import { INSTRUMENTS, prometheusName, SYNC_DURATION } from "../src/metrics/instruments.ts";
import { prometheusText } from "../src/prometheus.ts";
import { SimulatedDisk } from "../testing.ts";
import { fill, ListStore, openInMemory, openOn } from "./support/logs.ts";
import { noPromtool } from "./support/promtool.ts";
import { test } from "./support/test.ts";

/** The samples of a text, by name and labels as they are written. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => {
    const at = line.lastIndexOf(" ");
    return [line.slice(0, at), Number(line.slice(at + 1).replace("Inf", "Infinity"))];
  }));
}

/** A log to which something of each kind has happened. */
async function busyLog(): Promise<WAL> {
  const wal = openInMemory();
  await wal.logInsert(1, 2, 3, 4);
  await wal.batchInsert([[1, 2, 3, 4], [5, 6, 7, 8]]);
  wal.logDeleteSync(1, 2);
  wal.flush();
  wal.truncate(1);
  fill(wal, wal.capacity - wal.length);
  wal.flush();
  assertThrows(() => fill(wal, 1), WALFullError);
  const stop = new AbortController();
  const consuming = wal.consumeAsync(new ListStore(), { signal: stop.signal });
  await wal.whenApplied();
  stop.abort();
  await consuming;
  return wal;
}

test("prometheusText() has the figures of stats(), with the log's labels", async () => {
  using wal = await busyLog();
  const samples = samplesOf(prometheusText(wal));
  const stats = wal.stats();
  const own = `path="memory",log_id="${wal.logId}"`;
  const value = (name: string, more = "") => samples.get(`cidstore_wal_${name}{${own}${more}}`);
  assertEquals(value("records_total", ',operation="insert"'), stats.records.insert);
  assertEquals(value("records_total", ',operation="delete"'), 1);
  for (const position of ["head", "tail", "durable", "applied"] as const) {
    assertEquals(value("lsn", `,position="${position}"`), stats[position]);
  }
  assertEquals(value("retained"), stats.length);
  assertEquals(value("capacity"), stats.capacity);
  assertEquals(value("fill_ratio"), stats.fillRatio);
  assertEquals(value("size_bytes"), 65536);
  assertEquals(value("syncs_total", ',kind="data"'), stats.syncs);
  assertEquals(value("syncs_total", ',kind="header"'), stats.headerSyncs);
  assertEquals(value("errors_total", ',code="FULL"'), 1);
  assertEquals(value("errors_total", ',code="SYNC"'), 0);
  assertEquals(value("truncations_total"), stats.truncations);
  assertEquals(value("poisoned"), 0);
  const { lagRecords, position } = stats.consumers[0]!;
  assertEquals(value("consumer_lag", ',consumer=""'), lagRecords);
  assertEquals(value("consumer_position", ',consumer=""'), position);
  assertEquals(value("durable_medium"), 0);
  assertEquals(value("sync_duration_seconds_count"), stats.syncLatency.count);
  assertEquals(value("sync_duration_seconds_sum"), stats.syncLatency.totalMs / 1000);
  assertEquals(value("sync_longest_seconds"), stats.syncLatency.maxMs / 1000);
});

test("prometheusText() gives cumulative buckets up to +Inf, in seconds", async () => {
  using wal = await busyLog();
  const { boundsMs, counts, count } = wal.stats().syncLatency;
  const buckets = [...samplesOf(prometheusText(wal))].filter(([key]) => key.includes("_bucket{"));
  let sum = 0;
  const expected = [...boundsMs.map((ms) => String(ms / 1000)), "+Inf"].map((le, i) => [le, sum += counts[i]!]);
  assertEquals(buckets.map(([key, value]) => [/le="([^"]+)"/.exec(key)![1], value]), expected);
  assertEquals(buckets.at(-1)![1], count);
});

test("prometheusText() shows several logs in one family each, a log once, and no closed one", () => {
  const disk = new SimulatedDisk();
  const first = openOn(disk);
  const strange = openOn(disk, {}, '/sim/a "b\\\nc');
  const text = prometheusText([first, strange, first]);
  assert(text.includes(`cidstore_wal_retained{path="/sim/a \\"b\\\\\\nc",log_id="${strange.logId}"} 0\n`));
  assertEquals(text.match(/^# TYPE cidstore_wal_retained gauge$/gm)?.length, 1);
  assertEquals(text.match(/^cidstore_wal_retained\{/gm)?.length, 2);
  const names = text.match(/^# TYPE \S+/gm)!;
  assertEquals(new Set(names).size, names.length);
  strange.close();
  assertEquals(prometheusText([first, strange]).match(/^cidstore_wal_retained\{/gm)?.length, 1);
  first.close();
  assertEquals([prometheusText(first), prometheusText([])], ["", ""]);
});

test("prometheusText() refuses what is no log", () => {
  for (const wrong of [null, undefined, 5, "log", {}, [1], [null], { stats: 1 }]) {
    assertThrows(() => prometheusText(wrong as unknown as WAL), TypeError, "Cannot show the figures of");
  }
});

test("prometheusName() gives the names that OpenTelemetry's rules give, each once", () => {
  const all = [...INSTRUMENTS, SYNC_DURATION];
  const names = all.map(prometheusName);
  assertEquals(new Set(names).size, names.length);
  for (const name of names) assert(/^cidstore_wal_[a-z_]+$/.test(name), name);
  for (const { name, unit, description } of all) {
    assert(/^cidstore\.wal(?:\.[a-z]+)+$/.test(name), name);
    assert(["", "1", "s", "By"].includes(unit) || /^\{[a-z]+\}$/.test(unit), `${name}: ${unit}`);
    assert(/^[A-Z01].*[^.]$/.test(description), description);
  }
});

test("prometheusText() is what promtool takes, without a complaint", async () => {
  using wal = await busyLog();
  using other = openOn(new SimulatedDisk(), {}, '/sim/a "b\\\nc');
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
    input: prometheusText([wal, other]),
    encoding: "utf8",
  });
  assertEquals([status, stdout, stderr], [0, "", ""]);
}, { skip: noPromtool });
