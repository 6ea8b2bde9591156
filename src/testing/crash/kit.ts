// Crash tests of a store and a workload: hundreds of histories. A failure is reported with the
// shortest history found that fails in the same way.

import type { ApplicableStore, Store } from "../../types.ts";
import { BrokenPromiseError, type PromiseNumber, textOf } from "../broken_promise.ts";
import { type HistoryOutcome, type HistoryPlan, runHistory } from "./history.ts";
import type {
  CrashStore,
  CrashTestOptions,
  CrashTestResult,
  CrashTestStoresOptions,
  StoreSubject,
  Subject,
} from "./options.ts";
import { type AnyTest, takeTest } from "./subject.ts";
import type { NeedsModel } from "../contents.ts";
import { Random } from "../random.ts";
import { shrink, type Simpler } from "../shrink.ts";
import type { StoreEntry } from "../store_model.ts";

/** How long to look for a shorter history. */
const SHORTEN_MS = 3000;
/** How many lines of a history are shown. The last lines say the most. */
const LINES_SHOWN = 80;

/**
 * Runs a workload on a log, with a consumer and your store, on a simulated machine that crashes at
 * hundreds of points. After each crash it opens log and store again, lets the consumer catch up,
 * and checks that
 *
 * - every acknowledged record is there, and none that was never appended (G1, G2, G4),
 * - times ascend from record to record (G10),
 * - batches are there whole or not at all, in the log and in the store (G3),
 * - the store gets every durable record in order, and none twice if it has `appliedLsn()` (G11),
 * - the log releases no record that the store does not have durably (G11),
 * - `appliedLsn()` says what the store has, neither more nor less, also after crashes that take
 *   what it did not sync (G11),
 * - `appliedLog()`, if the store has it, is the log of that LSN, also where the log was restored
 *   from a backup (G11),
 * - the store's contents are those of a plain map after the same records, and `check()` passes
 *   (G11).
 *
 * @example A store whose disk is plain data
 * ```ts
 * import { OpType, type WALRecord } from "@cidstore/wal";
 * import { crashTest } from "@cidstore/wal/testing";
 *
 * interface Saved {
 *   applied: number;
 *   values: bigint[];
 * }
 *
 * class ValueStore {
 *   readonly disk: { saved: Saved };
 *
 *   constructor(disk: { saved: Saved }) {
 *     this.disk = disk;
 *   }
 *
 *   applyBatch(records: readonly WALRecord[]) {
 *     const inserts = records.filter(({ opType }) => opType === OpType.Insert);
 *     const values = [...this.disk.saved.values, ...inserts.map((record) => record.valueLow)];
 *     this.disk.saved = { applied: records.at(-1)!.lsn, values }; // one write: both or neither
 *   }
 *
 *   appliedLsn() {
 *     return this.disk.saved.applied;
 *   }
 * }
 *
 * const { crashes } = await crashTest({
 *   store: (home) => {
 *     return new ValueStore(home.saved(() => ({ saved: { applied: 0, values: [] as bigint[] } })));
 *   },
 *   workload: async ({ wal, random }) => {
 *     for (let i = 0; i < 5; i++) await wal.logInsert(1, 2, 3, random.uint64());
 *   },
 *   check: (store, records) => {
 *     if (store.disk.saved.values.length !== records.length) throw new Error("Values are missing");
 *   },
 * });
 * console.log(crashes > 100); // true
 * ```
 *
 * @returns how much was tried.
 * @throws {BrokenPromiseError} if a promise is broken: which, at which seed and crash point, and
 * how to replay it.
 */
export function crashTest<S extends ApplicableStore, C = Iterable<StoreEntry>>(
  options: CrashTestOptions<S, C> & NeedsModel<C>,
): Promise<CrashTestResult>;
/**
 * Crashes several stores on one log, each with a consumer of its own. A crash ends the life of all
 * of them at one moment. Besides what holds for one store, the test checks that
 *
 * - each store gets all records by itself, however far behind the others are,
 * - the log keeps what any of them lacks, also of a consumer that does not run,
 * - a consumer is lost only if it has `maxLagRecords`, and goes on where `reseed` has filled its
 *   store.
 *
 * It stops consumers for a while, and drops those of stores with `reseed`.
 *
 * @example A database and an index
 * ```ts
 * import { SQLiteStore } from "@cidstore/wal/stores/sqlite";
 * import { crashStore, crashTest } from "@cidstore/wal/testing";
 *
 * const { crashes } = await crashTest({
 *   stores: {
 *     database: crashStore({
 *       store: (home) => new SQLiteStore(`${home.directory}/database.sqlite`),
 *       contents: (store) => store.entries(),
 *     }),
 *     index: crashStore({
 *       store: (home) => new SQLiteStore(`${home.directory}/index.sqlite`),
 *       contents: (store) => store.entries(),
 *     }),
 *   },
 *   workload: async ({ wal, stores, random }) => {
 *     await wal.logInsert(1, random.below(9), 2, 3);
 *     await wal.whenApplied(); // in both
 *     if (!stores.index.has(1n, 9n, 2n, 3n)) await wal.logInsert(1, 9, 2, 3);
 *   },
 *   seeds: 3, // 20 unless it is said
 * });
 * console.log(crashes > 50); // true
 * ```
 */
export function crashTest<S extends Readonly<Record<string, Store>>>(
  options: CrashTestStoresOptions<S>,
): Promise<CrashTestResult>;
export async function crashTest(options: unknown): Promise<CrashTestResult> {
  const { subject, seeds, crashPoints, crashes, failures, log, notChecked } = takeTest(options as AnyTest);
  const total = { histories: 0, crashes: 0, records: 0 };
  const unseenMoments = new Set<string>();
  for (const seed of seeds) {
    const whole: HistoryPlan = { seed, point: 0, crashes, failures, log, length: 0, torn: [] };
    const calm = await runHistory(subject, whole);
    await judge(subject, whole, calm, total);
    const { steps: length, files: { torn, unseen } } = calm;
    for (const moment of unseen) unseenMoments.add(`Crashes within a call: ${moment}`);
    for (const point of pointsOf(crashPoints, allPoints(length, torn.length), seed)) {
      const plan = { ...whole, point, length, torn };
      await judge(subject, plan, await runHistory(subject, plan), total);
    }
  }
  return { ...total, notChecked: [...notChecked, ...unseenMoments] };
}

/**
 * Returns the options of one store of several, for the compiler to know what `contents` and `check`
 * are given.
 *
 * @example
 * ```ts
 * import { MemoryStore } from "@cidstore/wal/stores/memory";
 * import { crashStore } from "@cidstore/wal/testing";
 *
 * const cache = crashStore({
 *   store: (home) => home.outside(() => new MemoryStore()),
 *   contents: (store) => store.entries(),
 *   maxLagRecords: 100,
 *   reseed: (store, records, run) => {
 *     store.clear();
 *     store.applyBatch(records, run);
 *   },
 * });
 * ```
 */
export function crashStore<S extends ApplicableStore, C = Iterable<StoreEntry>>(
  options: CrashStore<S, C> & NeedsModel<C>,
  // deno-lint-ignore no-explicit-any
): CrashStore<S, any> {
  return options;
}

/** Each step of a life, the time after the last one, and each moment between two files. */
function allPoints(steps: number, moments: number): readonly number[] {
  const between = (count: number, sign: number) => Array.from({ length: count }, (_, index) => sign * (index + 1));
  return [...between(steps + 1, 1), ...between(moments, -1)];
}

/** All points, or `points` of them. */
function pointsOf(points: number | readonly number[], all: readonly number[], seed: number): readonly number[] {
  if (typeof points !== "number") return points.filter((point) => point !== 0);
  if (points >= all.length) return all;
  // One point in each part of the life, at a place that the seed chooses.
  const random = new Random(seed).fork("crash points");
  return Array.from({ length: points }, (_, part) => {
    const first = Math.floor(part * all.length / points);
    return all[random.between(first, Math.floor((part + 1) * all.length / points) - 1)]!;
  });
}

async function judge(
  subject: Subject,
  plan: HistoryPlan,
  outcome: HistoryOutcome,
  total: { histories: number; crashes: number; records: number },
): Promise<void> {
  total.histories++;
  total.crashes += outcome.crashes;
  total.records += outcome.records;
  if (outcome.failure === null) return;
  const [shortestPlan, shortest] = await shorten(subject, plan, outcome);
  const { error } = shortest.failure!;
  const where = report(shortestPlan, shortest, subject.stores);
  if (error instanceof BrokenPromiseError) {
    throw new BrokenPromiseError(error.promise, error.finding, where, { cause: error.cause ?? error });
  }
  const text = error instanceof Error && error.name === "Error" ? error.message : textOf(error);
  throw new Error(`${text}\n${where}`, { cause: error });
}

/** The earliest single crash of this seed that breaks the same promise, as far as time allows. */
async function shorten(
  subject: Subject,
  plan: HistoryPlan,
  outcome: HistoryOutcome,
): Promise<[HistoryPlan, HistoryOutcome]> {
  if (!(outcome.failure!.error instanceof BrokenPromiseError)) return [plan, outcome];
  const startMs = performance.now();
  const attempt = async (shorter: HistoryPlan): Promise<[HistoryPlan, HistoryOutcome] | null> => {
    const other = await runHistory(subject, shorter);
    const isShorter = other.lines.length <= outcome.lines.length && brokenPromise(other) === brokenPromise(outcome);
    return isShorter ? [shorter, other] : null;
  };
  const length = plan.point === 0 ? outcome.steps : plan.length;
  const torn = plan.point === 0 ? outcome.files.torn : plan.torn;
  const plans = singleCrashes({ ...plan, crashes: 1, length, torn });
  return await shrink(plans, attempt, () => performance.now() - startMs <= SHORTEN_MS) ?? [plan, outcome];
}

function* singleCrashes(plan: HistoryPlan): Simpler<HistoryPlan> {
  // A crash between two files needs the call that it is in.
  if (plan.point < 0 && (yield plan)) return;
  for (const point of allPoints(plan.length, plan.torn.length)) if (yield { ...plan, point }) return;
}

function brokenPromise({ failure }: HistoryOutcome): PromiseNumber | null {
  return failure?.error instanceof BrokenPromiseError ? failure.error.promise : null;
}

function report(
  { seed, point, crashes, torn }: HistoryPlan,
  { lines }: HistoryOutcome,
  stores: readonly StoreSubject[],
): string {
  const shown = lines.slice(-LINES_SHOWN);
  const within = torn[-1 - point];
  const place = within === undefined
    ? `crash at step ${point}`
    : `crash within call ${within.call} of ${stores[within.store]!.text}`;
  return [
    `  Seed ${seed}, ${point === 0 ? "without a crash" : place}`,
    `  Replay: crashTest({ …, seeds: [${seed}], crashPoints: [${point}], crashes: ${crashes} })`,
    `  The history:`,
    ...(lines.length > shown.length ? [`    … ${lines.length - shown.length} lines before`] : []),
    ...shown.map((line) => `    ${line}`),
  ].join("\n");
}
