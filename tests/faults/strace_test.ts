// Fault: the kernel refuses a system call of the real process, below libc and the runtime, where
//   nothing of ours can see it (H10, H18, H21, H22, H24).
// Promise: each failure is a typed error. A failed sync acknowledges nothing, no acknowledged
//   record is lost, and the process ends by itself (G1, G6, G8, G12).
// Method: run a writer under strace, which injects an error into the n-th call of a name, on a new
//   log and on an existing one.
//
// strace tells calls apart by name, path and count, not by arguments. The runtimes' own memory
// depends on madvise, so libc_test.ts fails that call. An injected failure does not drop the page,
// as a real one may, so failed_sync_test.ts does that.

import { assert, assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import process from "node:process";
import { temporaryPath } from "../../ffi/file/creation.ts";
import { WAL } from "../../mod.ts";
import { runScript } from "../support/child.ts";
import { tempDir } from "../support/temp.ts";
import { share } from "../support/share.ts";
import { test } from "../support/test.ts";

function straceSkip(): string | false {
  if (process.platform !== "linux") return "strace is for Linux";
  const probe = spawnSync("strace", ["-f", "-e", "inject=msync:error=EIO", "true"]);
  if (probe.error !== undefined) return "no strace";
  return probe.status === 0 ? false : "tracing is not permitted here";
}

const skip = straceSkip();

/** Which calls fail, and what must follow. */
interface Injection {
  /** In the syntax of strace's `inject=`. */
  readonly inject: string;
  /** True if only calls on the log's own files fail. */
  readonly ofLog?: boolean;
  /** True if the log exists already. */
  readonly exists?: boolean;
  readonly flush?: "inline" | "offload";
  /** The first error that the caller gets; null if the log can do without the call. */
  readonly error: RegExp | null;
}

const SYNC = /^error (open|append|batch|flush|checkpoint) WALSyncError SYNC true$/;

const INJECTIONS: readonly Injection[] = [
  // The first msync is the library's own test of libc.
  { inject: "msync:error=EIO:when=1", error: /^error open WALPlatformError PLATFORM true$/ },
  ...[2, 4, 5, 6, 7, 8].map((n): Injection => ({ inject: `msync:error=EIO:when=${n}`, flush: "inline", error: SYNC })),
  { inject: "msync:error=ENOSPC:when=5+", flush: "inline", error: SYNC },
  { inject: "msync:error=EINTR:when=5", flush: "inline", exists: true, error: SYNC },
  // Deno's syncs off the thread are msync, Bun's are fdatasync. strace counts the calls of each
  // thread.
  { inject: "msync,fdatasync:error=EIO:when=5", flush: "offload", exists: true, error: SYNC },
  { inject: "msync,fdatasync:error=EIO:when=4+", flush: "offload", exists: true, error: SYNC },
  { inject: "msync,fdatasync:error=EIO:when=2", flush: "offload", error: SYNC },
  { inject: "fsync:error=EIO:when=1", error: /^error open WALSyncError SYNC true$/ },
  { inject: "fsync:error=EIO:when=2", error: /^error open WALSyncError SYNC true$/ },
  { inject: "fsync:error=EIO:when=1", exists: true, error: /^error open WALSyncError SYNC true$/ },
  // This error number has no name in Deno's node:fs.
  { inject: "ftruncate:error=EFBIG", ofLog: true, error: /^error open WAL(Space|IO)Error (NO_SPACE|IO) true$/ },
  { inject: "fallocate:error=ENOSPC", ofLog: true, error: /^error open WALSpaceError NO_SPACE true$/ },
  { inject: "fallocate:error=EDQUOT", ofLog: true, error: /^error open WALSpaceError NO_SPACE true$/ },
  { inject: "pwrite64:error=ENOSPC:when=3", ofLog: true, error: /^error open WALSpaceError NO_SPACE true$/ },
  { inject: "pwrite64:error=EIO:when=1", ofLog: true, error: /^error open WALIOError IO true$/ },
  { inject: "flock:error=EINTR:when=1", ofLog: true, exists: true, error: null },
  { inject: "flock:error=ENOLCK", ofLog: true, exists: true, error: /^error open WALIOError IO true$/ },
  { inject: "flock:error=EAGAIN", ofLog: true, exists: true, error: /^error open WALLockedError LOCKED true$/ },
  { inject: "mmap:error=ENOMEM", ofLog: true, exists: true, error: /^error open WALSpaceError NO_SPACE true$/ },
  { inject: "mmap:error=ENODEV", ofLog: true, exists: true, error: /^error open WALFileSystemError FILE_SYSTEM true$/ },
  { inject: "fstatfs:error=EIO", ofLog: true, exists: true, error: /^error open WALIOError IO true$/ },
  {
    inject: "openat:error=EACCES:when=1",
    ofLog: true,
    exists: true,
    error: /^error open WALPermissionError PERMISSION true$/,
  },
  { inject: "openat:error=EMFILE:when=2", ofLog: true, exists: true, error: /^error open WALIOError IO true$/ },
  { inject: "fadvise64:error=EIO", ofLog: true, exists: true, error: /^error open / },
];

for (const { inject, ofLog = false, exists = false, flush = "inline", error } of share(INJECTIONS)) {
  const what = `${exists ? "an existing log" : "a new log"}, ${flush}`;
  test(`WAL keeps its promises under strace's inject=${inject} on ${what}`, async () => {
    using directory = tempDir();
    const path = fs.realpathSync(directory.path) + "/log";
    if (exists) WAL.open(path, { size: 65536 }).close();
    const paths = [path, temporaryPath(path)];
    const trace = directory.join("trace");
    const filter = ofLog ? paths.flatMap((name) => ["-P", name]) : [];
    const calls = inject.slice(0, inject.indexOf(":"));
    const wrapper = ["strace", "-f", "-o", trace, "-e", `trace=${calls}`, ...filter, "-e", `inject=${inject}`];
    const { code, signal, stdout, stderr } = await runScript("tests/support/traced_writer.ts", {
      args: [path, flush],
      wrapper,
    });
    const lines = stdout.trim().split("\n");
    const shown = `${stdout}${stderr}`;
    assert(fs.readFileSync(trace, "utf8").includes("INJECTED"), `nothing was injected: ${shown}`);
    assertEquals([code, signal, lines.at(-1)], [0, null, "end"], shown);
    const errors = lines.filter((line) => line.startsWith("error"));
    assert(errors.every((line) => line.endsWith(" true")), shown);
    if (error === null) assertEquals(errors, []);
    else if (errors.length > 0 || !inject.startsWith("fadvise")) {
      assert(error.test(errors[0] ?? ""), `${errors[0]}\n${shown}`);
    }
    const failed = lines.findIndex((line) => line.includes(" SYNC "));
    if (failed >= 0) {
      assert(!lines.slice(failed).some((line) => line.startsWith("ack")), `acknowledged after it: ${shown}`);
    }
    // In each case, all acknowledged records are there, and the log can be opened or made.
    const acknowledged = Math.max(
      0,
      ...lines.filter((line) => line.startsWith("ack")).map((line) => Number(line.slice(4))),
    );
    const wal = WAL.open(path, { size: 65536 });
    assert(wal.head > acknowledged, shown);
    await wal.logInsert(1, 1, 1, 1);
    wal.close();
    assertEquals(fs.readdirSync(directory.path).sort(), ["log", "trace"]);
  }, { skip });
}
