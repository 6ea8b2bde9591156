// The commands that copy: export, import, backup and salvage (H81).

import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { ImportError, JSON_READER } from "../cli/record_lines.ts";
import { type BatchItem, OpType, WAL } from "../mod.ts";
import { decodeRun, encodeRun } from "../src/runs.ts";
import { Random } from "../testing.ts";
import { jsonLines, makeLog, runHere, slotAt, spoil, START_MS } from "./support/cidwal.ts";
import { spawnScript } from "./support/child.ts";
import { BATCH_OPCODES, batchItem, range } from "./support/logs.ts";
import { type TempDir, tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

/** Runs a command, which must end with a code and without a word on standard error. */
async function runs(args: readonly string[], code = 0): Promise<string> {
  const { stdout, stderr, code: ended } = await runHere(args);
  assertEquals([ended, stderr], [code, ""], args.join(" "));
  return stdout;
}

/** What import keeps of a log: operations, keys, values, times and batches. */
function contentsOf(path: string): unknown[] {
  using wal = WAL.open(path, { create: false });
  const list: unknown[] = [];
  for (const cursor = wal.cursor(); cursor.next();) {
    const { opType, time, keyHigh, keyLow, valueHigh, valueLow, batchGoesOn } = cursor;
    if (opType !== OpType.Checkpoint) list.push([opType, time, keyHigh, keyLow, valueHigh, valueLow, batchGoesOn]);
  }
  return list;
}

/** A log of random batches, with times of other shards and sequence numbers that carry. */
function makeRandomLog(path: string, seed: number): void {
  const random = new Random(seed);
  using wal = WAL.open(path, { size: 65536, now: () => START_MS });
  let nanos = BigInt(START_MS) * 1_000_000n;
  const half = () => random.pick([0n, 1n, 2n ** 53n, 2n ** 64n - 1n, BigInt(random.below(2 ** 32)) << 30n]);
  for (let batch = 0; batch < 60; batch++) {
    const items: BatchItem[] = range(1, random.pick([1, 1, 1, 2, 3, 40])).map(() =>
      batchItem(random.pick(BATCH_OPCODES), [half(), half(), half(), half()], random.chance(0.5))
    );
    nanos += BigInt(random.below(5_000_000_000) + 2);
    if (random.chance(0.8)) wal.batchSync(items, [nanos, random.pick([0, 7, 2 ** 32 - 2]), random.below(65536)]);
    else wal.batchSync(items);
    if (random.chance(0.1)) wal.checkpoint(1);
  }
}

for (const format of ["json", "csv", "packed"]) {
  test(`cli/main.ts export --${format} and import make a log with the same operations, times and batches`, async () => {
    using directory = tempDir();
    for (const [index, make] of [makeLog, (path: string) => makeRandomLog(path, 5)].entries()) {
      const [path, file, copy] = ["log", "records", "copy"].map((name) => directory.join(`${name}-${index}`));
      make(path!);
      const before = readFileSync(path!);
      assertEquals(await runs(["export", `--${format}`, "--output", file!, path!]), "");
      assertEquals(readFileSync(path!), before);
      assertMatch(
        await runs(["import", "--size=64KiB", copy!, file!]),
        /^Imported \d+ records in \d+ batches, LSN 1 to \d+/,
      );
      assertEquals(contentsOf(copy!), contentsOf(path!));
      // What is imported is exported as it was, and goes through pipes as well.
      const { stdout } = await runHere(["export", `--${format}`, copy!]);
      if (format === "packed") continue;
      const piped = directory.join(`piped-${index}`);
      const { code, stderr } = await runHere(["import", "--quiet", piped, "-"], { stdin: stdout });
      assertEquals([code, stderr], [0, ""]);
      assertEquals(contentsOf(piped), contentsOf(path!));
    }
  });
}

test("cli/main.ts export writes runs that decodeRun() reads, and import reads those of encodeRun()", async () => {
  using directory = tempDir();
  const [path, file, copy] = ["log", "runs", "copy"].map((name) => directory.join(name)) as [string, string, string];
  makeLog(path);
  await runs(["export", "--packed", "--output", file, path]);
  using wal = WAL.open(path);
  const { logId } = wal;
  const { records, firstLsn, lastLsn } = decodeRun(readFileSync(file), { logId });
  assertEquals([firstLsn, lastLsn, records.map(({ lsn }) => lsn)], [1, 12, range(1, 12)]);
  assertEquals(records, wal.replay());
  // Several runs one after another: of a log, and of a store that was given records.
  const store = encodeRun(wal.replay().slice(7, 8), { logId, firstLsn: 7, lastLsn: 8 }).bytes;
  writeFileSync(file, Uint8Array.from([...wal.encodeRun({ from: 4, to: 6 }).bytes, ...store]));
  assertMatch(
    await runs(["import", copy, file]),
    /^Imported 4 records in 2 batches, LSN 1 to 4, without 1 checkpoint\n$/,
  );
  using copied = WAL.open(copy);
  assertEquals(copied.replay().map(({ time }) => time), [4, 5, 6, 8].map((lsn) => wal.replay()[lsn - 1]!.time));
});

test("cli/main.ts export leaves out batches that the range, the limit or damage cuts, and says so", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  const cut = async (...args: string[]) => {
    const { stdout, stderr, code } = await runHere(["export", ...args, path]);
    const lines = jsonLines(stdout).map(({ lsn, batchGoesOn }) => batchGoesOn === true ? -(lsn as number) : lsn);
    return [code, lines, stderr.replaceAll("cidwal: ", "")];
  };
  assertEquals(await cut("--to=5"), [
    0,
    [1, 2, 3],
    "LSN 4 to 5 are left out, as a part of a batch that goes on after the range\n",
  ]);
  assertEquals(await cut("--from=5", "--to=8"), [
    0,
    [7, 8],
    "LSN 5 to 6 are left out, as a part of a batch that may have begun earlier\n",
  ]);
  assertEquals(await cut("--from=4", "--to=6"), [0, [-4, -5, 6], ""]);
  assertEquals(await cut("--limit=4"), [
    0,
    [1, 2, 3],
    "LSN 4 to 6 are left out, as a batch that is longer than --limit allows\n",
  ]);
  assertEquals(await cut("--limit=6"), [0, [1, 2, 3, -4, -5, 6], ""]);
  assertEquals(await cut("--op=replace,delete"), [0, [-4, 5, 9, 10], ""]);
  assertEquals(await cut("--quiet", "--to=5"), [0, [1, 2, 3], ""]);
  spoil(path, slotAt(5) + 50, slotAt(8) + 50);
  const said = [
    "5 is damaged",
    "8 is damaged",
    "4 is left out, as a part of a damaged batch",
    "6 is left out, as a part of a batch that may have begun earlier",
  ];
  // Whether LSN 9 belongs to the batch of LSN 8, nobody knows.
  assertEquals(await cut(), [
    65,
    [1, 2, 3, 7, 10, 11, 12],
    [...said, "9 is left out, as a part of a batch that may have begun earlier"].map((text) => `LSN ${text}\n`).join(
      "",
    ),
  ]);
});

test("cli/main.ts import names the line of what it refuses, and keeps the batches before it", async () => {
  using directory = tempDir();
  const good = { op: "insert", key: "0".repeat(32), value: "f".repeat(32) };
  const cases: readonly [line: unknown, says: RegExp][] = [
    ["{", /line 3: it is no JSON/],
    [[1], /line 3: it is no JSON object/],
    [{ ...good, op: "upsert" }, /line 3: op "upsert" is no operation/],
    [{ ...good, op: 31 }, /line 3: op 31 is no operation/],
    [{ key: good.key }, /line 3: it has no op/],
    [{ op: "delete" }, /line 3: it has no key/],
    [{ ...good, key: "12" }, /line 3: key "12" is not 32 hex digits/],
    [{ ...good, value: undefined }, /line 3: it has no value/],
    [{ ...good, op: "delete" }, /line 3: a delete has no value/],
    [{ ...good, Key: good.key }, /line 3: there is no field "Key"/],
    [{ ...good, batchGoesOn: 1 }, /line 3: batchGoesOn is neither true nor false/],
    [{ ...good, time: "yesterday" }, /line 3: time "yesterday" is no time/],
    [{ ...good, time: "2026-02-30T00:00:00Z" }, /line 3: time .* is no time/],
    [{ ...good, time: "2026-01-01T00:00:00Z", seq: -1 }, /line 3: seq -1 is no integer from 0 to 4294967295/],
    [{ ...good, time: "2000-01-01T00:00:00Z" }, /line 3: Cannot use .* as time: the log is at .*; see --new-times/],
    [{ ...good, batchGoesOn: true }, /line 3: the batch that begins here is not complete, and is left out/],
  ];
  for (const [index, [line, says]] of cases.entries()) {
    const path = directory.join(`log-${index}`);
    const text = typeof line === "string" ? line : JSON.stringify(line);
    if (index > 0 && index < cases.length - 2) {
      assertMatch(assertThrows(() => JSON_READER.read(text, 3), ImportError).message, says);
      continue;
    }
    const { code, stderr, stdout } = await runHere(["import", "--size=65536", path], {
      stdin: `${JSON.stringify(good)}\n\n${text}\n`,
    });
    assertEquals([code, stdout], [65, ""], text);
    assertMatch(stderr, says);
    assertMatch(stderr, /^cidwal import: [^\n]* Imported 1 record in 1 batch, LSN 1 to 1 before that\n$/);
    if (index > 0) continue;
    using wal = WAL.open(path);
    assertEquals([wal.length, wal.recovery.clean], [1, true]);
  }
});

test("cli/main.ts import makes no log of an input that begins wrongly", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  for (
    const [stdin, says] of [
      ["lsn,op,ky\n", 'line 1: there is no column "ky"'],
      ["op,key,op\n", "line 1: a column is there twice"],
      ["op,key\ndelete\n", "line 2: it has 1 cells, and the heading has 2"],
      ["key,value\n", "line 1: the heading has no column op"],
      ["{}\n", "line 1: it has no op"],
      ["\x89CIDRUN\n", "it is no UTF-8"],
    ] as const
  ) {
    const file = directory.join("input");
    writeFileSync(file, Uint8Array.from(stdin, (character) => character.charCodeAt(0)));
    const { code, stderr } = await runHere(["import", path, file]);
    assertEquals(code, 65, stdin);
    if (!stdin.startsWith("\x89")) assertStringIncludes(stderr, says);
    else assertStringIncludes(stderr, "record 1: the run at byte 0 is not complete");
    assert(!existsSync(path));
  }
});

test("cli/main.ts import refuses a run that is damaged, a full log and one that is open", async () => {
  using directory = tempDir();
  const [path, file, copy] = ["log", "runs", "copy"].map((name) => directory.join(name)) as [string, string, string];
  makeLog(path);
  await runs(["export", "--packed", "--output", file, path]);
  const good = readFileSync(file);
  for (
    const [change, says] of [
      [
        (bytes: Uint8Array) => bytes[64 * 3 + 50]! ^= 1,
        /record 1: Cannot decode the run: LSN 3 at byte 192 is damaged/,
      ],
      [(bytes: Uint8Array) => bytes[40]! ^= 1, /record 1: the run at byte 0 cannot be read: its header is damaged/],
    ] as const
  ) {
    const bytes = Uint8Array.from(good);
    change(bytes);
    writeFileSync(file, bytes);
    const { code, stderr } = await runHere(["import", copy, file]);
    assertEquals(code, 65);
    assertMatch(stderr, says);
    assert(!existsSync(copy));
  }
  const line = JSON.stringify({ op: "delete", key: "0".repeat(32) });
  const many = `${line}\n`.repeat(769);
  const full = await runHere(["import", "--size=64KiB", copy], { stdin: many });
  assertEquals(full.code, 75);
  assertMatch(
    full.stderr,
    /line 769: the log is full, .* Imported 768 records in 768 batches, LSN 1 to 768 before that/,
  );
  using _wal = WAL.open(path);
  const locked = await runHere(["import", path], { stdin: many });
  assertEquals(locked.code, 75);
  assertMatch(locked.stderr, /^cidwal import: Cannot open .*: the log is locked by process \d+.*\n$/);
});

test("cli/main.ts import tells the format by the first line that is not blank, however late it comes", async () => {
  using directory = tempDir();
  const blank = "\n".repeat(300 * 1024);
  for (const text of [JSON.stringify({ op: "delete", key: "0".repeat(32) }), `op,key\ndelete,${"0".repeat(32)}`]) {
    const [input, log] = [directory.join("input"), directory.join(`log-${text.length}`)];
    writeFileSync(input, `${blank} ${text}\n`);
    assertEquals(await runs(["import", "--size=64KiB", log, input]), "Imported 1 record in 1 batch, LSN 1 to 1\n");
  }
});

test("cli/main.ts import names the line that is no text or too long, and keeps the batches before it", async () => {
  using directory = tempDir();
  const line = JSON.stringify({ op: "delete", key: "0".repeat(32) });
  const wrong = [["\xff\n", "it is no UTF-8, or has U+FFFD in it"], ["x".repeat(3 << 20), "it is too long"]] as const;
  for (const [index, [bytes, why]] of wrong.entries()) {
    const [input, log] = [directory.join(`input${index}`), directory.join(`log${index}`)];
    writeFileSync(input, `${line}\n${line}\n${bytes}`, "latin1");
    const { code, stderr } = await runHere(["import", "--size=64KiB", log, input]);
    assertEquals([code, stderr], [
      65,
      `cidwal import: line 3: ${why}. Imported 2 records in 2 batches, LSN 1 to 2 before that\n`,
    ]);
  }
});

test("cli/main.ts import --new-times appends to a log whose time is later", async () => {
  using directory = tempDir();
  const [path, other] = ["log", "other"].map((name) => directory.join(name)) as [string, string];
  makeLog(path);
  {
    using wal = WAL.open(other, { size: 65536 });
    wal.logInsertSync(1, 2, 3, 4);
  }
  const { stdout } = await runHere(["export", path]);
  assertEquals((await runHere(["import", other], { stdin: stdout })).code, 65);
  assertEquals((await runHere(["import", "--new-times", other], { stdin: stdout })).code, 0);
  using wal = WAL.open(other);
  assertEquals(wal.length, 12);
});

test("cli/main.ts export does not follow a link that leads nowhere, and says so once", async () => {
  using directory = tempDir();
  const [path, to] = [directory.join("log"), directory.join("link")];
  makeLog(path);
  symlinkSync(directory.join("nowhere"), to);
  const { code, stderr } = await runHere(["export", "--output", to, path]);
  assertEquals([code, stderr.split("there is such a file already").length], [73, 2]);
  assertEquals(stderr.split("Cannot write").length, 2);
});

test("cli/main.ts backup copies a log through an LSN or a time, also one that is being written", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  const copied = async (name: string, ...args: string[]) => {
    const to = directory.join(name);
    await runs(["backup", ...args, path, to]);
    using wal = WAL.open(to, { create: false });
    return [wal.recovery.clean, wal.recovery.origin!.lastLsn, wal.length];
  };
  assertEquals(await copied("all"), [true, 12, 12]);
  assertEquals(await copied("five", "--through=5"), [true, 3, 3]); // inside the batch
  assertEquals(await copied("time", "--through", "2026-11-29T12:00:08.5Z"), [true, 8, 8]);
  assertEquals(await copied("before", "--through", "2026-11-29T11:00:00Z"), [true, 0, 0]);
  const again = await runHere(["backup", path, directory.join("all")]);
  assertEquals(again.code, 73);

  const live = directory.join("live");
  await using writer = spawnScript("tests/support/cidwal_writer.ts", { args: [live] });
  await writer.line(/^writing$/);
  const to = directory.join("of-live");
  assertMatch(await runs(["backup", live, to]), /^Copied [\d,]+ records, LSN \d+ to \d+, to /);
  assertMatch(await runs(["verify", to]), /: clean: closed cleanly/);
});

test("cli/main.ts export of a log that is being written has whole batches only", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  await using writer = spawnScript("tests/support/cidwal_writer.ts", { args: [path] });
  await writer.line(/^writing$/);
  const { code, stdout } = await runHere(["export", path]);
  assertEquals(code, 0);
  const lines = jsonLines(stdout);
  assert(lines.length > 0 && lines.at(-1)!["batchGoesOn"] === false);
  for (const [index, { key, value }] of lines.entries()) {
    if (!String(key).startsWith("0000000000000003")) continue;
    const place = Number(String(value).at(-1));
    assertEquals(lines[index - place + 1]?.["key"], key);
    assertEquals(lines[index + 3 - place]?.["key"], key);
  }
});

/** A damaged log: LSN 2 and 5 of 12. */
function makeDamaged(directory: TempDir): string {
  const path = directory.join("log");
  makeLog(path);
  spoil(path, slotAt(2) + 50, slotAt(5) + 50);
  return path;
}

test("cli/main.ts salvage --to writes a new log, and leaves the damaged file as it is", async () => {
  using directory = tempDir();
  const path = makeDamaged(directory);
  const before = readFileSync(path);
  const to = directory.join("new");
  const { code, stdout, stderr } = await runHere(["salvage", "--to", to, path]);
  assertEquals([code, stderr], [0, ""]);
  assertMatch(stdout, /^LSN 2 to 6 are lost, from byte 16448 on\n/);
  assertEquals(readFileSync(path), before);
  assertEquals(readdirSync(directory.path).sort(), ["log", "new"]);
  assertEquals(statSync(to).mode & 0o777, 0o600);
  assertMatch(await runs(["verify", to]), /: clean: closed cleanly\n12 records, LSN 1 to 12\n$/);
  {
    using wal = WAL.open(to, { verify: true });
    const kept = wal.replay().filter(({ opType }) => opType !== OpType.Checkpoint).map(({ lsn }) => lsn);
    assertEquals(kept, [1, 8, 9, 10, 11, 12]);
    assertEquals(wal.recovery.origin?.logId, WAL.inspect(path).logId);
  }
  assertEquals((await runHere(["salvage", "--to", to, path])).code, 73);
  // Of a log that is whole, the new one is a copy.
  const copy = directory.join("copy");
  assertMatch(await runs(["salvage", "--to", copy, to]), /^LSN 1 to 12, nothing is lost: /);
  assertEquals(contentsOf(copy), contentsOf(to));
});

test("cli/main.ts makes files with names of the greatest length", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  makeLog(path);
  spoil(path, slotAt(2) + 40);
  const [exported, salvaged] = ["e", "s"].map((letter) => letter.repeat(255));
  await runHere(["export", "--output", directory.join(exported!), path]);
  await runs(["salvage", "--quiet", "--to", directory.join(salvaged!), path]);
  assertEquals(readdirSync(directory.path).sort(), [exported, "log", salvaged]);
});

test("cli/main.ts salvage --in-place asks first, and keeps the damaged file", async () => {
  using directory = tempDir();
  const path = makeDamaged(directory);
  const before = readFileSync(path);
  for (const stdin of ["", "n\n", "\n", "yesterday\n"]) {
    const { code, stderr, stdout } = await runHere(["salvage", "--in-place", path], { stdin });
    assertEquals([code, stdout], [1, ""]);
    assertMatch(stderr, /^LSN 2 is damaged\nLSN 5 is damaged\nReplace .* \[y\/N\] Nothing was changed\n$/);
    assertEquals(readdirSync(directory.path), ["log"]);
    assertEquals(readFileSync(path), before);
  }
  const { code, stdout } = await runHere(["salvage", "--in-place", path], { stdin: "y\n" });
  assertEquals(code, 0);
  const kept = /the damaged file is (.*)\n/.exec(stdout)![1]!;
  assertEquals(readFileSync(kept), before);
  assertMatch(await runs(["verify", path]), /: clean: /);
  assertMatch(await runs(["salvage", "--in-place", path]), /^Nothing is damaged in /);
  spoil(path, slotAt(9) + 50);
  assertMatch(await runs(["salvage", "--in-place", "--yes", path]), /^LSN 9 to 10 are lost/);
});
