// The commands that read: stat, dump, verify and follow (H81).

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  copyFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import process from "node:process";
import { WAL, WALCorruptError } from "../mod.ts";
import { width } from "../cli/terminal.ts";
import { readHeaders, writeHeader } from "../src/format/header.ts";
import { readLiveBlock } from "../src/format/live_block.ts";
import { jsonLines, makeLog, READ_ONLY, runHere, slotAt, spoil, startTool, waitFor } from "./support/cidwal.ts";
import { spawnScript } from "./support/child.ts";
import { range } from "./support/logs.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

/** Runs a command, which must end with a code and without a word on standard error. */
async function reads(args: readonly string[], code = 0): Promise<string> {
  const { stdout, stderr, code: ended } = await runHere(args);
  assertEquals([ended, stderr], [code, ""], args.join(" "));
  return stdout;
}

test("cli/main.ts stat shows the figures of a log, and writes nothing", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  const before = readFileSync(path);
  const text = await reads(["stat", path]);
  assertMatch(text, /^records +LSN 1 to 12$/m);
  assertMatch(text, /^fill +▌░+ 1\.6 %, 12 of 768$/m);
  assertMatch(text, /^in the store +through LSN 2$/m);
  assertMatch(text, /^state +closed cleanly$/m);
  assertMatch(text, /^newest +2026-11-29T12:00:12\.000Z, /m);
  const [figures] = jsonLines(await reads(["stat", "--json", path]));
  const { path: shown, commits: _, ...inspection } = figures as unknown as ReturnType<typeof WAL.inspect> & {
    commits: unknown;
  };
  const { path: real, ...inspected } = WAL.inspect(path);
  // Deno tells the file system only if it may do more than read.
  const { fileSystem } = inspection;
  assertEquals([shown, inspection], [real, { ...inspected, fileSystem } as typeof inspection]);
  assertEquals(readFileSync(path), before);
});

test("cli/main.ts stat shows the consumers of the header, and hides what could steer a terminal", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  const bytes = readFileSync(path);
  const { newest, newestCopy } = readHeaders(bytes);
  const entry = { isLost: false, lsn: 5, maxLagRecords: 0, keepRecords: 0 };
  const consumers = [{ ...entry, name: "" }, { ...entry, name: "索引\u001b[2J", lsn: 0, isLost: true }];
  writeHeader(bytes, newestCopy, { ...newest!, consumers });
  writeFileSync(path, bytes);
  const text = await reads(["stat", path]);
  assertMatch(
    text,
    /^consumer +without a name: through LSN 5, 7 records behind\nconsumer +索引\\u001b\[2J: lost, at LSN 0, 12/m,
  );
});

test("cli/main.ts stat draws how many records commits had, and how far apart they were", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  let ms = Date.now() - 60_000;
  {
    using wal = WAL.open(path, { size: 65536, now: () => ms });
    // 10 commits of one record 7 ms apart, then 4 of 20 records 300 ms apart.
    for (let i = 0; i < 14; i++) {
      ms += i < 10 ? 7 : 300;
      for (let n = 0; n < (i < 10 ? 1 : 20); n++) wal.logDeleteSync(i, n, [BigInt(ms) * 1_000_000n, n, 0]);
      wal.flush();
    }
  }
  const { commits } = jsonLines(await reads(["stat", "--json", path]))[0] as { commits: Record<string, unknown> };
  // The first commit and the last are at the ends of what is looked at.
  assertEquals(commits, {
    firstLsn: 1,
    lastLsn: 90,
    commits: 12,
    recordsPerCommit: [
      { name: "1", count: 9 },
      { name: "2 to 3", count: 0 },
      { name: "4 to 7", count: 0 },
      { name: "8 to 15", count: 0 },
      { name: "16 to 31", count: 3 },
    ],
    msBetweenCommits: [
      { name: "5 to 9", count: 8 },
      { name: "10 to 19", count: 0 },
      { name: "20 to 49", count: 0 },
      { name: "50 to 99", count: 0 },
      { name: "100 to 999", count: 3 },
    ],
  });
  const text = await reads(["stat", path]);
  assertMatch(text, /^records in a commit$/m);
  assertMatch(text, /^ +16 to 31 █+ 3$/m);
});

test("cli/main.ts dump prints the records that a range, a filter and a limit take", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  const lsns = async (...args: string[]) =>
    jsonLines(await reads(["dump", "--json", ...args, path])).map(({ lsn }) => lsn);
  assertEquals(await lsns(), range(1, 12));
  assertEquals(await lsns("--from", "5", "--to=8"), [5, 6, 7, 8]);
  assertEquals(await lsns("--limit", "2", "--from=11"), [11, 12]);
  assertEquals(await lsns("--since", "2026-11-29T12:00:08Z", "--until", "2026-11-29 12:00:09.5"), [8, 9]);
  assertEquals(await lsns("--since", "2026-11-29T14:00:12+02:00", "--until=0s"), [12]);
  assertEquals(await lsns("--until=2026-11-29T12:00:03.000000001Z"), [1, 2, 3]);
  assertEquals(await lsns("--op", "delete"), [4, 10]);
  assertEquals(await lsns("--op=deleteValue,40", "--op", "checkpoint"), [6, 7, 8]);
  assertEquals(await lsns("--key", "000000000000000a0000000000000001"), [1, 4, 12]);
  assertEquals(await lsns("--key", "00000000-0000-000A-0000-000000000001", "--op", "insert"), [1, 12]);
});

test("cli/main.ts dump has three formats with the same fields", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  const lines = jsonLines(await reads(["dump", "--json", path]));
  const key = (low: number) => `000000000000000a${low.toString(16).padStart(16, "0")}`;
  assertEquals(lines[1], {
    lsn: 2,
    time: "2026-11-29T12:00:02.000000000Z",
    seq: 0,
    shard: 0,
    op: "insert",
    key: key(2),
    value: "000000000000000b0000000000000002",
    batchGoesOn: false,
  });
  assertEquals(lines.slice(3, 7).map(({ op, value, confirms, batchGoesOn }) => [op, value, confirms, batchGoesOn]), [
    ["delete", undefined, undefined, true],
    ["replace", "000000000000000c0000000000000002", undefined, true],
    [40, "000000000000000c0000000000000003", undefined, false],
    ["checkpoint", undefined, 2, false],
  ]);
  const csv = (await reads(["dump", "--csv", path])).split("\n");
  assertEquals(csv[0], "lsn,time,seq,shard,op,key,value,batchGoesOn");
  assertEquals(csv[4], `4,2026-11-29T12:00:04.000000000Z,0,0,delete,${key(1)},,true`);
  assertEquals(csv[7], "7,2026-11-29T12:00:07.000000000Z,0,0,checkpoint,,2,false");
  assertEquals(csv.length, 14);
  const text = (await reads(["dump", path])).split("\n");
  assertEquals(
    text[0],
    "LSN time                             seq   operation   key                              value",
  );
  assertEquals(text[4], `  4 2026-11-29T12:00:04.000000000Z     0 ┌ delete      ${key(1)}`);
  assertEquals(text[5]!.slice(41, 60), "│ replace     00000".slice(0, 19));
  assertEquals(text[7], "  7 2026-11-29T12:00:07.000000000Z     0   checkpoint  through LSN 2");
});

test("cli/main.ts dump goes on past damage, says what it is, and exits with 65", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  spoil(path, slotAt(2) + 40, slotAt(8) + 20, slotAt(9) + 63);
  const { code, stdout, stderr } = await runHere(["dump", "--json", path]);
  assertEquals([code, stderr], [65, "cidwal: LSN 2 is damaged\ncidwal: LSN 8 to 9 are damaged\n"]);
  assertEquals(jsonLines(stdout).map(({ lsn }) => lsn), [1, 3, 4, 5, 6, 7, 10, 11, 12]);
  assertEquals((await runHere(["dump", "--quiet", path])).stderr, "");
  const later = await runHere(["dump", "--json", "--since", "2026-11-29T12:00:08Z", path]);
  assertEquals(jsonLines(later.stdout).map(({ lsn }) => lsn), [10, 11, 12]);
});

/** A log with a slot of each state. */
function makeRawLog(path: string): void {
  makeLog(path);
  {
    using wal = WAL.open(path);
    wal.truncate(3);
  }
  // As a crash leaves it: not closed, with an intact record after a torn one.
  const closed = readFileSync(path);
  const wal = WAL.open(path);
  for (const n of [13, 14, 15]) wal.logInsertSync(0xa, n, 0xb, n);
  wal.flush();
  const open = readFileSync(path);
  wal.close();
  closed.copy(open, slotAt(13), slotAt(13), slotAt(14));
  const headers = WAL.inspect(path);
  assertEquals(headers.head, 16);
  writeFileSync(path, open);
}

test("cli/main.ts dump --raw shows every slot with its offset and its state", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeRawLog(path);
  spoil(path, slotAt(1) + 50, slotAt(5) + 50, slotAt(15) + 50);
  const slots = jsonLines(await reads(["dump", "--raw", "--json", path]));
  assertEquals(slots.length, 768);
  assertEquals(slots.map(({ slot, offset }) => [slot, offset]), range(0, 767).map((n) => [n, slotAt(n + 1)]));
  const states = slots.map(({ state }) => state);
  assertEquals(states.slice(0, 6), ["rotten", "stale", "stale", "record", "damaged", "record"]);
  assertEquals(states.slice(11), ["record", "unwritten", "phantom", "torn", ...range(15, 767).map(() => "unwritten")]);
  assertEquals([slots[4]!["lsn"], slots[4]!["op"], slots[13]!["op"]], [5, undefined, "insert"]);
  const text = await reads(["dump", "--raw", path]);
  assertMatch(text, /^header [AB] +at byte (0|4096): write \d+, /m);
  assertMatch(text, new RegExp(`^ +${slotAt(5)} damaged +5$`, "m"));
  assertMatch(text, new RegExp(`^ +${slotAt(16)} unwritten +753 slots$`, "m"));
  const csv = (await reads(["dump", "--raw", "--csv", "--from", "14", path])).split("\n");
  assertEquals(csv[1]!.split(",").slice(0, 4), ["13", String(slotAt(14)), "phantom", "14"]);
});

test("cli/main.ts dump --raw goes on without a header, and in a file that was cut", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  spoil(path, 20, 4096 + 4000);
  const slots = jsonLines(await reads(["dump", "--raw", "--json", path]));
  assertEquals(slots.slice(0, 13).map(({ state }) => state), [...range(1, 12).map(() => "record"), "unwritten"]);
  assertMatch(await reads(["dump", "--raw", path]), /^header A +at byte 0: not valid \(/m);
  const cut = directory.join("cut");
  makeLog(cut);
  writeFileSync(cut, readFileSync(cut).subarray(0, slotAt(6) + 10));
  const left = jsonLines(await reads(["dump", "--raw", "--json", cut])).map(({ state }) => state);
  assertEquals([left.length, left[4], left[5], left[11], left[12]], [768, "record", "damaged", "damaged", "unwritten"]);
});

test("cli/main.ts verify tells a clean log, a torn tail, damage and other files apart by its exit code", async () => {
  using directory = tempDir();
  const clean = directory.join("clean");
  makeLog(clean);
  const torn = directory.join("torn");
  makeRawLog(torn);
  const damaged = directory.join("damaged");
  copyFileSync(clean, damaged);
  spoil(damaged, slotAt(2) + 40, slotAt(8) + 20, slotAt(9) + 63);
  const other = directory.join("other");
  writeFileSync(other, new Uint8Array(65536));
  truncateSync(other, 2 ** 40); // longer than any memory
  const short = directory.join("short");
  writeFileSync(short, "no log");

  assertMatch(await reads(["verify", clean]), /: clean: closed cleanly\n12 records, LSN 1 to 12\n$/);
  assertMatch(await reads(["verify", torn], 1), new RegExp(`: torn: [^]*torn {5}LSN 14 at byte ${slotAt(14)}\n`));
  const places = `  damaged  LSN 2 at byte ${slotAt(2)}\n  damaged  LSN 8 to 9 at byte ${slotAt(8)}\n`;
  assertStringIncludes(await reads(["verify", damaged], 2), places);
  for (const path of [other, short, directory.path]) assertMatch(await reads(["verify", path], 3), /: not a log: /);
  const exits = [[clean, 0], [torn, 1], [damaged, 2], [other, 3]] as const;
  for (const [path, code] of exits) assertEquals(await reads(["verify", "--quiet", path], code), "");

  const [verdict] = jsonLines(await reads(["verify", "--json", damaged], 2));
  assertEquals([verdict!["verdict"], verdict!["losses"]], ["damaged", [
    { firstLsn: 2, lastLsn: 2, offset: slotAt(2) },
    { firstLsn: 8, lastLsn: 9, offset: slotAt(8) },
  ]]);
  // The verdict is what opening the log comes to.
  let refused: unknown;
  try {
    WAL.open(damaged, { verify: true }).close();
  } catch (error) {
    refused = error;
  }
  assert(refused instanceof WALCorruptError);
  assertEquals(verdict!["losses"], [...refused.losses]);
});

test("cli/main.ts verify finds damaged headers, a cut file and a record of a later version", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  const good = readFileSync(path);
  const verdictOf = async (change: (bytes: Uint8Array) => Uint8Array, code: number) => {
    writeFileSync(path, change(Uint8Array.from(good)));
    return await reads(["verify", path], code);
  };
  const flipped = (...offsets: number[]) => (bytes: Uint8Array) => {
    for (const offset of offsets) bytes[offset]! ^= 1;
    return bytes;
  };
  assertMatch(await verdictOf(flipped(50), 0), /header copy A is damaged, and the other copy is whole/);
  assertMatch(await verdictOf(flipped(50, 4096 + 50), 2), /both header copies are damaged \(checksum, checksum\)/);
  assertMatch(await verdictOf((bytes) => bytes.subarray(0, slotAt(500)), 2), /the file was cut to/);
});

test("cli/main.ts fits what it shows into the terminal, wide and narrow", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  const commands = ["stat", "dump", "verify", "follow", "export", "import", "backup", "salvage"];
  const shown = [["stat", path], ["dump", path], ["dump", "--raw", path], ["follow", "--limit=10", path], ["--help"]];
  for (const columns of [160, 60, 40]) {
    for (const args of [...shown, ...commands.map((command) => [command, "--help"])]) {
      const { stdout } = await runHere(args, { columns });
      // A path is as long as it is.
      const tooWide = stdout.split("\n").filter((line) => width(line) > columns && !line.includes(directory.path));
      assertEquals(tooWide, [], `${args.join(" ")} in ${columns} columns`);
    }
  }
  const narrow = await runHere(["dump", "--from=4", "--to=5", path], { columns: 40 });
  // deno-lint-ignore no-control-regex
  const lines = narrow.stdout.replaceAll(/\x1b\[\d+m/g, "").split("\n");
  assertEquals(lines.slice(1), ["  4 ┌ delete      0000…0001", "  5 │ replace     0000…0002 0000…0002", ""]);
});

test("cli/main.ts follow shows the last records and then each new one, until it is interrupted", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  using wal = WAL.open(path);
  await using child = startTool(["follow", "--json", path], { denoFlags: READ_ONLY });
  await child.line(/"lsn":12,/);
  wal.logInsertSync(7, 7, 7, 7);
  await child.line(/"lsn":13,/);
  await wal.batchInsert([[8, 8, 8, 8], [9, 9, 9, 9]]);
  await child.line(/"lsn":15,/);
  process.kill(child.pid, "SIGINT");
  const { code, stderr, stdout } = await child.result;
  assertEquals([code, stderr], [130, ""]);
  assertEquals(jsonLines(stdout).map(({ lsn }) => lsn), range(3, 15));
});

/** True if a process waits for writes of a file. */
function isWatching(pid: number, path: string): boolean {
  const sign = ` ino:${statSync(path).ino.toString(16)} `;
  const directory = `/proc/${pid}/fdinfo`;
  return readdirSync(directory).some((descriptor) => {
    try {
      return readFileSync(`${directory}/${descriptor}`, "utf8").includes(sign);
    } catch {
      return false; // it has been closed
    }
  });
}

test("cli/main.ts follow waits for the doorbell of a writer that has one, and of the next writer", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  await using child = await (async () => {
    await using wal = WAL.open(path, { size: 65536, followers: true });
    await wal.logInsert(1, 1, 1, 1);
    const child = startTool(["follow", "--json", path], { denoFlags: READ_ONLY });
    await child.line(/"lsn":1,/);
    await waitFor(() => isWatching(child.pid, `${path}.live`));
    await wal.logInsert(2, 2, 2, 2);
    await child.line(/"lsn":2,/);
    return child;
  })();
  await using wal = WAL.open(path, { followers: true });
  await waitFor(() => isWatching(child.pid, `${path}.live`));
  await wal.logInsert(3, 3, 3, 3);
  await child.line(/"lsn":3,/);
}, { skip: process.platform !== "linux" && "/proc tells what a process watches" });

test("cli/main.ts follow --since waits for a later record without looking at each earlier one", async () => {
  using directory = tempDir();
  const { follow } = WAL;
  for (const mode of [[], ["--durable"]]) {
    const [path, printed] = ["log", "printed"].map((name) => directory.join(name + mode)) as [string, string];
    await using wal = WAL.open(path, { size: 65536, idleHeaderDelayMs: 1 });
    await wal.batchInsert(Array.from({ length: 500 }, (_, n) => [n, 1, 2, 3]));
    let looks = 0;
    WAL.follow = (...given) => {
      const follower = follow.apply(WAL, given);
      const { cursor } = follower;
      follower.cursor = (range) => (looks++, cursor.call(follower, range));
      return follower;
    };
    try {
      const since = new Date(Date.now() + 3_600_000).toISOString();
      const args = ["follow", "--csv", "--limit=1", "--since", since, ...mode, path];
      const following = runHere(args, { stdout: printed });
      await waitFor(() => readFileSync(printed, "utf8") !== "");
      await wal.logInsert(7, 1, 2, 3, [BigInt(Date.parse(since)) * 1_000_000n, 0, 0]);
      assertEquals((await following).code, 0);
      assertMatch(readFileSync(printed, "utf8"), /\n501,[^\n]*\n$/);
      assert(looks < 100, `${looks} looks`);
    } finally {
      WAL.follow = follow;
    }
  }
});

test("cli/main.ts follow looks again for a record that it was woken for and did not find at once", async () => {
  using directory = tempDir();
  const [path, printed] = [directory.join("log"), directory.join("printed")];
  makeLog(path);
  const { follow } = WAL;
  let looks = 0;
  WAL.follow = (...given) => {
    const follower = follow.apply(WAL, given);
    const { cursor } = follower;
    follower.cursor = (range) => cursor.call(follower, ++looks === 2 ? { ...range, since: 2n ** 63n } : range);
    return follower;
  };
  try {
    const following = runHere(["follow", "--csv", "--limit=11", path], { stdout: printed });
    await waitFor(() => readFileSync(printed, "utf8").includes("\n12,"));
    using wal = WAL.open(path);
    await wal.logInsert(7, 7, 7, 7);
    assertEquals((await following).code, 0);
    assertEquals([looks > 2, readFileSync(printed, "utf8").includes("\n13,")], [true, true]);
  } finally {
    WAL.follow = follow;
  }
});

test("cli/main.ts follow begins where it is told, filters, ends at its limit, and tells of a file that is gone", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  const text = await reads(["follow", "--csv", "--from=1", "--op", "insert", "--limit=4", path]);
  assertEquals(text.split("\n").map((line) => line.split(",")[0]), ["lsn", "1", "2", "3", "12", ""]);
  const printed = directory.join("printed");
  const following = runHere(["follow", path], { stdout: printed });
  await waitFor(() => / 12 /.test(readFileSync(printed, "utf8")));
  const other = directory.join("other");
  makeLog(other);
  copyFileSync(path, directory.join("old"));
  renameSync(other, path);
  const { code, stderr } = await following;
  assertEquals(code, 74);
  assertMatch(stderr, /^cidwal follow: Cannot go on with .*\n$/);
});

test("cli/main.ts writes nothing to a log that is open elsewhere, whatever the command", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  using wal = WAL.open(path, { followers: true, idleHeaderDelayMs: Infinity });
  wal.logInsertSync(7, 7, 7, 7);
  wal.flush();
  await waitFor(() => readLiveBlock(readFileSync(`${path}.live`))?.durable === wal.durable);
  const [other, run] = [directory.join("other"), JSON.stringify({ op: "delete", key: "0".repeat(32) })];
  const state = () =>
    readdirSync(directory.path).map((name) => {
      const { ino, size, mode, mtimeNs, ctimeNs } = statSync(directory.join(name), { bigint: true });
      return [name, ino, size, mode, mtimeNs, ctimeNs, readFileSync(directory.join(name), "hex")];
    });
  const before = state();
  for (
    const [command, code] of [
      [["stat", path], 0],
      [["dump", path], 0],
      [["dump", "--raw", path], 0],
      [["verify", path], 0],
      [["follow", "--limit=10", path], 0],
      [["export", path], 0],
      [["export", "--packed", path], 0],
      [["backup", path, other], 0],
      [["salvage", "--to", other, path], 0],
      [["salvage", "--in-place", "--yes", path], 0], // nothing is damaged
      [["import", path], 75],
    ] as const
  ) {
    const { code: ended, stderr } = await runHere(command, { stdin: run });
    assertEquals(ended, code, stderr);
    rmSync(other, { force: true });
    assertEquals(state(), before, command.join(" "));
  }
});

test("cli/main.ts reads a log that another process writes as fast as it can", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  await using writer = spawnScript("tests/support/cidwal_writer.ts", { args: [path] });
  await writer.line(/^writing$/);
  for (let round = 0; round < 2; round++) {
    assertMatch(await reads(["verify", path]), /: clean: not closed/);
    assertMatch(await reads(["stat", path]), /^state +open, or not closed: process /m);
    const raw = jsonLines(await reads(["dump", "--raw", "--json", path]));
    assertEquals(raw.filter(({ state }) => state === "damaged" || state === "torn"), []);
    const { code, stdout } = await runHere(["dump", "--json", path]);
    const lsns = jsonLines(stdout).map(({ lsn }) => lsn as number);
    assert(code === 0 && lsns.length > 0 && lsns.every((lsn, index) => index === 0 || lsn > lsns[index - 1]!));
  }
  const { code, stdout } = await runHere(["follow", "--json", "--limit=2000", path]);
  assertEquals([code, jsonLines(stdout).length], [0, 2000]);
});
