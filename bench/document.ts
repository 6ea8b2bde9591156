// Writes the tables of README.md and of the pages in docs from the results of each runtime.
//
//   bench/document.ts

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { replacePart, table } from "../scripts/markdown.ts";
import { PROJECT } from "../scripts/tools.ts";
import { median } from "./measure.ts";
import { format, showWanted } from "./report.ts";
import { figures, readResult, type RunResult } from "./results.ts";
import { shippingTable } from "./ship/report.ts";
import { judge, makeTargets, type Target, type Verdict } from "./targets.ts";

/** A row of the table of workloads: the library, beside all that the row names. */
interface Row {
  readonly workload: string;
  readonly contest: string;
  /** The library's label in the contest; `wal` by default. */
  readonly label?: string;
  /** The figure that is compared; operations a second by default. */
  readonly metric?: string;
  /** Labels of others, each with its name in the table. */
  readonly rivals?: Readonly<Record<string, string>>;
  readonly inReadme?: boolean;
}

const RIVALS_OF_ONE = { "sqlite-full": "SQLite FULL", "classic-level": "classic-level", lmdb: "lmdb" };
const RIVALS_OF_MANY = {
  "file-group": "hand-written group commit",
  "sqlite-full-turn": "SQLite, a transaction a turn",
  lmdb: "lmdb",
};
const RIVALS_IN_BATCHES = { "sqlite-full": "SQLite FULL", lmdb: "lmdb" };
const RIVALS_UNSYNCED = { file: "`fs.writeSync`", lmdb: "lmdb without sync", "sqlite-full": "SQLite NORMAL" };
const RIVALS_OF_SERVICE = { "sqlite-full-turn": "SQLite FULL, a transaction a turn" };
const FRESH = "freshOpsPerSecond";

const ROWS: readonly Row[] = [
  { workload: "one writer, each append awaited and durable", contest: "W1", rivals: RIVALS_OF_ONE, inReadme: true },
  { workload: 'one writer, `flush: "offload"`', contest: "W1", label: "wal-offload" },
  { workload: "16 writers", contest: "W2 16" },
  { workload: "256 writers", contest: "W2 256", inReadme: true },
  { workload: "4096 writers", contest: "W2 4096", rivals: RIVALS_OF_MANY, inReadme: true },
  { workload: "4096 writers, in bytes", contest: "W2 4096", label: "wal-bytes", rivals: RIVALS_OF_MANY },
  { workload: '4096 writers, by default (`"adaptive"`)', contest: "W2 4096", label: "wal-adaptive" },
  { workload: "durable batches of 1000", contest: "W3", rivals: RIVALS_IN_BATCHES, inReadme: true },
  {
    workload: "the same batches, packed",
    contest: "W3",
    label: "wal-packed",
    rivals: RIVALS_IN_BATCHES,
    inReadme: true,
  },
  { workload: "the same batches, deletes and inserts in turn", contest: "W3", label: "wal-mixed" },
  { workload: "append without waiting", contest: "W4", metric: FRESH, rivals: RIVALS_UNSYNCED, inReadme: true },
  { workload: "append without waiting, in bytes", contest: "W4", metric: FRESH, label: "wal-bytes" },
  { workload: "append without waiting, 64 packed at once", contest: "W4", metric: FRESH, label: "wal-packed" },
  { workload: "open and verify 1M records", contest: "W5 verify 1M" },
  { workload: "open and verify 8M records", contest: "W5 verify 8M" },
  { workload: "written and applied, to memory", contest: "W6 memory", rivals: { map: "a bare `Map`" } },
  {
    workload: "written packed and applied, to memory",
    contest: "W6 memory",
    label: "wal-packed",
    rivals: { map: "a bare `Map`" },
  },
  {
    workload: "written and applied, to SQLite",
    contest: "W6 sqlite",
    rivals: { "sqlite-full": "SQLite FULL itself in the same batches" },
    inReadme: true,
  },
  {
    workload: "written packed and applied, to SQLite",
    contest: "W6 sqlite",
    label: "wal-packed",
    rivals: { "sqlite-full-packed": "SQLite FULL itself in the same batches" },
  },
  {
    workload: "HTTP service, 32 clients, answers when applied",
    contest: "W11",
    label: "wal-applied",
    rivals: RIVALS_OF_SERVICE,
  },
  {
    workload: "HTTP service, 32 clients, answers when durable",
    contest: "W11",
    label: "wal-durable",
    rivals: { ...RIVALS_OF_SERVICE, http: "HTTP alone" },
  },
];

/** Plain figures: what, contest, label, metric, the unit's size, and the unit. */
const FIGURES: readonly (readonly [string, string, string, string, number, string])[] = [
  ["`replay()` of 1M records, a second", "W5 replay 1M", "wal", "opsPerSecond", 1e6, "million"],
  ["a cursor over them, a second", "W5 scan 1M", "wal", "opsPerSecond", 1e6, "million"],
  [
    'delay of a timer by 4096 writers with `flush: "offload"`, 99th percentile',
    "W7",
    "wal-offload",
    "delayP99Ms",
    1,
    "ms",
  ],
  ["open a log of 64 MiB after a clean close", "W9", "clean 64 MiB", "openMs", 1, "ms"],
  ["open a log of 1 GiB after a clean close", "W9", "clean 1 GiB", "openMs", 1, "ms"],
  ["open a log of 64 MiB after a kill", "W9", "killed 64 MiB", "openMs", 1, "ms"],
  ["`cursor()` of a follower over 1M records, a second", "W13", "cursor()", "opsPerSecond", 1e6, "million"],
  ["`records()` of a follower over them, a second", "W13", "records()", "opsPerSecond", 1e6, "million"],
  ["`consumeAsync()` of a follower over them, a second", "W13", "consumeAsync()", "opsPerSecond", 1e6, "million"],
  ["`backup()` of a full log of 64 MiB", "W10", "backup()", "copyMs", 1, "ms"],
];

const NOT_MEASURED = "–";

/** The results of each runtime that has any. */
type Results = readonly RunResult[];

/** The runtimes by their names in tables, in the order of the figures. */
const RUNTIMES = { deno: "Deno", bun: "Bun", node: "Node" };

/** The documents with their tables written anew, by their paths. */
export function makeDocuments(): Readonly<Record<string, string>> {
  const results = Object.keys(RUNTIMES).flatMap(resultOf);
  const short = ROWS.filter(({ inReadme }) => inReadme);
  return {
    "docs/performance.md": withTables("docs/performance.md", {
      workloads: workloadsTable(results, ROWS),
      figures: figuresTable(results),
      targets: targetsTable(results),
    }),
    "docs/followers.md": withTables("docs/followers.md", { doorbell: doorbellTable(results) }),
    "docs/shipping.md": withTables("docs/shipping.md", {
      jetstream: shippingTable("jetstream"),
      "jetstream-2.15": shippingTable("jetstream-2.15"),
      postgres: shippingTable("postgres"),
    }),
    "README.md": withTables("README.md", { workloads: workloadsTable(results, short) }),
  };
}

function resultOf(runtime: string): Results {
  const path = join(PROJECT, `bench/results/${runtime}.json`);
  return existsSync(path) ? [readResult(path)] : [];
}

function namesOf(results: Results): readonly string[] {
  return results.map(({ machine }) => RUNTIMES[machine.runtime]);
}

function withTables(path: string, tables: Readonly<Record<string, string>>): string {
  const text = readFileSync(join(PROJECT, path), "utf8");
  return Object.entries(tables).reduce((text, [name, content]) => replacePart(text, name, content), text);
}

function workloadsTable(results: Results, rows: readonly Row[]): string {
  const cells = rows.map(({ workload, contest, label = "wal", metric = "opsPerSecond", rivals = {} }) => {
    const beside = (against: string, unit = ""): string =>
      together(
        results.map(({ contests }) => judge({ contest, what: "", label, metric, against }, contests)?.median),
        unit,
      );
    const others = Object.entries(rivals)
      .map(([rival, name]) => [name, beside(rival, "×")] as const)
      .flatMap(([name, figures]) => figures === NOT_MEASURED ? [] : [`${name} ${figures}`]);
    return [
      workload,
      beside("limit"),
      beside("prototype", "×"),
      others.join(", "),
    ];
  });
  return table([["workload", "share of C", "beside the prototype", "beside others"], ...cells]);
}

function figuresTable(results: Results): string {
  const rows = FIGURES.map(([what, contest, label, metric, size, unit]) => {
    const values = results.map(({ contests }) => {
      const rounds = contests.find(({ id }) => id === contest)?.rounds ?? [];
      return median(figures(rounds, label, metric)) / size;
    });
    return [what, ...values.map((value) => Number.isNaN(value) ? NOT_MEASURED : `${format(value)} ${unit}`)];
  });
  return table([["what", ...namesOf(results)], ...rows]);
}

/** How long after the acknowledgement a follower has a record, for each pair of runtimes. */
function doorbellTable(results: Results): string {
  const rows = Object.entries(RUNTIMES).map(([writer, name]) => {
    const cells = results.map(({ contests }) => {
      const rounds = contests.find(({ id }) => id === "W14")?.rounds ?? [];
      const of = (metric: string) => format(median(figures(rounds, `writer on ${writer}`, metric)));
      return of("p50Us") === "" ? NOT_MEASURED : `${of("p50Us")} / ${of("p99Us")}`;
    });
    return [`writer on ${name}`, ...cells];
  });
  return table([["p50 / p99, µs", ...namesOf(results).map((name) => `follower on ${name}`)], ...rows]);
}

/** Each target that was measured. A figure that misses its target is bold. */
function targetsTable(results: Results): string {
  const judged = results.map(({ machine, contests }) =>
    makeTargets(machine.runtime).map((target) => ({ target, verdict: judge(target, contests) }))
  );
  const rows = judged[0]!.flatMap(({ target }, i) => {
    const each: readonly Judged[] = judged.map((one) => one[i]!);
    if (each.every(({ verdict }) => verdict === undefined)) return [];
    const wanted = [...new Set(each.map(({ target }) => showWanted(target)))].join(" / ");
    return [[target.contest, target.what, wanted, ...each.map(({ verdict }) => showVerdict(verdict))]];
  });
  return table([["", "target", "wanted", ...namesOf(results)], ...rows]);
}

interface Judged {
  readonly target: Target;
  readonly verdict: Verdict | undefined;
}

function showVerdict(verdict: Verdict | undefined): string {
  if (verdict === undefined) return NOT_MEASURED;
  const text = format(verdict.median);
  return verdict.met ? text : `**${text}**`;
}

/** The figures of all runtimes in one cell. */
function together(values: readonly (number | undefined)[], unit: string): string {
  if (values.every((value) => value === undefined)) return NOT_MEASURED;
  return values.map((value) => value === undefined ? NOT_MEASURED : `${format(value)}${unit}`).join(" / ");
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(makeDocuments())) writeFileSync(join(PROJECT, path), text);
}
