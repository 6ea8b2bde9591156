import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import process from "node:process";
import { temporaryPath } from "../ffi/file/creation.ts";
import { diskStorage } from "../ffi/storage.ts";
import { memoryRegion } from "../ffi/memory.ts";
import { mappedStorage } from "../ffi/file/mapped_storage.ts";
import { openLibc, posixSystem } from "../ffi/system/current.ts";
import { MAP_FIXED, platform } from "../ffi/libc/platform.ts";
import { RegionError, type RegionFailure } from "../ffi/region.ts";
import { SystemError } from "../ffi/system/system.ts";
import { projectUrl, runSnippet, spawnSnippet } from "./support/child.ts";
import {
  checkWhole,
  collectGarbage,
  failingSystem,
  FIRST_BYTES,
  held,
  openRequest,
  SIZE_BYTES,
} from "./support/region.ts";
import { tempDir, withTempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const notLinux = process.platform !== "linux" && "looks into /proc";

function fails(reason: RegionFailure, body: () => unknown): RegionError {
  const error = assertThrows(body, RegionError);
  assertEquals(error.reason, reason, error.message);
  return error;
}

test("open() makes a file of its owner's only, with the bytes asked for", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    const region = diskStorage().open(path, openRequest());
    assertEquals(region.created, true);
    assertEquals(region.path, fs.realpathSync(path));
    assertEquals(region.memory.sizeBytes, SIZE_BYTES);
    assertEquals(region.memory.bytes(0, 4), FIRST_BYTES);
    assertEquals(fs.statSync(path).mode & 0o7777, 0o600);
    assertEquals(fs.statSync(path).nlink, 1);
    assert(fs.statSync(path).blocks * 512 >= SIZE_BYTES);
    assertEquals(fs.readdirSync(directory), ["log"]);
    region.close();
    checkWhole(path);
  }));

test("open() finds again what was synced", () =>
  withTempDir(async (directory) => {
    const path = `${directory}/log`;
    const storage = diskStorage();
    const first = storage.open(path, openRequest());
    const bytes = first.memory.bytes();
    bytes[SIZE_BYTES - 1] = 7;
    bytes[20001] = 8;
    first.sync(20001, 1);
    await first.syncAsync(SIZE_BYTES - 1, 1);
    first.sync(0, SIZE_BYTES);
    first.pageIn(0, SIZE_BYTES, "store");
    first.verify();
    first.close();
    const second = storage.open(path, openRequest({ initialBytes: () => assert(false, "made again") as never }));
    assertEquals(second.created, false);
    assertEquals(second.memory.bytes()[SIZE_BYTES - 1], 7);
    assertEquals(second.memory.bytes()[20001], 8);
    second.close();
  }));

test("open() refuses what is not a file", () =>
  withTempDir((directory) => {
    const { open } = diskStorage();
    fs.symlinkSync(`${directory}/nowhere`, `${directory}/dangling`);
    execFileSync("mkfifo", [`${directory}/fifo`]);
    for (const name of ["", "a\0b", "a/", "dangling", "fifo", ".", ".."]) {
      fails("NOT_A_FILE", () => open(name === "" ? "" : `${directory}/${name}`, openRequest()));
    }
    fails("NOT_A_FILE", () => open("/dev/null", openRequest()));
    fails("NOT_FOUND", () => open(`${directory}/none/log`, openRequest()));
    fails("NOT_FOUND", () => open(`${directory}/log`, openRequest({ create: false })));
    fails("NOT_FOUND", () => open(`${directory}/fifo/log`, openRequest()));
    assertEquals(fs.readdirSync(directory).sort(), ["dangling", "fifo"]);
  }));

test("open() follows a symbolic link to a log, but makes nothing through one", () =>
  withTempDir((directory) => {
    const { open } = diskStorage();
    open(`${directory}/log`, openRequest()).close();
    fs.symlinkSync(`${directory}/log`, `${directory}/link`);
    const region = open(`${directory}/link`, openRequest());
    assertEquals(region.path, fs.realpathSync(`${directory}/log`));
    region.close();
    // A link planted at the temporary name must not make us truncate what it leads to.
    fs.writeFileSync(`${directory}/victim`, "precious");
    fs.symlinkSync(`${directory}/victim`, temporaryPath(`${directory}/new`));
    fails("NOT_A_FILE", () => open(`${directory}/new`, openRequest()));
    assertEquals(fs.readFileSync(`${directory}/victim`, "utf8"), "precious");
  }));

test("open() refuses a short file and one too long to map", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    const { open } = diskStorage();
    fs.writeFileSync(path, "");
    fails("TOO_SHORT", () => open(path, openRequest()));
    fs.truncateSync(path, 16383);
    fails("TOO_SHORT", () => open(path, openRequest()));
    const limit = posixSystem().maxMappingBytes;
    fs.truncateSync(path, limit + 16384);
    assert(fails("PLATFORM", () => open(path, openRequest())).message.includes(String(limit)));
    const request = openRequest({ sizeBytes: limit + 16384 });
    assert(fails("PLATFORM", () => open(`${directory}/new`, request)).message.includes(String(limit)));
    assertEquals(fs.readdirSync(directory), ["log"]);
  }));

test("open() maps a file whose size is no multiple of a page", () =>
  withTempDir((directory) => {
    fs.writeFileSync(`${directory}/log`, new Uint8Array(20001).fill(5));
    const region = diskStorage().open(`${directory}/log`, openRequest());
    assertEquals(region.memory.sizeBytes, 20001);
    assertEquals(region.memory.bytes()[20000], 5);
    region.sync(20000, 1);
    region.close();
  }));

test("open() sets close-on-exec on each descriptor", () =>
  withTempDir((directory) => {
    const region = diskStorage().open(`${directory}/log`, openRequest());
    let count = 0;
    for (const fd of fs.readdirSync("/proc/self/fd")) {
      try {
        if (!fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory)) continue;
      } catch {
        continue;
      }
      count++;
      const flags = parseInt(/^flags:\s*([0-7]+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1]!, 8);
      assert((flags & 0o2000000) !== 0, `O_CLOEXEC in ${flags.toString(8)}`);
    }
    region.close();
    assertEquals(count, 2);
  }), { skip: notLinux });

test("open() leaves no descriptor and no mapping after 300 rounds", () =>
  withTempDir(async (directory) => {
    const path = `${directory}/log`;
    for (let round = 0; round < 300; round++) {
      const region = diskStorage().open(path, openRequest());
      region.memory.bytes()[16384] = round;
      if (round % 50 === 0) await region.syncAsync(16384, 1);
      region.close();
    }
    assertEquals(held(directory), []);
  }), { skip: notLinux });

test("open() maps the first four files of a process where WebAssembly sees them", async () => {
  using directory = tempDir();
  const { stdout, stderr } = await runSnippet(
    `
    import process from "node:process";
    import { diskStorage } from ${JSON.stringify(projectUrl("ffi/storage.ts"))};
    import { openRequest } from ${JSON.stringify(projectUrl("tests/support/region.ts"))};
    const open = (name) => diskStorage().open(process.argv[2] + "/" + name, openRequest({ allowUnsafeFileSystem: true }));
    const regions = ["a", "b", "c", "d"].map(open);
    console.log(...regions.map(({ memory }) => memory.memory !== null));
    for (const region of regions) region.close();`,
    { args: [directory.path] },
  );
  assertEquals([stdout, stderr], ["true true true true\n", ""]);
});

test("open() puts zeros where a file could not be mapped, because the kernel may have left a hole", () => {
  collectGarbage();
  using directory = tempDir();
  const on = platform();
  const libc = openLibc(on);
  const fixed: [address: number, isFile: boolean][] = [];
  let hasFailed = false;
  const mmap: typeof libc.mmap = (address, lengthBytes, protection, flags, fd, offset) => {
    if ((flags & MAP_FIXED) !== 0) fixed.push([address, fd >= 0]);
    hasFailed = fd >= 0;
    return hasFailed ? -1 : libc.mmap(address, lengthBytes, protection, flags, fd, offset);
  };
  const errno = () => hasFailed ? on.errno["ENOMEM"]! : libc.errno();
  const storage = mappedStorage(posixSystem({ ...libc, mmap, errno }));
  fails("NO_SPACE", () => storage.open(directory.join("file"), openRequest()));
  const [[first, isFile], [second, isNext]] = fixed.slice(-2) as [[number, boolean], [number, boolean]];
  assertEquals([isFile, isNext, second], [true, false, first]);
});

test("verify() throws when the file is deleted, replaced or cut", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    const damages: (() => void)[] = [
      () => fs.unlinkSync(path),
      () => fs.renameSync(path, `${directory}/elsewhere`),
      () => {
        fs.copyFileSync(path, `${directory}/copy`);
        fs.renameSync(`${directory}/copy`, path);
      },
      () => fs.truncateSync(path, SIZE_BYTES - 4096),
      () => fs.truncateSync(path, SIZE_BYTES + 4096),
    ];
    for (const damage of damages) {
      const region = diskStorage().open(path, openRequest());
      region.verify();
      damage();
      fails("GONE", () => region.verify());
      region.close();
      fs.rmSync(path, { force: true });
    }
  }));

test("pageIn() throws where the file was cut, instead of a signal", () =>
  withTempDir((directory) => {
    const region = diskStorage().open(`${directory}/log`, openRequest());
    region.pageIn(0, SIZE_BYTES, "store");
    fs.truncateSync(`${directory}/log`, 16384);
    fails("GONE", () => region.pageIn(32768, 4096, "store"));
    region.close();
  }), { skip: notLinux });

test("close() detaches the buffer, so that a late access is a TypeError", () =>
  withTempDir(async (directory) => {
    for (const region of [diskStorage().open(`${directory}/log`, openRequest()), memoryRegion(SIZE_BYTES)]) {
      const view = new DataView(region.memory.buffer);
      const bytes = region.memory.bytes();
      view.setUint8(0, 1);
      region.close();
      region.close();
      assertThrows(() => view.getUint8(0), TypeError);
      assertThrows(() => view.setUint8(0, 1), TypeError);
      assertEquals(bytes[0], undefined);
      assertEquals(region.memory.buffer.byteLength, 0);
      assertThrows(() => region.sync(0, 1), TypeError);
      assertThrows(() => region.pageIn(0, 1, "store"), TypeError);
      assertThrows(() => region.verify(), TypeError);
      await assertRejects(() => region.syncAsync(0, 1), TypeError);
    }
  }));

test("close() waits with the unmapping for a pending syncAsync()", () =>
  withTempDir(async (directory) => {
    const path = `${directory}/log`;
    const storage = diskStorage();
    for (let round = 0; round < 20; round++) {
      const region = storage.open(path, openRequest());
      region.memory.bytes().fill(round, 16384);
      const pending = region.syncAsync(0, SIZE_BYTES);
      region.close();
      assertEquals(region.memory.buffer.byteLength, 0);
      // The lock is free at once.
      storage.open(path, openRequest()).close();
      await pending;
    }
    if (process.platform === "linux") assertEquals(held(directory), []);
  }));

test("sync() may be called while syncAsync() is pending, which may not be called twice", () =>
  withTempDir(async (directory) => {
    const region = diskStorage().open(`${directory}/log`, openRequest());
    region.memory.bytes().fill(3, 16384);
    const pending = region.syncAsync(0, SIZE_BYTES);
    await assertRejects(() => region.syncAsync(0, 1), TypeError);
    region.sync(16384, 64);
    await pending;
    await region.syncAsync(0, 1);
    region.close();
  }));

test("sync() refuses a range that is not in the file", () =>
  withTempDir((directory) => {
    const region = diskStorage().open(`${directory}/log`, openRequest());
    for (const [offset, length] of [[-1, 1], [0, SIZE_BYTES + 1], [SIZE_BYTES, 1], [NaN, 1], [0, NaN]] as const) {
      assertThrows(() => region.sync(offset, length), RangeError);
    }
    region.close();
  }));

test("open() refuses a file system that shows other bytes in the mapping", () =>
  withTempDir((directory) => {
    const system = posixSystem();
    const lying = Object.create(system, {
      read: {
        value: (fd: number, bytes: Uint8Array, offset: number) => {
          const count = system.read(fd, bytes, offset);
          bytes[100]! ^= 1;
          return count;
        },
      },
    });
    fails("FILE_SYSTEM", () => mappedStorage(bound(lying, system)).open(`${directory}/log`, openRequest()));
    if (process.platform === "linux") assertEquals(held(directory), []);
  }));

/** Calls run on the real system, whose hidden fields they need, except for those replaced. */
function bound(changed: typeof posixSystem extends () => infer S ? S : never, system: ReturnType<typeof posixSystem>) {
  return new Proxy(system, {
    get(target, name) {
      const own = Object.hasOwn(changed, name);
      const value = Reflect.get(own ? changed : target, name, target) as unknown;
      return typeof value === "function" && !own ? value.bind(target) : value;
    },
  });
}

for (const keep of [false, true]) {
  test(`realPath() names a file while others are renamed over it all the time, ${keep ? "kept" : "gone"} then`, () =>
    withTempDir(async (directory) => {
      const path = `${fs.realpathSync(directory)}/log`;
      fs.writeFileSync(path, "");
      await using child = spawnSnippet(`
        import * as fs from "node:fs";
        const path = ${JSON.stringify(path)};
        console.log("begun");
        for (let i = 0;; i++) {
          fs.writeFileSync(path + ".new", "");
          fs.rmSync(path + ".kept", { force: true });
          if (${keep}) fs.linkSync(path, path + ".kept");
          fs.renameSync(path + ".new", path);
        }`);
      await child.line(/begun/);
      const system = posixSystem();
      const end = performance.now() + 500;
      while (performance.now() < end) assertEquals(system.realPath(path), path);
      child.kill();
      await child.result;
    }));
}

test("realPath() takes a file's name for its name, whatever that is", () =>
  withTempDir((directory) => {
    const path = `${fs.realpathSync(directory)}/log (deleted)`;
    fs.writeFileSync(path, "");
    fs.symlinkSync(path, `${directory}/link`);
    const system = posixSystem();
    assertEquals([system.realPath(path), system.realPath(`${directory}/link`)], [path, path]);
    const error = assertThrows(() => system.realPath(`${directory}/none`), SystemError);
    assertEquals(error.errno, "ENOENT");
  }));

test("open() gets past pages at a file's start that cannot be read, but not past all of them", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    diskStorage().open(path, openRequest()).close();
    for (const unreadable of [1, 3, Infinity]) {
      let reads = 0;
      const system = failingSystem(posixSystem(), (call) => call === "read" && reads++ < unreadable ? "EIO" : null);
      const open = () => mappedStorage(system).open(path, openRequest()).close();
      if (unreadable === Infinity) fails("IO", open);
      else open();
      assert(reads > unreadable || unreadable === Infinity);
    }
  }));
