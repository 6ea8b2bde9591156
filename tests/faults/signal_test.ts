// Fault: the system sends a signal where an error was expected: for a file longer than this process
//   may write (SIGXFSZ), for a pipe that nobody reads (SIGPIPE), or there is too little address
//   space (H47).
// Promise: a WALSpaceError names the limit, nothing is half made and nothing is lost. No program of
//   ours dies of a closed pipe (G8, G12).
// Method: children under `ulimit -f` make, copy and salvage a log, and open one that is longer than
//   the limit already.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import process from "node:process";
import type { Libc } from "../../ffi/libc/libc.ts";
import { platform, RLIMIT_FSIZE } from "../../ffi/libc/platform.ts";
import { mappedStorage } from "../../ffi/file/mapped_storage.ts";
import { openLibc, posixSystem } from "../../ffi/system/current.ts";
import { WAL, WALSpaceError } from "../../mod.ts";
import { runArguments } from "../../scripts/tools.ts";
import { PROJECT_URL, projectUrl, runCommand, runSnippet, runtimeBinary } from "../support/child.ts";
import { runtime } from "../support/runtime.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";
import { fileURLToPath } from "node:url";

const noShell = process.platform === "win32" && "no shell";
/** Longer than the limit, whichever unit `ulimit` has: 512 or 1024 bytes. */
const BYTES = 24 << 20;
const LIMIT_BLOCKS = 20_000;

/**
 * Runs a snippet that may write files of 10 or 20 megabytes, and must end by itself.
 *
 * @returns its lines.
 */
async function limited(directory: TempDir, body: string): Promise<string[]> {
  const { code, signal, stdout, stderr } = await runSnippet(
    `
    import { WAL } from "${projectUrl("mod.ts")}";
    const path = ${JSON.stringify(directory.join("log"))};
    const options = { size: ${BYTES}, idleHeaderDelayMs: Infinity };
    const attempt = (body) => {
      try {
        body();
        console.log("done");
      } catch (error) {
        console.log(error.constructor.name, error.code, error.errno, error.path, error.message);
      }
    };
    ${body}`,
    {
      wrapper: ["/bin/sh", "-c", `ulimit -f ${LIMIT_BLOCKS}; exec "$@"`, "sh"],
      // A directory of its own, because the limit holds for Deno's cache files too.
      env: { DENO_DIR: directory.join("deno") },
    },
  );
  fs.rmSync(directory.join("deno"), { recursive: true, force: true });
  assertEquals([code, signal], [0, null], `${stdout}\n${stderr}`);
  return stdout.trimEnd().split("\n");
}

function assertLimit(line: string, path: string): void {
  assert(line.startsWith(`WALSpaceError NO_SPACE EFBIG ${path} `), line);
  assert(/of (10240000|20480000) bytes at most/.test(line) && line.includes("ulimit -f"), line);
}

test("WAL.open() of a new log longer than this process may write is WALSpaceError, and leaves nothing", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  const [large, small] = await limited(
    directory,
    `attempt(() => WAL.open(path, options).close());
    attempt(() => WAL.open(path, { ...options, size: 65536 }).close());`,
  );
  assertLimit(large!, fs.realpathSync(path));
  assertEquals(small, "done");
  assertEquals(fs.readdirSync(directory.path), ["log"]);
}, { skip: noShell });

test(
  "WAL goes round and round in a log that is longer than this process may write, and refuses to copy it",
  async () => {
    using directory = tempDir();
    const path = directory.join("log");
    WAL.open(path, { size: BYTES }).close();
    const lines = await limited(
      directory,
      `const wal = WAL.open(path, options);
    for (let lap = 0; lap < 3; lap++) {
      for (let i = 0; i < 300_000; i++) wal.logInsertSync(i, i, i, i);
      if (lap === 1) await wal.flushAsync();
      wal.flush();
      wal.truncate(wal.durable);
    }
    await wal.logInsert(1, 2, 3, 4);
    console.log(wal.durable);
    attempt(() => wal.backup(path + ".copy"));
    attempt(() => wal.close());`,
    );
    assertEquals([lines[0], lines[2]], ["900001", "done"]);
    assertLimit(lines[1]!, fs.realpathSync(path) + ".copy");
    assertEquals(fs.readdirSync(directory.path), ["log"]);
    const wal = WAL.open(path);
    assertEquals([wal.recovery.clean, wal.durable], [true, 900001]);
    wal.close();
  },
  { skip: noShell },
);

test(
  "salvage() of a log longer than this process may write is WALSpaceError, and leaves the damaged file as it is",
  async () => {
    using directory = tempDir();
    const path = directory.join("log");
    const wal = WAL.open(path, { size: BYTES });
    for (let i = 1; i <= 100; i++) wal.logInsertSync(i, i, i, i);
    wal.close();
    const bytes = fs.readFileSync(path);
    bytes[16384 + 10 * 64 + 40]! ^= 1;
    fs.writeFileSync(path, bytes);
    const [line] = await limited(
      directory,
      `attempt(() => WAL.open(path, { ...options, recovery: "salvage" }).close());`,
    );
    assertLimit(line!, fs.realpathSync(path));
    assertEquals(fs.readdirSync(directory.path), ["log"]);
    assert(fs.readFileSync(path).equals(bytes));
  },
  { skip: noShell },
);

test(
  "WAL.open() of a log that does not fit the address space is WALSpaceError, and leaves the file as it is",
  async () => {
    using directory = tempDir();
    const path = directory.join("log");
    // The runtime itself takes much address space. V8 cannot start with less than 50 GB.
    const [limitKiB, bytes] = runtime === "bun" ? [4_000_000, 3.5 * 2 ** 30] : [60_000_000, 60 * 2 ** 30];
    fs.writeFileSync(path, "");
    fs.truncateSync(path, bytes);
    const { stdout, stderr } = await runSnippet(
      `
    import { WAL } from "${projectUrl("mod.ts")}";
    try {
      WAL.open(${JSON.stringify(path)});
    } catch (error) {
      console.log(error.constructor.name, error.errno);
    }`,
      { wrapper: ["/bin/sh", "-c", `ulimit -v ${limitKiB}; exec "$@"`, "sh"] },
    );
    assertEquals(stdout.trim(), "WALSpaceError ENOMEM", stderr);
    assertEquals([fs.readdirSync(directory.path), fs.statSync(path).size], [["log"], bytes]);
  },
  { skip: process.platform !== "linux" && "address space is limited on Linux" },
);

test("fileSizeLimit() is what getrlimit says, and none where that fails", () => {
  const libc = openLibc(platform());
  const limit = posixSystem(libc).fileSizeLimit;
  const told = execFileSync("/bin/sh", ["-c", "ulimit -f"], { encoding: "utf8" }).trim();
  if (told === "unlimited") assert(limit > 2 ** 62);
  else assert([512, 1024].map((unit) => unit * Number(told)).includes(limit));
  assertEquals(posixSystem({ ...libc, getrlimit: () => -1 }).fileSizeLimit, Infinity);
}, { skip: noShell });

test("WAL.open() makes a log as long as the limit, and not a byte longer", () => {
  using directory = tempDir();
  const libc = openLibc(platform());
  /** The real call with a changed answer, because a real limit cannot be raised again. */
  const limitedTo = (bytes: number): Libc => ({
    ...libc,
    getrlimit(resource, address) {
      assertEquals(resource, RLIMIT_FSIZE);
      const result = libc.getrlimit(resource, address);
      new DataView(libc.view(address, 16)).setBigUint64(0, BigInt(bytes), true);
      return result;
    },
  });
  const storage = (bytes: number) => mappedStorage(posixSystem(limitedTo(bytes)));
  assertThrows(() => WAL.open(directory.join("log"), { size: 65536, storage: storage(65535) }), WALSpaceError);
  assertEquals(fs.readdirSync(directory.path), []);
  WAL.open(directory.join("log"), { size: 65536, storage: storage(65536) }).close();
});

const noCompiler = (() => {
  try {
    execFileSync("cc", ["--version"], { stdio: "ignore" });
    return false;
  } catch {
    return "there is no C compiler";
  }
})();

test("RLIMIT_FSIZE and struct rlimit are those of this system's headers", () => {
  using directory = tempDir();
  fs.writeFileSync(
    directory.join("limits.c"),
    `#include <stddef.h>
    #include <stdio.h>
    #include <sys/resource.h>
    int main(void) {
      printf("%d %zu %zu %zu\\n", RLIMIT_FSIZE, sizeof(struct rlimit), offsetof(struct rlimit, rlim_cur), sizeof(rlim_t));
    }`,
  );
  execFileSync("cc", ["-o", directory.join("limits"), directory.join("limits.c")]);
  const told = execFileSync(directory.join("limits"), { encoding: "utf8" }).trim();
  assertEquals(told, `${RLIMIT_FSIZE} 16 0 8`);
}, { skip: noCompiler });

test("examples/*.ts and scripts/*.ts end by themselves when nobody reads what they print", async () => {
  for (
    const script of ["examples/quickstart.ts", "bench/main.ts --help", "scripts/mutants.ts --only none-of-this-name"]
  ) {
    const [file, ...rest] = script.split(" ");
    const command = [runtimeBinary(), ...runArguments(runtime), file!, ...rest];
    const { stderr } = await runCommand(
      ["/bin/sh", "-c", `("$@"; echo "ended $?" >&2) | true`, "sh", ...command],
      { cwd: fileURLToPath(PROJECT_URL) },
    );
    // A code of 128 or more means a signal. The mutants exit with 1 because no mutant was tried.
    const code = Number(/ended (\d+)/.exec(stderr)?.[1]);
    assertEquals([script, code <= 1, /EPIPE|Broken pipe/i.test(stderr)], [script, true, false], stderr);
  }
}, { skip: noShell });
