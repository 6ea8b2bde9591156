// Fault: a path comes to mean another file between two openings. The process changes its directory,
//   a symbolic link is turned, a file system is mounted over the directory, or the file is deleted
//   (H42).
// Promise: one WAL opens one log. If another log is at its path all the same, stats().warnings says
//   so (G1, G2).
// Method: open, change, close, open: in children that change their directory, with links that are
//   turned, with a real mount, and on the simulated disk for what another program does.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { type OpenRequest, type Storage, WAL, WALNotFoundError, WALPermissionError } from "../../mod.ts";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import { SimulatedDisk } from "../../testing.ts";
import { projectUrl, runSnippet } from "../support/child.ts";
import { mountSkip } from "../support/loop_device.ts";
import { openOn, PATH } from "../support/logs.ts";
import { allow, confined, FFI, notSandboxed } from "../support/sandbox.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const OPTIONS = { size: 65536, idleHeaderDelayMs: Infinity, allowUnsafeFileSystem: true };

/** Two directories, each with one of its own in it. */
function twoDirectories(): TempDir {
  const directory = tempDir();
  for (const name of ["a/in", "b/in"]) fs.mkdirSync(directory.join(name), { recursive: true });
  return directory;
}

/** Runs a snippet that starts in the first of two directories. @returns its lines. */
async function inFirst(directory: TempDir, body: string, flags?: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await runSnippet(
    `
    import process from "node:process";
    import * as fs from "node:fs";
    import { WAL } from "${projectUrl("mod.ts")}";
    import { SQLiteStore } from "${projectUrl("src/stores/sqlite.ts")}";
    const options = ${JSON.stringify({ ...OPTIONS, idleHeaderDelayMs: 0 })};
    const toSecond = () => process.chdir(${JSON.stringify(directory.join("b"))});
    const attempt = (body) => {
      try {
        console.log(body());
      } catch (error) {
        console.log(error.constructor.name, error.code);
      }
    };
    ${body}`,
    { cwd: directory.join("a"), ...(flags === undefined ? {} : confined(...flags)) },
  );
  assertEquals(code, 0, `${stdout}\n${stderr}`);
  return stdout.trimEnd().split("\n");
}

/** How the log in the first directory can be named from there. */
const NAMES = ["log", "./log", ".//./log", "in/../log", "../a/log"];

for (const name of NAMES) {
  test(`WAL opens the log that ${JSON.stringify(name)} meant when it was given, whatever the directory is since`, async () => {
    using directory = twoDirectories();
    const lines = await inFirst(
      directory,
      `const wal = new WAL(${JSON.stringify(name)}, options);
      toSecond();
      wal.open();
      await wal.logInsert(1, 2, 3, 4);
      wal.close();
      process.chdir("/");
      wal.open();
      console.log(wal.length, wal.recovery.created, wal.stats().warnings.length, wal.path);
      wal.close();`,
    );
    const real = fs.realpathSync(directory.path);
    const [length, created, , path] = lines[0]!.split(" ");
    assertEquals([length, created], ["1", "false"], lines[0]);
    assertEquals(fs.realpathSync(path!), `${real}/a/log`);
    assert(path!.startsWith("/"));
    assertEquals([fs.readdirSync(directory.join("a")).sort(), fs.readdirSync(directory.join("b"))], [["in", "log"], [
      "in",
    ]]);
  });
}

test("WAL.open(), backup() and SQLiteStore take a relative path as it is meant when it is given", async () => {
  using directory = twoDirectories();
  const lines = await inFirst(
    directory,
    `const wal = WAL.open("log", options);
    const store = new SQLiteStore("store.db");
    toSecond();
    for (let i = 0; i < 100; i++) wal.logInsertSync(i, i, i, i);
    wal.flush();
    const consuming = wal.consumeAsync(store);
    await wal.whenApplied();
    wal.backup("copy");
    await wal[Symbol.asyncDispose]();
    await consuming;
    console.log(store.appliedLsn());
    store.close();`,
  );
  assertEquals(lines, ["100"]);
  assertEquals(fs.readdirSync(directory.join("a")).sort(), ["in", "log", "store.db"]);
  assertEquals(fs.readdirSync(directory.join("b")).sort(), ["copy", "in"]);
});

test(
  "WAL.open() of a relative path needs no more permissions than the file's, and of an absolute one asks for no directory",
  async () => {
    using directory = twoDirectories();
    const flags = [allow("read", "in"), allow("write", "in"), FFI];
    const lines = await inFirst(
      directory,
      `attempt(() => {
      using wal = WAL.open("in/log", options);
      return wal.recovery.created;
    });
    attempt(() => WAL.open("other", options));
    process.cwd = () => {
      throw new Error("asked for the working directory");
    };
    attempt(() => {
      using wal = WAL.open(${JSON.stringify(directory.join("a/in/log"))}, options);
      return wal.recovery.created;
    });`,
      flags,
    );
    assertEquals(lines, ["true", "WALPermissionError PERMISSION", "false"]);
  },
  { skip: notSandboxed },
);

test("WAL.open() in a deleted working directory is WALNotFoundError for a relative path, and nothing for another", async () => {
  using directory = twoDirectories();
  const lines = await inFirst(
    directory,
    `fs.rmSync(process.cwd(), { recursive: true });
    attempt(() => WAL.open("log", options));
    attempt(() => WAL.open("./log", options));
    const wal = WAL.open(${JSON.stringify(directory.join("b/log"))}, options);
    attempt(() => wal.backup("copy"));
    wal.close();
    WAL.open(null, options).close();`,
  );
  assertEquals(lines, Array(3).fill("WALNotFoundError NOT_FOUND"));
});

/** Runs with a working directory that cannot be asked for. */
function withoutDirectory(failure: Error, body: () => void): void {
  const { cwd } = process;
  process.cwd = () => {
    throw failure;
  };
  try {
    body();
  } finally {
    process.cwd = cwd;
  }
}

test("WAL.open() in a working directory that may not be asked for is WALPermissionError for a relative path", () => {
  using directory = tempDir();
  // A sandbox may want the right to read it. The system says so where a directory above it is
  // closed.
  const denied = Object.assign(new Error("Requires read access to <CWD>"), { name: "NotCapable" });
  const closed = Object.assign(new Error("EACCES: permission denied"), { code: "EACCES" });
  for (const failure of [denied, closed]) {
    withoutDirectory(failure, () => {
      const error = assertThrows(() => new WAL("log"), WALPermissionError);
      assertEquals([error.path, error.message.includes("absolute path")], ["log", true]);
      const wal = WAL.open(directory.join("log"), OPTIONS);
      assertThrows(() => wal.backup("copy"), WALPermissionError);
      wal.close();
      assertThrows(() => new SQLiteStore("store.db"), WALPermissionError);
      new SQLiteStore(":memory:").close();
      new WAL(pathToFileURL(directory.join("log")), OPTIONS);
      fs.rmSync(directory.join("log"));
    });
  }
  const gone = Object.assign(new Error("ENOENT"), { code: "ENOENT" });
  withoutDirectory(gone, () => assertThrows(() => new WAL("log"), WALNotFoundError, "was deleted"));
});

test("WAL.open() gives absolute paths to a storage of the caller's own", () => {
  const asked: string[] = [];
  const disk = new SimulatedDisk({ directories: ["/sim"] });
  const storage: Storage = {
    open(path: string, request: OpenRequest) {
      asked.push(path);
      return disk.storage.open("/sim/log", request);
    },
    write(path) {
      asked.push(path);
    },
  };
  const wal = WAL.open("log", { ...OPTIONS, storage });
  wal.backup("./copy");
  wal.close();
  assertEquals(asked, [`${process.cwd()}/log`, `${process.cwd()}/copy`]);
});

test("WAL opens the same log again though the symbolic links that led to it were turned", () => {
  using directory = twoDirectories();
  const turn = (target: string, link: string) => {
    fs.rmSync(link, { force: true });
    fs.symlinkSync(target, link);
  };
  const link = directory.join("current");
  turn(directory.join("a"), link);
  const wal = WAL.open(`${link}/log`, OPTIONS);
  for (let round = 1; round <= 3; round++) {
    wal.logInsertSync(round, round, round, round);
    wal.close();
    turn(directory.join(round % 2 === 1 ? "b" : "a"), link);
    wal.open();
    assertEquals([wal.length, wal.path], [round, `${link}/log`]);
  }
  wal.close();
  assertEquals(fs.readdirSync(directory.join("b")), ["in"]);
  // A link that is the log's own name.
  WAL.open(directory.join("b/log"), OPTIONS).close();
  turn(directory.join("a/log"), directory.join("log"));
  const linked = WAL.open(directory.join("log"), OPTIONS);
  linked.close();
  turn(directory.join("b/log"), directory.join("log"));
  linked.open();
  assertEquals(linked.length, 3);
  linked.close();
});

/** The warning of another log. */
const strange = (wal: WAL) => wal.stats().warnings.filter((warning) => warning.includes("another log"));

test("stats() warns of another log at the path, and not of the same one, its salvage or its backup", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  for (let i = 1; i <= 5; i++) wal.logInsertSync(i, i, i, i);
  wal.flush();
  wal.backup("/sim/backup");
  wal.close();
  wal.open();
  assertEquals(strange(wal), []);
  const { logId } = wal;
  wal.close();

  disk.outsider.rename("/sim/backup", PATH);
  wal.open();
  assertEquals([strange(wal).length, wal.length], [0, 5]);
  wal.close();

  disk.outsider.unlink(PATH);
  wal.open();
  assertEquals([strange(wal).length, wal.length, wal.recovery.created], [1, 0, true]);
  assert(strange(wal)[0]!.includes(wal.logId) && !strange(wal)[0]!.includes(logId));
  for (let i = 1; i <= 5; i++) wal.logInsertSync(i, i, i, i);
  wal.close();
  wal.open();
  assertEquals(strange(wal), []);
  wal.close();

  const salvaging = openOn(disk, { recovery: "salvage" });
  salvaging.close();
  disk.damage.flipBit(PATH, 16384 + 64 + 40, 0);
  salvaging.open();
  assertEquals([salvaging.recovery.losses.length, strange(salvaging)], [1, []]);
  salvaging.close();

  const memory = WAL.open(null, OPTIONS);
  memory.close();
  memory.open();
  assertEquals(strange(memory), []);
  memory.close();
});

const noMount = mountSkip();

test("stats() warns when a file system was mounted over the log's directory", () => {
  using directory = twoDirectories();
  const wal = WAL.open(directory.join("a/log"), OPTIONS);
  wal.logInsertSync(1, 1, 1, 1);
  wal.close();
  execFileSync("mount", ["-t", "tmpfs", "none", directory.join("a")]);
  try {
    wal.open();
    assertEquals([wal.length, strange(wal).length], [0, 1]);
    wal.close();
  } finally {
    execFileSync("umount", [directory.join("a")]);
  }
  wal.open();
  assertEquals([wal.length, strange(wal).length], [1, 1]);
  wal.close();
}, { skip: noMount });
