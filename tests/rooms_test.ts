// The house: which room may name which, how wide its doors are, how large a class may be, how long
// a line of prose.

import { assert, assertEquals } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { PROJECT_URL } from "./support/child.ts";
import { test } from "./support/test.ts";

/** The files that lie outside of a folder of their own, and the room that they belong to. */
const LOOSE: Readonly<Record<string, string>> = {
  "ffi/region.ts": "port",
  "ffi/readable_file.ts": "port",
  "ffi/live_file.ts": "port",
  "ffi/runtime.ts": "port",
  "ffi/assert.ts": "port",
  "ffi/detach.ts": "port",
  "ffi/file_memory.ts": "port",
  "ffi/turn.ts": "port",
  "ffi/storage.ts": "disk",
  "ffi/memory.ts": "disk",
  "src/types.ts": "base",
  "src/errors.ts": "base",
  "src/messages.ts": "base",
  "src/assert.ts": "base",
  "src/keys.ts": "keys",
  "src/otel.ts": "metrics",
  "src/prometheus.ts": "metrics",
  "src/runs.ts": "runs",
  "src/shards.ts": "shards",
  "src/wal.ts": "log",
  "src/consumption.ts": "log",
  "src/log.ts": "log",
  "src/open_logs.ts": "log",
  "src/statistics.ts": "log",
};

/** What each room may name, besides itself. No room is named by one that it names. */
const MAY_NAME: Readonly<Record<string, readonly string[]>> = {
  port: [],
  libc: ["port"],
  system: ["libc", "port"],
  file: ["system", "libc", "port"],
  disk: ["file", "system", "libc", "port"],
  base: ["port"],
  format: ["base", "port"],
  arguments: ["format", "base", "disk", "file", "port"],
  read: ["arguments", "format", "base"],
  engine: ["read", "arguments", "format", "base", "port"],
  recovery: ["engine", "read", "arguments", "format", "base", "disk", "port"],
  consume: ["engine", "read", "arguments", "format", "base", "port"],
  follow: ["recovery", "consume", "engine", "read", "arguments", "format", "base", "port"],
  log: ["follow", "recovery", "consume", "engine", "read", "arguments", "format", "base", "disk", "port"],
  keys: ["arguments", "format", "base"],
  runs: ["read", "arguments", "format", "base", "port"],
  metrics: ["engine", "arguments", "base"],
  shards: ["log", "arguments", "format", "base"],
  ship: ["consume", "runs", "arguments", "format", "base", "port"],
  stores: ["arguments", "format", "base"],
  testing: ["log", "consume", "read", "arguments", "format", "base", "file", "system", "port"],
};

/**
 * Classes that are larger, with the reason, or `"to be mended"`. Take a class off when it has
 * become smaller.
 */
const TOO_LARGE: Readonly<Record<string, string>> = {
  "ffi/system/posix.ts PosixSystem": "System alone has 25 members, and system.ts says why it is whole",
  "src/testing/disk/simulated_system.ts SimulatedSystem": "as PosixSystem",
  "src/testing/disk/simulated_disk.ts SimulatedDisk": "the public members alone are 28",
  "src/testing/disk/simulated_file.ts SimulatedFile": "write-back is one algorithm over page cache and medium",
  "src/read/cursor.ts RingCursor": "the public members alone are 18",
  "src/read/stored_record.ts StoredRecord": "ten of the members are its words",
  "src/shards.ts Shards": "as WAL",
  "src/consume/feed.ts Feed": "the members of its port alone are 22",
  "src/ship/remote_log.ts RemoteLog": "as Feed",
  "src/wal.ts WAL": "the public methods alone are more",
};

const MOST_MEMBERS = 25;
const MOST_LINES = 300;

/**
 * Folders and files whose comments are wrapped at 100 columns. The list grows until it holds all.
 */
const WRAPPED: readonly string[] = [
  "bench",
  "cli",
  "examples",
  "ffi",
  "mod.ts",
  "scripts",
  "src/arguments",
  "src/consume",
  "src/consumption.ts",
  "src/engine",
  "src/errors.ts",
  "src/follow",
  "src/format",
  "src/keys.ts",
  "src/log.ts",
  "src/messages.ts",
  "src/open_logs.ts",
  "src/read",
  "src/recovery",
  "src/metrics",
  "src/otel.ts",
  "src/prometheus.ts",
  "src/runs.ts",
  "src/shards",
  "src/shards.ts",
  "src/ship",
  "src/statistics.ts",
  "src/stores",
  "src/testing",
  "src/types.ts",
  "src/wal.ts",
  "testing.ts",
  "tests",
];
const MOST_COLUMNS = 100;

function read(path: string): string {
  return readFileSync(new URL(path, PROJECT_URL), "utf8");
}

/** The sources below a folder. */
function sources(folder: string): string[] {
  return readdirSync(new URL(folder, PROJECT_URL), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `${folder}/${name}`)
    .sort();
}

function roomOf(path: string): string {
  const parts = path.split("/");
  const room = parts.length === 2 ? LOOSE[path] : parts[1];
  assert(room !== undefined && MAY_NAME[room] !== undefined, `${path} is in no room of the table`);
  return room;
}

/** The files that a file imports by a relative path. */
function importsOf(path: string): string[] {
  const names = [...read(path).matchAll(/(?:from|^import) "(\.[^"]+)"/gm)].map((match) => match[1]!);
  return names.map((name) => posix.join(posix.dirname(path), name));
}

test("imports go from room to room in the allowed directions only", () => {
  const wrong = new Set<string>();
  for (const path of [...sources("src"), ...sources("ffi")]) {
    const room = roomOf(path);
    for (const imported of importsOf(path)) {
      const named = roomOf(imported);
      if (named !== room && !MAY_NAME[room]!.includes(named)) wrong.add(`${path} names ${named}`);
    }
  }
  assertEquals([...wrong], []);
});

/** The rooms that the command-line tool may name, besides the public surface. */
const TOOL_MAY_NAME: readonly string[] = ["format", "recovery", "keys", "runs"];

test("cli/ names the public surface, the format and what recovery decides, and nothing names cli/", () => {
  const wrong: string[] = [];
  for (const path of sources("cli")) {
    for (const imported of importsOf(path)) {
      const isAllowed = imported === "mod.ts" || imported.startsWith("cli/") ||
        TOOL_MAY_NAME.includes(roomOf(imported));
      if (!isAllowed) wrong.push(`${path} names ${imported}`);
    }
  }
  for (const path of ["mod.ts", "testing.ts", ...sources("src"), ...sources("ffi")]) {
    for (const imported of importsOf(path)) if (imported.startsWith("cli/")) wrong.push(`${path} names ${imported}`);
  }
  assertEquals(wrong, []);
});

test("the table of rooms has no circle", () => {
  const reached = (room: string, from: readonly string[] = []): void => {
    assert(!from.includes(room), `${[...from, room].join(" names ")}`);
    for (const next of MAY_NAME[room]!) reached(next, [...from, room]);
  };
  for (const room of Object.keys(MAY_NAME)) reached(room);
});

/** The lines of a class or an interface, from the one that opens it to the one that closes it. */
function* blocks(path: string, kind: "class" | "interface"): Generator<{ name: string; lines: string[] }> {
  const lines = read(path).split("\n");
  for (const [start, line] of lines.entries()) {
    const name = line.match(new RegExp(`^(?:export )?(?:abstract )?${kind} (\\w+)`))?.[1];
    if (name === undefined) continue;
    const length = lines.slice(start).findIndex((line) => line.startsWith("}") || line.endsWith("{}")) + 1;
    yield { name, lines: lines.slice(start, start + length) };
  }
}

/** How many verbs an interface has. */
function verbs(path: string, name: string): number {
  const found = [...blocks(path, "interface")].find((block) => block.name === name);
  assert(found !== undefined, `${path} has an interface ${name}`);
  return found.lines.filter((line) => /^ {2}\w+\??[(<]/.test(line)).length;
}

test("Region has 8 verbs at most, System 22, Mapping 6", () => {
  const counts = {
    Region: verbs("ffi/region.ts", "Region"),
    System: verbs("ffi/system/system.ts", "System"),
    Mapping: verbs("ffi/system/system.ts", "Mapping"),
  };
  assertEquals(counts, { Region: 8, System: 22, Mapping: 6 });
});

test("no class has more than 25 members or 300 lines, but for those listed", () => {
  const tooLarge: string[] = [];
  for (const path of [...sources("src"), ...sources("ffi"), ...sources("cli")]) {
    for (const { name, lines } of blocks(path, "class")) {
      // Members are indented by two spaces: neither comments nor what closes a member.
      const members = lines.slice(1).filter((line) => /^ {2}[\w#*[]/.test(line)).length;
      const isLarge = members > MOST_MEMBERS || lines.length > MOST_LINES;
      if (isLarge && TOO_LARGE[`${path} ${name}`] === undefined) {
        tooLarge.push(`${path} ${name}: ${members} members, ${lines.length} lines`);
      }
    }
  }
  assertEquals(tooLarge, []);
});

test("comments are wrapped at 100 columns in the folders that are done", () => {
  const long: string[] = [];
  const paths = WRAPPED.flatMap((path) => path.endsWith(".ts") ? [path] : sources(path));
  for (const path of paths) {
    for (const [index, line] of read(path).split("\n").entries()) {
      const isComment = /^\s*(\/\/|\/?\*(?![\w#]))/.test(line) && !/^\s*\/\/ deno-/.test(line);
      if (isComment && line.length > MOST_COLUMNS) long.push(`${path}:${index + 1}`);
    }
  }
  assertEquals(long, []);
});
