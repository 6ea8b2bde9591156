// Fault: a log is opened twice: by one thread, a worker, another process, or eight processes that
//   all want to make it; and after its opener was killed (H9, H22).
// Promise: there is one writer, and the others get WALLockedError with its process. The lock dies
//   with its process. A race makes one log, and never a damaged one (G7, G12).
// Method: open the log from everywhere at once, append in turns, and read at the end what everybody
//   wrote.

import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import process from "node:process";
import { WAL, WALLockedError } from "../../mod.ts";
import { projectUrl, spawnSnippet } from "../support/child.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";
import { startWorker } from "../support/worker.ts";

const BYTES = 65536;

function assertLocked(path: string, pid: number): void {
  const before = fs.readFileSync(path);
  const error = assertThrows(() => WAL.open(path), WALLockedError);
  assertEquals([error.code, error.pid, error.path], ["LOCKED", pid, path]);
  assert(error.message.includes(String(pid)), error.message);
  assertEquals(fs.readFileSync(path).equals(before), true);
}

test("open() is refused in the same thread until the log is closed, and the open log goes on", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  const wal = WAL.open(path, { size: BYTES });
  for (let i = 0; i < 20; i++) {
    assertLocked(path, process.pid);
    assertThrows(() => WAL.open(path, { recovery: "salvage" }), WALLockedError);
    await wal.logInsert(i, 1, 1, 1);
  }
  wal.open();
  assertEquals(wal.head, 21);
  wal.close();
  const again = WAL.open(path);
  assertEquals([again.length, again.recovery.clean], [20, true]);
  assertThrows(() => wal.open(), WALLockedError);
  again.close();
  wal.open();
  wal.close();
});

test("open() is refused under another name of the same file, and by a symbolic link", () => {
  using directory = tempDir();
  const path = directory.join("log");
  const wal = WAL.open(path, { size: BYTES });
  fs.symlinkSync(path, directory.join("link"));
  assertLocked(directory.join("link"), process.pid);
  fs.linkSync(path, directory.join("other"));
  assertLocked(directory.join("other"), process.pid);
  wal.close();
});

test("open() is refused between a worker and its maker, both ways", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  const worker = startWorker(new URL("../support/log_worker.ts", import.meta.url));
  const wal = WAL.open(path, { size: BYTES });
  assertEquals(await worker.ask(path), `LOCKED ${process.pid}`);
  wal.close();
  assertEquals(await worker.ask(path), "opened 2");
  assertLocked(path, process.pid);
  assertEquals(await worker.ask("close"), "closed");
  wal.open();
  assertEquals(wal.length, 1);
  wal.close();
  await worker.terminate();
});

test("open() is refused while another process has the log; SIGKILL frees it, SIGSTOP does not", async () => {
  using directory = tempDir();
  const path = directory.join("log");
  for (let round = 1; round <= 5; round++) {
    await using child = spawnSnippet(`
      import { WAL } from "${projectUrl("mod.ts")}";
      // Nothing is written while the test compares the file with itself.
      const wal = WAL.open(${JSON.stringify(path)}, { size: ${BYTES}, idleHeaderDelayMs: Infinity });
      await wal.logInsert(${round}, 1, 1, 1);
      console.log("open");
      setInterval(() => wal.stats(), 1000);`);
    await child.line(/^open$/);
    assertLocked(path, child.pid);
    if (round % 2 === 0) {
      // Not child.kill(): Deno's sends one signal to a child and no other.
      process.kill(child.pid, "SIGSTOP");
      assertLocked(path, child.pid);
    }
    process.kill(child.pid, "SIGKILL");
    await child.result;
    const wal = WAL.open(path);
    assertEquals([wal.length, wal.recovery.clean], [round, false]);
    wal.close();
  }
});

test(
  "WAL.open() by eight processes at once makes one log; they take turns, and every append is there once",
  async () => {
    using directory = tempDir();
    for (let round = 0; round < 2; round++) {
      const path = directory.join(`log${round}`);
      const go = directory.join(`go${round}`);
      const children = Array.from({ length: 8 }, (_, index) =>
        spawnSnippet(`
        import * as fs from "node:fs";
        import { WAL, WALLockedError } from "${projectUrl("mod.ts")}";
        console.log("ready");
        while (!fs.existsSync(${JSON.stringify(go)})) await new Promise((resolve) => setTimeout(resolve, 1));
        let done = 0, made = 0, locked = 0;
        while (done < 10) {
          let wal;
          try {
            wal = WAL.open(${JSON.stringify(path)}, { size: ${BYTES} });
          } catch (error) {
            if (!(error instanceof WALLockedError)) throw error;
            locked++;
            // Each waits a little: the log's owner needs the processor more than those that ask.
            await new Promise((resolve) => setTimeout(resolve, 1));
            continue;
          }
          if (wal.recovery.created) made++;
          else if (!wal.recovery.clean) throw new Error("the log was not closed cleanly");
          await wal.logInsert(${index}, done++, 1, 1);
          wal.close();
        }
        console.log(JSON.stringify({ done, made, locked }));`));
      await Promise.all(children.map((child) => child.line(/ready/)));
      fs.writeFileSync(go, "");
      const results = await Promise.all(children.map((child) => child.result));
      for (const { code, stderr } of results) assertEquals([code, stderr], [0, ""]);
      const counts = results.map(({ stdout }) => JSON.parse(stdout.trim().split("\n").at(-1)!));
      assertEquals(counts.map(({ done }) => done), Array(8).fill(10));
      assertEquals(counts.reduce((sum, { made }) => sum + made, 0), 1);
      const wal = WAL.open(path, { create: false });
      const found = wal.replay().map(({ keyHigh, keyLow }) => `${keyHigh} ${keyLow}`);
      assertEquals([found.length, new Set(found).size], [80, 80]);
      wal.close();
      assertEquals(fs.readdirSync(directory.path).filter((name) => name.includes("wal-new")), []);
    }
  },
);
