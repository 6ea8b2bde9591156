// Fault: any one system call fails, with any of several errors.
// Promise: the caller gets a RegionError, no descriptor or mapping leaks, and no file is half made
//   (G8, G12).
// Method: count the calls of a clean run, then repeat it with each call failing, once above libc
//   and once below.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import process from "node:process";
import { temporaryPath } from "../ffi/file/creation.ts";
import { splitPath } from "../ffi/file/directory.ts";
import { platform } from "../ffi/libc/platform.ts";
import { mappedStorage } from "../ffi/file/mapped_storage.ts";
import { openLibc, posixSystem } from "../ffi/system/current.ts";
import { type Region, RegionError } from "../ffi/region.ts";
import type { System } from "../ffi/system/system.ts";
import {
  checkWhole,
  failingLibc,
  failingSystem,
  FIRST_BYTES,
  held,
  openRequest,
  SIZE_BYTES,
  type Verdict,
} from "./support/region.ts";
import { runtime } from "./support/runtime.ts";
import { withTempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const ERRORS = ["EIO", "ENOSPC", "EACCES", "ENOMEM", "EINVAL", "EOPNOTSUPP"];
const TEMPORARY = splitPath(temporaryPath("/log")).name;
const notLinux = process.platform !== "linux" && "looks into /proc";
const REASONS = ["PERMISSION", "NO_SPACE", "FILE_SYSTEM", "SYNC", "IO", "PLATFORM", "NOT_FOUND"];

/** A life of a region with all that can fail in it. */
function life(system: System, path: string): void {
  const region = mappedStorage(system).open(path, openRequest());
  try {
    region.pageIn(0, SIZE_BYTES, "store");
    region.sync(0, 64);
    region.verify();
  } finally {
    region.close();
  }
}

/** Runs a life with the n-th call failing, for each n, and checks what is left each time. */
function sweep(directory: string, errno: string, make: (verdict: Verdict) => System, prepare: (path: string) => void) {
  let calls = 0;
  const clean = `${directory}/clean`;
  prepare(clean);
  life(make(() => (calls++, null)), clean);
  fs.rmSync(clean);
  for (let failing = 0; failing < calls; failing++) {
    const path = `${directory}/log`;
    prepare(path);
    let failed = "";
    const verdict: Verdict = (call, index) => (index === failing ? (failed = call, errno) : null);
    try {
      life(make(verdict), path);
    } catch (error) {
      assert(error instanceof RegionError, `${failed} ${errno}: ${error}`);
      assert(REASONS.includes(error.reason), `${failed} ${errno}: ${error.reason}`);
    }
    assertEquals([failed, errno, held(directory)], [failed, errno, []]);
    if (fs.existsSync(path)) checkWhole(path);
    // A temporary name may stay where the failure kept the code from telling that it is its own, or
    // from removing it.
    const mayStay = ["lock", "flock", "fstat", "lstat", "unlink"].includes(failed);
    const names = fs.readdirSync(directory).filter((name) => name !== "log");
    assertEquals([failed, names.filter((name) => !mayStay || name !== TEMPORARY)], [failed, []]);
    // The next life, without a fault, mends whatever is left.
    life(posixSystem(), path);
    checkWhole(path);
    fs.rmSync(path);
    fs.rmSync(`${directory}/${TEMPORARY}`, { force: true });
  }
}

for (const errno of ERRORS) {
  test(`open() of a new file fails whole when a system call ends in ${errno}`, () =>
    withTempDir((directory) => {
      const system = posixSystem();
      sweep(directory, errno, (verdict) => failingSystem(system, verdict), () => {});
    }), { skip: notLinux });

  test(`open() of a file fails whole when a system call ends in ${errno}`, () =>
    withTempDir((directory) => {
      const system = posixSystem();
      sweep(directory, errno, (verdict) => failingSystem(system, verdict), (path) => life(system, path));
    }), { skip: notLinux });

  test(`open() fails whole when a call of libc ends in ${errno}`, () =>
    withTempDir((directory) => {
      const on = platform();
      const libc = openLibc(on);
      sweep(directory, errno, (verdict) => posixSystem(failingLibc(libc, on.errno, afterSelfTest(verdict))), () => {});
    }), { skip: notLinux });
}

/** The self-test has tests of its own. */
function afterSelfTest(verdict: Verdict): Verdict {
  const SELF_TEST_CALLS = 5;
  return (call, index) => index < SELF_TEST_CALLS ? null : verdict(call, index - SELF_TEST_CALLS);
}

test("replace() fails whole, and keeps the old file, when a system call fails", () =>
  withTempDir((directory) => {
    const system = posixSystem();
    const names = (path: string) => [path, `${path}.kept`] as const;
    const old = new Uint8Array(SIZE_BYTES).fill(5);
    const run = (verdict: Verdict) => {
      const [path, kept] = names(`${directory}/log`);
      fs.writeFileSync(path, old);
      let error: unknown = null;
      let region: Region | null = null;
      try {
        region = mappedStorage(failingSystem(system, verdict)).open(path, openRequest());
        region.replace([FIRST_BYTES], SIZE_BYTES, kept).close();
      } catch (caught) {
        error = caught;
      }
      region?.close();
      assert(error === null || error instanceof RegionError);
      assertEquals(held(directory), []);
      const isNew = fs.existsSync(kept) && fs.statSync(path).ino !== fs.statSync(kept).ino;
      if (isNew) checkWhole(path);
      assertEquals(fs.readFileSync(isNew ? kept : path).equals(old), true);
      for (const name of fs.readdirSync(directory)) fs.rmSync(`${directory}/${name}`);
      return error;
    };
    let calls = 0;
    assertEquals(run(() => (calls++, null)), null);
    for (let failing = 0; failing < calls; failing++) run((_, index) => index === failing ? "EIO" : null);
  }), { skip: notLinux });

test("sync() and syncAsync() reject with SYNC whatever the error number", () =>
  withTempDir(async (directory) => {
    for (const errno of ["EIO", "ENOSPC", "EDQUOT", "EINTR", "EUNKNOWN"]) {
      let armed = false;
      const storage = mappedStorage(
        failingSystem(posixSystem(), (call) => armed && call.startsWith("sync") ? errno : null),
      );
      const region = storage.open(`${directory}/log`, openRequest());
      armed = true;
      assertEquals(assertThrows(() => region.sync(0, 64), RegionError).reason, "SYNC");
      assertEquals((await assertRejects(() => region.syncAsync(0, 64), RegionError)).reason, "SYNC");
      region.close();
    }
  }));

test("syncAsync() rejects when libc's msync fails off the thread", () =>
  withTempDir(async (directory) => {
    const on = platform();
    let armed = false;
    const libc = failingLibc(openLibc(on), on.errno, (call) => armed && call === "msyncAsync" ? "EIO" : null);
    const region = mappedStorage(posixSystem(libc)).open(`${directory}/log`, openRequest());
    armed = true;
    const pending = region.syncAsync(0, 64);
    region.close();
    assertEquals((await assertRejects(() => pending, RegionError)).reason, "SYNC");
    assertEquals(held(directory), []);
  }), { skip: runtime !== "deno" && "Bun has no call off the thread" });

test(
  "pageIn() before a store is NO_SPACE where a page has no block, and nothing where the kernel cannot tell",
  () =>
    withTempDir((directory) => {
      const on = platform();
      const libc = openLibc(on);
      for (const errno of ["EFAULT", "ENOMEM", "EINVAL"]) {
        let calls = 0;
        const failing = failingLibc(libc, on.errno, (call) => call === "madvise" ? (calls++, errno) : null);
        const region = mappedStorage(posixSystem(failing)).open(`${directory}/log`, openRequest());
        if (errno === "EINVAL") {
          region.pageIn(0, 4096, "store");
          region.pageIn(0, 4096, "store");
          // One is the mapping's own advice, and after one refusal no more are tried.
          assertEquals(calls, 2);
        } else assertEquals(assertThrows(() => region.pageIn(0, 4096, "store"), RegionError).reason, "NO_SPACE");
        region.close();
      }
    }),
  { skip: notLinux },
);

test("lock() and others call again after a signal, but a sync does not", () =>
  withTempDir((directory) => {
    const on = platform();
    const libc = openLibc(on);
    const again = new Map<string, number>();
    const failing = failingLibc(libc, on.errno, (call) => {
      const count = again.get(call) ?? 0;
      again.set(call, count + 1);
      return ["flock", "posix_fallocate", "fstatfs", "madvise"].includes(call) && count === 0 ? "EINTR" : null;
    });
    life(posixSystem(failing), `${directory}/log`);
    const interrupted = failingLibc(libc, on.errno, (call) => call === "fsync" ? "EINTR" : null);
    const open = () => life(posixSystem(interrupted), `${directory}/new`);
    assertEquals(assertThrows(open, RegionError).reason, "SYNC");
    assertEquals(fs.existsSync(`${directory}/new`), false);
  }), { skip: notLinux });
