// examples/metrics: its server, scraped by a real Prometheus, and the queries of its dashboard.

import { assert, assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { WAL } from "../mod.ts";
import { INSTRUMENTS, prometheusName, SYNC_DURATION } from "../src/metrics/instruments.ts";
import { Child, PROJECT_URL, spawnScript } from "./support/child.ts";
import { noPromtool } from "./support/promtool.ts";
import { type TempDir, tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
}

/** The queries of the dashboard, with what Grafana puts in the place of its variables. */
const queries = (JSON.parse(readFileSync(new URL("examples/metrics/dashboard.json", PROJECT_URL), "utf8")) as Dashboard)
  .panels.flatMap(({ targets }) => targets)
  .map(({ expr }) => expr.replaceAll("$__rate_interval", "4s").replaceAll("$path", ".*"));

const RIGHTS = ["--no-prompt", "--allow-ffi", "--allow-net=127.0.0.1", "--allow-read=.", "--allow-write=."];

function startServer(directory: TempDir): Child {
  return spawnScript("examples/metrics/server.ts", { args: ["0"], cwd: directory.path, denoFlags: RIGHTS });
}

async function portOf(server: Child): Promise<string> {
  return (await server.line(/^ready on /)).slice("ready on ".length);
}

/** Where a Prometheus server listens, as it says itself. A free port may be taken meanwhile. */
async function addressOf(prometheus: Child): Promise<string> {
  let hasEnded = false;
  prometheus.result.then(() => hasEnded = true, () => hasEnded = true);
  for (;;) {
    const [, address] = /msg="Listening on".* address=(\S+)/.exec(prometheus.stderr) ?? [];
    if (address !== undefined) return address;
    if (hasEnded) throw new Error(`Prometheus ended:\n${prometheus.stderr}`);
    await setTimeout(10);
  }
}

test("examples/metrics/dashboard.json asks for metrics that there are, in queries that promtool accepts", () => {
  const names = new Set([...INSTRUMENTS, SYNC_DURATION].map(prometheusName));
  const used = queries.flatMap((query) => query.match(/\bcidstore_wal_[a-z_]+/g) ?? []);
  assert(used.length >= queries.length);
  const known = (name: string) => names.has(name) || names.has(name.replace(/_(bucket|sum|count)$/, ""));
  assertEquals(used.filter((name) => !known(name)), []);
  if (noPromtool) return;
  using directory = tempDir();
  const rules = queries.map((expr, i) => `      - record: query_${i}\n        expr: ${JSON.stringify(expr)}\n`);
  writeFileSync(directory.join("rules.yml"), `groups:\n  - name: queries\n    rules:\n${rules.join("")}`);
  const { status, stderr } = spawnSync("promtool", ["check", "rules", directory.join("rules.yml")], {
    encoding: "utf8",
  });
  assertEquals([status, stderr], [0, ""]);
});

test("examples/metrics/server.ts shows its figures with the rights it names, and leaves a clean log at SIGTERM", async () => {
  using directory = tempDir();
  await using server = startServer(directory);
  const url = `http://127.0.0.1:${await portOf(server)}`;
  const response = await fetch(`${url}/metrics`);
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const text = await response.text();
  assert(/^cidstore_wal_consumer_running\{.*consumer="search"\} 1$/m.test(text), text);
  const missing = await fetch(url);
  await missing.body?.cancel();
  assertEquals(missing.status, 404);
  process.kill(server.pid, "SIGTERM");
  const { code, stderr } = await server.result;
  assertEquals([code, stderr], [0, ""]);
  using wal = WAL.open(directory.join("metrics.wal"), { create: false });
  assert(wal.recovery.clean && wal.head > 1);
});

test(
  "examples/metrics/server.ts is scraped by a Prometheus server, which answers each query of the dashboard",
  async () => {
    using directory = tempDir();
    await using server = startServer(directory);
    const config = `global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: wal\n    static_configs:\n` +
      `      - targets: ["127.0.0.1:${await portOf(server)}"]\n`;
    writeFileSync(directory.join("prometheus.yml"), config);
    await using prometheus = new Child([
      "prometheus",
      `--config.file=${directory.join("prometheus.yml")}`,
      `--storage.tsdb.path=${directory.join("data")}`,
      "--web.listen-address=127.0.0.1:0",
    ], {});
    const address = await addressOf(prometheus);
    const ask = async (query: string): Promise<readonly unknown[]> => {
      try {
        const response = await fetch(`http://${address}/api/v1/query?query=${encodeURIComponent(query)}`);
        const { status, data } = await response.json() as { status: string; data: { result: readonly unknown[] } };
        return status === "success" ? data.result : [];
      } catch {
        return []; // it has not started yet
      }
    };
    // Only errors have no values while all goes well.
    for (const query of queries.filter((query) => !query.includes("cidstore_wal_errors_total"))) {
      let found: readonly unknown[] = [];
      for (let tries = 0; tries < 600 && found.length === 0; tries++) {
        found = await ask(query);
        if (found.length === 0) await setTimeout(100);
      }
      assert(found.length > 0, `${query}\n${prometheus.stderr}`);
    }
  },
  { skip: noPromtool },
);
