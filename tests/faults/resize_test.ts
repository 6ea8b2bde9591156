// Fault: power fails, the process dies, or a call fails at any system call of a resize; the disk is
//   full; another opener comes between any two calls (H57).
// Promise: the log has its old size or the new one and everything that was acknowledged. After an
//   error it goes on as before, or is poisoned if nobody knows which file power loss would leave.
//   Nobody else opens either file, and no hidden file outlasts the next opening (G1, G2, G6, G7,
//   G12).
// Method: crash at each call and fail each call on the simulated disk, and let other openers come
//   at each; strace, a full file system and SIGKILL for real files.

import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import process from "node:process";
import { replacedPath, temporaryPath } from "../../ffi/file/creation.ts";
import {
  OpType,
  WAL,
  WALAssertionError,
  WALError,
  WALFileGoneError,
  WALIOError,
  WALLockedError,
  WALSpaceError,
  WALSyncError,
} from "../../mod.ts";
import { bury } from "../../src/testing/bury.ts";
import { Random, SimulatedDisk, type SimulatedDiskOptions } from "../../testing.ts";
import { type ChildResult, projectUrl, runSnippet, spawnSnippet } from "../support/child.ts";
import { Killed, Process } from "../support/killable_process.ts";
import { loopDevice, loopDeviceSkip } from "../support/loop_device.ts";
import { append, assertHolds, LOG } from "../support/simulation.ts";
import { runtime } from "../support/runtime.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const SMALL = 65536;
const LARGE = 98304;
const MOMENTS = ["before", "during", "after"] as const;
const OPTIONS = { size: SMALL, idleHeaderDelayMs: Infinity, flush: "inline" } as const;
/** What the log holds before the resize: the last of these are not durable. */
const [FIRST, DURABLE, LAST] = [501, 1090, 1100];

function open(disk: SimulatedDisk, size: number = SMALL): WAL {
  return WAL.open(LOG, { ...OPTIONS, size, storage: disk.storage, now: disk.clock.now });
}

/** A log whose records go round the end of the ring. */
function start(from: number, options: SimulatedDiskOptions = {}): { disk: SimulatedDisk; wal: WAL } {
  const disk = new SimulatedDisk(options);
  const wal = open(disk, from);
  append(wal, 700);
  wal.flush();
  wal.truncate(FIRST - 1);
  append(wal, DURABLE - 700);
  wal.flush();
  append(wal, LAST - DURABLE);
  return { disk, wal };
}

function hidden(disk: SimulatedDisk): string[] {
  return disk.paths().filter((path) => path !== LOG);
}

/** Opens after a crash: the log has all that was durable, a size of the two, and goes on. */
function check(disk: SimulatedDisk, sizes: readonly number[], what: string, last: number = LAST): number {
  const wal = open(disk);
  try {
    assert(sizes.includes(wal.size), `${what}: ${wal.size} bytes`);
    // The tail before the resize may be in no header yet.
    assert(wal.tail <= FIRST && wal.head > DURABLE && wal.head <= last + 1, `${what}: ${wal.tail} to ${wal.head - 1}`);
    assertEquals(hidden(disk), [], what);
    const { size } = wal;
    if (wal.length < wal.capacity) append(wal, 1);
    wal.flush();
    assertHolds(wal, wal.tail, wal.head - 1, what);
    return size;
  } finally {
    wal.close();
  }
}

for (const [from, to] of [[SMALL, LARGE], [LARGE, SMALL]] as const) {
  for (const directoryOrder of ["journal", "any"] as const) {
    test(`resize() from ${from} to ${to} bytes leaves the old log or the new one after a crash at any call, names in ${directoryOrder} order`, () => {
      const { disk, wal } = start(from, { directoryOrder, pieceBytes: 4096 });
      const before = disk.steps;
      wal.resize(to);
      const end = disk.steps;
      wal.close();
      const seen = new Set<string>();
      const random = new Random(7);
      for (let step = before + 1; step <= end; step++) {
        // Most of the calls write the new file, block after block.
        if (disk.trace.find((entry) => entry.step === step)?.call === "write" && random.below(12) > 0) continue;
        for (const when of MOMENTS) {
          for (const mode of ["power", "kill"] as const) {
            for (const keep of mode === "kill" ? ["all"] as const : ["none", "all", "random"] as const) {
              const { disk, wal } = start(from, { directoryOrder, pieceBytes: 4096, seed: step });
              disk.crashAt(step, when);
              try {
                wal.resize(to);
              } catch (error) {
                if (!disk.halted) throw error;
              }
              disk.crash({ mode, keep });
              bury(wal);
              const what = `${when} call ${step}, ${mode}, ${keep}\n${disk.describe(12)}`;
              const size = check(disk, [from, to], what);
              seen.add(`${mode} ${size}`);
              // A later power loss brings nothing back.
              disk.crash({ mode: "power", keep: "none" });
              assertEquals(check(disk, [from, to], what, LAST + 1), size, what);
            }
          }
        }
      }
      assertEquals([...seen].sort(), [`kill ${from}`, `kill ${to}`, `power ${from}`, `power ${to}`].sort());
    });
  }
}

test("resize() that returned is not taken back by power loss, whatever was not synced", () => {
  for (const directoryOrder of ["journal", "any"] as const) {
    for (const keep of ["none", "all", "random"] as const) {
      const { disk, wal } = start(SMALL, { directoryOrder });
      wal.resize(LARGE);
      append(wal, 400);
      wal.flush();
      const last = wal.head - 1;
      disk.crash({ keep });
      bury(wal);
      const again = open(disk);
      assertEquals([again.size, hidden(disk)], [LARGE, []]);
      assertHolds(again, FIRST, last);
      again.close();
    }
  }
});

for (const times of [1, Infinity]) {
  test(`resize() throws a typed error when a call fails ${times === 1 ? "once" : "from then on"}, and the log goes on`, () => {
    const clean = start(SMALL);
    const before = clean.disk.steps;
    clean.wal.resize(LARGE);
    const calls = clean.disk.trace.slice(-(clean.disk.steps - before)).map(({ call }) => call);
    clean.wal.close();
    const errors = new Map<string, number>();
    const tried = new Set<string>();
    for (const [index, call] of calls.entries()) {
      assert(call !== "event");
      const nth = calls.slice(0, index + 1).filter((earlier) => earlier === call).length;
      if (call === "write" && nth > 3 && nth % 7 !== 0) continue;
      for (const errno of ["EIO", "ENOSPC", "EDQUOT", "EACCES", "ENOMEM"]) {
        for (const when of ["before", "after"] as const) {
          const { disk, wal } = start(SMALL);
          disk.fail({ call, nth, errno, when, times });
          let failure: unknown = null;
          try {
            wal.resize(LARGE);
          } catch (error) {
            failure = error;
          }
          const what = `${call} ${nth} ${errno} ${when}: ${String(failure)}\n${disk.describe(20)}`;
          disk.clearFaults();
          if (failure === null) assertEquals(wal.size, LARGE, what);
          else {
            assert(failure instanceof WALError && !(failure instanceof WALAssertionError), what);
            assert(!(failure instanceof WALSyncError), what);
            errors.set(failure.code, (errors.get(failure.code) ?? 0) + 1);
            assertEquals(wal.size, SMALL, what);
          }
          // The second sync of the directory fails, and so does that of the old file put back.
          const isUnknown = call === "syncDirectory" && nth === 2 && times === Infinity;
          assert(!isUnknown || failure instanceof WALFileGoneError, what);
          if (failure instanceof WALFileGoneError) {
            // Nobody knows which file is there after power loss, or the failure was reported after
            // the deed.
            assert(times === Infinity || call === "rename", what);
            assertEquals(wal.stats().poisoned, true, what);
          } else {
            if (["ENOSPC", "EDQUOT"].includes(errno) && failure instanceof WALError && call !== "lstat") {
              assertEquals(failure.code, "NO_SPACE", what);
            }
            append(wal, 50);
            wal.flush();
            assertHolds(wal, FIRST, LAST + 50, what);
            wal.truncate(LAST);
            wal.resize(2 * LARGE);
            append(wal, 1000);
          }
          const { durable, tail } = wal;
          bury(wal);
          // A mapping that cannot be unmapped stays.
          if (call !== "unmap") assertEquals(disk.openHandles, { descriptors: 0, mappings: 0, locks: 0 }, what);
          disk.crash({ mode: "power", keep: "none" });
          const again = open(disk);
          assert(again.head > durable && again.tail <= tail, what);
          assertEquals(hidden(disk), [], what);
          assertHolds(again, again.tail, again.head - 1, what);
          again.close();
          tried.add(call);
        }
      }
    }
    for (const code of ["IO", "NO_SPACE", "PERMISSION"]) assert(errors.has(code), `${code}: ${[...errors.keys()]}`);
    for (const call of ["rename", "link", "fsync", "syncDirectory", "map", "allocate", "write"]) {
      assert(tried.has(call), call);
    }
  });
}

/** How an opener ended. */
type Outcome = "opened" | "locked" | "killed";

/** Opens the log, and appends a record of its own. */
function openAndAppend(opener: Process, acknowledged: number[]): { wal: WAL | null; outcome: Outcome } {
  const wal = new WAL(LOG, opener.options);
  try {
    wal.open();
    append(wal, 1);
    wal.flush();
    acknowledged.push(wal.head - 1);
    return { wal, outcome: "opened" };
  } catch (error) {
    try {
      wal.close();
    } catch (late) {
      if (!(late instanceof Killed) && !(late instanceof WALError)) throw late;
    }
    if (opener.isDead) return { wal: null, outcome: "killed" };
    if (error instanceof WALLockedError) return { wal: null, outcome: "locked" };
    throw error;
  }
}

test("resize() keeps every other opener out, at each of its system calls", () => {
  const disk = new SimulatedDisk();
  const locked: number[] = [];
  let isResizing = false;
  const holder = new Process(disk, OPTIONS, () => {
    if (!isResizing) return;
    isResizing = false;
    const { outcome } = openAndAppend(new Process(disk, OPTIONS), []);
    assertEquals(outcome, "locked", disk.describe(20));
    locked.push(1);
    isResizing = true;
  });
  const wal = WAL.open(LOG, holder.options);
  append(wal, 700);
  for (const size of [LARGE, SMALL]) {
    isResizing = true;
    wal.resize(size);
    isResizing = false;
  }
  // The new file is in place, and cannot be used, or its name is not durable.
  for (const [call, nth] of [["map", 1], ["syncDirectory", 2]] as const) {
    disk.fail({ call, nth, errno: "ENOSPC", when: "before", times: 1 });
    isResizing = true;
    assertThrows(() => wal.resize(LARGE), WALSpaceError);
    isResizing = false;
    disk.clearFaults();
  }
  assert(locked.length > 60, `${locked.length} calls`);
  append(wal, 1);
  wal.close();
  const again = open(disk);
  assertHolds(again, 1, 701);
  assertEquals(hidden(disk), []);
  again.close();
});

test("resize() goes on when a log whose name differs in case is opened or resized at any of its system calls", () => {
  // Some file systems take the names for one, so the hidden names are the same.
  const twinPath = LOG.replace("log", "LOG");
  for (const does of ["opens", "resizes"] as const) {
    const outcomes = new Map<string, number>();
    for (let at = 1;; at++) {
      const disk = new SimulatedDisk();
      const twin = WAL.open(twinPath, new Process(disk, OPTIONS).options);
      append(twin, 700);
      if (does === "opens") twin.close();
      let wasThere = false;
      let refused: unknown = null;
      let calls = -Infinity;
      const holder = new Process(disk, OPTIONS, () => {
        if (++calls !== at) return;
        wasThere = true;
        if (does === "opens") twin.open();
        try {
          if (does === "resizes") twin.resize(LARGE);
        } catch (error) {
          refused = error;
        }
        append(twin, 10);
        twin.flush();
      });
      const wal = WAL.open(LOG, holder.options);
      append(wal, 700);
      calls = 0;
      let failure: unknown = null;
      try {
        wal.resize(LARGE);
      } catch (error) {
        failure = error;
      }
      const what = `${does} at call ${at}: ${String(refused)}, ${String(failure)}\n${disk.describe(30)}`;
      if (!wasThere) break;
      for (const error of [refused, failure]) {
        // While the other one has a hidden name in use.
        assert(error === null || error instanceof WALLockedError || error instanceof WALIOError, what);
      }
      const outcome = `${refused === null} ${failure === null}`;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      append(wal, 10);
      for (const log of [wal, twin]) {
        if (log.size === SMALL) log.resize(LARGE);
        log.flush();
        log.close();
      }
      disk.crash({ mode: "power", keep: "none" });
      for (const path of [LOG, twinPath]) {
        const again = WAL.open(path, { ...OPTIONS, storage: disk.storage });
        assertHolds(again, 1, 710, what);
        again.close();
      }
      assertEquals(disk.paths().sort(), [LOG, twinPath].sort(), what);
    }
    assert((outcomes.get("true true") ?? 0) > 5, `${does}: ${JSON.stringify([...outcomes])}`);
    if (does === "opens") assertEquals([...outcomes.keys()], ["true true"]);
    else assert((outcomes.get("false true") ?? 0) > 5, JSON.stringify([...outcomes]));
  }
});

test("WAL.open() finds the resized log or is refused, when a resize comes at any of its own system calls", () => {
  for (const then of ["closes", "keeps it open", "is killed"] as const) {
    const seen = new Set<string>();
    for (let at = 1;; at++) {
      const disk = new SimulatedDisk();
      const holder = new Process(disk, OPTIONS);
      const wal = WAL.open(LOG, holder.options);
      append(wal, 700);
      wal.flush();
      let wasThere = false;
      const opener = new Process(disk, OPTIONS, (call) => {
        if (call !== at) return;
        wasThere = true;
        wal.resize(LARGE);
        append(wal, 10);
        wal.flush();
        if (then === "closes") wal.close();
        if (then === "is killed") holder.kill();
      });
      const acknowledged: number[] = [];
      const { wal: other, outcome } = openAndAppend(opener, acknowledged);
      const what = `resized at call ${at}, then ${then}: ${outcome}\n${disk.describe(30)}`;
      if (!wasThere) break;
      seen.add(outcome);
      if (other !== null) {
        assertEquals(other.size, LARGE, what);
        assertHolds(other, 1, 711, what);
        other.close();
      }
      if (then === "keeps it open") {
        assertEquals(outcome, "locked", what);
        append(wal, 5);
        wal.close();
      } else bury(wal);
      const again = open(disk);
      assert(again.head >= 711 + acknowledged.length, what);
      assertEquals([again.size, hidden(disk)], [LARGE, []], what);
      assertHolds(again, 1, again.head - 1, what);
      again.close();
    }
    assert(seen.has(then === "keeps it open" ? "locked" : "opened"), `${then}: ${[...seen]}`);
  }
});

// Real files.

/** What a child does with a log of 65,536 bytes and with an error of `resize()`. */
const CHILD = `
  import * as fs from "node:fs";
  import { WAL, WALError } from "${projectUrl("mod.ts")}";
  function tell(error) { console.log("error", error.name, error.code, error instanceof WALError, error.message); }
  function fill(wal, count) {
    for (let i = 0; i < count; i++) wal.logInsertSync(1, wal.head, 2, wal.head);
    wal.flush();
  }
  function verify(wal) {
    const records = wal.replay();
    const good = records.every(({ lsn, valueLow }, i) => lsn === wal.tail + i && valueLow === BigInt(lsn));
    if (!good || records.length !== wal.length) throw new Error("wrong records");
  }`;

async function inChild(body: string, wrapper: readonly string[] = []): Promise<ChildResult> {
  const result = await runSnippet(`${CHILD}\n${body}\nconsole.log("end");`, { wrapper });
  const { code, signal, stdout, stderr } = result;
  assertEquals([code, signal, stdout.endsWith("end\n")], [0, null, true], `${stdout}\n${stderr}`);
  return result;
}

function straceSkip(): string | false {
  if (process.platform !== "linux") return "strace is for Linux";
  const probe = spawnSync("strace", ["-f", "-e", "inject=msync:error=EIO", "true"]);
  if (probe.error !== undefined) return "no strace";
  return probe.status === 0 ? false : "tracing is not permitted here";
}

const strace = straceSkip();

/** What fails under strace, and the error of `resize()`. Directories are synced by fsync, too. */
const INJECTIONS: readonly (readonly [inject: string, error: string])[] = [
  ["fallocate:error=ENOSPC", "WALSpaceError NO_SPACE"],
  ["fallocate:error=EDQUOT", "WALSpaceError NO_SPACE"],
  ["pwrite64:error=ENOSPC:when=5", "WALSpaceError NO_SPACE"],
  ["pwrite64:error=EIO:when=1", "WALIOError IO"],
  ["fsync:error=EIO:when=1", "WALIOError IO"],
  ["fsync:error=ENOSPC:when=1", "WALSpaceError NO_SPACE"],
  ["link,linkat:error=EPERM", "WALPermissionError PERMISSION"],
  ["rename,renameat,renameat2:error=EIO", "WALIOError IO"],
  ["rename,renameat,renameat2:error=ENOSPC", "WALSpaceError NO_SPACE"],
  // The first one maps the old file.
  ["mmap:error=ENOMEM:when=2+", "WALSpaceError NO_SPACE"],
];

for (const [inject, expected] of INJECTIONS) {
  test(`resize() under strace's inject=${inject} is ${expected.split(" ")[0]}, and the log goes on`, async () => {
    using directory = tempDir();
    const path = fs.realpathSync(directory.path) + "/log";
    {
      // The log is there, so the injected calls are those of the resize.
      using wal = WAL.open(path, { size: SMALL });
      append(wal, 700);
    }
    const trace = directory.join("trace");
    const calls = inject.slice(0, inject.indexOf(":"));
    const names = calls === "mmap" ? [path] : [temporaryPath(path), replacedPath(path)];
    const { stdout, stderr } = await inChild(
      `
      const wal = WAL.open(${JSON.stringify(path)});
      try {
        wal.resize(${LARGE});
        console.log("resized");
      } catch (error) {
        tell(error);
      }
      fill(wal, 20);
      verify(wal);
      console.log("size", wal.size, fs.readdirSync(${JSON.stringify(directory.path)}).sort().join(" "));
      wal.close();`,
      [
        "strace",
        "-f",
        "-o",
        trace,
        "-e",
        `trace=${calls}`,
        ...names.flatMap((name) => ["-P", name]),
        "-e",
        `inject=${inject}`,
      ],
    );
    assert(fs.readFileSync(trace, "utf8").includes("INJECTED"), `nothing was injected: ${stdout}${stderr}`);
    const lines = stdout.split("\n");
    assert(lines[0]!.startsWith(`error ${expected} true Cannot `), stdout);
    assertEquals(lines[1], `size ${SMALL} log trace`, stdout);
    using wal = WAL.open(path);
    assertHolds(wal, 1, 720);
    wal.resize(LARGE);
    append(wal, 500);
  }, { skip: strace });
}

test("resize() on a full disk is WALSpaceError and the log goes on, and works once there is space", async () => {
  using device = loopDevice("ext4", 64);
  const path = `${device.path}/log`;
  WAL.open(path, { size: SMALL }).close();
  const { stdout } = await inChild(`
    const wal = WAL.open(${JSON.stringify(path)});
    fill(wal, 700);
    const filler = ${JSON.stringify(device.path)} + "/filler";
    const fd = fs.openSync(filler, "w");
    for (let bytes = 4 << 20; bytes >= 4096;) {
      try {
        if (fs.writeSync(fd, new Uint8Array(bytes).fill(0xa5)) < bytes) bytes /= 2;
        else if (bytes < 1 << 20) fs.fsyncSync(fd);
      } catch {
        bytes /= 2;
      }
    }
    try { fs.fsyncSync(fd); } catch { /* full */ }
    fs.closeSync(fd);
    for (const size of [8 << 20, 1 << 30, 4 << 20]) {
      try {
        wal.resize(size);
        console.log("resized");
      } catch (error) {
        tell(error);
      }
      fill(wal, 10);
      verify(wal);
      console.log(wal.size, fs.readdirSync(${
    JSON.stringify(device.path)
  }).filter((name) => name.startsWith(".")).join(" "));
    }
    fs.rmSync(filler);
    for (let attempt = 0; wal.size < 4 << 20; attempt++) {
      // Freed blocks can be used again only after the journal has recorded them.
      fs.fsyncSync(fs.openSync(${JSON.stringify(device.path)}, "r"));
      try {
        wal.resize(4 << 20);
      } catch (error) {
        if (attempt > 50) throw error;
      }
    }
    fill(wal, 5000);
    verify(wal);
    wal.close();`);
  const lines = stdout.trim().split("\n");
  for (const index of [0, 2, 4]) assert(lines[index]!.startsWith("error WALSpaceError NO_SPACE true"), stdout);
  assertEquals([lines[1], lines[3], lines[5]], ["65536 ", "65536 ", "65536 "], stdout);
  using wal = WAL.open(path);
  assertEquals([wal.size, wal.head], [4 << 20, 5731]);
  assertHolds(wal, 1, 5730);
}, { skip: loopDeviceSkip("ext4") });

test("resize() loses nothing when its process is killed at any time, again and again", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  const random = new Random(Number(process.env["SEED"] ?? 55));
  let durable = 0;
  const sizes = new Set<number>();
  for (let life = 0; life < Number(process.env["KILLS"] ?? 10); life++) {
    await using child = spawnSnippet(`${CHILD}
      const wal = WAL.open(${JSON.stringify(path)}, { size: ${SMALL} });
      console.log("open", wal.head);
      for (let i = 0;; i++) {
        if (wal.length > 600) wal.truncate(wal.durable - 300);
        fill(wal, 37);
        console.log("durable", wal.durable, i);
        wal.resize([${LARGE}, ${4 * SMALL}, ${SMALL}][i % 3]);
        fill(wal, 3);
        console.log("durable", wal.durable, i);
      }`);
    // Somewhere in or after the first resizes, however long they take.
    await child.line(new RegExp(`^durable \\d+ ${random.below(4)}$`));
    await new Promise((resolve) => setTimeout(resolve, random.below(20)));
    child.kill("SIGKILL");
    const { stdout, signal, stderr } = await child.result;
    assertEquals(signal, "SIGKILL", stderr);
    const reported = stdout.split("\n").slice(0, -1).filter((line) => line.startsWith("durable"));
    durable = Math.max(durable, ...reported.map((line) => Number(line.split(" ")[1])));
    const wal = WAL.open(path, { create: false });
    assert(wal.durable >= durable, `life ${life}: ${wal.durable} of ${durable}`);
    assertHolds(wal, wal.tail, wal.head - 1);
    assertEquals(fs.readdirSync(directory.path), ["log"]);
    sizes.add(wal.size);
    durable = wal.durable;
    wal.close();
  }
  assert(sizes.size > 1, `always ${[...sizes]} bytes`);
}, { timeoutMs: 600_000 });

test("resize() under Deno's sandbox needs the directory, says which flags grant it, and changes nothing", async () => {
  using directory = tempDir();
  const path = fs.realpathSync(directory.path) + "/log";
  WAL.open(path, { size: SMALL }).close();
  const source = `${CHILD}
    const wal = WAL.open(${JSON.stringify(path)});
    fill(wal, 5);
    try {
      wal.resize(${LARGE});
    } catch (error) {
      console.log(error.name, wal.size, error.flags.join(" "));
    }
    fill(wal, 5);
    wal.close();
    console.log("end");`;
  const allow = [`--allow-read=${path}`, `--allow-write=${path}`, "--allow-ffi", "--no-prompt"];
  const { stdout, stderr } = await runSnippet(source, { denoFlags: allow });
  const [first, end] = stdout.split("\n");
  assert(first!.startsWith(`WALPermissionError ${SMALL} --allow-read=`), stdout + stderr);
  assertEquals([end, fs.readdirSync(directory.path)], ["end", ["log"]]);
  const wal = WAL.open(path);
  assertInstanceOf(wal, WAL);
  assertEquals([wal.head, wal.replay().every(({ opType }) => opType === OpType.Insert)], [11, true]);
  wal.close();
}, { skip: runtime !== "deno" && "only Deno has this sandbox" });
