import { assert, assertEquals } from "@std/assert";
import * as fs from "node:fs";
import { projectUrl, runSnippet } from "./support/child.ts";
import { runtime } from "./support/runtime.ts";
import { allow, confined, FFI, notSandboxed } from "./support/sandbox.ts";
import { withTempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

/** Opens a file in a child with these permissions. Nobody is asked for more. */
async function open(path: string, create: boolean, flags: string[]): Promise<string> {
  const source = `
    import { diskStorage } from "${projectUrl("ffi/storage.ts")}";
    const request = {
      create: ${create}, sizeBytes: 65536, minimumBytes: 16384, initialBytes: () => Uint8Array.of(1),
      readOwnerPid: () => null, allowUnsafeFileSystem: false, barrierOnly: false,
    };
    try {
      const region = diskStorage().open(${JSON.stringify(path)}, request);
      region.sync(0, 64);
      await region.syncAsync(0, 64);
      region.verify();
      region.pageIn(0, 65536, "store");
      region.close();
      const copy = ${JSON.stringify(`${path}.copy`)};
      if (region.created) await diskStorage().writeAsync(copy, [Uint8Array.of(1)], 65536);
      console.log("opened", region.created);
    } catch (error) {
      console.log(error.name, error.reason, ...error.details?.flags ?? [error]);
    }`;
  const { stdout, stderr } = await runSnippet(source, confined(...flags));
  return stdout.trim() || stderr;
}

const denied = (...flags: string[]) => ["RegionError PERMISSION", ...flags].join(" ");

test(
  "open() of a new file needs its directory and libc, and names all flags that are missing",
  () =>
    withTempDir(async (temporary) => {
      const directory = fs.realpathSync(temporary);
      const path = `${directory}/log`;
      const [read, write] = [allow("read", directory), allow("write", directory)];
      const [readFile, writeFile] = [allow("read", path), allow("write", path)];
      // Without a look at the file nobody knows that it is new.
      assertEquals(await open(path, true, []), denied(readFile, writeFile, FFI));
      assertEquals(await open(path, true, [write, FFI]), denied(readFile));
      assertEquals(await open(path, true, [read]), denied(write, FFI));
      assertEquals(await open(path, true, [read, FFI]), denied(write));
      assertEquals(await open(path, true, [read, write]), denied(FFI));
      assertEquals(await open(path, true, [readFile, writeFile, FFI]), denied(read, write));
      assertEquals(await open(path, true, [read, writeFile, FFI]), denied(write));
      assertEquals(fs.readdirSync(directory), []);
      assertEquals(await open(path, true, [read, write, FFI]), "opened true");
      assertEquals(fs.readdirSync(directory).sort(), ["log", "log.copy"]);
    }),
  { skip: notSandboxed },
);

test("open() of a file needs nothing but that file and libc", () =>
  withTempDir(async (temporary) => {
    const directory = fs.realpathSync(temporary);
    const path = `${directory}/log`;
    fs.writeFileSync(path, new Uint8Array(65536));
    const flags = [allow("read", path), allow("write", path), FFI];
    for (const create of [true, false]) assertEquals(await open(path, create, flags), "opened false");
    assertEquals(await open(path, false, flags.slice(1)), denied(flags[0]!));
    assertEquals(await open(path, false, flags.slice(0, 1)), denied(...flags.slice(1)));
  }), { skip: notSandboxed });

test("open() does not let a symbolic link lead out of what is permitted", () =>
  withTempDir(async (temporary) => {
    const directory = fs.realpathSync(temporary);
    fs.mkdirSync(`${directory}/in`);
    fs.mkdirSync(`${directory}/out`);
    fs.writeFileSync(`${directory}/out/log`, new Uint8Array(65536));
    fs.symlinkSync(`${directory}/out/log`, `${directory}/in/log`);
    fs.symlinkSync(`${directory}/out`, `${directory}/in/folder`);
    const access = (name: string) => [allow("read", `${directory}/${name}`), allow("write", `${directory}/${name}`)];
    const flags = [...access("in"), FFI];
    assertEquals(await open(`${directory}/in/log`, true, flags), denied(...access("out/log")));
    assertEquals(await open(`${directory}/in/folder/log`, true, flags), denied(...access("out/log")));
    assertEquals(await open(`${directory}/in/folder/new`, true, flags), denied(...access("out")));
    assertEquals(fs.readdirSync(`${directory}/out`), ["log"]);
  }), { skip: notSandboxed });

test(
  "syncAsync() and writeAsync() sync on this thread where Node forbids it on another, and report a failure",
  () =>
    withTempDir(async (temporary) => {
      const directory = fs.realpathSync(temporary);
      const source = `
      import { mappedStorage } from "${projectUrl("ffi/file/mapped_storage.ts")}";
      import { platform } from "${projectUrl("ffi/libc/platform.ts")}";
      import { openLibc, posixSystem } from "${projectUrl("ffi/system/current.ts")}";
      import { openRequest } from "${projectUrl("tests/support/region.ts")}";
      const libc = openLibc(platform());
      const calls = [];
      let fails = false;
      const noted = (name) => (fd) => {
        calls.push(name);
        return fails ? libc[name](-1) : libc[name](fd);
      };
      const system = posixSystem({ ...libc, fdatasync: noted("fdatasync"), fsync: noted("fsync") });
      const storage = mappedStorage(system);
      const write = (name) => storage.writeAsync(${JSON.stringify(directory)} + name, [Uint8Array.of(1)], 65536);
      const region = storage.open(${JSON.stringify(`${directory}/log`)}, openRequest());
      const attempt = async (body) => {
        calls.length = 0;
        console.log(await body().then(() => "done", (error) => error.reason + " " + error.details.errno), ...calls);
      };
      for (fails of [false, true]) {
        await attempt(() => region.syncAsync(0, 64));
        await attempt(() => write("/copy" + fails));
      }`;
      const { stdout, stderr } = await runSnippet(
        source,
        confined(allow("read", directory), allow("write", directory), FFI),
      );
      assertEquals(stdout.trim().split("\n"), [
        "done fdatasync",
        "done fsync fsync",
        "SYNC EBADF fdatasync",
        "SYNC EBADF fsync",
      ], stderr);
    }),
  { skip: runtime !== "node" && "Node's sandbox alone forbids it" },
);

test("diskStorage() needs no permission until it opens a file", async () => {
  const source = `
    import { diskStorage } from "${projectUrl("ffi/storage.ts")}";
    import { memoryRegion } from "${projectUrl("ffi/memory.ts")}";
    diskStorage();
    const region = memoryRegion(65536);
    region.sync(0, 64);
    await region.syncAsync(0, 64);
    region.close();
    console.log("done");`;
  const { stdout, stderr } = await runSnippet(source, confined());
  assertEquals(stdout.trim(), "done", stderr);
});

test("open() is PERMISSION where the operating system denies", () =>
  withTempDir(async (directory) => {
    fs.writeFileSync(`${directory}/log`, new Uint8Array(65536), { mode: 0o400 });
    fs.chmodSync(directory, 0o555);
    // Root may do anything: give that up first.
    const source = `
      import process from "node:process";
      import { diskStorage } from "${projectUrl("ffi/storage.ts")}";
      import { openRequest } from "${projectUrl("tests/support/region.ts")}";
      process.setuid?.(65534);
      for (const name of ["log", "new"]) {
        try {
          diskStorage().open("${directory}/" + name, openRequest()).close();
          console.log("opened");
        } catch (error) {
          console.log(error.reason, error.details.errno);
        }
      }`;
    const { stdout, stderr } = await runSnippet(source);
    fs.chmodSync(directory, 0o755);
    assert(stdout !== "", stderr);
    assertEquals(stdout.trim().split("\n"), ["PERMISSION EACCES", "PERMISSION EACCES"], stderr);
  }));
