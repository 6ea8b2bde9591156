// Fault: the writing process is killed at any instant, within an append, a sync, a truncate or an
//   open, again and again (H2, H3, H5, H7, H11, H22, H32, H59).
// Promise: all acknowledged records are there, and after them a prefix of the others in whole
//   batches. No LSN means two records, time does not go back, and the stores of two consumers have
//   each record exactly once (G1, G2, G3, G4, G7, G10, G11).
// Method: SIGKILL a child after a random time, and compare its reports with what the log or a
//   copy of it holds. Start the next life on the same file. KILLS in the environment sets the
//   number of lives, and SEED sets their times.

import { assert, assertEquals } from "@std/assert";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { consume, WAL, type WALRecord } from "../../mod.ts";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import { Random } from "../../src/testing/random.ts";
import { type Child, spawnScript } from "../support/child.ts";
import { CONSUMERS, operationOf } from "../support/kill_consumer.ts";
import { clockOf, KILLED_BYTES } from "../support/kill_writer.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const KILLS = Number(process.env["KILLS"] ?? 15);
const SEED = Number(process.env["SEED"] ?? 20260);
const timeoutMs = 600_000 + KILLS * 10_000;

/** Where the file of the killed process is. */
const places: Record<string, { parent: string; skip: string | false }> = {
  tmpfs: { parent: "/dev/shm", skip: !fs.existsSync("/dev/shm") && "no /dev/shm" },
  "a disk": { parent: process.env["WAL_TEST_DIR"] ?? tmpdir(), skip: false },
};

/**
 * Kills a child some time after it started, or after it opened its log.
 *
 * @returns the lines that it printed.
 */
async function killSoon(child: Child, random: Random): Promise<string[]> {
  // One in six dies while it starts, opens or recovers.
  if (!random.chance(1 / 6)) await Promise.race([child.line(/^[oe] /), child.result]);
  await new Promise((resolve) => setTimeout(resolve, random.below(40)));
  child.kill("SIGKILL");
  const { stdout, stderr, signal } = await child.result;
  const lines = stdout.split("\n").slice(0, -1);
  const error = lines.find((line) => line.startsWith("e ")) ?? (signal === "SIGKILL" ? null : `${signal} ${stderr}`);
  assertEquals(error, null);
  return lines;
}

/** What the lives of one log have reported, which is compared with the log. */
class History {
  /** The head that each life started with: life k wrote the LSNs from there on. */
  readonly #starts: { life: number; head: number }[] = [];
  /** The time of each LSN that a check has seen. It must not change any more. */
  readonly #times = new Map<number, readonly [bigint, number, number]>();
  #acknowledged = 0;
  #released = 0;
  #tail = 1;
  #head = 1;
  laps = 0;

  /** Notes what a life reported. */
  hear(life: number, lines: readonly string[]): void {
    let start = 0;
    for (const line of lines) {
      const [what, value, second] = line.split(" ");
      const number = Number(value);
      if (what === "o") {
        start = Number(second);
        this.#starts.push({ life, head: start });
        // This opening must find the records that recovery accepted before, and no others.
        assertEquals(
          start,
          this.#head,
          `G2: life ${life} starts at ${start}, the log was found to end before ${this.#head}`,
        );
        assert(number >= this.#tail && number <= this.#released + 1, `G11: tail ${number}`);
      } else if (what === "a") this.#acknowledged = Math.max(this.#acknowledged, start + number - 1);
      else if (what === "t") this.#released = Math.max(this.#released, number);
    }
  }

  /** Compares with an opened log. */
  check(wal: WAL): void {
    const last = wal.head - 1;
    assert(last >= this.#acknowledged, `G1: LSN ${this.#acknowledged} was acknowledged, the log ends at ${last}`);
    assert(wal.head >= this.#head, `G1: the log had ended at ${this.#head - 1}, and ends at ${last}`);
    assert(wal.tail >= this.#tail, `G4: LSN ${wal.tail} is back, the tail was ${this.#tail}`);
    assert(wal.tail <= this.#released + 1, `G11: LSN ${wal.tail - 1} is gone, only ${this.#released} was released`);
    const records = wal.replay();
    assertEquals(records.length, wal.head - wal.tail);
    for (const [index, record] of records.entries()) this.#checkRecord(record, wal.tail + index, records, index);
    for (const lsn of this.#times.keys()) if (lsn < wal.tail) this.#times.delete(lsn);
    this.#tail = wal.tail;
    this.#head = wal.head;
    this.laps = Math.floor(last / wal.capacity);
  }

  #checkRecord(record: WALRecord, lsn: number, records: readonly WALRecord[], index: number): void {
    const { life, head } = this.#starts.findLast(({ head }) => head <= lsn)!;
    const { keyHigh, keyLow, valueHigh, valueLow, time } = record;
    assertEquals([record.lsn, keyHigh, keyLow], [lsn, BigInt(life), BigInt(lsn - head)], `G2: LSN ${lsn}`);
    const known = this.#times.get(lsn);
    if (known === undefined) this.#times.set(lsn, time);
    else assertEquals(time, known, `G2: LSN ${lsn} was another record before`);
    const before = this.#times.get(lsn - 1);
    if (before !== undefined) {
      assert(time[0] > before[0] || (time[0] === before[0] && time[1] > before[1]), `G10: time of LSN ${lsn}`);
    }
    const first = head + Number(valueHigh);
    const end = first + Number(valueLow);
    assert(
      first >= records[0]!.lsn && end - 1 <= records.at(-1)!.lsn,
      `G3: only a part of LSN ${first} to ${end - 1} is there`,
    );
    assert(lsn >= first && lsn < end && index >= 0, `G2: LSN ${lsn} is not of its own batch`);
  }
}

for (const [place, { parent, skip }] of Object.entries(places)) {
  test(`WAL keeps its promises through ${KILLS} kills in a row on ${place}`, async () => {
    using directory = tempDir(parent);
    const path = directory.join("log");
    const random = new Random(SEED).fork(place);
    WAL.open(path, { size: KILLED_BYTES }).close();
    const history = new History();
    // More lives on a machine that is so slow that each life writes little.
    for (let life = 1; life <= KILLS || history.laps <= KILLS / 10; life++) {
      const child = spawnScript("tests/support/kill_writer.ts", { args: [path, String(life), String(SEED)] });
      const lines = await killSoon(child, random);
      try {
        history.hear(life, lines);
        // Mostly the next life recovers. Sometimes this process recovers, and then closes the log
        // cleanly.
        const target = random.chance(0.25) ? path : directory.join("copy");
        if (target !== path) fs.copyFileSync(path, target);
        const wal = WAL.open(target, { create: false, now: clockOf(life) });
        history.check(wal);
        wal.close();
      } catch (error) {
        const said = lines.slice(-5).join(", ");
        throw new Error(`life ${life}, SEED=${SEED} KILLS=${KILLS}; it said ${said}\n${error}`, { cause: error });
      }
    }
    console.log(`${KILLS} kills on ${place}, ${history.laps} laps, seed ${SEED}`);
  }, { skip, timeoutMs });
}

// Triggers in the store's own transactions write down what it really did: how often it inserted
// each key, and each step of its LSN.
const AUDIT = `
  CREATE TABLE audit (key BLOB PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE steps (before INTEGER NOT NULL, after INTEGER NOT NULL);
  CREATE TRIGGER inserted BEFORE INSERT ON pair BEGIN
    INSERT INTO audit VALUES (NEW.key, 1) ON CONFLICT DO UPDATE SET count = count + 1;
  END;
  CREATE TRIGGER moved AFTER UPDATE OF lsn ON applied BEGIN
    INSERT INTO steps VALUES (OLD.lsn, NEW.lsn);
  END;`;

/** Checks that a store has the operations of each life up to some number, each done once. */
function checkStore(path: string, acknowledged: ReadonlyMap<number, number>, isDrained: boolean): number {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const rows = database.prepare("SELECT key, count FROM audit ORDER BY key").all() as {
      key: Uint8Array;
      count: number;
    }[];
    /** The highest operation of each life that inserted. */
    const done = new Map<number, number>();
    const inserts = new Map<number, number>();
    for (const { key, count } of rows) {
      const view = new DataView(key.buffer, key.byteOffset, 16);
      const life = Number(view.getBigUint64(0));
      const operation = Number(view.getBigUint64(8));
      assertEquals(count, 1, `G11: operation ${operation} of life ${life} was applied ${count} times`);
      done.set(life, Math.max(done.get(life) ?? -1, operation));
      inserts.set(life, (inserts.get(life) ?? 0) + 1);
    }
    const steps = database.prepare("SELECT before, after FROM steps ORDER BY rowid").all();
    let lsn = 0;
    for (const { before, after } of steps) {
      assertEquals(Number(before), lsn);
      assert(Number(after) > lsn, "H33: the store's LSN goes up");
      lsn = Number(after);
    }
    for (const [life, last] of done) {
      const expected = Array.from({ length: last + 1 }, (_, i) =>
        i).filter((i) => operationOf(i).type === "insert").length;
      assertEquals(inserts.get(life), expected, `G2: life ${life} has a gap`);
    }
    if (isDrained) {
      for (const [life, through] of acknowledged) {
        const lastInsert = Array.from({ length: through }, (_, i) =>
          i).findLast((i) => operationOf(i).type === "insert") ?? -1;
        assert((done.get(life) ?? -1) >= lastInsert, `G1: operation ${lastInsert} of life ${life} was acknowledged`);
      }
    }
    return lsn;
  } finally {
    database.close();
  }
}

/** The keys that are in the store after the first `count` operations of a life, in order. */
function keysAfter(count: number): number[] {
  const keys = new Set<number>();
  for (let i = 0; i < count; i++) {
    const { type, key } = operationOf(i);
    if (type === "insert") keys.add(key);
    else keys.delete(key);
  }
  return [...keys].sort((a, b) => a - b);
}

/**
 * Checks that the keys of each life are those after some number of its operations. The number is at
 * least that of the acknowledged ones.
 */
function checkPairs(store: SQLiteStore, acknowledged: ReadonlyMap<number, number>): void {
  const found = new Map<number, number[]>();
  for (const [life, key] of store.entries()) {
    const keys = found.get(Number(life)) ?? [];
    keys.push(Number(key));
    found.set(Number(life), keys);
  }
  for (const life of new Set([...found.keys(), ...acknowledged.keys()])) {
    const keys = found.get(life) ?? [];
    const least = Math.max(acknowledged.get(life) ?? 0, (keys.at(-1) ?? -1) + 1);
    // The last insert gives the number, to which a few deletes may add.
    const fits = [0, 1, 2, 3, 4, 5, 6, 7].some((more) => String(keysAfter(least + more)) === String(keys));
    assert(fits, `G11: life ${life} left other keys than its first ${least} operations or a few more would`);
  }
}

for (const [place, { parent, skip }] of Object.entries(places)) {
  const kills = Math.ceil(KILLS / 3);
  test(
    `SQLiteStore and WAL agree, exactly once, for two consumers, through ${kills} kills in a row on ${place}`,
    async () => {
      using directory = tempDir(parent);
      const path = directory.join("log");
      const database = directory.join("store.sqlite");
      const databases = CONSUMERS.map(([, suffix]) => database + suffix);
      const random = new Random(SEED + 1).fork(place);
      WAL.open(path, { size: KILLED_BYTES }).close();
      for (const each of databases) {
        new SQLiteStore(each).close();
        const audit = new DatabaseSync(each);
        audit.exec(AUDIT);
        audit.close();
      }
      const acknowledged = new Map<number, number>();
      /** The LSN of each store. */
      let applied = databases.map(() => 0);
      for (let life = 1; life <= kills || Math.min(...applied) <= kills * 10; life++) {
        const child = spawnScript("tests/support/kill_consumer.ts", {
          args: [path, database, String(life), String(SEED)],
        });
        const lines = await killSoon(child, random);
        for (const line of lines) if (line.startsWith("a ")) acknowledged.set(life, Number(line.slice(2)));
        const isDrained = life >= kills || random.chance(0.2);
        try {
          if (isDrained) await drain(path, database, acknowledged);
          const lsns = databases.map((each) => checkStore(each, acknowledged, isDrained));
          assert(lsns.every((lsn, index) => lsn >= applied[index]!), "a store went back");
          applied = lsns;
        } catch (error) {
          throw new Error(`life ${life}, SEED=${SEED} KILLS=${KILLS}\n${error}`, { cause: error });
        }
      }
      console.log(`${kills} kills on ${place}, LSN ${applied.join(" and ")} in the stores, seed ${SEED}`);
    },
    { skip, timeoutMs },
  );
}

/** Lets the stores have all that a log has, and checks their pairs. */
async function drain(path: string, database: string, acknowledged: ReadonlyMap<number, number>): Promise<void> {
  await using wal = WAL.open(path, { create: false });
  for (const { position } of wal.stats().consumers) {
    assert(wal.tail <= position + 1, `H59: the tail is ${wal.tail}, a consumer is at LSN ${position}`);
  }
  const stores = CONSUMERS.map(([name, suffix]) => ({ name, store: new SQLiteStore(database + suffix) }));
  const consumptions = stores.map(({ name, store }) => consume(wal, store, { name }));
  await wal.whenApplied();
  for (const consumption of consumptions) await consumption.stop();
  for (const { store } of stores) {
    checkPairs(store, acknowledged);
    assert(store.appliedLsn() <= wal.durable, "H26: the store has what the log has not");
    store.close();
  }
}
