// Fault: the path of the live file is known in advance. Somebody has put a link, a pipe, a
//   directory or a file of their own there, or the file cannot be written (H63).
// Promise: the log follows no link, writes nothing into what is not its own, and goes on. A
//   follower believes nothing that is there, waits for no pipe, and goes on (G14, G19).
// Method: plant each of them before the log is opened, and while a follower waits.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import process from "node:process";
import { WAL } from "../../mod.ts";
import { LIVE_BYTES, LIVE_MAGIC } from "../../src/format/layout.ts";
import { runSnippet } from "../support/child.ts";
import { allow, confined, notSandboxed } from "../support/sandbox.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const BYTES = 65536;
const VICTIM = "what must not change";

/** What may be at the path, beside a file `victim`. */
const PLANTED: Readonly<Record<string, (live: string, victim: string) => void>> = {
  "a symbolic link": (live, victim) => fs.symlinkSync(victim, live),
  "a dangling symbolic link": (live, victim) => fs.symlinkSync(`${victim}.not.there`, live),
  "a hard link": (live, victim) => fs.linkSync(victim, live),
  "a hard link to another log's live file": (live, victim) => {
    fs.writeFileSync(victim, Uint8Array.from({ length: LIVE_BYTES }, (_, index) => LIVE_MAGIC[index] ?? 0));
    fs.linkSync(victim, live);
  },
  "a file": (live, victim) => fs.copyFileSync(victim, live),
  "a long file": (live) => fs.writeFileSync(live, new Uint8Array(100_000)),
  "a directory": (live) => fs.mkdirSync(live),
  "a pipe": (live) => execFileSync("mkfifo", [live]),
};

for (const [name, plant] of Object.entries(PLANTED)) {
  test(`WAL.open() with followers leaves ${name} at the live file's path alone, and goes on`, async () => {
    using directory = tempDir();
    const [path, victim] = [directory.join("log"), directory.join("victim")];
    const live = `${path}.live`;
    fs.writeFileSync(victim, VICTIM);
    plant(live, victim);
    const [before, text] = [fs.lstatSync(live).ino, fs.readFileSync(victim, "latin1")];
    {
      await using wal = WAL.open(path, { size: BYTES, followers: true, idleHeaderDelayMs: 5 });
      assertMatch(wal.stats().warnings.join(), /Followers are not told of commits/);
      using follower = WAL.follow(path, { pollIntervalMs: 5 });
      await wal.logInsert(1, 2, 3, 4);
      for await (const { lsn } of follower) {
        assertEquals(lsn, 1);
        break;
      }
    }
    assertEquals([fs.readFileSync(victim, "latin1"), fs.lstatSync(live).ino], [text, before]);
    assert(!fs.existsSync(`${victim}.not.there`));
  });
}

test("WAL.open() with followers takes over a live file that a killed writer has left", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  const open = () => WAL.open(path, { size: BYTES, followers: true, idleHeaderDelayMs: Infinity });
  const wal = open();
  await wal.logInsert(1, 2, 3, 4);
  const left = fs.readFileSync(`${path}.live`);
  wal.close();
  fs.writeFileSync(`${path}.live`, left);
  await using again = open();
  assertEquals(again.stats().warnings, []);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await again.logInsert(1, 2, 3, 4);
  using follower = WAL.follow(path);
  while (follower.durable < 2) follower.stats();
});

test("Follower believes no live file that is a link, is another user's, or is copied from another log", async () => {
  using directory = tempDir();
  const [path, other] = [directory.join("log"), directory.join("other")];
  await using wal = WAL.open(path, { size: BYTES, followers: true, idleHeaderDelayMs: Infinity });
  await wal.logInsert(1, 1, 1, 1);
  await using theirs = WAL.open(other, { size: BYTES, followers: true, idleHeaderDelayMs: Infinity });
  await theirs.logInsert(1, 1, 1, 1);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await theirs.logInsert(2, 2, 2, 2);
  const good = fs.readFileSync(`${path}.live`);
  const plants: (() => void)[] = [
    () => fs.copyFileSync(`${other}.live`, `${path}.live`),
    () => {
      fs.writeFileSync(`${path}.good`, good);
      fs.symlinkSync(`${path}.good`, `${path}.live`);
    },
  ];
  if (process.getuid?.() === 0) {
    plants.push(() => {
      fs.writeFileSync(`${path}.live`, good);
      fs.chownSync(`${path}.live`, 12345, 12345);
    });
  }
  for (const plant of plants) {
    fs.rmSync(`${path}.live`, { force: true });
    plant();
    using follower = WAL.follow(path);
    assertEquals(follower.durable, 0); // no header and no record says that LSN 1 is durable
  }
});

test("WAL.open() with followers goes on when the sandbox denies the live file, and so does a follower", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  WAL.open(path, { size: BYTES }).close();
  const { stdout, stderr } = await runSnippet(
    `
      import { WAL } from "${new URL("../../mod.ts", import.meta.url).href}";
      const wal = WAL.open(${JSON.stringify(path)}, { followers: true, idleHeaderDelayMs: 5 });
      console.log(wal.stats().warnings.some((text) => text.includes("Followers are not told")));
      await wal.logInsert(1, 2, 3, 4);
      for await (const { lsn } of WAL.follow(${JSON.stringify(path)})) {
        console.log(lsn);
        break;
      }
      wal.close();
    `,
    confined(allow("read", path), allow("write", path), "--allow-ffi"),
  );
  assertEquals(stdout, "true\n1\n", stderr);
}, { skip: notSandboxed });

test("WAL.follow() needs permission to read the log, and no other", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  {
    using wal = WAL.open(path, { size: BYTES });
    wal.logInsertSync(1, 2, 3, 4);
  }
  const program = `
    import { WAL } from "${new URL("../../mod.ts", import.meta.url).href}";
    try {
      const follower = WAL.follow(${JSON.stringify(path)});
      console.log([...follower.records()].length, follower.verify().last, WAL.inspect(${JSON.stringify(path)}).clean);
    } catch (error) {
      console.log(error.code, error.flags.join(" "));
    }
  `;
  const granted = await runSnippet(program, confined(allow("read", path)));
  assertEquals(granted.stdout, "1 1 true\n", granted.stderr);
  const denied = await runSnippet(program, confined());
  assertEquals(denied.stdout, `PERMISSION ${allow("read", path)}\n`, denied.stderr);
}, { skip: notSandboxed });
