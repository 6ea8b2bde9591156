// Fault: before a log is made, somebody has put a symbolic link at its temporary name, or lets
//   everybody read new files (H9).
// Promise: creation follows no symbolic link, the link's target stays as it is, and the log is its
//   owner's alone (G14).
// Method: real files with a link at the temporary name, to a file and to nothing; a dangling link
//   at the path; a umask of 0.

import { assertEquals, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import { basename } from "node:path";
import process from "node:process";
import { temporaryPath } from "../../ffi/file/creation.ts";
import { WAL, WALError } from "../../mod.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const OPTIONS = { size: 65536, allowUnsafeFileSystem: true };

test("open() does not follow a symbolic link at the log's temporary name", () => {
  using directory = tempDir();
  const victim = `${directory.path}/victim`;
  fs.writeFileSync(victim, "not to be touched");
  for (const target of [victim, `${directory.path}/nothing`]) {
    const link = temporaryPath(`${directory.path}/log`);
    fs.symlinkSync(target, link);
    assertThrows(() => WAL.open(`${directory.path}/log`, OPTIONS), WALError);
    assertEquals(fs.readFileSync(victim, "utf8"), "not to be touched");
    assertEquals(fs.readdirSync(directory.path).sort(), [basename(link), "victim"]);
    fs.unlinkSync(link);
  }
  WAL.open(`${directory.path}/log`, OPTIONS).close();
});

test("open() does not make a log through a dangling symbolic link", () => {
  using directory = tempDir();
  fs.symlinkSync(`${directory.path}/elsewhere`, `${directory.path}/log`);
  assertThrows(() => WAL.open(`${directory.path}/log`, OPTIONS), WALError);
  assertEquals(fs.readdirSync(directory.path), ["log"]);
});

test("open() makes a file that only its owner can read and write, whatever the umask", () => {
  using directory = tempDir();
  const before = process.umask(0);
  try {
    using wal = WAL.open(`${directory.path}/log`, OPTIONS);
    wal.logInsertSync(1, 2, 3, 4);
    wal.flush();
    wal.backup(`${directory.path}/copy`);
  } finally {
    process.umask(before);
  }
  for (const name of ["log", "copy"]) assertEquals(fs.statSync(`${directory.path}/${name}`).mode & 0o777, 0o600, name);
});
