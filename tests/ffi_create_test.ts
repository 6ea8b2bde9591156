import { assertEquals, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import process from "node:process";
import { createFile, temporaryPath } from "../ffi/file/creation.ts";
import { splitPath } from "../ffi/file/directory.ts";
import { posixSystem } from "../ffi/system/current.ts";
import { RegionError } from "../ffi/region.ts";
import { diskStorage } from "../ffi/storage.ts";
import { checkWhole, FIRST_BYTES, held, openRequest, SIZE_BYTES } from "./support/region.ts";
import { withTempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const write = (path: string) =>
  diskStorage().write(path, [FIRST_BYTES.subarray(0, 1), FIRST_BYTES.subarray(1)], SIZE_BYTES);

test("temporaryPath() is beside the file, hidden, always the same, and of one length", () => {
  // FNV-1a of 64 bits, as published for these texts.
  assertEquals(temporaryPath("/x/a"), "/x/.cidstore-wal-new-af63dc4c8601ec8c");
  assertEquals(temporaryPath("/foobar"), "/.cidstore-wal-new-85944171f73967e8");
  assertEquals(splitPath("/b"), { directory: "/", name: "b" });
  const names = Array.from({ length: 255 }, (_, i) => "n".repeat(i + 1)).map((name) => temporaryPath(`/${name}`));
  assertEquals(new Set(names).size, 255);
  assertEquals(new Set(names.map((name) => name.length)), new Set([35]));
});

test("temporaryPath() is one for names that some file system takes for one", () => {
  assertEquals(temporaryPath("/A/Log"), temporaryPath("/A/lOG"));
  assertEquals(temporaryPath("/A/\u00c4"), temporaryPath("/A/a\u0308"));
});

test("createFile() takes over what a crash left at the temporary name", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    fs.writeFileSync(temporaryPath(path), new Uint8Array(3 * SIZE_BYTES).fill(9));
    diskStorage().open(path, openRequest()).close();
    checkWhole(path);
    assertEquals(fs.readdirSync(directory), ["log"]);
  }));

test("createFile() spares the log whose second name a crash left", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    // The crash came between link and unlink, and then someone moved the log away.
    fs.writeFileSync(`${directory}/moved`, "precious");
    fs.linkSync(`${directory}/moved`, temporaryPath(path));
    diskStorage().open(path, openRequest()).close();
    checkWhole(path);
    assertEquals(fs.readFileSync(`${directory}/moved`, "utf8"), "precious");
    assertEquals(fs.readdirSync(directory).sort(), ["log", "moved"]);
  }));

test("createFile() is LOCKED while another makes the file", () =>
  withTempDir((directory) => {
    const path = `${fs.realpathSync(directory)}/log`;
    const system = posixSystem();
    const inner: unknown[] = [];
    const fd = createFile(system, {
      path,
      sizeBytes: SIZE_BYTES,
      chunks: () => {
        inner.push(assertThrows(() => diskStorage().open(path, openRequest()), RegionError).reason);
        return [FIRST_BYTES];
      },
    });
    assertEquals(inner, ["LOCKED"]);
    // From its first moment at its path it is locked.
    assertEquals(assertThrows(() => diskStorage().open(path, openRequest()), RegionError).reason, "LOCKED");
    system.close(fd!);
    checkWhole(path);
  }));

test("createFile() never replaces a file that came meanwhile", () =>
  withTempDir((directory) => {
    const path = `${fs.realpathSync(directory)}/log`;
    const system = posixSystem();
    const chunks = () => {
      fs.writeFileSync(path, "precious");
      return [FIRST_BYTES];
    };
    assertEquals(createFile(system, { path, sizeBytes: SIZE_BYTES, chunks }), null);
    assertEquals(fs.readFileSync(path, "utf8"), "precious");
    assertEquals(fs.readdirSync(directory), ["log"]);
  }));

test("createFile() passes on what its chunks throw, and leaves nothing", () =>
  withTempDir((directory) => {
    const initialBytes = (): Uint8Array => {
      throw new URIError("mine");
    };
    assertThrows(() => diskStorage().open(`${directory}/log`, openRequest({ initialBytes })), URIError);
    const tooLong = () => new Uint8Array(SIZE_BYTES + 1);
    assertThrows(() => diskStorage().open(`${directory}/log`, openRequest({ initialBytes: tooLong })), RangeError);
    assertEquals(fs.readdirSync(directory), []);
    if (process.platform === "linux") assertEquals(held(directory), []);
  }));

test("write() makes a file, but does not replace one", () =>
  withTempDir((directory) => {
    const path = `${directory}/copy`;
    write(path);
    checkWhole(path);
    fs.writeFileSync(path, "precious");
    const error = assertThrows(() => write(path), RegionError);
    assertEquals([error.reason, error.details.errno], ["IO", "EEXIST"]);
    assertEquals(fs.readFileSync(path, "utf8"), "precious");
    assertEquals(fs.readdirSync(directory), ["copy"]);
  }));

test("write() joins chunks of any length", () =>
  withTempDir((directory) => {
    const all = Uint8Array.from({ length: 20_000 }, (_, index) => index % 251);
    const cuts = [0, 1, 4095, 4096, 4097, 12288, 12288, 19_999, 20_000];
    const chunks = cuts.slice(1).map((end, index) => all.subarray(cuts[index], end));
    diskStorage().write(`${directory}/copy`, chunks, SIZE_BYTES);
    const found = fs.readFileSync(`${directory}/copy`);
    assertEquals(found.length, SIZE_BYTES);
    assertEquals(found.subarray(0, 20_000).equals(all), true);
    assertEquals(found.subarray(20_000).every((byte) => byte === 0), true);
  }));

/** Opens a file, replaces it and gives both back. */
function replace(path: string, keepAs: string): void {
  const region = diskStorage().open(path, openRequest());
  try {
    region.replace([FIRST_BYTES.subarray(0, 1), FIRST_BYTES.subarray(1)], SIZE_BYTES, keepAs).close();
  } finally {
    region.close();
  }
}

test("replace() keeps the old file's inode under its other name, and nothing but a file of its own there", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    const old = new Uint8Array(SIZE_BYTES).fill(5);
    fs.writeFileSync(path, old);
    const before = fs.statSync(path);
    replace(path, `${directory}/log.damaged`);
    checkWhole(path);
    assertEquals(fs.readFileSync(`${directory}/log.damaged`).equals(old), true);
    const after = fs.statSync(`${directory}/log.damaged`);
    assertEquals([after.ino, after.mtimeMs], [before.ino, before.mtimeMs]);
    assertEquals(fs.readdirSync(directory).sort(), ["log", "log.damaged"]);
    // The next one does not overwrite what was kept.
    const error = assertThrows(() => replace(path, `${directory}/log.damaged`), RegionError);
    assertEquals([error.reason, error.details.errno], ["IO", "EEXIST"]);
    assertEquals(fs.readFileSync(`${directory}/log.damaged`).equals(old), true);
    checkWhole(path);
    assertEquals(fs.readdirSync(directory).sort(), ["log", "log.damaged"]);
  }));

test("replace() holds the lock of the old file until that is closed, and that of the new one from the start", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    const kept = `${directory}/kept`;
    const isLocked = (name: string) =>
      assertThrows(() => diskStorage().open(name, openRequest()), RegionError).reason === "LOCKED";
    const old = diskStorage().open(path, openRequest());
    const seen: boolean[] = [];
    function* chunks() {
      seen.push(isLocked(path));
      yield FIRST_BYTES;
    }
    const region = old.replace(chunks(), SIZE_BYTES, kept);
    assertEquals([seen, isLocked(path), isLocked(kept), region.created], [[true], true, true, false]);
    region.verify();
    assertThrows(() => old.verify(), RegionError);
    old.close();
    assertEquals(isLocked(path), true);
    diskStorage().open(kept, openRequest()).close();
    region.close();
    diskStorage().open(path, openRequest()).close();
    checkWhole(path);
  }));

test("replace() puts nothing in the place of another program's file, and keeps nothing else than its own", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    for (const when of ["before", "meanwhile"]) {
      const region = diskStorage().open(path, openRequest());
      const move = () => {
        fs.writeFileSync(`${directory}/other`, "precious");
        fs.renameSync(`${directory}/other`, path);
      };
      const chunks = function* () {
        if (when === "meanwhile") move();
        yield FIRST_BYTES;
      };
      if (when === "before") move();
      const error = assertThrows(() => region.replace(chunks(), SIZE_BYTES, `${directory}/kept`), RegionError);
      region.close();
      assertEquals([when, error.reason, fs.readFileSync(path, "utf8")], [when, "GONE", "precious"]);
      assertEquals(fs.readdirSync(directory), ["log"]);
      fs.rmSync(path);
    }
  }));

test("replace() replaces the file that a symbolic link leads to", () =>
  withTempDir((directory) => {
    fs.mkdirSync(`${directory}/a`);
    fs.writeFileSync(`${directory}/a/log`, new Uint8Array(SIZE_BYTES).fill(5));
    fs.symlinkSync(`${directory}/a/log`, `${directory}/link`);
    replace(`${directory}/link`, `${directory}/a/kept`);
    checkWhole(`${directory}/a/log`);
    assertEquals(fs.lstatSync(`${directory}/link`).isSymbolicLink(), true);
    assertEquals(fs.readFileSync(`${directory}/a/kept`)[0], 5);
  }));
