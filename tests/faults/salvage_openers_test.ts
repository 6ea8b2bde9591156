// Fault: another opener comes between any two system calls of a salvage, or is killed at any of its
//   own calls. Or eight processes salvage at once (H22, H36).
// Promise: one of them salvages, and the others get WALLockedError or the salvaged log. Nothing
//   that any of them acknowledged is lost, and the damaged file is kept (G1, G5, G7).
// Method: on the simulated disk, a second opening within each call of the first, also one that is
//   killed at each of its calls; then processes that race for real files.

import { assert, assertEquals } from "@std/assert";
import * as fs from "node:fs";
import { OpType, WAL, WALCorruptError, WALError, WALLockedError } from "../../mod.ts";
import { SimulatedDisk } from "../../testing.ts";
import { projectUrl, spawnSnippet } from "../support/child.ts";
import { Killed, Process } from "../support/killable_process.ts";
import { isSame, LOG, offsetOf } from "../support/simulation.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

/** Records of the damaged log, and which of them is damaged. */
const RECORDS = 12;
const DAMAGED = 7;
const BYTES = 65536;
const SALVAGE = { size: BYTES, recovery: "salvage" } as const;
/** Marks what the openers append; `keyLow` says whose it is. */
const KEY = 7n;

/** How an opener ended. */
interface End {
  readonly wal: WAL | null;
  readonly outcome: "salvaged" | "opened" | "locked" | "killed";
}

/** Opens the log, appends a record and notes that it was acknowledged. */
function openAndAppend(process: Process, acknowledged: bigint[], owner: bigint): End {
  const wal = new WAL(LOG, process.options);
  try {
    wal.open();
    wal.logInsertSync(KEY, owner, 1, 1);
    wal.flush();
    acknowledged.push(owner);
    return { wal, outcome: wal.recovery.damagedFile === null ? "opened" : "salvaged" };
  } catch (error) {
    bury(wal);
    if (process.isDead) return { wal: null, outcome: "killed" };
    if (error instanceof WALLockedError) return { wal: null, outcome: "locked" };
    throw error;
  }
}

/** Closes a log whose process may have been killed. */
function bury(wal: WAL | null): void {
  try {
    wal?.close();
  } catch (error) {
    if (!(error instanceof Killed) && !(error instanceof WALError)) throw error;
  }
}

/**
 * Appends records one by one. Each carries that the record before it was durable, so salvage loses
 * only the damaged record.
 */
function appendRecords(wal: WAL): void {
  for (let i = 1; i <= RECORDS; i++) {
    wal.logInsertSync(1, i, 1, 1);
    wal.flush();
  }
}

function damagedDisk(): { disk: SimulatedDisk; damaged: Uint8Array } {
  const disk = new SimulatedDisk();
  const wal = WAL.open(LOG, new Process(disk, SALVAGE).options);
  appendRecords(wal);
  wal.close();
  disk.damage.flipBit(LOG, offsetOf(DAMAGED) + 50, 2);
  return { disk, damaged: disk.image(LOG) };
}

/**
 * Checks that the log opens strictly. It must have all old records except the damaged one, and all
 * records that were acknowledged since.
 */
function check(disk: SimulatedDisk, damaged: Uint8Array, acknowledged: readonly bigint[], what: string): void {
  const wal = WAL.open(LOG, { ...new Process(disk, SALVAGE).options, recovery: "strict" });
  const records = wal.replay();
  wal.close();
  for (const { lsn, opType, keyHigh, keyLow } of records.slice(0, RECORDS)) {
    if (lsn === DAMAGED) assertEquals(opType, OpType.Checkpoint, what);
    else assertEquals([opType, keyHigh, keyLow], [OpType.Insert, 1n, BigInt(lsn)], what);
  }
  assert(records.length >= RECORDS, what);
  const appended = records.slice(RECORDS).map(({ keyHigh, keyLow }) => [keyHigh, keyLow]);
  // Records that a killed process appended may be there too.
  for (const owner of acknowledged) {
    assertEquals(appended.filter(([high, low]) => high === KEY && low === owner).length, 1, `${what}: record ${owner}`);
  }
  const kept = disk.paths().filter((path) => path.includes(".damaged-"));
  assert(kept.length >= 1, what);
  for (const path of kept) {
    assert(isSame(disk.image(path, "cache"), damaged), `${what}: ${path} is not the damaged file`);
  }
  assertEquals(disk.openHandles, { descriptors: 0, mappings: 0, locks: 0 }, what);
}

/**
 * Counts the system calls of an opener that nobody disturbs.
 *
 * @returns the number at the end of its opening, and at the end of its life.
 */
function undisturbed(): { whole: number; open: number } {
  const { disk } = damagedDisk();
  const process = new Process(disk, SALVAGE);
  const { wal } = openAndAppend(process, [], 1n);
  const open = process.calls;
  wal!.close();
  return { whole: process.calls, open };
}

for (const then of ["closes it", "keeps it open"] as const) {
  test(`salvage() loses nothing when another opener comes at any of its system calls and ${then}`, () => {
    const { disk, damaged } = damagedDisk();
    const start = disk.snapshot();
    const { whole, open } = undisturbed();
    const seen = new Set<string>();
    for (let at = 1; at <= whole; at++) {
      disk.restore(start);
      const acknowledged: bigint[] = [];
      let other: End | null = null;
      const first = new Process(disk, SALVAGE, (call) => {
        if (call !== at) return;
        other = openAndAppend(new Process(disk, SALVAGE), acknowledged, 2n);
        if (then === "closes it") other.wal?.close();
      });
      const mine = openAndAppend(first, acknowledged, 1n);
      bury(mine.wal);
      const { wal, outcome } = other as End | null ?? { wal: null, outcome: "locked" };
      wal?.close();
      const what = `the other at call ${at} ${outcome} and ${then}, this one ${mine.outcome}`;
      seen.add(`${outcome} ${mine.outcome}`);
      // Exactly one has salvaged. An opener that came meanwhile was refused.
      const salvaged = [mine.outcome, outcome].filter((one) => one === "salvaged").length;
      assertEquals(salvaged, 1, `${what}\n${disk.describe()}`);
      check(disk, damaged, acknowledged, `${what}\n${disk.describe()}`);
      assertEquals(disk.paths().filter((path) => path !== LOG).length, 1, what);
      if (at > open) continue;
      // The salvaging opener keeps its lock until the log is open.
      if (mine.outcome === "salvaged") assertEquals(outcome, "locked", what);
    }
    const late = then === "closes it" ? ["opened salvaged", "salvaged opened"] : ["opened salvaged", "salvaged locked"];
    assertEquals([...seen].sort(), ["locked salvaged", ...late].sort());
  });
}

test("salvage() loses nothing when another salvage starts at any of its system calls and is killed at any call", () => {
  const { disk, damaged } = damagedDisk();
  const start = disk.snapshot();
  const { whole, open } = undisturbed();
  const seen = new Set<string>();
  for (let at = 1; at <= open; at++) {
    // While this opener holds the lock, the other one is refused before it can be killed.
    let wasKilled = true;
    for (let killedAt = 1; killedAt <= whole && wasKilled; killedAt++) {
      disk.restore(start);
      const acknowledged: bigint[] = [];
      let other: End | null = null;
      const first = new Process(disk, SALVAGE, (call) => {
        if (call !== at) return;
        other = openAndAppend(new Process(disk, SALVAGE, (call) => call === killedAt), acknowledged, 2n);
        bury(other.wal);
      });
      const mine = openAndAppend(first, acknowledged, 1n);
      bury(mine.wal);
      const { outcome } = other as End | null ?? { outcome: "locked" };
      wasKilled = outcome !== "locked";
      const what = `the other at call ${at}, killed at its call ${killedAt}, ${outcome}; this one ${mine.outcome}`;
      seen.add(`${outcome} ${mine.outcome}`);
      assert(mine.outcome !== "locked", `${what}\n${disk.describe()}`);
      check(disk, damaged, acknowledged, `${what}\n${disk.describe()}`);
    }
  }
  for (const both of ["killed salvaged", "killed opened", "salvaged opened", "locked salvaged"]) {
    assert(seen.has(both), `never: ${both}`);
  }
});

test("WAL.open() is refused while another opening salvages, and opens the salvaged log after it", () => {
  const { disk, damaged } = damagedDisk();
  const start = disk.snapshot();
  const { whole } = undisturbed();
  const seen = new Set<string>();
  for (let at = 1; at <= whole; at++) {
    disk.restore(start);
    const acknowledged: bigint[] = [];
    const first = new Process(disk, SALVAGE, (call) => {
      if (call !== at) return;
      try {
        WAL.open(LOG, { ...new Process(disk, SALVAGE).options, recovery: "strict" }).close();
        seen.add("opened");
      } catch (error) {
        assert(error instanceof WALLockedError || error instanceof WALCorruptError, String(error));
        seen.add(error.code);
      }
    });
    const mine = openAndAppend(first, acknowledged, 1n);
    assertEquals(mine.outcome, "salvaged");
    mine.wal!.close();
    check(disk, damaged, acknowledged, `strict at call ${at}`);
  }
  assertEquals([...seen].sort(), ["CORRUPT", "LOCKED", "opened"]);
});

test("salvage() by eight processes at once is done by one of them, and no acknowledged record is lost", async () => {
  using directory = tempDir();
  const CHILDREN = 8;
  const ROUNDS = 6;
  const pathOf = (round: number) => directory.join(`log${round}`);
  for (let round = 0; round < ROUNDS; round++) {
    const wal = WAL.open(pathOf(round), { size: BYTES });
    appendRecords(wal);
    wal.close();
    const file = fs.openSync(pathOf(round), "r+");
    fs.writeSync(file, new Uint8Array(8).fill(0xa5), 0, 8, offsetOf(DAMAGED) + 40);
    fs.closeSync(file);
  }
  const children = Array.from({ length: CHILDREN }, (_, index) =>
    spawnSnippet(`
      import * as fs from "node:fs";
      import { WAL, WALLockedError } from "${projectUrl("mod.ts")}";
      const directory = ${JSON.stringify(directory.path)};
      const rounds = [];
      for (let round = 0; round < ${ROUNDS}; round++) {
        // All of them start a round together.
        fs.writeFileSync(directory + "/ready-" + round + "-${index}", "");
        const isReady = () => fs.readdirSync(directory).filter((name) => name.startsWith("ready-" + round + "-")).length;
        while (isReady() < ${CHILDREN}) await new Promise((resolve) => setTimeout(resolve, 1));
        let locked = 0, first = null, done = 0;
        while (done < 3) {
          let wal;
          try {
            wal = WAL.open(directory + "/log" + round, { create: false, recovery: "salvage" });
          } catch (error) {
            if (!(error instanceof WALLockedError)) throw error;
            locked++;
            // Each waits a little: the log's owner needs the processor more than those that ask.
            await new Promise((resolve) => setTimeout(resolve, 1));
            continue;
          }
          first ??= wal.recovery.damagedFile;
          if (wal.recovery.damagedFile !== null && wal.recovery.losses.length !== 1) throw new Error("losses");
          await wal.logInsert(${KEY}, ${index} * 100 + done++, 1, 1);
          wal.close();
        }
        rounds.push({ locked, done, damagedFile: first });
      }
      console.log(JSON.stringify(rounds));`));
  const results = await Promise.all(children.map((child) => child.result));
  for (const { code, stderr } of results) assertEquals([code, stderr], [0, ""]);
  const ends: { locked: number; done: number; damagedFile: string | null }[][] = results.map(({ stdout }) =>
    JSON.parse(stdout)
  );
  for (let round = 0; round < ROUNDS; round++) {
    const at = `round ${round}`;
    const files = ends.map((rounds) => rounds[round]!.damagedFile).filter((file) => file !== null);
    const kept = fs.readdirSync(directory.path).filter((name) => name.startsWith(`log${round}.damaged-`));
    assertEquals([files.length, files.map((file) => file!.split("/").at(-1)!)], [1, kept], at);
    const wal = WAL.open(pathOf(round), { create: false });
    const records = wal.replay();
    wal.close();
    assertEquals(records[DAMAGED - 1]!.opType, OpType.Checkpoint, at);
    const found = records.slice(RECORDS).map(({ keyHigh, keyLow }) => `${keyHigh} ${keyLow}`).sort();
    const owed = Array.from({ length: CHILDREN }, (_, index) => [0, 1, 2].map((n) => `${KEY} ${index * 100 + n}`));
    assertEquals(found, owed.flat().sort(), at);
    for (const rounds of ends) assertEquals(rounds[round]!.done, 3, at);
  }
  assert(ends.flat().some(({ locked }) => locked > 0), "nobody was ever turned away");
  assertEquals(fs.readdirSync(directory.path).filter((name) => name.includes("wal-new")), []);
});
