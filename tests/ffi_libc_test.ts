import { assert, assertEquals, assertThrows } from "@std/assert";
import { constants } from "node:os";
import process from "node:process";
import type { Libc } from "../ffi/libc/libc.ts";
import { errnoName, MAP_SHARED, platform, PROT_READ } from "../ffi/libc/platform.ts";
import { verifyLibc } from "../ffi/libc/self_test.ts";
import { openLibc, posixSystem } from "../ffi/system/current.ts";
import { RegionError } from "../ffi/region.ts";
import { SystemError } from "../ffi/system/system.ts";
import { collectGarbage } from "./support/region.ts";
import { test } from "./support/test.ts";
import { startWorker } from "./support/worker.ts";

test("platform() has the error numbers of this system", () => {
  const known: Record<string, number> = constants.errno;
  for (const [name, number] of Object.entries(platform().errno)) {
    if (name in known) assertEquals([name, number], [name, known[name]!]);
  }
});

test("platform() refuses what it has no table for, and says what is supported", () => {
  for (const [os, processor] of [["win32", "x64"], ["linux", "s390x"], ["freebsd", "x64"], ["linux", "ia32"]]) {
    const error = assertThrows(() => platform(os, processor), RegionError);
    assertEquals(error.reason, "PLATFORM");
    assert(error.message.includes(`${os} ${processor}`) && error.message.includes("Linux and macOS"));
  }
});

test("platform() has a table for each supported system", () => {
  for (const os of ["linux", "darwin"]) {
    for (const processor of ["x64", "arm64"]) {
      const found = platform(os, processor);
      assertEquals(found.os, os === "linux" ? "linux" : "macos");
      assertEquals(found.padsVariadic, os === "darwin" && processor === "arm64");
      const numbers = Object.entries(found.errno).filter(([name]) => name !== "ENOTSUP").map(([, number]) => number);
      assertEquals(new Set(numbers).size, numbers.length);
    }
  }
});

test("verifyLibc() accepts this system and returns its page size", () => {
  const libc = openLibc(platform());
  const pageBytes = verifyLibc(libc, platform());
  assert(pageBytes >= 4096 && Number.isInteger(Math.log2(pageBytes)));
});

type MmapValues = Parameters<Libc["mmap"]>;

function rest([, ...others]: MmapValues) {
  return others;
}

/** True for a call that maps at an address, shared (1) or private (2). */
function isFixed([address, , , flags]: MmapValues, kind: number): boolean {
  return address !== 0 && (flags & 3) === kind;
}

test("verifyLibc() refuses a library whose answers do not fit the table", () => {
  const libc = openLibc(platform());
  const wrong: Partial<Libc>[] = [
    { sysconf: () => -1 },
    { sysconf: () => 4095 },
    { mmap: () => -1 },
    { mmap: (...values) => values[1] === 0 ? 0 : libc.mmap(...values) },
    { msync: () => -1 },
    { munmap: (address, length) => libc.munmap(address, length) - 1 },
    { errno: () => 0 },
    // MAP_FIXED is another number, MAP_SHARED maps nothing, MAP_PRIVATE clears nothing.
    { mmap: (...values) => values[0] === 0 ? libc.mmap(...values) : libc.mmap(0, ...rest(values)) },
    { mmap: (...values) => isFixed(values, 1) ? values[0] : libc.mmap(...values) },
    { mmap: (...values) => isFixed(values, 2) ? values[0] : libc.mmap(...values) },
  ];
  for (const change of wrong) {
    collectGarbage();
    const error = assertThrows(() => posixSystem({ ...libc, ...change }), RegionError);
    assertEquals(error.reason, "PLATFORM");
  }
  // A system's own table in place of this one's: MAP_ANON differs, so a map of descriptor −1 fails.
  assertThrows(() => verifyLibc(libc, platform("darwin", "x64")), RegionError);
});

test("mmap() fails with all bits set and leaves its error number", () => {
  const libc = openLibc(platform());
  assertEquals(libc.mmap(0, 4096, PROT_READ, MAP_SHARED, -1, 0), -1);
  assertEquals(errnoName(platform(), libc.errno()), "EBADF");
  assertEquals(libc.munmap(1, 4096), -1);
  assertEquals(errnoName(platform(), libc.errno()), "EINVAL");
});

test("errnoName() has a name for what is in no table", () => {
  assertEquals(errnoName(platform(), 28), "ENOSPC");
  assertEquals(errnoName(platform(), 4095), "EUNKNOWN(4095)");
});

test("errno() belongs to the thread that failed", async () => {
  const worker = startWorker(new URL("./support/region_worker.ts", import.meta.url));
  const theirs = worker.ask("errno");
  const system = posixSystem();
  const mine = new Set<string>();
  for (let round = 0; round < 20_000; round++) {
    mine.add(assertThrows(() => system.unlock(-1), SystemError).errno);
  }
  assertEquals([...mine], ["EBADF"]);
  assertEquals(await theirs, "EBADF,EINVAL");
  await worker.terminate();
}, { skip: process.platform !== "linux" && "error numbers of Linux" });
