// Fault: a name that is made from the log's name is too long: the temporary file's or the damaged
//   file's (H49).
// Promise: whatever can be created can be salvaged and backed up, whole or not at all. An error
//   names the name that is too long (G5, G12).
// Method: names of 200 to 255 bytes, of characters of one to four bytes, on the simulated disk;
//   some of them on real file systems.

import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import { basename, dirname } from "node:path";
import process from "node:process";
import { temporaryPath } from "../../ffi/file/creation.ts";
import { type RecoveryReport, WAL, WALIOError, type WALOptions } from "../../mod.ts";
import { SimulatedDisk } from "../../testing.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const OPTIONS: WALOptions = { size: 65536, idleHeaderDelayMs: Infinity, allowUnsafeFileSystem: true };
/** A byte of a record. */
const placeOf = (lsn: number) => 16384 + (lsn - 1) * 64 + 40;
const MOST_BYTES = 255;
/** One to four bytes each. */
const CHARACTERS = ["n", "é", "字", "😀"];

const bytesOf = (text: string) => new TextEncoder().encode(text).length;

/** A name of `bytes` bytes: one character as often as it fits, after some `x`. */
function nameOf(bytes: number, character: string): string {
  const count = Math.floor(bytes / bytesOf(character));
  return "x".repeat(bytes - count * bytesOf(character)) + character.repeat(count);
}

/** Where the files are, and how another program damages one. */
interface Place {
  readonly directory: string;
  readonly options: WALOptions;
  readonly damage: (path: string, lsn: number) => void;
  readonly names: () => string[];
}

function simulated(): Place {
  const disk = new SimulatedDisk();
  return {
    directory: "/sim",
    options: { ...OPTIONS, storage: disk.storage, now: disk.clock.now },
    damage: (path, lsn) => disk.damage.flipBit(path, placeOf(lsn), 0),
    names: () => disk.paths().map((path) => basename(path)),
  };
}

function real(directory: string): Place {
  return {
    directory,
    options: OPTIONS,
    damage(path, lsn) {
      const bytes = fs.readFileSync(path);
      bytes[placeOf(lsn)]! ^= 1;
      fs.writeFileSync(path, bytes);
    },
    names: () => fs.readdirSync(directory),
  };
}

function salvage({ options }: Place, path: string): RecoveryReport {
  const wal = WAL.open(path, { ...options, recovery: "salvage" });
  const { recovery } = wal;
  wal.close();
  return recovery;
}

/** Makes a log of that name, damages and salvages it twice, and backs it up. */
function live(place: Place, name: string): void {
  const { directory, options, names } = place;
  const path = `${directory}/${name}`;
  const wal = WAL.open(path, options);
  assertEquals([wal.recovery.created, names()], [true, [name]]);
  for (let i = 1; i <= 5; i++) wal.logInsertSync(i, i, i, i);
  wal.close();
  const kept: string[] = [];
  for (let round = 1; round <= 2; round++) {
    place.damage(path, 2 * round);
    const { damagedFile, losses } = salvage(place, path);
    assertEquals(losses.length, 1);
    assert(damagedFile !== null);
    assertEquals(dirname(damagedFile), fs.existsSync(directory) ? fs.realpathSync(directory) : directory);
    const keptAs = basename(damagedFile);
    // A cut character would be U+FFFD, or a name that is not UTF-8.
    assert(bytesOf(keptAs) <= MOST_BYTES && !keptAs.includes("\uFFFD"), keptAs);
    assert(/\.damaged-\d+(-\d+)?$/.test(keptAs) && name.startsWith(keptAs.replace(/\.damaged-.*/s, "")), keptAs);
    kept.push(keptAs);
    assertEquals(names().sort(), [name, ...kept].sort());
  }
  const again = WAL.open(path, options);
  const copy = nameOf(bytesOf(name), "c");
  again.backup(`${directory}/${copy}`);
  again.close();
  assertEquals(names().sort(), [name, copy, ...kept].sort());
  WAL.open(`${directory}/${copy}`, options).close();
}

for (const character of CHARACTERS) {
  test(`WAL makes, salvages and backs up a log whose name has 200 to 255 bytes, of ${character}`, () => {
    for (let bytes = 200; bytes <= MOST_BYTES; bytes++) live(simulated(), nameOf(bytes, character));
  });
}

const PARENTS: Record<string, string | undefined> = { "a temporary directory": undefined, "tmpfs": "/dev/shm" };

for (const [what, parent] of Object.entries(PARENTS)) {
  test(`WAL makes, salvages and backs up a log with a long name in ${what}`, () => {
    for (const character of ["n", "😀"]) {
      for (const bytes of [226, 230, 247, 255]) {
        using directory = tempDir(parent);
        live(real(directory.path), nameOf(bytes, character));
      }
    }
  }, { skip: parent !== undefined && !fs.existsSync(parent) && `there is no ${parent}` });
}

test("WAL keeps logs apart whose long names differ in their last byte", () => {
  using directory = tempDir();
  const names = ["a", "b", "c"].map((last) => "n".repeat(254) + last);
  const logs = names.map((name) => WAL.open(directory.join(name), OPTIONS));
  for (const wal of logs) for (let i = 1; i <= 5; i++) wal.logInsertSync(i, i, i, i);
  for (const wal of logs) wal.close();
  const place = real(directory.path);
  names.forEach((name) => place.damage(directory.join(name), 2));
  for (const name of names) salvage(place, directory.join(name));
  assertEquals(fs.readdirSync(directory.path).length, 6);
});

/** Runs a test on the simulated disk and on the real one. */
function onBoth(body: (place: Place) => void): void {
  body(simulated());
  using directory = tempDir();
  body(real(directory.path));
}

test("WAL names the name that is too long: the log's, a directory's, the backup's", () => {
  onBoth((place) => {
    const { directory, options, names } = place;
    const long = nameOf(256, "é");
    const refused = (body: () => unknown, what: string) => {
      const error = assertThrows(body, WALIOError);
      assertEquals([error.errno, error.message.includes(JSON.stringify(what))], ["ENAMETOOLONG", true], error.message);
      assert(error.message.includes("256 bytes"), error.message);
    };
    refused(() => WAL.open(`${directory}/${long}`, options), long);
    refused(() => WAL.open(`${directory}/${long}`, { ...options, create: false }), long);
    refused(() => WAL.open(`${directory}/${long}/log`, options), long);
    const wal = WAL.open(`${directory}/log`, options);
    refused(() => wal.backup(`${directory}/${long}`), long);
    wal.close();
    assertEquals(names(), ["log"]);
  });
});

test("WAL salvages a log whose path is as long as a path may be", () => {
  using directory = tempDir();
  const temporaryName = basename(temporaryPath("/log"));
  // Linux: 4095 bytes and a NUL.
  const most = 4095 - 1 - temporaryName.length;
  let deep = fs.realpathSync(directory.path);
  while (deep.length < most) {
    const left = most - deep.length - 1;
    // The last directory needs a name of at least one byte.
    deep += `/${"d".repeat(left > 200 && left < 210 ? 100 : Math.min(200, left))}`;
  }
  fs.mkdirSync(deep, { recursive: true });
  for (const length of [3, temporaryName.length]) {
    const path = `${deep}/${"n".repeat(length)}`;
    const wal = WAL.open(path, OPTIONS);
    for (let i = 1; i <= 5; i++) wal.logInsertSync(i, i, i, i);
    wal.close();
    const place = real(deep);
    place.damage(path, 2);
    const { damagedFile, losses } = salvage(place, path);
    assertEquals([losses.length, dirname(damagedFile!), fs.existsSync(damagedFile!)], [1, deep, true]);
  }
  assertThrows(() => WAL.open(`${deep}/${"n".repeat(temporaryName.length + 1)}`, OPTIONS), WALIOError, "is too long");
}, { skip: process.platform !== "linux" && "4096 bytes on Linux" });

test("WAL says that the whole path is too long, if none of its names is", () => {
  using directory = tempDir();
  const path = directory.join(...Array(20).fill("d".repeat(250)), "log");
  const error = assertThrows(() => WAL.open(path, OPTIONS), WALIOError);
  assertEquals(error.errno, "ENAMETOOLONG");
  assert(error.message.includes(`the path "${path}" is too long, with ${path.length} bytes`), error.message);
}, { skip: process.platform !== "linux" && "4096 bytes on Linux" });
