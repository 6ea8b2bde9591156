// Fault: the runtime's FFI answers with an error where it should throw, or with something that is
//   no function, no pointer and no memory. There is no JIT, library, function or address space
//   (H48).
// Promise: open() throws WALPlatformError, whose cause says why, after it has tried every name of
//   the C library. Nothing is mapped (G8).
// Method: children without a JIT and with little memory, names that are missing, and an FFI that
//   returns odd things.

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import process from "node:process";
import { pathToFileURL } from "node:url";
import * as bun from "../../ffi/libc/bun.ts";
import { type Platform, platform } from "../../ffi/libc/platform.ts";
import { verifyLibc } from "../../ffi/libc/self_test.ts";
import { openLibc, posixSystem } from "../../ffi/system/current.ts";
import { RegionError } from "../../ffi/region.ts";
import { projectUrl, runSnippet } from "../support/child.ts";
import { runtime } from "../support/runtime.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const hasShell = process.platform !== "win32";

function refused(body: () => unknown): RegionError {
  const error = assertThrows(body, RegionError);
  assertEquals(error.reason, "PLATFORM");
  return error;
}

/**
 * Opens a log in a child.
 *
 * @returns what it prints: the error's class, code and message, and the messages of its causes.
 */
function openInChild(path: string, options: Parameters<typeof runSnippet>[1]) {
  return runSnippet(
    `
    import { WAL } from "${projectUrl("mod.ts")}";
    using memory = WAL.open(null, { size: 65536 });
    await memory.logInsert(1, 1, 1, 1);
    try {
      const wal = WAL.open(${JSON.stringify(path)}, { size: 65536 });
      await wal.logInsert(1, 1, 1, 1);
      console.log("opened", memory.durable, wal.durable);
      wal.close();
    } catch (error) {
      console.log(error.constructor.name, error.code, memory.durable);
      for (let cause = error; cause; cause = cause.cause) console.log(cause.message);
    }`,
    options,
  );
}

test("WAL.open() without a JIT is WALPlatformError with the first reason as cause; a log in memory works", async () => {
  using directory = tempDir();
  const { stdout, stderr } = await openInChild(directory.join("log"), { env: { BUN_JSC_useJIT: "0" } });
  const lines = stdout.trim().split("\n");
  assertEquals(lines[0], "WALPlatformError PLATFORM 1", stderr);
  assert(lines[1]!.includes("JIT") && lines[1]!.includes("Linux and macOS"), stdout);
  assert(lines.at(-1)!.includes("JIT"), stdout);
  assertEquals(fs.readdirSync(directory.path), []);
}, { skip: runtime !== "bun" && "others call C without a JIT" });

test(
  "WAL.open() on a Node without its FFI is WALPlatformError that names the Node to take; a log in memory works",
  async () => {
    using directory = tempDir();
    const old = pathToFileURL(directory.join("old.mjs"));
    // As before Node 20.16.
    fs.writeFileSync(old, "delete process.getBuiltinModule;");
    for (const flag of ["--no-experimental-ffi", `--import=${old}`]) {
      const { stdout, stderr } = await openInChild(directory.join("log"), { nodeFlags: [flag] });
      const [first, message = ""] = stdout.trim().split("\n");
      assertEquals(first, "WALPlatformError PLATFORM 1", stderr);
      assertStringIncludes(message, `Node ${process.versions.node}, which has no node:ffi`);
      assertStringIncludes(message, "Node 26.9 or later");
    }
    assertEquals(fs.readdirSync(directory.path), ["old.mjs"]);
  },
  { skip: runtime !== "node" && "Node alone can be without its FFI" },
);

test("WAL.open() takes no global of another runtime's name for that runtime", async () => {
  using directory = tempDir();
  const script = `
    for (const name of ["Deno", "Bun"]) globalThis[name] ??= {};
    const { WAL } = await import("${projectUrl("mod.ts")}");
    for (const path of [null, ${JSON.stringify(directory.join("log"))}]) {
      await using wal = WAL.open(path, { size: 65536 });
      await wal.logInsert(1, 2, 3, 4);
      console.log(wal.durable);
    }`;
  const { stdout, stderr } = await runSnippet(script);
  assertEquals(stdout, "1\n".repeat(2), stderr);
});

test("WAL.open() on a runtime that lacks JavaScript of the log's is WALPlatformError, in memory too", async () => {
  using directory = tempDir();
  const script = `
    delete Promise.withResolvers;
    const { WAL } = await import("${projectUrl("mod.ts")}");
    for (const path of [null, ${JSON.stringify(directory.join("log"))}]) {
      try {
        WAL.open(path, { size: 65536 });
      } catch (error) {
        console.log(error.constructor.name, error.code, error.message.includes("Node 26.9 or later"));
      }
    }`;
  const { stdout, stderr } = await runSnippet(script);
  assertEquals(stdout, "WALPlatformError PLATFORM true\n".repeat(2), stderr);
  assertEquals(fs.readdirSync(directory.path), []);
});

test("WAL.open() without WebAssembly is WALPlatformError, in memory too", async () => {
  using directory = tempDir();
  const script = `
    import { WAL } from "${projectUrl("mod.ts")}";
    for (const path of [null, ${JSON.stringify(directory.join("log"))}]) {
      try {
        WAL.open(path, { size: 65536 });
      } catch (error) {
        console.log(error.constructor.name, error.code, error.message.includes("WebAssembly"));
      }
    }`;
  const { stdout, stderr } = await runSnippet(script, { denoFlags: ["--allow-all", "--v8-flags=--jitless"] });
  assertEquals(stdout, "WALPlatformError PLATFORM true\n".repeat(2), stderr);
}, { skip: runtime !== "deno" && "Bun has it without a JIT, and Node needs it for TypeScript" });

test("WAL.open() with little address space opens or is typed, and leaves nothing", async () => {
  // A runtime that does not start at all says nothing on standard output.
  const limits = runtime === "bun" ? [16_000_000, 2_000_000, 1_500_000, 1_000_000] : [40_000_000];
  for (const limit of limits) {
    using directory = tempDir();
    const { stdout } = await openInChild(directory.join("log"), {
      wrapper: ["/bin/sh", "-c", `ulimit -v ${limit}; exec "$@"`, "sh"],
    });
    const [first = ""] = stdout.split("\n");
    const isTyped = /^(opened 1 1|WALPlatformError PLATFORM 1|WALSpaceError NO_SPACE 1|)$/.test(first);
    assert(isTyped, `${limit} KiB: ${stdout}`);
    if (!first.startsWith("opened")) assertEquals(fs.readdirSync(directory.path), []);
  }
}, { skip: !hasShell && "no shell" });

test("openLibc() tries each name of the library, and says of all why not", () => {
  const on = platform();
  const libc = openLibc({ ...on, libraries: ["libwal-none-1.so", "libwal-none-2.so", ...on.libraries] });
  assert(verifyLibc(libc, on) >= 4096);
  assertEquals(libc.statx === null, openLibc(on).statx === null);
  const error = refused(() => openLibc({ ...on, libraries: ["libwal-none-1.so", "libwal-none-2.so"] }));
  assert(error.message.includes("libwal-none-1.so") && error.message.includes("libwal-none-2.so"), error.message);
  const { cause } = error.details;
  assert(cause instanceof Error && cause.message.includes("libwal-none-1.so"), String(cause));
});

test("openLibc() names a function that the library does not have", () => {
  const on = platform();
  const signatures = { ...on.signatures, wal_no_such_function: [["int"], "int"] } as Platform["signatures"];
  const error = refused(() => openLibc({ ...on, signatures }));
  assert(error.message.includes("wal_no_such_function"), error.message);
  assert((error.details.cause as Error).message.includes("wal_no_such_function"));
  refused(() => openLibc({ ...on, errnoLocation: "__wal_no_such_errno" }));
});

/** Bun's FFI, with some of its calls answering otherwise. */
function answering(changes: Partial<bun.BunFFI>): bun.BunFFI {
  const functions = new Proxy({}, { get: () => () => 4096, has: () => true }) as Record<string, () => number>;
  return {
    dlopen: () => ({ symbols: functions, close() {} }),
    ptr: () => 4096,
    toArrayBuffer: (_address, _offset, lengthBytes) => new ArrayBuffer(lengthBytes),
    ...changes,
  };
}

test("openLibc() on Bun takes no error, and nothing but functions and memory, for an answer", () => {
  const on = platform();
  const broken = new Error("broken");
  const odd: Partial<bun.BunFFI>[] = [
    { dlopen: () => broken },
    { dlopen: () => ({ symbols: {}, close() {} }) },
    { dlopen: () => ({}) as never },
    { dlopen: () => undefined as never },
    { dlopen: () => null as never },
    { dlopen: undefined as never },
  ];
  for (const change of odd) refused(() => bun.openLibc(on, answering(change)));
  assertEquals(refused(() => bun.openLibc(on, answering(odd[0]!))).details.cause, broken);
  for (const toArrayBuffer of [() => broken, () => new ArrayBuffer(0), () => undefined as never]) {
    // Whatever is thrown, posixSystem() makes PLATFORM of it, as the next test shows.
    assertThrows(() => bun.openLibc(on, answering({ toArrayBuffer })), Error);
  }
  const libc = bun.openLibc(on, answering({ ptr: () => broken }));
  assertThrows(() => libc.addressOf(new ArrayBuffer(8)), Error, "broken");
  // The second dlopen, for statx: an older library has none.
  if (on.os !== "linux") return;
  const { dlopen } = answering({});
  const withoutStatx = (name: string, symbols: Parameters<typeof dlopen>[1]) =>
    "statx" in symbols ? broken : dlopen(name, symbols);
  assertEquals(bun.openLibc(on, answering({ dlopen: withoutStatx })).statx, null);
});

test("posixSystem() is PLATFORM, with the reason as cause, whatever the FFI throws", () => {
  const libc = openLibc(platform());
  const reason = new TypeError("undefined is not an object");
  for (const name of ["sysconf", "mmap", "view", "addressOf"] as const) {
    const error = refused(() =>
      posixSystem({
        ...libc,
        [name]: () => {
          throw reason;
        },
      })
    );
    assertEquals(error.details.cause, reason);
    assert(error.message.includes(reason.message));
  }
});

const noCompiler = (() => {
  try {
    execFileSync("cc", ["--version"], { stdio: "ignore" });
    return process.platform !== "linux" && "names of Linux";
  } catch {
    return "there is no C compiler";
  }
})();

test("openLibc() takes no library from the working directory", async () => {
  using directory = tempDir();
  const processor = process.arch === "arm64" ? "aarch64" : "x86_64";
  fs.writeFileSync(
    directory.join("planted.c"),
    `#include <unistd.h>
    __attribute__((constructor)) static void planted(void) { write(1, "planted\\n", 8); }`,
  );
  for (const name of ["libc.so.6", `libc.musl-${processor}.so.1`, `ld-musl-${processor}.so.1`]) {
    execFileSync("cc", ["-shared", "-fPIC", "-o", directory.join(name), directory.join("planted.c")]);
  }
  const { stdout } = await openInChild(directory.join("log"), {
    cwd: directory.path,
    env: { BUN_JSC_useJIT: "0" },
  });
  assert(stdout !== "" && !stdout.includes("planted"), stdout);
}, { skip: noCompiler });
