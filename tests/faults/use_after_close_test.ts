// Fault: a log, its cursors, iterators, records and promises are used after close(), while garbage
//   is collected all the time (H23).
// Promise: each use is a typed error or a value read before. No freed memory is touched, and no
//   promise stays open (G9).
// Method: a child that can run the collector opens, uses, closes, collects and uses again, hundreds
//   of times, and must come to its end.

import { assertEquals } from "@std/assert";
import { projectUrl, runSnippet, WITH_COLLECTOR } from "../support/child.ts";
import { test } from "../support/test.ts";

const SCRIPT = `
  import * as fs from "node:fs";
  import process from "node:process";
  import { WAL, WALClosedError, WALError } from "${projectUrl("mod.ts")}";

  const collect = globalThis.Bun ? () => Bun.gc(true) : globalThis.gc;
  if (typeof collect !== "function") throw new Error("no collector");
  const directory = fs.mkdtempSync((fs.existsSync("/dev/shm") ? "/dev/shm" : "/tmp") + "/wal-late-");
  process.on("exit", () => fs.rmSync(directory, { recursive: true, force: true }));
  const rounds = Number(process.argv[2]);
  let refused = 0;

  /** Must throw or reject with a typed error. */
  async function refuse(name, use) {
    try {
      await use();
    } catch (error) {
      if (!(error instanceof WALError || error instanceof TypeError)) throw error;
      refused++;
      return;
    }
    throw new Error(name + " works after close()");
  }

  for (let round = 0; round < rounds; round++) {
    const flush = round % 2 === 0 ? "inline" : "offload";
    const wal = WAL.open(round % 3 === 0 ? null : directory + "/log" + round % 4, { size: 65536, flush });
    const first = wal.head;
    await wal.batchInsert([[1, round, 3, 4], [5, round, 7, 8]]);
    const cursor = wal.cursor({ from: first });
    cursor.next();
    const unused = wal.cursor({ from: first });
    const records = wal.records({ from: first });
    const begun = wal.records({ from: first });
    begun.next();
    const replayed = wal.replay().slice(-2);
    const copied = cursor.toRecord();
    const stop = new AbortController();
    const consuming = wal.consumeAsync({ applyBatch() {} }, { signal: stop.signal });
    const pending = [wal.logInsert(9, 9, 9, 9), wal.flushAsync()];
    const ends = Promise.allSettled(pending);
    wal.close();
    collect();
    await ends;
    await consuming;
    await refuse("logInsert", () => wal.logInsert(1, 1, 1, 1));
    await refuse("batchInsert", () => wal.batchInsert([[1, 1, 1, 1]]));
    await refuse("batch", () => wal.batch([{ type: "delete", keyHigh: 1, keyLow: 1 }]));
    await refuse("logDeleteSync", () => wal.logDeleteSync(1, 1));
    await refuse("flush", () => wal.flush());
    await refuse("flushAsync", () => wal.flushAsync());
    await refuse("whenDurable", () => wal.whenDurable(1));
    await refuse("checkpoint", () => wal.checkpoint());
    await refuse("truncate", () => wal.truncate(1));
    await refuse("replay", () => wal.replay());
    await refuse("records", () => [...wal.records()]);
    await refuse("cursor", () => wal.cursor());
    await refuse("consumeAsync", () => wal.consumeAsync({ applyBatch() {} }));
    await refuse("stats", () => wal.stats());
    await refuse("backup", () => wal.backup(directory + "/backup"));
    await refuse("an iterator", () => [...records]);
    await refuse("a cursor", () => unused.next());
    await refuse("a cursor's next", () => cursor.next() || refuse("never", () => { throw new WALClosedError("read"); }));
    await refuse("a cursor's field", () => cursor.keyLow);
    await refuse("a cursor's record", () => cursor.toRecord());
    // Records that an iterator has copied already may still come, and no others.
    try {
      for (const { keyLow } of begun) if (keyLow !== BigInt(round) && keyLow !== 9n) throw new Error("a wrong record");
    } catch (error) {
      if (!(error instanceof WALError)) throw error;
    }
    wal.close();
    collect();
    for (const record of [...replayed, copied]) {
      if (record.keyLow !== BigInt(round) || record.toObject().version !== 1) throw new Error("a record has changed");
    }
    if (round % 5 === 0 && wal.path !== null) {
      wal.open();
      await refuse("a cursor of an earlier opening", () => unused.next());
      await refuse("an iterator of an earlier opening", () => [...begun, ...records, unused.next()]);
      if (wal.replay().at(-1).keyLow !== 9n) throw new Error("the log lost its last record");
      wal.truncate(wal.durable);
      wal.close();
    }
  }
  console.log("end", refused >= rounds * 19);`;

test("WAL that is closed, its cursors, iterators and records are safe under garbage collection", async () => {
  const { code, signal, stdout, stderr } = await runSnippet(SCRIPT, { args: ["150"], ...WITH_COLLECTOR });
  assertEquals([code, signal, stdout, stderr], [0, null, "end true\n", ""]);
});

test("WAL objects that were dropped without close() are safe under garbage collection", async () => {
  const { code, signal, stdout, stderr } = await runSnippet(
    `
    import * as fs from "node:fs";
    import { WAL } from "${projectUrl("mod.ts")}";
    const collect = globalThis.Bun ? () => Bun.gc(true) : globalThis.gc;
    const directory = fs.mkdtempSync("/tmp/wal-dropped-");
    const pending = [];
    for (let round = 0; round < 60; round++) {
      let wal = WAL.open(round % 2 ? directory + "/log" + round : null, { size: 65536, flush: round % 3 ? "inline" : "offload" });
      pending.push(wal.logInsert(round, 2, 3, 4).then(() => round));
      wal = null;
      collect();
    }
    const ends = await Promise.all(pending);
    for (let turn = 0; turn < 20; turn++) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    fs.rmSync(directory, { recursive: true });
    console.log(ends.length);`,
    WITH_COLLECTOR,
  );
  assertEquals([code, signal, stdout, stderr], [0, null, "60\n", ""]);
});
