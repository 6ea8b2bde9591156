// Fault: a log's name is not what it seems: a hard link that is taken for a snapshot, ":memory:",
//   the text of a URL, an empty file, a name that is not UTF-8, a read-only mount, or a log of
//   another size (H50).
// Promise: a silent surprise becomes a warning, and what cannot be is an error that says what to
//   do. No file is made that nobody meant (G2, G15).
// Method: real links, mounts and directories, and the simulated disk.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import process from "node:process";
import { replacedPath, temporaryPath } from "../../ffi/file/creation.ts";
import { platform } from "../../ffi/libc/platform.ts";
import { mappedStorage } from "../../ffi/file/mapped_storage.ts";
import { openLibc, posixSystem } from "../../ffi/system/current.ts";
import { type Storage, WAL, WALError, WALFormatError, WALPermissionError } from "../../mod.ts";
import { SimulatedDisk } from "../../testing.ts";
import { projectUrl, runSnippet } from "../support/child.ts";
import { mountSkip } from "../support/loop_device.ts";
import { openOn, PATH } from "../support/logs.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const OPTIONS = { size: 65536, idleHeaderDelayMs: Infinity, allowUnsafeFileSystem: true };
const notLinux = process.platform !== "linux" && "names are bytes on Linux";

const about = (wal: WAL, word: string) => wal.stats().warnings.filter((warning) => warning.includes(word));

const SYSTEMS: Record<string, () => Storage | undefined> = {
  "statx": () => undefined,
  "node:fs": () => {
    const libc = openLibc(platform());
    return mappedStorage(posixSystem({ ...libc, statx: null }));
  },
};

for (const [name, storage] of Object.entries(SYSTEMS)) {
  test(`stats() warns of a log with hard links for as long as it has them, looked at by ${name}`, () => {
    using directory = tempDir();
    const path = directory.join("log");
    const wal = WAL.open(path, { ...OPTIONS, storage: storage() });
    assertEquals(about(wal, "hard link"), []);
    fs.linkSync(path, directory.join("snapshot"));
    assertEquals(about(wal, "hard link").length, 1);
    assert(about(wal, "hard link")[0]!.includes("2 names"));
    wal.close();
    wal.open();
    assertEquals(about(wal, "hard link").length, 1);
    wal.logInsertSync(1, 1, 1, 1);
    wal.flush();
    fs.unlinkSync(directory.join("snapshot"));
    assertEquals(about(wal, "hard link"), []);
    wal.close();
  });
}

test("stats() warns of hard links on the simulated disk too, and backup() makes a log without", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  disk.outsider.link(PATH, "/sim/snapshot");
  assertEquals(about(wal, "hard link").length, 1);
  wal.backup("/sim/backup");
  wal.close();
  const linked = openOn(disk);
  assertEquals(about(linked, "hard link").length, 1);
  linked.close();
  const copy = WAL.open("/sim/backup", { ...OPTIONS, storage: disk.storage });
  assertEquals(about(copy, "hard link"), []);
  copy.close();
});

test("open() removes the temporary name that a crash left to a log, and does not warn of it", () => {
  using directory = tempDir();
  const path = directory.join("log");
  WAL.open(path, OPTIONS).close();
  // The process died between link and unlink.
  fs.linkSync(path, temporaryPath(fs.realpathSync(path)));
  const wal = WAL.open(path, OPTIONS);
  assertEquals([about(wal, "hard link"), fs.readdirSync(directory.path)], [[], ["log"]]);
  wal.close();
  // The file of a creation or of a resize that died is removed too, but no other name.
  fs.linkSync(path, directory.join("snapshot"));
  fs.writeFileSync(temporaryPath(fs.realpathSync(path)), "half a file");
  fs.writeFileSync(replacedPath(fs.realpathSync(path)), "the file before a resize");
  const again = WAL.open(path, OPTIONS);
  assertEquals([about(again, "hard link").length, fs.readdirSync(directory.path).sort()], [1, ["log", "snapshot"]]);
  again.close();
});

test("open() leaves the temporary file of a living creator alone", () => {
  const disk = new SimulatedDisk();
  openOn(disk).close();
  // A name that some file system takes for the log's has the same temporary name.
  const twin = PATH.toUpperCase().replace("/SIM", "/sim");
  disk.storage.write(twin, opensMeanwhile(), 65536);
  assertEquals(disk.paths().sort(), [PATH, twin].sort());
  function* opensMeanwhile(): Generator<Uint8Array> {
    openOn(disk).close();
    assertEquals(disk.exists(temporaryPath(PATH)), true);
    yield new Uint8Array(0);
  }
});

test("WAL.open() leaves no temporary name when power fails or the process dies at any call of a creation", () => {
  for (const mode of ["power", "kill"] as const) {
    for (let step = 1;; step++) {
      const disk = new SimulatedDisk();
      disk.crashAt(step, "after");
      try {
        openOn(disk);
      } catch { /* the crash */ }
      if (!disk.halted) break;
      disk.restart({ mode, keep: "all" });
      const wal = openOn(disk);
      assertEquals([step, about(wal, "hard link"), disk.paths()], [step, [], [PATH]]);
      wal.close();
    }
  }
});

const NOT_MEANT: Record<string, string> = {
  "": "it is empty; give",
  ":memory:": "for a file of this name",
  "file:///tmp/log": "new URL",
  "FILE:log": "new URL",
  "file::memory:?cache=shared": "new URL",
  "log\ud800": "surrogate",
  "\udc00/log": "surrogate",
};

test("WAL refuses a path that can only be a mistake, and says what to give instead", () => {
  using directory = tempDir();
  const source = WAL.open(null, OPTIONS);
  for (const [path, advice] of Object.entries(NOT_MEANT)) {
    for (const body of [() => new WAL(path), () => WAL.open(path, OPTIONS), () => source.backup(path)]) {
      const error = assertThrows(body, RangeError);
      assert(error.message.includes(advice), error.message);
    }
  }
  assert(!fs.existsSync(":memory:"));
  source.close();
  assertThrows(() => new WAL(new URL("file:///caf%E9/log")), TypeError, "not UTF-8");
  // Each of these is a name like any other.
  for (const name of [":memory:", "null", "undefined", "file", "a b", "é", "\u{1f600}", "�"]) {
    const wal = WAL.open(directory.join(name), OPTIONS);
    assertEquals(wal.path, directory.join(name));
    wal.close();
    wal.open();
    wal.close();
  }
  assertEquals(fs.readdirSync(directory.path).length, 8);
});

test("open() says of an empty file that it is to be removed, and then makes the log", () => {
  using directory = tempDir();
  const path = directory.join("log");
  fs.writeFileSync(path, "");
  for (const recovery of ["strict", "salvage"] as const) {
    const error = assertThrows(() => WAL.open(path, { ...OPTIONS, recovery }), WALFormatError);
    assert(error.message.includes("empty") && error.message.includes("remove it"), error.message);
    assertEquals(fs.statSync(path).size, 0);
  }
  fs.rmSync(path);
  WAL.open(path, OPTIONS).close();
});

test(
  "open() says that a name in the path is not UTF-8: of a directory, a link's target, the working directory",
  async () => {
    using directory = tempDir();
    // No runtime can name such a file, so a shell does.
    const script =
      `cd "$1" && d=$(printf 'caf\\351') && mkdir "$d" && : > "$d/file" && ln -s "$d" link && ln -s "$d/file" file`;
    execFileSync("/bin/sh", ["-c", script, "sh", directory.path]);
    for (const path of [directory.join("link/log"), directory.join("link/file"), directory.join("file")]) {
      const error = assertThrows(() => WAL.open(path, OPTIONS), WALError);
      assert(error.message.includes("not UTF-8"), error.message);
    }
    const memory = WAL.open(null, OPTIONS);
    const error = assertThrows(() => memory.backup(directory.join("link/copy")), WALError);
    assert(error.message.includes("not UTF-8"), error.message);
    memory.close();
    const { stdout, stderr } = await runSnippet(
      `
    import { WAL } from "${projectUrl("mod.ts")}";
    const attempt = (path) => {
      try {
        WAL.open(path, { size: 65536 }).close();
        console.log("opened");
      } catch (error) {
        console.log(error.code, error.message.includes("not UTF-8"));
      }
    };
    attempt("log");
    attempt("./log");
    attempt("${directory.join("log")}");`,
      { wrapper: ["/bin/sh", "-c", `cd "$0/link" && exec "$@"`, directory.path] },
    );
    assertEquals(stdout.trim().split("\n"), ["IO true", "IO true", "opened"], stderr);
  },
  { skip: notLinux },
);

const noMount = mountSkip();

test("open() on a read-only file system says what to do, and a copy opens", () => {
  using directory = tempDir();
  const mount = directory.join("mount");
  fs.mkdirSync(mount);
  execFileSync("mount", ["-t", "tmpfs", "none", mount]);
  try {
    const wal = WAL.open(`${mount}/log`, OPTIONS);
    wal.logInsertSync(1, 1, 1, 1);
    wal.close();
    execFileSync("mount", ["-o", "remount,ro", mount]);
    const error = assertThrows(() => WAL.open(`${mount}/log`, OPTIONS), WALPermissionError);
    for (const word of ["read-only", "EROFS", "copy the log"]) assert(error.message.includes(word), error.message);
    const made = assertThrows(() => WAL.open(`${mount}/new`, OPTIONS), WALPermissionError);
    assert(made.message.includes("read-only") && !made.message.includes("copy the log"), made.message);
    fs.copyFileSync(`${mount}/log`, directory.join("log"));
    const copy = WAL.open(directory.join("log"), OPTIONS);
    assertEquals(copy.length, 1);
    assertThrows(() => copy.backup(`${mount}/copy`), WALPermissionError, "read-only");
    copy.close();
  } finally {
    execFileSync("umount", [mount]);
  }
}, { skip: noMount });

test("stats() warns of a size that an existing log does not have, and of no other", () => {
  const disk = new SimulatedDisk();
  const sized = (options: { size?: number; recovery?: "salvage" }) => {
    const wal = WAL.open(PATH, { idleHeaderDelayMs: Infinity, storage: disk.storage, ...options });
    const found = about(wal, "option size");
    wal.close();
    return found;
  };
  assertEquals(sized({ size: 65536 + 1 }), []);
  assertEquals(sized({ size: 65536 + 1 }), []);
  assertEquals(sized({ size: 65536 + 16384 }), []);
  assertEquals(sized({}), []);
  for (const size of [65536, 65536 + 16385, 1 << 20, Number.MAX_SAFE_INTEGER]) {
    const [warning, ...others] = sized({ size });
    assertEquals(others, []);
    assert(
      warning!.includes(String(65536 + 16384)) && warning!.includes(String(Math.ceil(size / 16384) * 16384)),
      warning,
    );
  }
  const memory = WAL.open(null, { size: 1 << 20 });
  assertEquals(about(memory, "option size"), []);
  memory.close();
});
