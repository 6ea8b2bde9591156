// How commands end: wrong command lines, broken pipes, a full disk, Ctrl-C.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import process from "node:process";
import { WAL } from "../mod.ts";
import {
  jsonLines,
  makeLog,
  READ_ONLY,
  runHere,
  runTool,
  slotAt,
  spoil,
  startTool,
  waitFor,
} from "./support/cidwal.ts";
import { mountSkip } from "./support/loop_device.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const COMMANDS = ["stat", "dump", "verify", "follow", "export", "import", "backup", "salvage"];

test("cli/main.ts runs each command as a user does, with as few permissions as it needs", async () => {
  using directory = tempDir();
  const [path, damaged, copy, backup, salvaged] = ["log", "damaged", "copy", "backup", "salvaged"].map((name) =>
    directory.join(name)
  ) as [string, string, string, string, string];
  makeLog(path);
  copyFileSync(path, damaged);
  spoil(damaged, slotAt(2) + 50);
  const runs = async (args: readonly string[], code: number, denoFlags = READ_ONLY, stdin?: string) => {
    const { stdout, stderr, code: ended } = await runTool(args, { denoFlags, ...stdin === undefined ? {} : { stdin } });
    assertEquals([ended, stderr], [code, ""], args.join(" "));
    return stdout;
  };
  assertMatch(await runs(["stat", path], 0), /^records +LSN 1 to 12$/m);
  assertEquals(jsonLines(await runs(["dump", "--json", "--limit=2", path], 0)).length, 2);
  assertMatch(await runs(["dump", "--raw", damaged], 0), /^ +16448 damaged +2$/m);
  assertMatch(await runs(["verify", damaged], 2), /: damaged: /);
  assertMatch(await runs(["follow", "--limit=10", path], 0), /^ 12 /m);
  const exported = await runs(["export", path], 0);
  const writing = [...READ_ONLY, "--allow-write"];
  assertMatch(await runs(["salvage", "--to", salvaged, damaged], 0, writing), /^LSN 2 to 3 are lost/); // it calls no C
  const all = [...writing, "--allow-ffi"];
  assertMatch(await runs(["backup", path, backup], 0, all), /^Copied 12 records/);
  assertMatch(await runs(["import", copy, "-"], 0, all, exported), /^Imported 11 records/);
});

test("cli/main.ts --help and --version say what there is, for each command too", async () => {
  const { stdout, code } = await runHere(["--help"]);
  assertEquals(code, 0);
  for (const name of COMMANDS) assertMatch(stdout, new RegExp(`^  ${name} +\\w`, "m"));
  for (const name of COMMANDS) {
    const { stdout, stderr, code } = await runHere([name, "--help"]);
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, new RegExp(`^Usage: cidwal ${name} \\[OPTIONS\\] `));
    assert(stdout.split("\n").every((line) => line.length < 80), stdout);
  }
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  assertEquals((await runHere(["--version"])).stdout, `cidwal ${version}\n`);
});

test("cli/main.ts says in one line what is wrong with a command line, and exits with 64", async () => {
  for (
    const [args, says] of [
      [[], "a command is missing; see cidwal --help"],
      [["sta"], 'there is no command "sta"; see cidwal --help'],
      [["stat"], "FILE is missing; see cidwal stat --help"],
      [["stat", "a", "b"], 'unexpected argument "b"; see cidwal stat --help'],
      [["stat", "--raw", "a"], "unknown option --raw; see cidwal stat --help"],
      [["dump", "--from", "a"], "FILE is missing; see cidwal dump --help"],
      [["dump", "--from"], "--from needs a value; see cidwal dump --help"],
      [["dump", "--json=1", "a"], "--json takes no value; see cidwal dump --help"],
      [["dump", "--from=0", "a"], '--from "0" is not an integer of at least 1; see cidwal dump --help'],
      [["dump", "--from=1", "--from=2", "a"], "--from is given twice; see cidwal dump --help"],
      [["dump", "--from=3", "--to=2", "a"], "--to 2 is before --from 3; see cidwal dump --help"],
      [["dump", "--key=12", "a"], '--key "12" is not a key of 32 hex digits, or a UUID; see cidwal dump --help'],
      [["dump", "--json", "--csv", "a"], "--json and --csv exclude each other; see cidwal dump --help"],
      [
        ["export", "--packed", "--op=insert", "a"],
        "--packed takes all records: --op and --key leave gaps; see cidwal export --help",
      ],
      [
        ["import", "--size=1TB", "a"],
        '--size "1TB" is not a number of bytes from 64KiB on, such as 1048576, 64MiB or 1GiB; see cidwal import --help',
      ],
      [
        ["import", "--size=63KiB", "a"],
        '--size "63KiB" is not a number of bytes from 64KiB on, such as 1048576, 64MiB or 1GiB; see cidwal import --help',
      ],
      [["backup", "a"], "NEW is missing; see cidwal backup --help"],
      [["salvage", "a"], "give either --to NEW or --in-place; see cidwal salvage --help"],
    ] as const
  ) {
    const { code, stdout, stderr } = await runHere(args);
    const title = COMMANDS.includes(args[0] ?? "") ? `cidwal ${args[0]}` : "cidwal";
    assertEquals([code, stdout, stderr], [64, "", `${title}: ${says}\n`]);
  }
});

test("cli/main.ts says in one line that a file is missing, no log or damaged, each with its code", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  spoil(path, slotAt(2) + 50);
  const other = directory.join("other");
  writeFileSync(other, new Uint8Array(65536));
  const loop = directory.join("loop");
  symlinkSync(loop, loop);
  for (
    const [args, code] of [
      [["stat", directory.join("missing")], 66],
      [["verify", directory.join("missing")], 66],
      [["dump", "--raw", directory.join("missing")], 66],
      [["import", directory.join("new"), directory.join("missing")], 66],
      [["stat", other], 65],
      [["dump", other], 65],
      [["dump", loop], 65],
      [["verify", loop], 65],
      [["backup", path, directory.join("copy")], 65],
      [["backup", other, directory.join("copy")], 65],
    ] as const
  ) {
    const { code: ended, stdout, stderr } = await runHere(args);
    assertEquals([ended, stdout], [code, ""], stderr);
    assertMatch(stderr, /^cidwal \w+: [A-Z][^\n]+[^.\n]\n$/);
  }
  assertEquals(readdirSync(directory.path).sort(), ["log", "loop", "other"]);
});

/** A log of so many records that its dump does not fit into a pipe. */
function makeLongLog(path: string, count = 20_000): void {
  using wal = WAL.open(path, { size: 2 ** 22 });
  for (let n = 0; n < count; n++) wal.logInsertSync(1, n, 2, n);
}

/** Runs the tool in a shell, with what follows it there. */
async function runInShell(args: readonly string[], rest: string): Promise<{ stdout: string; stderr: string }> {
  const script = `"$@" ${rest}`;
  const { stdout, stderr } = await runTool(args, { wrapper: ["bash", "-c", script, "bash"] });
  return { stdout, stderr };
}

/** A pipe that nobody reads any more. */
function brokenPipe(path: string): number {
  execFileSync("mkfifo", [path]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, "w");
  closeSync(reader);
  return writer;
}

test("cli/main.ts ends without a word when its reader has gone, with the code of SIGPIPE", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLongLog(path);
  for (const args of [["dump"], ["follow", "--from=1"]]) {
    const { stdout, stderr } = await runInShell([...args, path], "| head -c 10 >/dev/null; echo ${PIPESTATUS[0]}");
    assertEquals([stdout, stderr], ["141\n", ""], args.join(" "));
  }
  const pipe = brokenPipe(directory.join("pipe"));
  const all = [["stat"], ["dump"], ["dump", "--raw"], ["verify"], ["follow", "--from=1"], ["export"], [
    "export",
    "--packed",
  ]];
  for (const args of all) {
    const { code, stderr } = await runHere([...args, path], { stdout: pipe });
    assertEquals([code, stderr], [141, ""], args.join(" "));
  }
  closeSync(pipe);
});

test("cli/main.ts says that standard output has no space left", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  const says = (name: string) => `cidwal ${name}: Cannot write to standard output: no space is left\n`;
  const { stdout, stderr } = await runInShell(["stat", path], ">/dev/full; echo $?");
  assertEquals([stdout, stderr], ["74\n", says("stat")]);
  for (
    const args of [["stat"], ["dump"], ["dump", "--raw"], ["verify"], ["follow", "--limit=1"], ["export", "--packed"]]
  ) {
    const { code, stderr } = await runHere([...args, path], { stdout: "/dev/full" });
    assertEquals([code, stderr], [74, says(args[0]!)], args.join(" "));
  }
}, { skip: !existsSync("/dev/full") && "there is no /dev/full" });

test("cli/main.ts leaves no file on a full disk, and says so", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLongLog(path);
  spoil(path, slotAt(2) + 50);
  const mount = directory.join("mount");
  mkdirSync(mount);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=512k", "none", mount]);
  try {
    for (const args of [["export", "--output", `${mount}/new`, path], ["salvage", "--to", `${mount}/new`, path]]) {
      const { code, stderr, stdout } = await runHere(args);
      assertEquals([code, stdout], [74, ""], stderr);
      assertMatch(stderr, /: Cannot write .*: no space is left\n$/);
      assertEquals(readdirSync(mount), []);
    }
    const copy = directory.join("whole");
    makeLongLog(copy);
    const { code } = await runHere(["backup", copy, `${mount}/new`]);
    assertEquals([code, readdirSync(mount)], [74, []]);
    const { code: imported } = await runHere(["import", `${mount}/new`], {
      stdin: '{"op":"delete","key":"' + "0".repeat(32) + '"}',
    });
    assertEquals([imported, readdirSync(mount)], [74, []]);
  } finally {
    execFileSync("umount", [mount]);
  }
}, { skip: mountSkip() });

test("cli/main.ts ends at SIGINT and SIGTERM, and an import keeps its whole batches", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  // The shell's `sleep` keeps the input open until it is killed with the rest.
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    const line = JSON.stringify({ op: "delete", key: "1".repeat(32) });
    const fifo = directory.join(`fifo-${code}`);
    execFileSync("mkfifo", [fifo]);
    const before = existsSync(path) ? WAL.inspect(path).head : 1;
    await using child = startTool(["import", path, fifo]);
    const { open } = await import("node:fs/promises");
    const writer = await open(fifo, "w");
    await writer.write(`${line}\n${line}\n{"op":"delete","key":"${"2".repeat(32)}","batchGoesOn":true}\n`);
    await waitFor(() => existsSync(path) && WAL.inspect(path).head >= before + 2);
    process.kill(child.pid, signal);
    const { code: ended, stderr } = await child.result;
    await writer.close();
    assertEquals(ended, code, stderr);
    assertMatch(stderr, /^cidwal import: Imported 2 records in 2 batches, LSN \d to \d\n$/);
    using wal = WAL.open(path);
    assertEquals([wal.length, wal.recovery.clean], [2, true]);
    wal.truncate(wal.durable);
  }
});

test("cli/main.ts export removes its unfinished file at SIGINT", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLongLog(path, 60_000);
  const target = directory.join("out");
  mkdirSync(target);
  await using child = startTool(["export", "--output", `${target}/new`, path]);
  await waitFor(() => readdirSync(target).length > 0);
  process.kill(child.pid, "SIGINT");
  const { code } = await child.result;
  // A fast machine may be done before the signal comes.
  assertEquals([code, readdirSync(target)], code === 0 ? [0, ["new"]] : [130, []]);
});

test("cli/main.ts salvage leaves the source and no other file at SIGINT, while it writes and while it asks", async () => {
  using directory = tempDir();
  const target = directory.join("out");
  mkdirSync(target);
  const path = `${target}/log`;
  {
    using wal = WAL.open(path, { size: 2 ** 25 });
    for (let n = 0; n < 3; n++) wal.logInsertSync(1, n, 2, n);
  }
  const descriptor = openSync(path, "r+");
  writeSync(descriptor, Uint8Array.of(255, 255, 255), 0, 3, slotAt(2) + 20);
  closeSync(descriptor);
  const before = readFileSync(path);
  await using writing = startTool(["salvage", "--to", `${target}/new`, path]);
  await waitFor(() => readdirSync(target).length > 1);
  process.kill(writing.pid, "SIGINT");
  const { code } = await writing.result;
  // A fast machine may be done before the signal comes.
  assertEquals([code, readdirSync(target).sort()], code === 0 ? [0, ["log", "new"]] : [130, ["log"]]);
  rmSync(`${target}/new`, { force: true });
  const fifo = directory.join("fifo");
  execFileSync("mkfifo", [fifo]);
  const silent = openSync(fifo, "r+");
  const wrapper = ["bash", "-c", 'exec "$@" < "$0"', fifo];
  await using asking = startTool(["salvage", "--in-place", path], { wrapper });
  await waitFor(() => asking.stderr.endsWith("[y/N] "));
  process.kill(asking.pid, "SIGINT");
  assertEquals((await asking.result).code, 130);
  closeSync(silent);
  assertEquals(readdirSync(target), ["log"]);
  assert(before.equals(readFileSync(path)));
});
