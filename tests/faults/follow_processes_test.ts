// Fault: another process writes the log, on any runtime, laps its followers, is killed and started
//   again; a follower is killed (H64, H66, H67). Its file is put on a read-only medium.
// Promise: a follower gets each record once, in order, as it was written, and whole batches, or is
//   told which are gone. What it was given stays. A dead follower holds nothing (G19).
// Method: real processes. The records tell their LSN and their batch.

import { assert, assertEquals } from "@std/assert";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { fileURLToPath } from "node:url";
import { findBinary, NOT_FOUND, runArguments, RUNTIMES } from "../../scripts/tools.ts";
import { WAL, WALLaggedError, type WALRecord } from "../../mod.ts";
import { Child, PROJECT_URL, runSnippet, spawnScript } from "../support/child.ts";
import { mountSkip } from "../support/loop_device.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const WRITER = "tests/support/follow_writer.ts";

/** Checks a record, and that it comes after the one before. */
function check(record: WALRecord, last: number): void {
  const { lsn, keyHigh, keyLow, valueHigh, valueLow } = record;
  const said = [lsn, Number(keyHigh), Number(valueHigh) / 3];
  assertEquals(said, [last + 1, last + 1, last + 1]);
  assert(Number(valueLow) <= lsn && lsn < Number(valueLow) + Number(keyLow), "a record is in its batch");
}

/** Follows a log up to an LSN. @returns how many records were read, and how often it was lapped. */
async function followTo(path: string, end: number, from: number): Promise<{ read: number; laps: number }> {
  const tally = { read: 0, laps: 0 };
  for (let next = from; next <= end;) {
    using follower = WAL.follow(path, { from: next, pollIntervalMs: 10 });
    try {
      for await (const record of follower) {
        check(record, next - 1);
        next++;
        tally.read++;
        if (next > end) break;
      }
    } catch (error) {
      if (!(error instanceof WALLaggedError)) throw error;
      assertEquals(error.firstLsn, next);
      tally.laps++;
      next = error.lastLsn + 1;
    }
  }
  return tally;
}

for (const writer of RUNTIMES) {
  const binary = findBinary(writer);
  test(`Follower reads what a writer on ${writer} writes over many laps`, async () => {
    using directory = tempDir();
    const path = directory.join("log");
    const end = 15_000;
    const program = fileURLToPath(new URL(WRITER, PROJECT_URL));
    await using child = new Child([binary!, ...runArguments(writer), program, path, String(end)], {});
    await child.line(/^open/);
    const { read } = await followTo(path, end - 1000, 1);
    assert(read > 0);
    const { code, stderr } = await child.result;
    assertEquals(code, 0, stderr);
    using follower = WAL.follow(path);
    const left = [...follower.records()];
    assertEquals(left.at(-1)?.lsn, follower.durable);
    left.forEach((record, index) => check(record, left[0]!.lsn + index - 1));
  }, { skip: binary === null && NOT_FOUND[writer] });
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
    await new Promise((resolve) => setTimeout(resolve, 50 * (1 + round % 5) + round));
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
