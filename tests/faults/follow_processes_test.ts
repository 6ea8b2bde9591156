// Fault: another process writes the log, on any runtime, laps its followers, is killed and started
//   again; a follower is killed (H64, H66, H67). Its file is put on a read-only medium.
// Promise: a follower gets each record once, in order, as it was written, and whole batches, or is
//   told which are gone. What it was given stays. A dead follower holds nothing (G19).
// Method: real processes. The records tell their LSN and their batch.

import { assert, assertEquals } from "@std/assert";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { findBinary, NOT_FOUND, runArguments, type Runtime, RUNTIMES } from "../../scripts/tools.ts";
import { WAL } from "../../mod.ts";
import { Child, PROJECT_URL, runSnippet, spawnScript } from "../support/child.ts";
import { check, followTo } from "../support/follow_reader.ts";
import { CAPACITY } from "../support/logs.ts";
import { mountSkip } from "../support/loop_device.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const WRITER = "tests/support/follow_writer.ts";
const READER = "tests/support/follow_reader.ts";
/**
 * `FOLLOW_LAPS=2000` in the environment runs for longer, and kills both sides on each pair of
 * runtimes.
 */
const LAPS = process.env["FOLLOW_LAPS"];
/** The shortest time between two kills. */
const LIFE_MS = 40;
const END = CAPACITY * Number(LAPS ?? 20);

/** A process of another runtime. */
function start(binary: string, runtime: Runtime, module: string, args: readonly (string | number)[]): Child {
  const program = fileURLToPath(new URL(module, PROJECT_URL));
  return new Child([binary, ...runArguments(runtime), program, ...args.map(String)], {});
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Runs a process and kills it, again and again, until it ends by itself.
 *
 * @param begin starts it. It is given how far the one before was.
 * @returns how often it was killed.
 */
async function killUntilDone(begin: (at: number) => Child, done: RegExp): Promise<number> {
  for (let kills = 0, at = 0;; kills++) {
    await using child = begin(at);
    await Promise.race([child.result, child.line(/^(open|at)/).then(() => pause(LIFE_MS * (1 + kills % 9)))]);
    child.kill();
    const { signal, stdout, stderr } = await child.result;
    if (done.test(stdout)) return kills;
    assertEquals([signal, stderr], ["SIGKILL", ""]);
    at = Number(/^at (\d+)\n(?![^]*^at \d+\n)/m.exec(stdout)?.[1] ?? at);
  }
}

for (const writer of RUNTIMES) {
  const binary = findBinary(writer);
  test(`Follower reads what a writer on ${writer} writes over many laps`, async () => {
    using directory = tempDir();
    const path = directory.join("log");
    await using child = start(binary!, writer, WRITER, [path, END]);
    await child.line(/^open/);
    const { read } = await followTo(path, END - 1000, 1);
    assert(read > 0);
    const { code, stderr } = await child.result;
    assertEquals(code, 0, stderr);
    using follower = WAL.follow(path);
    const left = [...follower.records()];
    assertEquals(left.at(-1)?.lsn, follower.durable);
    left.forEach((record, index) => check(record, left[0]!.lsn + index - 1));
  }, { skip: binary === null && NOT_FOUND[writer] });

  test(`Follower and its writer on ${writer} go on, whichever is killed, over many laps`, async () => {
    using directory = tempDir();
    const path = directory.join("log");
    await using first = start(binary!, writer, WRITER, [path, 1000]);
    await first.result;
    const [writing, reading] = await Promise.all([
      killUntilDone(() => start(binary!, writer, WRITER, [path, END]), /^done/m),
      killUntilDone((at) => spawnScript(READER, { args: [path, `${at + 1}`, `${END - 1000}`] }), /read/),
    ]);
    console.log(`${END} records, ${writing} writers and ${reading} followers killed`);
    WAL.open(path, { verify: true }).close();
  }, {
    skip: (LAPS === undefined && "FOLLOW_LAPS is not set") || (binary === null && NOT_FOUND[writer]),
    sanitize: false, // the last process may end before the time that it has
  });
}

test("Follower goes on when its writer is killed again and again, and started anew", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  await using first = spawnScript(WRITER, { args: [path, "1000"] });
  await first.result;
  let ended = false;
  const following = followTo(path, 4_000, 1).finally(() => ended = true);
  for (let round = 0; !ended; round++) {
    await using writer = spawnScript(WRITER, { args: [path, "1000000000"] });
    await writer.line(/^open/);
    await pause(50 * (1 + round % 5) + round);
    writer.kill();
    await writer.result;
  }
  assert((await following).read > 0);
  WAL.open(path, { verify: true }).close();
});

test("Follower that is killed leaves nothing behind, and keeps no writer out", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  {
    using wal = WAL.open(path, { size: 65536, followers: true });
    wal.logInsertSync(1, 1, 1, 1);
    wal.flush();
    const { stdout } = await runSnippet(`
      import process from "node:process";
      import { WAL } from "${new URL("../../mod.ts", import.meta.url).href}";
      for await (const { lsn } of WAL.follow(${JSON.stringify(path)}, { mode: "appended" })) {
        console.log(lsn);
        setTimeout(() => process.kill(process.pid, "SIGKILL"));
      }
    `);
    assertEquals(stdout, "1\n");
    wal.logInsertSync(2, 2, 2, 2);
  }
  assertEquals(fs.readdirSync(directory.path), ["log"]);
  using again = WAL.open(path);
  assertEquals([again.recovery.clean, again.head], [true, 3]);
});

test("Follower reads, verifies, inspects and backs up a log on a read-only medium", () => {
  using directory = tempDir();
  const [data, mount] = [directory.join("data"), directory.join("mount")];
  fs.mkdirSync(data);
  fs.mkdirSync(mount);
  {
    using wal = WAL.open(`${data}/log`, { size: 65536 });
    wal.batchInsertSync(Array.from({ length: 100 }, (_, i) => [i, i, i, i]));
  }
  execFileSync("mount", ["--bind", data, mount]);
  try {
    execFileSync("mount", ["-o", "remount,bind,ro", mount]);
    const path = `${mount}/log`;
    using follower = WAL.follow(path);
    assertEquals([[...follower.records()].length, follower.verify().last, WAL.inspect(path).clean], [100, 100, true]);
    assertEquals(follower.backup(directory.join("copy")), { first: 1, last: 100 });
    using copy = WAL.open(directory.join("copy"));
    assertEquals(copy.length, 100);
  } finally {
    execFileSync("umount", [mount]);
  }
}, { skip: mountSkip() });
