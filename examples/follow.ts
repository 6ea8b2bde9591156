// A follower in another process: it prints what a writer logs, as it becomes durable.
//
//   deno run --allow-all examples/follow.ts
//   bun examples/follow.ts
//   node examples/follow.ts

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { WAL } from "@cidstore/wal";

const RECORDS = 5;

/** The process that reads. It needs permission to read the log, and no other. */
async function follow(path: string): Promise<void> {
  using follower = WAL.follow(path);
  for await (const { lsn, keyHigh, valueHigh } of follower) {
    console.log(`LSN ${lsn}: ${keyHigh} is ${valueHigh}`);
    if (lsn === RECORDS) break;
  }
}

/** The process that writes. */
async function write(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "wal-follow-"));
  const path = join(directory, "log");
  try {
    // With `followers`, the log wakes its followers at each commit.
    await using wal = WAL.open(path, { size: 65536, followers: true });
    const flags = process.versions["deno"] === undefined ? [] : ["run", "--allow-all"];
    const program = fileURLToPath(import.meta.url);
    const reader = spawn(process.execPath, [...process.execArgv, ...flags, program, path], { stdio: "inherit" });
    const ended = new Promise((resolve) => reader.once("close", resolve));
    for (let key = 1; key <= RECORDS; key++) await wal.logInsert(key, 0, key * key, 0);
    await ended;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const [path] = process.argv.slice(2);
if (path === undefined) await write();
else await follow(path);
