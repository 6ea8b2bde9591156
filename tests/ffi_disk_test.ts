// Real file systems, each small and of the test's own: full disks, copy on write, and what a commit
// writes.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { mappedStorage } from "../ffi/file/mapped_storage.ts";
import { posixSystem } from "../ffi/system/current.ts";
import { REFRESH_BYTES, type Region, RegionError } from "../ffi/region.ts";
import { diskStorage } from "../ffi/storage.ts";
import type { System } from "../ffi/system/system.ts";
import { loopDevice, loopDeviceSkip } from "./support/loop_device.ts";
import { held, openRequest } from "./support/region.ts";
import { withTempDir } from "./support/temp.ts";
import { share } from "./support/share.ts";
import { test } from "./support/test.ts";

const MIB = 2 ** 20;
const skips = new Map(["ext4", "xfs", "btrfs"].map((type) => [type, loopDeviceSkip(type)]));
const sizeMiB = (type: string) => type === "xfs" ? 320 : 256;

/** Writes until nothing more fits. */
function fillUp(directory: string): void {
  const fd = fs.openSync(`${directory}/filler`, "w");
  for (let bytes = MIB; bytes >= 4096;) {
    try {
      if (fs.writeSync(fd, new Uint8Array(bytes).fill(0xa5)) < bytes) bytes /= 2;
      else if (bytes < MIB) fs.fsyncSync(fd);
    } catch {
      bytes /= 2;
    }
  }
  try {
    fs.fsyncSync(fd);
  } catch { /* full */ }
  fs.closeSync(fd);
}

// The kernel is the same to each runtime.
for (const [type, skip] of share([...skips])) {
  // Fault: the disk is too small for the file (H18).
  // Promise: creation throws NO_SPACE, the process lives, nothing is left (G8, G12).
  test(`open() on a full ${type} is NO_SPACE and leaves nothing`, () => {
    using device = loopDevice(type, sizeMiB(type));
    for (const full of [false, true]) {
      if (full) fillUp(device.path);
      const before = fs.readdirSync(device.path).sort();
      const open = () => diskStorage().open(`${device.path}/log`, openRequest({ sizeBytes: 512 * MIB }));
      const error = assertThrows(open, RegionError);
      assertEquals([error.reason, error.details.errno], ["NO_SPACE", "ENOSPC"]);
      assertEquals(fs.readdirSync(device.path).sort(), before);
      assertEquals(held(device.path), []);
    }
  }, { skip });

  test(`open() on ${type} that cannot reserve is NO_SPACE while zeros are written`, () => {
    using device = loopDevice(type, sizeMiB(type));
    fillUp(device.path);
    const system = without(posixSystem(), "allocate");
    const open = () => mappedStorage(system).open(`${device.path}/log`, openRequest({ sizeBytes: 64 * MIB }));
    assertEquals(assertThrows(open, RegionError).reason, "NO_SPACE");
    assertEquals(fs.readdirSync(device.path).filter((name) => name.includes("log")), []);
    assertEquals(held(device.path), []);
  }, { skip });

  // Fault: the disk fills up after the file was made (H18, H20, H37).
  // Promise: every later overwrite works: no signal, no failed sync, no lost byte (G8).
  test(`Storage.open() makes a file on ${type} that can be overwritten again and again on a full disk`, () => {
    using device = loopDevice(type, sizeMiB(type));
    const path = `${device.path}/log`;
    let region = diskStorage().open(path, openRequest({ sizeBytes: 8 * MIB }));
    assertEquals([region.fileSystem, region.warnings.length], [{ name: type, durable: true }, 0]);
    fillUp(device.path);
    const bytes = region.memory.bytes();
    for (let lap = 1; lap <= 3; lap++) {
      region.pageIn(0, bytes.length, "store");
      bytes.fill(lap, 16384);
      region.sync(0, bytes.length);
    }
    region.close();
    region = diskStorage().open(path, openRequest());
    assert(region.memory.bytes(16384).every((byte) => byte === 3));
    region.close();
  }, { skip });

  // Fault: large folios in the page cache make a store of 64 bytes dirty a megabyte (H35).
  test(`Region.sync() of 64 bytes writes 8 KiB or less to ${type}, to a new, a reopened and a copied file`, () => {
    using device = loopDevice(type, sizeMiB(type));
    const { open } = diskStorage();
    const request = openRequest({ sizeBytes: 16 * MIB });
    const measure = (region: Region): number => {
      const commits = 100;
      const bytes = region.memory.bytes();
      for (let at = 0; at < bytes.length; at += REFRESH_BYTES) region.release(at, REFRESH_BYTES, "kernel");
      // Settle what the file system itself still has to write.
      execFileSync("sync", ["-f", device.path]);
      const before = device.bytesWritten();
      for (let commit = 0; commit < commits; commit++) {
        const offset = 16384 + (commit * 64 * 1024) % (15 * MIB) + (commit % 50) * 64;
        bytes.fill(commit + 1, offset, offset + 64);
        region.sync(offset, 64);
      }
      const written = (device.bytesWritten() - before) / commits;
      region.close();
      return written;
    };
    const written: Record<string, number> = {};
    written["made"] = measure(open(`${device.path}/log`, request));
    written["reopened"] = measure(open(`${device.path}/log`, request));
    // As cp or a restore would: in large writes, and read ahead.
    fs.writeFileSync(`${device.path}/copy`, fs.readFileSync(`${device.path}/log`));
    written["copied"] = measure(open(`${device.path}/copy`, request));
    for (const [name, bytes] of Object.entries(written)) {
      assert(bytes >= 64 && bytes <= 8192, `${name}: ${bytes} bytes in each commit`);
    }
  }, { skip: skip === false && type === "btrfs" ? "btrfs writes its tree with each commit" : skip });

  test(
    `Region.release() from the kernel reads back on ${type} what lay in large folios, and little else`,
    () => {
      using device = loopDevice(type, sizeMiB(type));
      const { open } = diskStorage();
      const request = openRequest({ sizeBytes: 16 * MIB });
      const measure = (region: Region): number => {
        const before = device.bytesRead();
        for (let at = 0; at < 16 * MIB; at += REFRESH_BYTES) region.release(at, REFRESH_BYTES, "kernel");
        region.pageIn(0, 16 * MIB, "load");
        const read = device.bytesRead() - before;
        region.close();
        return read;
      };
      open(`${device.path}/log`, request).close();
      const reopened = measure(open(`${device.path}/log`, request));
      // A page that the kernel has in use just then stays, and its piece is read back.
      assert(reopened <= 4 * MIB, `${reopened} bytes of a file that is written by page`);
      // Not by a runtime, because Bun may write small pieces.
      execFileSync("dd", ["if=/dev/zero", `of=${device.path}/copy`, "bs=1M", "count=16", "conv=fsync", "status=none"]);
      const copied = measure(open(`${device.path}/copy`, request));
      assert(copied >= 15 * MIB, `${copied} bytes of a file that is written a megabyte at a time`);
    },
    { skip: skip === false && type === "btrfs" ? "btrfs reads more than it is asked for" : skip },
  );
}

test("open() sets the no-copy-on-write attribute on btrfs, and refuses a file without it", () => {
  using device = loopDevice("btrfs", 256);
  const path = `${device.path}/log`;
  const { open } = diskStorage();
  open(path, openRequest()).close();
  assert(execFileSync("lsattr", [path], { encoding: "utf8" }).split(" ")[0]!.includes("C"));
  const system = posixSystem();
  const fd = system.open(path, "file");
  assertEquals([system.noCopyOnWrite(fd, "get"), system.noCopyOnWrite(fd, "set")], [true, true]);
  system.close(fd);

  const plain = `${device.path}/plain`;
  fs.writeFileSync(plain, new Uint8Array(65536));
  const error = assertThrows(() => open(plain, openRequest()), RegionError);
  assertEquals(error.reason, "FILE_SYSTEM");
  assert(error.message.includes("btrfs"));
  const region = open(plain, openRequest({ allowUnsafeFileSystem: true }));
  assertEquals(region.warnings.length, 1);
  region.close();
}, { skip: skips.get("btrfs")! });

test("open() says that tmpfs does not last", () => {
  const directory = fs.mkdtempSync("/dev/shm/wal-test-");
  try {
    const region = diskStorage().open(`${directory}/log`, openRequest());
    assertEquals(region.fileSystem, { name: "tmpfs", durable: false });
    assert(region.warnings[0]!.includes("power loss"));
    region.sync(0, 64);
    region.close();
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}, { skip: !fs.existsSync("/dev/shm") && "no /dev/shm" });

test("open() judges a file system by its name", () =>
  withTempDir((directory) => {
    const expected: Record<string, [refused: boolean, warnings: number, durable: boolean]> = {
      ext4: [false, 0, true],
      xfs: [false, 0, true],
      apfs: [false, 0, true],
      tmpfs: [false, 1, false],
      ramfs: [false, 1, false],
      overlay: [false, 1, true],
      "0x1234": [false, 1, true],
      nfs: [true, 1, true],
      cifs: [true, 1, true],
      smb2: [true, 1, true],
      "9p": [true, 1, true],
      fuse: [true, 1, true],
      zfs: [true, 1, true],
      bcachefs: [true, 1, true],
    };
    for (const [name, [isRefused, warnings, durable]] of Object.entries(expected)) {
      const system = without(posixSystem(), "", { fileSystem: () => name });
      const { open } = mappedStorage(system);
      const path = `${directory}/log`;
      if (isRefused) {
        const error = assertThrows(() => open(path, openRequest()), RegionError);
        assertEquals([name, error.reason], [name, "FILE_SYSTEM"]);
        assertEquals(fs.readdirSync(directory), []);
      }
      const region = open(path, openRequest({ allowUnsafeFileSystem: isRefused }));
      assertEquals([name, region.fileSystem, region.warnings.length], [name, { name, durable }, warnings]);
      region.close();
      fs.rmSync(path);
    }
  }));

/** A system without one of its calls, or with others in their place. */
function without(system: System, absent: string, changes: Partial<System> = {}): System {
  return new Proxy(system, {
    get(target, name) {
      if (name === absent) return () => {};
      if (Object.hasOwn(changes, name)) return changes[name as keyof System];
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
