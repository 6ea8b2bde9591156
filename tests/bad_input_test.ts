// Fault: a path, file, option or argument makes no sense, or the system refuses it (H9, H18, H19,
//   H25, H30).
// Promise: a typed error with its code, and not a byte written. What was there stays as it was (G7,
//   G8, G12, G14, G15).
// Method: each case by itself, on a real directory that is compared before and after. A simulated
//   disk refuses what a real system would.

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import * as fs from "node:fs";
import process from "node:process";
import {
  type ApplicationOpType,
  type AppliedRun,
  type BatchItem,
  consume,
  type ConsumeOptions,
  type DeleteItem,
  type FollowOptions,
  type HybridTimeInput,
  type InsertItem,
  type RecordRange,
  type Store,
  type U64,
  WAL,
  WALCorruptError,
  WALError,
  WALFileSystemError,
  WALFormatError,
  WALLockedError,
  WALNotFoundError,
  type WALOptions,
  WALPermissionError,
  WALPlatformError,
  type WALRecordFields,
  WALSpaceError,
  WALSyncError,
} from "../mod.ts";
import { type Meter, observe } from "../src/otel.ts";
import { prometheusText } from "../src/prometheus.ts";
import { openShards } from "../src/shards.ts";
import { decodeRun, encodeRun, WALRunError } from "../src/runs.ts";
import {
  followFrom,
  type FollowFromOptions,
  type JetStream,
  type ShipOptions,
  shipTo,
  WALShipError,
} from "../src/ship/jetstream.ts";
import * as postgres from "../src/ship/postgres.ts";
import { MemoryStore } from "../src/stores/memory.ts";
import { crashTest, SimulatedDisk, type StoreHome, type WorkloadContext } from "../testing.ts";
import { projectUrl, runSnippet, spawnSnippet } from "./support/child.ts";
import { CAPACITY, fill, items, openInMemory, openOn, PATH, range } from "./support/logs.ts";
import { fileBytes, headerBytes, type ReferenceHeader } from "./support/reference.ts";
import { allow, confined, FFI, notSandboxed, SANDBOX } from "./support/sandbox.ts";
import { withTempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";
import { startWorker } from "./support/worker.ts";

// deno-lint-ignore no-explicit-any
type ErrorClass = abstract new (...values: any[]) => Error;

/** Everything in a directory, to see that nothing was written. */
function contents(directory: string): Record<string, string> {
  const entries = fs.readdirSync(directory, { withFileTypes: true }).map((entry) => {
    const path = `${directory}/${entry.name}`;
    const text = entry.isFile() ? `${fs.readFileSync(path).toString("base64")} ${fs.statSync(path).mode}` : "";
    return [entry.name, text];
  });
  return Object.fromEntries(entries);
}

/** Opening must fail so, and leave the directory as it is. */
function refused(
  directory: string,
  path: string | URL,
  errorClass: ErrorClass,
  code: string,
  options: WALOptions = {},
) {
  const before = contents(directory);
  const error = assertThrows(() => WAL.open(path, { size: 65536, ...options }), errorClass);
  assertInstanceOf(error, WALError);
  assertEquals(error.code, code, error.message);
  assertEquals(contents(directory), before);
  // The lock was given back.
  assertThrows(() => WAL.open(path, { size: 65536, ...options }), errorClass);
  return error;
}

// Paths.

test("open() of a path that is no name of a file is a WALFormatError", () =>
  withTempDir((directory) => {
    fs.mkdirSync(`${directory}/sub`);
    fs.symlinkSync(`${directory}/nowhere`, `${directory}/dangling`);
    const paths = [`${directory}/a\0b`, `${directory}/sub`, `${directory}/`, `${directory}/dangling`, "/dev/null"];
    for (const path of paths) refused(directory, path, WALFormatError, "FORMAT");
    refused(directory, new URL(`file://${directory}/a%00b`), WALFormatError, "FORMAT");
  }));

test("open() in a directory that is missing, or that is a file, is a WALNotFoundError", () =>
  withTempDir((directory) => {
    fs.writeFileSync(`${directory}/file`, "text");
    const missing = refused(directory, `${directory}/none/log`, WALNotFoundError, "NOT_FOUND");
    assertEquals(
      missing.message,
      `Cannot open "${directory}/none/log": the directory "${directory}/none" does not exist`,
    );
    const noDirectory = refused(directory, `${directory}/file/log`, WALNotFoundError, "NOT_FOUND");
    assertStringIncludes(noDirectory.message, "a part of its path is not a directory");
    refused(directory, `${directory}/log`, WALNotFoundError, "NOT_FOUND", { create: false });
  }));

test("open() of a path of the wrong type is a TypeError, and of an empty one a RangeError", () => {
  for (const path of [5, {}, [], true, Symbol("s")]) assertThrows(() => new WAL(path as unknown as string), TypeError);
  assertThrows(() => new WAL(new URL("https://example.com/log")), TypeError);
  assertThrows(() => new WAL(""), RangeError);
});

// Files.

const FILES: readonly [what: string, bytes: Uint8Array, errorClass: ErrorClass, code: string, includes: string][] = [
  ["a zero-length file", new Uint8Array(0), WALFormatError, "FORMAT", "0 bytes"],
  ["a short file", fileBytes([headerBytes(), headerBytes()], []).subarray(0, 16383), WALFormatError, "FORMAT", "16383"],
  ["a file of zeros", new Uint8Array(65536), WALFormatError, "FORMAT", "not a log"],
  ["a foreign file", new TextEncoder().encode("SQLite format 3\0".repeat(4096)), WALFormatError, "FORMAT", "not a log"],
  ["a log of version 2", withHeaders({ version: 2 }), WALFormatError, "FORMAT", "version is 2"],
  ["a log of version 4294967295", withHeaders({ version: 2 ** 32 - 1 }), WALFormatError, "FORMAT", "4294967295"],
  ["a log whose header copies are both damaged", withHeaders({ recordBytes: 63 }), WALCorruptError, "CORRUPT", "both"],
  ["a log that was cut", withHeaders({}).subarray(0, 32768), WALCorruptError, "CORRUPT", "was cut to 32768 bytes"],
  [
    "a small file whose header speaks of 4 thousand million slots",
    withHeaders({ capacity: 2 ** 32 - 1 }),
    WALCorruptError,
    "CORRUPT",
    "was cut",
  ],
  [
    "a log with a record of a later version",
    fileBytes([headerBytes(), headerBytes()], [{ lsn: 1 }, { lsn: 2, version: 2 }]),
    WALFormatError,
    "FORMAT",
    "LSN 2 at byte 16448",
  ],
  [
    "a log without an acknowledged record",
    fileBytes([headerBytes({ durable: 3 }), headerBytes()], [{ lsn: 1 }, { lsn: 3 }]),
    WALCorruptError,
    "CORRUPT",
    "LSN 2 at byte 16448",
  ],
];

function withHeaders(header: ReferenceHeader): Uint8Array {
  return fileBytes([headerBytes(header), headerBytes(header)], []);
}

for (const [what, bytes, errorClass, code, includes] of FILES) {
  test(`open() of ${what} is a ${errorClass.name}, and the file stays as it is`, () =>
    withTempDir((directory) => {
      const path = `${directory}/log`;
      fs.writeFileSync(path, bytes);
      const error = refused(directory, path, errorClass, code);
      assert(error.message.includes(includes), error.message);
      assert(error.message.includes(JSON.stringify(path)), error.message);
    }));
}

test("WALCorruptError names the damaged LSNs and where the first one lies", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    const records = [1, 2, 5, 8].map((lsn) => ({ lsn }));
    fs.writeFileSync(path, fileBytes([headerBytes({ durable: 8 }), headerBytes()], records));
    const error = refused(directory, path, WALCorruptError, "CORRUPT") as unknown as WALCorruptError;
    assertEquals(error.losses, [
      { firstLsn: 3, lastLsn: 4, offset: 16384 + 128 },
      { firstLsn: 6, lastLsn: 7, offset: 16384 + 320 },
    ]);
    assertEquals([error.firstLsn, error.lastLsn, error.offset], [3, 7, 16384 + 128]);
  }));

test("open() of a file that may only be read is a WALPermissionError", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    WAL.open(path, { size: 65536 }).close();
    fs.chmodSync(path, 0o400);
    refused(directory, path, WALPermissionError, "PERMISSION");
  }), { skip: process.getuid?.() === 0 && "root may write every file" });

// What the system refuses.

const REFUSALS: readonly [
  call: "open" | "openOrCreate" | "allocate" | "write" | "fsync" | "map",
  errno: string,
  ErrorClass,
][] = [
  ["open", "EACCES", WALPermissionError],
  ["open", "EROFS", WALPermissionError],
  ["openOrCreate", "EROFS", WALPermissionError],
  ["allocate", "ENOSPC", WALSpaceError],
  ["write", "ENOSPC", WALSpaceError],
  ["write", "EDQUOT", WALSpaceError],
  ["fsync", "EIO", WALSyncError],
  ["map", "ENODEV", WALFileSystemError],
];

for (const [call, errno, errorClass] of REFUSALS) {
  test(`open() of a new log when ${call} fails with ${errno} is a ${errorClass.name}, and leaves no file`, () => {
    const disk = new SimulatedDisk();
    if (call === "open") {
      openOn(disk).close();
      const before = disk.image(PATH);
      disk.fail({ call, errno });
      assertThrows(() => openOn(disk), errorClass);
      assertEquals(disk.image(PATH), before);
    } else {
      disk.fail({ call, errno });
      const error = assertThrows(() => openOn(disk), errorClass);
      assertInstanceOf(error, WALError);
      if (call !== "map") assertEquals(disk.paths(), []);
    }
    assertEquals(disk.openHandles, { descriptors: 0, mappings: 0, locks: 0 });
    disk.clearFaults();
    openOn(disk).close();
  });
}

test("open() on a network file system is a WALFileSystemError, unless it is asked for", () => {
  const disk = new SimulatedDisk({ fileSystem: "nfs" });
  assertEquals(assertThrows(() => openOn(disk), WALFileSystemError).code, "FILE_SYSTEM");
  assertEquals(disk.paths(), []);
  using wal = openOn(disk, { allowUnsafeFileSystem: true });
  assert(wal.stats().warnings.length > 0);
});

test("open() of more than can be mapped is a WALPlatformError", () =>
  withTempDir((directory) => {
    refused(directory, `${directory}/log`, WALPlatformError, "PLATFORM", { size: 2 ** 52 });
  }));

// Locks.

test("open() of a log that this thread has open is a WALLockedError that names this process", () =>
  withTempDir((directory) => {
    using _wal = WAL.open(`${directory}/log`, { size: 65536 });
    const error = refused(directory, `${directory}/log`, WALLockedError, "LOCKED") as unknown as WALLockedError;
    assertEquals(error.pid, process.pid);
    assertStringIncludes(error.message, `process ${process.pid} (this process`);
  }));

test("open() of a log that another process has open is a WALLockedError that names it, until it is killed", () =>
  withTempDir(async (directory) => {
    const path = `${directory}/log`;
    await using child = spawnSnippet(`
      import { WAL } from "${projectUrl("mod.ts")}";
      globalThis.wal = WAL.open(${JSON.stringify(path)}, { size: 65536 });
      await wal.logInsert(1, 2, 3, 4);
      console.log("open");
      setInterval(() => wal.stats(), 1000);`);
    await child.line(/open/);
    const error = assertThrows(() => WAL.open(path), WALLockedError);
    assertEquals([error.code, error.pid, error.path], ["LOCKED", child.pid, path]);
    assertMatch(error.message, new RegExp(`locked by process ${child.pid}$`));
    child.kill("SIGKILL");
    await child.result;
    using wal = WAL.open(path);
    assertEquals([wal.length, wal.recovery.clean], [1, false]);
  }));

test("WALLockedError names the process that has the log, and says if it is this one", () => {
  const said = (pid: number | null) => {
    const { message } = new WALLockedError("log", pid);
    return message.slice(message.indexOf(" by "));
  };
  const container = process.pid === 1 ? ", or that of another container" : "";
  assertStringIncludes(
    said(process.pid),
    ` by process ${process.pid} (this process${container}): another instance is still open`,
  );
  assertEquals([said(process.pid + 1), said(null)], [` by process ${process.pid + 1}`, " by another opener"]);
});

test("open() in a worker of a log that this thread has open is a WALLockedError that names this process", () =>
  withTempDir(async (directory) => {
    const path = `${directory}/log`;
    const wal = WAL.open(path, { size: 65536 });
    const worker = startWorker(new URL("./support/wal_worker.ts", import.meta.url));
    assertEquals(await worker.ask(path), `LOCKED ${process.pid}`);
    wal.close();
    assertEquals(await worker.ask(path), "opened");
    await worker.terminate();
  }));

test(
  "open() without the sandbox's permission is a WALPermissionError that names all flags that are missing",
  () =>
    withTempDir(async (temporary) => {
      const path = `${fs.realpathSync(temporary)}/log`;
      const source = `
      import { WAL } from "${projectUrl("mod.ts")}";
      try {
        WAL.open(${JSON.stringify(path)}, { size: 65536 });
      } catch (error) {
        console.log(error.name, error.code, error.flags.join(" "), error.path);
        console.log(error.message);
      }`;
      const { stdout, stderr } = await runSnippet(source, confined());
      const flags = [allow("read", path), allow("write", path), FFI].join(" ");
      assertEquals(stdout.trim().split("\n"), [
        `WALPermissionError PERMISSION ${flags} ${path}`,
        `Cannot use "${path}": ${SANDBOX} denies read, write, ffi; run again with ${flags} (a new file needs them for its directory)`,
      ], stderr);
      assertEquals(fs.readdirSync(temporary), []);
    }),
  { skip: notSandboxed },
);

// Options.

const BAD_OPTIONS: readonly [options: Record<string, unknown>, errorClass: ErrorClass][] = [
  ...[65535, 0, -1, NaN, Infinity, 65536.5, 2 ** 53].map((size) =>
    [{ size }, RangeError] as [{ size: number }, ErrorClass]
  ),
  ...["65536", 65536n, {}, true].map((size) => [{ size }, TypeError] as [{ size: unknown }, ErrorClass]),
  [{ shard: -1 }, RangeError],
  [{ shard: 65536 }, RangeError],
  [{ shard: "1" }, TypeError],
  [{ fullTimeoutMs: -1 }, RangeError],
  [{ fullTimeoutMs: NaN }, RangeError],
  [{ fullTimeoutMs: "1" }, TypeError],
  [{ idleHeaderDelayMs: -1 }, RangeError],
  [{ maxClockDriftMs: NaN }, RangeError],
  [{ recovery: "lenient" }, RangeError],
  [{ flush: "never" }, RangeError],
  [{ flush: 1 }, RangeError],
  [{ durability: "none" }, RangeError],
  [{ now: 5 }, TypeError],
];

test("open() throws a RangeError or TypeError that names an unusable option, before anything is touched", () => {
  for (const recovery of ["strict", "salvage"] as const) {
    for (const verify of ["bogus", 1, 0, ""]) {
      assertThrows(() => new WAL(null, { recovery, verify } as unknown as WALOptions), RangeError, "as verify");
    }
  }
  new WAL(null, { recovery: null, verify: null } as unknown as WALOptions);
  for (const [options, errorClass] of BAD_OPTIONS) {
    const disk = new SimulatedDisk();
    const [name] = Object.keys(options);
    assertThrows(() => new WAL(PATH, { storage: disk.storage, ...options } as WALOptions), errorClass, name);
    assertEquals(disk.steps, 0);
  }
  for (const options of [null, 5, "size"]) assertThrows(() => new WAL(PATH, options as WALOptions), TypeError);
});

test("resize() refuses a size that open() would refuse, and changes nothing", () =>
  withTempDir((directory) => {
    const wal = WAL.open(`${directory}/log`, { size: 65536, idleHeaderDelayMs: Infinity });
    fill(wal, 3);
    const before = contents(directory);
    const bad: [unknown, ErrorClass][] = [
      ...[65535, 0, -1, NaN, Infinity, 65536.5, 2 ** 53].map((bytes) => [bytes, RangeError] as [unknown, ErrorClass]),
      ...["65536", 65536n, {}, true, null, undefined].map((bytes) => [bytes, TypeError] as [unknown, ErrorClass]),
    ];
    for (const [bytes, errorClass] of bad) {
      assertThrows(() => wal.resize(bytes as number), errorClass, "as bytes: it must be");
    }
    assertThrows(() => wal.resize(2 ** 52), WALPlatformError);
    const valueOf = { valueOf: () => assert(false, "the caller's code runs") };
    assertThrows(() => wal.resize(valueOf as unknown as number), TypeError);
    assertEquals([contents(directory), wal.size], [before, 65536]);
    fill(wal, 3);
    wal.close();
  }));

// Followers.

const FOLLOWED = {
  "WAL.follow()": (path: string | URL) => WAL.follow(path).close(),
  "WAL.inspect()": (path: string | URL) => void WAL.inspect(path),
};

for (const [call, read] of Object.entries(FOLLOWED)) {
  test(`${call} of a path that is none, or that leads to no log, is a typed error, and nothing is written`, () =>
    withTempDir((directory) => {
      for (const path of [5, {}, [], true, null, undefined, Symbol("s")]) {
        assertThrows(() => read(path as unknown as string), TypeError);
      }
      assertThrows(() => read(new URL("https://example.com/log")), TypeError);
      assertThrows(() => read(""), RangeError);
      fs.mkdirSync(`${directory}/sub`);
      fs.writeFileSync(`${directory}/file`, "text");
      fs.symlinkSync(`${directory}/nowhere`, `${directory}/dangling`);
      fs.symlinkSync(`${directory}/loop`, `${directory}/loop`);
      const bad: [string, ErrorClass, string][] = [
        [`${directory}/a\0b`, WALFormatError, "FORMAT"],
        [`${directory}/sub`, WALFormatError, "FORMAT"],
        [`${directory}/`, WALFormatError, "FORMAT"],
        [`${directory}/dangling`, WALFormatError, "FORMAT"],
        ["/dev/null", WALFormatError, "FORMAT"],
        [`${directory}/none`, WALNotFoundError, "NOT_FOUND"],
        [`${directory}/none/log`, WALNotFoundError, "NOT_FOUND"],
        [`${directory}/file/log`, WALNotFoundError, "NOT_FOUND"],
      ];
      const before = contents(directory);
      for (const [path, errorClass, code] of bad) {
        const error = assertThrows(() => read(path), errorClass, "", path);
        assertEquals((error as WALError).code, code, path);
      }
      assertThrows(() => read(`${directory}/loop`), WALError);
      assertEquals(contents(directory), before);
    }));

  for (const [what, bytes, errorClass, code, includes] of FILES) {
    // Damage of a record is met when it is read, and a file's size only compared with its headers.
    if (/record|zero-length|short/.test(what)) continue;
    test(`${call} of ${what} is a ${errorClass.name}, and the file stays as it is`, () =>
      withTempDir((directory) => {
        const path = `${directory}/log`;
        fs.writeFileSync(path, bytes);
        const before = contents(directory);
        const error = assertThrows(() => read(path), errorClass) as WALError;
        assertEquals(error.code, code);
        assert(error.message.includes(includes), error.message);
        assertEquals(contents(directory), before);
      }));
  }
}

const BAD_FOLLOWING: readonly [options: Record<string, unknown>, errorClass: ErrorClass][] = [
  ...["all", "", 1, true, null, {}].map((mode): [Record<string, unknown>, ErrorClass] => [{ mode }, RangeError]),
  ...[0, -1, 1.5, NaN, Infinity, 2 ** 53].map((from): [Record<string, unknown>, ErrorClass] => [{ from }, RangeError]),
  ...["1", 1n, null, {}, true].map((from): [Record<string, unknown>, ErrorClass] => [{ from }, TypeError]),
  ...[0, -1, 1.5, NaN, Infinity, 2 ** 31].map((pollIntervalMs): [Record<string, unknown>, ErrorClass] => [
    { pollIntervalMs },
    RangeError,
  ]),
  ...["1", 1n, null, {}].map((pollIntervalMs): [Record<string, unknown>, ErrorClass] => [
    { pollIntervalMs },
    TypeError,
  ]),
  ...[{}, 1, "signal", null, new AbortController()].map((signal): [Record<string, unknown>, ErrorClass] => [
    { signal },
    TypeError,
  ]),
  [{ form: 1 }, TypeError],
  [{ size: 65536 }, TypeError],
];

test("WAL.follow() throws a RangeError or TypeError that names an unusable option, before it looks for the file", () => {
  for (const [options, errorClass] of BAD_FOLLOWING) {
    const [name] = Object.keys(options);
    assertThrows(() => WAL.follow("/nowhere/log", options), errorClass, name);
  }
  for (const options of [null, 5, "from", true]) {
    assertThrows(() => WAL.follow("/nowhere/log", options as unknown as FollowOptions), TypeError);
  }
  for (const path of ["", ":memory:"]) {
    assertThrows(() => WAL.follow(path), RangeError, "give the path of a file");
    assertThrows(() => WAL.inspect(path), RangeError, "give the path of a file");
  }
  const absent = { mode: undefined, from: undefined, pollIntervalMs: undefined, signal: undefined };
  assertThrows(() => WAL.follow("/nowhere/log", absent), WALNotFoundError);
});

test("WAL.follow() gives a follower whose calls refuse bad arguments, and go on", () =>
  withTempDir(async (directory) => {
    const path = `${directory}/log`;
    WAL.open(path, { size: 65536 }).close();
    using follower = WAL.follow(path);
    const before = contents(directory);
    for (const from of [0, -1, 0.5, NaN, Infinity]) {
      assertThrows(() => follower.records({ from }), RangeError);
      assertThrows(() => follower.cursor({ to: from === 0 ? -1 : from }), RangeError);
      assertThrows(() => follower.verify({ from }), RangeError);
    }
    for (const since of ["now", {}, true]) {
      assertThrows(() => follower.records({ since: since as unknown as Date }), TypeError);
    }
    assertThrows(() => follower.backup(5 as unknown as string), TypeError);
    assertThrows(() => follower.backup(`${directory}/copy`, { through: -1 }), RangeError);
    assertThrows(() => follower.backup(path), WALError);
    for (const store of [null, 5, {}]) {
      await assertRejects(() => follower.consumeAsync(store as unknown as Store), TypeError);
    }
    const bad: Record<string, unknown>[] = [{ name: "x" }, { maxLagRecords: 5 }, { pollIntervalMs: "1" }];
    for (const options of bad) {
      await assertRejects(() => follower.consumeAsync(new MemoryStore(), options), TypeError);
    }
    assertEquals([contents(directory), [...follower.records()].length], [before, 0]);
  }));

// Arguments.

const BAD_NUMBERS: readonly [value: unknown, errorClass: ErrorClass][] = [
  ...[-1, -1n, 2n ** 64n, 2 ** 53, 2 ** 64, 0.5, NaN, Infinity].map((value) =>
    [value, RangeError] as [unknown, ErrorClass]
  ),
  ...["1", null, undefined, true, {}, [1], Symbol("s")].map((value) => [value, TypeError] as [unknown, ErrorClass]),
];

/** Both forms of a call must fail so, and write nothing. */
async function bothFail(
  wal: WAL,
  errorClass: ErrorClass,
  sync: () => unknown,
  async: () => Promise<unknown>,
): Promise<void> {
  const { head } = wal;
  assertThrows(sync, errorClass);
  // A promise that rejects; nothing is thrown at the call.
  const promise = async();
  assertInstanceOf(promise, Promise);
  await assertRejects(() => promise, errorClass);
  assertEquals([wal.head, wal.stats().syncs], [head, 0]);
}

test("logInsert() and its like refuse a key or value that is no unsigned 64-bit number, and write nothing", async () => {
  await using wal = openInMemory();
  for (const [bad, errorClass] of BAD_NUMBERS) {
    for (let place = 0; place < 4; place++) {
      const [a, b, c, d] = [1, 2, 3, 4].map((good, i) => i === place ? bad : good) as [U64, U64, U64, U64];
      await bothFail(wal, errorClass, () => wal.logInsertSync(a, b, c, d), () => wal.logInsert(a, b, c, d));
      await bothFail(wal, errorClass, () => wal.logDeleteValueSync(a, b, c, d), () => wal.logDeleteValue(a, b, c, d));
      await bothFail(wal, errorClass, () => wal.logReplaceSync(a, b, c, d), () => wal.logReplace(a, b, c, d));
      await bothFail(
        wal,
        errorClass,
        () => wal.logOperationSync(40, a, b, c, d),
        () => wal.logOperation(40, a, b, c, d),
      );
      const batch: InsertItem[] = [[1, 1, 1, 1], [a, b, c, d], [1, 1, 1, 1]];
      await bothFail(wal, errorClass, () => wal.batchInsertSync(batch), () => wal.batchInsert(batch));
      if (place > 1) continue;
      await bothFail(wal, errorClass, () => wal.logDeleteSync(a, b), () => wal.logDelete(a, b));
      const deletes: DeleteItem[] = [[1, 1], [a, b]];
      await bothFail(wal, errorClass, () => wal.batchDeleteSync(deletes), () => wal.batchDelete(deletes));
    }
  }
  assertEquals(wal.length, 0);
});

test("logOperation() refuses a code that is not the application's, before it reads anything else, and writes nothing", async () => {
  await using wal = openInMemory();
  const given: [value: unknown, errorClass: ErrorClass][] = [
    ...[...range(-1, 31), 64, 256, 2 ** 32 + 40, 39.5, NaN, Infinity].map((code): [unknown, ErrorClass] => [
      code,
      RangeError,
    ]),
    ...["40", 40n, null, undefined, true, {}, [40], Symbol("s")].map((
      code,
    ): [unknown, ErrorClass] => [code, TypeError]),
  ];
  const unread = new Proxy([1n, 0, 0], {
    get: () => {
      throw new Error("read");
    },
  }) as unknown as HybridTimeInput;
  for (const [bad, errorClass] of given) {
    const code = bad as ApplicationOpType;
    await bothFail(
      wal,
      errorClass,
      () => wal.logOperationSync(code, 1, 2, 3, 4, unread),
      () => wal.logOperation(code, 1, 2, 3, 4, unread),
    );
    const [key, value] = [new Uint8Array(16), new Uint8Array(16)];
    await bothFail(
      wal,
      errorClass,
      () => wal.logOperationSync(code, key, value),
      () => wal.logOperation(code, key, value),
    );
  }
  for (const code of range(32, 63)) wal.logOperationSync(code as ApplicationOpType, 1, 2, 3, 4);
  assertEquals(wal.replay().map(({ opType }) => opType as number), range(32, 63));
});

test("batchInsert() of what is no batch, or of items that are none, is a TypeError, and writes nothing", async () => {
  await using wal = openInMemory();
  const batches: unknown[] = [null, undefined, 5, {}, [5], [null], [[1, 2, 3]], [[1, 2, 3, 4, 5]], [{
    0: 1,
    length: 4,
  }]];
  for (const batch of batches) {
    const inserts = batch as InsertItem[];
    await bothFail(wal, TypeError, () => wal.batchInsertSync(inserts), () => wal.batchInsert(inserts));
  }
  for (const batch of [null, [[1]], [[1, 2, 3]]]) {
    const deletes = batch as unknown as DeleteItem[];
    await bothFail(wal, TypeError, () => wal.batchDeleteSync(deletes), () => wal.batchDelete(deletes));
  }
});

test("batchInsert() throws what the batch's iterator throws, and writes nothing", async () => {
  await using wal = openInMemory();
  const error = new Error("iterator");
  function* broken(): Generator<InsertItem> {
    yield [1, 1, 1, 1];
    throw error;
  }
  await bothFail(wal, Error, () => wal.batchInsertSync(broken()), () => wal.batchInsert(broken()));
});

test("batchInsert() of more records than the ring has is a RangeError, also while a consumer runs", async () => {
  await using wal = openInMemory();
  const large = items(1, CAPACITY + 1);
  await bothFail(wal, RangeError, () => wal.batchInsertSync(large), () => wal.batchInsert(large));
  const consuming = wal.consumeAsync({ applyBatch() {} } as never);
  await assertRejects(() => wal.batchInsert(large), RangeError);
  wal.close();
  await consuming;
});

test("logInsert(), logDelete() and batch() refuse what is no hybrid time, and write nothing", async () => {
  await using wal = openInMemory();
  const bad: [time: unknown, errorClass: ErrorClass][] = [
    [5, TypeError],
    ["now", TypeError],
    [null, TypeError],
    [[1n, 2], TypeError],
    [["1", 0, 0], TypeError],
    [[1, 0n, 0], TypeError],
    [[-1n, 0, 0], RangeError],
    [[2n ** 64n, 0, 0], RangeError],
    [[NaN, 0, 0], RangeError],
    [[1, 2 ** 32, 0], RangeError],
    [[1, 0, 65536], RangeError],
  ];
  for (const [value, errorClass] of bad) {
    const time = value as HybridTimeInput;
    await bothFail(wal, errorClass, () => wal.logInsertSync(1, 1, 1, 1, time), () => wal.logInsert(1, 1, 1, 1, time));
    await bothFail(wal, errorClass, () => wal.logDeleteSync(1, 1, time), () => wal.logDelete(1, 1, time));
    for (const batch of [[], [{ type: "delete", keyHigh: 1, keyLow: 1 }]] satisfies BatchItem[][]) {
      await bothFail(wal, errorClass, () => wal.batchSync(batch, time), () => wal.batch(batch, time));
    }
  }
});

test("records() and cursor() refuse a range that makes no sense", () => {
  using wal = openInMemory();
  fill(wal, 3);
  for (const read of [(range: object) => wal.records(range), (range: object) => wal.cursor(range)]) {
    for (const value of [-1, 0, 0.5, NaN]) assertThrows(() => read({ from: value }), RangeError, "from");
    for (const value of [-1, 0.5, NaN]) assertThrows(() => read({ to: value }), RangeError, "to");
    for (const value of ["1", 1n, null]) {
      assertThrows(() => read({ from: value }), TypeError, "from");
      assertThrows(() => read({ to: value }), TypeError, "to");
    }
  }
});

test("lsnAt(), and since and until of a range, refuse what is no time, and say why", () => {
  using wal = openInMemory();
  fill(wal, 3);
  const bad: [time: unknown, errorClass: ErrorClass, says: string][] = [
    ...[0, 5, NaN, "2026-01-01", null, {}, [5n, 0, 0], true, Symbol("s"), new Proxy(new Date(), {})].map((time) =>
      [time, TypeError, "it must be a Date, or a bigint of nanoseconds since 1970"] as [unknown, ErrorClass, string]
    ),
    [-1n, RangeError, "from 0 to 2^64 - 1"],
    [2n ** 64n, RangeError, "from 0 to 2^64 - 1"],
    [new Date(-1), RangeError, "from 0 to 2^64 - 1"],
    [new Date("9999-12-31"), RangeError, "from 0 to 2^64 - 1"],
    [new Date(NaN), RangeError, "invalid Date"],
  ];
  for (const [time, errorClass, says] of bad) {
    assertStringIncludes(assertThrows(() => wal.lsnAt(time as Date), errorClass, "as time").message, says);
    for (const read of [(range: object) => wal.records(range), (range: object) => wal.cursor(range)]) {
      assertStringIncludes(assertThrows(() => read({ since: time }), errorClass, "as since").message, says);
      assertStringIncludes(assertThrows(() => read({ until: time }), errorClass, "as until").message, says);
    }
  }
  assertThrows(() => wal.lsnAt(undefined as unknown as Date), TypeError, "undefined as time");
});

test("backup() and backupAsync() refuse options that make no sense, and leave no file", async () => {
  const disk = new SimulatedDisk();
  using wal = openOn(disk);
  fill(wal, 3);
  wal.flush();
  const bad: [options: unknown, errorClass: ErrorClass, says: string][] = [
    ...[-1, 0.5, NaN, 2 ** 53, Infinity].map((through) =>
      [{ through }, RangeError, "as through"] as [unknown, ErrorClass, string]
    ),
    ...["1", 1n, null, new Date(), true].map((through) =>
      [{ through }, TypeError, "as through"] as [unknown, ErrorClass, string]
    ),
    [{ trough: 1 }, TypeError, '"trough" as an option'],
    [null, TypeError, "null as options"],
    [5, TypeError, "5 as options"],
  ];
  for (const [options, errorClass, says] of bad) {
    assertThrows(() => wal.backup("/sim/copy", options as object), errorClass, says);
    await assertRejects(() => wal.backupAsync("/sim/copy", options as object), errorClass, says);
  }
  assertEquals(disk.paths(), [PATH]);
});

const RUN = { logId: "ab".repeat(16), firstLsn: 4, lastLsn: 6 };
const RECORD = {
  lsn: 5,
  opType: 1,
  version: 1,
  time: [1n, 2, 3],
  keyHigh: 1n,
  keyLow: 2n,
  valueHigh: 3n,
  valueLow: 4n,
} as const;

test("encodeRun() refuses records and runs that make no sense, and says why", () => {
  const runs: [changed: Record<string, unknown>, errorClass: ErrorClass][] = [
    ...["", "AB".repeat(16), "ab", "g".repeat(32)].map((logId) =>
      [{ logId }, RangeError] as [Record<string, unknown>, ErrorClass]
    ),
    ...[null, 5, undefined].map((logId) => [{ logId }, TypeError] as [Record<string, unknown>, ErrorClass]),
    ...[0, -1, 0.5, NaN, 2 ** 53].flatMap((lsn) =>
      [[{ firstLsn: lsn }, RangeError], [{ lastLsn: lsn }, RangeError]] as [Record<string, unknown>, ErrorClass][]
    ),
    [{ lastLsn: 3 }, RangeError],
    [{ firstLsn: "4" }, TypeError],
    [{ lastLsn: 6n }, TypeError],
    [{ lastLsn: 4 + 2 ** 32 - 1 }, RangeError],
  ];
  for (const [change, errorClass] of runs) {
    const [name] = Object.keys(change);
    assertThrows(() => encodeRun([RECORD], { ...RUN, ...change } as AppliedRun), errorClass, `as ${name}`);
  }
  for (const run of [null, undefined, 5]) assertThrows(() => encodeRun([RECORD], run as never), TypeError, "as run");
  const records: [change: Record<string, unknown>, errorClass: ErrorClass][] = [
    ...[3, 7, 0.5, NaN].map((lsn) => [{ lsn }, RangeError] as [Record<string, unknown>, ErrorClass]),
    ...["5", 5n].map((lsn) => [{ lsn }, TypeError] as [Record<string, unknown>, ErrorClass]),
    ...[0, 6, 31, 64, 1.5].map((opType) => [{ opType }, RangeError] as [Record<string, unknown>, ErrorClass]),
    ...["1", null].map((opType) => [{ opType }, TypeError] as [Record<string, unknown>, ErrorClass]),
    ...[0, 2].map((version) => [{ version }, RangeError] as [Record<string, unknown>, ErrorClass]),
    [{ version: "1" }, TypeError],
    ...["keyHigh", "keyLow", "valueHigh", "valueLow"].flatMap((half) =>
      [[{ [half]: 1 }, TypeError], [{ [half]: -1n }, RangeError], [{ [half]: 2n ** 64n }, RangeError]] as [
        Record<string, unknown>,
        ErrorClass,
      ][]
    ),
    ...[5, null, [1, 2, 3], [1n, "2", 3]].map((time) => [{ time }, TypeError] as [Record<string, unknown>, ErrorClass]),
    ...[[-1n, 0, 0], [2n ** 64n, 0, 0], [1n, 2 ** 32, 0], [1n, 0, 65536]].map((time) =>
      [{ time }, RangeError] as [Record<string, unknown>, ErrorClass]
    ),
  ];
  for (const [change, errorClass] of records) {
    const bad = { ...RECORD, ...change } as unknown as WALRecordFields;
    assertThrows(() => encodeRun([{ ...RECORD, lsn: 4 }, bad], RUN), errorClass, undefined, Object.keys(change)[0]);
  }
  for (const bad of [null, 5, undefined]) assertThrows(() => encodeRun([bad as never], RUN), TypeError, "as record");
  for (const bad of [null, 5, undefined, {}]) assertThrows(() => encodeRun(bad as never, RUN), TypeError);
  assertThrows(() => encodeRun([], RUN), RangeError, "there is no record");
  assertThrows(() => encodeRun([RECORD, RECORD], RUN), RangeError, "it must be from 6 to 6");
});

test("decodeRun() refuses what is no bytes, and what is no log's id", () => {
  const { bytes, logId } = encodeRun([RECORD], RUN);
  for (
    const bad of [null, undefined, 5, "run", [...bytes], bytes.buffer, new DataView(bytes.buffer), new Int8Array(8)]
  ) {
    assertThrows(() => decodeRun(bad as never, { logId }), TypeError, "must be a Uint8Array");
  }
  for (const bad of [null, undefined, 5]) assertThrows(() => decodeRun(bytes, bad as never), TypeError, "as options");
  for (const bad of [undefined, null, 5]) {
    assertThrows(() => decodeRun(bytes, { logId: bad as never }), TypeError, "logId");
  }
  for (const bad of ["", "AB".repeat(16), "ab"]) {
    assertThrows(() => decodeRun(bytes, { logId: bad }), RangeError, "logId");
  }
  assertEquals(decodeRun(bytes, { logId }).records.length, 3);
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  assertEquals(decodeRun(shared, { logId }).records.length, 3);
  bytes.buffer.transfer();
  assertThrows(() => decodeRun(bytes, { logId }), TypeError, "detached");
  assertThrows(() => decodeRun(new Uint8Array(0), { logId }), WALRunError, "shorter than its header");
});

test("shipTo() and followFrom() refuse targets and options that make no sense, and send nothing", () => {
  let calls = 0;
  const unused = new Proxy({}, {
    get: () => () => {
      calls++;
      throw new Error("nobody calls the client");
    },
  });
  const target = { connection: unused, jetstream: unused, stream: "LOG", subject: "log" } as unknown as JetStream;
  const badTargets: [change: object | null | string, word: string][] = [
    [null, "target"],
    ["nats", "target"],
    [{ connection: undefined }, "connection"],
    [{ connection: {} }, "isClosed"],
    [{ jetstream: null }, "jetstream"],
    [{ jetstream: {} }, "jetstreamManager"],
    [{ stream: "" }, "stream"],
    [{ stream: 5 }, "stream"],
    [{ subject: undefined }, "subject"],
  ];
  const store = new MemoryStore();
  for (const [change, word] of badTargets) {
    const bad = (change !== null && typeof change === "object" ? { ...target, ...change } : change) as JetStream;
    assertThrows(() => shipTo(bad), TypeError, word);
    assertThrows(() => followFrom(bad, store), TypeError, word);
  }
  const badNames = [
    ...["A B", "A.B", "A*", ">", "A/B", "A\\B", "A\r\nB"].map((stream) => [{ stream }, "stream"] as const),
    ...[".", "a.", ".a", "a..b", "*", "a.*", "a.>", "a b", "a.\tb", "a\r\nb"].map((subject) =>
      [{ subject }, "subject"] as const
    ),
    ...["stream", "subject"].map((name) => [{ [name]: "a\ud800" }, "surrogate"] as const),
  ];
  for (const [change, word] of badNames) {
    assertThrows(() => shipTo({ ...target, ...change }), RangeError, word);
    assertThrows(() => followFrom({ ...target, ...change }, store), RangeError, word);
  }
  shipTo({ ...target, stream: "Bücher-1_a", subject: "a.*b.c>.$d" });
  const badOptions: [options: unknown, errorClass: ErrorClass, word: string][] = [
    [null, TypeError, "options"],
    [{ inflight: 3 }, TypeError, "inflight"],
    ...[0, -1, 1.5, NaN, 1025].map((inFlight) =>
      [{ inFlight }, RangeError, "inFlight"] as [unknown, ErrorClass, string]
    ),
    [{ inFlight: "8" }, TypeError, "inFlight"],
    [{ startAfter: -1 }, RangeError, "startAfter"],
    [{ startAfter: 1n }, TypeError, "startAfter"],
    [{ timeoutMs: -5 }, RangeError, "timeoutMs"],
    [{ timeoutMs: 0 }, RangeError, "Cannot use 0 as timeoutMs"],
  ];
  for (const [options, errorClass, word] of badOptions) {
    assertThrows(() => shipTo(target, options as ShipOptions), errorClass, word);
  }
  const badFollowers: [options: unknown, errorClass: ErrorClass, word: string][] = [
    [null, TypeError, "options"],
    [{ name: "a" }, TypeError, "name"],
    [{ batchSize: 0 }, RangeError, "batchSize"],
    [{ onError: "retry" }, TypeError, "onError"],
    ...[1, 0, "", false, null].map((copy) => [{ copy }, TypeError, "copy"] as [unknown, ErrorClass, string]),
    [{ copy: { logId: "x", origin: null } }, RangeError, "logId"],
    [{ copy: { logId: "a".repeat(32), origin: { logId: "b".repeat(32), lastLsn: -1 } } }, RangeError, "lastLsn"],
    [{ timeoutMs: NaN }, RangeError, "timeoutMs"],
    [{ timeoutMs: 0 }, RangeError, "Cannot use 0 as timeoutMs"],
  ];
  for (const [options, errorClass, word] of badFollowers) {
    assertThrows(() => followFrom(target, store, options as FollowFromOptions), errorClass, word);
  }
  assertThrows(() => followFrom(target, {} as MemoryStore), TypeError, "insert");
  assertEquals(calls, 0);
});

test("tableSql(), shipTo() and followFrom() refuse tables that make no sense, and quote all others", () => {
  const client = { query: () => Promise.reject(new Error("nobody calls the client")) };
  const long = "ä".repeat(32);
  const bad: [change: object | null | string, errorClass: ErrorClass, word: string][] = [
    [null, TypeError, "target"],
    ["orders", TypeError, "target"],
    [{ table: "" }, TypeError, "table"],
    [{ table: 5 }, TypeError, "table"],
    [{ table: undefined }, TypeError, "table"],
    [{ schema: "" }, TypeError, "schema"],
    [{ schema: null }, TypeError, "schema"],
    [{ table: long }, RangeError, "63 bytes"],
    [{ schema: long }, RangeError, "63 bytes"],
    [{ table: "a\0b" }, RangeError, "zero"],
    [{ table: "\ud800" }, RangeError, "surrogate"],
  ];
  const badClients: typeof bad = [
    [{ client: undefined }, TypeError, "client"],
    [{ client: {} }, TypeError, "query()"],
  ];
  const whole = (change: object | null | string) =>
    (change !== null && typeof change === "object" ? { client, table: "log", ...change } : change) as never;
  for (const [change, errorClass, word] of [...bad, ...badClients]) {
    assertThrows(() => postgres.shipTo(whole(change)), errorClass, word);
    assertThrows(() => postgres.followFrom(whole(change), new MemoryStore()), errorClass, word);
  }
  for (const [change, errorClass, word] of bad) {
    assertThrows(() => postgres.tableSql(whole(change)), errorClass, word);
  }
  assertThrows(() => postgres.shipTo(whole({}), { inFlight: 0 }), RangeError, "inFlight");
  const sql = postgres.tableSql({ schema: 'a"b', table: 'x"; DROP TABLE y; --' });
  assertEquals(sql.match(/TABLE IF NOT EXISTS (.*) \(/)?.[1], '"a""b"."x""; DROP TABLE y; --"');
  assertEquals(postgres.tableSql({ table: "ä".repeat(31) + "b" }).includes("ä".repeat(31)), true);
});

test("shipTo() and followFrom() refuse a client that gives rows without an object around them", async () => {
  for (const result of [[], undefined, { rows: undefined }]) {
    const target = { client: { query: () => Promise.resolve(result as never) }, table: "log" };
    const store = new MemoryStore();
    const { done } = postgres.followFrom(target, store, { onError: () => "retry" });
    const error = await assertRejects(() => done, WALShipError, "does not resolve to an object with an array of rows");
    assertEquals(error.fault, "unsuitable");
    await using wal = openInMemory();
    const shipping = wal.consumeAsync(postgres.shipTo(target), { onError: () => "retry" });
    await assertRejects(() => shipping, WALShipError, "an array of rows");
  }
});

test("prometheusText() and observe() refuse what is no log and no meter, and register nothing", () => {
  using wal = openInMemory();
  const calls: string[] = [];
  const meter = new Proxy({}, {
    get: (_, name) => () => {
      calls.push(String(name));
      return {};
    },
  }) as Meter;
  using shards = openShards(null, { shards: 1, size: 65536 });
  const noLogs = [shards, null, undefined, 5, "log.wal", {}, { stats: 5 }, [null], [wal, 5], new Set([{}]), () => wal];
  for (const bad of noLogs) {
    const logs = bad as unknown as WAL;
    assertThrows(() => prometheusText(logs), TypeError, "Cannot show the figures of");
    assertThrows(() => observe(logs, meter), TypeError, "Cannot show the figures of");
  }
  for (const bad of [null, 5, "meter", {}, { createObservableGauge: 5 }]) {
    assertThrows(() => observe(wal, bad as unknown as Meter), TypeError, "it must be a Meter");
  }
  assertEquals([calls, prometheusText([])], [[], ""]);
  observe([], meter)[Symbol.dispose]();
});

test("whenDurable() and whenApplied() refuse what is no LSN, and one that was not appended", async () => {
  await using wal = openInMemory();
  fill(wal, 3);
  const bad: [lsn: unknown, errorClass: ErrorClass][] = [
    ...[-1, 0.5, NaN, Infinity, 2 ** 53, 4, 2 ** 40].map((lsn) => [lsn, RangeError] as [unknown, ErrorClass]),
    ...["1", 1n, null, {}, Symbol("s")].map((lsn) => [lsn, TypeError] as [unknown, ErrorClass]),
  ];
  for (const [lsn, errorClass] of bad) {
    for (const wait of [wal.whenDurable, wal.whenApplied]) {
      const { message } = await assertRejects(() => wait.call(wal, lsn as number), errorClass);
      assertMatch(message, lsn === 4 || lsn === 2 ** 40 ? /LSN \d+: records are appended up to LSN 3/ : /as lsn/);
    }
  }
  assertEquals([wal.durable, wal.stats().syncs], [0, 0]);
});

test("open() of an undefined path is a TypeError, not a log in memory", () => {
  const unset = undefined as unknown as string;
  assertThrows(() => WAL.open(unset), TypeError, "undefined as path");
  assertThrows(() => new WAL(unset), TypeError, "undefined as path");
  assertEquals(new WAL().path, null);
});

test("open() throws a TypeError that names an option which there is not", () => {
  assertThrows(() => WAL.open(null, { sizeBytes: 65536 } as WALOptions), TypeError, "sizeBytes");
});

test("consume() and consumeAsync() reject an option which there is not, and register and apply nothing", async () => {
  await using wal = openInMemory();
  fill(wal, 3);
  const store = new MemoryStore();
  const frozen = Object.freeze({ nam: "index" });
  const message = 'Cannot use "nam" as an option: there is no option of this name';
  await assertRejects(() => consume(wal, store, frozen as ConsumeOptions).done, TypeError, message);
  await assertRejects(() => wal.consumeAsync(store, frozen as ConsumeOptions), TypeError, message);
  assertEquals(store.size, 0);
  assertEquals(wal.stats().consumers, []);
  const options = Object.freeze({ name: "index", signal: undefined });
  await using _ = consume(wal, store, options);
  await wal.whenApplied(undefined, { name: "index" });
  assertEquals(store.size, 3);
});

test("records(), cursor() and encodeRun() refuse what is no range, and a name that a range has not", () =>
  withTempDir((directory) => {
    using wal = WAL.open(`${directory}/log`, { size: 65536 });
    fill(wal, 3);
    wal.flush();
    using follower = WAL.follow(`${directory}/log`, { mode: "appended" });
    const reads: ((range: RecordRange) => unknown)[] = [
      (range) => wal.records(range),
      (range) => wal.cursor(range),
      (range) => wal.encodeRun(range),
      (range) => follower.records(range),
      (range) => follower.cursor(range),
    ];
    for (const read of reads) {
      assertThrows(() => read({ form: 2 } as RecordRange), TypeError, 'Cannot use "form" as an option');
      for (const wrong of [2, "2", null]) assertThrows(() => read(wrong as RecordRange), TypeError, "as options");
    }
  }));

test("consume() of shards refuses a store in place of a function that gives one, and starts nothing", () => {
  using shards = openShards(null, { shards: 2, size: 65536 });
  assertThrows(() => shards.consume(new MemoryStore() as never), TypeError, "as storeOf: it must be a function");
  assertEquals(shards.logs.map((log) => log.stats().consuming), [false, false]);
});

// The kit.

const GOOD_STORE = { store: () => new MemoryStore() };
const WRONG_TESTS: readonly (readonly [options: object | null, ErrorClass, message: string])[] = [
  [null, TypeError, "Cannot use null as options"],
  [{ workload: undefined }, TypeError, "Cannot use undefined as workload: it must be a function"],
  [{ store: undefined }, TypeError, "Cannot use undefined as store: it must be a function"],
  [{ store: new MemoryStore() }, TypeError, "Cannot use a value of type object as store: it must be a function"],
  [{ contents: "entries" }, TypeError, 'Cannot use "entries" as contents'],
  [{ model: () => [] }, TypeError, "A model needs `contents`"],
  [{ check: true }, TypeError, "Cannot use true as check"],
  [{ reseed: 1 }, TypeError, "Cannot use 1 as reseed"],
  [{ maxLagRecords: 0 }, RangeError, "Cannot use 0 as maxLagRecords: it must be an integer from 1 to 4294967295"],
  [{ keepRecords: -1 }, RangeError, "Cannot use -1 as keepRecords"],
  [{ seeds: 0 }, RangeError, "Cannot use 0 as seeds"],
  [{ seeds: "3" }, TypeError, 'Cannot use "3" as seeds'],
  [{ seeds: [1.5] }, RangeError, "Cannot use 1.5 as one of seeds"],
  [{ crashPoints: -1 }, RangeError, "Cannot use -1 as crashPoints"],
  [{ crashPoints: [null] }, TypeError, "Cannot use null as one of crashPoints"],
  [{ crashes: 0 }, RangeError, "Cannot crash 0 times"],
  [{ crashes: "2" }, RangeError, 'Cannot crash "2" times'],
  [{ failures: 1.1 }, RangeError, "Cannot use 1.1 as failures: it must be from 0 to 1"],
  [{ timeoutMs: NaN }, RangeError, "Cannot use NaN as timeoutMs"],
  [{ content: () => [] }, TypeError, 'Cannot use "content" as an option'],
  [{ store: undefined, stores: { a: { ...GOOD_STORE, seeds: 1 } } }, TypeError, 'Cannot use "seeds" as an option'],
  [{ stores: { a: GOOD_STORE } }, TypeError, "Cannot use both `store` and `stores`"],
  [{ store: undefined, contents: () => [], stores: {} }, TypeError, "Cannot use both `contents` and `stores`"],
  [{ store: undefined, stores: 1 }, TypeError, "Cannot use 1 as stores: it must be an object"],
  [{ store: undefined, stores: {} }, RangeError, "Cannot use 0 as the number of stores"],
  [{ store: undefined, stores: Array(17).fill(GOOD_STORE) }, RangeError, "Cannot use 17 as the number of stores"],
  [{ store: undefined, stores: { a: GOOD_STORE, b: null } }, TypeError, 'Cannot use null as stores["b"]'],
  [{ store: undefined, stores: { a: {} } }, TypeError, "Cannot use undefined as store: it must be a function"],
  [{ store: undefined, stores: { ["é".repeat(21)]: GOOD_STORE } }, RangeError, "at most 40 bytes of UTF-8"],
  [
    { store: undefined, stores: { a: { store: () => ({ applyBatch: () => {} }), reseed: () => {} } } },
    TypeError,
    'A store with `reseed` must have appliedLsn(), and store "a" has none',
  ],
];

test("crashTest() refuses options that it cannot use, before the workload runs", async () => {
  let runs = 0;
  const good = { ...GOOD_STORE, workload: () => void runs++ };
  for (const [options, errorClass, message] of WRONG_TESTS) {
    const run = () => crashTest(options === null ? null as never : { ...good, ...options });
    const error = await assertRejects(run, Error, message);
    // One case is found when the store is open, and then the error says in which history.
    assertInstanceOf(error.constructor === Error ? error.cause : error, errorClass);
  }
  assertEquals(runs, 0);
});

test("crashTest() reads each option once, and each of each store", async () => {
  const reads = new Map<string, number>();
  const counting = (options: object, name: string): never =>
    new Proxy(options, {
      get(target, option, receiver) {
        const read = `${name}${String(option)}`;
        reads.set(read, (reads.get(read) ?? 0) + 1);
        return Reflect.get(target, option, receiver);
      },
    }) as never;
  const store = { store: (home: StoreHome) => home.outside(() => new MemoryStore()), maxLagRecords: 100 };
  const workload = ({ wal }: Pick<WorkloadContext, "wal">) => wal.logInsert(1, 2, 3, 4);
  const extent = { workload, seeds: [1], crashPoints: 3 };
  await crashTest(counting({ ...extent, stores: { a: counting(store, "a."), b: counting(store, "b.") } }, ""));
  const expected = [
    "workload",
    "seeds",
    "crashPoints",
    "crashes",
    "failures",
    "log",
    "timeoutMs",
    "temporary",
    "stores",
  ];
  for (const option of expected) assert(reads.has(option), option);
  assertEquals([...reads].filter(([, count]) => count !== 1), []);
});
