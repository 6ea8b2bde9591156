// The table of platforms in the README: what it says is tested, is; the rest is in the table of
// constants, or is refused.

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { type Platform, platform, unsupported } from "../ffi/libc/platform.ts";
import { RegionError } from "../ffi/region.ts";
import { PROJECT_URL, projectUrl, runSnippet } from "./support/child.ts";
import { packageJson } from "./support/packed.ts";
import { runtime } from "./support/runtime.ts";
import { test } from "./support/test.ts";

const read = (path: string) => readFileSync(new URL(path, PROJECT_URL), "utf8");

/** Cells of the table, row by row: the header first. */
const [header, ...rows] = [...read("README.md").matchAll(/^\| (?:system|Linux|macOS|Windows).*$/gm)].map(([line]) =>
  line.split("|").slice(1, -1).map((cell) => cell.trim())
) as [string[], ...string[][]];

/** The systems that a row names, as `platform()` knows them. */
function systemsOf(row: readonly string[]): { os: string; processor: string; libc: string | undefined }[] {
  return row[0]!.split(", ").map((name) => {
    const [system, processor, libc] = name.split(" ");
    const os = { Linux: "linux", macOS: "darwin", Windows: "win32" }[system!] ?? "other";
    return { os, processor: processor === "x86-64" ? "x64" : processor ?? "x64", libc };
  });
}

/** True if the C library of this machine is that one, or none is named. */
function hasLibc(libc: string | undefined): boolean {
  const isGlibc = existsSync("/lib64/ld-linux-x86-64.so.2");
  return libc === undefined || (libc === "glibc") === isGlibc;
}

test("README.md names the versions that package.json asks for, and those are tested", () => {
  const { engines, devDependencies } = packageJson;
  const named = header.slice(1).map((cell) => /^(\w+) ≥ ([\d.]+)/.exec(cell)!.slice(1)) as [string, string][];
  assertEquals(Object.fromEntries(named.map(([name, version]) => [name.toLowerCase(), `>=${version}.0`])), engines);
  for (const [name, version] of named.filter(([name]) => name !== "Node")) {
    assert(devDependencies[name.toLowerCase()]!.startsWith(`${version}.`), name);
  }
  const [, node] = named.find(([name]) => name === "Node")!;
  assertStringIncludes(unsupported("here").message, `Node ${node} or later`);
});

test("README.md says of each system that it is in the table of constants, or that it is refused", () => {
  const seen = new Set<Platform>();
  for (const row of rows) {
    const isRefused = row.slice(1).every((cell) => cell === "refused");
    for (const { os, processor, libc } of systemsOf(row)) {
      if (isRefused) {
        assertThrows(() => platform(os, processor), RegionError);
      } else {
        const found = platform(os, processor);
        seen.add(found);
        if (libc !== undefined) assert(found.libraries.some((name) => name.includes("musl") === (libc === "musl")));
      }
    }
    for (const cell of row.slice(1)) assert(isRefused || ["tested", "by design"].includes(cell), cell);
  }
  assertEquals(seen.size, 4);
});

test("README.md calls tested what .ci/run tests: this system, and the runtimes that it has there", () => {
  const script = read(".ci/run");
  assertStringIncludes(script, "npm test");
  // npm ci brings Deno and Bun. Node is installed by the script itself.
  const isRun = { deno: true, bun: true, node: /^install_node$/m.test(script) };
  const tested = rows.filter((row) => row.includes("tested"));
  assertEquals(tested.length, 1);
  assertEquals(tested[0]!.slice(1).map((cell) => cell === "tested"), [isRun.deno, isRun.bun, isRun.node]);
  // On another machine than that of .ci/run, the suite may be tried.
  if (process.env["CI"] !== "true") return;
  for (const { os, processor, libc } of systemsOf(tested[0]!)) {
    assertEquals([os, processor, hasLibc(libc)], [process.platform, process.arch, true]);
  }
});

test("WAL.open() refuses Windows with an error that names it, and keeps a log in memory there", async () => {
  const { stdout, stderr } = await runSnippet(`
    import process from "node:process";
    Object.defineProperty(process, "platform", { value: "win32" });
    const { WAL, WALPlatformError } = await import(${JSON.stringify(projectUrl("mod.ts"))});
    try {
      WAL.open("example.wal");
    } catch (error) {
      console.log(error instanceof WALPlatformError, error.code, error.message);
    }
    await using wal = WAL.open(null);
    await wal.logInsert(1, 2, 3, 4);
    console.log(wal.length);
  `);
  const [refusal, length] = stdout.split("\n");
  assert(/^true PLATFORM .* on win32 \w+: Linux and macOS /.test(refusal!), `${runtime}: ${stdout}${stderr}`);
  assertEquals(length, "1");
});
