// What any store must do, one case for each promise that a store can break.

import { type ApplicationOpType, OpType, type Store, type WALRecord } from "../../types.ts";
import { BrokenPromiseError, textOf } from "../broken_promise.ts";
import { SimulatedCrash } from "../disk/fault_plan.ts";
import type { TornCall } from "../file_order.ts";
import { Random } from "../random.ts";
import { SimulatedFailure } from "../store_home.ts";
import type { StoreEntry } from "../store_model.ts";
import {
  makeInserts,
  makeRecord,
  pairsByByte,
  randomRecords,
  U64_ENDS,
  unknownType,
  unreadable,
} from "./sample_records.ts";
import type { Trial } from "./store_trial.ts";

/** A case before it has a store. */
export interface CaseBody {
  readonly name: string;
  /** Whether it compares contents only, or also what the store says of itself. */
  readonly looksAt: "contents" | "both";
  /**
   * @param operations the opcodes of the application that the store applies; null if that is not to
   * be tried.
   */
  run<S extends Store>(start: () => Promise<Trial<S>>, operations: readonly ApplicationOpType[] | null): Promise<void>;
}

const SEEDS = 20;
const RECORDS = 60;
/** Within one call, a store is crashed at this many calls of `home.step()` at most. */
const MOST_STEPS = 200;
/** Turns of the microtask queue within a call, after each of which it is crashed. */
const MOST_TURNS = 16;

/** Opcodes of the application: the first, one between, the last. */
const APPLICATION_ENDS: readonly ApplicationOpType[] = [32, 47, 63];

/** All cases, the simple ones first: a store that fails one of those often fails many. */
export const CASES: readonly CaseBody[] = [
  {
    name: "a new store is empty and has applied nothing (G11)",
    looksAt: "both",
    async run(start) {
      await using trial = await start();
      await trial.applied();
      await trial.expect("G11", 0, "in a new store");
    },
  },
  {
    name: "keys and values are 128-bit numbers in two halves (G11)",
    looksAt: "contents",
    async run(start) {
      await using trial = await start();
      let lsn = 0;
      for (const keyHigh of U64_ENDS) {
        const rows = U64_ENDS.flatMap((keyLow) =>
          U64_ENDS.flatMap((valueHigh) => U64_ENDS.map((valueLow) => [keyHigh, keyLow, valueHigh, valueLow] as const))
        );
        await trial.give(rows.map((row) => makeRecord(++lsn, OpType.Insert, row)));
      }
      await trial.expect("G11", lsn, "after inserts of the smallest and greatest keys and values");
      await trial.give([
        makeRecord(++lsn, OpType.Delete, [0n, U64_ENDS.at(-1)!, 0n, 0n]),
        makeRecord(++lsn, OpType.DeleteValue, [U64_ENDS.at(-1)!, 0n, 0n, U64_ENDS.at(-1)!]),
      ]);
      await trial.expect("G11", lsn, "after a delete and a delete of one value");
    },
  },
  {
    name: "each byte of a key and of a value counts (G11)",
    looksAt: "contents",
    async run(start) {
      await using trial = await start();
      const pairs = pairsByByte();
      let lsn = 0;
      await trial.give(pairs.map((pair) => makeRecord(++lsn, OpType.Insert, pair)));
      await trial.expect("G11", lsn, "after inserts that differ in each byte of a key or a value");
      const deleteOf = ([keyHigh, keyLow]: StoreEntry) => makeRecord(++lsn, OpType.Delete, [keyHigh, keyLow, 0n, 0n]);
      // The last bytes first: a store that looks at fewer bytes deletes too much.
      await trial.give([makeRecord(++lsn, OpType.DeleteValue, pairs[32]!), deleteOf(pairs[16]!)]);
      await trial.expect("G11", lsn, "after deletes of a value and a key that differ from others in the last byte");
      await trial.give([deleteOf(pairs[0]!)]);
      await trial.expect("G11", lsn, "after the delete of a key from which others differ in each byte");
    },
  },
  {
    name: "records are applied in their order, in runs of any length (G11)",
    looksAt: "contents",
    async run(start) {
      for (let seed = 1; seed <= SEEDS; seed++) {
        await using trial = await start();
        const random = new Random(seed);
        for (const run of runsOf(randomRecords(trial.mortal, random, RECORDS), random)) {
          await trial.give(run);
          await trial.expect("G11", trial.last, `after LSN ${trial.last}`);
        }
      }
    },
  },
  {
    name: "applyBatch() that fails in the middle applies nothing of its run (G3)",
    looksAt: "both",
    async run(start) {
      for (const spoil of [unknownType, unreadable]) {
        for (let index = 0; index < 6; index++) {
          await using trial = await start();
          const isInMemory = trial.mortal.isOutside && spoil === unreadable;
          if (trial.store.applyBatch === undefined || isInMemory) continue;
          await trial.give(randomRecords(trial.mortal, new Random(index), 8));
          await trial.sync();
          const run = randomRecords(trial.mortal, new Random(index + 100), 6, 9);
          if (!await failsAt(trial, run, index, spoil)) continue;
          // No log hands out an unreadable record, so the store may keep half a run in memory then.
          if (spoil === unknownType) await trial.expect("G3", 8, `after applyBatch() failed at LSN ${run[index]!.lsn}`);
          const lsn = await trial.applied();
          if (lsn !== null && lsn > 8) trial.fail("G3", `applyBatch() failed, and appliedLsn() is ${lsn}`);
          await trial.crash("kill");
        }
      }
    },
  },
  {
    name: "a run that failed is applied when it comes again (G11)",
    looksAt: "both",
    async run(start) {
      for (const spoil of [unknownType, unreadable]) {
        for (let index = 0; index < 6; index++) {
          await using trial = await start();
          if (trial.store.applyBatch === undefined) return;
          const run = randomRecords(trial.mortal, new Random(index), 6);
          if (!await failsAt(trial, run, index, spoil)) continue;
          await trial.give(run);
          await trial.give(makeInserts(2, 7));
          await trial.sync();
          await trial.expect("G11", 8, `after applyBatch() failed at LSN ${run[index]!.lsn} and got the run again`);
          await expectApplied(trial, 8);
        }
      }
    },
  },
  {
    name: "a record of the application is applied or refused, and never skipped (G11)",
    looksAt: "both",
    async run(start, operations) {
      if (operations === null) return;
      for (const code of new Set([...APPLICATION_ENDS, ...operations])) {
        await using trial = await start();
        // A consumer refuses the record for a store without the method.
        if (trial.store.applyBatch === undefined && trial.store.apply === undefined) return;
        const isKnown = operations.includes(code);
        const run = [...makeInserts(1, 1), makeRecord(2, code, [1n, 2n, 3n, 4n]), ...makeInserts(1, 3)];
        try {
          await trial.give(run);
        } catch (error) {
          if (isKnown) trial.fail("G11", `the store threw at LSN 2 of type ${code}: ${textOf(error)}`, error);
          const lsn = await trial.applied();
          if (lsn !== null && lsn > 1) trial.fail("G11", `LSN 2 of type ${code} failed, and appliedLsn() is ${lsn}`);
          continue;
        }
        if (!isKnown) {
          trial.fail("G11", `LSN 2 of type ${code} was skipped, because \`operations\` does not name the type`);
        }
        await trial.sync();
        await trial.expect("G11", 3, `after a record of type ${code}`);
        await expectApplied(trial, 3);
        await trial.crash("kill");
        await trial.expect("G11", 3, `after a record of type ${code} and a crash`);
      }
    },
  },
  {
    name: "records that come again change nothing (G11)",
    looksAt: "both",
    async run(start) {
      for (let seed = 1; seed <= SEEDS; seed++) {
        await using trial = await start();
        const random = new Random(seed);
        const records = randomRecords(trial.mortal, random, 24);
        for (const run of runsOf(records, random)) {
          await trial.give(run);
          // A new consumer begins after appliedLsn(), or anywhere if the store has no such method.
          const from = trial.store.appliedLsn === undefined ? random.below(trial.last) : (await trial.applied())!;
          if (from === trial.last) continue;
          const to = random.between(from + 1, trial.last);
          await trial.give(records.slice(from, to));
          if (trial.store.appliedLsn !== undefined) {
            // The store has the rest too, at least in memory, and skips records that it has.
            if (random.chance(0.5)) await trial.sync();
            await trial.applied();
            await trial.expect("G11", trial.last, `after LSN ${from + 1} to ${to} came twice`);
          }
          if (to < trial.last) await trial.give(records.slice(to, trial.last));
          await trial.expect("G11", trial.last, `after LSN ${from + 1} to ${trial.last} came twice`);
        }
      }
    },
  },
  {
    name: "sync() makes durable what was applied; without one, each call does (G11)",
    looksAt: "both",
    async run(start) {
      for (const mode of ["power", "kill"] as const) {
        await using trial = await start();
        for (let round = 0; round < 3; round++) {
          await trial.give(randomRecords(trial.mortal, new Random(round), 7, 7 * round + 1));
          await trial.sync();
          await expectApplied(trial, trial.last);
          await trial.crash(mode);
          await trial.expect("G11", trial.last, "when the store is opened again after a crash");
        }
      }
    },
  },
  {
    name: "appliedLsn() says what the store has after a crash (G11)",
    looksAt: "both",
    async run(start) {
      for (let seed = 1; seed <= SEEDS; seed++) {
        await using trial = await start();
        const random = new Random(seed);
        const records = randomRecords(trial.mortal, random, RECORDS);
        let next = 0;
        while (next < RECORDS) {
          const end = Math.min(RECORDS, next + random.between(1, 9));
          await trial.give(records.slice(next, end));
          next = end;
          if (random.chance(0.3)) await trial.sync();
          if (random.chance(0.3)) await trial.applied();
          if (!random.chance(0.4)) continue;
          const lsn = await trial.crash(random.pick(["power", "kill"] as const));
          // As the log does: it hands out again what the store does not say it has.
          next = lsn ?? 0;
        }
        await trial.expect("G11", trial.last, `after LSN ${trial.last}`);
      }
    },
  },
  {
    name: "appliedLog() is the log of the run that ends with appliedLsn() (G11)",
    looksAt: "both",
    async run(start) {
      for (let seed = 1; seed <= SEEDS; seed++) {
        await using trial = await start();
        if (!savesLog(trial.store)) return;
        const random = new Random(seed);
        const records = randomRecords(trial.mortal, random, RECORDS);
        for (let next = 0; next < RECORDS;) {
          const end = Math.min(RECORDS, next + random.between(1, 9));
          if (random.chance(0.4)) trial.changeLog();
          await trial.give(records.slice(next, end));
          next = end;
          if (random.chance(0.3)) await trial.sync();
          if (random.chance(0.3)) await trial.applied();
          if (random.chance(0.4)) next = (await trial.crash(random.pick(["power", "kill"] as const)))!;
        }
        await trial.sync();
        await expectApplied(trial, trial.last);
      }
    },
  },
  {
    name: "appliedLog() changes with appliedLsn() or not at all, when it crashes at any write or while it waits (G11)",
    looksAt: "both",
    async run(start) {
      for (let nth = 1; nth <= MOST_STEPS; nth++) {
        await using trial = await start();
        if (!savesLog(trial.store)) return;
        await trial.give(randomRecords(trial.mortal, new Random(7), 5));
        await trial.sync();
        trial.changeLog();
        const isReached = await stepsInto(trial, randomRecords(trial.mortal, new Random(8), 5, 6), {
          nth,
          kind: "crash",
        });
        if (!isReached) break;
        await giveRest(trial, await trial.crash("kill"));
        await trial.sync();
        await expectApplied(trial, 10);
      }
      for (let turns = 0; turns < MOST_TURNS; turns++) {
        await using trial = await start();
        if (trial.mortal.isOutside) return;
        await trial.give(randomRecords(trial.mortal, new Random(11), 5));
        await trial.sync();
        trial.changeLog();
        trial.give(randomRecords(trial.mortal, new Random(12), 5, 6)).catch(() => {});
        for (let turn = 0; turn < turns; turn++) await null;
        await giveRest(trial, await trial.crash("kill"));
        await trial.sync();
        await expectApplied(trial, 10);
      }
    },
  },
  {
    name: "a run is there whole or not at all after a crash at any of its writes (G3)",
    looksAt: "both",
    async run(start) {
      for (let nth = 1; nth <= MOST_STEPS; nth++) {
        await using trial = await start();
        await trial.give(randomRecords(trial.mortal, new Random(7), 5));
        const run = randomRecords(trial.mortal, new Random(8), 5, 6);
        if (!await stepsInto(trial, run, { nth, kind: "crash" })) return;
        const lsn = await trial.crash("kill");
        await giveRest(trial, lsn);
        await trial.expect("G11", 10, "after a crash within a run, when the rest was given again");
      }
    },
  },
  {
    name: "a run is there whole or not at all after a crash between the changes of two files (G3)",
    looksAt: "both",
    async run(start) {
      for (const { old } of await momentsWithin(start)) {
        await using trial = await start();
        await giveFirst(trial);
        trial.mortal.tear(old);
        await giveNext(trial);
        const lsn = await trial.crash("kill");
        await giveRest(trial, lsn);
        await trial.expect("G11", 10, "after a crash within a run, when the rest was given again");
      }
    },
  },
  {
    name: "a run is there whole or not at all after a crash while the store waits (G3)",
    looksAt: "both",
    async run(start) {
      for (let turns = 0; turns < MOST_TURNS; turns++) {
        await using trial = await start();
        // What goes on elsewhere does not crash with the log.
        if (trial.mortal.isOutside) return;
        await trial.give(randomRecords(trial.mortal, new Random(11), 5));
        trial.give(randomRecords(trial.mortal, new Random(12), 5, 6)).catch(() => {});
        for (let turn = 0; turn < turns; turn++) await null;
        const lsn = await trial.crash("kill");
        await giveRest(trial, lsn);
        await trial.expect("G11", 10, "after a crash while a run was being applied, when the rest was given again");
      }
    },
  },
  {
    name: "a write that fails loses nothing (G11)",
    looksAt: "both",
    async run(start) {
      for (let nth = 1; nth <= MOST_STEPS; nth++) {
        await using trial = await start();
        await trial.give(randomRecords(trial.mortal, new Random(9), 5));
        const run = randomRecords(trial.mortal, new Random(10), 5, 6);
        if (!await stepsInto(trial, run, { nth, kind: "failure" })) return;
        await trial.give(run);
        await trial.sync();
        await trial.expect("G11", 10, "after a write failed and the records came again");
        await expectApplied(trial, 10);
        await trial.crash("power");
        await trial.expect("G11", 10, "when the store is opened again after a write failed and the records came again");
      }
    },
  },
];

/** Cuts records into runs. */
function* runsOf(records: readonly WALRecord[], random: Random): Generator<WALRecord[]> {
  for (let first = 0; first < records.length;) {
    const end = first + random.between(1, 9);
    yield records.slice(first, end);
    first = end;
  }
}

/**
 * Gives a run of which one record is not as it should be.
 *
 * @returns false if the store does not throw, because it skips such a record.
 */
async function failsAt<S extends Store>(
  trial: Trial<S>,
  run: WALRecord[],
  index: number,
  spoil: (record: WALRecord) => WALRecord,
): Promise<boolean> {
  trial.offer(run);
  try {
    await trial.store.applyBatch!(run.map((record, i) => i === index ? spoil(record) : record), trial.runOf(run));
    return false;
  } catch {
    return true;
  }
}

/**
 * Gives a run while one of the store's writes crashes or fails.
 *
 * @returns false if the store makes fewer writes, so that none of them crashes or fails.
 */
async function stepsInto<S extends Store>(
  trial: Trial<S>,
  run: readonly WALRecord[],
  fault: { readonly nth: number; readonly kind: "crash" | "failure" },
): Promise<boolean> {
  trial.mortal.arm(fault);
  try {
    await trial.give(run);
    await trial.sync();
  } catch (error) {
    if (error instanceof BrokenPromiseError) throw error;
    if (error instanceof SimulatedCrash || error instanceof SimulatedFailure) return true;
    if (trial.mortal.steps < fault.nth) trial.fail("G11", `the store threw: ${textOf(error)}`, error);
    return true;
  }
  return trial.mortal.steps >= fault.nth;
}

/** True if the store has `appliedLog()`, and gets the log's id with each run. */
function savesLog({ appliedLog, appliedLsn, applyBatch }: Store): boolean {
  return appliedLog !== undefined && appliedLsn !== undefined && applyBatch !== undefined;
}

/** The moments at which a run, with its `sync()`, has changed some of the store's files only. */
async function momentsWithin<S extends Store>(start: () => Promise<Trial<S>>): Promise<readonly TornCall[]> {
  await using trial = await start();
  await giveFirst(trial);
  return await trial.mortal.momentsWithin(() => giveNext(trial));
}

async function giveFirst<S extends Store>(trial: Trial<S>): Promise<void> {
  await trial.give(randomRecords(trial.mortal, new Random(7), 5));
  await trial.sync();
}

async function giveNext<S extends Store>(trial: Trial<S>): Promise<void> {
  await trial.giveUnanswered(randomRecords(trial.mortal, new Random(8), 5, 6));
}

/** As the log does after a crash: hands out again what the store does not say it has. */
async function giveRest<S extends Store>(trial: Trial<S>, applied: number | null): Promise<void> {
  const rest = trial.data().filter(({ lsn }) => lsn > (applied ?? 0));
  if (rest.length > 0) await trial.give(rest);
}

async function expectApplied<S extends Store>(trial: Trial<S>, wanted: number): Promise<void> {
  const lsn = await trial.applied();
  if (lsn === null || lsn === wanted) return;
  trial.fail("G11", `appliedLsn() is ${lsn}, though LSN ${wanted} was applied and synced`);
}
